"""Metrics with aggregates of two columns, of the shape of values, and of values picked or listed."""

from __future__ import annotations

from runtime.testing.oracle.strategies import GAP, HOUR
from tests.laws import builders as b

STATISTICS_GRAPHS: dict[str, b.Json] = {
    "picked_by_device": b.graph(
        # By device: at one time the order of keys is that of their hashes, which the oracle does not know.
        b.group(
            b.named(device=b.DEVICE, status=b.STATUS),
            warmest=b.agg("max_by", b.FIRMWARE, b.TEMP),
            coldest=b.agg("min_by", b.N, b.TEMP, where=b.OK),
            least=b.agg("min_by", b.TEMP, b.N),
            ok=b.agg("max_by", b.OK, b.N),
            latest=b.agg("max_by", b.STATUS, b.NOW),
            true=b.agg("max_by", b.N, b.OK),
            text=b.agg("mode", b.FIRMWARE),
            number=b.agg("mode", b.TEMP),
            n=b.agg("mode", b.N, where=b.UP),
            three=b.agg("collect", b.STATUS, first=3),
            temps=b.agg("collect", b.TEMP, first=2, where=b.OK),
            many=b.agg("collect", b.N, first=100),
        )
    ),
    "longest_of_states": b.graph(
        b.states(b.STATUS, hold=HOUR),
        b.group(b.BY_DEVICE, longest=b.agg("max_by", b.STATUS, b.col("duration")), usual=b.agg("mode", b.STATUS),
            states=b.agg("collect", b.STATUS, first=4)),
    ),
    "picked_of_a_table": b.graph(
        b.group(b.named(device=b.DEVICE, firmware=b.FIRMWARE), n=b.agg("count"), temp=b.agg("mean", b.TEMP)),
        b.group(
            b.named(firmware=b.FIRMWARE),
            most=b.agg("max_by", b.DEVICE, b.col("n")),
            coldest=b.agg("min_by", b.DEVICE, b.col("temp")),
            devices=b.agg("collect", b.DEVICE, first=9),
            usual=b.agg("mode", b.col("n")),
        ),
    ),
    "pairs_by_firmware": b.graph(
        b.group(
            b.BY_FIRMWARE,
            drift=b.agg("slope", b.TEMP, b.NOW, per=HOUR),
            trend=b.agg("slope", b.N, b.NOW, per=None, where=b.UP),
            slope=b.agg("slope", b.TEMP, b.N, per=None),
            back=b.agg("slope", b.N, b.TEMP, per=None),
            sample=b.agg("covariance", b.TEMP, b.N, ddof=1),
            whole=b.agg("covariance", b.OK, b.N, ddof=0),
            correlation=b.agg("correlation", b.TEMP, b.N),
            of_integers=b.agg("correlation", b.N, b.OK),
            skew=b.agg("skewness", b.TEMP, ddof=1),
            skew_of_all=b.agg("skewness", b.N, ddof=0),
            tails=b.agg("kurtosis", b.TEMP, ddof=0),
            tails_of_sample=b.agg("kurtosis", b.N, ddof=1, where=b.OK),
            of_conditions=b.agg("skewness", b.OK, ddof=1),
        )
    ),
    "along_lines": b.graph(
        b.group(
            b.named(hour=b.truncate("1h"), device=b.DEVICE),
            mean=b.agg("time_weighted_mean", b.TEMP, between="linear"),
            area=b.agg("integral", b.TEMP, between="linear", hold=GAP, where=b.OK),
            n=b.agg("time_weighted_mean", b.N, between="linear", hold=HOUR),
            area_of_n=b.agg("integral", b.N, between="linear"),
        )
    ),
    "statistics_of_sessions": b.graph(
        b.sessions(
            GAP,
            drift=b.agg("slope", b.TEMP, b.NOW, per=None),
            list=b.agg("collect", b.STATUS, first=2),
            usual=b.agg("mode", b.STATUS),
            warmest=b.agg("max_by", b.N, b.TEMP),
            line=b.agg("integral", b.TEMP, between="linear"),
        ),
    ),
}  # fmt: skip
