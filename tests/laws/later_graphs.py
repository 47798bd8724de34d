"""Metrics that take values of later points, or aggregates over them."""

from __future__ import annotations

from runtime.testing.oracle.strategies import GAP, HOUR
from tests.laws import builders as b
from tests.laws.trailing_graphs import FEW, over


def later(of: b.Json, *within: b.Json, rows: int = 1) -> b.Json:
    return b.fn("next", of, *within, **({} if rows == 1 else {"rows": rows}))


def ahead(aggregate: b.Json, length: int | None = None, rows: int | None = None, offset: int | None = None) -> b.Json:
    return over(aggregate, length, rows, offset) | {"fn": "leading"}


LEADING_GRAPHS: dict[str, b.Json] = {
    "leading_sums": b.graph(
        b.extend(
            total=ahead(b.agg("sum", b.TEMP), GAP),
            units=ahead(b.agg("sum", FEW), HOUR),
            ups=ahead(b.agg("count", b.N, where=b.UP), HOUR),
            low=ahead(b.agg("min", b.TEMP, where=b.OK), GAP),
            soon=ahead(b.agg("first", b.NOW, where=b.fn("eq", b.STATUS, b.lit("down"))), HOUR),
            some=ahead(b.agg("any_true", b.OK), GAP),
            value=ahead(b.agg("first", b.TEMP), 3 * HOUR, offset=GAP),
            few=ahead(b.agg("sum", FEW), GAP, offset=HOUR),
            others=ahead(b.agg("max", b.N), HOUR, offset=1),
        ),
    ),
    "leading_rows": b.graph(
        b.extend(
            mean=ahead(b.agg("mean", b.TEMP), rows=3),
            high=ahead(b.agg("max", b.N), rows=2),
            last=ahead(b.agg("last", b.STATUS), rows=4),
            before=over(b.agg("sum", FEW), rows=2),
        ),
    ),
    "leading_and_trailing": b.graph(
        b.where(b.fn("is_not_null", b.N)),
        b.where(b.fn("ge", ahead(b.agg("count"), GAP), b.lit(2))),
        b.extend(
            median=ahead(b.agg("median", b.TEMP), HOUR),
            before=over(b.agg("sum", FEW), HOUR),
            after=ahead(b.agg("sum", FEW), HOUR),
            few=over(b.agg("max", b.N), rows=2),
            then=ahead(b.agg("max", over(b.agg("count"), GAP)), rows=3),
        ),
        b.group(
            b.named(device=b.DEVICE, rises=b.fn("lt", b.col("before"), b.col("after"))),
            n=b.ROWS,
            most=b.agg("max", b.col("median")),
            few=b.agg("sum", b.fn("mod", b.fn("add", b.col("few"), b.col("then")), b.lit(7))),
            kinds=b.agg("max", ahead(b.agg("count_distinct", b.FIRMWARE), rows=3)),
            was=b.agg("max", b.fn("previous", ahead(b.agg("sum", FEW), GAP))),
        ),
    ),
    "sessions_of_leading": b.graph(
        b.extend(soon=ahead(b.agg("count", where=b.UP), HOUR)),
        b.sessions(n=b.agg("sum", b.col("soon")), least=b.agg("min", b.col("soon"))),
    ),
}

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
    **LEADING_GRAPHS,
}
