"""Metrics with reference tables, calendars and combined timelines."""

from __future__ import annotations

from typing import Any

from runtime.testing.oracle.strategies import BASE, DAY, GAP, HOUR
from tests.laws import builders as b


def column(name: str, kind: str, *values: Any) -> b.Json:
    return {"name": name, "type": kind, "values": list(values)}


def windows(key: str, *columns: b.Json, start: str | None = None, end: str | None = None) -> b.Json:
    return {"table": {"columns": list(columns)}, "key": key, "valid_from": start, "valid_to": end}


def join(on: b.Json, table: b.Json, how: str = "left") -> b.Json:
    return {"op": "join", "windows": table, "on": on, "how": how}


def within(calendar: b.Json, *, inside: bool = True) -> b.Json:
    return {"op": "during", "calendar": calendar, "windows": None, "on": None, "inside": inside}


def within_windows(on: b.Json, table: b.Json, *, inside: bool = True) -> b.Json:
    return {"op": "during", "calendar": None, "windows": table, "on": on, "inside": inside}


def timeline(state: b.Json, **tracks: list[b.Json]) -> b.Json:
    listed = [{"name": name, "steps": steps} for name, steps in tracks.items()]
    return {"op": "timeline", "tracks": listed, "state": state, "name": "state"}


def concurrent(condition: b.Json, *, by: list[b.Json], at_least: int | None = None) -> b.Json:
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
NIGHTS: b.Json = {
    "weekly": [[0, 0, 3600], [5, 81_000, 86_400], [6, 900, 5400], [6, 7200, 9900], [6, 36_000, 86_400]],
    "zone": b.LONDON,
    "except": [[BASE + 5 * HOUR, BASE + 5 * HOUR + 7]],
}
DAYS: b.Json = {
    "weekly": [[d, 32_400, 79_200 + 900] for d in range(7)],
    "zone": "UTC",
    "except": [[BASE, BASE + GAP // 2], [BASE + DAY, BASE + DAY + HOUR]],
}

IN_HASTE = [b.where(b.fn("gt", b.TEMP, b.lit(25.0))), b.beats(GAP // 2)]
ALIVE_TRACK, UP_TRACK = [b.beats()], [b.states(b.UP, hold=HOUR)]
STATE, BY_SITE = b.col("state"), b.named(site=b.col("site"))

TIMELINE_GRAPHS: dict[str, b.Json] = {
    "joined_points": b.graph(
        join(b.DEVICE, SITES),
        b.group(
            b.named(site=b.col("site"), spare=b.col("spare")),
            rows=b.ROWS,
            total=b.agg("sum", b.N),
            most=b.agg("max", b.col("capacity")),
        ),
    ),
    "joined_inner": b.graph(
        join(b.N, NUMBERS, "inner"), b.select(n=b.N, word=b.col("word"), up=b.fn("eq", b.col("word"), b.STATUS))
    ),
    "joined_by_last_and_time": b.graph(
        join(b.fn("last", b.FIRMWARE, hold=None), VERSIONS), b.select(level=b.col("level"), firmware=b.FIRMWARE)
    ),
    "joined_then_states": b.graph(
        join(b.DEVICE, SITES),
        b.states(b.STATUS),
        b.group(b.named(site=b.col("site"), status=b.STATUS), time=b.agg("duration"), pieces=b.ROWS),
    ),
    "joined_states": b.graph(
        b.states(b.STATUS),
        join(b.DEVICE, SITES, "inner"),
        b.group(BY_SITE, up=b.agg("share_of_time", b.UP), most=b.agg("max", b.col("capacity"))),
    ),
    "joined_groups": b.graph(
        b.group(b.BY_DEVICE, rows=b.ROWS),
        join(b.DEVICE, SITES),
        b.group(BY_SITE, devices=b.ROWS, rows=b.agg("sum", b.col("rows"))),
    ),
    "states_joined_by_time": b.graph(b.states(b.STATUS), join(b.DEVICE, OWNERS)),
    "states_joined_inner_by_day": b.graph(
        b.states(b.STATUS, hold=None),
        join(b.DEVICE, OWNERS, "inner"),
        b.group(
            b.named(owner=b.col("owner"), day=b.truncate("1d", b.LONDON)),
            up=b.agg("share_of_time", b.UP),
            known=b.agg("known_time"),
            unknown=b.agg("unknown_time"),
            pieces=b.ROWS,
        ),
    ),
    "states_joined_by_held": b.graph(
        b.states(b.OK, name="ok"),
        b.extend(long=b.fn("gt", b.DURATION, b.lit(GAP, "duration"))),
        join(b.FIRMWARE, VERSIONS),
        b.where(b.fn("ne", b.col("level"), b.lit(4))),
        b.group(
            b.named(level=b.col("level"), long=b.col("long")),
            time=b.agg("duration"),
            pieces=b.ROWS,
            warm=b.agg("max", b.TEMP),
        ),
    ),
    "states_with_previous_joined": b.graph(
        b.states(b.STATUS),
        b.extend(before=b.fn("previous", b.STATUS)),
        join(b.DEVICE, OWNERS),
        b.group(b.named(before=b.col("before"), owner=b.col("owner")), time=b.agg("duration"), pieces=b.ROWS),
    ),
    "states_during_nights": b.graph(
        b.states(b.STATUS),
        within(NIGHTS),
        b.group(b.BY_DEVICE, up=b.agg("share_of_time", b.UP), known=b.agg("known_time"), unknown=b.agg("unknown_time")),
    ),
    "beats_outside_days": b.graph(b.beats(), within(DAYS, inside=False)),
    "service_time": b.graph(
        b.states(b.STATUS),
        within(DAYS),
        within_windows(b.DEVICE, MAINTENANCE, inside=False),
        b.group(b.BY_FIRMWARE, up=b.agg("share_of_time", b.UP), known=b.agg("known_time"), pieces=b.ROWS),
    ),
    "states_in_maintenance": b.graph(b.states(b.STATUS), within_windows(b.DEVICE, MAINTENANCE)),
    "points_during_nights": b.graph(
        within(NIGHTS), within_windows(b.DEVICE, MAINTENANCE, inside=False), b.group(b.BY_STATUS, rows=b.ROWS)
    ),
    "sessions_during_nights": b.graph(
        b.sessions(), within(NIGHTS), join(b.DEVICE, OWNERS), b.group(b.named(owner=b.col("owner")), sessions=b.ROWS)
    ),
    "both": b.graph(timeline(b.fn("and", b.col("a"), b.col("b")), a=ALIVE_TRACK, b=UP_TRACK)),
    "ok_and_up": b.graph(
        timeline(b.fn("and", b.col("a"), b.col("b")), a=[b.where(b.OK), b.beats()], b=[b.states(b.UP, hold=None)])
    ),
    "either_or_not": b.graph(
        timeline(
            b.fn("or", b.fn("not", b.col("a")), b.fn("and", b.col("b"), b.col("c"))),
            a=ALIVE_TRACK,
            b=UP_TRACK,
            c=IN_HASTE,
        ),
        b.group(
            b.BY_FIRMWARE,
            share=b.agg("share_of_time", STATE),
            known=b.agg("known_time"),
            unknown=b.agg("unknown_time"),
            pieces=b.ROWS,
        ),
    ),
    "two_of_three": b.graph(
        b.where(b.fn("is_not_null", b.STATUS)),
        timeline(
            b.fn(
                "ge",
                b.fn("add", b.fn("when", b.col("a"), b.lit(1), b.lit(0)), b.fn("when", b.col("b"), b.lit(1), b.lit(0))),
                b.fn("when", b.col("c"), b.lit(1), b.lit(2)),
            ),
            a=ALIVE_TRACK,
            b=UP_TRACK,
            c=[b.extend(warm=b.fn("gt", b.fn("previous", b.TEMP), b.lit(0.2))), b.states(b.col("warm"), hold=GAP)],
        ),
        b.group(b.named(hour=b.truncate("1h"), state=STATE), time=b.agg("duration"), pieces=b.ROWS),
    ),
    "values_of_two": b.graph(
        timeline(
            b.fn(
                "when",
                b.fn("is_null", b.col("fw")),
                b.lit("none"),
                b.fn("when", b.col("late"), b.col("fw"), b.lit("?")),
            ),
            fw=[b.states(b.FIRMWARE, hold=HOUR)],
            late=[join(b.DEVICE, OWNERS, "inner"), b.states(b.fn("eq", b.col("owner"), b.lit("Ann")), hold=None)],
        ),
        within(NIGHTS),
    ),
    "sum_of_two": b.graph(
        timeline(
            b.fn("add", b.col("a"), b.col("b")),
            a=[b.states(b.N, hold=GAP)],
            b=[b.where(b.OK), b.states(b.TEMP, hold=None)],
        ),
        b.group(b.named(state=STATE, ok=b.OK), time=b.agg("duration")),
    ),
    "constants_of_all_kinds": b.graph(
        timeline(
            b.fn(
                "and",
                b.fn("gt", b.fn("fill_null", b.col("t"), b.lit(0.15)), b.lit(0.1)),
                b.fn(
                    "or",
                    b.fn("is_in", b.col("s"), type="string", values=["down", "up"]),
                    b.fn("ge", b.col("s"), b.lit("v")),
                ),
            ),
            t=[b.states(b.TEMP, hold=GAP)],
            s=[b.where(b.fn("ne", b.N, b.lit(3))), b.states(b.STATUS, hold=None)],
        ),
        b.group(b.named(state=STATE, warm=b.fn("gt", b.TEMP, b.lit(0.2))), time=b.agg("duration"), pieces=b.ROWS),
    ),
    "concurrent": b.graph(b.states(b.UP, name="up"), concurrent(b.col("up"), by=b.BY_FIRMWARE)),
    "concurrent_overall": b.graph(
        b.beats(),
        concurrent(b.ALIVE, by=[]),
        b.where(b.fn("ge", b.col("active"), b.lit(2))),
        b.group(
            [], times=b.ROWS, longest=b.agg("max", b.DURATION), known=b.agg("known_time"), unknown=b.agg("unknown_time")
        ),
    ),
    "concurrent_at_sites": b.graph(
        join(b.DEVICE, SITES),
        b.states(b.STATUS),
        concurrent(
            b.fn("or", b.UP, b.fn("gt", b.TEMP, b.lit(25.0))),
            by=b.named(site=b.col("site"), warm=b.fn("gt", b.TEMP, b.lit(0.0))),
        ),
    ),
    "two_at_least": b.graph(b.states(b.STATUS), concurrent(b.UP, by=[], at_least=2)),
    "one_at_least_by_hour": b.graph(
        timeline(b.fn("and", b.col("a"), b.col("b")), a=ALIVE_TRACK, b=UP_TRACK),
        within(DAYS),
        concurrent(STATE, by=b.BY_FIRMWARE, at_least=1),
        b.extend(start=b.col("start"), short=b.fn("lt", b.DURATION, b.lit(GAP, "duration"))),
        b.group(
            b.named(firmware=b.FIRMWARE, hour=b.truncate("1h"), short=b.col("short")),
            share=b.agg("share_of_time", STATE),
            known=b.agg("known_time"),
            unknown=b.agg("unknown_time"),
            pieces=b.ROWS,
        ),
    ),
    "outages_of_all": b.graph(
        b.beats(),
        concurrent(b.ALIVE, by=[], at_least=1),
        b.where(b.fn("not", STATE)),
        b.group(
            [],
            outages=b.ROWS,
            first=b.agg("min", b.col("start")),
            time=b.agg("duration"),
            last=b.agg("last", b.DURATION),
        ),
    ),
}
