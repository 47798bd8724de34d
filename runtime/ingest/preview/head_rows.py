"""Assemblers that stop after the first rows of a source."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from operators.errors import Portable
from runtime.ingest.columns.assemble import Assembler, Screened
from runtime.ingest.columns.batch import Batch
from runtime.ingest.columns.samples import Sample
from runtime.ingest.report import ColumnReport
from runtime.ingest.text.raw_cells import RawCells


class Enough(Portable, Exception):
    """The first rows were seen: nothing more is to be read."""


class HeadRows(Assembler):
    """Passes the first ``most`` records of a source on to ``see``, and ends the reading with ``Enough``.

    ``records`` were seen so far, those that are no rows included.
    """

    records = 0

    def screen(self, cells: RawCells) -> Screened:
        """See Assembler; the reader gets no rows back."""
        left = (self.most or 0) - self.records
        screened = super().screen(_first(cells, left))
        self.records += len(screened) + len(screened.cells.faults)
        self.see(screened)
        if self.records >= (self.most or 0):
            raise Enough
        return replace(screened, cells=replace(screened.cells, faults=[])).rows(0, 0)

    def see(self, screened: Screened) -> None:
        """Takes some of the first rows, whose arrays are valid until this returns."""


class SeenRows(HeadRows):
    """Keeps the first rows, whatever their key and time: ``parts`` of text, or ``chunk`` of a table."""

    def __init__(self, *declared: Any) -> None:
        super().__init__(*declared)
        self.parts: list[Screened] = []
        self.chunk: Mapping[str, Any] | None = None

    def offer(self, chunk: dict[str, Any]) -> None:
        """See Assembler."""
        self.chunk = chunk
        raise Enough

    def see(self, screened: Screened) -> None:
        """See HeadRows."""
        cells = screened.cells
        bad = np.zeros(len(cells), np.bool_)
        bad[list(cells.bad)] = True
        self.reject(replace(screened, reasons=cells.bad))
        self.parts.append(Screened(cells, ~bad, {}, screened.time).held())


class Trial(HeadRows):
    """Takes the first rows as an ingest would, and counts what becomes of them."""

    def __init__(self, *declared: Any) -> None:
        super().__init__(*declared)
        self._sample = Sample(self)
        self._values: Counter[str] = Counter()
        self._ended = False

    def see(self, screened: Screened) -> None:
        """See HeadRows."""
        self.count(self._sample.take(screened))

    def waits(self) -> bool:
        """See Assembler; for the reader no rows wait, as they may be in this trial's own sample."""
        return self._ended and super().waits()

    def finish(self) -> None:
        """Call once no more rows come; ``IngestError`` if the times are numbers without a unit."""
        self._ended = True
        self.count(self._sample.settled())
        if self.waits():
            self.count([self.rest()])
        self.time.finish()

    def count(self, batches: Iterable[Batch]) -> None:
        """Count the values of accepted rows, by column."""
        for batch in batches:
            for name, column in batch.columns.items():
                self._values[name] += len(batch) if column.valid is None else int(np.count_nonzero(column.valid))

    def reports(self) -> dict[str, ColumnReport]:
        """What became of each column."""
        types, notes = self.columns.types, self.notes
        names = dict.fromkeys([*(n for n, count in self._values.items() if count), *notes.columns])
        return {n: notes.report(n, str(types.get(n, "null")), self._values[n]) for n in names}


def _first(cells: RawCells, most: int) -> RawCells:
    """The first ``most`` records: rows, and faults between them."""
    ends = np.concatenate([cells.end, np.array([fault.end for fault in cells.faults], np.int64)])
    if len(ends) <= most:
        return cells
    last = int(np.sort(ends)[most - 1])
    rows = int(np.searchsorted(cells.end, last, "right"))
    part = cells.take(slice(0, rows), [fault for fault in cells.faults if fault.end <= last])
    return replace(part, bad={row: why for row, why in cells.bad.items() if row < rows})
