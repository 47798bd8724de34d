"""Bucket edges and offsets of all years against Python's calendar, in zones with odd clocks."""

from __future__ import annotations

import time
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflow.tables.calendars import calendar
from dataflow.times.calendar_tables import bucket_edges, bucket_table, longest_bucket, most_buckets, offset_table
from dataflow.times.durations import parse_offset
from dataflow.times.zones import clock_of, zone_names, zone_rules
from operators.errors import DataflowError
from operators.kernels.times.calendar import (
    OUTSIDE,
    bucket_edge,
    bucket_end,
    bucket_number,
    bucket_start,
    hour_of,
    in_years,
    minute_of,
    offset_place,
    second_of,
    weekday_of,
)
from operators.kernels.times.dates import day_of, day_of_year_of, iso_week_of, month_of, quarter_of, year_of
from operators.kernels.times.moved_dates import moved_date
from runtime.testing.oracle.buckets import EPOCH, MICROSECOND, bucket, local, moved
from runtime.testing.oracle.odd_zones import ODD_ZONES

HOUR = 3_600_000_000
LO, HI = ((datetime(year, 1, 1, tzinfo=UTC) - EPOCH) // MICROSECOND for year in (1900, 2262))
EVERY = (
    "15m", "1h", "2h", "6h", "12h", "1d", "7d", "1w", "2w", "1mo", "3mo", "1y", "10y", "100y",
    "1d+6h", "1d+90m", "1d+150m", "3d+50h", "1w@sun", "1w@tue+5h", "2w@sat+9d", "1mo+14d", "1mo+9000s", "3mo+70d",
    "1y+91d",
)  # fmt: skip


OFFSETS = ("1mo", "-1mo", "1y", "-13mo", "1d", "-1d", "+3d", "2w", "-6w", "1y2mo3w4d", "-100y", "360y", "-360y1d")


def changes(zone: str) -> list[int]:
    return [t for t in clock_of(zone).changes.tolist() if LO + 48 * HOUR < t < HI - 48 * HOUR]


@st.composite
def moments(draw: st.DrawFn) -> tuple[str, int]:
    """A zone, and a time: one of the years, or near a change of the zone's clock."""
    zone = draw(st.sampled_from(ODD_ZONES))
    near = changes(zone)
    if not near or draw(st.booleans()):
        return zone, draw(st.integers(LO, HI - 1))
    reach = draw(st.sampled_from([1, 2 * HOUR, 30 * HOUR]))
    return zone, draw(st.sampled_from(near)) + draw(st.integers(-reach, reach))


@given(moments(), st.sampled_from(EVERY))
def test_buckets(moment: tuple[str, int], every: str) -> None:
    zone, t = moment
    table = bucket_table(every, zone)
    start, end = bucket_start(t, *table), bucket_end(t, *table)
    assert (start, end) == bucket(t, every, zone)
    assert 0 < end - start <= longest_bucket(every)
    number = bucket_number(t, *table)
    assert (bucket_edge(number, *table), bucket_edge(number + 1, *table)) == (start, end)


@given(moments(), st.sampled_from(OFFSETS))
def test_moved_dates(moment: tuple[str, int], by: str) -> None:
    zone, t = moment
    right = moved(t, by, zone)
    found = moved_date(t, *parse_offset(by, "offset_by"), *offset_table(zone))
    assert found == (OUTSIDE if right is None else right)


@given(moments())
def test_clocks(moment: tuple[str, int]) -> None:
    zone, t = moment
    offsets = offset_table(zone)
    shown = t + offsets[1][offset_place(t, *offsets)]
    clock = local(t, zone)
    assert shown == (clock.replace(tzinfo=UTC) - EPOCH) // MICROSECOND
    assert (hour_of(shown), weekday_of(shown)) == (clock.hour, clock.weekday())
    assert (minute_of(shown), second_of(shown)) == (clock.minute, clock.second)
    assert (year_of(shown), month_of(shown), day_of(shown)) == (clock.year, clock.month, clock.day)
    assert quarter_of(shown) == (clock.month + 2) // 3
    assert (iso_week_of(shown), day_of_year_of(shown)) == (clock.isocalendar().week, clock.timetuple().tm_yday)


@given(moments(), st.sampled_from(["15m", "1h", "6h", "1d", "1w", "1mo"]), st.integers(1, 40))
def test_all_buckets(moment: tuple[str, int], every: str, n: int) -> None:
    zone, t = moment
    edges = [bucket(t, every, zone)[0]]
    for _ in range(n):
        if edges[-1] >= HI - 62 * 24 * HOUR:
            break
        edges.append(bucket(edges[-1], every, zone)[1])
    assert bucket_edges(every, zone, edges[0], edges[-1], 1000).tolist() == edges[:-1]
    assert bucket_edges(every, zone, edges[0], edges[-1] + 1, 1000).tolist() == edges
    assert bucket_edges(every, zone, edges[0], edges[-1] + 1, 3).tolist() == edges[:4]


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Asia/Kathmandu"])
@pytest.mark.parametrize("every", EVERY)
def test_the_first_and_the_last_time(zone: str, every: str) -> None:
    table, offsets = bucket_table(every, zone), offset_table(zone)
    for t in (LO, HI - 1):
        assert (bucket_start(t, *table), bucket_end(t, *table)) == bucket(t, every, zone)
        assert in_years(t)
        assert offset_place(t, *offsets) >= 0
    for t in (LO - 1, HI, -(2**63), 2**63 - 1):
        assert bucket_start(t, *table) == bucket_end(t, *table) == bucket_number(t, *table) == OUTSIDE
        assert not in_years(t)
        assert offset_place(t, *offsets) == -1


@pytest.mark.parametrize("around", [1, 3, 1000])
@pytest.mark.parametrize("every", ["1d", "1w", "1mo", "1y", "1d+6h", "2w@sun+13d", "1mo+27d"])
def test_buckets_around_the_years(every: str, around: int) -> None:
    table = bucket_table(every, "Europe/Berlin", around)
    for t in (LO, HI - 1):
        number = bucket_number(t, *table)
        edges = [bucket_edge(number + i, *table) for i in range(-around, around + 2)]
        assert OUTSIDE not in edges
        assert edges == sorted(set(edges))


def test_the_longest_buckets() -> None:
    for every in ("100000y", "100000mo", "100000w", "100000d"):
        for zone in ("UTC", "Europe/Berlin"):
            table = bucket_table(every, zone, 1)
            assert bucket_start(LO, *table) <= LO < bucket_end(LO, *table)


def test_every_zone_from_a_year_to_the_next() -> None:
    """Offsets of all zones at 1 January and 1 July, and around some of their changes."""
    years = [(datetime(y, m, 1, 1, tzinfo=UTC) - EPOCH) // MICROSECOND for y in range(1900, 2262, 7) for m in (1, 7)]
    for name in sorted(zone_names()):
        offsets = offset_table(name)
        near = changes(name)
        for t in [*years, *(t + by for t in near[:: max(1, len(near) // 20)] for by in (-1, 0))]:
            right = local(t, name).utcoffset()
            assert right is not None
            assert offsets[1][offset_place(t, *offsets)] == right // MICROSECOND, (name, t)


def test_days_of_23_and_25_hours() -> None:
    edges, _, _ = bucket_table("1d", "Europe/London")
    recent = np.diff(edges[edges > 0]) // HOUR
    assert set(recent.tolist()) == {23, 24, 25}
    start = (datetime(2024, 1, 1, tzinfo=UTC) - EPOCH) // MICROSECOND
    six = bucket_edges("6h", "Europe/London", start, start + 366 * 24 * HOUR, 10_000)
    assert set((np.diff(six) // HOUR).tolist()) == {5, 6, 7}


def test_short_buckets_in_a_zone_of_odd_minutes() -> None:
    table = bucket_table("32s", "Asia/Kathmandu")
    t = (datetime(1950, 5, 17, 12, 0, 1, tzinfo=UTC) - EPOCH) // MICROSECOND
    assert (bucket_start(t, *table), bucket_end(t, *table)) == bucket(t, "32s", "Asia/Kathmandu")


def test_no_such_zone() -> None:
    for name in ("", "Mars/Base", "../Europe/Berlin", "europe/berlin", "/etc/localtime"):
        with pytest.raises(DataflowError, match="there is no time zone"):
            zone_rules(name)


@pytest.mark.alone
def test_tables_are_made_quickly() -> None:
    """A query waits for those that it needs."""
    spent = {}
    for name, make in {
        "offsets": lambda: offset_table.__wrapped__("Europe/Berlin"),
        "hours": lambda: bucket_table.__wrapped__("1h", "Asia/Kathmandu"),
        "days": lambda: bucket_table.__wrapped__("1d", "Europe/Berlin"),
        "months": lambda: bucket_table.__wrapped__("1mo", "Europe/Berlin"),
        "calendar": lambda: calendar({"mon-fri": "09:00-17:00"}, "Europe/Berlin").periods(),
    }.items():
        begun = time.process_time()
        make()
        spent[name] = time.process_time() - begun
    assert max(spent.values()) < 0.2, spent


@pytest.mark.parametrize(
    ("every", "zone", "length"),
    [
        ("10m", "UTC", HOUR),
        ("1d", "UTC", 24 * HOUR),
        ("1d", "Europe/London", 720 * HOUR),
        ("1d", "Pacific/Apia", 168 * HOUR),
        ("6h", "Africa/Casablanca", 720 * HOUR),
        ("1h", "Australia/Lord_Howe", 24 * HOUR - 1),
        ("1mo", "Asia/Kolkata", 8760 * HOUR),
    ],
)
def test_so_many_buckets_touch_a_span(every: str, zone: str, length: int) -> None:
    """Never fewer than there are, and not many more."""
    edges = bucket_edges(every, zone, LO, HI, 2**40)
    last = np.searchsorted(edges, edges + length, side="right")
    there = int((last - np.arange(len(edges))).max()) + 1  # from just before an edge on
    assert there <= most_buckets(every, zone, length) <= there + 30
