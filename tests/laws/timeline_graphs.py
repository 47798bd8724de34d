"""Metrics with reference tables, calendars and combined timelines."""

from __future__ import annotations

from typing import Any

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
    lit,
    named,
    select,
    sessions,
    states,
    truncate,
    where,
)
from tests.reference.strategies import BASE, DAY, GAP, HOUR


def column(name: str, kind: str, *values: Any) -> Json:
    return {"name": name, "type": kind, "values": list(values)}


def windows(key: str, *columns: Json, start: str | None = None, end: str | None = None) -> Json:
    return {"table": {"columns": list(columns)}, "key": key, "valid_from": start, "valid_to": end}


def join(on: Json, table: Json, how: str = "left") -> Json:
    return {"op": "join", "windows": table, "on": on, "how": how}


def within(calendar: Json, *, inside: bool = True) -> Json:
    return {"op": "during", "calendar": calendar, "windows": None, "on": None, "inside": inside}


def within_windows(on: Json, table: Json, *, inside: bool = True) -> Json:
    return {"op": "during", "calendar": None, "windows": table, "on": on, "inside": inside}


def timeline(state: Json, **tracks: list[Json]) -> Json:
    listed = [{"name": name, "steps": steps} for name, steps in tracks.items()]
    return {"op": "timeline", "tracks": listed, "state": state, "name": "state"}


def concurrent(condition: Json, *, by: list[Json], at_least: int | None = None) -> Json:
    return {"op": "concurrent", "condition": condition, "by": by, "at_least": at_least}


SITES = windows(
    "id",
    column("id", "string", "ö", "a", "b"),
    column("site", "string", "X", "X", "Y"),
    column("capacity", "float64", 2.5, None, -0.0),
    column("spare", "bool", True, False, None),
)
NUMBERS = windows(
    "number", column("number", "int64", 3, -7, 2**53 + 1, 0), column("word", "string", "three", None, "big", "up")
)
OWNERS = windows(
    "device",
    column("device", "string", "b", "a", "a", "a", "a", "c", "c", "c"),
    column("owner", "string", "Eve", "Ann", "Bob", "Bob", "Ann", "Ann", "Ann", None),
    column("begin", "time", None, None, BASE + GAP, BASE + 2 * GAP, BASE + DAY, BASE, BASE + HOUR, BASE + 5 * HOUR),
    column("finish", "time", BASE + HOUR, BASE + 1, BASE + 2 * GAP, BASE + HOUR, None, BASE + 1, BASE + 2 * HOUR, None),
    start="begin",
    end="finish",
)
VERSIONS = windows(
    "version",
    column("version", "string", "2.0", "2.0", "", "ä", "2.0"),
    column("level", "int64", 1, 2, 3, 4, 1),
    column("from", "time", None, BASE + GAP, BASE + HOUR, BASE - DAY, BASE + 6 * HOUR),
    start="from",
)
MAINTENANCE = windows(
    "who",
    column("who", "string", "a", "a", "a", "b", "ö", "a"),
    column("from", "time", BASE, BASE + GAP // 2, BASE + HOUR, BASE + GAP, None, BASE + HOUR - 1),
    column("to", "time", BASE + GAP, BASE + 2 * GAP, BASE + 2 * HOUR, BASE + DAY, BASE + 1, BASE + HOUR),
    start="from",
    end="to",
)

# The clocks of London go forward in the second of these nights.
NIGHTS: Json = {
    "weekly": [[0, 0, 3600], [5, 81_000, 86_400], [6, 900, 5400], [6, 7200, 9900], [6, 36_000, 86_400]],
    "zone": LONDON,
    "except": [[BASE + 5 * HOUR, BASE + 5 * HOUR + 7]],
}
DAYS: Json = {
    "weekly": [[d, 32_400, 79_200 + 900] for d in range(7)],
    "zone": "UTC",
    "except": [[BASE, BASE + GAP // 2], [BASE + DAY, BASE + DAY + HOUR]],
}

IN_HASTE = [where(fn("gt", TEMP, lit(25.0))), beats(GAP // 2)]
ALIVE_TRACK, UP_TRACK = [beats()], [states(UP, hold=HOUR)]
STATE, BY_SITE = col("state"), named(site=col("site"))

TIMELINE_GRAPHS: dict[str, Json] = {
    "joined_points": graph(
        join(DEVICE, SITES),
        group(
            named(site=col("site"), spare=col("spare")),
            rows=ROWS,
            total=agg("sum", N),
            most=agg("max", col("capacity")),
        ),
    ),
    "joined_inner": graph(join(N, NUMBERS, "inner"), select(n=N, word=col("word"), up=fn("eq", col("word"), STATUS))),
    "joined_by_last_and_time": graph(
        join(fn("last", FIRMWARE, hold=None), VERSIONS), select(level=col("level"), firmware=FIRMWARE)
    ),
    "joined_then_states": graph(
        join(DEVICE, SITES),
        states(STATUS),
        group(named(site=col("site"), status=STATUS), time=agg("duration"), pieces=ROWS),
    ),
    "joined_states": graph(
        states(STATUS),
        join(DEVICE, SITES, "inner"),
        group(BY_SITE, up=agg("share_of_time", UP), most=agg("max", col("capacity"))),
    ),
    "joined_groups": graph(
        group(BY_DEVICE, rows=ROWS), join(DEVICE, SITES), group(BY_SITE, devices=ROWS, rows=agg("sum", col("rows")))
    ),
    "states_joined_by_time": graph(states(STATUS), join(DEVICE, OWNERS)),
    "states_joined_inner_by_day": graph(
        states(STATUS, hold=None),
        join(DEVICE, OWNERS, "inner"),
        group(
            named(owner=col("owner"), day=truncate("1d", LONDON)),
            up=agg("share_of_time", UP),
            known=agg("known_time"),
            unknown=agg("unknown_time"),
            pieces=ROWS,
        ),
    ),
    "states_joined_by_held": graph(
        states(OK, name="ok"),
        extend(long=fn("gt", DURATION, lit(GAP, "duration"))),
        join(FIRMWARE, VERSIONS),
        where(fn("ne", col("level"), lit(4))),
        group(named(level=col("level"), long=col("long")), time=agg("duration"), pieces=ROWS, warm=agg("max", TEMP)),
    ),
    "states_with_previous_joined": graph(
        states(STATUS),
        extend(before=fn("previous", STATUS)),
        join(DEVICE, OWNERS),
        group(named(before=col("before"), owner=col("owner")), time=agg("duration"), pieces=ROWS),
    ),
    "states_during_nights": graph(
        states(STATUS),
        within(NIGHTS),
        group(BY_DEVICE, up=agg("share_of_time", UP), known=agg("known_time"), unknown=agg("unknown_time")),
    ),
    "beats_outside_days": graph(beats(), within(DAYS, inside=False)),
    "service_time": graph(
        states(STATUS),
        within(DAYS),
        within_windows(DEVICE, MAINTENANCE, inside=False),
        group(BY_FIRMWARE, up=agg("share_of_time", UP), known=agg("known_time"), pieces=ROWS),
    ),
    "states_in_maintenance": graph(states(STATUS), within_windows(DEVICE, MAINTENANCE)),
    "points_during_nights": graph(
        within(NIGHTS), within_windows(DEVICE, MAINTENANCE, inside=False), group(BY_STATUS, rows=ROWS)
    ),
    "sessions_during_nights": graph(
        sessions(), within(NIGHTS), join(DEVICE, OWNERS), group(named(owner=col("owner")), sessions=ROWS)
    ),
    "both": graph(timeline(fn("and", col("a"), col("b")), a=ALIVE_TRACK, b=UP_TRACK)),
    "ok_and_up": graph(timeline(fn("and", col("a"), col("b")), a=[where(OK), beats()], b=[states(UP, hold=None)])),
    "either_or_not": graph(
        timeline(fn("or", fn("not", col("a")), fn("and", col("b"), col("c"))), a=ALIVE_TRACK, b=UP_TRACK, c=IN_HASTE),
        group(
            BY_FIRMWARE,
            share=agg("share_of_time", STATE),
            known=agg("known_time"),
            unknown=agg("unknown_time"),
            pieces=ROWS,
        ),
    ),
    "two_of_three": graph(
        where(fn("is_not_null", STATUS)),
        timeline(
            fn(
                "ge",
                fn("add", fn("when", col("a"), lit(1), lit(0)), fn("when", col("b"), lit(1), lit(0))),
                fn("when", col("c"), lit(1), lit(2)),
            ),
            a=ALIVE_TRACK,
            b=UP_TRACK,
            c=[extend(warm=fn("gt", fn("previous", TEMP), lit(0.2))), states(col("warm"), hold=GAP)],
        ),
        group(named(hour=truncate("1h"), state=STATE), time=agg("duration"), pieces=ROWS),
    ),
    "values_of_two": graph(
        timeline(
            fn("when", fn("is_null", col("fw")), lit("none"), fn("when", col("late"), col("fw"), lit("?"))),
            fw=[states(FIRMWARE, hold=HOUR)],
            late=[join(DEVICE, OWNERS, "inner"), states(fn("eq", col("owner"), lit("Ann")), hold=None)],
        ),
        within(NIGHTS),
    ),
    "sum_of_two": graph(
        timeline(fn("add", col("a"), col("b")), a=[states(N, hold=GAP)], b=[where(OK), states(TEMP, hold=None)]),
        group(named(state=STATE, ok=OK), time=agg("duration")),
    ),
    "constants_of_all_kinds": graph(
        timeline(
            fn(
                "and",
                fn("gt", fn("fill_null", col("t"), lit(0.15)), lit(0.1)),
                fn("or", fn("is_in", col("s"), type="string", values=["down", "up"]), fn("ge", col("s"), lit("v"))),
            ),
            t=[states(TEMP, hold=GAP)],
            s=[where(fn("ne", N, lit(3))), states(STATUS, hold=None)],
        ),
        group(named(state=STATE, warm=fn("gt", TEMP, lit(0.2))), time=agg("duration"), pieces=ROWS),
    ),
    "concurrent": graph(states(UP, name="up"), concurrent(col("up"), by=BY_FIRMWARE)),
    "concurrent_overall": graph(
        beats(),
        concurrent(ALIVE, by=[]),
        where(fn("ge", col("active"), lit(2))),
        group([], times=ROWS, longest=agg("max", DURATION), known=agg("known_time"), unknown=agg("unknown_time")),
    ),
    "concurrent_at_sites": graph(
        join(DEVICE, SITES),
        states(STATUS),
        concurrent(fn("or", UP, fn("gt", TEMP, lit(25.0))), by=named(site=col("site"), warm=fn("gt", TEMP, lit(0.0)))),
    ),
    "two_at_least": graph(states(STATUS), concurrent(UP, by=[], at_least=2)),
    "one_at_least_by_hour": graph(
        timeline(fn("and", col("a"), col("b")), a=ALIVE_TRACK, b=UP_TRACK),
        within(DAYS),
        concurrent(STATE, by=BY_FIRMWARE, at_least=1),
        extend(start=col("start"), short=fn("lt", DURATION, lit(GAP, "duration"))),
        group(
            named(firmware=FIRMWARE, hour=truncate("1h"), short=col("short")),
            share=agg("share_of_time", STATE),
            known=agg("known_time"),
            unknown=agg("unknown_time"),
            pieces=ROWS,
        ),
    ),
    "outages_of_all": graph(
        beats(),
        concurrent(ALIVE, by=[], at_least=1),
        where(fn("not", STATE)),
        group([], outages=ROWS, first=agg("min", col("start")), time=agg("duration"), last=agg("last", DURATION)),
    ),
}
