"""Gathers the rows of several files, and puts them in the order of key, time and commit."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataflow.typed.hidden_columns import ORDER
from operators.compiler.loops import I64, inline, loop
from runtime.catalogue.items.entries import SEQ
from runtime.pointfile import Buffers
from runtime.query.scan.row_order import MOST_RANKS, find_order
from runtime.query.stages.row_batch import VALID, RowBatch, Values

Integers = NDArray[np.int64]


class Gathered:
    """Rows of marked keys from several files, in the order of adding; at most ``most`` rows.

    Each run that is added is in order of time, and of ``$seq`` within a time. All arrays are of ``buffers``: the rows
    are valid until the next ones are gathered.
    """

    def __init__(self, dtypes: Mapping[str, np.dtype[Any]], by_seq: bool, most: int, buffers: Buffers) -> None:
        self._runs: list[tuple[NDArray[np.int32], Integers]] = []
        self._ranks: list[int] = []

        def gathering(what: str, dtype: Any, in_full: bool = False) -> _Gathering:
            return _Gathering(what, np.dtype(dtype), most, buffers, in_full)

        self._buffers = buffers
        self._time = gathering("$time", np.int64, in_full=True)
        self._seq = gathering(SEQ, np.int64, in_full=True) if by_seq else None
        self._columns = {
            name: (gathering(f"values of {name}", dtype), gathering(f"valid {name}", np.uint8))
            for name, dtype in dtypes.items()
        }

    def add(
        self,
        batch: RowBatch,
        of: NDArray[np.bool_],
        cut: tuple[int, int] | None = None,
        order: int | None = None,
        rank: int = 0,
    ) -> None:
        """Copy the rows of the keys marked in ``of``, and in [lo, hi) if ``cut`` says so; ``order`` is their ``$seq``,
        unless it is a column. ``rank`` is that of their input (``in_place``)."""
        marked, slots, lengths = of[batch.run_slot], batch.run_slot, batch.run_len
        index = None
        if cut is not None:
            inside = np.repeat(marked, lengths) & (batch.time >= cut[0]) & (batch.time < cut[1])
            index = np.flatnonzero(inside)
            ends, chosen = np.cumsum(lengths), np.concatenate([[0], np.cumsum(inside)])
            lengths = chosen[ends] - chosen[ends - lengths]
        elif not marked.all():
            index = np.flatnonzero(np.repeat(marked, lengths))
            lengths = np.where(marked, lengths, 0)
        rows = batch.rows if index is None else len(index)
        if not rows:
            return
        left = lengths > 0
        self._runs.append((slots[left], lengths[left]))
        self._ranks.append(rank)
        self._time.add(batch.time, index, rows)
        if self._seq is not None:
            seq = batch.columns[SEQ][0] if order is None else np.array([order], np.int64)
            self._seq.add(seq, index, rows)
        for name, (values, valid) in self._columns.items():
            found, there = batch.columns[name]
            values.add(found, index, rows)
            valid.add(there, index, rows)

    def merged(self) -> RowBatch | None:
        """The rows by (slot, time, ``$seq``, order of adding), a run for each slot; None if there are none."""
        if not self._runs:
            return None
        slots = np.concatenate([slots for slots, _ in self._runs])
        lengths = np.concatenate([lengths for _, lengths in self._runs])
        ends = np.cumsum(lengths)
        by_slot = np.argsort(slots, kind="stable")
        edges = np.flatnonzero(np.diff(slots[by_slot], prepend=np.int32(-1), append=np.int32(-1)))
        time = self._time.given()
        seq = np.zeros(0, np.int64) if self._seq is None else self._seq.given()
        segments = self._segments((ends - lengths)[by_slot], ends[by_slot], edges, time, seq)
        columns: dict[str, Values] = {}
        for name, (values, valid) in self._columns.items():
            columns[name] = (values.taken(segments), valid.taken(segments))
        return RowBatch(
            slots[by_slot[edges[:-1]]],
            np.add.reduceat(lengths[by_slot], edges[:-1]),
            self._time.taken(segments),
            columns,
        )

    def in_place(self) -> RowBatch | None:
        """The rows as they were added, a run for each slot, with the order of (slot, time, rank, order of adding) in
        the column ``$order``; None if there are none. The runs of one rank must follow each other in time."""
        if not self._runs:
            return None
        slots = np.concatenate([slots for slots, _ in self._runs])
        lengths = np.concatenate([lengths for _, lengths in self._runs])
        ranks = np.repeat(np.array(self._ranks, np.int64), [len(slots) for slots, _ in self._runs])
        ends = np.cumsum(lengths)
        by = np.lexsort((ranks, slots))
        edges = np.flatnonzero(np.diff(slots[by], prepend=np.int32(-1), append=np.int32(-1)))
        time, heads = self._time.given(), np.empty(3 * MOST_RANKS, np.int64)
        order = self._buffers.array("order", "<i4", len(time)).view(np.int32)
        find_order((ends - lengths)[by], ends[by], edges, ranks[by], time, heads, order)
        columns = {name: (values.given(), valid.given()) for name, (values, valid) in self._columns.items()}
        return RowBatch(
            slots[by[edges[:-1]]], np.add.reduceat(lengths[by], edges[:-1]), time, {**columns, ORDER: (order, VALID)}
        )

    def _segments(
        self, starts: Integers, ends: Integers, edges: NDArray[np.intp], time: Integers, seq: Integers
    ) -> tuple[Integers, Integers]:
        """Where the rows in order are: starts and lengths of neighbouring ones.

        ``starts`` and ``ends`` of the runs, those of one slot between two ``edges`` in the order of adding.
        """
        out = self._buffers.array("segments at", "<i8", len(time)).view(np.int64)
        sizes = self._buffers.array("segments of", "<i8", len(time)).view(np.int64)
        heap = np.empty(int(np.diff(edges).max()), np.int64)
        count = np.zeros(1, np.int64)
        _find_segments(starts.copy(), ends, edges, time, seq, heap, out, sizes, count)
        n = int(count[0])
        return out[:n], sizes[:n]


class _Gathering:
    """One array that grows: a single entry as long as all that is added is the same one, unless ``in_full``."""

    def __init__(self, what: str, dtype: np.dtype[Any], most: int, buffers: Buffers, in_full: bool) -> None:
        self._what, self._dtype, self._most, self._buffers, self._in_full = what, dtype, most, buffers, in_full
        self._held: NDArray[Any] | None = None
        self._one: NDArray[Any] | None = None
        self._at = 0

    def add(self, array: NDArray[Any], index: NDArray[np.intp] | None, rows: int) -> None:
        """Add one entry for each of ``rows`` rows, those of ``index`` if given; of one entry, it is that of all."""
        if len(array) == 1 and self._held is None and not self._in_full:
            one = array.astype(self._dtype, copy=True)
            if self._one is None or self._one.tobytes() == one.tobytes():
                self._one = one
                self._at += rows
                return
        if self._held is None:
            self._held = self._buffers.array(f"gathered {self._what}", self._dtype.str, self._most)
            if self._one is not None:
                self._held[: self._at] = self._one
        to = self._held[self._at : self._at + rows]
        if index is None or len(array) == 1:
            to[:] = array
        elif array.dtype == self._dtype:
            np.take(array, index, out=to, mode="clip")  # other modes copy it first
        else:
            to[:] = array[index]
        self._at += rows

    def given(self) -> NDArray[Any]:
        """The entries, or a single one for all."""
        if self._held is not None:
            return self._held[: self._at]
        assert self._one is not None
        return self._one

    def taken(self, segments: tuple[Integers, Integers]) -> NDArray[Any]:
        """The entries of the segments, or a single one for all."""
        starts, sizes = segments
        array = self.given()
        if self._held is None:
            return array
        if len(starts) == 1:
            return array[starts[0] : starts[0] + sizes[0]]
        out = self._buffers.array(f"merged {self._what}", self._dtype.str, self._most)[: self._at]
        match array.dtype.itemsize:
            case 8:
                _copy_8(array.view(np.int64), starts, sizes, out.view(np.int64))
            case 4:
                _copy_4(array.view(np.int32), starts, sizes, out.view(np.int32))
            case _:
                _copy_1(array.view(np.uint8), starts, sizes, out.view(np.uint8))
        return out


@inline
def _is_before(time: Any, seq: Any, a: I64, a_run: I64, b: I64, b_run: I64) -> bool:
    """Whether row ``a`` comes before row ``b`` of another run."""
    if time[a] != time[b]:
        return bool(time[a] < time[b])
    if len(seq) > 0 and seq[a] != seq[b]:
        return bool(seq[a] < seq[b])
    return bool(a_run < b_run)


@loop("void(i8[::1], i8[::1], i8[::1], i8[::1], i8[::1], i8[::1], i8[::1], i8[::1], i8[::1])")
def _find_segments(
    at: Any, ends: Any, edges: Any, time: Any, seq: Any, heap: Any, out: Any, sizes: Any, count: Any
) -> None:
    """Merges the runs of each slot; ``at`` moves on in each of them.

    A heap holds the runs by their next rows. Of the first one, all rows before the next row of any other are taken,
    which are found in steps that double ("galloping": Peters, Python's listsort.txt, 2002).
    """
    n: I64 = np.int64(0)
    for g in range(len(edges) - 1):
        size: I64 = np.int64(0)
        for run in range(edges[g], edges[g + 1]):
            i: I64 = size
            while i > 0:
                above = heap[(i - 1) >> 1]
                if not _is_before(time, seq, at[run], run, at[above], above):
                    break
                heap[i] = above
                i = (i - 1) >> 1
            heap[i] = run
            size += 1
        while size > 0:
            first: I64 = heap[0]
            low: I64 = at[first]
            start = low
            high: I64 = ends[first]
            if size > 1:
                rival: I64 = heap[1]
                if size > 2 and _is_before(time, seq, at[heap[2]], heap[2], at[rival], rival):
                    rival = heap[2]
                step: I64 = np.int64(1)
                while low + step < high:
                    if not _is_before(time, seq, low + step, first, at[rival], rival):
                        high = low + step
                        break
                    low += step
                    step <<= 1
                while high - low > 1:
                    middle = (low + high) >> 1
                    if _is_before(time, seq, middle, first, at[rival], rival):
                        low = middle
                    else:
                        high = middle
            if n > 0 and out[n - 1] + sizes[n - 1] == start:
                sizes[n - 1] += high - start
            else:
                out[n] = start
                sizes[n] = high - start
                n += 1
            at[first] = high
            if high == ends[first]:
                size -= 1
                first = heap[size]
            i = np.int64(0)
            while 2 * i + 1 < size:
                below: I64 = 2 * i + 1
                if below + 1 < size and _is_before(
                    time, seq, at[heap[below + 1]], heap[below + 1], at[heap[below]], heap[below]
                ):
                    below += 1
                if not _is_before(time, seq, at[heap[below]], heap[below], at[first], first):
                    break
                heap[i] = heap[below]
                i = below
            heap[i] = first
    count[0] = n


@loop("void(i8[::1], i8[::1], i8[::1], i8[::1])")
def _copy_8(array: Any, starts: Any, sizes: Any, out: Any) -> None:
    """The segments of an array, one after the other."""
    n: Any = np.int64(0)
    for s in range(len(starts)):
        start = starts[s]
        for k in range(sizes[s]):
            out[n + k] = array[start + k]
        n += sizes[s]


@loop("void(i4[::1], i8[::1], i8[::1], i4[::1])")
def _copy_4(array: Any, starts: Any, sizes: Any, out: Any) -> None:
    """As ``_copy_8``."""
    n: Any = np.int64(0)
    for s in range(len(starts)):
        start = starts[s]
        for k in range(sizes[s]):
            out[n + k] = array[start + k]
        n += sizes[s]


@loop("void(u1[::1], i8[::1], i8[::1], u1[::1])")
def _copy_1(array: Any, starts: Any, sizes: Any, out: Any) -> None:
    """As ``_copy_8``."""
    n: Any = np.int64(0)
    for s in range(len(starts)):
        start = starts[s]
        for k in range(sizes[s]):
            out[n + k] = array[start + k]
        n += sizes[s]
