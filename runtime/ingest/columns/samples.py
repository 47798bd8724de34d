"""Samples that settle the types of columns: a column gets the type of most of its values in the sample.

A sample begins with the first row that has a value in a column without a type and ends after ``SAMPLE_ROWS`` rows; a
column that is empty until later gets its own sample. Its bounds depend on the accepted rows, not on how the text is cut
into chunks. Words that may stand for a missing value count for no type: a column in which there is nothing else has
none yet.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from operators.types import Type
from runtime.ingest.columns.assemble import Assembler, Screened
from runtime.ingest.columns.batch import Batch
from runtime.ingest.columns.column_types import MAX_COLUMNS, beyond, commonest
from runtime.ingest.columns.placing import first_of, null_words
from runtime.ingest.text.tokens import FLOAT, INT, KINDS, NULL, STRING

SAMPLE_ROWS = 1 << 16
SAMPLE_BYTES = 1 << 24
"""Bytes of the sample's rows, at most."""

SAMPLE_CELLS = 1 << 23
"""Rows times columns with values of the sample, at most: bounds memory where there are many columns."""

SPAN_BYTES = 1 << 27
"""Maximum bytes of text searched for a sample: bounds memory if most rows are rejected."""


class Sample:
    """Holds rows while a sample is gathered; otherwise passes them through."""

    def __init__(self, assembler: Assembler) -> None:
        self._assembler = assembler
        self._held: list[Screened] = []
        self._rows = self._bytes = self._begun = 0
        self._columns: set[str] = set()

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
                self._columns = set()
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
        return int(wanted.argmax()) if wanted.any() else len(screened)

    def _end(self, screened: Screened) -> tuple[int, bool]:
        """How many of the rows belong to the sample, and whether they complete it."""
        cells, good = screened.cells, screened.good
        rows = self._rows + np.cumsum(good)
        sizes = self._bytes + np.cumsum(np.where(good, cells.end - cells.start, 0))
        columns = len(self._columns) + np.zeros(len(good), np.int64)
        present = (cells.kind > NULL) & good
        there = [at for at in np.flatnonzero(present.any(axis=1)).tolist() if cells.names[at] not in self._columns]
        firsts = [int(present[at].argmax()) for at in there]
        columns += np.cumsum(np.bincount(firsts, minlength=len(good))) if firsts else 0
        full = (
            (rows * columns >= SAMPLE_CELLS)
            | (rows >= SAMPLE_ROWS)
            | (sizes >= SAMPLE_BYTES)
            | (cells.base + cells.end - self._begun >= SPAN_BYTES)
        )
        end = int(full.argmax()) + 1 if full.any() else len(screened)
        if end:
            self._rows, self._bytes = int(rows[end - 1]), int(sizes[end - 1])
            self._columns.update(cells.names[at] for at in np.flatnonzero(present[:, :end].any(axis=1)).tolist())
        return end, bool(full.any())

    def _settle(self, held: list[Screened]) -> None:
        """Settle the types of the columns that have none, in the order of the source's columns."""
        columns = self._assembler.columns
        parts: dict[str, list[tuple[Screened, int]]] = {}
        for screened in held:
            for at, name in enumerate(screened.cells.names[2:], 2):
                if name not in columns.types:
                    parts.setdefault(name, []).append((screened, at))
        for name, found in parts.items():
            if (type_ := type_of(found)) is not None:
                columns.settle(name, type_)


def type_of(found: Sequence[tuple[Screened, int]]) -> Type | None:
    """The type of most of the good values of a column, which is at these places of rows; None if there are none."""
    counts = np.zeros(KINDS, np.int64)
    order: list[int] = []
    real: bool | None = None  # whether a fraction comes before any integer that would not be exact beside it
    for screened, at in found:
        cells = screened.cells
        kind = np.where(screened.good, cells.kind[at], NULL)
        texts = np.flatnonzero(kind == STRING)
        if len(texts):
            kind[texts[null_words(cells, at, texts) > 0]] = NULL
        here = np.bincount(kind, minlength=KINDS)
        new = [of for of in np.flatnonzero(here).tolist() if of > NULL and of not in order]
        order += sorted(new, key=lambda of: int((kind == of).argmax()))
        counts += here
        if real is None and (here[FLOAT] or here[INT]):
            fraction, wide = first_of(kind == FLOAT), first_of((kind == INT) & beyond(cells.value[at]))
            if max(fraction, wide) >= 0:
                real = fraction >= 0 and not 0 <= wide < fraction
    type_ = commonest(counts, order)
    return Type.FLOAT if type_ is Type.INT and real else type_
