"""Metrics over intervals, sessions and windows."""

from __future__ import annotations

from tests.laws.builders import (
    ALIVE,
    BY_DEVICE,
    BY_FIRMWARE,
    BY_STATUS,
    DEVICE,
    DURATION,
    FIRMWARE,
    LONDON,
    OK,
    ROWS,
    STATUS,
    TEMP,
    UP,
    Json,
    N,
    agg,
    beats,
    col,
    extend,
    fn,
    graph,
    group,
    limit,
    lit,
    named,
    select,
    sessions,
    sort,
    states,
    truncate,
    where,
    windows,
)
from tests.reference.strategies import DAY, GAP, HOUR

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
        select(device=DEVICE, status=STATUS, fw=FIRMWARE, at=col("start"), time=DURATION),
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
    "state_day_column": graph(
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
    "session_columns_selected": graph(
        sessions(warm=agg("mean", TEMP), final=agg("last", STATUS), first=agg("first", N)),
        select(
            start=col("start"),
            end=col("end"),
            n=col("count"),
            warm=col("warm"),
            final=col("final"),
            first=col("first"),
            left=col("open_left"),
            right=col("open_right"),
            firmware=FIRMWARE,
            ok=OK,
        ),
    ),
    "window_columns_selected": graph(
        windows("1h", "Europe/London", low=agg("min", N), last=agg("last", TEMP), up=agg("count", where=UP)),
        select(start=col("start"), end=col("end"), low=col("low"), last=col("last"), up=col("up"), status=STATUS, n=N),
    ),
    "heartbeat_columns_selected": graph(
        beats(), select(start=col("start"), end=col("end"), alive=ALIVE, status=STATUS)
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
