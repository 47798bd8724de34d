"""Query errors, proofs, and what travels between processes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dataflow as df
from runtime import PartialResult, Store
from runtime.errors import FormatError, IncompleteResult, QueryError, StoreError
from runtime.query.plan import make_tasks as splitting
from runtime.query.plan.make_tasks import make_tasks
from runtime.query.plan.prepare import Request, prepare
from runtime.query.task import state_bytes
from runtime.query.task.task import Task, run
from runtime.result.proof import check_coverage

DAY = 86_400_000_000
START = 19_800 * DAY
COUNT = df.stream("s").group_by("status").agg(n=df.count(), m=df.mean("temp"), d=df.count_distinct("device"))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "store", create=True)
    n = 2_000
    points = {
        "device": np.array([f"d{i % 20}" for i in range(n)]),
        "ts": START + np.arange(n) * 100_000_000,
        "temp": np.arange(n) / 8,
        "status": np.array(["up", "down"])[np.arange(n) % 2],
    }
    store.ingest("s", points, key="device", time="ts", unit="us")
    return store


def tasks(store: Store, metric: df.Stream, workers: int = 1) -> list[Task]:
    prepared = prepare(store.catalogue, Request(metric.steps, {}, None, None))
    return make_tasks(prepared, store.url, workers)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda s: s.query(df.stream("other").agg(n=df.count())), "no stream 'other' in this store; its streams: s"),
        (lambda s: s.query(COUNT, since="yesterday"), "'yesterday' is not a time; write for example"),
        (lambda s: s.query(COUNT, since="2024-05-01", until="2024-04-01"), "is after until"),
        (lambda s: s.query(COUNT, workers=0), "workers must be at least 1"),
        (lambda s: s.query(COUNT, executor="cluster"), "no executor 'cluster'"),
        (lambda s: s.query(COUNT, executor="lambda"), "workers on Lambda cannot see the folder"),
        (lambda s: s.query(17), "a metric is a stream with steps"),
        (lambda s: s.query("uptime"), "there is no published query 'uptime' in this store; its queries: none yet"),
        (lambda s: s.query(COUNT, cache=True), "cache=True is for published queries"),
    ],
)
def test_mistakes(store: Store, call: Any, message: str) -> None:
    with pytest.raises(QueryError, match=message):
        call(store)


def test_no_store(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no store here"):
        Store(tmp_path / "none").query(COUNT)
    assert not (tmp_path / "none").exists()


def test_until_is_honoured_and_clipped_to_the_present(store: Store) -> None:
    metric = df.stream("s").heartbeat("1h").agg(known=df.known_time())
    until = START + 30 * DAY
    result = store.query(metric, until=until)
    first = [START + i * 100_000_000 for i in range(20)]
    assert result["known"] == [sum(until - t for t in first)]
    assert result.proof.to_dict()["until_clipped"] is False
    assert store.query(metric, until="2200-01-01").proof.to_dict()["until_clipped"] is True


def test_a_range_without_a_file_is_an_empty_answer(store: Store) -> None:
    span = {"since": START + 10 * DAY, "until": START + 11 * DAY, "progress": False}
    assert len(store.query(COUNT, **span)) == 0  # type: ignore[arg-type]
    assert list(store.query(df.stream("s").agg(n=df.count()), **span)) == [(0,)]  # type: ignore[arg-type]


def test_replies_are_checked(store: Store) -> None:
    for metric in (COUNT, df.stream("s").filter(df.col("temp") > 200)):
        (task,) = tasks(store, metric)
        again = Task.from_bytes(task.to_bytes())
        assert again == task
        partial = run(again, store.open_file)
        data = state_bytes.pack(partial)
        assert state_bytes.pack(state_bytes.unpack(data, task.id)) == data
        for damaged in (data[:-1], data[:100] + bytes([data[100] ^ 1]) + data[101:], b"", data + b"x"):
            with pytest.raises(FormatError, match=f"reply of task {task.id}"):
                state_bytes.unpack(damaged, task.id)
        with pytest.raises(FormatError, match="belongs to another task"):
            state_bytes.unpack(data, "9.9")


def test_coverage(store: Store) -> None:
    files = list(store.files("s"))
    good = {f.path: f.rows for f in files}
    check_coverage(files, good, "s")
    for bad in ({}, good | {files[0].path: files[0].rows + 1}, good | {"elsewhere": 1}):
        with pytest.raises(IncompleteResult):
            check_coverage(files, bad, "s")


def test_damage_is_an_error_or_a_partial_answer(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(splitting, "_SMALL", 100)
    sessions = df.stream("s").sessionize("1h").agg(n=df.count())
    whole = store.query(sessions)
    damaged = Path(store.url) / store.files("s")[0].path
    data = bytearray(damaged.read_bytes())
    data[60] ^= 255
    damaged.chmod(0o600)
    damaged.write_bytes(data)
    fresh = Store(store.url)
    with pytest.raises(FormatError, match=damaged.name):
        fresh.query(sessions, workers=2)
    partial = fresh.query(sessions, workers=2, allow_partial=True)
    assert isinstance(partial, PartialResult)
    assert not isinstance(whole, PartialResult)
    assert partial.missing
    assert partial.proof.to_dict()["complete"] is False
    assert not fresh.verify().ok


def test_widening_is_exact_or_there_is_a_twin(tmp_path: Path) -> None:
    total = df.stream("s").agg(x=df.sum("x"))

    def widened(*values: int) -> Store:
        store = Store(tmp_path / str(values[0]), create=True)
        for i, x in enumerate((np.array(values, np.int64), np.array([0.5]))):
            points = {"device": np.array(["d"] * len(x)), "ts": START + i + np.arange(len(x)), "x": x}
            store.ingest("s", points, key="device", time="ts", unit="us")
        return store

    assert widened(2**53, 2).query(total)["x"] == [float(2**53 + 2)]
    exact = widened(2**53 + 1, 2)
    assert exact.query(total)["x"] == [2**53 + 3]
    assert exact.query(df.stream("s").agg(x=df.sum("x#float64")))["x"] == [0.5]


def test_explain_runs_nothing(store: Store) -> None:
    text = COUNT.explain(store, workers=2)
    for part in (
        "stream s at commit 1",
        "columns device, ts, temp, status",
        "2,000 points",
        "d = count_distinct",
        "estimate",
    ):
        assert part in text
    assert COUNT.explain().splitlines()[1] == "2. group_by"


def test_columns_computed_after_a_grouping_are_written_wherever_they_are_asked_for(tmp_path: Path) -> None:
    store = Store(tmp_path, create=True)
    store.ingest("s", {"k": ["a", "b", "b"], "t": [1, 2, 3]}, key="k", time="t", unit="s")
    counted = df.stream("s").group_by("k").agg(n=df.count())

    def rows(metric: df.Stream) -> object:
        return store.query(metric).to_dict()["rows"]

    assert rows(counted.with_columns(n=df.col("n") * 2)) == [["a", 2], ["b", 4]]
    assert rows(counted.with_columns(m=-df.col("n")).sort("m")) == [["b", 2, -2], ["a", 1, -1]]
    assert rows(counted.with_columns(m=-df.col("n")).sort("m").limit(1).with_columns(n=df.col("m"))) == [["b", -2, -2]]
    assert rows(counted.select("n").limit(1)) == [[1]]
