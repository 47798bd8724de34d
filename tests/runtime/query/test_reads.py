"""How files are read: in few large pieces where each read has to be waited for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import dataflow as df
from runtime import Store
from runtime.objects import FolderObjects

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
    assert near[1] >= 2
    assert far[1] == 1
    assert far[2] <= near[2] * 1.01
