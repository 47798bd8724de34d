"""The oracle against answers by hand: sessions, windows, calendar buckets."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.testing.oracle.buckets import bucket
from runtime.testing.oracle.strategies import DAY, HOUR
from tests.laws import builders as b
from tests.laws.by_hand import ask, ask_tuples, at, us


def test_sessions() -> None:
    points = [at(-5), at(3, n=1), at(13, n=2), at(24, n=3), at(24, n=4), at(95)]
    assert ask(b.sessions(gap=10, n=b.agg("sum", b.N)), of=points) == [
        {
            "device": "a",
            "start": s,
            "end": e,
            "duration": e - s,
            "count": c,
            "n": n,
            "open_left": left,
            "open_right": right,
        }
        for s, e, c, n, left, right in [
            (3, 13, 2, 3, True, False),
            (24, 24, 2, 7, False, False),
            (95, 95, 1, None, False, True),
        ]
    ]


@pytest.mark.parametrize(("before", "left"), [(0, True), (-1, False)])
@pytest.mark.parametrize(("until", "right"), [(40, True), (41, False)])
def test_a_session_is_open_where_an_event_within_the_gap_may_belong(
    before: int, left: bool, until: int, right: bool
) -> None:
    rows = ask_tuples(b.sessions(gap=10), of=[at(before), at(10), at(30)], since=5, until=until)
    assert [row[-2:] for row in rows] == [(left, False), (False, right)]


def test_sessions_are_cut_on_a_grid_from_their_start() -> None:
    cut = b.sessions(gap=10, max_length=15)
    points = [at(t) for t in (0, 5, 15, 24, 29, 30)]
    rows = ask_tuples(
        cut, b.select(start=b.col("start"), end=b.col("end"), left=b.col("open_left")), of=points, until=1000
    )
    assert [row[1:3] for row in rows] == [(0, 5), (15, 29), (30, 30)]
    rows = ask_tuples(
        cut, b.select(start=b.col("start"), end=b.col("end"), left=b.col("open_left")), of=points, since=5
    )
    # Wherever the range begins, the grid is that of the session.
    assert [row[1:] for row in rows] == [(5, 5, True), (15, 29, False), (30, 30, False)]


def test_sessions_hold_what_was_reported_as_at_their_first_event() -> None:
    points = [at(-50, firmware="1"), at(3), at(5, firmware="2"), at(50, firmware="3"), at(50, firmware="4")]
    by = b.group(b.BY_FIRMWARE, sessions=b.ROWS, events=b.agg("sum", b.col("count")), time=b.agg("duration"))
    assert ask_tuples(b.sessions(gap=10), by, of=points) == [("1", 1, 2, 2), ("3", 1, 2, 0)]


def test_sessions_belong_to_the_bucket_of_their_start() -> None:
    points = [at(DAY - 5), at(DAY + 5)]
    by_day = b.group(b.named(day=b.truncate("1d")), rows=b.ROWS, time=b.agg("duration"))
    assert ask_tuples(b.sessions(gap=10), by_day, of=points, until=2 * DAY) == [(0, 1, 10)]


def test_windows() -> None:
    points = [at(HOUR - 1, temp=1.0, firmware="1"), at(HOUR, temp=2.0), at(2 * HOUR - 1, temp=4.0, firmware="2")]
    rows = ask_tuples(
        b.windows("1h", v=b.agg("mean", b.TEMP)),
        b.select(
            start=b.col("start"), end=b.col("end"), time=b.DURATION, n=b.col("count"), v=b.col("v"), fw=b.FIRMWARE
        ),
        of=points,
        since=HOUR - 1,
        until=2 * HOUR,
    )
    assert rows == [("a", 0, HOUR, HOUR, 1, 1.0, "1"), ("a", HOUR, 2 * HOUR, HOUR, 2, 3.0, "1")]


@pytest.mark.parametrize(
    ("every", "zone", "t", "start", "end"),
    [
        ("30s", "UTC", "2024-03-01T00:00:45+00:00", "2024-03-01T00:00:30+00:00", "2024-03-01T00:01:00+00:00"),
        ("1d", "Europe/London", "2024-03-31T12:00+00:00", "2024-03-31T00:00+00:00", "2024-03-31T23:00+00:00"),
        ("1d", "Europe/London", "2024-10-27T12:00+00:00", "2024-10-26T23:00+00:00", "2024-10-28T00:00+00:00"),
        ("6h", "Europe/London", "2024-03-31T04:59+00:00", "2024-03-31T00:00+00:00", "2024-03-31T05:00+00:00"),
        ("1h", "Europe/London", "2024-10-27T01:30+00:00", "2024-10-27T01:00+00:00", "2024-10-27T02:00+00:00"),
        ("1h", "Asia/Kolkata", "2024-03-01T00:00+00:00", "2024-02-29T23:30+00:00", "2024-03-01T00:30+00:00"),
        ("1d", "America/Sao_Paulo", "2018-11-04T12:00+00:00", "2018-11-04T03:00+00:00", "2018-11-05T02:00+00:00"),
        ("1w", "UTC", "2024-03-31T12:00+00:00", "2024-03-25T00:00+00:00", "2024-04-01T00:00+00:00"),
        ("2d", "UTC", "1970-01-04T12:00+00:00", "1970-01-03T00:00+00:00", "1970-01-05T00:00+00:00"),
        ("1mo", "Europe/London", "2024-03-31T23:30+00:00", "2024-03-31T23:00+00:00", "2024-04-30T23:00+00:00"),
        ("3mo", "UTC", "2024-03-31T12:00+00:00", "2024-01-01T00:00+00:00", "2024-04-01T00:00+00:00"),
        ("1y", "UTC", "2024-12-31T23:59+00:00", "2024-01-01T00:00+00:00", "2025-01-01T00:00+00:00"),
        ("5y", "UTC", "2024-12-31T23:59+00:00", "2020-01-01T00:00+00:00", "2025-01-01T00:00+00:00"),
    ],
)
def test_calendar_buckets(every: str, zone: str, t: str, start: str, end: str) -> None:
    assert bucket(us(t), every, zone) == (us(start), us(end))


@given(
    st.datetimes(datetime(1971, 1, 1), datetime(2037, 1, 1), timezones=st.just(UTC)),
    st.sampled_from(["10m", "1h", "6h", "1d", "1w", "1mo", "1y"]),
    st.sampled_from(
        ["UTC", "Europe/London", "Australia/Lord_Howe", "America/Havana", "America/Sao_Paulo", "Pacific/Apia"]
    ),
)
def test_buckets_tile_the_time(moment: datetime, every: str, zone: str) -> None:
    t = us(moment.isoformat())
    start, end = bucket(t, every, zone)
    assert start <= t < end
    assert bucket(start, every, zone) == bucket(end - 1, every, zone) == (start, end)
    assert bucket(end, every, zone)[0] == end


def test_hours_and_weekdays_are_local() -> None:
    t = us("2024-03-31T23:30:00+00:00")  # Monday 00:30 in London
    parts = {"hour": b.fn("hour", b.NOW, zone="Europe/London"), "weekday": b.fn("weekday", b.NOW, zone="Europe/London")}
    assert ask(b.select(**parts), of=[at(t)], until=t + 1) == [{"device": "a", "ts": t, "hour": 0, "weekday": 0}]


def test_meaningless_questions_are_refused() -> None:
    with pytest.raises(ValueError, match="no meaning over sessions"):
        ask(b.sessions(), b.group([], t=b.agg("known_time")), of=[])
    with pytest.raises(ValueError, match="a group has no time"):
        ask(b.group(b.BY_DEVICE, rows=b.ROWS), b.select(t=b.NOW), of=[at(1)])
    with pytest.raises(KeyError):
        ask(b.select(x=b.col("nowhere")), of=[at(1)])
    assert ask(b.select(key=b.DEVICE), of=[at(1)]) == [{"device": "a", "ts": 1, "key": "a"}]
