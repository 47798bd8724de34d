"""Assembles cells into typed batches: keys, times, columns; rejects rows without a key or time."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray

from operators.types import Type
from runtime.errors import IngestError
from runtime.ingest.columns.batch import Batch, Values, concatenated
from runtime.ingest.columns.column_notes import SourceNotes
from runtime.ingest.columns.column_types import KEY_ROWS, MAX_COLUMNS, ColumnTypes
from runtime.ingest.columns.erased_keys import ERASED, NEVER, ErasedKeys, Times
from runtime.ingest.columns.event_times import FUTURE, TimeReader
from runtime.ingest.columns.interned_strings import InternedStrings
from runtime.ingest.columns.placing import Placing
from runtime.ingest.text.raw_cells import RawCells
from runtime.ingest.text.rejects import Rejects, RowFault
from runtime.ingest.text.shaping import Shaping
from runtime.ingest.text.tokens import BIG, BOOL, FLOAT, INFINITE, INT, JSON, NAN, NULL, STRING

Mask = NDArray[np.bool_]

_NO_KEYS = {BOOL: "a bool", FLOAT: "a float64", BIG: "an integer beyond 64 bits", NAN: "NaN", INFINITE: "infinite"}


class Declared(NamedTuple):
    """A stream's declarations for keys, and its known columns before a source is read."""

    key: str
    missing_key: str | None
    key_type: Type | None
    types: Mapping[str, Type]
    wide: Mapping[str, bool] = {}
    stored_wide: Callable[[str], bool] = lambda name: False
    shaping: Shaping | None = None


@dataclass
class Screened:
    """Cells with checked keys and times: the rows in ``good`` are accepted.

    ``reasons`` say why others are rejected, ``time`` is the event time of the good ones.
    """

    cells: RawCells
    good: Mask
    reasons: dict[int, str]
    time: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.cells)

    def rows(self, first: int, last: int) -> Screened:
        """The rows from ``first`` up to ``last``; faults outside of rows go with the first ones."""
        reasons = {row - first: why for row, why in self.reasons.items() if first <= row < last}
        faults = [] if first else self.cells.faults
        cells = self.cells.take(slice(first, last), faults)
        return Screened(cells, self.good[first:last], reasons, self.time[first:last])

    def held(self) -> Screened:
        """A copy of the good rows that outlives the reader's arrays, without columns that are missing in all."""
        index = np.flatnonzero(self.good)
        cells = self.cells.take(index, []).without_missing()
        return Screened(cells, np.ones(len(index), np.bool_), {}, self.time[index])


class Assembler:
    """The state of one source's ingest: column types, string dictionaries, rejects.

    ``form`` is what the source's format is called, once that is known. ``most`` rows of a table are wanted at once, at
    most, and ``file`` is the source as a file that can be read from its end; None for both: as the reader likes.
    """

    most: int | None = None
    file: BinaryIO | None = None
    erased: ErasedKeys | None = None
    """Keys whose points are left out."""

    left_out = 0
    """Rows that were left out."""

    def __init__(self, declared: Declared, time: TimeReader, name: str) -> None:
        self.key = declared.key
        wide = declared.wide
        self.columns = ColumnTypes(
            declared.key,
            declared.key_type,
            dict(declared.types),
            {name for name, known in wide.items() if known},
            {name for name, known in wide.items() if not known},
            declared.stored_wide,
        )
        self.rejects = Rejects()
        self.notes = SourceNotes()
        self.words: dict[str, InternedStrings] = {}
        # Nothing in it refers to this object: a store that nobody holds is closed at once.
        self._placing = Placing(self.columns, self.notes, self.words)
        self.empty: dict[str, Type | None] = {}
        self.rows_read = 0
        self.form = ""
        self.shaping = declared.shaping if declared.shaping is not None and declared.shaping.is_needed else None
        self.time = time
        self.prepare: Callable[[RawCells], RawCells] = lambda cells: cells  # what formats do with the cells before
        self._missing_key = declared.missing_key
        self._key_is_open = declared.key_type is None
        self._name = name
        self._waiting: list[Batch] = []

    @property
    def types(self) -> dict[str, Type]:
        """The types of the columns so far."""
        return self.columns.types

    def reset_words(self) -> None:
        """Forget all strings, once everything that uses their codes is written."""
        if not self._waiting:
            self.words.clear()

    def take(self, cells: RawCells) -> Batch:
        """The accepted rows of the cells; rejects are recorded."""
        return self.accept(self.screen(cells))

    def header(self, names: Sequence[str], made_up: Mapping[str, str]) -> None:
        """Called with the columns of a CSV source before its rows; those whose names are ``made_up``, and why."""

    def offer(self, chunk: dict[str, Any]) -> None:
        """Called with each chunk of a table before its rows are taken; a preview takes them for itself."""

    def screen(self, cells: RawCells) -> Screened:
        """Check keys and times. The first key settles the type of the keys, but no column gets a type."""
        cells = self.shaped(cells)
        good = np.ones(len(cells), np.bool_)
        reasons: dict[int, str] = {}
        _reject(good, reasons, cells.bad)
        self._screen_keys(cells, good, reasons)
        spans = None if cells.spans is None else cells.spans[1]
        time, late = self.time.read(cells.data, cells.kind[1], cells.value[1], good, spans)
        _reject(good, reasons, late)
        if self.time.after is not None:  # other faults were counted when the source was first read
            good &= time > self.time.after
            reasons = {}
            cells = replace(cells, faults=[])
        self._fit_keys(cells, good, reasons)
        if self.erased:
            self._leave_out(cells, good, reasons, time)
        for name, of in zip(cells.names[2:], cells.kind[2:], strict=True):
            if name not in self.empty and (good & (of == NULL)).any():
                self.note_empty(name, None)
        return Screened(cells, good, reasons, time)

    def leave_out(self, until: Times, good: Mask, reasons: dict[int, str], time: NDArray[np.int64]) -> None:
        """Leave out the points of erased keys, those up to the time ``until`` of each row, also if they are rejected
        for another reason; those that are ahead of the clock are later."""
        gone = good & (until != NEVER) & (time <= until)
        good[gone] = False
        of_them = [row for row, why in reasons.items() if until[row] != NEVER and not why.endswith(FUTURE)]
        for row in of_them:
            del reasons[row]
        if number := int(np.count_nonzero(gone)) + len(of_them):
            self.rejects.tally(ERASED, number)
            self.rows_read += number
            self.left_out += number

    def note_empty(self, name: str, declared: Type | None) -> None:
        """Rows have null in a column, for which a table declares this type; None if nothing does."""
        if name not in self.columns.types and (name in self.empty or len(self.empty) < MAX_COLUMNS):
            self.empty[name] = declared

    def shaped(self, cells: RawCells) -> RawCells:
        """The cells after the options that change them."""
        cells = self.prepare(cells)
        if self.shaping is not None:
            self.shaping.shape(cells)
        return cells

    def reject(self, screened: Screened) -> None:
        """Count the rows that are rejected already."""
        cells, reasons = screened.cells, screened.reasons
        again = cells.again
        self.rejects.as_text |= again is not None and cells.spans is not None
        faults = cells.faults + [
            RowFault(int(cells.start[r]), int(cells.end[r]), why, None if again is None else again(r))
            for r, why in reasons.items()
        ]
        if faults:
            self.rejects.add(faults, cells.data, cells.base, cells.line)
        self.rows_read += len(faults)

    def accept(self, screened: Screened) -> Batch:
        """The good rows, once the type of the keys is known."""
        cells, good = screened.cells, screened.good
        self.reject(screened)
        taken = int(np.count_nonzero(good))
        self.rows_read += taken
        for row, reason in cells.left_out:
            if good[row]:
                self.notes.left_out[reason] += 1
        columns = self.placed(cells, good)
        batch = Batch(self._keys(cells, good), screened.time, columns)
        if taken < len(good):
            batch = batch.take(np.flatnonzero(good))
        known = self.columns.key_type is not None
        if known and not self._waiting:
            return batch
        self._waiting.append(batch)
        return self.rest() if known else batch.take(np.zeros(0, np.intp))

    def placed(self, cells: RawCells, good: Mask) -> dict[str, Values]:
        """The value columns of the good rows."""
        return self._placing.place(cells, good)

    def rest(self) -> Batch:
        """The rows that waited for the type of the keys; if it is still unknown at the end, keys are text."""
        if self.columns.key_type is None:
            self.columns.key_type = Type.STRING
        waiting, self._waiting = self._waiting, []
        return concatenated([replace(b, key=self._key_column(b.key)) for b in waiting])

    def waits(self) -> bool:
        """Whether ``rest`` has rows."""
        return bool(self._waiting)

    # ---- keys

    def _screen_keys(self, cells: RawCells, good: Mask, reasons: dict[int, str]) -> None:
        kind = cells.kind[0]
        # An empty text is a missing key in every format; in CSV nothing else is missing.
        text = cells.spans is not None
        empty = kind == NULL if text else (kind == STRING) & (cells.value[0] & 0xFFFFFFFF == 0)
        if self._missing_key is None:
            _reject_all(good, reasons, empty, f"key: column {self.key} is empty")
            _reject_all(good, reasons, kind <= NULL, f"key: column {self.key} is missing or null")
        else:
            kind[empty] = NULL
        if text:
            if self.columns.key_type is None:
                self.columns.key_type = Type.STRING  # in CSV a key is always text
            if self.columns.key_type is Type.STRING:
                return
        kind[kind == JSON] = STRING
        for what, shown in _NO_KEYS.items():
            _reject_all(good, reasons, kind == what, f"key: column {self.key} is {shown}")

    def _fit_keys(self, cells: RawCells, good: Mask, reasons: dict[int, str]) -> None:
        """Reject the rows whose key is of another type than the first one's."""
        columns, kind = self.columns, cells.kind[0]
        if cells.spans is not None and columns.key_type is not Type.INT:
            return
        with_key = good & (kind > NULL)
        if columns.key_type is None:
            first = int(with_key.argmax()) if with_key.any() else len(good)
            columns.keyless += int(np.count_nonzero(good[:first]))
            if columns.keyless >= KEY_ROWS:
                columns.key_type = Type.STRING
            elif first < len(good):
                columns.key_type = Type.INT if kind[first] == INT else Type.STRING
            else:
                return
        may_be_text = cells.spans is None and (self._key_is_open or columns.key_type is Type.STRING)
        hint = f"; --type {self.key}=string reads both as text" if may_be_text else ""
        wrong = with_key & (kind != (INT if columns.key_type is Type.INT else STRING))
        for what, shown in ((INT, "int64"), (STRING, "string"), (BOOL, "bool"), (FLOAT, "float64")):
            reason = f"key: column {self.key} is {columns.key_type}, got {shown}{hint}"
            _reject_all(good, reasons, wrong & (kind == what), reason)

    def _leave_out(self, cells: RawCells, good: Mask, reasons: dict[int, str], time: NDArray[np.int64]) -> None:
        """Leave out the points of erased keys."""
        assert self.erased is not None
        until = np.full(len(good), NEVER, np.int64)
        if self._missing_key is not None:
            type_ = self.columns.key_type or Type.STRING
            missing = self._missing_key if type_ is Type.STRING else whole_key(self._missing_key, self.key)
            until[cells.kind[0] <= NULL] = self.erased.until_of(missing)
        if self.columns.key_type is Type.INT:
            present = cells.kind[0] == INT
            until[present] = self.erased.until(Type.INT, cells.value[0][present], None)
        elif cells.spans is not None or self.columns.key_type is Type.STRING:
            present = (cells.kind[0] > NULL) if cells.spans is not None else (cells.kind[0] == STRING)
            spans = cells.value[0] if cells.spans is None else cells.spans[0]
            start, length = spans >> 32, spans & 0xFFFFFFFF
            present = present & (start >= 0) & (start + length <= len(cells.data))  # others are of malformed rows
            spans = spans[present]
            words = self.words.setdefault(self.key, InternedStrings())
            until[present] = self.erased.until(Type.STRING, words.codes(cells.data, spans), words)
        self.leave_out(until, good, reasons, time)

    def _keys(self, cells: RawCells, good: Mask) -> Values:
        """The keys so far: while their type is unknown, all of these rows lack one."""
        kind, value = cells.kind[0], cells.value[0]
        present = good & (kind > NULL)
        settled = present | ~good  # rejected rows need no replacement
        type_ = self.columns.key_type
        if type_ is Type.INT:
            return self._key_column(Values(Type.INT, np.where(present, value, 0), settled))
        codes = np.zeros(len(kind), np.int32)
        if type_ is None:
            return Values(Type.STRING, codes, settled)
        spans = value if cells.spans is None else cells.spans[0]
        codes[present] = self.words.setdefault(self.key, InternedStrings()).codes(cells.data, spans[present])
        return self._key_column(Values(Type.STRING, codes, settled))

    def _key_column(self, keys: Values) -> Values:
        """The keys, with missing ones replaced."""
        present = keys.valid
        type_ = self.columns.key_type or Type.STRING
        values = keys.values.astype(type_.dtype, copy=False)
        if present is not None and self._missing_key is not None and not present.all():
            if type_ is Type.STRING:
                stand_in = int(self.words.setdefault(self.key, InternedStrings()).codes_of([self._missing_key])[0])
            else:
                stand_in = whole_key(self._missing_key, self.key)
            values = np.where(present, values, stand_in).astype(type_.dtype, copy=False)
        return Values(type_, values, None)


def whole_key(text: str, key: str) -> int:
    """``--missing-key`` of a stream with integer keys."""
    try:
        number = int(text)
    except ValueError:
        number = 2**63
    if not -(2**63) <= number < 2**63:
        raise IngestError(f"the key {key!r} is an int64, so the missing key must be a whole number, not {text!r}.")
    return number


def _reject(good: Mask, reasons: dict[int, str], more: Mapping[int, str]) -> None:
    for row, reason in more.items():
        if good[row]:
            good[row] = False
            reasons[row] = reason


def _reject_all(good: Mask, reasons: dict[int, str], rows: Mask, reason: str) -> None:
    if rows.any():
        rows = rows & good
        for row in np.flatnonzero(rows).tolist():
            reasons[row] = reason
        good[rows] = False
