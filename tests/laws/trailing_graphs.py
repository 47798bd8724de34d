"""Metrics with aggregates over trailing windows."""

from __future__ import annotations

from runtime.testing.oracle.strategies import GAP, HOUR
from tests.laws import builders as b


def over(aggregate: b.Json, length: int | None = None, rows: int | None = None, offset: int | None = None) -> b.Json:
    away = {} if offset is None else {"offset": offset}
    return {"fn": "trailing", "agg": aggregate, "length": length, "rows": rows, **away}


FEW = b.fn("mod", b.N, b.lit(7))

TRAILING_GRAPHS: dict[str, b.Json] = {
    "trailing_sums": b.graph(
        b.extend(
            total=over(b.agg("sum", b.TEMP), GAP),
            mean=over(b.agg("mean", b.TEMP), HOUR),
            units=over(b.agg("sum", FEW), GAP),
            unit=over(b.agg("mean", FEW), rows=3),
            rows=over(b.agg("count"), GAP),
            ups=over(b.agg("count", b.N, where=b.UP), HOUR),
            last_three=over(b.agg("sum", b.TEMP, where=b.OK), rows=3),
        ),
    ),
    "trailing_anew": b.graph(
        b.extend(
            median=over(b.agg("median", b.TEMP), HOUR),
            spread=over(b.agg("stddev", b.N, ddof=1), rows=3),
            kinds=over(b.agg("count_distinct", b.FIRMWARE), HOUR),
            least=over(b.agg("min", b.STATUS, where=b.OK), GAP),
            grown=over(b.agg("increase", FEW), HOUR),
            rising=over(b.agg("increase", b.TEMP), rows=3),
        ),
    ),
    "trailing_before": b.graph(
        b.extend(
            value=over(b.agg("last", b.TEMP), GAP, offset=HOUR),
            mean=over(b.agg("mean", b.TEMP), GAP, offset=HOUR),
            units=over(b.agg("sum", FEW), GAP, offset=1),
            low=over(b.agg("min", b.N, where=b.OK), GAP, offset=GAP),
            kinds=over(b.agg("count_distinct", b.FIRMWARE), GAP, offset=HOUR),
        ),
        b.sessions(n=b.agg("sum", b.fn("mod", b.col("low"), b.lit(7))), most=b.agg("max", b.col("value"))),
        b.extend(was=over(b.agg("max", b.col("n")), 3 * HOUR, offset=GAP)),
    ),
    "trailing_behind_a_filter": b.graph(
        b.where(b.fn("is_not_null", b.N)),
        b.where(b.fn("ge", over(b.agg("count"), GAP), b.lit(2))),
        b.extend(most=over(b.agg("max", over(b.agg("sum", FEW), HOUR)), rows=2)),
        b.group(
            b.named(device=b.DEVICE, many=b.fn("gt", over(b.agg("count"), HOUR), b.lit(2))),
            n=b.ROWS,
            most=b.agg("max", b.col("most")),
            before=b.agg("max", b.fn("previous", over(b.agg("sum", FEW), GAP))),
            often=b.agg("count", where=b.fn("gt", over(b.agg("count", b.TEMP), rows=2), b.lit(1))),
        ),
    ),
    "trailing_of_windows": b.graph(
        b.windows("1h", v=b.agg("max", b.N)),
        b.extend(total=over(b.agg("sum", b.col("count")), 3 * HOUR), before=over(b.agg("max", b.col("v")), rows=2)),
        b.extend(was=b.fn("previous", b.col("total"))),
    ),
    "trailing_of_states": b.graph(
        b.states(b.STATUS),
        b.where(b.fn("eq", b.STATUS, b.lit("down"))),
        b.extend(
            mean=over(b.agg("mean", b.DURATION), rows=2),
            hour=over(b.agg("sum", b.DURATION), HOUR),
            firmware=over(b.agg("last", b.FIRMWARE), rows=3),
        ),
        b.group(
            b.named(hour=b.fn("hour", b.NOW, zone="UTC"), mean=b.col("mean"), fw=b.col("firmware")),
            time=b.agg("duration"),
            most=b.agg("max", b.col("hour")),
            often=b.agg("max", over(b.agg("count"), HOUR)),
        ),
    ),
}

OTHER_TRAILING_GRAPHS: dict[str, b.Json] = {
    "trailing_extremes": b.graph(
        b.extend(
            low=over(b.agg("min", b.TEMP), GAP),
            high=over(b.agg("max", b.N), HOUR),
            first=over(b.agg("first", b.STATUS), GAP),
            last=over(b.agg("last", b.TEMP, where=b.OK), rows=2),
            some=over(b.agg("any_true", b.OK), HOUR),
            every=over(b.agg("all_true", b.OK), rows=4),
        ),
    ),
    "states_of_trailing": b.graph(
        b.states(b.fn("gt", over(b.agg("mean", b.TEMP), GAP), b.lit(20.0)), name="hot", hold=HOUR),
        b.group(b.named(hot=b.col("hot")), time=b.agg("duration"), known=b.agg("known_time"), n=b.ROWS),
    ),
}
"""Like those, for the tests of trailing windows alone."""
