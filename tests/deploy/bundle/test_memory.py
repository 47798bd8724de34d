"""A worker's memory: bounded by its state, not by what it reads."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import dataflow as df
from runtime import Store
from runtime.fleet.messages import request
from runtime.query.task.task import Task
from tests.benchmarks.data import Shape, draw
from tests.deploy.bundle.conftest import Unzipped, reply_of, tasks_of

DAY = 86_400_000_000
USERS = 1_000_000
MEGABYTE = 1_000_000

POINTS = df.stream("telemetry")
METRICS = {
    "uptime by firmware": POINTS.state_duration("status", hold="5m")
    .group_by("firmware")
    .agg(up=df.share_of_time(df.col("status") == "up"), devices=df.count_distinct("device")),
    "filter and group": POINTS.filter(df.col("temp") > 21.0).group_by("firmware").agg(mean=df.mean("temp")),
    "sessions": POINTS.sessionize("90s").group_by("firmware").agg(n=df.count(), mean=df.mean("duration")),
    "a million groups": POINTS.group_by("user").agg(n=df.count(), mean=df.mean("temp")),
}


def filled(path: Path, days: int, points: int) -> Store:
    """A store with one file of so many points for each day."""
    store = Store(path)
    for day in range(days):
        drawn = draw(Shape(points=points, seed=day))
        table = drawn.to_arrow().set_column(1, "ts", pa.array(drawn.ts + day * DAY))
        table = table.append_column("user", pa.array((np.arange(drawn.rows) * 7919 + day) % USERS))
        store.ingest("telemetry", table, key="device", time="ts", unit="us", progress=False)
    return store


@pytest.fixture
def peak(unzipped: Unzipped, ready: Callable[[Task], Path]) -> Callable[[Store, str], int]:
    """The most bytes that a worker held while it answered a metric over all of a store in one task."""

    def measure(store: Store, name: str) -> int:
        (task,) = tasks_of(store, METRICS[name])
        done = unzipped.answer(request(task, f"spill/{len(name)}", store.objects), ready(task), TELL="1")
        assert "error" not in reply_of(done)
        return int(json.loads(done.stderr)["peak_kb"]) * 1024

    return measure


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> tuple[Store, Store]:
    """A few files, and four times as many."""
    folder = tmp_path_factory.mktemp("memory")
    return filled(folder / "few", 2, 500_000), filled(folder / "many", 8, 500_000)


@pytest.mark.parametrize("name", [name for name in METRICS if name != "a million groups"])
def test_memory_does_not_grow_with_what_is_read(
    stores: tuple[Store, Store], peak: Callable[[Store, str], int], name: str
) -> None:
    """Three million points more are 24 MB for every column that is kept."""
    few, many = (peak(store, name) for store in stores)
    assert many - few < 12 * MEGABYTE
    assert many < 150 * MEGABYTE


@pytest.mark.nightly
def test_a_task_of_200_megabytes(tmp_path: Path, peak: Callable[[Store, str], int]) -> None:
    store = filled(tmp_path / "store", 12, 8_000_000)
    assert sum(file.bytes for file in store.files("telemetry")) >= 200 * MEGABYTE
    peaks = {name: peak(store, name) for name in METRICS}
    print({name: f"{most / MEGABYTE:.0f} MB" for name, most in peaks.items()})
    assert max(peaks.values()) < 1_500 * MEGABYTE
