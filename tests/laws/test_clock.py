"""Time on intervals: values, counts by the minute, ranges that add up, errors, and long intervals."""

from __future__ import annotations

import json
import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import accumulate
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dataflow as df
from operators.errors import DataflowError
from runtime.testing.oracle.oracle_zones import zone as zone_of
from runtime.testing.oracle.strategies import BASE, DAY, HOUR, KEY, TIME, Point
from tests.laws.memory import run_in_memory

MINUTE = 60_000_000
P = df.stream("s")
STATES = P.state_duration("status")
DOWN = STATES.filter(df.col("status") == "down")
UP = df.col("status") == "up"
CLOCK = df.time()
HOUR_OF_DAY = CLOCK.hour()


def us(text: str) -> int:
    return (datetime.fromisoformat(text).replace(tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(
        microseconds=1
    )


def asked(metric: df.Stream, points: list[Point], since: int, until: int, **options: Any) -> list[dict[str, Any]]:
    return run_in_memory(json.loads(metric.to_json()), points, since=since, until=until, **options)


def minutes(rows: list[dict[str, Any]], *names: str) -> dict[Any, float]:
    return {tuple(r[n] for n in names) if len(names) > 1 else r[names[0]]: r["d"] / MINUTE for r in rows}


# --- right values ------------------------------------------------------------------------------------------------

OUTAGE: list[Point] = [
    {KEY: "a", TIME: us("2024-03-01T00:00"), "status": "up"},
    {KEY: "a", TIME: us("2024-03-01T22:30"), "status": "down"},
    {KEY: "a", TIME: us("2024-03-02T02:15"), "status": "up"},
]
TO = us("2024-03-03")


def of_outage(metric: df.Stream) -> list[dict[str, Any]]:
    return asked(metric, OUTAGE, us("2024-03-01"), TO)


def test_by_hour_and_weekday() -> None:
    by_hour = DOWN.group_by(h=HOUR_OF_DAY).agg(d=df.duration(), n=df.count())
    assert minutes(of_outage(by_hour), "h") == {22: 30, 23: 60, 0: 60, 1: 60, 2: 15}
    assert [r["n"] for r in of_outage(by_hour)] == [1] * 5
    by_column = DOWN.with_columns(h=HOUR_OF_DAY).group_by("h").agg(d=df.duration(), n=df.count())
    assert of_outage(by_column) == of_outage(by_hour)
    assert minutes(of_outage(DOWN.group_by(w=CLOCK.weekday()).agg(d=df.duration())), "w") == {4: 90, 5: 135}


def test_before_six() -> None:
    early = HOUR_OF_DAY < 6
    for metric in (
        DOWN.agg(d=df.duration(where=early), n=df.count(where=early), m=df.max("duration", where=early)),
        DOWN.filter(early).agg(d=df.duration(), n=df.count(), m=df.max("duration")),
    ):
        assert of_outage(metric) == [{"d": 135 * MINUTE, "n": 1, "m": 135 * MINUTE}]
    # Others of the same agg see the whole interval.
    both = DOWN.agg(d=df.duration(where=early), n=df.count(), m=df.max("duration"))
    assert of_outage(both) == [{"d": 135 * MINUTE, "n": 1, "m": 225 * MINUTE}]


def test_from_a_time() -> None:
    at = datetime(2024, 3, 2, tzinfo=UTC)
    (row,) = of_outage(DOWN.filter(at <= CLOCK))
    assert (row["start"], row["end"], row["duration"]) == (us("2024-03-02"), us("2024-03-02T02:15"), 135 * MINUTE)
    (row,) = of_outage(DOWN.filter(at > CLOCK))
    assert (row["start"], row["end"]) == (us("2024-03-01T22:30"), us("2024-03-02"))
    assert of_outage(DOWN.filter(datetime(2024, 3, 3, tzinfo=UTC) < CLOCK)) == []
    (row,) = of_outage(DOWN.filter((CLOCK + timedelta(hours=1)).hour() == 0))
    assert (row["start"], row["end"]) == (us("2024-03-01T23:00"), us("2024-03-02"))
    (row,) = of_outage(DOWN.filter(df.time() >= df.param("from", default=at)))
    assert row["start"] == us("2024-03-02")


def test_a_share_of_a_part() -> None:
    points: list[Point] = [{KEY: "a", TIME: 0, "status": "up"}, {KEY: "a", TIME: 40 * MINUTE, "status": "down"}]
    half = datetime(1970, 1, 1, 0, 30, tzinfo=UTC)
    metric = STATES.agg(x=df.share_of_time(UP, where=half <= CLOCK), y=df.share_of_time(UP))
    assert asked(metric, points, 0, 60 * MINUTE) == [{"x": 1 / 3, "y": 2 / 3}]


def test_null_is_unknown() -> None:
    # 1 h on, 1 h unavailable, 2 h off.
    points: list[Point] = [
        {KEY: "a", TIME: HOUR * t, "status": s} for t, s in ((0, "on"), (1, "unavailable"), (2, "off"))
    ]
    on = df.when(df.col("status") == "unavailable").then(None).otherwise(df.col("status") == "on")
    metric = STATES.agg(
        share=df.share_of_time(on),
        known=df.known_time(on),
        unknown=df.unknown_time(on),
        of_state=df.known_time(),
        of_null=df.share_of_time(on, where=df.lit(None)),
        late=df.share_of_time(on, where=datetime(1970, 1, 1, 0, 30, tzinfo=UTC) <= CLOCK),
    )
    assert asked(metric, points, 0, 4 * HOUR) == [
        {
            "share": 1 / 3,
            "known": 3 * HOUR,
            "unknown": HOUR,
            "of_state": 4 * HOUR,
            "of_null": None,
            "late": 0.5 / 2.5,
        }
    ]
    again = df.from_json(metric.to_json())
    assert again.to_json() == metric.to_json()
    # Without a state nothing is known of the condition, be it null or not.
    held = P.state_duration("status", hold="1h").agg(k=df.known_time(df.lit(True)), u=df.unknown_time(df.lit(True)))
    assert asked(held, points, 0, 4 * HOUR) == [{"k": 3 * HOUR, "u": HOUR}]


def test_edges_count_once() -> None:
    by_hour = STATES.group_by(h=HOUR_OF_DAY)
    found = of_outage(
        by_hour.agg(e=df.transitions("status"), m=df.mtbf(UP), c=df.count(where=df.col("status").changed()))
    )
    assert {r["h"]: r["c"] for r in found if r["c"]} == {22: 1, 2: 1}
    assert {r["h"]: r["m"] for r in found if r["m"] is not None} == {22: (60 + 30) * MINUTE}
    assert sum(e["count"] for r in found for e in r["e"]) == 2
    # The failure is at 22:30, and the time in which it goes on is not another one.
    parts = [
        STATES.filter(c).agg(f=df.transitions("status"), m=df.mtbf(UP)) for c in (HOUR_OF_DAY < 6, HOUR_OF_DAY >= 6)
    ]
    early, late = (of_outage(m)[0] for m in parts)
    assert early["m"] is None
    assert late["m"] is not None
    assert [len(early["f"]), len(late["f"])] == [1, 1]


def test_a_column_that_nothing_reads_cuts_nothing() -> None:
    read = DOWN.with_columns(h=HOUR_OF_DAY)
    assert of_outage(read.agg(n=df.count())) == [{"n": 1}]
    assert of_outage(read.agg(n=df.count(where=df.col("h") >= 0))) == [{"n": 5}]
    assert len(of_outage(read)) == 5
    assert len(of_outage(read.select("status"))) == 1


def test_a_day_goes_on_where_the_clock_goes_back_behind_midnight() -> None:
    # In St John's it showed 00:00 of the 29th for a minute, then 23:01 of the 28th again.
    begun = us("2006-10-29T02:30")
    points: list[Point] = [{KEY: "a", TIME: begun - 90 * MINUTE, "ok": True}]
    zone = "America/St_Johns"
    found = [
        asked(P.state_duration("ok").group_by(x=x).agg(d=df.duration()), points, points[0][TIME], begun + 2 * MINUTE)
        for x in (CLOCK.truncate("1d", zone), CLOCK.day(zone))
    ]
    assert [r["d"] // MINUTE for r in found[0]] == [90, 2]
    assert found[0][1]["x"] == begun
    assert minutes(found[1], "x") == {28: 91, 29: 1}


# --- by the minute -----------------------------------------------------------------------------------------------

ZONES = [
    "UTC", "Europe/Berlin", "Europe/London", "Europe/Dublin", "America/New_York", "America/St_Johns", "America/Havana",
    "America/Sao_Paulo", "America/Caracas", "Asia/Kolkata", "Asia/Kathmandu", "Asia/Tehran", "Asia/Gaza", "Asia/Amman",
    "Asia/Pyongyang", "Australia/Lord_Howe", "Australia/Eucla", "Australia/Adelaide", "Pacific/Chatham",
    "Pacific/Apia", "Pacific/Kiritimati", "Pacific/Norfolk", "Pacific/Marquesas", "Africa/Casablanca", "Africa/Cairo",
    "Antarctica/Troll", "America/Asuncion", "Atlantic/Azores",
]  # fmt: skip
STARTS = [
    "2024-03-30", "2024-10-26", "2024-03-09", "2024-11-02", "2011-12-29", "2006-10-28", "2024-04-06", "2024-10-05",
    "2007-12-08", "2018-05-04", "2024-06-01", "1999-12-30",
]  # fmt: skip


@cache
def wall(minute: int, zone: str) -> datetime:
    return datetime.fromtimestamp(minute * 60, zone_of(zone))


@st.composite
def outages(draw: st.DrawFn) -> tuple[str, int, int, list[tuple[int, bool]]]:
    """A zone, the first and the last minute, and from which minute on the device is up or down."""
    zone, start = draw(st.sampled_from(ZONES)), us(draw(st.sampled_from(STARTS))) // MINUTE
    length = draw(st.integers(1, 3000))
    changes = draw(st.lists(st.tuples(st.integers(0, length - 1), st.booleans()), max_size=6))
    return zone, start, length, [(0, True), *sorted(dict(changes).items())]


def states_of(length: int, changes: list[tuple[int, bool]]) -> list[bool]:
    """Whether it is up in each minute."""
    out: list[bool] = []
    for minute in range(length):
        out.append([up for at, up in changes if at <= minute][-1])
    return out


@settings(deadline=None)
@given(drawn=outages(), hours=st.sets(st.integers(0, 23)), shift=st.integers(-1500, 1500), data=st.data())
def test_by_the_minute(
    drawn: tuple[str, int, int, list[tuple[int, bool]]], hours: set[int], shift: int, data: st.DataObject
) -> None:
    zone, start, length, changes = drawn
    seam = data.draw(st.integers(0, length))
    up = states_of(length, changes)
    points: list[Point] = [{KEY: "a", TIME: (start + at) * MINUTE, "ok": v} for at, v in changes]
    moved = CLOCK + timedelta(minutes=shift)
    chosen = moved.hour(zone).is_in(sorted(hours)) if hours else moved.hour(zone) < 0
    after = df.lit(datetime.fromtimestamp((start + seam) * 60, UTC)) <= CLOCK
    states, ok = P.state_duration("ok"), df.col("ok")
    span = (start * MINUTE, (start + length) * MINUTE)

    def is_chosen(m: int) -> bool:
        return wall(start + m + shift, zone).hour in hours

    all_minutes = range(length)
    expected = Counter((wall(start + m, zone).weekday(), up[m]) for m in all_minutes)
    by_weekday = states.group_by(w=CLOCK.weekday(zone), ok=ok).agg(d=df.duration())
    assert minutes(asked(by_weekday, points, *span), "w", "ok") == expected
    # Where the clock goes back behind midnight, the day that has begun goes on.
    shown = (wall(start + m + shift, zone).date() for m in range(-180, length))
    dates = list(accumulate(shown, max))[180:]
    expected = Counter((dates[m], is_chosen(m)) for m in all_minutes)
    by_day = states.group_by(day=moved.truncate("1d", zone), c=chosen).agg(d=df.duration())
    days = Counter[Any]()
    for row in asked(by_day, points, *span):
        days[wall(row["day"] // MINUTE, zone).date(), row["c"]] += row["d"] // MINUTE
    assert days == expected
    both = [m for m in all_minutes if is_chosen(m) and m >= seam]
    (row,) = asked(
        states.agg(d=df.duration(ok, where=chosen & after), s=df.share_of_time(ok, where=chosen)), points, *span
    )
    assert row["d"] == MINUTE * sum(up[m] for m in both)
    of_chosen = [up[m] for m in all_minutes if is_chosen(m)]
    assert row["s"] == (sum(of_chosen) / len(of_chosen) if of_chosen else None)
    filtered = asked(states.filter(chosen).filter(after).agg(d=df.duration(ok), n=df.count()), points, *span)[0]
    assert filtered["d"] == row["d"]
    # As few pieces as there are spans of time in which all stays the same.
    says = [(is_chosen(m) and m >= seam, up[m]) for m in all_minutes]
    assert filtered["n"] == sum(s[0] and (m == 0 or says[m - 1] != s) for m, s in enumerate(says))


@settings(deadline=None)
@given(drawn=outages(), share=st.integers(0, 100))
def test_ranges_add_up(drawn: tuple[str, int, int, list[tuple[int, bool]]], share: int) -> None:
    zone, start, length, changes = drawn
    points: list[Point] = [{KEY: "a", TIME: (start + at) * MINUTE, "ok": v} for at, v in changes]
    states, late = P.state_duration("ok"), CLOCK.hour(zone) >= 18
    metric = states.group_by(h=CLOCK.hour(zone), ok=df.col("ok")).agg(d=df.duration(), e=df.duration(where=late))
    a, c = start * MINUTE, (start + length) * MINUTE
    b = a + (c - a) * share // 100
    whole, left, right = (
        {(r["h"], r["ok"]): (r["d"], r["e"]) for r in asked(metric, points, *span)} for span in ((a, c), (a, b), (b, c))
    )
    none = (0, 0)
    assert whole == {
        k: tuple(x + y for x, y in zip(left.get(k, none), right.get(k, none), strict=True)) for k in left | right
    }


# --- what is refused ---------------------------------------------------------------------------------------------

VALUE = r'clock at every instant.*use col\("start"\) or col\("end"\)'


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        (STATES.with_columns(t=CLOCK + timedelta(hours=1)), VALUE),
        (STATES.select("status", at=CLOCK), VALUE),
        (STATES.group_by(t=CLOCK).agg(n=df.count()), VALUE),
        (STATES.agg(t=df.max(CLOCK)), VALUE),
        (STATES.agg(t=df.mean(CLOCK - df.col("start"))), VALUE),
        (STATES.filter((CLOCK - df.col("start")) % timedelta(hours=1) < timedelta(minutes=1)), "where mod of it"),
        (STATES.with_columns(p=HOUR_OF_DAY.previous()), "previous looks at the rows of a key.*with_columns before"),
        (STATES.agg(p=df.transitions(HOUR_OF_DAY)), "before looks at the rows of a key|with_columns before"),
        (STATES.sessionize("1h", n=df.count(where=HOUR_OF_DAY < 6)), "put the expression into a column"),
        (STATES.concurrent(UP, h=HOUR_OF_DAY), "group the resulting intervals by time"),
        (STATES.agg(k=df.known_time("status")), "known_time takes a condition, got string"),
    ],
)  # fmt: skip
def test_refused(metric: df.Stream, message: str) -> None:
    with pytest.raises(DataflowError, match=message):
        of_outage(metric)


def test_rows_that_have_one_time_are_not_cut() -> None:
    points: list[Point] = [{KEY: "a", TIME: BASE + 50 * MINUTE * n, "status": "up"} for n in range(5)]
    sessions = P.sessionize("1h").group_by(h=HOUR_OF_DAY).agg(n=df.count(), d=df.duration())
    (row,) = asked(sessions, points, BASE, BASE + DAY)
    assert (row["n"], row["d"]) == (1, 200 * MINUTE)


# --- large ones --------------------------------------------------------------------------------------------------


def test_more_pieces_than_there_is_room_for() -> None:
    # Cut by the minute for a third of a year: more rows than a kernel writes at once, and more groups and values than
    # its tables begin with.
    days = 120
    points: list[Point] = [{KEY: k, TIME: BASE + n, "status": s} for n, (k, s) in enumerate(["au", "bd"])]
    until = BASE + days * DAY
    minute = CLOCK.truncate("1m")
    total = 2 * days * 1440
    column = STATES.with_columns(m=minute, before=df.col("status").previous()).group_by("status")
    rows = asked(column.agg(n=df.count(where=df.col("m") >= df.col("start")), d=df.duration()), points, BASE, until)
    assert sum(r["n"] for r in rows) == total - 1
    apart = STATES.group_by("device").agg(
        n=df.count_distinct(minute), early=df.count(where=minute.hour() % 2 == 0), rows=df.count(), k=df.count(minute)
    )
    rows = asked(apart, points, BASE, until)
    assert [(r["rows"], r["n"], r["k"]) for r in rows] == [(1, days * 1440, days * 1440)] * 2
    assert [r["early"] for r in rows] == [days * 12] * 2
    (row,) = asked(STATES.group_by(m=minute).agg(d=df.duration()).agg(n=df.count(), d=df.sum("d")), points, BASE, until)
    assert row == {"n": days * 1440, "d": 2 * days * DAY - 1}


def test_what_remembers_rows_sees_each_once() -> None:
    rng = random.Random(5)
    points: list[Point] = []
    t = BASE
    for _ in range(400):
        t += rng.randrange(1, 3 * DAY)
        points.append({KEY: "a", TIME: t, "status": rng.choice(["up", "down"]), "n": rng.randrange(9)})
    steps = STATES.group_by("device").agg(
        after=df.duration(where=(df.col("status").previous() == "up") & (CLOCK.truncate("1m").hour() < 6)),
        n=df.count_distinct(CLOCK.truncate("1m"), where=df.col("status").previous() == "up"),
        k=df.count(where=df.col("status").previous() == "up"),
    )
    (row,) = asked(steps, points, BASE, t + DAY)
    spans: list[list[Any]] = []
    for p in points:
        if not spans or spans[-1][1] != p["status"]:
            spans.append([p[TIME], p["status"]])
    ends = [s[0] for s in spans[1:]] + [t + DAY]
    after = [(a[0], e) for b, a, e in zip(spans, spans[1:], ends[1:], strict=False) if b[1] == "up"]
    assert row["k"] == len(after)
    assert row["n"] == len({m for a, e in after for m in range(a // MINUTE, -(-e // MINUTE))})
    six = [
        max(0, min(e, d * DAY + 6 * HOUR) - max(a, d * DAY)) for a, e in after for d in range(a // DAY, e // DAY + 1)
    ]
    assert row["after"] == sum(six)


# --- ``where=`` beside a group of the clock ----------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 7])
@given(
    st.sampled_from(["UTC", "Europe/Berlin", "America/St_Johns", "Asia/Kathmandu"]),
    st.lists(st.tuples(st.integers(0, 3 * 24 * 60), st.booleans()), min_size=1, max_size=8, unique_by=lambda r: r[0]),
    st.integers(0, 23),
)
def test_where_beside_a_day(size: int, zone: str, reports: list[tuple[int, bool]], hour: int) -> None:
    # The clocks change on 2024-03-31 in Berlin.
    start = us("2024-03-29T12:17")
    points: list[Point] = [
        {KEY: "a", TIME: start + m * MINUTE, "status": "up" if up else "down"} for m, up in sorted(reports)
    ]
    early = CLOCK.hour(zone) < hour
    metric = STATES.group_by(day=CLOCK.truncate("1d", zone)).agg(
        all=df.duration(),
        early=df.duration(where=early),
        early_up=df.duration(UP, where=early),
        both=df.duration(early & UP),
        share=df.share_of_time(UP, where=early),
        filtered=df.known_time(where=~early),
    )
    until = start + 3 * 24 * 60 * MINUTE + MINUTE
    found = asked(metric, points, start, until, tasks=1, rows=size)
    days: dict[int, Counter[str]] = {}
    clock = zone_of(zone)
    for t in range(min(p[TIME] for p in points), until, MINUTE):
        local = datetime.fromtimestamp(t // 1_000_000, clock)
        up = next(p for p in reversed(points) if p[TIME] <= t)["status"] == "up"
        first = local.replace(hour=0, minute=0, second=0, microsecond=0, fold=0)
        day = days.setdefault(int(first.timestamp()) * 1_000_000, Counter())
        is_early = local.hour < hour
        day.update({"all": 1, "early": is_early, "early_up": is_early and up, "filtered": not is_early})
    for row, (day_start, right) in zip(found, sorted(days.items()), strict=True):
        assert row["day"] == day_start
        shown = {n: row[n] // MINUTE for n in ("all", "early", "early_up", "both", "filtered")}
        assert shown == {n: right["early_up" if n == "both" else n] for n in shown}
        assert row["share"] == (right["early_up"] / right["early"] if right["early"] else None)
