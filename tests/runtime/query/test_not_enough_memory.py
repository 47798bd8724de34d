"""Memory that does not suffice: one sentence that names the step, in a process with a limit."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import dataflow as df
from runtime import Store
from runtime.errors import NotEnoughMemory, QueryError, not_enough_memory
from runtime.query.stages.runner import Runner

ROOT = Path(__file__).parents[3]

_LIMITED = """
import resource, sys
import dataflow as df
from runtime import Store

store, more = Store(sys.argv[1]), int(sys.argv[2]) << 20
points = df.stream("s")
metrics = {
    "rows": points.select("v", "user", w=df.col("v") * 2.0),
    "groups": points.group_by("user").agg(n=df.count(), d=df.count_distinct("v"), m=df.median("v")),
}
metric = metrics[sys.argv[3]]
store.query(metric, until="1970-01-02", progress=False)  # everything is loaded
held = int(open("/proc/self/statm").read().split()[0]) * 4096
hard = resource.getrlimit(resource.RLIMIT_AS)[1]
resource.setrlimit(resource.RLIMIT_AS, (held + more, hard))
try:
    print(len(store.query(metric, progress=False, workers=2)))
except Exception as error:
    resource.setrlimit(resource.RLIMIT_AS, (hard, hard))
    print(type(error).__name__, error)
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store, n = Store(tmp_path_factory.mktemp("many") / "s"), 600_000
    rng = np.random.default_rng(3)
    columns = {"k": np.arange(n) % 50, "t": np.arange(n) * 1_000_000, "user": np.arange(n), "v": rng.normal(size=n)}
    store.ingest("s", columns, key="k", time="t", unit="us", progress=False, compact=False)
    return store


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="limits of address space are Linux's")
@pytest.mark.parametrize("metric", ["rows", "groups"])
@pytest.mark.parametrize("more", [4, 40, 100])
def test_a_limit_is_one_sentence(metric: str, more: int, store: Store) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _LIMITED, store.url, str(more), metric],
        env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    kind, _, text = done.stdout.strip().partition(" ")
    if more == 100 and kind == "600000":
        return  # it was enough
    assert kind == "NotEnoughMemory", done.stdout
    assert "not enough memory for it here; take a shorter range" in text
    assert "\n" not in text


def test_the_step_is_named(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    metric = df.stream("s").filter(df.col("v") > 0).group_by("user").agg(n=df.count())

    def short(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr(Runner, "_make_room", short)
    with pytest.raises(NotEnoughMemory, match=r"^step 3 \(.*\): there is not enough memory for it here"):
        store.query(metric, progress=False)
    monkeypatch.setattr(Runner, "push", short)
    with pytest.raises(QueryError, match="fewer workers"):
        store.query(metric, progress=False)


def test_no_more_threads(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def none_left(*_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("threading.Thread.start", none_left)
    with pytest.raises(NotEnoughMemory, match=r"^query, starting a thread: there is not enough memory"):
        store.query(df.stream("s").group_by("user").agg(n=df.count()), progress=False, workers=3)


def test_it_is_a_memory_error_that_crosses_processes() -> None:
    error = pickle.loads(pickle.dumps(not_enough_memory("step 2")))
    assert isinstance(error, MemoryError)
    assert str(error) == str(not_enough_memory("step 2"))
