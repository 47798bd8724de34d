"""Parts of times, weeks that begin on any day, and days and months that begin later."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

import dataflow as df
from operators.errors import DataflowError
from runtime import Store

POINTS = df.stream("s")
AT = df.time()
HOUR = 3_600_000_000


def at(text: str) -> int:
    return (datetime.fromisoformat(text) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


@pytest.fixture
def ask(tmp_path: Path):  # type: ignore[no-untyped-def]
    def asked(times: list[str], metric: df.Stream) -> list[tuple[object, ...]]:
        store = Store(tmp_path / "store")
        store.ingest("s", {"k": ["a"] * len(times), "t": times, "x": list(range(len(times)))}, key="k", time="t",
                     progress=False)  # fmt: skip
        assert repr(df.from_json(metric.to_json())) == repr(metric)
        return [*store.query(metric)]

    return asked


def test_weeks_from_sunday(ask) -> None:  # type: ignore[no-untyped-def]
    """2024-03-31 is a Sunday, on which the clock changes in Berlin."""
    week = AT.truncate("1w", "Europe/Berlin", week_start="sun")
    rows = ask(["2024-03-31T00:00:00+01:00", "2024-03-30T23:30:00+01:00"], POINTS.select(week=week))
    assert [row[1] for row in rows] == [at("2024-03-24T00:00:00+01:00"), at("2024-03-31T00:00:00+01:00")]


def test_days_that_begin_at_six(ask) -> None:  # type: ignore[no-untyped-def]
    """Also on the day on which the clock is put forward."""
    times = ["2024-03-31T05:59:00+02:00", "2024-03-31T06:00:00+02:00", "2024-04-01T05:59:00+02:00"]
    rows = ask(times, POINTS.window("1d", "Europe/Berlin", offset="6h").select("start", "end", "count"))
    assert [row[1:] for row in rows] == [
        (at("2024-03-30T06:00:00+01:00"), at("2024-03-31T06:00:00+02:00"), 1),
        (at("2024-03-31T06:00:00+02:00"), at("2024-04-01T06:00:00+02:00"), 2),
    ]


def test_months_from_the_15th(ask) -> None:  # type: ignore[no-untyped-def]
    rows = ask(["2024-02-14T23:59:59Z", "2024-02-15T00:00:00Z", "2024-03-14T12:00:00Z"],
               POINTS.group_by(month=AT.truncate("1mo", offset="14d")).agg(n=df.count()))  # fmt: skip
    assert rows == [(at("2024-01-15T00:00Z"), 1), (at("2024-02-15T00:00Z"), 2)]


def test_zero_times_a_length_is_no_length(ask) -> None:  # type: ignore[no-untyped-def]
    """A 0 beside a length of time is one itself, but not as a factor."""
    length, n = AT - AT.previous(), df.col("x")
    rows = ask(["2024-01-01T00:00Z", "2024-01-01T00:02Z"], POINTS.select(
        a=length * 0, b=0 * length, c=length + 0, d=n * "1s", e="1s" * n, f=length * n))  # fmt: skip
    first, second = (None, None, None, 0, 0, None), (0, 0, 120_000_000, 1_000_000, 1_000_000, 120_000_000)
    assert [row[1:-1] for row in rows] == [first, second]


def test_parts(ask) -> None:  # type: ignore[no-untyped-def]
    """1 January 2025 is a Wednesday, in week 1; in Auckland it is noon then."""
    zone = "Pacific/Auckland"
    parts = {p: getattr(AT, p)(zone) for p in ("year", "quarter", "month", "day", "hour", "minute", "second")}
    more = {
        "iso_week": AT.iso_week(zone),
        "of_year": AT.day_of_year(zone),
        "sunday_first": AT.weekday(zone, first="sun"),
    }
    (row,) = ask(["2024-12-31T23:04:05.678Z"], POINTS.select(**parts, **more))
    assert [*row[1:-1]] == [2025, 1, 1, 1, 12, 4, 5, 1, 1, 3]


def test_parts_of_time_on_intervals(ask) -> None:  # type: ignore[no-untyped-def]
    """An interval over the end of a month is cut there."""
    metric = POINTS.state_duration("x").filter(df.col("x") == 0).group_by(month=AT.month()).agg(time=df.duration())
    rows = ask(["2024-01-31T22:00:00Z", "2024-02-01T05:00:00Z"], metric)
    assert rows == [(1, 2 * HOUR), (2, 5 * HOUR)]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: AT.truncate("1d", week_start="sun"), "only weeks start on a day of the week, not buckets of '1d'"),
        (lambda: AT.truncate("1w", week_start="sunday"), "week_start is one of mon, tue, .*, got 'sunday'"),
        (lambda: AT.truncate("1h", offset="15m"), "only days and longer buckets can have an offset, not '1h'"),
        (lambda: AT.truncate("1d", offset="1d"), "the offset '1d' is not shorter than a bucket of '1d'"),
        (lambda: AT.truncate("1mo", offset="28d"), "not shorter .*a month has at least 28 days"),
        (lambda: AT.truncate("1w@sun", week_start="mon"), "says already when buckets start"),
        (lambda: AT.weekday(first="Sunday"), "weekday: first is one of mon, .*, got 'Sunday'"),
        (lambda: POINTS.window("10m", offset="1m"), "window: only days and longer"),
        (lambda: POINTS.cohorts(True, True, "1d", week_start="sun"), "cohorts: only weeks"),
    ],
)
def test_errors(wrong, said: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(DataflowError, match=said):
        wrong()
