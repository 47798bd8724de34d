"""Places the cells of a column: in the column itself, in its twins, or as null."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from operators.types import DECIMALS, Type
from runtime.ingest.columns.batch import Values, united
from runtime.ingest.columns.column_notes import SourceNotes
from runtime.ingest.columns.column_types import TOO_MANY, ColumnTypes, Mask, beyond
from runtime.ingest.columns.interned_strings import InternedStrings
from runtime.ingest.columns.null_words import COUNTED_AS, INFINITY, NOT_A_NUMBER, NULL_WORDS
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

DECLARED = "--null"
TAKEN = "another field has the name of its twin"
SHOWN = 60

# What stands behind the # of a twin's name, by the kind of cells, and the twin's type.
_SUFFIXES = {
    BOOL: "bool", INT: "int64", FLOAT: "float64", STRING: "string", BIG: "string", JSON: "json", INSTANT: "time",
}  # fmt: skip
_TYPES = {
    "bool": Type.BOOL, "int64": Type.INT, "float64": Type.FLOAT, "string": Type.STRING, "json": Type.STRING,
    "time": Type.TIME,
}  # fmt: skip

# The only kind of cells that such a column takes.
_KIND = {Type.BOOL: BOOL, Type.TIME: INSTANT, Type.DURATION: INSTANT, **dict.fromkeys(DECIMALS, SCALED)}


class Placing:
    """Places the cells of one source's columns; ``notes`` says what became of those that are not in their column."""

    def __init__(self, types: ColumnTypes, notes: SourceNotes, words: dict[str, InternedStrings]) -> None:
        self._types, self._notes, self._words = types, notes, words
        self._text_seen: set[str] = set()

    def place(self, cells: RawCells, good: Mask) -> dict[str, Values]:
        """The columns that get a value from the good rows, and their values."""
        columns: dict[str, Values] = {}
        rest = [(at, self._place_own(cells, at, good, columns)) for at in range(2, len(cells.kind))]
        for at, rows in rest:  # last, because a field may have the name of a twin
            if rows is not None and rows.any():
                self._place_others(cells, at, rows, columns)
        return columns

    def _place_own(self, cells: RawCells, at: int, good: Mask, columns: dict[str, Values]) -> Mask | None:
        """Add the values of column ``at`` that belong there; returns the rows of the others, without missing ones."""
        name, kind = cells.names[at], cells.kind[at]
        present = good & (kind > NULL)
        if (nulled := present & (kind == NULLED)).any():
            self._notes.of(name).nulls[DECLARED] += int(np.count_nonzero(nulled))
            present = present & ~nulled
        if not present.any():
            return None
        main = self._types.types.get(name)
        text = cells.spans is not None  # of CSV: every cell is text, whatever it looks like
        if main is Type.STRING and text:
            fits = present
            self._count_numbers(cells, at, present)
        elif main is Type.STRING:
            present = self._without_nans(cells, at, present)
            fits = present & ((kind == STRING) | (kind == JSON))
        else:
            present = self._without_nulls(cells, at, present)
            fits = self._fitting(cells, at, main, present)
            main = self._types.types.get(name)
        if main is not None and fits.any():
            columns[name] = self._values(name, main, cells, at, fits)
        rest: Mask = present & ~fits
        return rest

    def _count_numbers(self, cells: RawCells, at: int, present: Mask) -> None:
        """Count the numbers in a column of CSV that is text."""
        name, kind = cells.names[at], cells.kind[at]
        if name in self._types.fixed:
            return
        numbers = present & ((kind == INT) | (kind == FLOAT))
        count = int(np.count_nonzero(numbers))
        if count:
            self._notes.of(name).numbers += count
        if name not in self._text_seen and (texts := present & (kind == STRING)).any():
            self._text_seen.add(name)
            self._notes.of(name).text = self._example(cells, at, int(texts.argmax()))

    def _place_others(self, cells: RawCells, at: int, rest: Mask, columns: dict[str, Values]) -> None:
        """Add values of column ``at`` to its twins."""
        name, kind, notes = cells.names[at], cells.kind[at], self._notes
        main = self._types.types.get(name)
        rows_of: dict[str, Mask] = {}
        for of in np.flatnonzero(np.bincount(kind[rest], minlength=KINDS)).tolist():
            suffix = "json" if of == BIG and main is Type.STRING else _SUFFIXES[of]
            rows_of[suffix] = rest & (kind == of) | rows_of.get(suffix, False)
        for suffix, rows in rows_of.items():
            twin, type_ = f"{name}#{suffix}", _TYPES[suffix]
            new = twin not in self._types.types
            if main is None or not self._types.settle(twin, type_):
                notes.left_out[TOO_MANY if main is None or new else TAKEN] += int(np.count_nonzero(rows))
                continue
            own = columns.get(twin)
            if own is not None and (taken := rows if own.valid is None else rows & own.valid).any():
                notes.left_out[TAKEN] += int(np.count_nonzero(taken))
                rows = rows & ~taken
            if rows.any():
                note = notes.of(name)
                note.twins[suffix] += int(np.count_nonzero(rows))
                if suffix not in note.examples:
                    note.examples[suffix] = self._example(cells, at, int(rows.argmax()))
                if type_ is Type.INT and beyond(cells.value[at][rows]).any():
                    self._types.wide.add(twin)
                found = self._values(twin, type_, cells, at, rows)
                columns[twin] = found if own is None else united(own, found)

    def _without_nans(self, cells: RawCells, at: int, present: Mask) -> Mask:
        """The rows whose value is a number or text, not NaN or infinite, which are counted."""
        kind = cells.kind[at]
        for of, word in ((NAN, NOT_A_NUMBER), (INFINITE, INFINITY)):
            if (rows := present & (kind == of)).any():
                note = self._notes.of(cells.names[at])
                note.nulls[word] += int(np.count_nonzero(rows))
                note.missing.setdefault(word, Example(word, cells.line_of(int(rows.argmax()))))
                present = present & ~rows
        return present

    def _without_nulls(self, cells: RawCells, at: int, present: Mask) -> Mask:
        """The rows whose value is not a word for a missing one, which are counted."""
        kind = cells.kind[at]
        present = self._without_nans(cells, at, present)
        texts = np.flatnonzero(present & (kind == STRING))
        if not len(texts):
            return present
        found = null_words(cells, at, texts)
        if found.any():
            for number, count in enumerate(np.bincount(found).tolist()):
                if number and count:
                    note, word = self._notes.of(cells.names[at]), COUNTED_AS[number - 1]
                    note.nulls[word] += count
                    if word not in note.missing:
                        note.missing[word] = self._example(cells, at, int(texts[int((found == number).argmax())]))
            present = present.copy()
            present[texts[found > 0]] = False
        return present

    def _fitting(self, cells: RawCells, at: int, main: Type | None, present: Mask) -> Mask:
        """The rows whose value belongs in a column that is not text; may widen int64 to float64."""
        name, kind, value = cells.names[at], cells.kind[at], cells.value[at]
        fits: Mask = np.zeros(len(kind), np.bool_)
        if main in (Type.INT, Type.FLOAT):
            whole, real = present & (kind == INT), present & (kind == FLOAT)
            wide, before, fraction = whole & beyond(value), main, first_of(real)
            main = self._types.number_type(name, first_of(wide), fraction)
            if main is not before:  # as integers, earlier zeros have no sign, wherever the text is cut
                cells.minus_zeros = [(c, row) for c, row in cells.minus_zeros if c != at or row > fraction]
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
            words = self._words.setdefault(name, InternedStrings())
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
        return Example(shown, cells.line_of(row))


def null_words(cells: RawCells, at: int, rows: NDArray[np.intp]) -> NDArray[np.uint8]:
    """The numbers of the null words (from 1) that these text cells are; 0 for others."""
    spans = cells.value[at] if cells.spans is None else cells.spans[at]
    return NULL_WORDS.find(cells.data, spans[rows])


def first_of(rows: Mask) -> int:
    """The first true row; -1 for none."""
    return int(rows.argmax()) if rows.any() else -1
