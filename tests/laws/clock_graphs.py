"""Metrics over intervals with ``time()``."""

from __future__ import annotations

from runtime.testing.oracle.strategies import BASE, DAY, GAP, HOUR
from tests.laws import builders as b
from tests.laws import timeline_graphs as t


def span(micros: int) -> b.Json:
    return b.lit(micros, "duration")


def moment(micros: int) -> b.Json:
    return b.lit(micros, "time")


def hour(of: b.Json = b.NOW, zone: str = "UTC") -> b.Json:
    return b.fn("hour", of, zone=zone)


def weekday(of: b.Json = b.NOW, zone: str = b.LONDON) -> b.Json:
    return b.fn("weekday", of, zone=zone)


KOLKATA, CHATHAM = "Asia/Kolkata", "Pacific/Chatham"
EARLY = b.fn("lt", hour(), b.lit(6))
FROM_BASE = b.fn("ge", b.NOW, moment(BASE + GAP))
START, END = b.col("start"), b.col("end")
TIME_OF_DAY = b.fn("sub", b.NOW, b.truncate("1d", b.LONDON))
SINCE_START = b.fn("sub", b.NOW, START)
AGE = b.fn("floordiv", SINCE_START, span(HOUR // 2))
WEEKEND = b.fn("is_in", weekday(), type="int64", values=[5, 6])
MOMENTS = [BASE, BASE + 1, BASE + GAP // 2, BASE + HOUR, BASE + DAY]
TARIFFS = t.windows(
    "hour", t.column("hour", "int64", *range(0, 24, 2)), t.column("tariff", "string", *["low", "high", None] * 4)
)
SHIFTS = t.windows(
    "weekday",
    t.column("weekday", "int64", 5, 6, 0),
    t.column("shift", "string", "A", "B", "C"),
    t.column("from", "time", BASE - DAY, BASE + HOUR, None),
    start="from",
)
TO: b.Json = {"param": "to", "default": BASE + HOUR, "type": "time"}
HALF = b.fn("add", b.NOW, span(HOUR // 2))
IN_PARTS = {"time": b.agg("duration"), "pieces": b.ROWS}

CLOCK_GRAPHS: dict[str, b.Json] = {
    "states_by_hour_of_day": b.graph(b.states(b.STATUS, hold=HOUR),
        b.group(b.named(hour=hour(), status=b.STATUS), **IN_PARTS)),
    "states_by_parts_of_the_date": b.graph(
        b.states(b.STATUS),
        b.group(
            b.named(week=b.fn("iso_week", b.NOW, zone=CHATHAM), day=b.fn("day_of_year", HALF, zone=b.LONDON)),
            minutes=b.agg("duration", b.fn("lt", b.fn("minute", b.NOW, zone=KOLKATA), b.lit(15))),
            **IN_PARTS,
        ),
    ),
    "states_by_later_days": b.graph(
        b.states(b.STATUS),
        b.group(b.named(day=b.truncate("1d+6h", b.LONDON), week=b.truncate("1w@sun")), **IN_PARTS),
    ),
    "states_by_hour_and_weekday": b.graph(
        b.states(b.OK, name="ok", hold=None),
        b.group(b.named(h=hour(zone=KOLKATA), d=weekday(zone=CHATHAM)), longest=b.agg("max", b.DURATION), **IN_PARTS),
    ),
    "states_by_part_of_the_day": b.graph(
        b.states(b.STATUS),
        b.group(
            b.named(early=EARLY, noon=b.fn("lt", TIME_OF_DAY, span(12 * HOUR))),
            first=b.agg("min", START),
            last=b.agg("max", END),
            unknown=b.agg("unknown_time"),
            **IN_PARTS,
        ),
    ),
    "states_by_long_and_late": b.graph(
        b.states(b.STATUS, hold=None),
        b.group(
            b.named(long=b.fn("gt", b.DURATION, span(GAP)), late=b.fn("ge", SINCE_START, span(GAP)), age=AGE),
            **IN_PARTS,
        ),
    ),
    "states_by_what_is_left": b.graph(
        b.states(b.STATUS, hold=None),
        b.group(
            b.named(
                soon=b.fn("le", b.fn("sub", END, b.NOW), span(HOUR)),
                half=b.fn("gt", b.fn("mul", SINCE_START, b.lit(2)), b.DURATION),
                near=b.fn("lt", b.fn("abs", b.fn("sub", b.NOW, moment(BASE + HOUR))), span(HOUR // 4)),
            ),
            **IN_PARTS,
        ),
    ),
    "states_before_six": b.graph(b.states(b.STATUS), b.where(EARLY)),
    "states_from_a_time": b.graph(b.states(b.STATUS, hold=None),
        b.where(b.fn("and", FROM_BASE, b.fn("is_not_null", b.STATUS)))),
    "states_between_times": b.graph(
        b.states(b.STATUS), b.where(b.fn("between", b.NOW, moment(BASE + 1), moment(BASE + GAP))),
            b.group(b.BY_STATUS, **IN_PARTS)
    ),
    "states_at_instants": b.graph(
        b.states(b.STATUS),
        b.group(
            b.named(on=b.fn("is_in", b.NOW, type="time", values=MOMENTS), at=b.fn("eq", b.NOW, moment(BASE + GAP))),
                **IN_PARTS
        ),
    ),
    "states_shifted_days": b.graph(
        b.states(b.STATUS, hold=None),
        b.group(b.named(day=b.fn("truncate", b.fn("sub", b.NOW, span(6 * HOUR)), every="1d", zone=b.LONDON)),
            **IN_PARTS),
    ),
    "states_shifted_hours": b.graph(
        b.states(b.STATUS, hold=None),
        b.group(
            b.named(h=hour(b.fn("add", b.NOW, span(GAP // 2)), b.LONDON),
                w=weekday(b.fn("sub", b.NOW, span(HOUR // 4)))),
            **IN_PARTS,
        ),
    ),
    "clock_columns": b.graph(b.states(b.STATUS), b.extend(hour=hour(zone=b.LONDON), day=b.truncate("1d"),
        before=EARLY)),
    "clock_columns_read_in_part": b.graph(
        b.states(b.STATUS),
        b.extend(hour=hour(), quarter=b.truncate("15m"), long=b.fn("gt", b.DURATION, span(GAP))),
        b.where(b.fn("lt", b.col("hour"), b.lit(20))),
        b.group(b.named(long=b.col("long")), **IN_PARTS),
    ),
    "clock_columns_not_read": b.graph(
        b.states(b.STATUS), b.extend(hour=hour(), twice=b.fn("mul", hour(), b.lit(2))), b.group(b.BY_STATUS, **IN_PARTS)
    ),
    "clock_columns_selected": b.graph(
        b.states(b.STATUS, hold=None),
        b.select(device=b.DEVICE, h=hour(), begin=START, status=b.STATUS),
        b.extend(half=b.fn("truncate", b.NOW, every="30m", zone=KOLKATA)),
        b.group(b.named(h=b.col("h"), half=b.col("half"), begin=b.col("begin")), **IN_PARTS),
    ),
    "clock_in_aggregates": b.graph(
        b.states(b.STATUS),
        b.group(
            b.BY_STATUS,
            rows=b.ROWS,
            early=b.agg("duration", where=EARLY),
            pieces=b.agg("count", where=EARLY),
            longest=b.agg("max", b.DURATION, where=EARLY),
            whole=b.agg("max", b.DURATION),
            from_base=b.agg("duration", FROM_BASE),
            both=b.agg("duration", b.UP, where=b.fn("and", EARLY, FROM_BASE)),
            share=b.agg("share_of_time", b.UP, where=EARLY),
            unknown=b.agg("unknown_time", where=EARLY),
            known=b.agg("known_time", where=b.fn("or", EARLY, b.UP)),
        ),
    ),
    "clock_as_argument": b.graph(
        b.states(b.STATUS, hold=HOUR),
        b.group(
            b.BY_DEVICE,
            hours=b.agg("time_weighted_mean", hour()),
            share=b.agg("share_of_time", EARLY),
            seen=b.agg("count_distinct", hour(), where=b.UP),
            most=b.agg("max", AGE),
            known=b.agg("known_time", b.fn("when", b.UP, EARLY, {"lit": None, "type": "null"})),
            unknown=b.agg("unknown_time", b.fn("when", b.UP, EARLY, {"lit": None, "type": "null"})),
            area=b.agg("integral", b.TEMP, where=WEEKEND),
            first=b.agg("first", b.STATUS, where=EARLY),
        ),
    ),
    "clock_in_parts_of_parts": b.graph(
        b.states(b.STATUS, hold=None),
        b.where(b.fn("not", EARLY)),
        b.group(
            b.named(day=b.truncate("1d", CHATHAM)),
            late=b.agg("duration", where=b.fn("ge", hour(zone=CHATHAM), b.lit(18))),
            up=b.agg("share_of_time", b.UP, where=b.fn("lt", b.fn("sub", END, b.NOW), span(HOUR))),
            rows=b.ROWS,
        ),
    ),
    "failures_by_hour": b.graph(
        b.states(b.STATUS),
        b.group(
            b.named(hour=hour()),
            between=b.agg("mtbf", b.UP),
            repair=b.agg("mttr", b.UP),
            changes=b.agg("transitions", b.STATUS),
            changed=b.agg("count", where=b.fn("changed", b.STATUS)),
            grown=b.agg("increase", b.fn("abs", b.TEMP)),
            rate=b.agg("rate", b.fn("abs", b.TEMP)),
        ),
    ),
    "failures_at_times": b.graph(
        b.states(b.STATUS, hold=None),
        b.group(
            b.BY_DEVICE,
            between=b.agg("mtbf", b.UP, where=EARLY),
            changes=b.agg("transitions", b.STATUS, where=FROM_BASE),
            rate=b.agg("rate", b.fn("abs", b.TEMP), where=EARLY),
            after_up=b.agg("duration", b.fn("and", b.fn("eq", b.fn("previous", b.STATUS), b.lit("up")), EARLY)),
        ),
    ),
    "failures_of_a_part": b.graph(
        b.states(b.STATUS, hold=None),
        b.where(b.fn("or", EARLY, b.fn("eq", b.fn("previous", b.STATUS), b.lit("up")))),
        b.group([], between=b.agg("mtbf", b.UP), changes=b.agg("transitions", b.STATUS),
            rate=b.agg("rate", b.fn("abs", b.TEMP))),
    ),
    "clock_after_memory": b.graph(
        b.states(b.STATUS),
        b.extend(before=b.fn("previous", b.STATUS), hour=hour()),
        b.extend(piece=b.fn("previous", b.col("hour"))),
        b.group(b.named(before=b.col("before"), piece=b.col("piece")), **IN_PARTS),
    ),
    "beats_by_hour_filled": b.graph(
        b.beats(),
        b.group(b.named(t=b.truncate("1h"), device=b.DEVICE), alive=b.agg("duration", b.ALIVE)) | {"empty": True},
    ),
    "states_of_pieces": b.graph(
        b.states(b.STATUS),
        b.extend(hour=hour()),
        b.states(b.col("hour"), name="hour", hold=None),
        b.group(b.named(h=b.col("hour")), **IN_PARTS),
    ),
    "joined_by_hour": b.graph(
        b.states(b.STATUS), t.join(hour(), TARIFFS),
            b.group(b.named(tariff=b.col("tariff"), status=b.STATUS), **IN_PARTS)
    ),
    "joined_by_weekday_and_time": b.graph(
        b.states(b.STATUS, hold=None), t.join(weekday(), SHIFTS, "inner"),
            b.group(b.named(shift=b.col("shift")), **IN_PARTS)
    ),
    "during_nights_by_hour": b.graph(
        b.states(b.STATUS), t.within(t.NIGHTS), b.where(b.fn("ge", hour(zone=b.LONDON), b.lit(2))),
            b.group(b.BY_STATUS, **IN_PARTS)
    ),
    "both_by_hour": b.graph(
        t.timeline(b.fn("and", b.col("a"), b.col("b")), a=t.ALIVE_TRACK, b=t.UP_TRACK),
        b.group(
            b.named(hour=hour(), state=t.STATE),
            share=b.agg("share_of_time", t.STATE, where=b.fn("ge", HALF, moment(BASE + GAP))),
            unknown=b.agg("unknown_time"),
            **IN_PARTS,
        ),
    ),
    "concurrent_early": b.graph(b.states(b.UP, name="up"), t.concurrent(b.fn("and", b.col("up"), EARLY), by=[])),
    "two_at_least_early": b.graph(b.states(b.STATUS), t.concurrent(b.UP, by=[], at_least=2), b.where(EARLY)),
    "one_at_least_by_hour_of_day": b.graph(
        b.beats(),
        t.concurrent(b.ALIVE, by=b.named(firmware=b.FIRMWARE), at_least=1),
        b.extend(hour=hour(zone=KOLKATA), unread=b.truncate("1m")),
        b.where(b.fn("lt", b.NOW, moment(BASE + 3 * HOUR))),
        b.group(
            b.named(hour=b.col("hour"), firmware=b.FIRMWARE),
            share=b.agg("share_of_time", t.STATE, where=b.fn("ge", SINCE_START, span(GAP // 4))),
            **IN_PARTS,
        ),
    ),
    "outages_by_hour_twice": b.graph(
        b.beats(),
        t.concurrent(b.ALIVE, by=[]),
        b.group(b.named(early=EARLY, active=b.col("active")), **IN_PARTS),
        b.group(b.named(early=b.col("early")), most=b.agg("max", b.col("active")), time=b.agg("sum", b.col("time"))),
    ),
    "time_between_a_column": b.graph(
        b.extend(mark=b.fn("when", b.OK, b.fn("add", b.NOW, span(GAP)), b.NOW)),
        b.states(b.STATUS, hold=None),
        b.where(b.fn("ge", b.NOW, b.col("mark"))),
        b.group(b.BY_STATUS, **IN_PARTS),
    ),
    "from_a_parameter": b.graph(
        b.states(b.STATUS),
        b.where(b.fn("ge", b.NOW, {"param": "from", "default": BASE + GAP, "type": "time"})),
        b.group(b.BY_STATUS, late=b.agg("duration", where=b.fn("lt", b.NOW, TO)), **IN_PARTS),
    ),
}  # fmt: skip
