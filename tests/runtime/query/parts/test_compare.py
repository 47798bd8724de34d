"""compare: the values of a shifted range beside those of the range, worked out by hand and by two queries."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import dataflow as df
from runtime import Store
from runtime.errors import QueryError

HOUR = timedelta(hours=1)
NOON = datetime(2024, 3, 8, 12, tzinfo=UTC)
S = df.stream("s")
BY_HOUR = S.group_by("site", h=df.time().truncate("1h")).agg(n=df.count(), x=df.sum("x"))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "store", create=True)
    before, now = NOON - timedelta(days=7), NOON
    at = [before, before + HOUR / 2, before + 2 * HOUR, now, now + HOUR, now + 2 * HOUR]
    columns = {"k": ["a"] * 6, "site": ["p", "p", "q", "p", "p", "q"], "x": [1, 2, 4, 10, 20, 40], "at": at}
    store.ingest("s", columns, key="k", time="at", progress=False)
    return store


def ask(store: Store, metric: df.Stream, **options: Any) -> list[tuple[object, ...]]:
    assert repr(df.from_json(metric.to_json())) == repr(metric)
    return list(store.query(metric, NOON, NOON + timedelta(days=1), progress=False, **options))


def micros(t: datetime) -> int:
    return int(t.timestamp()) * 1_000_000


def test_the_week_before(store: Store) -> None:
    noon = micros(NOON)
    hour = 3_600_000_000
    assert ask(store, BY_HOUR.compare("-7d")) == [
        ("p", noon, 1, 10, 2, 3), ("p", noon + hour, 1, 20, None, None), ("q", noon + 2 * hour, 1, 40, 1, 4)
    ]  # fmt: skip
    left = BY_HOUR.compare(timedelta(days=-7), prefix="week_ago_", how="left").with_columns(
        change=df.col("x") - df.col("week_ago_x")
    )
    assert [row[-1] for row in ask(store, left)] == [7, None, 36]
    shifted = store.query(BY_HOUR.compare("7d"), NOON - timedelta(days=7), NOON - timedelta(days=6), progress=False)
    assert [row[2:] for row in shifted] == [(2, 3, 1, 10), (None, None, 1, 20), (1, 4, 1, 40)]


def test_groups_without_times_and_without_columns(store: Store) -> None:
    assert ask(store, S.group_by("site").agg(x=df.sum("x")).compare("-7d")) == [("p", 30, 3), ("q", 40, 4)]
    assert ask(store, S.agg(x=df.sum("x")).compare("-7d").compare("-14d", prefix="older_")) == [(70, 7, None)]
    # The shifted range begins at 13:00, and 14:00 of it stands beside 13:00.
    by_clock = S.group_by(hour=df.time().hour()).agg(x=df.sum("x")).compare("-167h")
    assert ask(store, by_clock) == [(12, 10, None), (13, 20, 4), (14, 40, None)]


@pytest.mark.parametrize(
    "metric",
    [
        S.with_columns(h=df.time().truncate("1h")).group_by("site", "h").agg(n=df.count(), x=df.sum("x")),
        S.window("1h", x=df.sum("x"), site=df.last("site"))
        .group_by("site", h=df.col("start"))
        .agg(n=df.sum("count"), x=df.sum("x")),
        BY_HOUR.group_by("site", "h").agg(n=df.sum("n"), x=df.sum("x")),
        df.join(
            S.group_by("site", h=df.time().truncate("1h")).agg(n=df.count()),
            S.group_by("site", h=df.time().truncate("1h")).agg(x=df.sum("x")),
            on=["site", "h"],
        ),
    ],
)
def test_wherever_the_times_of_groups_are_from(store: Store, metric: df.Stream) -> None:
    assert ask(store, metric.compare("-7d")) == ask(store, BY_HOUR.compare("-7d"))


def test_the_proof_and_explain_show_the_shifted_range(store: Store) -> None:
    metric = BY_HOUR.compare("-7d")
    found = store.query(metric, NOON, NOON + timedelta(days=1), progress=False)
    (part,) = found.proof.parts
    assert part.step == "step 3 (compare)"
    assert (found.proof.since - part.proof.since, found.proof.until - part.proof.until) == (7 * 86_400_000_000,) * 2
    assert "the metric in step 3 (compare), which runs first" in metric.explain(store)
    with pytest.raises(QueryError, match=r"made of several answers \(compare\)"):
        found.explain(0)


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: S.compare("-7d"), r"step 2 \(compare\): it compares groups; use it after group_by"),
        (lambda: BY_HOUR.sort("n").compare("-7d"), r"step 4 \(compare\): step 3 \(sort\) has dropped or ordered"),
        (lambda: BY_HOUR.select("n").compare("-7d"), r"step 4 \(compare\): step 3 \(select\) drops 'site'.*keep that"),
        (lambda: BY_HOUR.compare("a week"), r"compare\(shift\): .* is not a duration"),
        (lambda: BY_HOUR.compare("-0d"), r"longer than zero"),
        (lambda: BY_HOUR.compare("-7d", how="inner"), r"how is 'full' or 'left'"),
        (lambda: BY_HOUR.compare("-7d").compare("-14d"), r"step 4 \(compare\): there is already a column 'before_n'"),
    ],
)
def test_what_cannot_be_compared(store: Store, make: Any, error: str) -> None:
    with pytest.raises(df.DataflowError, match=error):
        ask(store, make())
