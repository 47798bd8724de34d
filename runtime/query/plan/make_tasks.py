"""Splits a query into tasks: slices of time and shards of keys that cover every planned row once."""

from __future__ import annotations

import os
from collections.abc import Callable

from runtime.catalogue import FileEntry
from runtime.query.plan.prepare import Prepared
from runtime.query.scan.scanning import scan_order
from runtime.query.task.task import Task

_SMALL = 250_000
"""Rows below which a task is not worth splitting."""

_FILE = 4_000
"""Opening a file takes as long as reading this many rows."""

_UNEVEN = 1.1
"""The largest slice of time may have this many times its share of rows; beyond that, keys are split instead."""


_HASHES = 1 << 64


def row_weight(file: FileEntry) -> int:
    """The work of a file on this machine, in rows."""
    return file.rows + _FILE


def make_tasks(
    prepared: Prepared, store_url: str, workers: int, weight: Callable[[FileEntry], int] = row_weight
) -> list[Task]:
    """Tasks over slices of time and shards of keys that cover every row of the planned files once; ``weight`` is the
    work of a file where they run, of which slices of time get equal parts."""
    files, plan = prepared.files, prepared.plan
    # Every shard opens every file, but each slice of time has files of its own.
    rows = sum(f.rows + (_FILE if plan.sliceable else 0) for f in files)
    # One task per worker: hashes spread the keys evenly, and measurements show that more tasks cost more than the
    # better balance gains (20 million points on two threads: 0.15 s with 2 tasks, 0.21 with 4, 0.25 with 8).
    wanted = max(1, min(-(-rows // _SMALL), workers)) if workers > 1 else 1
    if not plan.sliceable and files:
        # More shards than that would open files for longer than they read.
        wanted = min(wanted, max(1, rows // (len(files) * min(_FILE, _SMALL))))
    # By shard first: with a key's whole history in one task, no state crosses a boundary in time.
    parts = _slices(files, wanted, prepared.id_column, weight) if plan.sliceable else [files]
    slices = len(parts)
    # A power of two: writers end blocks at the edges of such shards, so that no block is decoded twice.
    shards = 1 << (max(1, -(-wanted // slices)) - 1).bit_length()
    others = {s.snapshot.stream: {"schema": s.schema.to_dict(), "history": s.history} for s in prepared.streams[1:]}
    out = []
    for i, part in enumerate(parts):
        for j in range(shards):
            shard = (_HASHES * j // shards, _HASHES * (j + 1) // shards)
            out.append(
                Task(
                    id=f"{i}.{j}",
                    store=store_url,
                    stream=plan.stream,
                    graph=prepared.task_graph,
                    params=prepared.params,
                    schema=prepared.schema.to_dict(),
                    files=part,
                    shard=shard,
                    since=prepared.since,
                    until=prepared.until,
                    history=prepared.streams[0].history,
                    beginning=prepared.beginning,
                    others=others,
                )
            )
    return out


def _slices(
    files: tuple[FileEntry, ...], wanted: int, id_column: str | None, weight: Callable[[FileEntry], int]
) -> list[tuple[FileEntry, ...]]:
    """The files in up to ``wanted`` slices of time that no file crosses, with similar amounts of work; one slice if
    that is impossible."""
    groups = scan_order(files, id_column)
    work = [sum(map(weight, group)) for group in groups]
    total, at = sum(work), 0
    parts: list[list[FileEntry]] = [[] for _ in range(wanted)]
    sizes = [0] * wanted
    for group, size in zip(groups, work, strict=True):
        # A group belongs to the slice that contains its middle.
        n = min((2 * at + size) * wanted // (2 * max(total, 1)), wanted - 1)
        parts[n] += group
        sizes[n] += size
        at += size
    even = max(sizes) * wanted <= total * _UNEVEN
    return [tuple(part) for part in parts if part] if files and even else [files]


def default_workers() -> int:
    """The number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1
