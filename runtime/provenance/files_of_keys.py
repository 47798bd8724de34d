"""Finds the point files that contain given keys in given time ranges."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.distinct_values import distinct
from operators.states.strings import Words
from runtime.catalogue import FileEntry
from runtime.columns import Column
from runtime.pointfile import Buffers, PointFile, borrowed, hash_keys
from runtime.query.scan.joined_batches import FEW, Joiner, OpenSmall, is_small
from runtime.query.scan.scan_spec import ScanSpec
from runtime.query.scan.scanning import Scan
from runtime.query.stages.keys import Keys
from runtime.query.stages.row_batch import RowBatch

Ranges = tuple[NDArray[np.int64], NDArray[np.int64]]
"""The first and the last times, both inclusive, microseconds UTC."""

_EVER = 2**62


def files_with(
    open_file: Callable[[FileEntry], PointFile],
    files: Iterable[FileEntry],
    keys: Column,
    number: NDArray[np.intp],
    ranges: Ranges,
) -> tuple[str, ...]:
    """The paths of those ``files`` that contain a point of one of the (distinct) ``keys`` in one of its time ranges.

    Range ``i`` belongs to key ``number[i]``; a key may have any number of them. Only keys and times are read, and only
    of files that overlap.
    """
    if not len(keys):
        return ()
    words = Words()
    numbered = Keys(keys.type, words)
    behind = _Behind(numbered.slots(keys)[number], ranges, len(keys))
    hashes = hash_keys(keys)
    shard = (int(hashes.min()), int(hashes.max()) + 1)
    near = [entry for entry in files if behind.overlaps(entry)]
    with borrowed() as buffers:
        known = _in_small(getattr(open_file, "small", None), near, numbered, shard, behind, buffers)
        for entry in near:
            if entry.path not in known:
                spec = _spec(shard, *behind.times(entry))
                known[entry.path] = _holds(Scan(spec, numbered, words, open_file, buffers), entry, behind)
    return tuple(entry.path for entry in near if known[entry.path])


def _spec(shard: tuple[int, int], since: int, until: int) -> ScanSpec:
    return ScanSpec(
        columns={}, shard=shard, since=since, until=until, skip_before=True, times=True,
        duplicates="keep", id_column=None, all_columns={},
    )  # fmt: skip


def _in_small(
    open_small: OpenSmall | None,
    files: Sequence[FileEntry],
    keys: Keys,
    shard: tuple[int, int],
    behind: _Behind,
    buffers: Buffers,
) -> dict[str, bool]:
    """For small files, which are read together as scans read them: whether they have such a point, by path. Without
    those with which something is wrong, which is said when they are opened."""
    small = [entry for entry in files if is_small(entry)]
    if open_small is None or len(small) < FEW:
        return {}
    known: dict[str, bool] = {}
    joiner = Joiner(_spec(shard, -_EVER, _EVER), -_EVER, keys, keys.words, buffers, open_small)
    for entries, alike in joiner.alike(small):
        joined = None if alike is None else joiner.joined(entries, alike, {}, True)
        if joined is None:
            continue
        known |= dict.fromkeys((entry.path for entry in entries), False)
        if joined.batch is not None:
            file = np.repeat(np.arange(len(entries)), [rows for _, rows in joined.rows])
            known |= {entries[i].path: True for i in distinct(file[behind.hits(joined.batch)]).tolist()}
    return known


def _holds(scan: Scan, entry: FileEntry, behind: _Behind) -> bool:
    return any(len(behind.hits(chunk)) for chunk in scan.chunks([entry]))


class _Behind:
    """What is looked for: ``ranges`` of the keys in ``slot``, which are numbered from 0 to ``keys``."""

    def __init__(self, slot: NDArray[np.integer[Any]], ranges: Ranges, keys: int) -> None:
        self._slot, self._ranges, self._keys = slot, ranges, keys
        self._lo, self._hi = np.full(keys, _EVER), np.full(keys, -_EVER)
        np.minimum.at(self._lo, slot, ranges[0])
        np.maximum.at(self._hi, slot, ranges[1])

    def overlaps(self, entry: FileEntry) -> bool:
        """Whether a range overlaps the file's times."""
        first, last = self._ranges
        return bool(((first <= entry.t_max) & (last >= entry.t_min)).any())

    def times(self, entry: FileEntry) -> tuple[int, int]:
        """From when until before when points of the file may be in a range that overlaps it."""
        first, last = self._ranges
        near = (first <= entry.t_max) & (last >= entry.t_min)
        return max(int(first[near].min()), entry.t_min), min(int(last[near].max()), entry.t_max) + 1

    def hits(self, batch: RowBatch) -> NDArray[np.intp]:
        """The rows of a batch that are points of one of the keys in one of its ranges."""
        of = np.repeat(batch.run_slot, batch.run_len)
        mine = np.flatnonzero(of < self._keys)
        at = batch.time[mine]
        mine = mine[(at >= self._lo[of[mine]]) & (at <= self._hi[of[mine]])]
        if not len(mine):
            return mine
        near = (self._ranges[0] <= batch.time[mine].max()) & (self._ranges[1] >= batch.time[mine].min())
        if not near.any():
            return mine[:0]
        ranges = self._ranges[0][near], self._ranges[1][near]
        return mine[_inside(of[mine], batch.time[mine], self._slot[near], ranges)]


def _inside(
    of: NDArray[np.integer[Any]], at: NDArray[np.int64], slot: NDArray[np.integer[Any]], ranges: Ranges
) -> NDArray[np.bool_]:
    """For each point, of key ``of`` at time ``at``, whether it is in a range of its key.

    A file of several days may have a key's points between the ranges only. Of the ranges that begin before a point, the
    latest end decides.
    """
    first, last = ranges
    ends, rank = np.unique(last, return_inverse=True)
    keys = np.concatenate([slot, of]).astype(np.int64)
    is_point = np.concatenate([np.zeros(len(slot), np.bool_), np.ones(len(of), np.bool_)])
    # Numbers that rise with key and end, so that the greatest so far is of the same key; 0: no range yet.
    number = keys * (len(ends) + 1)
    number[: len(slot)] += rank + 1
    times = np.concatenate([first, at])
    order = np.lexsort((is_point, times, keys))
    found = np.maximum.accumulate(number[order]) % (len(ends) + 1)
    latest = np.where(found > 0, ends[np.maximum(found - 1, 0)], -_EVER)
    inside = np.empty(len(order), np.bool_)
    inside[order] = times[order] <= latest
    return inside[len(slot) :]
