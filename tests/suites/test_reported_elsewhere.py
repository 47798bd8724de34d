"""Wrong results that users of other systems reported: windows, calendars, sessions, counters.

Each test names the report. The expected values are worked out by hand from the meaning that the reporter expected.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import dataflow as df
from runtime import Store

MINUTE = timedelta(minutes=1)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


@pytest.fixture
def ask(tmp_path: Path) -> Any:
    """Ingest points (key, time, value), each list as a source of its own, and answer with rows."""

    def asked(metric: Any, *sources: Sequence[tuple[str, datetime, float]], **options: Any) -> list[tuple[Any, ...]]:
        with Store(tmp_path / "store", create=True) as store:
            for points in sources:
                columns = {
                    "k": pa.array([k for k, _, _ in points]),
                    "t": pa.array([t for _, t, _ in points], pa.timestamp("us", "UTC")),
                    "v": pa.array([v for _, _, v in points]),
                }
                store.ingest("s", pa.table(columns), key="k", time="t", progress=False)
            result = store.query(metric, progress=False, **options)
            return list(zip(*(c.to_list() for c in result.columns.values()), strict=True))

    return asked


LATER = timedelta(days=20_000)
"""Event times are after 1970: earlier instants are those of points so much later."""


def by(every: str, zone: str = "UTC", earlier: timedelta = timedelta()) -> Any:
    return df.stream("s").group_by(b=(df.time() - earlier).truncate(every, zone=zone)).agg(n=df.count())


def starts(rows: list[tuple[Any, ...]]) -> list[tuple[datetime, int]]:
    return [(b if isinstance(b, datetime) else datetime.fromtimestamp(b / 1e6, UTC), n) for b, n in rows]


def test_an_hour_that_the_clock_shows_twice(ask: Any) -> None:
    """RisingWave 12072: both were put into the second."""
    points = [("a", at("2023-11-05T01:40-07:00"), 1.0), ("a", at("2023-11-05T01:40-08:00"), 1.0)]
    found = starts(ask(by("1h", "US/Pacific"), points))
    assert found == [(at("2023-11-05T01:00-07:00"), 1), (at("2023-11-05T01:00-08:00"), 1)]


def test_no_bucket_starts_after_its_point(ask: Any) -> None:
    """DuckDB 5665, TimescaleDB 9136: after the clock went back, buckets of a zone began an hour too late."""
    points = [("a", at("2000-10-28T23:00+00:00") + n * 10 * MINUTE, 1.0) for n in range(30)]
    found = starts(ask(by("10m", "Europe/London"), points))
    assert found == [(t, 1) for _, t, _ in points]


def test_weeks_of_a_zone_across_a_change_of_its_clock(ask: Any) -> None:
    """InfluxDB 20238: a week in which the clock changes had a second row, an hour off."""
    days = ("2020-03-16T09:00", "2020-03-17T09:00", "2020-03-18T09:00")
    points = [("a", at(f"{d}+01:00"), 1.0) for d in days] + [("a", at("2020-03-30T10:00+02:00"), 1.0)]
    found = starts(ask(by("1w", "Europe/Rome"), points))
    assert found == [(at("2020-03-16T00:00+01:00"), 3), (at("2020-03-30T00:00+02:00"), 1)]


def test_a_month_that_begins_at_a_midnight_shown_twice(ask: Any) -> None:
    """Spark 57769: the month's points fell into two groups, by the offset of each."""
    points = [("a", at(t) + LATER, 1.0) for t in ("1916-09-30T22:30Z", "1916-09-30T23:30Z", "1916-10-15T12:00Z")]
    found = starts(ask(by("1mo", "Europe/Berlin", LATER), points))
    assert found == [(at("1916-10-01T00:00+02:00"), 3)]


def test_a_quarter_with_another_offset_at_its_beginning(ask: Any) -> None:
    """DataFusion Comet 3877: the offset of the point was taken for that of the quarter's first day."""
    found = starts(ask(by("3mo", "America/Denver"), [("a", at("2024-11-15T12:00-07:00"), 1.0)]))
    assert found == [(at("2024-10-01T00:00-06:00"), 1)]


@pytest.mark.parametrize("every", ["1m", "1h", "1d"])
def test_buckets_before_1970(ask: Any, every: str) -> None:
    """Flux 2856, Flink 26334, ArcadeDB 6824: division towards zero put points into the bucket after theirs."""
    points = [("a", at(t) + LATER, 1.0) for t in ("1969-12-31T23:30:30Z", "1970-01-01T00:00:10Z")]
    rows = starts(ask(by(every, earlier=LATER), points))
    first = {"1m": "1969-12-31T23:30Z", "1h": "1969-12-31T23:00Z", "1d": "1969-12-31T00:00Z"}[every]
    assert rows == [(at(first), 1), (at("1970-01-01T00:00Z"), 1)]


def test_a_session_ends_with_its_last_event(ask: Any) -> None:
    """ksqlDB 1995: its end was a gap later."""
    points = [("a", at("2024-01-01T00:00Z") + n * timedelta(seconds=10), 1.0) for n in range(3)]
    sessions = df.stream("s").sessionize("30s").agg(n=df.count(), longest=df.max("duration"))
    assert ask(sessions, points) == [(1, 20_000_000)]


def test_a_late_event_joins_two_sessions(ask: Any) -> None:
    """Flink 4589, Euphoria 79: what came late and lay between two sessions left both as they were."""
    start = at("2024-01-01T00:00Z")
    first = [("a", start, 1.0), ("a", start + 10 * MINUTE, 2.0)]
    late = [("a", start + 5 * MINUTE, 4.0)]
    sessions = df.stream("s").sessionize("5m", total=df.sum("v")).agg(n=df.count(), most=df.max("total"))
    assert ask(sessions, first, late) == [(1, 7.0)]


def test_a_counter_that_restarts(ask: Any) -> None:
    """Prometheus 1892 and 2108: the first value after a restart was lost; increases were extrapolated beyond it."""
    values = (0, 1, 2, 3, 2, 3, 4)
    points = [("a", at("2024-01-01T00:00Z") + 5 * n * MINUTE, float(v)) for n, v in enumerate(values)]
    assert ask(df.stream("s").agg(up=df.increase("v")), points) == [(7.0,)]


def test_empty_months_of_a_zone_are_there_once(ask: Any) -> None:
    """TimescaleDB 6170: gap filling gave a month twice, once by each of two offsets."""
    points = [("a", at("2023-06-10T12:00Z"), 1.0), ("a", at("2023-12-10T12:00Z"), 1.0)]
    months = df.time().truncate("1mo", zone="Europe/Berlin")
    filled = df.stream("s").group_by(b=months).with_empty_buckets().agg(n=df.count())
    found = starts(ask(filled, points))
    expected = [at(f"2023-{m:02}-01T00:00+0{1 if m > 10 else 2}:00") for m in range(6, 13)]
    assert [b for b, _ in found] == expected
    assert [n for _, n in found] == [1, 0, 0, 0, 0, 0, 1]


def test_days_that_begin_at_six_by_the_clock_after_a_change(ask: Any) -> None:
    """Polars 15966: the first window after a change of the clock began an hour off."""
    points = [("a", at("2023-03-26T14:56Z"), 4.0), ("a", at("2023-03-27T14:56Z"), 5.0)]
    metric = (
        df.stream("s")
        .group_by(b=(df.time() - timedelta(hours=6)).truncate("1d", zone="Europe/Paris"))
        .agg(n=df.sum("v"))
    )
    found = starts(ask(metric, points))
    assert found == [(at("2023-03-26T00:00+01:00"), 4), (at("2023-03-27T00:00+02:00"), 5)]
