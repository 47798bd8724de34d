"""Snapshots as a cache: used, left alone, damaged, forbidden, bounded."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import dataflow as df
from runtime import Result, Store
from runtime.catalogue import FileEntry
from runtime.catalogue.items.entries import DAY
from runtime.errors import StoreError
from runtime.objects.object_store import FileMissing
from runtime.pointfile import PointFile
from runtime.query.carry import carrying, kept
from runtime.storage.open_files import OpenedFiles
from runtime.upkeep.spans import Job
from tests.runtime.copied_stores import copy_of

FIRST = 19_700
DAYS = 60
METRIC = df.stream("s").state_duration("status").group_by("status").agg(t=df.known_time(), n=df.count_distinct("k"))
SPAN: dict[str, Any] = {"since": (FIRST + DAYS - 1) * DAY, "until": (FIRST + DAYS) * DAY, "progress": False}


def rows(first: int, end: int) -> dict[str, list[Any]]:
    """Each key reports every hour."""
    at = [(d * 24 + h, k) for d in range(first, end) for h in range(24) for k in range(5)]
    return {
        "k": [f"key{k}" for _, k in at],
        "ts": [FIRST * DAY + hour * DAY // 24 + k for hour, k in at],
        "status": [["up", "down", "idle"][(hour * 7 + k) % 3] for hour, k in at],
    }


def ingest(store: Store, table: dict[str, list[Any]]) -> None:
    store.ingest("s", table, key="k", time="ts", unit="us", progress=False, compact=False)


@pytest.fixture(scope="module")
def days(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of a source for each day."""
    folder = tmp_path_factory.mktemp("days")
    with Store(folder, create=True) as made:
        for day in range(DAYS):
            ingest(made, rows(day, day + 1))
    return folder


@pytest.fixture
def store(days: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setattr(carrying, "LEAST", 1_000)
    monkeypatch.setattr(carrying, "FILE", 10)
    with copy_of(days, tmp_path) as found:
        yield found


def asked(store: Store, **more: Any) -> Result:
    """The answer, which is that of a query without snapshots."""
    found = store.query(METRIC, **SPAN, **more)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(carrying, "LEAST", 1 << 60)
        assert found.proof.result == store.query(METRIC, **SPAN).proof.result
    return found


def made(folder: Path) -> dict[Path, bytes]:
    return {p: p.read_bytes() for p in sorted((folder / "carry").rglob("*")) if p.is_file()}


def heads(folder: Path) -> list[Path]:
    return [p for p in made(folder) if p.suffix == "" and p.name != "writable"]


def test_used(store: Store, tmp_path: Path) -> None:
    assert "carried in" not in store.explain(METRIC, since=SPAN["since"], until=SPAN["until"])
    assert not (tmp_path / "carry").exists()
    first = asked(store)
    assert first.proof.rows_scanned == 5 + 5 * 24
    there = made(tmp_path)
    again = asked(store)
    assert (again.proof.carried, again.proof.files_planned) == (first.proof.carried, 2)
    assert made(tmp_path) == there
    text = store.explain(METRIC, since=SPAN["since"], until=SPAN["until"])
    assert f"carried in: {first.proof.carried}" in text
    assert "5 points in 1 file of a snapshot stand for the 7,080 in 59 files before" in text


def test_with_and_without_hold_share_it(store: Store, tmp_path: Path) -> None:
    asked(store)
    there = made(tmp_path)
    metric = df.stream("s").state_duration("status", hold="5m").agg(t=df.known_time())
    assert store.query(metric, **SPAN).proof.carried is not None
    assert made(tmp_path) == there


def test_late_rows(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked(store)
    read: list[int] = []
    plain = carrying.LastRows.add

    def counted(self: Any, files: Any) -> None:
        read.extend(f.rows for f in files)
        plain(self, files)

    monkeypatch.setattr(carrying.LastRows, "add", counted)
    late = (DAYS - 4) * DAY + FIRST * DAY + 7
    ingest(store, {"k": ["key1", "new"], "ts": [late, late], "status": ["gone", "gone"]})
    found = asked(store)
    assert found.proof.rows_scanned == 6 + 5 * 24
    # From the snapshot of some days before the late rows, not from the start.
    assert 0 < sum(read) < 10 * 5 * 24


def test_compaction_keeps_it(store: Store, tmp_path: Path) -> None:
    asked(store)
    before = heads(tmp_path)
    day = list(store.files("s"))[:20]
    work = store.compaction("s", progress=False)
    snapshot = store.catalogue.snapshot("s")
    job = Job(tuple(day), ())  # type: ignore[arg-type]
    ((_, attempt, files),) = work._written([job], snapshot, None)
    assert work._replaced(job, attempt, files)
    assert len(store.files("s")) < DAYS
    assert asked(store).proof.carried is not None
    assert heads(tmp_path) == before


@pytest.mark.parametrize("which", ["head", "points"])
@pytest.mark.parametrize("how", ["flipped", "cut", "gone", "swapped"])
def test_damage(store: Store, tmp_path: Path, which: str, how: str) -> None:
    asked(store)
    there = made(tmp_path)
    chosen = [p for p in there if (p in heads(tmp_path) if which == "head" else p.suffix == ".points")]
    for n, path in enumerate(chosen):
        data = there[path]
        path.chmod(0o644)
        if how == "flipped":
            path.write_bytes(data[: len(data) // 2] + bytes([data[len(data) // 2] ^ 1]) + data[len(data) // 2 + 1 :])
        elif how == "cut":
            path.write_bytes(data[:-1])
        elif how == "gone":
            path.unlink()
        else:
            path.write_bytes(there[chosen[n - 1]])
    store.close()
    # It is made anew.
    assert asked(store).proof.carried is not None


def test_gone_between_plan_and_scan(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    asked(store)
    plain = OpenedFiles._opened

    def gone(self: OpenedFiles, entry: FileEntry) -> PointFile:
        if entry.path.startswith("carry/"):
            raise FileMissing(entry.path)
        return plain(self, entry)

    monkeypatch.setattr(OpenedFiles, "_opened", gone)
    store.close()
    assert asked(store).proof.carried is None


def test_a_store_that_cannot_be_written_to(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: Any) -> None:
        raise StoreError("read only")

    with monkeypatch.context() as patched:
        patched.setattr(type(store.objects), "put", refused)
        assert asked(store).proof.carried is None
        asked(store)
        # What is there is used.
    asked(store)
    monkeypatch.setattr(type(store.objects), "put", refused)
    assert asked(store).proof.carried is not None


def test_bounded(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kept, "MOST", 4)
    for day in range(40, 60):
        store.query(METRIC, since=(FIRST + day) * DAY, until=(FIRST + day + 1) * DAY, progress=False)
    assert 0 < len(heads(tmp_path)) <= 4
    names = {p.name.partition(".")[0] for p in made(tmp_path)} - {"writable"}
    assert names == {p.name for p in heads(tmp_path)}


def test_not_where_it_does_not_pay(store: Store, tmp_path: Path) -> None:
    middle = {**SPAN, "since": (FIRST + DAYS // 2) * DAY}
    assert store.query(METRIC, **middle).proof.carried is None
    many = {"k": [f"once{n}" for n in range(20_000)], "ts": [FIRST * DAY + n for n in range(20_000)]}
    ingest(store, {**many, "status": ["up"] * 20_000})
    assert asked(store).proof.carried is None
    there = made(tmp_path)
    assert asked(store).proof.carried is None
    assert made(tmp_path) == there


def test_provenance_has_points_only(store: Store) -> None:
    explained = asked(store).explain(0)
    assert explained.files
    assert not any(path.startswith("carry/") for path in explained.files)


def test_notes_are_of_all_points(store: Store) -> None:
    for day in (0, DAYS - 1):
        ingest(store, {"k": ["key1"], "ts": [(FIRST + day) * DAY + 3], "status": [17]})  # type: ignore[dict-item]
    found = asked(store)
    assert found.proof.carried is not None
    assert "2 values of status" in found.notes[0]
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(carrying, "LEAST", 1 << 60)
        assert found.notes == store.query(METRIC, **SPAN).notes


def test_another_order_is_another_family(store: Store) -> None:
    schema = store.catalogue.snapshot("s").schema
    assert kept.family(schema, ["status"], None) != kept.family(replace(schema, unordered=1), ["status"], None)
