"""Drill-down into an answer from many small files reads them together, as the answer did."""

from __future__ import annotations

from pathlib import Path

import pytest

import dataflow as df
from runtime import Store
from runtime.objects import FolderObjects
from runtime.pointfile import PointFile

FILES = 60
METRIC = df.stream("s").group_by("status").agg(n=df.count(), t=df.sum("temp"))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "store", create=True)
    for i in range(FILES):
        rows = {
            "device": [f"d{i % 7}", f"d{(i + 1) % 7}"],
            "ts": [1_700_000_000 + i * 60, 1_700_000_000 + i * 60 + 30],
            "status": ["up", "down" if i % 5 == 0 else "up"],
            "temp": [float(i), i / 2],
        }
        store.ingest("s", rows, key="device", time="ts", unit="s", progress=False, compact=False)
    return store


def test_files_are_read_as_the_answer_read_them(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    reads, opened = list[str](), list[str]()
    read_into, open_file = FolderObjects.read_into, PointFile.open

    def counted(self: FolderObjects, path: str, offset: int, into: memoryview) -> None:
        reads.append(path)
        read_into(self, path, offset, into)

    def one(*arguments: object, **options: object) -> object:
        opened.append(str(arguments[2]))
        return open_file(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(FolderObjects, "read_into", counted)
    monkeypatch.setattr(PointFile, "open", one)
    result = store.query(METRIC, progress=False)
    assert len(reads) == FILES
    reads.clear()
    found = result.explain({"status": "down"})
    # Each of the three passes (reach, rows, files) reads a file whole, once, and none opens it on its own.
    assert opened == []
    assert len(reads) <= 3 * FILES
    assert max(map(reads.count, set(reads))) <= 3
    entries = sorted(store.files("s"), key=lambda entry: entry.t_min)
    # The others have points of these keys in between.
    assert set(found.files) >= {entry.path for i, entry in enumerate(entries) if i % 5 == 0}
    assert len(found.rows) == FILES // 5
