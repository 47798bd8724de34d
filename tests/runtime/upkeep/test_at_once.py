"""Jobs of a compaction that are done at once: the same files and commits as one by one, and each stands alone."""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runtime import Store
from runtime.catalogue import FileEntry
from runtime.errors import StoreError
from runtime.progress import NoProgress
from runtime.upkeep import compaction
from runtime.upkeep.compaction import Compaction, CompactionReport
from runtime.upkeep.rewrite import Rewriting, values_at_once
from tests.runtime.upkeep.small_constants import small_constants
from tests.runtime.upkeep.test_in_parts import answers, filled


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction, "_AT_ONCE", 0)


def compact(store: Store, workers: int) -> CompactionReport:
    return Compaction(store.objects, store.catalogue, store.opened, "s", NoProgress(), workers).everything()


def watched(monkeypatch: pytest.MonkeyPatch, before: Callable[[int], Any] = lambda number: None) -> list[int]:
    """How many jobs were under way whenever one began; each takes a moment, and calls ``before`` with its number."""
    usual, lock, now, seen = Rewriting.compacted, threading.Lock(), [0], list[int]()

    def compacted(self: Rewriting, *given: Any) -> list[FileEntry]:
        with lock:
            now[0] += 1
            seen.append(now[0])
            number = len(seen)
        try:
            before(number)
            time.sleep(0.02)
            return usual(self, *given)
        finally:
            with lock:
                now[0] -= 1

    monkeypatch.setattr(Rewriting, "compacted", compacted)
    return seen


@pytest.mark.parametrize("seed", range(2))
def test_it_is_as_one_by_one(tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with small_constants():
        with filled(tmp_path, seed, 16) as store:
            expected = answers(store)
        shutil.copytree(tmp_path / "store", tmp_path / "other")
        seen = watched(monkeypatch)
        found = []
        for folder, workers in (("store", 1), ("other", 3)):
            with Store(tmp_path / folder) as store:
                seen.clear()
                report = compact(store, workers)
                assert max(seen) <= workers
                assert (max(seen) > 1) == (workers > 1)
                assert answers(store) == expected
                assert store.verify().ok
                assert report.jobs > 2
                files = [(f.seq, f.day, f.rows, f.t_min, f.t_max, f.keys, f.dropped) for f in store.files("s")]
                found.append((files, report.jobs, report.lost, report.rows, report.files_after))
        assert found[0] == found[1]


def test_no_more_values_are_in_memory_than_one_job_may_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with small_constants(), filled(tmp_path, 1, 16) as store:
        most = max(values_at_once(job.files) for job in store.compaction("s", False).planned())
        monkeypatch.setattr(compaction, "VALUES", most)
        seen = watched(monkeypatch)
        assert compact(store, 3).jobs > 2
        assert max(seen) <= 3
        monkeypatch.setattr(compaction, "VALUES", 0)
    (tmp_path / "other").mkdir()
    with small_constants(), filled(tmp_path / "other", 1, 16) as store:
        seen.clear()
        assert compact(store, 3).jobs > 2
        assert max(seen) == 1


@pytest.mark.parametrize("error", [StoreError("the disk is full"), KeyboardInterrupt()])
def test_one_that_fails(tmp_path: Path, error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those before it are committed, nothing of it is; another compaction does the rest."""

    def fails(number: int) -> None:
        if number == 3:
            raise error

    with small_constants(), filled(tmp_path, 2, 16) as store:
        expected, commits = answers(store), store.catalogue.snapshot("s").seq
        with monkeypatch.context() as patched:
            watched(patched, fails)
            with pytest.raises(type(error)):
                compact(store, 2)
        assert store.catalogue.snapshot("s").seq <= commits + 2
        assert answers(store) == expected
        assert store.verify().ok
        compact(store, 2)
        assert answers(store) == expected
        assert not store.compaction("s", False).planned()


def test_one_that_another_commit_overtakes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with small_constants(), filled(tmp_path, 3, 16) as store, Store(tmp_path / "store") as beside:
        expected = answers(store)

        def overtaken(number: int) -> None:
            if number == 2:
                beside.compact("s", progress=False)

        watched(monkeypatch, overtaken)
        report = compact(store, 2)
        assert report.lost >= 1
        assert answers(store) == expected
        assert store.verify().ok


def test_few_rows_are_compacted_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compaction, "_AT_ONCE", 1 << 18)
    with small_constants(), filled(tmp_path, 1, 16) as store:
        seen = watched(monkeypatch)
        assert compact(store, 3).jobs > 2
        assert max(seen) == 1
