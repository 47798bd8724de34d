"""Metrics over the rows of a stream and over groups of them."""

from __future__ import annotations

from tests.laws.builders import (
    BY_DEVICE,
    BY_FIRMWARE,
    BY_STATUS,
    DEVICE,
    FIRMWARE,
    LONDON,
    NOW,
    OK,
    ROWS,
    STATUS,
    TEMP,
    UP,
    Json,
    N,
    agg,
    col,
    extend,
    fn,
    graph,
    group,
    limit,
    lit,
    named,
    select,
    sort,
    truncate,
    where,
)
from tests.reference.strategies import GAP

ROW_GRAPHS: dict[str, Json] = {
    "points_as_they_are": graph(where(fn("is_not_null", TEMP))),
    "count_all": graph(group([], rows=ROWS, temps=agg("count", TEMP))),
    "numbers_by_firmware": graph(
        group(
            BY_FIRMWARE,
            total=agg("sum", TEMP),
            mean=agg("mean", TEMP),
            low=agg("min", TEMP),
            high=agg("max", TEMP),
            n=agg("sum", N),
        )
    ),
    "integers_by_device": graph(
        group(BY_DEVICE, total=agg("sum", N), mean=agg("mean", N), low=agg("min", N), high=agg("max", N), rows=ROWS)
    ),
    "integer_mean_overall": graph(group([], total=agg("sum", N), mean=agg("mean", N))),
    "first_last_by_device": graph(
        group(
            BY_DEVICE,
            first_temp=agg("first", TEMP),
            last_temp=agg("last", TEMP),
            first_status=agg("first", STATUS),
            last_status=agg("last", STATUS),
            first_ok=agg("first", OK),
            last_n=agg("last", N),
        )
    ),
    "booleans_by_status": graph(group(BY_STATUS, some=agg("any_true", OK), every=agg("all_true", OK))),
    "distinct": graph(
        group(
            BY_STATUS,
            devices=agg("count_distinct", DEVICE),
            temps=agg("count_distinct", TEMP),
            numbers=agg("count_distinct", N),
            firmwares=agg("count_distinct", FIRMWARE),
            flags=agg("count_distinct", OK),
        )
    ),
    "strings_min_max": graph(group(BY_DEVICE, low=agg("min", FIRMWARE), high=agg("max", FIRMWARE))),
    "where_in_aggregates": graph(
        group(
            BY_FIRMWARE,
            up=agg("count", where=UP),
            warm=agg("mean", TEMP, where=fn("gt", TEMP, lit(20.0))),
            total=agg("sum", N, where=fn("not", OK)),
            devices=agg("count_distinct", DEVICE, where=UP),
        )
    ),
    "group_by_expressions": graph(
        group(named(hot=fn("ge", TEMP, lit(21.5)), odd=fn("mod", N, lit(2)), status=STATUS), rows=ROWS)
    ),
    "group_by_float_and_bool": graph(group(named(temp=TEMP, ok=OK), rows=ROWS, n=agg("sum", N))),
    "arithmetic_floats": graph(
        select(
            add=fn("add", TEMP, lit(0.1)),
            sub=fn("sub", TEMP, N),
            mul=fn("mul", TEMP, lit(3)),
            div=fn("div", TEMP, N),
            floordiv=fn("floordiv", TEMP, lit(0.5)),
            mod=fn("mod", TEMP, N),
            neg=fn("neg", TEMP),
            abs=fn("abs", TEMP),
        )
    ),
    "arithmetic_integers": graph(
        where(fn("lt", fn("abs", N), lit(1000))),
        select(
            add=fn("add", N, lit(1)),
            sub=fn("sub", lit(5), N),
            mul=fn("mul", N, N),
            div=fn("div", lit(7), N),
            floordiv=fn("floordiv", lit(7), N),
            floordiv_negative=fn("floordiv", N, lit(-2)),
            mod=fn("mod", lit(7), N),
            mod_negative=fn("mod", N, lit(-3)),
            neg=fn("neg", N),
            abs=fn("abs", N),
        ),
    ),
    "arithmetic_huge": graph(select(add=fn("add", N, N), down=fn("sub", N, lit(1)), mul=fn("mul", N, lit(2)))),
    "comparisons": graph(
        select(
            eq=fn("eq", TEMP, lit(21.5)),
            ne=fn("ne", STATUS, lit("up")),
            lt=fn("lt", N, lit(2)),
            le=fn("le", N, TEMP),
            gt=fn("gt", TEMP, lit(0)),
            ge=fn("ge", N, lit(2)),
            between=fn("between", TEMP, lit(0.1), lit(21.5)),
            same=fn("eq", STATUS, FIRMWARE),
            ok=fn("eq", OK, lit(True)),
        )
    ),
    "strings_in_order": graph(group(named(late=fn("lt", STATUS, lit("m"))), rows=ROWS)),
    "kleene": graph(
        select(
            both=fn("and", OK, fn("gt", TEMP, lit(20.0))),
            either=fn("or", OK, fn("gt", TEMP, lit(20.0))),
            negated=fn("not", fn("and", OK, UP)),
        )
    ),
    "filter_kleene": graph(
        where(fn("or", fn("not", OK), fn("and", UP, fn("lt", N, lit(3))))), group(BY_STATUS, rows=ROWS)
    ),
    "membership": graph(
        select(
            status=fn("is_in", STATUS, values=["up", "degraded", "never seen"], type="string"),
            n=fn("is_in", N, values=[1, 3], type="int64"),
            temp=fn("is_in", TEMP, values=[0.1, 30.0], type="float64"),
            nothing=fn("is_in", FIRMWARE, values=[], type="string"),
        )
    ),
    "nulls": graph(
        select(
            temp=fn("fill_null", TEMP, lit(-1.0)),
            n=fn("fill_null", N, lit(0)),
            mixed=fn("fill_null", N, lit(0.5)),
            status=fn("fill_null", STATUS, lit("silent")),
            other=fn("fill_null", FIRMWARE, STATUS),
            no_temp=fn("is_null", TEMP),
            has_status=fn("is_not_null", STATUS),
        )
    ),
    "parts_of_strings": graph(
        group(
            named(one=fn("starts_with", FIRMWARE, prefix="1."), dotted=fn("contains", FIRMWARE, text=".")),
            rows=ROWS,
            umlaut=agg("count", where=fn("contains", FIRMWARE, text="ä")),
        )
    ),
    "when": graph(
        select(
            level=fn("when", fn("gt", TEMP, lit(25.0)), lit("hot"), lit("cold")),
            mixed=fn("when", OK, N, lit(0.5)),
            chain=fn("when", UP, N, fn("when", OK, lit(-1), {"lit": None, "type": "null"})),
            word=fn("when", OK, STATUS, FIRMWARE),
        )
    ),
    "time_parts": graph(
        group(
            named(hour=fn("hour", NOW, zone=LONDON), weekday=fn("weekday", NOW, zone="America/New_York")),
            rows=ROWS,
            utc=agg("min", fn("hour", NOW, zone="UTC")),
        )
    ),
    "by_10_minutes": graph(group(named(t=truncate("10m")), rows=ROWS, mean=agg("mean", TEMP))),
    "by_day_in_london": graph(group(named(day=truncate("1d", LONDON), status=STATUS), rows=ROWS)),
    "by_week_month_year": graph(
        group(named(week=truncate("1w"), month=truncate("1mo", LONDON), year=truncate("1y")), rows=ROWS)
    ),
    "by_6_hours_in_london": graph(group(named(t=truncate("6h", LONDON)), rows=ROWS, first=agg("min", NOW))),
    "time_in_columns": graph(select(device=DEVICE, at=NOW, day=truncate("1d"), status=STATUS)),
    "last_held": graph(
        extend(fw=fn("last", FIRMWARE, hold=None), warm=fn("last", TEMP, hold=GAP)),
        group(named(fw=col("fw")), rows=ROWS, mean=agg("mean", col("warm")), known=agg("count", col("warm"))),
    ),
    "last_rows": graph(
        select(device=DEVICE, status=fn("last", STATUS, hold=GAP), n=fn("last", N, hold=None), now=STATUS)
    ),
    "previous": graph(
        extend(before=fn("previous", TEMP), status_before=fn("previous", STATUS)),
        group(
            named(status=STATUS, before=col("status_before")),
            rows=ROWS,
            step=agg("sum", fn("sub", TEMP, col("before"))),
        ),
    ),
    "time_since_previous": graph(
        select(device=DEVICE, step=fn("sub", NOW, fn("previous", NOW))),
        group(
            BY_DEVICE, total=agg("sum", col("step")), longest=agg("max", col("step")), steps=agg("count", col("step"))
        ),
    ),
    "running_sums": graph(
        select(
            device=DEVICE,
            temps=fn("cumulative_sum", TEMP),
            whole=fn("cumulative_sum", fn("mod", N, lit(100))),
            time=fn("cumulative_sum", fn("sub", NOW, fn("previous", NOW))),
        )
    ),
    "running_sums_filtered": graph(
        where(fn("not", OK)),
        extend(balance=fn("cumulative_sum", fn("when", UP, TEMP, fn("neg", TEMP)))),
        where(fn("ge", col("balance"), lit(0.0))),
        group(BY_STATUS, rows=ROWS, highest=agg("max", col("balance"))),
    ),
    "changed": graph(
        group(
            BY_DEVICE,
            changes=agg("count", where=fn("changed", STATUS)),
            downs=agg("count", where=fn("and", fn("changed", STATUS), fn("eq", STATUS, lit("down")))),
            flips=agg("count", where=fn("changed", OK)),
            rows=ROWS,
        )
    ),
    "filter_then_previous": graph(
        where(fn("is_not_null", STATUS)),
        extend(before=fn("previous", STATUS)),
        where(fn("ne", STATUS, col("before"))),
        group(named(before=col("before"), status=STATUS), rows=ROWS),
    ),
    "with_columns_in_turn": graph(
        extend(a=fn("add", TEMP, lit(1.0)), b=fn("mul", TEMP, lit(2.0))),
        extend(temp=col("a"), c=fn("sub", col("a"), col("b"))),
        select(temp=TEMP, c=col("c"), device=DEVICE),
    ),
    "sorted_and_limited": graph(
        group(BY_STATUS, rows=ROWS, mean=agg("mean", TEMP)), sort(("mean", True), ("rows", False)), limit(2)
    ),
    "sorted_up": graph(group(BY_FIRMWARE, low=agg("min", N)), sort(("low", False))),
    "after_groups": graph(
        group(BY_STATUS, rows=ROWS, total=agg("sum", N)),
        where(fn("gt", col("rows"), lit(1))),
        extend(per_row=fn("div", col("total"), col("rows"))),
        sort(("per_row", True)),
    ),
    "groups_of_groups": graph(
        group(named(device=DEVICE, hour=truncate("1h")), rows=ROWS, mean=agg("mean", TEMP)),
        group(BY_DEVICE, hours=ROWS, busiest=agg("max", col("rows")), mean=agg("mean", col("mean"))),
    ),
    "with_a_parameter": graph(
        where(fn("gt", TEMP, {"param": "threshold", "default": 20.0, "type": "float64"})), group(BY_STATUS, rows=ROWS)
    ),
    "point_rows_limited": graph(select(device=DEVICE, temp=TEMP), limit(3)),
    "point_rows_sorted": graph(select(device=DEVICE, n=N, status=STATUS), sort(("n", True), ("status", False))),
}
