"""Metrics over intervals, sessions and windows."""

from __future__ import annotations

from runtime.testing.oracle.strategies import DAY, GAP, HOUR
from tests.laws import builders as b

LASTING_GRAPHS: dict[str, b.Json] = {
    "uptime_by_firmware": b.graph(
        b.states(b.STATUS),
        b.group(
            b.BY_FIRMWARE,
            uptime=b.agg("share_of_time", b.UP),
            known=b.agg("known_time"),
            devices=b.agg("count_distinct", b.DEVICE),
        ),
    ),
    "uptime_with_unknown": b.graph(
        b.states(b.STATUS),
        b.group(
            b.BY_FIRMWARE,
            up=b.agg("duration", b.UP),
            all=b.agg("duration"),
            known=b.agg("known_time"),
            unknown=b.agg("unknown_time"),
            pieces=b.ROWS,
        ),
    ),
    "uptime_overall": b.graph(
        b.states(b.STATUS, hold=None),
        b.group(
            [],
            uptime=b.agg("share_of_time", b.UP),
            unknown=b.agg("unknown_time"),
            known=b.agg("known_time"),
            on_two=b.agg("known_time", where=b.fn("eq", b.FIRMWARE, b.lit("2.0"))),
            not_two=b.agg("unknown_time", where=b.fn("is_null", b.FIRMWARE)),
        ),
    ),
    "states_as_rows": b.graph(b.states(b.STATUS)),
    "states_held_forever": b.graph(b.states(b.STATUS, hold=None), b.where(b.fn("is_not_null", b.STATUS))),
    "states_by_day": b.graph(
        b.states(b.STATUS),
        b.group(
            b.named(day=b.truncate("1d"), status=b.STATUS),
            time=b.agg("duration"),
            pieces=b.ROWS,
            devices=b.agg("count_distinct", b.DEVICE),
        ),
    ),
    "states_by_london_day": b.graph(
        b.states(b.STATUS, hold=None),
        b.where(b.fn("is_not_null", b.STATUS)),
        b.group(
            b.named(day=b.truncate("1d", b.LONDON), device=b.DEVICE),
            uptime=b.agg("share_of_time", b.UP),
            known=b.agg("known_time"),
            longest=b.agg("max", b.DURATION),
        ),
    ),
    "unknown_by_hour": b.graph(
        b.states(b.OK, name="ok"),
        b.group(b.named(hour=b.truncate("1h")), unknown=b.agg("unknown_time"), known=b.agg("known_time")),
    ),
    "state_of_an_expression": b.graph(
        b.states(b.fn("gt", b.TEMP, b.lit(25.0)), name="state"),
        b.group(b.named(hot=b.col("state"), firmware=b.FIRMWARE), time=b.agg("duration"), rows=b.ROWS),
    ),
    "state_of_a_number": b.graph(b.states(b.N, name="n"), b.group(b.named(n=b.N), time=b.agg("duration"))),
    "state_filtered_and_extended": b.graph(
        b.states(b.STATUS),
        b.where(b.fn("and", b.UP, b.fn("gt", b.DURATION, b.lit(GAP // 2, "duration")))),
        b.extend(long=b.fn("gt", b.DURATION, b.lit(GAP, "duration")), begin=b.col("start")),
        b.group(
            b.named(long=b.col("long"), firmware=b.FIRMWARE),
            rows=b.ROWS,
            total=b.agg("sum", b.DURATION),
            first=b.agg("min", b.col("begin")),
            last=b.agg("max", b.col("end")),
        ),
    ),
    "state_held_by_filter": b.graph(
        b.states(b.STATUS),
        b.where(b.fn("ne", b.FIRMWARE, b.lit("2.0"))),
        b.group(b.BY_STATUS, time=b.agg("duration"), rows=b.ROWS),
    ),
    "state_after_filter": b.graph(
        b.where(b.fn("or", b.OK, b.fn("is_null", b.OK))),
        b.states(b.STATUS),
        b.group(b.BY_STATUS, time=b.agg("duration")),
    ),
    "state_with_held_number": b.graph(
        b.states(b.STATUS),
        b.group(b.BY_STATUS, warmest=b.agg("max", b.TEMP), hot=b.agg("duration", b.fn("gt", b.TEMP, b.lit(25.0)))),
    ),
    "state_of_last": b.graph(
        b.extend(hot=b.fn("gt", b.fn("last", b.TEMP, hold=HOUR), b.fn("last", b.N, hold=None))),
        b.states(b.col("hot"), name="hot", hold=HOUR),
        b.group(b.named(hot=b.col("hot")), time=b.agg("duration"), pieces=b.ROWS),
    ),
    "state_groups_of_groups": b.graph(
        b.states(b.STATUS),
        b.group(b.named(device=b.DEVICE, status=b.STATUS), time=b.agg("duration")),
        b.group(b.BY_STATUS, devices=b.ROWS, longest=b.agg("max", b.col("time")), total=b.agg("sum", b.col("time"))),
        b.sort(("total", True)),
    ),
    "state_rows_selected": b.graph(
        b.states(b.STATUS),
        b.select(device=b.DEVICE, status=b.STATUS, fw=b.FIRMWARE, at=b.col("start"), time=b.DURATION),
        b.sort(("time", True)),
        b.limit(4),
    ),
    "heartbeat_by_firmware": b.graph(
        b.beats(),
        b.group(
            b.BY_FIRMWARE,
            uptime=b.agg("share_of_time", b.ALIVE),
            alive=b.agg("duration", b.ALIVE),
            known=b.agg("known_time"),
            devices=b.agg("count_distinct", b.DEVICE),
        ),
    ),
    "heartbeat_with_unknown": b.graph(
        b.beats(), b.group(b.BY_DEVICE, unknown=b.agg("unknown_time"), known=b.agg("known_time"), pieces=b.ROWS)
    ),
    "heartbeat_rows": b.graph(b.beats()),
    "outages": b.graph(
        b.beats(),
        b.where(b.fn("not", b.ALIVE)),
        b.group(b.BY_DEVICE, outages=b.ROWS, longest=b.agg("max", b.DURATION), mean=b.agg("mean", b.DURATION)),
    ),
    "heartbeat_by_10_minutes": b.graph(
        b.beats(),
        b.group(b.named(t=b.truncate("10m")), alive=b.agg("duration", b.ALIVE), known=b.agg("known_time")),
        b.limit(50),
    ),
    "state_day_column": b.graph(
        b.states(b.STATUS),
        b.extend(day=b.truncate("1d")),
        b.group(
            b.named(day=b.col("day"), status=b.STATUS),
            rows=b.ROWS,
            time=b.agg("duration"),
            longest=b.agg("max", b.DURATION),
        ),
    ),
    "changes_of_state": b.graph(
        b.states(b.STATUS, hold=None),
        b.where(b.fn("is_not_null", b.STATUS)),
        b.group(
            b.BY_DEVICE,
            failures=b.agg("count", where=b.fn("and", b.fn("changed", b.STATUS), b.fn("eq", b.STATUS, b.lit("down")))),
            after_up=b.agg("duration", b.fn("eq", b.fn("previous", b.STATUS), b.lit("up"))),
        ),
    ),
    "sessions_of_outages": b.graph(
        b.beats(),
        b.where(b.fn("not", b.ALIVE)),
        b.sessions(gap=HOUR, longest=b.agg("max", b.DURATION)),
        b.group(
            b.BY_DEVICE, spells=b.ROWS, outages=b.agg("sum", b.col("count")), longest=b.agg("max", b.col("longest"))
        ),
    ),
    "heartbeat_after_filter": b.graph(
        b.where(b.UP),
        b.beats(HOUR),
        b.group([], alive=b.agg("duration", b.ALIVE), all=b.agg("duration"), unknown=b.agg("unknown_time")),
    ),
    "sessions_by_status": b.graph(
        b.sessions(),
        b.group(
            b.BY_STATUS,
            sessions=b.ROWS,
            events=b.agg("sum", b.col("count")),
            time=b.agg("duration"),
            mean=b.agg("mean", b.col("count")),
        ),
    ),
    "session_rows": b.graph(
        b.sessions(
            warm=b.agg("mean", b.TEMP),
            final=b.agg("last", b.STATUS),
            flags=b.agg("any_true", b.OK),
            states=b.agg("count_distinct", b.STATUS),
        ),
        b.where(b.fn("ge", b.col("count"), b.lit(1))),
    ),
    "session_columns_selected": b.graph(
        b.sessions(warm=b.agg("mean", b.TEMP), final=b.agg("last", b.STATUS), first=b.agg("first", b.N)),
        b.select(
            start=b.col("start"),
            end=b.col("end"),
            n=b.col("count"),
            warm=b.col("warm"),
            final=b.col("final"),
            first=b.col("first"),
            left=b.col("open_left"),
            right=b.col("open_right"),
            firmware=b.FIRMWARE,
            ok=b.OK,
        ),
    ),
    "window_columns_selected": b.graph(
        b.windows(
            "1h", "Europe/London", low=b.agg("min", b.N), last=b.agg("last", b.TEMP), up=b.agg("count", where=b.UP)
        ),
        b.select(
            start=b.col("start"),
            end=b.col("end"),
            low=b.col("low"),
            last=b.col("last"),
            up=b.col("up"),
            status=b.STATUS,
            n=b.N,
        ),
    ),
    "heartbeat_columns_selected": b.graph(
        b.beats(), b.select(start=b.col("start"), end=b.col("end"), alive=b.ALIVE, status=b.STATUS)
    ),
    "sessions_cut_by_length": b.graph(
        b.sessions(max_length=GAP + GAP // 2),
        b.select(
            device=b.DEVICE,
            start=b.col("start"),
            end=b.col("end"),
            count=b.col("count"),
            left=b.col("open_left"),
            right=b.col("open_right"),
        ),
    ),
    "sessions_by_day_of_start": b.graph(
        b.sessions(gap=DAY),
        b.group(b.named(day=b.truncate("1d"), firmware=b.FIRMWARE), sessions=b.ROWS, long=b.agg("max", b.DURATION)),
    ),
    "sessions_of_changes": b.graph(
        b.where(b.fn("is_not_null", b.STATUS)),
        b.sessions(changes=b.agg("count", where=b.fn("changed", b.STATUS)), n=b.agg("sum", b.N)),
        b.group([], changes=b.agg("sum", b.col("changes")), n=b.agg("sum", b.col("n")), sessions=b.ROWS),
    ),
    "windows_of_10_minutes": b.graph(
        b.windows("10m", v=b.agg("mean", b.TEMP)),
        b.where(b.fn("lt", b.col("v"), b.lit(1.0))),
        b.group(b.BY_DEVICE, slow=b.ROWS, first=b.agg("min", b.col("start"))),
    ),
    "window_rows": b.graph(
        b.windows("1h", rows=b.ROWS, low=b.agg("min", b.N), last=b.agg("last", b.TEMP), up=b.agg("count", where=b.UP))
    ),
    "window_days_in_london": b.graph(
        b.windows("1d", b.LONDON, total=b.agg("sum", b.N)),
        b.group(b.named(firmware=b.FIRMWARE), days=b.ROWS, time=b.agg("duration"), total=b.agg("sum", b.col("total"))),
    ),
    "window_days_from_six": b.graph(
        b.windows("1d+6h", b.LONDON, size=2, total=b.agg("sum", b.N)),
    ),
    "windows_then_by_day": b.graph(
        b.windows("10m", v=b.agg("mean", b.TEMP)),
        b.extend(driving=b.fn("gt", b.col("v"), b.lit(1.0))),
        b.group(
            b.named(device=b.DEVICE, day=b.truncate("1d")),
            driving=b.agg("count", where=b.col("driving")),
            active=b.agg("any_true", b.col("driving")),
        ),
    ),
}
