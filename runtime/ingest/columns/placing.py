"""Places the cells of a column: in the column itself, in its twins, or as null."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from operators.types import DECIMALS, Type
from runtime.ingest.columns.batch import Values
from runtime.ingest.columns.column_notes import SourceNotes
from runtime.ingest.columns.column_types import TOO_MANY, ColumnTypes, Mask, beyond
from runtime.ingest.columns.interned_strings import InternedStrings
from runtime.ingest.columns.null_words import INFINITE_WORDS, NULL_WORDS
from runtime.ingest.report import Example
from runtime.ingest.text.raw_cells import RawCells
from runtime.ingest.text.tokens import (
    BIG,
    BOOL,
    FLOAT,
    INFINITE,
    INSTANT,
    INT,
    JSON,
    KINDS,
    NAN,
    NULL,
    NULLED,
    SCALED,
    STRING,
)

INFINITY = "infinity"
NOT_A_NUMBER = "NaN"
DECLARED = "--null"
SHOWN = 60

# The twin of a kind of cells: its type, and what stands behind the # of its name.
_TWINS = {
    BOOL: (Type.BOOL, "bool"),
    INT: (Type.INT, "int64"),
    FLOAT: (Type.FLOAT, "float64"),
    STRING: (Type.STRING, "string"),
    BIG: (Type.STRING, "string"),
    JSON: (Type.STRING, "json"),
    INSTANT: (Type.TIME, "time"),
}


# The only kind of cells that such a column takes.
_KIND = {Type.BOOL: BOOL, Type.TIME: INSTANT, **dict.fromkeys(DECIMALS, SCALED)}


class Placing:
    """Places the cells of one source's columns; ``notes`` says what became of those that are not in their column."""

    def __init__(self, types: ColumnTypes, notes: SourceNotes, words: Callable[[str], InternedStrings]) -> None:
        self._types, self._notes, self._words = types, notes, words

    def place(self, cells: RawCells, at: int, good: Mask) -> Iterator[tuple[str, Values]]:
        """The columns that get a value from the good rows of column ``at``, and their values."""
        name, kind = cells.names[at], cells.kind[at]
        present = good & (kind > NULL)
        if (nulled := present & (kind == NULLED)).any():
            self._notes.of(name).nulls[DECLARED] += int(np.count_nonzero(nulled))
            present = present & ~nulled
        if not present.any():
            return
        main = self._types.types.get(name)
        text = cells.spans is not None  # of CSV: every cell is text, whatever it looks like
        if main is Type.STRING:
            fits = present if text else present & ((kind == STRING) | (kind == JSON))
        else:
            present = self._without_nulls(cells, at, present)
            fits = self._fitting(cells, at, main, present)
            main = self._types.types.get(name)
        if main is not None and fits.any():
            yield name, self._values(name, main, cells, at, fits)
        rest = present & ~fits
        if not rest.any():
            return
        for of in np.flatnonzero(np.bincount(kind[rest], minlength=KINDS)).tolist():
            rows = rest & (kind == of)
            if of in (NAN, INFINITE):  # in a text column
                self._notes.of(name).nulls[NOT_A_NUMBER if of == NAN else INFINITY] += int(np.count_nonzero(rows))
                continue
            type_, suffix = _TWINS[of]
            if of == BIG and main is Type.STRING:
                suffix = "json"
            twin = f"{name}#{suffix}"
            if main is None or not self._types.settle(twin, type_):
                self._notes.left_out[TOO_MANY] += int(np.count_nonzero(rows))
                continue
            note = self._notes.of(name)
            note.twins[suffix] += int(np.count_nonzero(rows))
            note.examples.setdefault(suffix, self._example(cells, at, int(rows.argmax())))
            yield twin, self._values(twin, type_, cells, at, rows)

    def _without_nulls(self, cells: RawCells, at: int, present: Mask) -> Mask:
        """The rows whose value is not a word for a missing one, which are counted."""
        name, kind = cells.names[at], cells.kind[at]
        for of, word in ((NAN, NOT_A_NUMBER), (INFINITE, INFINITY)):
            if (rows := present & (kind == of)).any():
                self._notes.of(name).nulls[word] += int(np.count_nonzero(rows))
                present = present & ~rows
        texts = np.flatnonzero(present & (kind == STRING))
        if not len(texts):
            return present
        found = null_words(cells, at, texts)
        if found.any():
            for number, count in enumerate(np.bincount(found).tolist()):
                if number and count:
                    word = NULL_WORDS.words[number - 1]
                    self._notes.of(name).nulls[INFINITY if word in INFINITE_WORDS else word] += count
            present = present.copy()
            present[texts[found > 0]] = False
        return present

    def _fitting(self, cells: RawCells, at: int, main: Type | None, present: Mask) -> Mask:
        """The rows whose value belongs in a column that is not text; may widen int64 to float64."""
        name, kind, value = cells.names[at], cells.kind[at], cells.value[at]
        fits: Mask = np.zeros(len(kind), np.bool_)
        if main in (Type.INT, Type.FLOAT):
            whole, real = present & (kind == INT), present & (kind == FLOAT)
            wide = whole & beyond(value)
            main = self._types.number_type(name, first_of(wide), first_of(real))
            fits = whole if main is Type.INT else real | (whole & ~wide)
        elif main in _KIND:
            fits = present & (kind == _KIND[main])
        return fits

    def _values(self, name: str, type_: Type, cells: RawCells, at: int, fits: Mask) -> Values:
        """These cells as a column of this type."""
        valid = None if fits.all() else fits
        kind, value = cells.kind[at], cells.value[at]
        if type_ is Type.STRING:
            spans = value if cells.spans is None else cells.spans[at]
            words = self._words(name)
            if valid is None:
                return Values(type_, words.codes(cells.data, np.ascontiguousarray(spans)), None)
            codes = np.zeros(len(kind), np.int32)
            codes[fits] = words.codes(cells.data, spans[fits])
            return Values(type_, codes, valid)
        if type_ is Type.FLOAT:
            reals = np.where(kind == FLOAT, value.view(np.float64), 0.0)
            whole = kind == INT
            if whole.any():
                reals = np.where(whole, value, reals)
                reals[[row for column, row in cells.minus_zeros if column == at]] = -0.0
            return Values(type_, np.where(fits, reals, 0.0), valid)
        return Values(type_, np.where(fits, value, 0).astype(type_.dtype), valid)

    def _example(self, cells: RawCells, at: int, row: int) -> Example:
        kind, value = int(cells.kind[at, row]), cells.value[at, row]
        if cells.spans is not None or kind in (STRING, BIG, JSON):
            span = int(value if cells.spans is None else cells.spans[at, row])
            begin, size = span >> 32, span & 0xFFFFFFFF
            raw = cells.data[begin : begin + min(size, 4 * SHOWN)].tobytes()
            shown = raw.decode("utf-8", "replace")[:SHOWN]
        elif kind == FLOAT:
            shown = str(value.view(np.float64))
        else:
            shown = ("false", "true")[int(value)] if kind == BOOL else str(int(value))
        line = cells.line + int(np.count_nonzero(cells.data[: cells.start[row]] == 10))
        return Example(shown, line)


def null_words(cells: RawCells, at: int, rows: NDArray[np.intp]) -> NDArray[np.uint8]:
    """The numbers of the null words (from 1) that these text cells are; 0 for others."""
    spans = cells.value[at] if cells.spans is None else cells.spans[at]
    return NULL_WORDS.find(cells.data, spans[rows])


def first_of(rows: Mask) -> int:
    """The first true row; -1 for none."""
    return int(rows.argmax()) if rows.any() else -1
