"""When rows end: the edges of calendars in zones of odd clocks, windows, sessions; which metrics have final rows."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest

import dataflow as df
from dataflow.plan.row_times import RowEnd, row_times
from operators.types import Type
from runtime.columns import Column
from runtime.errors import QueryError
from runtime.live.following import check_final
from runtime.live.row_ends import NEVER, ends_of
from runtime.result.result import Result

P = df.stream("p")
T = df.time()
STATES = P.state_duration("status", hold="5m")
HOUR = 3_600_000_000


class NoProof:
    def to_dict(self) -> dict[str, object]:
        return {}


def micros(*when: int, zone: str = "UTC") -> int:
    return int((datetime(*when, tzinfo=ZoneInfo(zone)) - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(microseconds=1))  # type: ignore[arg-type,misc]


def result(**columns: list[int | None]) -> Result:
    return Result(
        {
            name: Column(Type.TIME, np.array([v or 0 for v in values]), np.array([v is not None for v in values]))
            for name, values in columns.items()
        },
        NoProof(),
    )


@pytest.mark.parametrize(
    ("every", "zone", "start", "end"),
    [
        ("1h", "UTC", micros(2024, 3, 1, 5), micros(2024, 3, 1, 6)),
        ("1d", "Europe/London", micros(2024, 3, 31), micros(2024, 3, 31, 23)),
        ("1d", "America/St_Johns", micros(2024, 3, 10, zone="America/St_Johns"), micros(2024, 3, 11, 2, 30)),
        ("1mo", "Pacific/Apia", micros(2011, 12, 1, zone="Pacific/Apia"), micros(2012, 1, 1, zone="Pacific/Apia")),
        ("30m", "Australia/Lord_Howe", micros(2024, 4, 6, 15), micros(2024, 4, 6, 15, 30)),
    ],
)
def test_the_end_of_a_bucket_is_the_start_of_the_next(every: str, zone: str, start: int, end: int) -> None:
    found = ends_of(result(b=[start, None, start]), [RowEnd("b", (every, zone))])
    assert found is not None
    assert found.tolist() == [end, NEVER, end]


def test_a_row_ends_with_the_latest_of_its_ends() -> None:
    found = ends_of(result(end=[5, 9], h=[0, 0]), [RowEnd("end", later=3), RowEnd("h", ("1s", "UTC")), RowEnd("gone")])
    assert found is not None
    assert found.tolist() == [1_000_000, 1_000_000]
    assert ends_of(result(end=[5]), [RowEnd("other")]) is None
    assert ends_of(result(b=[2**62]), [RowEnd("b", ("1h", "UTC"))]) == [NEVER]


@pytest.mark.parametrize(
    ("metric", "ends", "ahead"),
    [
        (P.group_by(h=T.truncate("1h")).agg(n=df.count()), [RowEnd("h", ("1h", "UTC"))], 0),
        (P.with_columns(h=T.truncate("1h")).group_by("h").agg(n=df.count()), [RowEnd("h", ("1h", "UTC"))], 0),
        (
            P.group_by(h=T.truncate("1h")).agg(n=df.count()).select("n", m=df.col("h")).sort("n"),
            [RowEnd("m", ("1h", "UTC"))],
            0,
        ),
        (P.window("1d", n=df.count()), [RowEnd("end")], 0),
        (P.sessionize("30m"), [RowEnd("end", later=HOUR // 2 + 1)], 0),
        (
            P.sessionize("30m", max_length="1d").group_by(d=df.col("start").truncate("1d")).agg(n=df.count()),
            [RowEnd("d", ("1d", "UTC"))],
            24 * HOUR + HOUR // 2,
        ),
        (
            STATES.filter(df.col("status") != "up").group_by(d=T.truncate("1d")).agg(t=df.duration()),
            [RowEnd("d", ("1d", "UTC"))],
            0,
        ),
        (
            P.heartbeat("5m").filter(~df.col("alive") & (T.hour() < 6)).group_by(d=T.truncate("1d")).agg(n=df.count()),
            [RowEnd("d", ("1d", "UTC"))],
            0,
        ),
        (STATES, [RowEnd("end", later=1)], 0),
    ],
)
def test_rows_that_are_final_some_time_after_they_end(metric: df.Stream, ends: list[RowEnd], ahead: int) -> None:
    times = row_times(metric.steps)
    assert (list(times.ends), times.ahead) == (ends, ahead)
    check_final(times)


@pytest.mark.parametrize(
    "metric",
    [
        P.sessionize("30m").group_by(d=df.col("start").truncate("1d")).agg(n=df.count()),
        STATES.group_by(d=df.col("start").truncate("1d")).agg(n=df.count()),
        # A key that reports for the first time later was unknown in all buckets before.
        STATES.group_by(d=T.truncate("1d")).agg(t=df.unknown_time()),
        STATES.filter(df.col("status").is_null() | (df.col("status") == "up"))
        .group_by(d=T.truncate("1d"))
        .agg(n=df.count()),
        STATES.during(df.calendar({"mon-fri": "08:00-18:00"}, zone="UTC")),
        STATES.concurrent(df.col("status") == "up"),
        P.group_by(d=T.truncate("1d")).agg(t=df.time_weighted_mean("n", hold="1h")),
        STATES.filter(df.col("duration") > timedelta(hours=1)).group_by(d=T.truncate("1d")).agg(n=df.count()),
        P.group_by(d=T.truncate("1d")).agg(n=df.count()).with_columns(s=df.sum("n").over()),
        P.group_by(d=T.truncate("1d")).agg(n=df.count()).limit(3),
        P.with_columns(s=df.sum("n").over()).group_by(d=T.truncate("1d")).agg(n=df.max("s")),
    ],
)
def test_rows_that_any_later_point_can_change_are_never_final(metric: df.Stream) -> None:
    with pytest.raises(QueryError, match=r"points of any later time can change them .*: use mode 'changes'"):
        check_final(row_times(metric.steps))


@pytest.mark.parametrize("metric", [P.agg(n=df.count()), P.group_by("status").agg(n=df.count()), P.select("n")])
def test_rows_without_an_end_are_never_final(metric: df.Stream) -> None:
    with pytest.raises(QueryError, match="needs rows that end: group by a bucket of time"):
        check_final(row_times(metric.steps))
