"""Metrics with every aggregate whose answer takes more than counting and adding."""

from __future__ import annotations

from tests.laws.builders import (
    BY_DEVICE,
    BY_FIRMWARE,
    BY_STATUS,
    DEVICE,
    FIRMWARE,
    LONDON,
    OK,
    STATUS,
    TEMP,
    UP,
    Json,
    N,
    agg,
    beats,
    col,
    fn,
    graph,
    group,
    lit,
    named,
    select,
    sessions,
    states,
    truncate,
    where,
    windows,
)
from tests.reference.strategies import GAP, HOUR

SMALL = fn("lt", fn("abs", N), lit(1000))

AGGREGATE_GRAPHS: dict[str, Json] = {
    "spread_by_firmware": graph(
        group(
            BY_FIRMWARE,
            sample=agg("variance", TEMP, ddof=1),
            whole=agg("variance", TEMP, ddof=0, where=UP),
            deviation=agg("stddev", TEMP, ddof=1),
            of_n=agg("variance", N, ddof=1),
            deviation_of_n=agg("stddev", N, ddof=0),
            of_ok=agg("variance", OK, ddof=0),
        )
    ),
    "spread_overall": graph(group([], sample=agg("variance", TEMP, ddof=1), n=agg("stddev", N, ddof=1))),
    "quantiles_by_status": graph(
        group(
            BY_STATUS,
            low=agg("quantile", TEMP, q=0.0),
            tenth=agg("quantile", TEMP, q=0.1),
            middle=agg("median", TEMP),
            high=agg("quantile", TEMP, q=1.0, where=fn("not", OK)),
            of_n=agg("median", N),
            most=agg("quantile", N, q=0.99),
        )
    ),
    "histograms": graph(
        where(SMALL),
        group(
            BY_FIRMWARE,
            by_width=agg("histogram", TEMP, width=0.25, edges=None, where=fn("lt", fn("abs", TEMP), lit(1e9))),
            by_edges=agg("histogram", TEMP, width=None, edges=[-3.25, 0.0, 0.1, 30.0]),
            of_n=agg("histogram", N, width=3, edges=None),
            edges_of_n=agg("histogram", N, width=None, edges=[0, 2]),
        ),
    ),
    "histogram_overall": graph(group([], temp=agg("histogram", TEMP, width=None, edges=[0.0]))),
    "top_values": graph(
        group(
            BY_STATUS,
            firmware=agg("top_k", FIRMWARE, k=2, cap=10),
            temp=agg("top_k", TEMP, k=3, cap=100),
            n=agg("top_k", N, k=10, cap=100, where=UP),
            ok=agg("top_k", OK, k=1, cap=2),
        )
    ),
    "approximately_distinct": graph(
        group(
            BY_STATUS,
            devices=agg("approx_distinct", DEVICE),
            temps=agg("approx_distinct", TEMP),
            numbers=agg("approx_distinct", N),
            firmwares=agg("approx_distinct", FIRMWARE, where=fn("is_not_null", OK)),
        )
    ),
    "transitions_by_firmware": graph(
        group(
            BY_FIRMWARE,
            status=agg("transitions", STATUS),
            up=agg("transitions", STATUS, where=UP),
            ok=agg("transitions", OK),
            n=agg("transitions", N),
        )
    ),
    "transitions_overall": graph(where(fn("is_not_null", OK)), group([], status=agg("transitions", STATUS))),
    "counters_by_hour": graph(
        group(
            named(hour=truncate("1h"), firmware=FIRMWARE),
            grown=agg("increase", fn("abs", TEMP)),
            rate=agg("rate", TEMP),
            n=agg("increase", N),
            n_when_up=agg("increase", N, where=UP),
        )
    ),
    "rate_of_small_numbers": graph(where(SMALL), group(BY_DEVICE, n=agg("rate", N), rate=agg("rate", N, where=OK))),
    "candlesticks": graph(
        # By device: at one time the order of keys is that of their hashes, which the oracle does not know.
        group(
            named(t=truncate("1h"), status=STATUS, device=DEVICE),
            temp=agg("candlestick", TEMP),
            n=agg("candlestick", N),
        )
    ),
    "candlesticks_by_device": graph(group(BY_DEVICE, temp=agg("candlestick", TEMP, where=OK), n=agg("candlestick", N))),
    "weighed_by_time": graph(
        states(TEMP, name="temp"),
        group(
            named(day=truncate("1d", LONDON), device=DEVICE),
            mean=agg("time_weighted_mean", TEMP),
            area=agg("integral", TEMP),
            warm=agg("integral", TEMP, where=fn("gt", TEMP, lit(20.0))),
        ),
    ),
    "held_numbers_weighed_by_time": graph(
        states(STATUS, hold=HOUR),
        group(BY_STATUS, temp=agg("time_weighted_mean", TEMP), n=agg("time_weighted_mean", N), area=agg("integral", N)),
    ),
    "time_between_failures": graph(
        states(STATUS),
        group(BY_FIRMWARE, between=agg("mtbf", UP), repair=agg("mttr", UP), edges=agg("transitions", STATUS)),
    ),
    "time_between_failures_by_day": graph(
        states(STATUS, hold=None), group(named(day=truncate("1d")), between=agg("mtbf", UP), repair=agg("mttr", UP))
    ),
    "time_between_outages": graph(
        beats(), group([], between=agg("mtbf", col("alive")), repair=agg("mttr", col("alive")))
    ),
    "sessions_with_parts": graph(
        sessions(
            GAP,
            firmwares=agg("top_k", FIRMWARE, k=1, cap=9),
            spread=agg("stddev", TEMP, ddof=0),
            middle=agg("median", TEMP),
            grown=agg("increase", N),
            about=agg("approx_distinct", STATUS),
        ),
        where(fn("is_not_null", col("firmwares"))),
        select(device=DEVICE, start=col("start"), top=col("firmwares"), spread=col("spread"), middle=col("middle"),
               grown=col("grown"), about=col("about")),
    ),
    "windows_with_parts": graph(
        windows("1h", edges=agg("transitions", STATUS), candle=agg("candlestick", TEMP), mean=agg("mean", TEMP)),
        where(fn("gt", col("mean"), lit(0.15))),
    ),
    "spread_of_groups": graph(
        group(BY_DEVICE, mean=agg("mean", TEMP), n=agg("count", TEMP)),
        group([], spread=agg("stddev", col("mean"), ddof=1), top=agg("top_k", col("n"), k=3, cap=50),
              middle=agg("median", col("mean"))),
    ),
}  # fmt: skip
