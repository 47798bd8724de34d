"""Calendars against the wall clock, quarter of an hour by quarter of an hour."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

import dataflow as df
from dataflow.tables.calendars import Calendar
from dataflow.tables.reference_tables import Periods
from runtime.testing.oracle.combined_timelines import QUARTER, clock_within
from runtime.testing.oracle.oracle_zones import zone as zone_of

DAY = 96
ZONES = ["UTC", "Europe/London", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe", "America/Sao_Paulo"]
DAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


def hours(quarters: int) -> str:
    return f"{quarters // 4:02}:{quarters % 4 * 15:02}"


@st.composite
def calendars(draw: st.DrawFn) -> tuple[dict[str, list[str]], str]:
    weekly = {}
    for days in draw(st.lists(st.sampled_from([*DAYS, "mon-fri", "sat-mon", "tue,thu"]), min_size=1, unique=True)):
        spans = draw(st.lists(st.tuples(st.integers(0, DAY - 1), st.integers(1, DAY)), min_size=1, max_size=3))
        weekly[days] = [f"{hours(a)}-{hours(b)}" for a, b in spans if a != b] or ["09:00-17:00"]
    return weekly, draw(st.sampled_from(ZONES))


def said(weekly: dict[str, list[str]], zone: str, quarter: int) -> bool:
    """Whether a calendar as it is written holds; hours that end before they start go on the next day."""
    now = datetime.fromtimestamp(quarter * 900, zone_of(zone))
    for names, spans in weekly.items():
        for name in names.split(","):
            first, _, last = name.partition("-")
            a, b = DAYS.index(first), DAYS.index(last or first)
            days = {d % 7 for d in range(a, (b if b >= a else b + 7) + 1)}
            for span in spans:
                begin, end = span.split("-")
                clock = f"{now:%H:%M}"
                if begin < end and now.weekday() in days and begin <= clock < end:
                    return True
                if end < begin and now.weekday() in days and clock >= begin:
                    return True
                if end < begin and (now.weekday() - 1) % 7 in days and clock < end:
                    return True
    return False


def near(rows: Periods, lo: int, hi: int) -> list[tuple[int, int]]:
    """The periods that overlap [lo, hi]."""
    some = (rows.ends > lo) & (rows.starts <= hi)
    return list(zip(rows.starts[some].tolist(), rows.ends[some].tolist(), strict=True))


@given(
    calendar=calendars(),
    # Around the days of 2024 on which clocks change, and any other.
    day=st.sampled_from([19_789, 19_792, 19_811, 20_018, 20_023, 20_029]) | st.integers(-25_000, 106_000),
)
def test_hours_of_the_wall_clock(calendar: tuple[dict[str, list[str]], str], day: int) -> None:
    weekly, zone = calendar
    made = df.calendar(weekly, zone)
    first, last = (day - 1) * DAY, (day + 3) * DAY
    rows = made.periods()
    assert (rows.starts < rows.ends).all()
    assert (rows.ends[:-1] < rows.starts[1:]).all()
    spans = near(rows, first * QUARTER, last * QUARTER)
    for q in range(first, last):
        # In none of these zones does the clock jump within a quarter.
        inside = any(a <= q * QUARTER < b for a, b in spans)
        assert inside == said(weekly, zone, q) == clock_within(made.weekly, zone, q)


@given(
    calendar=calendars(),
    gone=st.lists(st.tuples(st.integers(0, 300), st.integers(1, 50)), max_size=4),
)
def test_exceptions(calendar: tuple[dict[str, list[str]], str], gone: list[tuple[int, int]]) -> None:
    weekly, zone = calendar
    first = 19_800 * DAY
    spans = [((first + a) * QUARTER, (first + a + n) * QUARTER) for a, n in gone]
    utc = [tuple(datetime.fromtimestamp(t / 1e6, UTC) for t in span) for span in spans]
    rows = df.calendar(weekly, zone, utc).periods()  # type: ignore[arg-type]
    kept = near(rows, first * QUARTER, (first + 400) * QUARTER)
    for q in range(first, first + 400):
        t = q * QUARTER
        inside = any(a <= t < b for a, b in kept)
        assert inside == (said(weekly, zone, q) and not any(a <= t < b for a, b in spans))


def test_whole_days_and_local_spans() -> None:
    zone = "Europe/London"
    days: list[object] = ["2024-03-31", date(2024, 6, 1)]
    made = df.calendar({"mon-sun": "00:00-24:00"}, zone, [*days, ("2024-07-01T12:00", "2024-07-02")])  # type: ignore[list-item]
    assert [(b - a) // 3_600_000_000 for a, b in made.except_] == [23, 24, 12]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: df.calendar({}), "calendar takes hours by day"),
        (lambda: df.calendar({"monday": "09:00-17:00"}), "'monday' is not a day"),
        (lambda: df.calendar({"mon": "9-17"}), "'9-17' is not a span of hours"),
        (lambda: df.calendar({"mon": "09:00-17:60"}), "is not a span of hours"),
        (lambda: df.calendar({"mon": "09:00-09:00"}), "and not be empty"),
        (lambda: df.calendar({"mon": "09:00-24:01"}), "end by 24:00"),
        (lambda: df.calendar({"mon": "09:00-17:00"}, zone="Mars/Base"), "there is no time zone 'Mars/Base'"),
        (lambda: df.calendar({"mon": "09:00-17:00"}, except_=["christmas"]), "is not a day"),
        (lambda: df.calendar({"mon": "09:00-17:00"}, except_=["2262-12-25"]), "outside of the years 1900 to 2261"),
        (
            lambda: df.calendar({"mon-sun": [f"{h:02}:{m}0-{h:02}:{m}5" for h in range(24) for m in range(2)]}),
            "336 spans of hours in a week are more than 168",
        ),
        (lambda: df.calendar({"mon": "09:00-17:00"}, except_=[("2024-01-02", "2024-01-01")]), "must end after"),
        (lambda: df.calendar({"mon": "09:00-17:00"}, except_=[("a", "b")]), "'a' is not a time"),
        (lambda: df.calendar({"mon": "09:00-17:00"}, except_=[("2024-01-02",)]), "is not a pair"),  # type: ignore[list-item]
    ],
)
def test_mistakes(make: Callable[[], Calendar], message: str) -> None:
    with pytest.raises(df.DataflowError, match=message):
        make()
