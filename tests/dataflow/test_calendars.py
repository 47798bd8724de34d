"""Bucket edges and offsets against Python's own calendar."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dataflow.calendars import bucket_table, offset_table
from operators.errors import DataflowError

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LO = datetime(2023, 12, 1, tzinfo=UTC)
HI = datetime(2025, 2, 1, tzinfo=UTC)


def micros(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(microseconds=1)


def start(t: int, every: str, zone: str) -> int:
    edges, width, origin = bucket_table(every, zone, micros(LO), micros(HI))
    if len(edges) == 0:
        return (t - origin) // width * width + origin
    return int(edges[np.searchsorted(edges, t, side="right") - 1])


@given(
    st.datetimes(LO.replace(tzinfo=None), HI.replace(tzinfo=None)),
    st.sampled_from(["UTC", "Europe/London", "Asia/Kolkata"]),
)
def test_days_weeks_months(moment: datetime, zone: str) -> None:
    moment = moment.replace(tzinfo=UTC)
    local = moment.astimezone(ZoneInfo(zone))
    midnight = datetime(local.year, local.month, local.day, tzinfo=ZoneInfo(zone))
    t = micros(moment)
    assert start(t, "1d", zone) == micros(midnight)
    monday = datetime(local.year, local.month, local.day) - timedelta(days=local.weekday())
    assert start(t, "1w", zone) == micros(monday.replace(tzinfo=ZoneInfo(zone)))
    assert start(t, "1mo", zone) == micros(datetime(local.year, local.month, 1, tzinfo=ZoneInfo(zone)))
    assert start(t, "1y", zone) == micros(datetime(local.year, 1, 1, tzinfo=ZoneInfo(zone)))


@given(
    st.datetimes(LO.replace(tzinfo=None), HI.replace(tzinfo=None)), st.sampled_from(["Europe/London", "Asia/Kolkata"])
)
def test_offsets(moment: datetime, zone: str) -> None:
    changes, offsets = offset_table(zone, micros(LO), micros(HI))
    t = micros(moment.replace(tzinfo=UTC))
    expected = moment.replace(tzinfo=UTC).astimezone(ZoneInfo(zone)).utcoffset()
    assert expected is not None
    assert offsets[np.searchsorted(changes, t, side="right") - 1] == expected // timedelta(microseconds=1)


def test_days_of_23_and_25_hours() -> None:
    edges, _, _ = bucket_table("1d", "Europe/London", micros(LO), micros(HI))
    lengths = set((np.diff(edges) // 3_600_000_000).tolist())
    assert lengths == {23, 24, 25}
    six, _, _ = bucket_table("6h", "Europe/London", micros(LO), micros(HI))
    assert set((np.diff(six) // 3_600_000_000).tolist()) == {5, 6, 7}


def test_too_many_buckets() -> None:
    with pytest.raises(DataflowError, match="use a longer one"):
        bucket_table("32s", "Asia/Kathmandu", 0, micros(HI))
