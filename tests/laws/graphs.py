"""Named metrics, as canonical JSON, that together use every step, expression and aggregate.

Each is compiled once for a whole test run, so what varies is the points, not the graphs. Columns and their types are
those of ``tests.reference.strategies``: temp float64, n int64, ok bool, status and firmware string, key ``device``,
event time ``ts``.
"""

from __future__ import annotations

from typing import Any

from tests.reference.strategies import DAY, GAP, HOUR

Json = dict[str, Any]


def col(name: str) -> Json:
    return {"col": name}


def lit(value: Any, kind: str | None = None) -> Json:
    names: dict[type, str] = {bool: "bool", int: "int64", float: "float64", str: "string"}
    return {"lit": value, "type": kind or names[type(value)]}


def fn(name: str, *args: Json, **options: Any) -> Json:
    return {"fn": name, "args": list(args), **options}


def agg(name: str, *args: Json, where: Json | None = None) -> Json:
    return {"fn": name, "args": list(args), "where": where}


def named(**exprs: Json) -> list[Json]:
    return [{"name": name, "expr": expr} for name, expr in exprs.items()]


def aggs(**parts: Json) -> list[Json]:
    return [{"name": name, "agg": part} for name, part in parts.items()]


def graph(*steps: Json) -> Json:
    return {"antfold": 1, "steps": [{"op": "stream", "name": "s"}, *steps]}


def where(expr: Json) -> Json:
    return {"op": "filter", "where": expr}


def extend(**exprs: Json) -> Json:
    return {"op": "with_columns", "columns": named(**exprs)}


def select(**exprs: Json) -> Json:
    return {"op": "select", "columns": named(**exprs)}


def group(by: list[Json], **parts: Json) -> Json:
    return {"op": "group_by", "by": by, "aggs": aggs(**parts)}


def states(expr: Json, name: str = "status", hold: int | None = GAP) -> Json:
    return {"op": "state_duration", "state": expr, "name": name, "hold": hold}


def beats(timeout: int = GAP) -> Json:
    return {"op": "heartbeat", "timeout": timeout}


def sessions(gap: int = GAP, max_length: int | None = None, **parts: Json) -> Json:
    return {"op": "sessionize", "gap": gap, "max_length": max_length, "aggs": aggs(**parts)}


def windows(every: str, zone: str = "UTC", **parts: Json) -> Json:
    return {"op": "window", "every": every, "zone": zone, "aggs": aggs(**parts)}


def sort(*by: tuple[str, bool]) -> Json:
    return {"op": "sort", "by": [{"column": column, "descending": descending} for column, descending in by]}


def limit(n: int) -> Json:
    return {"op": "limit", "n": n}


def truncate(every: str, zone: str = "UTC") -> Json:
    return fn("truncate", NOW, every=every, zone=zone)


DEVICE, TEMP, N, OK, STATUS, FIRMWARE = map(col, ("device", "temp", "n", "ok", "status", "firmware"))
NOW = fn("time")
ROWS = agg("count")
UP = fn("eq", STATUS, lit("up"))
ALIVE = col("alive")
DURATION = col("duration")
LONDON = "Europe/London"
BY_FIRMWARE, BY_DEVICE, BY_STATUS = named(firmware=FIRMWARE), named(device=DEVICE), named(status=STATUS)

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

LASTING_GRAPHS: dict[str, Json] = {
    "uptime_by_firmware": graph(
        states(STATUS),
        group(
            BY_FIRMWARE,
            uptime=agg("share_of_time", UP),
            known=agg("known_time"),
            devices=agg("count_distinct", DEVICE),
        ),
    ),
    "uptime_with_unknown": graph(
        states(STATUS),
        group(
            BY_FIRMWARE,
            up=agg("duration", UP),
            all=agg("duration"),
            known=agg("known_time"),
            unknown=agg("unknown_time"),
            pieces=ROWS,
        ),
    ),
    "uptime_overall": graph(
        states(STATUS, hold=None),
        group(
            [],
            uptime=agg("share_of_time", UP),
            unknown=agg("unknown_time"),
            known=agg("known_time"),
            on_two=agg("known_time", where=fn("eq", FIRMWARE, lit("2.0"))),
            not_two=agg("unknown_time", where=fn("is_null", FIRMWARE)),
        ),
    ),
    "states_as_rows": graph(states(STATUS)),
    "states_held_forever": graph(states(STATUS, hold=None), where(fn("is_not_null", STATUS))),
    "states_by_day": graph(
        states(STATUS),
        group(
            named(day=truncate("1d"), status=STATUS),
            time=agg("duration"),
            pieces=ROWS,
            devices=agg("count_distinct", DEVICE),
        ),
    ),
    "states_by_london_day": graph(
        states(STATUS, hold=None),
        where(fn("is_not_null", STATUS)),
        group(
            named(day=truncate("1d", LONDON), device=DEVICE),
            uptime=agg("share_of_time", UP),
            known=agg("known_time"),
            longest=agg("max", DURATION),
        ),
    ),
    "unknown_by_hour": graph(
        states(OK, name="ok"), group(named(hour=truncate("1h")), unknown=agg("unknown_time"), known=agg("known_time"))
    ),
    "state_of_an_expression": graph(
        states(fn("gt", TEMP, lit(25.0)), name="state"),
        group(named(hot=col("state"), firmware=FIRMWARE), time=agg("duration"), rows=ROWS),
    ),
    "state_of_a_number": graph(states(N, name="n"), group(named(n=N), time=agg("duration"))),
    "state_filtered_and_extended": graph(
        states(STATUS),
        where(fn("and", UP, fn("gt", DURATION, lit(GAP // 2, "duration")))),
        extend(long=fn("gt", DURATION, lit(GAP, "duration")), begin=col("start")),
        group(
            named(long=col("long"), firmware=FIRMWARE),
            rows=ROWS,
            total=agg("sum", DURATION),
            first=agg("min", col("begin")),
            last=agg("max", col("end")),
        ),
    ),
    "state_held_by_filter": graph(
        states(STATUS), where(fn("ne", FIRMWARE, lit("2.0"))), group(BY_STATUS, time=agg("duration"), rows=ROWS)
    ),
    "state_after_filter": graph(
        where(fn("or", OK, fn("is_null", OK))), states(STATUS), group(BY_STATUS, time=agg("duration"))
    ),
    "state_with_held_number": graph(
        states(STATUS), group(BY_STATUS, warmest=agg("max", TEMP), hot=agg("duration", fn("gt", TEMP, lit(25.0))))
    ),
    "state_of_last": graph(
        extend(hot=fn("gt", fn("last", TEMP, hold=HOUR), fn("last", N, hold=None))),
        states(col("hot"), name="hot", hold=HOUR),
        group(named(hot=col("hot")), time=agg("duration"), pieces=ROWS),
    ),
    "state_groups_of_groups": graph(
        states(STATUS),
        group(named(device=DEVICE, status=STATUS), time=agg("duration")),
        group(BY_STATUS, devices=ROWS, longest=agg("max", col("time")), total=agg("sum", col("time"))),
        sort(("total", True)),
    ),
    "state_rows_selected": graph(
        states(STATUS),
        select(device=DEVICE, status=STATUS, fw=FIRMWARE, at=NOW, time=DURATION),
        sort(("time", True)),
        limit(4),
    ),
    "heartbeat_by_firmware": graph(
        beats(),
        group(
            BY_FIRMWARE,
            uptime=agg("share_of_time", ALIVE),
            alive=agg("duration", ALIVE),
            known=agg("known_time"),
            devices=agg("count_distinct", DEVICE),
        ),
    ),
    "heartbeat_with_unknown": graph(
        beats(), group(BY_DEVICE, unknown=agg("unknown_time"), known=agg("known_time"), pieces=ROWS)
    ),
    "heartbeat_rows": graph(beats()),
    "outages": graph(
        beats(),
        where(fn("not", ALIVE)),
        group(BY_DEVICE, outages=ROWS, longest=agg("max", DURATION), mean=agg("mean", DURATION)),
    ),
    "heartbeat_by_10_minutes": graph(
        beats(), group(named(t=truncate("10m")), alive=agg("duration", ALIVE), known=agg("known_time")), limit(50)
    ),
    "state_day_column_not_cut": graph(
        states(STATUS),
        extend(day=truncate("1d")),
        group(named(day=col("day"), status=STATUS), rows=ROWS, time=agg("duration"), longest=agg("max", DURATION)),
    ),
    "changes_of_state": graph(
        states(STATUS, hold=None),
        where(fn("is_not_null", STATUS)),
        group(
            BY_DEVICE,
            failures=agg("count", where=fn("and", fn("changed", STATUS), fn("eq", STATUS, lit("down")))),
            after_up=agg("duration", fn("eq", fn("previous", STATUS), lit("up"))),
        ),
    ),
    "sessions_of_outages": graph(
        beats(),
        where(fn("not", ALIVE)),
        sessions(gap=HOUR, longest=agg("max", DURATION)),
        group(BY_DEVICE, spells=ROWS, outages=agg("sum", col("count")), longest=agg("max", col("longest"))),
    ),
    "heartbeat_after_filter": graph(
        where(UP),
        beats(HOUR),
        group([], alive=agg("duration", ALIVE), all=agg("duration"), unknown=agg("unknown_time")),
    ),
    "sessions_by_status": graph(
        sessions(),
        group(
            BY_STATUS,
            sessions=ROWS,
            events=agg("sum", col("count")),
            time=agg("duration"),
            mean=agg("mean", col("count")),
        ),
    ),
    "session_rows": graph(
        sessions(
            warm=agg("mean", TEMP),
            final=agg("last", STATUS),
            flags=agg("any_true", OK),
            states=agg("count_distinct", STATUS),
        ),
        where(fn("ge", col("count"), lit(1))),
    ),
    "sessions_cut_by_length": graph(
        sessions(max_length=GAP + GAP // 2),
        select(
            device=DEVICE,
            start=col("start"),
            end=col("end"),
            count=col("count"),
            left=col("open_left"),
            right=col("open_right"),
        ),
    ),
    "sessions_by_day_of_start": graph(
        sessions(gap=DAY), group(named(day=truncate("1d"), firmware=FIRMWARE), sessions=ROWS, long=agg("max", DURATION))
    ),
    "sessions_of_changes": graph(
        where(fn("is_not_null", STATUS)),
        sessions(changes=agg("count", where=fn("changed", STATUS)), n=agg("sum", N)),
        group([], changes=agg("sum", col("changes")), n=agg("sum", col("n")), sessions=ROWS),
    ),
    "windows_of_10_minutes": graph(
        windows("10m", v=agg("mean", TEMP)),
        where(fn("lt", col("v"), lit(1.0))),
        group(BY_DEVICE, slow=ROWS, first=agg("min", col("start"))),
    ),
    "window_rows": graph(
        windows("1h", rows=ROWS, low=agg("min", N), last=agg("last", TEMP), up=agg("count", where=UP))
    ),
    "window_days_in_london": graph(
        windows("1d", LONDON, total=agg("sum", N)),
        group(named(firmware=FIRMWARE), days=ROWS, time=agg("duration"), total=agg("sum", col("total"))),
    ),
    "windows_then_by_day": graph(
        windows("10m", v=agg("mean", TEMP)),
        extend(driving=fn("gt", col("v"), lit(1.0))),
        group(
            named(device=DEVICE, day=truncate("1d")),
            driving=agg("count", where=col("driving")),
            active=agg("any_true", col("driving")),
        ),
    ),
}

GRAPHS = ROW_GRAPHS | LASTING_GRAPHS
