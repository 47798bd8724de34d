"""Rows before the range, for stages that look back: what the previous stage would write without ``since``.

If a later stage looks back at a stage's rows, that stage runs twice: over the range, and over everything read, as if
the range began there. From the second run, the rows that begin before the range are passed on, before those of the
first run, marked in the column ``EARLY``. A row that ``since`` cuts appears twice in succession: whole, then its part
inside the range. A look-back remembers the whole row, and gives the part the same value as the whole.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataflow.plan.sink import Sink
from dataflow.typed.hidden_columns import BEFORE, CUT, EARLY, END, KNOWN, WHOLE
from runtime.query.stages.row_batch import VALID, RowBatch

_NONE = -(2**63)
LEAD = 2
"""The known flag of the time before a key's first point, which is not a row of the key."""


def marked(chunk: RowBatch, early: NDArray[np.int64] | None = None) -> RowBatch:
    """The chunk with the column ``EARLY``; by default all its rows are in the range."""
    flags = np.zeros(chunk.rows, np.int64) if early is None else early
    return replace(chunk, columns={**chunk.columns, EARLY: (flags, VALID)})


class Past:
    """Separates the rows before the range among those that ``sink`` writes, and pairs those that ``since`` cuts."""

    def __init__(self, sink: Sink, since: int) -> None:
        self._since = since
        # Windows that slide over the start of the range are whole, and belong to the result.
        self._slides = (windows := sink.segmenting()) is not None and windows.size > 1
        self._at_once = not sink.has_length
        # A session ends at its last point, inclusively.
        self._closed = windows is not None and windows.bucket is None
        self._ends = np.full(1024, _NONE, np.int64)

    def before(self, chunk: RowBatch) -> RowBatch | None:
        """From rows written without regard to the range, those before it; None if there are none."""
        early = (chunk.columns[END][0] if self._slides else chunk.time) < self._since + self._slides
        if KNOWN in chunk.columns:
            early = early & (chunk.columns[KNOWN][0] != LEAD)
        if not early.any():
            return None
        found = _rows_where(chunk, early)
        if self._at_once or self._slides:
            return marked(found, np.full(found.rows, BEFORE, np.int64))
        end = found.columns[END][0]
        cut = end >= self._since if self._closed else end > self._since
        slots = np.repeat(found.run_slot, found.run_len)[cut]
        if len(slots):
            self._reserve(int(slots.max()) + 1)
            self._ends[slots] = end[cut]
        return marked(found, np.where(cut, WHOLE, BEFORE))

    def of_range(self, chunk: RowBatch) -> RowBatch:
        """Rows of the range, marked if they are parts of rows that ``since`` cuts: each key's first may be."""
        early = np.zeros(chunk.rows, np.int64)
        starts = np.cumsum(chunk.run_len) - chunk.run_len
        slots, first = np.unique(chunk.run_slot, return_index=True)
        if len(slots):
            self._reserve(int(slots.max()) + 1)
            at = starts[first]
            ends = self._ends[slots]
            parts = (ends != _NONE) & (chunk.time[at] < ends + self._closed)
            early[at[parts]] = CUT
            self._ends[slots] = _NONE
        return marked(chunk, early)

    def _reserve(self, slots: int) -> None:
        if slots > len(self._ends):
            grown = np.full(2 * slots, _NONE, np.int64)
            grown[: len(self._ends)] = self._ends
            self._ends = grown

    def saved(self) -> dict[str, NDArray[Any]]:
        """The state to continue from later."""
        return {"ends": self._ends}

    def restore(self, saved: dict[str, NDArray[Any]]) -> None:
        """Continue from a saved state."""
        self._ends = saved["ends"].copy()


def _rows_where(chunk: RowBatch, chosen: NDArray[np.bool_]) -> RowBatch:
    """The chosen rows of the chunk (at least one), each array with an entry per row."""
    lengths = np.add.reduceat(chosen, np.cumsum(chunk.run_len) - chunk.run_len, dtype=np.int64)
    columns = {
        name: (v[chosen] if len(v) == chunk.rows else v, k[chosen] if len(k) == chunk.rows else k)
        for name, (v, k) in chunk.columns.items()
    }
    return RowBatch(chunk.run_slot[lengths > 0], lengths[lengths > 0], chunk.time[chosen], columns)
