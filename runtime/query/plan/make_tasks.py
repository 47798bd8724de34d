"""A query as tasks: slices of time and shards of keys that cover every planned row once."""

from __future__ import annotations

import os
from itertools import groupby

from runtime.catalogue import FileEntry
from runtime.query.plan.prepare import Prepared
from runtime.query.task.task import Task

_SMALL = 250_000
"""Rows below which a task is not worth splitting."""


_UNEVEN = 1.1
"""How much more rows than its share the largest slice of time may have, before keys are split instead."""


_HASHES = 1 << 64


def make_tasks(prepared: Prepared, store_url: str, workers: int) -> list[Task]:
    """Tasks over slices of time and shards of keys that cover every row of the planned files once."""
    files, plan = prepared.files, prepared.plan
    rows = sum(f.rows for f in files)
    # One task a worker: hashes spread the keys evenly, and more tasks than that were measured to cost more than the
    # better balance brings (20 million points on two threads: 0.15 s with 2 tasks, 0.21 with 4, 0.25 with 8).
    wanted = max(1, min(-(-rows // _SMALL), workers)) if workers > 1 else 1
    # By shard first: a key's whole history in one task needs no state at the seams of time.
    parts = _slices(files, wanted) if plan.sliceable else [files]
    slices = len(parts)
    # A power of two: writers let blocks end at such shards' edges, so that no block is decoded twice.
    shards = 1 << (max(1, -(-wanted // slices)) - 1).bit_length()
    out = []
    for i, part in enumerate(parts):
        for j in range(shards):
            shard = (_HASHES * j // shards, _HASHES * (j + 1) // shards)
            out.append(
                Task(
                    id=f"{i}.{j}",
                    store=store_url,
                    stream=plan.stream,
                    graph=prepared.graph,
                    params=prepared.params,
                    schema=prepared.schema.to_dict(),
                    files=part,
                    shard=shard,
                    since=prepared.since,
                    until=prepared.until,
                    history=prepared.history,
                    beginning=prepared.beginning,
                )
            )
    return out


def _slices(files: tuple[FileEntry, ...], wanted: int) -> list[tuple[FileEntry, ...]]:
    """The files in up to ``wanted`` slices of whole days of about as many rows each; in one if that cannot be."""
    total, at = sum(f.rows for f in files), 0
    parts: list[list[FileEntry]] = [[] for _ in range(wanted)]
    for _, day in groupby(sorted(files, key=lambda f: (f.day, f.seq, f.ordinal)), key=lambda f: f.day):
        listed = list(day)
        rows = sum(f.rows for f in listed)
        # A day belongs to the slice in which its middle lies.
        parts[min((2 * at + rows) * wanted // (2 * max(total, 1)), wanted - 1)] += listed
        at += rows
    largest = max(sum(f.rows for f in part) for part in parts)
    even = largest * wanted <= total * _UNEVEN
    return [tuple(part) for part in parts if part] if files and even else [files]


def default_workers() -> int:
    """As many threads as this process may use cores."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1
