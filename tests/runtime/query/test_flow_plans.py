"""Metrics over a key's events: planned, explained, and run by an executor that receives bytes."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

import dataflow as df
from runtime import Store

HOUR = 3_600_000_000
A, B = df.col("status") == "A", df.col("status") == "B"
P = df.stream("s")

METRICS = {
    "a funnel of 2 steps, any, within 7200 s, held columns: plan": P.funnel([A, B], "2h", "any")
    .group_by("plan")
    .agg(users=df.count(), both=df.count(where=df.col("steps") == 2)),
    "cohorts by 1d in Europe/London, held columns: none": P.retention(A, B, "1d", "Europe/London"),
    "transitions, apart after 3600 s, held columns: none": P.paths("status", gap="1h"),
    "transitions, held columns: plan": P.transitions("status").group_by("plan", "to").agg(n=df.count()),
    "sessions with 1 aggregates": P.sessionize("1h", split_when=A, n=df.count(where=B)).agg(n=df.sum("n")),
    "windows of 6 buckets with 0 aggregates": P.window("1h", size="6h").agg(n=df.max("count")),
    "groups by plan, day, 1 aggregates, empty buckets too": P.group_by("plan", day=df.time().truncate("1d"))
    .with_empty_buckets()
    .agg(n=df.count(where=A)),
    "windows, empty ones too, with 0 aggregates": P.window("1d", empty=True).agg(
        n=df.count(where=df.col("count") == 0)
    ),
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(tmp_path_factory.mktemp("store"), create=True)
    n = 600
    points = {
        "user": [f"u{i % 37}" for i in range(n)],
        "ts": [i * HOUR // 3 for i in range(n)],
        "status": ["ABC"[i * i % 3] if i % 5 else None for i in range(n)],
        "plan": ["free" if i % 2 else "paid" for i in range(n)],
    }
    store.ingest("s", points, key="user", time="ts", unit="us")
    return store


@pytest.mark.parametrize("words", METRICS)
def test_the_plan_in_words(store: Store, words: str) -> None:
    assert f"row operations, {words}:" in store.explain(METRICS[words]) or f"): {words}:" in store.explain(
        METRICS[words]
    )


@pytest.mark.parametrize("words", METRICS)
def test_bytes_to_and_from_workers(store: Store, words: str) -> None:
    """The graph travels as JSON; the answer is the same to the last byte."""
    here = store.query(METRICS[words])
    with ThreadPoolExecutor(2) as executor:
        there = store.query(METRICS[words], executor=executor, workers=2)
    assert there.proof.result == here.proof.result
    assert len(here) > 0


def test_too_many_buckets_are_an_error(store: Store) -> None:
    metric = P.group_by(t=df.time().truncate("1ms")).with_empty_buckets().agg(n=df.count())
    with pytest.raises(df.DataflowError, match=r"more than [\d,]+ groups with the empty buckets of 't'"):
        store.query(metric)
