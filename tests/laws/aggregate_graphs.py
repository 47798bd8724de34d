"""Metrics with every aggregate beyond counts and sums."""

from __future__ import annotations

from runtime.testing.oracle.strategies import GAP, HOUR
from tests.laws import builders as b

SMALL = b.fn("lt", b.fn("abs", b.N), b.lit(1000))

AGGREGATE_GRAPHS: dict[str, b.Json] = {
    "spread_by_firmware": b.graph(
        b.group(
            b.BY_FIRMWARE,
            sample=b.agg("variance", b.TEMP, ddof=1),
            whole=b.agg("variance", b.TEMP, ddof=0, where=b.UP),
            deviation=b.agg("stddev", b.TEMP, ddof=1),
            of_n=b.agg("variance", b.N, ddof=1),
            deviation_of_n=b.agg("stddev", b.N, ddof=0),
            of_ok=b.agg("variance", b.OK, ddof=0),
        )
    ),
    "spread_overall": b.graph(b.group([], sample=b.agg("variance", b.TEMP, ddof=1), n=b.agg("stddev", b.N, ddof=1))),
    "quantiles_by_status": b.graph(
        b.group(
            b.BY_STATUS,
            low=b.agg("quantile", b.TEMP, q=0.0),
            tenth=b.agg("quantile", b.TEMP, q=0.1),
            middle=b.agg("median", b.TEMP),
            high=b.agg("quantile", b.TEMP, q=1.0, where=b.fn("not", b.OK)),
            of_n=b.agg("median", b.N),
            most=b.agg("quantile", b.N, q=0.99),
        )
    ),
    "histograms": b.graph(
        b.where(SMALL),
        b.group(
            b.BY_FIRMWARE,
            by_width=b.agg("histogram", b.TEMP, width=0.25, edges=None,
                where=b.fn("lt", b.fn("abs", b.TEMP), b.lit(1e9))),
            by_edges=b.agg("histogram", b.TEMP, width=None, edges=[-3.25, 0.0, 0.1, 30.0]),
            of_n=b.agg("histogram", b.N, width=3, edges=None),
            edges_of_n=b.agg("histogram", b.N, width=None, edges=[0, 2]),
        ),
    ),
    "histogram_overall": b.graph(b.group([], temp=b.agg("histogram", b.TEMP, width=None, edges=[0.0]))),
    "top_values": b.graph(
        b.group(
            b.BY_STATUS,
            firmware=b.agg("top_k", b.FIRMWARE, k=2, cap=10),
            temp=b.agg("top_k", b.TEMP, k=3, cap=100),
            n=b.agg("top_k", b.N, k=10, cap=100, where=b.UP),
            ok=b.agg("top_k", b.OK, k=1, cap=2),
        )
    ),
    "approximately_distinct": b.graph(
        b.group(
            b.BY_STATUS,
            devices=b.agg("approx_distinct", b.DEVICE),
            temps=b.agg("approx_distinct", b.TEMP),
            numbers=b.agg("approx_distinct", b.N),
            firmwares=b.agg("approx_distinct", b.FIRMWARE, where=b.fn("is_not_null", b.OK)),
        )
    ),
    "transitions_by_firmware": b.graph(
        b.group(
            b.BY_FIRMWARE,
            status=b.agg("transitions", b.STATUS),
            up=b.agg("transitions", b.STATUS, where=b.UP),
            ok=b.agg("transitions", b.OK),
            n=b.agg("transitions", b.N),
        )
    ),
    "transitions_overall": b.graph(b.where(b.fn("is_not_null", b.OK)),
        b.group([], status=b.agg("transitions", b.STATUS))),
    "counters_by_hour": b.graph(
        b.group(
            b.named(hour=b.truncate("1h"), firmware=b.FIRMWARE),
            grown=b.agg("increase", b.fn("abs", b.TEMP)),
            rate=b.agg("rate", b.TEMP),
            n=b.agg("increase", b.N),
            n_when_up=b.agg("increase", b.N, where=b.UP),
        )
    ),
    "rate_of_small_numbers": b.graph(b.where(SMALL),
        b.group(b.BY_DEVICE, n=b.agg("rate", b.N), rate=b.agg("rate", b.N, where=b.OK))),
    "candlesticks": b.graph(
        # By device: at one time the order of keys is that of their hashes, which the oracle does not know.
        b.group(
            b.named(t=b.truncate("1h"), status=b.STATUS, device=b.DEVICE),
            temp=b.agg("candlestick", b.TEMP),
            n=b.agg("candlestick", b.N),
        )
    ),
    "candlesticks_by_device": b.graph(b.group(b.BY_DEVICE, temp=b.agg("candlestick", b.TEMP, where=b.OK),
        n=b.agg("candlestick", b.N))),
    "weighed_by_time": b.graph(
        b.states(b.TEMP, name="temp"),
        b.group(
            b.named(day=b.truncate("1d", b.LONDON), device=b.DEVICE),
            mean=b.agg("time_weighted_mean", b.TEMP),
            area=b.agg("integral", b.TEMP),
            warm=b.agg("integral", b.TEMP, where=b.fn("gt", b.TEMP, b.lit(20.0))),
        ),
    ),
    "held_numbers_weighed_by_time": b.graph(
        b.states(b.STATUS, hold=HOUR),
        b.group(b.BY_STATUS, temp=b.agg("time_weighted_mean", b.TEMP), n=b.agg("time_weighted_mean", b.N),
            area=b.agg("integral", b.N)),
    ),
    "time_between_failures": b.graph(
        b.states(b.STATUS),
        b.group(b.BY_FIRMWARE, between=b.agg("mtbf", b.UP), repair=b.agg("mttr", b.UP),
            edges=b.agg("transitions", b.STATUS)),
    ),
    "time_between_failures_by_day": b.graph(
        b.states(b.STATUS, hold=None), b.group(b.named(day=b.truncate("1d")), between=b.agg("mtbf", b.UP),
            repair=b.agg("mttr", b.UP))
    ),
    "time_between_outages": b.graph(
        b.beats(), b.group([], between=b.agg("mtbf", b.col("alive")), repair=b.agg("mttr", b.col("alive")))
    ),
    "sessions_with_parts": b.graph(
        b.sessions(
            GAP,
            firmwares=b.agg("top_k", b.FIRMWARE, k=1, cap=9),
            spread=b.agg("stddev", b.TEMP, ddof=0),
            middle=b.agg("median", b.TEMP),
            grown=b.agg("increase", b.N),
            about=b.agg("approx_distinct", b.STATUS),
        ),
        b.where(b.fn("is_not_null", b.col("firmwares"))),
        b.select(device=b.DEVICE, start=b.col("start"), top=b.col("firmwares"), spread=b.col("spread"),
            middle=b.col("middle"),
               grown=b.col("grown"), about=b.col("about")),
    ),
    "windows_with_parts": b.graph(
        b.windows("1h", edges=b.agg("transitions", b.STATUS), candle=b.agg("candlestick", b.TEMP),
            mean=b.agg("mean", b.TEMP)),
        b.where(b.fn("gt", b.col("mean"), b.lit(0.15))),
    ),
    "spread_of_groups": b.graph(
        b.group(b.BY_DEVICE, mean=b.agg("mean", b.TEMP), n=b.agg("count", b.TEMP)),
        b.group([], spread=b.agg("stddev", b.col("mean"), ddof=1), top=b.agg("top_k", b.col("n"), k=3, cap=50),
              middle=b.agg("median", b.col("mean"))),
    ),
}  # fmt: skip
