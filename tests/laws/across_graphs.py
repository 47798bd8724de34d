"""Metrics with windows across keys, and with nulls filled."""

from __future__ import annotations

from runtime.testing.oracle.strategies import GAP, HOUR
from tests.laws import builders as b


def across(
    every: str, by: list[str], *, zone: str = "UTC", size: int = 1, empty: bool = False, **parts: b.Json
) -> b.Json:
    more = ({"size": size} if size > 1 else {}) | ({"empty": True} if empty else {})
    return {"op": "window_across", "every": every, "zone": zone, "by": by, "aggs": b.aggs(**parts), **more}


def fill(method: str, *names: str, by: list[str] | None = None, within: int | None = None) -> b.Json:
    longest = {} if within is None else {"within": within}
    return {"op": "fill", "columns": list(names), "fill_method": method, "by": by, **longest}


MODE_OF_ONE = b.agg("mode", b.FIRMWARE, where=b.fn("eq", b.DEVICE, b.lit("b")))
"""Of one key: between keys that report at one time their hashes decide, of which the oracle knows nothing."""

MANY = {
    "temp": b.agg("mean", b.TEMP),
    "devices": b.agg("count_distinct", b.DEVICE),
    "spread": b.agg("stddev", b.TEMP, ddof=1),
    "middle": b.agg("median", b.N),
    "states": b.agg("top_k", b.STATUS, k=2, cap=9),
    "least": b.agg("min", b.N),
}

ACROSS_GRAPHS: dict[str, b.Json] = {
    "sliding_across_keys": b.graph(across("30m", ["status"], size=5, **MANY)),
    "sliding_over_all_keys": b.graph(
        b.where(b.fn("is_not_null", b.TEMP)),
        across("6h", [], zone=b.LONDON, size=3, empty=True, temp=b.agg("max", b.TEMP), grown=b.agg("increase", b.TEMP)),
        b.where(b.fn("gt", b.col("count"), b.lit(1))),
    ),
    "days_across_keys": b.graph(
        across("1d", ["status", "ok"], zone=b.LONDON, size=2, empty=True, temp=b.agg("sum", b.TEMP)),
        fill("linear", "temp", by=["status", "ok"]),
    ),
    "filled_across_keys": b.graph(
        across("1h", ["status"], empty=True, n=b.agg("max", b.N), text=MODE_OF_ONE, **MANY),
        fill("last", "n", "text", by=["status"]),
        b.group(b.BY_STATUS, n=b.agg("max", b.col("n")), texts=b.agg("count_distinct", b.col("text"))),
    ),
    "filled_windows": b.graph(
        b.windows("30m", empty=True, temp=b.agg("mean", b.TEMP), n=b.agg("min", b.N), long=b.agg("count")),
        fill("linear", "temp", "n", "long"),
    ),
    "filled_points": b.graph(fill("last", "temp", "firmware")),
    "filled_from_near": b.graph(
        b.windows("30m", empty=True, temp=b.agg("mean", b.TEMP), n=b.agg("min", b.N), long=b.agg("max", b.N)),
        fill("linear", "temp", within=2 * HOUR),
        fill("next", "n", by=["device"], within=HOUR),
        fill("last", "long", by=["device"], within=HOUR),
    ),
    "filled_points_from_near": b.graph(fill("last", "temp", "firmware", within=GAP)),
    "filled_points_from_later": b.graph(fill("next", "temp", "n", within=HOUR)),
}
