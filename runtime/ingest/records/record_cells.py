"""Parsed records into ``RawCells``, in batches of bounded size, each record with its place in the text."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from runtime.ingest.records.flat_values import SPANS, kind_of
from runtime.ingest.text.column_names import Names
from runtime.ingest.text.json_names import MAX_NODES
from runtime.ingest.text.json_scanner import MAX_DEPTH
from runtime.ingest.text.json_strict import HALF, SURROGATE, TWICE, Flat, MinusZero
from runtime.ingest.text.raw_cells import RawCells
from runtime.ingest.text.rejects import RowFault
from runtime.ingest.text.tokens import BIG, DECIMAL, FLOAT, INFINITE, NAN, NULL

_ROWS = 1 << 14
_CELLS = 1 << 21
_TEXT = 1 << 24  # bytes of text in a batch
_TIME = 1
_NOTHING: Mapping[str, Any] = {}


class TextWindow(NamedTuple):
    """A piece of a source's text: it begins at byte ``base`` and line ``line`` of the source."""

    data: bytes
    base: int
    line: int


class SourceRecord(NamedTuple):
    """A record and its place in a window: bytes ``start`` to ``end``.

    ``values`` are what JSON holds, with ``Decimal`` for fractions as written; objects become dotted columns, arrays
    compact JSON text. ``beside`` are flat values by dotted name, shared by many records, which theirs hide.
    """

    start: int
    end: int
    values: Mapping[str, Any]
    beside: Mapping[str, Any] = _NOTHING


RecordItem = SourceRecord | RowFault
"""What a reader of records gives: a record, or the place and reason of a reject."""


class RecordCells:
    """Makes cells of the records of one source.

    ``as_text``: numbers and booleans are texts that look like them, as in CSV; a column of texts keeps what was
    written.
    """

    def __init__(self, names: Names, as_text: bool = False, depth: int = MAX_DEPTH) -> None:
        self._taken = names
        self._key = names.first
        self._depth = depth
        self._as_text = as_text
        self._forget()

    def _forget(self) -> None:
        """Start with key and time only: no names, no rows."""
        self._names = list(self._key)
        self._columns = {name: k for k, name in enumerate(self._names)}
        self._clear()

    def _clear(self) -> None:
        self._starts, self._ends = array("q"), array("q")
        self._faults: list[RowFault] = []
        self._cells = _Cells()
        self._floats, self._float_values = _Cells(), array("d")
        self._minus_zeros: list[tuple[int, int]] = []
        self._left_out: list[tuple[int, str]] = []
        self._parts: list[bytes] = []
        self._size = 0
        self._seen: dict[str, int] = {}

    def batches(self, window: TextWindow, items: Iterable[RecordItem]) -> Iterator[RawCells]:
        """The cells of these items, which all lie in ``window``."""
        counted = _LineCount(window)
        for item in items:
            if isinstance(item, RowFault):
                self._faults.append(item)
            else:
                yield from self._add(item, counted)
            if (
                max(len(self._starts), len(self._faults)) >= min(_ROWS, max(256, _CELLS // len(self._names)))
                or self._size >= _TEXT
            ):
                yield self._batch(counted)
        if self._starts or self._faults:
            yield self._batch(counted)

    def _add(self, item: SourceRecord, counted: _LineCount) -> Iterator[RawCells]:
        record = Flat(dict(item.values), self._depth, self._taken.whole)
        for name, value in item.beside.items():
            record.values.setdefault(name, value)
        left_out = record.left_out
        flat: dict[str, Any] = {}
        for name, value in record.values.items():
            column = name if self._taken.is_plain else self._taken.column(name)
            if column is None:
                continue
            if column in flat and flat[column] is not None:
                left_out.append(TWICE)
            elif isinstance(value, str) and not value.isascii() and SURROGATE.search(value):
                left_out.append(HALF)
            else:
                flat[column] = value
        if len(self._names) + sum(name not in self._columns for name in flat) > MAX_NODES:
            if self._starts or self._faults:
                yield self._batch(counted)
            self._forget()
        row = len(self._starts)
        self._starts.append(item.start)
        self._ends.append(item.end)
        for name, value in flat.items():
            at = self._columns.get(name)
            if at is None:
                if len(self._names) >= MAX_NODES:
                    left_out.append(f"more than {MAX_NODES:,} names at once")
                    continue
                at = self._columns[name] = len(self._names)
                self._names.append(name)
            self._put(at, row, self._kind(value), value)
        self._left_out += [(row, reason) for reason in left_out]

    def _kind(self, value: Any) -> int:
        return NULL if self._as_text and value == "" else kind_of(value)

    def _put(self, column: int, row: int, kind: int, value: Any) -> None:
        span = 0
        if kind in SPANS or (kind == FLOAT and column == _TIME):
            kind = DECIMAL if kind == FLOAT or (kind == BIG and column == _TIME) else kind
            self._cells.add(column, row, kind, self._text(str(value)), 0)
            return
        if self._as_text and kind != NULL:
            span = self._text(_written(value))
        if kind == FLOAT:
            self._floats.add(column, row, kind, 0, span)
            self._float_values.append(float(value))
            return
        if type(value) is MinusZero:
            self._minus_zeros.append((column, row))
        self._cells.add(column, row, kind, 0 if kind in (NULL, NAN, INFINITE) else int(value), span)

    def _text(self, text: str) -> int:
        """The span of a text from the end of the window's part on."""
        span = self._seen.get(text)
        if span is None:
            raw = text.encode()
            span = self._seen[text] = self._size << 32 | len(raw)
            self._parts.append(raw)
            self._size += len(raw)
        return span

    def _batch(self, counted: _LineCount) -> RawCells:
        window = counted.window
        starts, ends = _ints(self._starts), _ints(self._ends)
        first = min([*self._starts, *(f.start for f in self._faults)])
        last = max([*self._ends, *(f.end for f in self._faults)])
        piece = window.data[first:last]
        shift = len(piece) << 32
        shape = len(self._names), len(starts)
        kind, value = np.zeros(shape, np.uint8), np.zeros(shape, np.int64)
        spans = np.zeros(shape, np.int64) if self._as_text else None
        self._cells.write(kind, value, spans, shift)
        self._floats.write(kind, value, spans, shift)
        at = self._floats.at
        value.view(np.float64)[at] = np.frombuffer(self._float_values, np.float64) if len(self._float_values) else 0.0
        text = b"".join([piece, *self._parts])
        faults = [f._replace(start=f.start - first, end=f.end - first) for f in self._faults]
        cells = RawCells(
            np.frombuffer(text, np.uint8), window.base + first, counted.at(first), list(self._names),
            kind, value, starts - first, ends - first, spans, faults, minus_zeros=self._minus_zeros,
            left_out=self._left_out,
        )  # fmt: skip
        self._clear()
        return cells


class _Cells:
    """Cells as they come, to be written into arrays."""

    def __init__(self) -> None:
        self.columns, self.rows, self.kinds = array("i"), array("i"), bytearray()
        self.values, self.spans = array("q"), array("q")

    def add(self, column: int, row: int, kind: int, value: int, span: int) -> None:
        self.columns.append(column)
        self.rows.append(row)
        self.kinds.append(kind)
        self.values.append(value)
        self.spans.append(span or value)

    @property
    def at(self) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
        """The index of the cells in an array of (columns, rows)."""
        return np.array(self.columns, np.int32), np.array(self.rows, np.int32)

    def write(
        self, kind: NDArray[np.uint8], value: NDArray[np.int64], spans: NDArray[np.int64] | None, shift: int
    ) -> None:
        kinds, values, at = np.frombuffer(bytes(self.kinds), np.uint8), _ints(self.values), self.at
        kind[at] = kinds
        value[at] = np.where(np.isin(kinds, SPANS), values + shift, values)
        if spans is not None:
            spans[at] = _ints(self.spans) + shift


class _LineCount:
    """The numbers of a window's lines."""

    def __init__(self, window: TextWindow) -> None:
        self.window = window
        self._seen, self._line = 0, window.line

    def at(self, position: int) -> int:
        """The line of a position; positions mostly ascend."""
        if position < self._seen:
            self._seen, self._line = 0, self.window.line
        self._line += self.window.data.count(b"\n", self._seen, position)
        self._seen = position
        return self._line


def _ints(values: array[int]) -> NDArray[np.int64]:
    return np.array(values, np.int64)


def _written(value: Any) -> str:
    """A number or boolean as it was written."""
    if type(value) is bool:
        return "true" if value else "false"
    return "-0" if type(value) is MinusZero else str(value)
