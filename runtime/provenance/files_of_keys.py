"""Finds the point files that contain given keys in given time ranges."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.states.strings import Words
from runtime.catalogue import FileEntry
from runtime.columns import Column
from runtime.pointfile import PointFile, borrowed, hash_keys
from runtime.query.scan.scan_spec import ScanSpec
from runtime.query.scan.scanning import Scan
from runtime.query.stages.keys import Keys

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
    slot = numbered.slots(keys)[number]
    hashes = hash_keys(keys)
    shard = (int(hashes.min()), int(hashes.max()) + 1)
    first, last = ranges
    out = []
    for entry in files:
        near = (first <= entry.t_max) & (last >= entry.t_min)
        if near.any() and _holds(open_file, entry, numbered, shard, slot[near], (first[near], last[near])):
            out.append(entry.path)
    return tuple(out)


def _holds(
    open_file: Callable[[FileEntry], PointFile],
    entry: FileEntry,
    keys: Keys,
    shard: tuple[int, int],
    slot: NDArray[np.integer[Any]],
    ranges: Ranges,
) -> bool:
    """Whether the file has a point of one of the numbered keys in one of its ranges, which are those of ``slot``."""
    lo, hi = np.full(len(keys), _EVER), np.full(len(keys), -_EVER)
    np.minimum.at(lo, slot, ranges[0])
    np.maximum.at(hi, slot, ranges[1])
    since, until = max(int(lo.min()), entry.t_min), min(int(hi.max()), entry.t_max) + 1
    spec = ScanSpec(
        columns={}, shard=shard, since=since, until=until, skip_before=True, times=True,
        duplicates="keep", id_column=None, all_columns={},
    )  # fmt: skip
    with borrowed() as buffers:
        for chunk in Scan(spec, keys, keys.words, open_file, buffers).chunks([entry]):
            of = np.repeat(chunk.run_slot, chunk.run_len)
            mine = np.flatnonzero(of < len(lo))
            at = chunk.time[mine]
            near = (at >= lo[of[mine]]) & (at <= hi[of[mine]])
            if near.any() and _any_inside(of[mine][near], at[near], slot, ranges):
                return True
    return False


def _any_inside(
    of: NDArray[np.integer[Any]], at: NDArray[np.int64], slot: NDArray[np.integer[Any]], ranges: Ranges
) -> bool:
    """Whether any point, of key ``of`` at time ``at``, is in a range of its key.

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
    return bool((is_point[order] & (times[order] <= latest)).any())
