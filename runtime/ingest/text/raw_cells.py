"""`RawCells`: records as scanned cells, before columns have types."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from runtime.ingest.text.rejects import RowFault
from runtime.ingest.text.tokens import MISSING, Bytes


@dataclass
class RawCells:
    """A batch of records.

    ``kind`` and ``value``, of shape (columns, rows), hold each cell's kind and value (see ``tokens``); column 0 is the
    key, column 1 the event time. ``spans`` (CSV only) is every cell's position in the text, whatever its kind.
    ``start`` and ``end`` are each record's position in ``data``, a buffer that begins at byte ``base`` and line
    ``line`` of the source. ``faults`` are rejects that never became rows, ``bad`` rows that are rejected with a reason.
    ``minus_zeros`` are (column, row) of integers written as -0, which keeps its sign in a float column.
    ``left_out`` are rows with a value that no column takes, and why. ``again``, if there is one, gives a row as a JSON
    object: its own text is not enough to read it once more. ``are_rows``: they are those of a table, which has no
    lines: ``line`` is the number of the first.
    """

    data: Bytes
    base: int
    line: int
    names: list[str]
    kind: NDArray[np.uint8]
    value: NDArray[np.int64]
    start: NDArray[np.int64]
    end: NDArray[np.int64]
    spans: NDArray[np.int64] | None = None
    faults: list[RowFault] = field(default_factory=list)
    bad: dict[int, str] = field(default_factory=dict)
    minus_zeros: list[tuple[int, int]] = field(default_factory=list)
    left_out: list[tuple[int, str]] = field(default_factory=list)
    again: Callable[[int], bytes] | None = None
    are_rows: bool = False

    def __len__(self) -> int:
        return len(self.start)

    def copied(self) -> RawCells:
        """A copy that outlives the reader's arrays."""
        names, kind, value = list(self.names), self.kind.copy(), self.value.copy()
        return replace(self, names=names, kind=kind, value=value)

    def line_of(self, row: int) -> int:
        """The line of the source, or the row of the table, where a record begins."""
        start = int(self.start[row])
        return self.line + (start if self.are_rows else int(np.count_nonzero(self.data[:start] == 10)))

    def without_missing(self) -> RawCells:
        """The same without the columns that are missing in every row, but for key and time."""
        kept = (self.kind != MISSING).any(axis=1)
        kept[:2] = True
        columns = np.flatnonzero(kept)
        places = {int(column): place for place, column in enumerate(columns)}
        return replace(
            self,
            names=[self.names[column] for column in columns],
            kind=self.kind[columns],
            value=self.value[columns],
            spans=None if self.spans is None else self.spans[columns],
            minus_zeros=[(places[column], row) for column, row in self.minus_zeros if column in places],
        )

    def take(self, rows: slice | NDArray[np.intp], faults: list[RowFault]) -> RawCells:
        """The rows (a slice of them, or those at an index, copied), with these faults and no ``bad`` ones.
        Copies are of rows that are taken: only a slice can still be read ``again``."""
        again, minus_zeros, left_out = None, [], []
        if self.again is not None and isinstance(rows, slice):
            again = partial(_after, self.again, rows.start or 0)
        if self.minus_zeros or self.left_out:
            places = {int(row): place for place, row in enumerate(np.arange(len(self))[rows])}
            minus_zeros = [(column, places[row]) for column, row in self.minus_zeros if row in places]
            left_out = [(places[row], why) for row, why in self.left_out if row in places]
        return RawCells(
            self.data,
            self.base,
            self.line,
            list(self.names),
            self.kind[:, rows],
            self.value[:, rows],
            self.start[rows],
            self.end[rows],
            None if self.spans is None else self.spans[:, rows],
            faults,
            minus_zeros=minus_zeros,
            left_out=left_out,
            again=again,
            are_rows=self.are_rows,
        )


def _after(again: Callable[[int], bytes], first: int, row: int) -> bytes:
    return again(first + row)
