"""Stores with orphans and replaced files, and a clock that can be set."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from runtime import Store
from runtime.catalogue import (
    DAY,
    AlreadyIngested,
    Committed,
    FileEntry,
    SourceEntry,
    file_path,
    new_attempt,
)
from runtime.upkeep.sweep import SweepReport, sweep

HOUR = DAY // 24
FIRST_DAY = 19_800


def points(number: int, days: int = 2) -> dict[str, Any]:
    times = [(FIRST_DAY + d) * DAY + number * 1_000_000 for d in range(days)]
    return {"k": ["a"] * days, "t": times, "v": [number] * days}


def ingest(store: Store, number: int, stream: str = "s", days: int = 2) -> None:
    report = store.ingest(stream, points(number, days), key="k", time="t", unit="us", progress=False, compact=False)
    assert report.committed == days


def copied(store: Store, files: Sequence[FileEntry], attempt: str, stream: str = "s") -> list[FileEntry]:
    """The same files, as another attempt wrote them; not committed."""
    out = []
    for n, file in enumerate(files):
        path = file_path(stream, file.day, attempt, n)
        store.objects.put(path, store.objects.read(file.path, 0, file.bytes))
        out.append(replace(file, path=path, seq=0, ordinal=0))
    return out


def orphans(store: Store, count: int = 1, stream: str = "s") -> list[str]:
    """The paths of files of ``count`` attempts that never committed."""
    first = store.files(stream)[0]
    return [file.path for _ in range(count) for file in copied(store, [first], new_attempt(), stream)]


def commit(store: Store, files: Sequence[FileEntry], attempt: str, source: str) -> Committed | AlreadyIngested:
    """Commit files that were written before."""
    schema = store.catalogue.schema("s")
    assert schema is not None
    entry = SourceEntry(source, source[:8], 10, rows_read=len(files), rows_committed=len(files))
    return store.catalogue.commit("s", schema, entry, files, attempt)


def replaced(store: Store, files: Sequence[FileEntry], stream: str = "s") -> list[FileEntry]:
    """Replace live files by copies of them, as a compaction does; returns the copies."""
    attempt = new_attempt()
    copies = copied(store, files, attempt, stream)
    copies = [replace(copy, content=f"{file.content_hash:064x}") for copy, file in zip(copies, files, strict=True)]
    assert isinstance(store.catalogue.replace(stream, files, copies, attempt), Committed)
    return copies


def swept(store: Store, after: int, **options: Any) -> SweepReport:
    """Sweep as if ``after`` microseconds had passed since now."""
    return sweep(store.objects, store.catalogue, clock=lambda: time.time_ns() // 1000 + after, **options)


def listed(store: Store, prefix: str = "data/") -> set[str]:
    return {info.path for info in store.objects.list(prefix)}


def live(store: Store, stream: str = "s") -> set[str]:
    return {file.path for file in store.files(stream)}
