"""Open files: each once, ahead of time where reads are slow, and never over the limit."""

from __future__ import annotations

import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest

import dataflow as df
from runtime import Store
from runtime.errors import StoreError
from runtime.ingest import day_spans
from runtime.kept_memory import KEPT, KeptMemory
from runtime.objects import FileMissing, FolderObjects
from runtime.storage.open_files import OpenedFiles
from tests.waiting import until

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
        assert opened.held == 0


def test_what_is_kept_is_bounded(store: Store, tmp_path: Path) -> None:
    files, slow = list(store.files("s")), Slow(tmp_path)
    one = OpenedFiles(FolderObjects(tmp_path), KeptMemory(1 << 30)).open(files[0]).held
    kept = KeptMemory(5 * one)
    opened = OpenedFiles(slow, kept)
    most = one * 5 // 2 // files[0].bytes
    with opened.ahead(files):
        until(lambda: len(slow.reads) >= most)
    assert len(slow.reads) == most
    for entry in files:
        opened.open(entry)
        assert opened.held == kept.held() <= 5 * one
    names = kept.names(opened._owner)
    assert 3 <= len(names) <= 6
    assert [f.path for f in files[-2:]] == names[-2:]


def test_decoded_dictionaries_count(store: Store, tmp_path: Path) -> None:
    words = [f"word number {i} of very many" for i in range(50_000)]
    columns = {"device": np.zeros(50_000, np.int64), "ts": np.arange(50_000), "word": words}
    store.ingest("w", columns, key="device", time="ts", unit="us", progress=False)
    (entry,) = store.files("w")
    opened = OpenedFiles(FolderObjects(tmp_path), kept := KeptMemory(64 << 20))
    file = opened.open(entry)
    before = opened.held
    strings = file.dictionary("word").strings
    size = sum(map(sys.getsizeof, strings)) + sys.getsizeof(strings)
    assert size < opened.held - before < 1.5 * size
    assert opened.held == kept.held() == file.held
    kept.most = size  # too little for the file: it is closed, but stays the same file to whoever uses it
    assert (opened.held, opened.open(entry) is file) == (0, True)


def test_one_limit_for_all_open_stores(store: Store, tmp_path: Path) -> None:
    files = list(store.files("s"))
    one = OpenedFiles(FolderObjects(tmp_path), KeptMemory(1 << 30)).open(files[0]).held
    kept = KeptMemory(6 * one)
    first, second = (OpenedFiles(FolderObjects(tmp_path), kept) for _ in range(2))
    for entry in files[:4]:
        first.open(entry)
    assert first.held > 3 * one
    for entry in files[:5]:
        second.open(entry)
    assert (second.held > 4 * one, first.held < 2 * one, kept.held() <= 6 * one) == (True, True, True)
    second.close_all()
    assert kept.held() == first.held
    del first
    assert kept.held() == 0


def test_a_closed_store_keeps_nothing(tmp_path: Path) -> None:
    store, rows = Store(tmp_path / "large"), np.arange(50_000)
    store.ingest("s", {"device": rows % 7, "ts": rows, "x": rows}, key="device", time="ts", unit="us", progress=False)
    store.query(df.stream("s").agg(x=df.sum("x")), progress=False)
    owner, before = store.opened._owner, KEPT.held()
    mine = store.opened.held
    assert mine > 0
    store.close()
    assert (KEPT.held(owner), KEPT.held()) == (0, before - mine)
    assert store.query(df.stream("s").agg(x=df.sum("x")), progress=False)["x"] == [rows.sum()]


def test_an_interrupt_of_one_caller_is_not_anothers(store: Store, tmp_path: Path) -> None:
    """Ctrl-C ends the call that opens a file; another one that waits for it opens it itself."""
    entry, opened = store.files("s")[0], OpenedFiles(FolderObjects(tmp_path))
    waits, right = threading.Event(), opened._opened

    def interrupted(_: object) -> object:
        waits.wait(10)
        time.sleep(0.05)
        opened._opened = right  # type: ignore[method-assign]
        raise KeyboardInterrupt

    opened._opened = interrupted  # type: ignore[assignment, method-assign]
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(opened.open, entry)
        while not opened._opening:
            time.sleep(0.001)
        second = pool.submit(opened.open, entry)
        waits.set()
        assert isinstance(first.exception(10), KeyboardInterrupt)
        assert second.result(10).held > 0
