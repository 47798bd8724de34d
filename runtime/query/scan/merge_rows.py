"""Merges the rows of several files by key, time and commit order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.compiler.loops import loop
from runtime.catalogue import FileEntry
from runtime.catalogue.items.entries import DAY, SEQ, order_of
from runtime.pointfile import PointFile
from runtime.query.scan.across_files import CellRows
from runtime.query.stages.row_batch import RowBatch, Values

FEWEST, MOST = 1 << 22, 1 << 24
"""Rows that are merged at once, if their files cover several days: not fewer (but those that there are), and not many
more, unless a single day has more."""

_EVER = 1 << 62


def commit_orders(files: Sequence[tuple[FileEntry, PointFile]]) -> tuple[list[int], list[int | None] | None]:
    """The numbers of the files in commit order of their rows, and None if this order decides among rows of one time.

    Otherwise ``$seq`` decides: then its value in each file, in that order, or None where it is a column.
    """
    spans = [_orders_in(entry, file) for entry, file in files]
    numbers = sorted(range(len(files)), key=lambda i: (spans[i], files[i][0].seq, files[i][0].ordinal))
    if all(spans[a][1] < spans[b][0] for a, b in pairwise(numbers)):
        return numbers, None
    return numbers, [None if files[i][0].compacted else spans[i][0] for i in numbers]


def _orders_in(entry: FileEntry, file: PointFile) -> tuple[int, int]:
    """The least and the greatest ``$seq`` of a file's rows."""
    if not entry.compacted:
        return (order_of(entry.seq, entry.ordinal),) * 2
    chunks = file.chunks(SEQ)
    return int(chunks["vmin"].min()), int(chunks["vmax"].max())


def windows(files: Sequence[tuple[FileEntry, int]]) -> list[tuple[int, int]]:
    """Spans [lo, hi) of whole UTC days that are merged one after the other; together, they are all time.

    ``files`` with the number of rows to read of each. A file of several days is read once for each window, so windows
    have at least as many rows as these files together, up to a limit.
    """
    per_day: dict[int, float] = {}
    long = 0
    for entry, rows in files:
        days = entry.days
        long += rows if days > 1 else 0
        for day in range(entry.day, entry.day + days):
            per_day[day] = per_day.get(day, 0) + rows / days
    most = min(max(FEWEST, long), MOST)
    edges, held = [-_EVER], 0.0
    for day in sorted(per_day):
        if held and held + per_day[day] > most:
            edges.append(day * DAY)
            held = 0.0
        held += per_day[day]
    return list(pairwise([*edges, _EVER]))


class Gathered:
    """Rows of marked keys from several files, in the order of the files."""

    def __init__(self, dtypes: Mapping[str, np.dtype[Any]], by_seq: bool) -> None:
        self._slots: list[NDArray[np.int32]] = []
        self._times: list[NDArray[np.int64]] = []
        self._seqs: list[NDArray[np.int64]] = []
        self._dtypes = dtypes
        self._by_seq = by_seq
        self._columns: dict[str, list[Values]] = {name: [] for name in dtypes}

    def add(
        self, batch: RowBatch, of: NDArray[np.bool_], cut: tuple[int, int] | None = None, order: int | None = None
    ) -> None:
        """Copy the rows of the keys marked in ``of``, and in [lo, hi) if ``cut`` says so; ``order`` is their ``$seq``,
        unless it is a column."""
        marked = of[batch.run_slot]
        slot, index = np.repeat(batch.run_slot, batch.run_len), None
        if cut is not None:
            inside = np.repeat(marked, batch.run_len) & (batch.time >= cut[0]) & (batch.time < cut[1])
            index = np.flatnonzero(inside)
        elif not marked.all():
            index = np.flatnonzero(np.repeat(marked, batch.run_len))
        rows = batch.rows if index is None else len(index)
        if not rows:
            return
        self._slots.append(slot if index is None else slot[index])
        self._times.append(_rows(batch.time, index, rows))
        if self._by_seq:
            seq = np.full(rows, order, np.int64) if order is not None else _rows(batch.columns[SEQ][0], index, rows)
            self._seqs.append(seq)
        for name, dtype in self._dtypes.items():
            values, valid = batch.columns[name]
            self._columns[name].append(
                (_rows(values.astype(dtype, copy=False), index, rows), _rows(valid, index, rows))
            )

    def merged(self, keys: int) -> CellRows | None:
        """The rows by (slot, time, ``$seq``, order of adding), of ``keys`` slots; None if there are none."""
        if not self._times:
            return None
        slot, time = np.concatenate(self._slots), np.concatenate(self._times)
        seq = np.concatenate(self._seqs) if self._by_seq else np.zeros(0, np.int64)
        joined = {
            name: (np.concatenate([v for v, _ in got]), np.concatenate([k for _, k in got]))
            for name, got in self._columns.items()
        }
        rows = CellRows(slot, time, joined)
        falls = (slot[1:] < slot[:-1]) | ((slot[1:] == slot[:-1]) & (time[1:] < time[:-1]))
        if len(self._times) == 1 and not falls.any():
            return rows
        return rows.take(merge_order(slot, time, seq, keys))


def merge_order(
    slot: NDArray[np.int32], time: NDArray[np.int64], seq: NDArray[np.int64], keys: int
) -> NDArray[np.int64]:
    """The stable order of rows by (slot, time, seq); ``seq`` may be empty. Fast for a few sorted runs per key."""
    ends = np.cumsum(np.bincount(slot, minlength=keys))
    index, other = np.empty(len(slot), np.int64), np.empty(len(slot), np.int64)
    _merge_runs(slot, time, seq, np.concatenate([[0], ends[:-1]]), ends, index, other)
    return index


@loop("void(i4[::1], i8[::1], i8[::1], i8[::1], i8[::1], i8[::1], i8[::1])")
def _merge_runs(slot: Any, time: Any, seq: Any, starts: Any, ends: Any, index: Any, other: Any) -> None:
    """A counting sort by slot, then a natural merge sort of each slot's rows; modifies ``starts`` and ``other``."""
    by_seq = len(seq) > 0
    for i in range(len(slot)):
        s = slot[i]
        index[starts[s]] = i
        starts[s] += 1
    first: Any = np.int64(0)
    for s in range(len(ends)):
        end = ends[s]
        while True:
            # One pass: every two neighbouring runs become one.
            lo: Any = first
            runs = 0
            while lo < end:
                mid = lo + 1
                while mid < end:
                    a, b = index[mid - 1], index[mid]
                    if time[b] < time[a] or (by_seq and time[b] == time[a] and seq[b] < seq[a]):
                        break
                    mid += 1
                hi = min(mid + 1, end)
                while hi < end:
                    a, b = index[hi - 1], index[hi]
                    if time[b] < time[a] or (by_seq and time[b] == time[a] and seq[b] < seq[a]):
                        break
                    hi += 1
                runs += 1
                if mid < end:
                    i, j = lo, mid
                    at = lo
                    while i < mid and j < hi:
                        a, b = index[i], index[j]
                        if time[b] < time[a] or (by_seq and time[b] == time[a] and seq[b] < seq[a]):
                            other[at] = b
                            j += 1
                        else:
                            other[at] = a
                            i += 1
                        at += 1
                    while i < mid:
                        other[at] = index[i]
                        i += 1
                        at += 1
                    # What is left of the second run is in place.
                    for k in range(lo, at):
                        index[k] = other[k]
                lo = hi
            if runs <= 1:
                break
        first = end


def _rows(array: NDArray[Any], index: NDArray[np.intp] | None, rows: int) -> NDArray[Any]:
    """One entry per row, in an array of its own."""
    if len(array) == 1:
        return np.full(rows, array[0], array.dtype)
    return array.copy() if index is None else array[index]
