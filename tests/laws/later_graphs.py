"""Metrics that take values of later points."""

from __future__ import annotations

from runtime.testing.oracle.strategies import GAP, HOUR
from tests.laws import builders as b
from tests.laws.trailing_graphs import FEW, over


def later(of: b.Json, *within: b.Json, rows: int = 1) -> b.Json:
    return b.fn("next", of, *within, **({} if rows == 1 else {"rows": rows}))


LATER_GRAPHS: dict[str, b.Json] = {
    "later_points": b.graph(
        b.extend(
            after=later(b.STATUS),
            third=later(b.TEMP, rows=3),
            until=b.fn("sub", later(b.NOW), b.NOW),
            alike=later(b.N, b.STATUS),
            second=later(b.OK, b.fn("mod", b.TEMP, b.lit(2.0)), rows=2),
            again=later(later(b.N)),
        ),
    ),
    "later_points_as_they_are": b.graph(b.extend(after=later(b.STATUS))),
    "later_behind_a_filter": b.graph(
        b.where(b.fn("is_not_null", b.N)),
        b.where(b.fn("ne", later(b.STATUS, rows=2), b.lit("down"))),
        b.extend(turn=b.fn("previous", later(b.FIRMWARE))),
        b.group(
            b.named(turn=b.col("turn"), soon=b.fn("lt", b.fn("sub", later(b.NOW), b.NOW), b.lit(GAP, "duration"))),
            n=b.ROWS,
            most=b.agg("max", later(FEW, rows=2)),
            kept=b.agg("sum", b.fn("last", later(b.TEMP), hold=HOUR)),
        ),
    ),
    "states_of_later_points": b.graph(
        b.states(b.fn("fill_null", later(b.STATUS), b.lit("none")), name="then", hold=HOUR),
        b.group(b.named(then=b.col("then"), fw=b.FIRMWARE), time=b.agg("duration"), n=b.ROWS),
    ),
    "later_windows_of_earlier_points": b.graph(
        b.extend(most=later(over(b.agg("max", b.N), GAP)), sums=over(b.agg("count", later(b.TEMP, rows=2)), rows=3)),
        b.sessions(n=b.agg("sum", b.fn("mod", b.col("most"), b.lit(7))), late=b.agg("last", later(b.STATUS))),
        b.extend(was=b.fn("previous", b.col("n"))),
    ),
}
