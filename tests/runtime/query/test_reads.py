"""File reads: few and large where each has a latency."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import dataflow as df
from runtime import Store
from runtime.objects import FolderObjects
from runtime.query.plan.make_tasks import make_tasks
from runtime.query.plan.prepare import Request, prepare
from runtime.query.task.task import run

METRIC = df.stream("s").group_by().agg(total=df.sum("x"))


class Counted(FolderObjects):
    def __init__(self, root: Path, gap: int) -> None:
        super().__init__(root)
        self.gap = gap
        self.lengths: list[int] = []

    def read_into(self, path: str, offset: int, into: memoryview) -> None:
        self.lengths.append(len(into))
        super().read_into(path, offset, into)


def test_what_is_far_is_read_in_few_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    n = 3_000_000  # more blocks than are read together from a disk
    i = np.arange(n)
    columns = {
        "device": i % 3,
        "ts": 19_800 * 86_400_000_000 + i,
        "x": np.random.default_rng(1).integers(0, 1 << 16, n),
    }
    Store(tmp_path, create=True).ingest("s", columns, key="device", time="ts", unit="us", progress=False)
    found = {}
    for gap in (64 << 10, 1 << 20):
        store = Store(tmp_path)
        objects = Counted(tmp_path, gap)
        monkeypatch.setattr(Store, "objects", objects)
        answer = store.query(METRIC, workers=1, progress=False)["total"]
        found[gap] = (answer, len(objects.lengths), sum(objects.lengths))
    near, far = found.values()
    assert near[0] == far[0] == [int(columns["x"].sum())]
    assert near[1] == 3  # twice the column and, where the tail of the file does not hold them, the keys
    assert far[1] == 2
    assert far[2] <= near[2] + (1 << 20)


def test_rows_that_are_ruled_out_add_up(tmp_path: Path) -> None:
    """Whether keys are merged one by one or all together depends on a task's other keys; what is counted does not."""
    store, start = Store(tmp_path, create=True), 19_800 * 86_400_000_000
    for devices in (range(5), range(4, 5)):  # one key of five is in both files
        i = np.arange(len(devices) * 150_000)
        columns = {"device": i // 150_000 + devices[0], "ts": start + i % 150_000 * 1_000 + devices[0], "x": i}
        store.ingest("s", columns, key="device", time="ts", unit="us", progress=False)
    prepared = prepare(store.catalogue, Request(METRIC.steps, {}, None, start + 30_000_000))
    (task,) = make_tasks(prepared, store.url, 1)
    whole = run(task, store.open_file).coverage
    counts = []
    for parts in (2, 16):
        edges = [(1 << 64) * k // parts for k in range(parts + 1)]
        tasks = [replace(task, shard=shard) for shard in pairwise(edges)]
        counts.append(sum(run(t, store.open_file).coverage.skipped for t in tasks))
    assert whole.skipped > 100_000
    assert counts == [whole.skipped] * 2
