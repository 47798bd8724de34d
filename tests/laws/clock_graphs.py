"""Metrics over intervals that ask what the clock shows."""

from __future__ import annotations

from tests.laws.builders import (
    ALIVE,
    BY_DEVICE,
    BY_STATUS,
    DEVICE,
    DURATION,
    FIRMWARE,
    LONDON,
    NOW,
    OK,
    ROWS,
    STATUS,
    TEMP,
    UP,
    Json,
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
    states,
    truncate,
    where,
)
from tests.laws.timeline_graphs import (
    ALIVE_TRACK,
    NIGHTS,
    STATE,
    UP_TRACK,
    column,
    concurrent,
    join,
    timeline,
    windows,
    within,
)
from tests.reference.strategies import BASE, DAY, GAP, HOUR


def span(micros: int) -> Json:
    return lit(micros, "duration")


def moment(micros: int) -> Json:
    return lit(micros, "time")


def hour(of: Json = NOW, zone: str = "UTC") -> Json:
    return fn("hour", of, zone=zone)


def weekday(of: Json = NOW, zone: str = LONDON) -> Json:
    return fn("weekday", of, zone=zone)


KOLKATA, CHATHAM = "Asia/Kolkata", "Pacific/Chatham"
EARLY = fn("lt", hour(), lit(6))
FROM_BASE = fn("ge", NOW, moment(BASE + GAP))
START, END = col("start"), col("end")
TIME_OF_DAY = fn("sub", NOW, truncate("1d", LONDON))
SINCE_START = fn("sub", NOW, START)
AGE = fn("floordiv", SINCE_START, span(HOUR // 2))
WEEKEND = fn("is_in", weekday(), type="int64", values=[5, 6])
MOMENTS = [BASE, BASE + 1, BASE + GAP // 2, BASE + HOUR, BASE + DAY]
TARIFFS = windows(
    "hour", column("hour", "int64", *range(0, 24, 2)), column("tariff", "string", *["low", "high", None] * 4)
)
SHIFTS = windows(
    "weekday",
    column("weekday", "int64", 5, 6, 0),
    column("shift", "string", "A", "B", "C"),
    column("from", "time", BASE - DAY, BASE + HOUR, None),
    start="from",
)
TO: Json = {"param": "to", "default": BASE + HOUR, "type": "time"}
HALF = fn("add", NOW, span(HOUR // 2))
IN_PARTS = {"time": agg("duration"), "pieces": ROWS}

CLOCK_GRAPHS: dict[str, Json] = {
    "states_by_hour_of_day": graph(states(STATUS, hold=HOUR), group(named(hour=hour(), status=STATUS), **IN_PARTS)),
    "states_by_hour_and_weekday": graph(
        states(OK, name="ok", hold=None),
        group(named(h=hour(zone=KOLKATA), d=weekday(zone=CHATHAM)), longest=agg("max", DURATION), **IN_PARTS),
    ),
    "states_by_part_of_the_day": graph(
        states(STATUS),
        group(
            named(early=EARLY, noon=fn("lt", TIME_OF_DAY, span(12 * HOUR))),
            first=agg("min", START),
            last=agg("max", END),
            unknown=agg("unknown_time"),
            **IN_PARTS,
        ),
    ),
    "states_by_long_and_late": graph(
        states(STATUS, hold=None),
        group(
            named(long=fn("gt", DURATION, span(GAP)), late=fn("ge", SINCE_START, span(GAP)), age=AGE),
            **IN_PARTS,
        ),
    ),
    "states_by_what_is_left": graph(
        states(STATUS, hold=None),
        group(
            named(
                soon=fn("le", fn("sub", END, NOW), span(HOUR)),
                half=fn("gt", fn("mul", SINCE_START, lit(2)), DURATION),
                near=fn("lt", fn("abs", fn("sub", NOW, moment(BASE + HOUR))), span(HOUR // 4)),
            ),
            **IN_PARTS,
        ),
    ),
    "states_before_six": graph(states(STATUS), where(EARLY)),
    "states_from_a_time": graph(states(STATUS, hold=None), where(fn("and", FROM_BASE, fn("is_not_null", STATUS)))),
    "states_between_times": graph(
        states(STATUS), where(fn("between", NOW, moment(BASE + 1), moment(BASE + GAP))), group(BY_STATUS, **IN_PARTS)
    ),
    "states_at_instants": graph(
        states(STATUS),
        group(
            named(on=fn("is_in", NOW, type="time", values=MOMENTS), at=fn("eq", NOW, moment(BASE + GAP))), **IN_PARTS
        ),
    ),
    "states_shifted_days": graph(
        states(STATUS, hold=None),
        group(named(day=fn("truncate", fn("sub", NOW, span(6 * HOUR)), every="1d", zone=LONDON)), **IN_PARTS),
    ),
    "states_shifted_hours": graph(
        states(STATUS, hold=None),
        group(
            named(h=hour(fn("add", NOW, span(GAP // 2)), LONDON), w=weekday(fn("sub", NOW, span(HOUR // 4)))),
            **IN_PARTS,
        ),
    ),
    "clock_columns": graph(states(STATUS), extend(hour=hour(zone=LONDON), day=truncate("1d"), before=EARLY)),
    "clock_columns_read_in_part": graph(
        states(STATUS),
        extend(hour=hour(), quarter=truncate("15m"), long=fn("gt", DURATION, span(GAP))),
        where(fn("lt", col("hour"), lit(20))),
        group(named(long=col("long")), **IN_PARTS),
    ),
    "clock_columns_not_read": graph(
        states(STATUS), extend(hour=hour(), twice=fn("mul", hour(), lit(2))), group(BY_STATUS, **IN_PARTS)
    ),
    "clock_columns_selected": graph(
        states(STATUS, hold=None),
        select(device=DEVICE, h=hour(), begin=START, status=STATUS),
        extend(half=fn("truncate", NOW, every="30m", zone=KOLKATA)),
        group(named(h=col("h"), half=col("half"), begin=col("begin")), **IN_PARTS),
    ),
    "clock_in_aggregates": graph(
        states(STATUS),
        group(
            BY_STATUS,
            rows=ROWS,
            early=agg("duration", where=EARLY),
            pieces=agg("count", where=EARLY),
            longest=agg("max", DURATION, where=EARLY),
            whole=agg("max", DURATION),
            from_base=agg("duration", FROM_BASE),
            both=agg("duration", UP, where=fn("and", EARLY, FROM_BASE)),
            share=agg("share_of_time", UP, where=EARLY),
            unknown=agg("unknown_time", where=EARLY),
            known=agg("known_time", where=fn("or", EARLY, UP)),
        ),
    ),
    "clock_as_argument": graph(
        states(STATUS, hold=HOUR),
        group(
            BY_DEVICE,
            hours=agg("time_weighted_mean", hour()),
            share=agg("share_of_time", EARLY),
            seen=agg("count_distinct", hour(), where=UP),
            most=agg("max", AGE),
            known=agg("known_time", fn("when", UP, EARLY, {"lit": None, "type": "null"})),
            unknown=agg("unknown_time", fn("when", UP, EARLY, {"lit": None, "type": "null"})),
            area=agg("integral", TEMP, where=WEEKEND),
            first=agg("first", STATUS, where=EARLY),
        ),
    ),
    "clock_in_parts_of_parts": graph(
        states(STATUS, hold=None),
        where(fn("not", EARLY)),
        group(
            named(day=truncate("1d", CHATHAM)),
            late=agg("duration", where=fn("ge", hour(zone=CHATHAM), lit(18))),
            up=agg("share_of_time", UP, where=fn("lt", fn("sub", END, NOW), span(HOUR))),
            rows=ROWS,
        ),
    ),
    "failures_by_hour": graph(
        states(STATUS),
        group(
            named(hour=hour()),
            between=agg("mtbf", UP),
            repair=agg("mttr", UP),
            changes=agg("transitions", STATUS),
            changed=agg("count", where=fn("changed", STATUS)),
            grown=agg("increase", fn("abs", TEMP)),
            rate=agg("rate", fn("abs", TEMP)),
        ),
    ),
    "failures_at_times": graph(
        states(STATUS, hold=None),
        group(
            BY_DEVICE,
            between=agg("mtbf", UP, where=EARLY),
            changes=agg("transitions", STATUS, where=FROM_BASE),
            rate=agg("rate", fn("abs", TEMP), where=EARLY),
            after_up=agg("duration", fn("and", fn("eq", fn("previous", STATUS), lit("up")), EARLY)),
        ),
    ),
    "failures_of_a_part": graph(
        states(STATUS, hold=None),
        where(fn("or", EARLY, fn("eq", fn("previous", STATUS), lit("up")))),
        group([], between=agg("mtbf", UP), changes=agg("transitions", STATUS), rate=agg("rate", fn("abs", TEMP))),
    ),
    "clock_after_memory": graph(
        states(STATUS),
        extend(before=fn("previous", STATUS), hour=hour()),
        extend(piece=fn("previous", col("hour"))),
        group(named(before=col("before"), piece=col("piece")), **IN_PARTS),
    ),
    "beats_by_hour_filled": graph(
        beats(),
        group(named(t=truncate("1h"), device=DEVICE), alive=agg("duration", ALIVE)) | {"empty": True},
    ),
    "states_of_pieces": graph(
        states(STATUS),
        extend(hour=hour()),
        states(col("hour"), name="hour", hold=None),
        group(named(h=col("hour")), **IN_PARTS),
    ),
    "joined_by_hour": graph(
        states(STATUS), join(hour(), TARIFFS), group(named(tariff=col("tariff"), status=STATUS), **IN_PARTS)
    ),
    "joined_by_weekday_and_time": graph(
        states(STATUS, hold=None), join(weekday(), SHIFTS, "inner"), group(named(shift=col("shift")), **IN_PARTS)
    ),
    "during_nights_by_hour": graph(
        states(STATUS), within(NIGHTS), where(fn("ge", hour(zone=LONDON), lit(2))), group(BY_STATUS, **IN_PARTS)
    ),
    "both_by_hour": graph(
        timeline(fn("and", col("a"), col("b")), a=ALIVE_TRACK, b=UP_TRACK),
        group(
            named(hour=hour(), state=STATE),
            share=agg("share_of_time", STATE, where=fn("ge", HALF, moment(BASE + GAP))),
            unknown=agg("unknown_time"),
            **IN_PARTS,
        ),
    ),
    "concurrent_early": graph(states(UP, name="up"), concurrent(fn("and", col("up"), EARLY), by=[])),
    "two_at_least_early": graph(states(STATUS), concurrent(UP, by=[], at_least=2), where(EARLY)),
    "one_at_least_by_hour_of_day": graph(
        beats(),
        concurrent(ALIVE, by=named(firmware=FIRMWARE), at_least=1),
        extend(hour=hour(zone=KOLKATA), unread=truncate("1m")),
        where(fn("lt", NOW, moment(BASE + 3 * HOUR))),
        group(
            named(hour=col("hour"), firmware=FIRMWARE),
            share=agg("share_of_time", STATE, where=fn("ge", SINCE_START, span(GAP // 4))),
            **IN_PARTS,
        ),
    ),
    "outages_by_hour_twice": graph(
        beats(),
        concurrent(ALIVE, by=[]),
        group(named(early=EARLY, active=col("active")), **IN_PARTS),
        group(named(early=col("early")), most=agg("max", col("active")), time=agg("sum", col("time"))),
    ),
    "time_between_a_column": graph(
        extend(mark=fn("when", OK, fn("add", NOW, span(GAP)), NOW)),
        states(STATUS, hold=None),
        where(fn("ge", NOW, col("mark"))),
        group(BY_STATUS, **IN_PARTS),
    ),
    "from_a_parameter": graph(
        states(STATUS),
        where(fn("ge", NOW, {"param": "from", "default": BASE + GAP, "type": "time"})),
        group(BY_STATUS, late=agg("duration", where=fn("lt", NOW, TO)), **IN_PARTS),
    ),
}  # fmt: skip
