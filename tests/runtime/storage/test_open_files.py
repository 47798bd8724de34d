"""Open files: each once, ahead of time where reads are slow, and never over the limit."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest

from runtime import Store
from runtime.errors import StoreError
from runtime.ingest import day_spans
from runtime.objects import FileMissing, FolderObjects
from runtime.storage.open_files import OpenedFiles

DAY = 86_400_000_000


class Slow(FolderObjects):
    """A folder whose reads take as long as S3's; notes which paths were read, and how many reads went on at once."""

    gap = 1 << 20
    at_once = 8

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.reads: list[str] = []
        self.now = self.most = 0
        self._counting = threading.Lock()

    def read(self, path: str, offset: int, length: int) -> bytes:
        with self._counting:
            self.reads.append(path)
            self.now += 1
            self.most = max(self.most, self.now)
        time.sleep(0.02)
        try:
            return super().read(path, offset, length)
        finally:
            with self._counting:
                self.now -= 1


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path)
    i = np.arange(2_000)
    columns = {"device": i % 7, "ts": (19_800 + i % 20) * DAY + i, "x": i}
    with patch.object(day_spans, "FEW_DAYS", 20):
        store.ingest("s", columns, key="device", time="ts", unit="us", progress=False, compact=False)
    assert len(store.files("s")) == 20
    return store


def test_ahead_and_once(store: Store, tmp_path: Path) -> None:
    files, slow = list(store.files("s")), Slow(tmp_path)
    opened = OpenedFiles(slow)
    with opened.ahead(files):
        found = [opened.open(entry) for entry in files]
    assert [f.day for f in found] == [f.day for f in files]
    assert sorted(slow.reads) == sorted(f.path for f in files)
    assert 2 <= slow.most <= 9
    assert [opened.open(entry) for entry in files] == found
    assert len(slow.reads) == 20


def test_many_who_ask_for_one(store: Store, tmp_path: Path) -> None:
    entry, slow = store.files("s")[3], Slow(tmp_path)
    opened = OpenedFiles(slow)
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: opened.open(entry), range(8)))
    assert len(set(map(id, found))) == 1
    assert slow.reads == [entry.path]


def test_a_file_that_is_gone_fails_for_everyone_who_asks(store: Store, tmp_path: Path) -> None:
    files = list(store.files("s"))
    slow = Slow(tmp_path)
    slow.delete(files[5].path)
    opened = OpenedFiles(slow)
    with opened.ahead(files):  # which says nothing of it
        assert opened.open(files[4]).day == files[4].day
        with pytest.raises(FileMissing):
            opened.open(files[5])
    with pytest.raises(FileMissing):
        opened.open(files[5])
    with pytest.raises(StoreError), opened.ahead(files):
        raise StoreError("of the one who reads")


def test_no_threads_on_a_folder(store: Store, tmp_path: Path) -> None:
    opened = OpenedFiles(FolderObjects(tmp_path))
    before = threading.active_count()
    with opened.ahead(store.files("s")):
        assert threading.active_count() == before
        assert opened._open == {}


def test_what_is_kept_is_bounded(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files, slow = list(store.files("s")), Slow(tmp_path)
    monkeypatch.setattr("runtime.storage.open_files.MOST_BYTES", files[0].bytes * 5)
    monkeypatch.setattr("runtime.storage.open_files._AHEAD_BYTES", files[0].bytes * 5 // 2)
    opened = OpenedFiles(slow)
    with opened.ahead(files):
        time.sleep(0.2)
    assert len(slow.reads) == 2
    for entry in files:
        opened.open(entry)
        assert sum(f.held for f in opened._open.values()) == opened._held <= files[0].bytes * 5
    assert 3 <= len(opened._open) <= 6
    assert [f.path for f in files[-2:]] == list(opened._open)[-2:]
