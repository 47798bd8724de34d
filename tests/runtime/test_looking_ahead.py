"""Values of later points, through the whole engine: files after the range, other keys, kept states, what is behind."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import dataflow as df
from operators.errors import DataflowError
from runtime import Store

SECONDS = 86_400
DAY = SECONDS * 1_000_000
PAUSES = df.stream("s").with_columns(pause=df.time().next() - df.time(), then=df.col("state").next())
LONGEST = PAUSES.group_by("device").agg(longest=df.max("pause"), then=df.last("then"))


def ingest(store: Store, devices: list[str], days: list[float], states: list[str]) -> None:
    store.ingest(
        "s", {"device": devices, "t": [SECONDS * day for day in days], "state": states},
        key="device", time="t", unit="s", progress=False,
    )  # fmt: skip


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store(tmp_path / "store", create=True) as store:
        ingest(store, ["a", "b", "a"], [0, 0.5, 1], ["up", "up", "down"])
        yield store


def rows(store: Store, metric: df.Stream | str = LONGEST, **options: object) -> list[tuple[object, ...]]:
    return list(store.query(metric, progress=False, **options))  # type: ignore[call-overload]


def test_files_after_the_range(store: Store) -> None:
    assert rows(store, until="1970-01-02") == [("a", DAY, "down"), ("b", None, None)]
    ingest(store, ["b", "c"], [40, 41], ["off", "up"])
    assert rows(store, until="1970-01-02") == [("a", DAY, "down"), ("b", 39 * DAY + DAY // 2, "off")]


def test_an_executor_has_the_same_answer(store: Store) -> None:
    ingest(store, ["b", "c"], [40, 41], ["off", "up"])
    with ThreadPoolExecutor(2) as pool:
        here = store.query(LONGEST, until="1970-01-02", progress=False)
        there = store.query(LONGEST, until="1970-01-02", progress=False, executor=pool)
    assert here.proof.result == there.proof.result


def test_another_key(store: Store) -> None:
    ingest(store, ["b", "c"], [40, 41], ["up", "up"])
    by_state = df.stream("s").key_by("state").with_columns(then=df.col("device").next())
    seen = by_state.group_by("state").agg(n=df.count(), then=df.last("then"))
    assert rows(store, seen, until="1970-01-02") == [("up", 2, "b")]


def test_a_published_query_follows_what_comes_later(store: Store) -> None:
    store.publish(LONGEST, "longest")
    for day, state in ((40, "off"), (3, "on")):
        assert rows(store, until="1970-01-02") == rows(store, "longest", until="1970-01-02")
        ingest(store, ["b"], [day], [state])
    assert rows(store, until="1970-01-02")[1] == ("b", 2 * DAY + DAY // 2, "on")


def test_the_file_with_the_later_point_is_behind_a_row(store: Store) -> None:
    ingest(store, ["b"], [40], ["off"])
    ingest(store, ["c"], [41], ["up"])
    found = store.query(LONGEST, until="1970-01-02", progress=False).explain({"device": "b"})
    assert len(found.files) == 2


def test_nothing_is_final(store: Store) -> None:
    daily = PAUSES.group_by(day=df.time().truncate("1d")).agg(longest=df.max("pause"))
    with pytest.raises(DataflowError, match="final"):
        next(iter(store.follow(daily, mode="final", until_idle="1s")))


def test_the_plan_says_what_is_read(store: Store) -> None:
    after = "points after the range: all of them"
    assert after in store.explain(LONGEST, until="1970-01-02")
    assert after not in store.explain(df.stream("s").group_by("device").agg(n=df.count()), until="1970-01-02")
