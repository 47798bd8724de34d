"""Samples that settle the types of CSV columns: each gets the narrowest type that fits all rows of the sample.

A sample begins with the first row that has a value in a column without a type and ends after ``SAMPLE_ROWS`` rows; a
column that is empty until later gets its own sample. Its bounds depend on the rows that are acceptable with the types
settled before it, not on how the text is cut into chunks. If fractions and integers beyond 2^53 occur together, the
type is float64 and these integers are rejected; such a row settles nothing either.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from operators.types import Type
from runtime.ingest.columns.assemble import Assembler, Mask, Screened
from runtime.ingest.columns.batch import Batch
from runtime.ingest.columns.column_types import MAX_COLUMNS, narrowest
from runtime.ingest.text.tokens import KINDS, NULL

SAMPLE_ROWS = 1 << 16
SAMPLE_BYTES = 1 << 24
"""Bytes of the sample's rows, at most."""

SPAN_BYTES = 1 << 27
"""Maximum bytes of text searched for a sample: bounds memory if most rows are rejected."""

_PASSES = 8


class Sample:
    """Holds rows while a sample is gathered; otherwise passes them through."""

    def __init__(self, assembler: Assembler) -> None:
        self._assembler = assembler
        self._held: list[Screened] = []
        self._rows = self._bytes = self._begun = 0

    def take(self, screened: Screened) -> Iterator[Batch]:
        """The rows accepted so far."""
        assembler = self._assembler
        while len(screened) or screened.cells.faults:
            if not self._held:
                first = self._first_unsettled(screened)
                yield assembler.accept(screened.rows(0, first) if first < len(screened) else screened)
                if first == len(screened):
                    return
                screened = screened.rows(first, len(screened))
                screened.cells.faults = []
                self._rows = self._bytes = 0
                self._begun = screened.cells.base + int(screened.cells.start[0])
            end, full = self._end(screened)
            part = screened.rows(0, end)
            assembler.reject(part)
            self._held.append(part.held())
            screened = screened.rows(end, len(screened))
            screened.cells.faults = []
            if full:
                yield from self.settled()

    def settled(self) -> Iterator[Batch]:
        """Settle types by the waiting rows, and return these."""
        held, self._held = self._held, []
        if held:
            self._settle(held)
        for screened in held:
            yield self._assembler.accept(screened)

    def _first_unsettled(self, screened: Screened) -> int:
        """The first acceptable row with a value in a column without a type."""
        cells, types = screened.cells, self._assembler.types
        unsettled = [at for at in range(2, len(cells.names)) if cells.names[at] not in types]
        if not unsettled or len(types) >= MAX_COLUMNS:
            return len(screened)
        wanted = (cells.kind[unsettled] > NULL).any(axis=0) & screened.good
        if wanted.any():
            wanted &= ~self._assembler.columns.certain_misfits(cells, screened.good)
        return int(wanted.argmax()) if wanted.any() else len(screened)

    def _end(self, screened: Screened) -> tuple[int, bool]:
        """How many of the rows belong to the sample, and whether they complete it."""
        cells = screened.cells
        counted = screened.good & ~self._assembler.columns.certain_misfits(cells, screened.good)
        rows = self._rows + np.cumsum(counted)
        sizes = self._bytes + np.cumsum(np.where(counted, cells.end - cells.start, 0))
        full = (rows >= SAMPLE_ROWS) | (sizes >= SAMPLE_BYTES) | (cells.base + cells.end - self._begun >= SPAN_BYTES)
        end = int(full.argmax()) + 1 if full.any() else len(screened)
        if end:
            self._rows, self._bytes = int(rows[end - 1]), int(sizes[end - 1])
        return end, bool(full.any())

    def _settle(self, held: list[Screened]) -> None:
        """Settle the types of the new columns by the rows that are accepted with them."""
        columns = self._assembler.columns
        good = [screened.good for screened in held]
        types = self._narrowest(held, good)
        for _ in range(_PASSES):
            trial = columns.copy()
            for name, type_ in types.items():
                trial.settle(name, type_)
            good = [trial.fit(screened.cells, rows).good for screened, rows in zip(held, good, strict=True)]
            again = self._narrowest(held, good)
            if again == types:
                break
            types = again
        for name, type_ in types.items():
            columns.settle(name, type_)

    def _narrowest(self, held: list[Screened], good: list[Mask]) -> dict[str, Type]:
        out: dict[str, Type] = {}
        known = self._assembler.types
        names = held[0].cells.names
        for at in range(2, len(names)):
            if names[at] in known:
                continue
            counts = np.zeros(KINDS, np.int64)
            for screened, rows in zip(held, good, strict=True):
                counts += np.bincount(screened.cells.kind[at][rows], minlength=KINDS)
            kinds = [kind for kind in range(NULL + 1, KINDS) if counts[kind]]
            if kinds and len(known) + len(out) < MAX_COLUMNS:
                out[names[at]] = narrowest(kinds)
        return out
