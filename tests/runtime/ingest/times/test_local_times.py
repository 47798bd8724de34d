"""Times of a zone's clock against Python's zoneinfo, in forty zones and all years."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from importlib.resources import files
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflow.times.zones import clock_of
from operators.kernels.times.iso_times import LOCAL, LOCAL_DATE, ZONED
from runtime.errors import IngestError
from runtime.ingest.inputs.reading import Reading
from runtime.ingest.times.time_texts import TimeTexts

EPOCH = datetime(1970, 1, 1)
ZONES = [
    "Africa/Abidjan", "Africa/Cairo", "Africa/Casablanca", "Africa/El_Aaiun", "Africa/Johannesburg",
    "America/Argentina/San_Luis", "America/Asuncion", "America/Caracas", "America/Havana", "America/Los_Angeles",
    "America/New_York", "America/Nuuk", "America/Santiago", "America/Sao_Paulo", "America/Scoresbysund",
    "America/St_Johns", "Antarctica/Troll", "Asia/Amman", "Asia/Beirut", "Asia/Famagusta", "Asia/Gaza",
    "Asia/Jerusalem", "Asia/Kathmandu", "Asia/Kolkata", "Asia/Pyongyang", "Asia/Tehran", "Asia/Tokyo",
    "Atlantic/Azores", "Australia/Adelaide", "Australia/Lord_Howe", "Etc/GMT+12", "Europe/Berlin", "Europe/Dublin",
    "Europe/Lisbon", "Europe/London", "Europe/Moscow", "Pacific/Apia", "Pacific/Chatham", "Pacific/Kiritimati",
    "Pacific/Kwajalein", "Pacific/Norfolk", "UTC",
]  # fmt: skip


@lru_cache
def python_zone(name: str) -> ZoneInfo:
    with files("tzdata").joinpath("zoneinfo", *name.split("/")).open("rb") as file:
        return ZoneInfo.from_file(file, name)


def taken(zone: str, shown: list[int], said: int = LOCAL) -> list[tuple[int | None, bool]]:
    """The instants, None for one that the clock never shows, and whether it shows it twice."""
    texts = TimeTexts.of(Reading.of({"time_zone": zone}))
    found = texts.instants(np.array(shown, np.int64), np.full(len(shown), said, np.uint8))
    columns = (found.times.tolist(), found.never.tolist(), found.twice.tolist())
    return [(None if never else t, twice) for t, never, twice in zip(*columns, strict=True)]


def expected(zone: str, shown: int) -> tuple[int | None, bool]:
    local = (EPOCH + timedelta(microseconds=shown)).replace(tzinfo=python_zone(zone))
    first, second = (local.replace(fold=fold).astimezone(UTC) for fold in (0, 1))
    if first.astimezone(local.tzinfo).replace(tzinfo=None) != local.replace(tzinfo=None):
        return None, False
    return (first.replace(tzinfo=None) - EPOCH) // timedelta(microseconds=1), first != second


times = st.datetimes(EPOCH, datetime(2261, 12, 30)).map(lambda at: (at - EPOCH) // timedelta(microseconds=1))


@st.composite
def near_changes(draw: st.DrawFn) -> tuple[str, list[int]]:
    """Local times, most of them where a zone's offset changes."""
    zone = draw(st.sampled_from(ZONES))
    clock = clock_of(zone)
    changes = [int(c) for c in clock.changes if 0 < c < 9_214_000_000_000_000]
    near = st.builds(
        lambda change, offset, by: change + offset + by,
        st.sampled_from(changes or [10**15]),
        st.sampled_from(sorted({int(o) for o in clock.offsets[-4:]} | {0})),
        st.integers(-7_300_000_000, 7_300_000_000)
        | st.sampled_from([0, -1, 3_600_000_000, 3_599_999_999, 1_800_000_000]),
    ).filter(lambda t: t > 86_400_000_000)
    return zone, draw(st.lists(near | times, min_size=1, max_size=30))


@given(near_changes())
def test_local_times_are_those_of_zoneinfo(given_: tuple[str, list[int]]) -> None:
    zone, shown = given_
    assert taken(zone, shown) == [expected(zone, t) for t in shown]


@pytest.mark.parametrize("zone", ZONES)
def test_every_change_since_1970_is_that_of_zoneinfo(zone: str) -> None:
    clock = clock_of(zone)
    known = [i for i in range(1, len(clock.changes)) if 86_400_000_000 < clock.changes[i] < 4_102_444_800_000_000]
    shown = [
        int(clock.changes[i]) + int(offset) + by
        for i in known
        for offset in clock.offsets[i - 1 : i + 1]
        for by in (-1, 0, 1)
    ]
    assert taken(zone, shown) == [expected(zone, t) for t in shown]


def day(text: str) -> int:
    return int(np.datetime64(text, "us").astype(np.int64))


@pytest.mark.parametrize(
    ("zone", "date", "begins"),
    [
        ("America/Sao_Paulo", "2018-11-04", "2018-11-04T03:00"),  # its midnight is left out
        ("America/Havana", "2024-11-03", "2024-11-03T04:00"),  # its midnight is shown twice
        ("Europe/Berlin", "2024-07-01", "2024-06-30T22:00"),
        ("Pacific/Apia", "2011-12-31", "2011-12-30T10:00"),
        ("Pacific/Apia", "2011-12-30", None),  # the day was left out
    ],
)
def test_a_date_is_when_the_day_begins(zone: str, date: str, begins: str | None) -> None:
    assert taken(zone, [day(date)], LOCAL_DATE) == [(None if begins is None else day(begins), False)]


def test_only_local_times_are_of_the_zone() -> None:
    assert taken("Europe/Berlin", [day("2024-03-31T02:30")], ZONED) == [(day("2024-03-31T02:30"), False)]
    assert taken("Europe/Berlin", [day("2024-03-31T02:30")]) == [(None, False)]
    assert taken("Europe/Berlin", [day("2024-10-27T02:30")]) == [(day("2024-10-27T00:30"), True)]
    assert taken("Europe/Berlin", [2**63 - 1, -(2**63), 2**62]) == [
        (2**63 - 1, False),
        (-(2**63), False),
        (2**62, False),
    ]


@pytest.mark.parametrize("zone", ["Berlin", "europe/berlin", "CEST", "+01:00", "../x"])
def test_unknown_zones(zone: str) -> None:
    with pytest.raises(IngestError, match=re.escape(f"time_zone: there is no time zone {zone!r}; ")):
        TimeTexts.of(Reading.of({"time_zone": zone}))
