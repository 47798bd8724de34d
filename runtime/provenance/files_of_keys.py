"""Finds the point files that contain given keys in given time ranges."""

from __future__ import annotations

from collections.abc import Callable, Iterable

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

    Range ``i`` belongs to key ``number[i]``; a key may have any number of them. Within one file the hull of a key's
    ranges is used. Only keys and times are read, and only of files that overlap.
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
        if near.any():
            lo, hi = np.full(len(keys), _EVER), np.full(len(keys), -_EVER)
            np.minimum.at(lo, slot[near], first[near])
            np.maximum.at(hi, slot[near], last[near])
            if _holds(open_file, entry, numbered, shard, (lo, hi)):
                out.append(entry.path)
    return tuple(out)


def _holds(
    open_file: Callable[[FileEntry], PointFile], entry: FileEntry, keys: Keys, shard: tuple[int, int], ranges: Ranges
) -> bool:
    """Whether the file has a point of one of the numbered keys in its range."""
    lo, hi = ranges
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
            if ((at >= lo[of[mine]]) & (at <= hi[of[mine]])).any():
                return True
    return False
