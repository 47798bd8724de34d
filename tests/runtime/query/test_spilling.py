"""Groups on disk, and merged a part at a time: the same bits, and nothing left behind."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dataflow as df
from operators.states import state_parts
from runtime import Store
from runtime.errors import QueryError
from runtime.query.merge import merging, spilling

col = df.col
POINTS = df.stream("s")

METRICS: dict[str, Any] = {
    "simple": POINTS.group_by("user").agg(
        n=df.count(), s=df.sum("v"), lo=df.min("v"), hi=df.max("n"), m=df.mean("v"), t=df.sum("n"), x=df.sum("big")
    ),
    "text groups": POINTS.group_by("word", "user").agg(n=df.count(), d=df.count_distinct("other"), e=df.stddev("v")),
    "sets": POINTS.group_by("word").agg(a=df.count_distinct("user"), b=df.count_distinct("other")),
    "bins": POINTS.group_by("user").agg(q=df.quantile("v", 0.5), h=df.histogram("n", width=1)),
    "top": POINTS.group_by("user").agg(top=df.top_k("other", 3)),
    "dated": POINTS.group_by("user").agg(m=df.mode("other"), b=df.covariance("v", "n"), k=df.kurtosis("n")),
    "booleans and floats": POINTS.group_by(f=col("v") > 0, g=(col("n") % 3) * 0.5).agg(n=df.count(), s=df.sum("v")),
    "after it": POINTS.group_by("user").agg(n=df.count()).group_by("n").agg(users=df.count()),
    "states": POINTS.state_duration("word", hold="5m").group_by("word").agg(t=df.duration(), n=df.count()),
}


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    rng, store = np.random.default_rng(7), Store(tmp_path_factory.mktemp("spilled"))
    words = np.array(["", "a\0b", "ä", "word", "=1", None], object)
    for part in range(4):
        n = 3_000
        columns = {
            "k": rng.integers(0, 40, n),
            "t": part * 10**9 + np.arange(n) * 100_000,
            "user": rng.integers(0, 900, n),
            "v": rng.normal(size=n) * 10.0 ** rng.integers(-200, 200, n),
            "n": rng.integers(-5, 60, n),
            "big": rng.integers(-(2**50), 2**50, n),
            "word": words[rng.integers(0, 6, n)].tolist(),
            "other": [f"o{i}" for i in rng.integers(0, 300, n)],
        }
        store.ingest("s", columns, key="k", time="t", unit="us", progress=False, compact=False)
    return store


def _proof(store: Store, name: str) -> dict[str, object]:
    return store.query(METRICS[name], progress=False, workers=2).proof.to_dict()


def _spilled(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Every batch's groups go to disk; the sizes of the states that did."""
    sizes: list[int] = []
    usual = spilling.Spill.add

    def add(self: spilling.Spill, *given: Any) -> None:
        sizes.append(len(given[1].keys))
        usual(self, *given)

    monkeypatch.setattr(spilling.Spill, "add", add)
    monkeypatch.setattr(spilling, "MOST", 0)
    return sizes


@pytest.mark.parametrize("name", METRICS)
def test_the_same_bits_from_disk(name: str, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = _proof(store, name)
    sizes = _spilled(monkeypatch)
    assert _proof(store, name) == expected
    assert len(sizes) >= 4


@pytest.mark.parametrize("name", METRICS)
def test_the_same_bits_in_parts(name: str, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = _proof(store, name)
    monkeypatch.setattr(merging, "_LARGE", 0)
    assert _proof(store, name) == expected


def _by_code(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = iter(range(10**9))
    monkeypatch.setattr("operators.states.state_parts.zlib.crc32", lambda data: next(numbers))


def _without_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = state_parts._renumbered
    monkeypatch.setattr(state_parts, "_renumbered", lambda e, p: (usual(e, p)[0][:0], usual(e, p)[1] & False))


def _without_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    usual = spilling.Spill.part
    monkeypatch.setattr(spilling.Spill, "part", lambda self, number: usual(self, number)[1:])


@pytest.mark.parametrize(
    ("broken", "name"), [(_by_code, "sets"), (_without_entries, "bins"), (_without_a_run, "simple")]
)
def test_what_breaks_the_parts_is_seen(
    broken: Callable[[pytest.MonkeyPatch], None], name: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = _proof(store, name)
    _spilled(monkeypatch)
    broken(monkeypatch)
    assert _proof(store, name) != expected


def test_nothing_is_left(store: Store, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    sizes = _spilled(monkeypatch)
    _proof(store, "sets")
    descriptors = len(os.listdir("/dev/fd"))
    _proof(store, "sets")
    monkeypatch.setattr(merging, "finished_groups", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        _proof(store, "sets")
    assert sizes
    assert (list(tmp_path.iterdir()), len(os.listdir("/dev/fd"))) == ([], descriptors)


def test_a_full_disk_is_one_sentence(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> Any:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    _spilled(monkeypatch)
    monkeypatch.setattr(tempfile, "TemporaryFile", full)
    with pytest.raises(QueryError, match=r"^step 2 .*the groups do not fit in memory, and the folder .* does not take"):
        _proof(store, "simple")


def test_where_order_matters_nothing_is_taken(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = _spilled(monkeypatch)
    for metric in (
        POINTS.group_by("user").agg(last=df.last("v")),
        POINTS.group_by("k").agg(n=df.count()),
        POINTS.agg(n=df.count()),
    ):
        store.query(metric, progress=False)
    assert sizes == []


def test_a_task_that_fails_leaves_no_rows_in_a_partial_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path, create=True)
    for part in range(2):
        ts = part * 86_400_000_000 + np.arange(3_000) * 1_000
        columns = {"device": np.arange(3_000) % 40, "ts": ts, "user": np.arange(3_000) % 900}
        store.ingest("s", columns, key="device", time="ts", unit="us", progress=False, compact=False)
    store.close()
    damaged = sorted(tmp_path.rglob("*.points"))[1]
    data = bytearray(damaged.read_bytes())
    data[8 : len(data) // 2] = bytes(len(data) // 2 - 8)
    damaged.write_bytes(data)
    metric = df.stream("s").group_by("user").agg(n=df.count())
    answers = []
    for most in (spilling.MOST, 0):
        monkeypatch.setattr(spilling, "MOST", most)
        with Store(tmp_path) as again:
            found = again.query(metric, workers=1, allow_partial=True, progress=False)
        answers.append((len(found), found.proof.rows_scanned))
    assert answers == [(0, 0)] * 2


def test_columns_that_are_mostly_null_are_named_whatever_the_order_of_groups(tmp_path: Path) -> None:
    store = Store(tmp_path, create=True)
    columns = {
        "device": [0] * 100, "ts": list(range(100)), "n": list(range(100)),
        "word": [None if n % 10 else "a" for n in range(100)],
    }  # fmt: skip
    store.ingest("s", columns, key="device", time="ts", unit="us", progress=False)
    points = df.stream("s")
    by = {"word": df.col("word"), "part": df.col("n") % 3}
    notes = {
        store.query(points.group_by(**dict(order)).agg(n=df.count()), progress=False).proof.notes
        for order in (list(by.items()), list(by.items())[::-1])
    }
    assert len(notes) == 1
    assert "word" in str(notes)
