"""Metrics over points that last: from their time to an end that they have, or for a length."""

from __future__ import annotations

from runtime.testing.oracle.strategies import GAP, HOUR
from tests.laws import builders as b

LONG = b.fn("mul", b.fn("mod", b.N, b.lit(5)), b.lit(GAP, "duration"))
ENDED = b.fn("add", b.NOW, b.fn("mul", b.fn("mod", b.N, b.lit(40)), b.lit(GAP // 3, "duration")))

OF_ONE = b.fn("eq", b.DEVICE, b.lit("b"))
"""Of one key: between keys that have equal times their hashes decide, of which the oracle knows nothing."""


def intervals(end: b.Json, longest: int | None = None) -> b.Json:
    return {"op": "intervals", "end": end, **({} if longest is None else {"longest": longest})}


INTERVAL_GRAPHS: dict[str, b.Json] = {
    "intervals_of_points": b.graph(intervals(ENDED), b.extend(twice=b.fn("mul", b.N, b.lit(2)), was=b.STATUS)),
    "intervals_by_hour": b.graph(
        b.extend(before=b.fn("previous", b.N)),
        intervals(LONG, longest=HOUR),
        b.where(b.fn("ne", b.STATUS, b.lit("down"))),
        b.group(
            b.named(hour=b.fn("hour", b.NOW, zone=b.LONDON), status=b.STATUS),
            time=b.agg("duration"),
            hot=b.agg("duration", where=b.fn("gt", b.TEMP, b.lit(20.0))),
            n=b.ROWS,
            most=b.agg("max", b.col("before")),
            first=b.agg("first", b.TEMP, where=OF_ONE),
            last=b.agg("last", b.FIRMWARE, where=OF_ONE),
            devices=b.agg("count_distinct", b.DEVICE),
        ),
    ),
    "empty_hours_of_intervals_at_once": b.graph(
        intervals(LONG, longest=HOUR),
        {"op": "concurrent", "condition": b.OK, "by": b.BY_STATUS, "at_least": None},
        b.group(
            b.named(status=b.STATUS, hour=b.truncate("1h", b.LONDON)),
            peak=b.agg("max", b.col("active")),
            time=b.agg("duration"),
            n=b.ROWS,
        )
        | {"empty": True},
    ),
    "empty_hours_of_two_at_once": b.graph(
        b.states(b.STATUS, hold=HOUR),
        {"op": "concurrent", "condition": b.UP, "by": [], "at_least": 1},
        b.where(b.col("state")),
        b.group(b.named(hour=b.truncate("1h", "UTC")), time=b.agg("duration")) | {"empty": True},
    ),
    "intervals_at_once": b.graph(
        b.where(b.fn("is_not_null", b.N)),
        intervals(ENDED, longest=3 * HOUR),
        {"op": "concurrent", "condition": b.OK, "by": b.BY_FIRMWARE, "at_least": None},
        b.group(b.named(day=b.truncate("1d", b.LONDON)), peak=b.agg("max", b.col("active")), time=b.agg("duration")),
    ),
}
