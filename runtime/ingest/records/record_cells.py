"""Parsed records into ``RawCells``, in batches of bounded size, each record with its place in the text."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from runtime.ingest.records.flat_values import KINDS
from runtime.ingest.records.value_columns import RowTexts, ValueColumn
from runtime.ingest.text.added_texts import AddedTexts
from runtime.ingest.text.column_names import Names
from runtime.ingest.text.json_names import MAX_NODES
from runtime.ingest.text.json_scanner import MAX_DEPTH
from runtime.ingest.text.json_strict import TWICE, Flat
from runtime.ingest.text.raw_cells import RawCells
from runtime.ingest.text.rejects import RowFault

_ROWS = 1 << 14
_CELLS = 1 << 21
_TEXT = 1 << 24  # bytes of the records of a batch
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
    ``left_out`` says why there are not more of them.
    """

    start: int
    end: int
    values: Mapping[str, Any]
    beside: Mapping[str, Any] = _NOTHING
    left_out: Sequence[str] = ()


RecordItem = SourceRecord | RowFault
"""What a reader of records gives: a record, or the place and reason of a reject."""


class RecordCells:
    """Makes cells of the records of one source; ``names`` says which of their fields are taken.

    ``as_text``: numbers and booleans are texts that look like them, as in CSV; a column of texts keeps what was
    written, and an empty text is null. Objects deeper than ``depth`` are JSON text.
    """

    def __init__(self, names: Names, as_text: bool = False, depth: int = MAX_DEPTH) -> None:
        self._taken = names
        self._depth = depth
        self._as_text = as_text
        self._forget()

    def _forget(self) -> None:
        """Start with key and time only: no names, no rows."""
        self._columns = {name: ValueColumn() for name in self._taken.first}
        self._plain: dict[str, str] = {}  # names that need no second look, and their columns
        self._beside, self._beside_columns = _NOTHING, dict(_NOTHING)
        self._clear()

    def _clear(self) -> None:
        self._starts, self._ends = array("q"), array("q")
        self._faults: list[RowFault] = []
        self._left_out: list[tuple[int, str]] = []
        self._size = 0
        for column in self._columns.values():
            column.clear()

    def batches(self, window: TextWindow, items: Iterable[RecordItem]) -> Iterator[RawCells]:
        """The cells of these items, which all lie in ``window``."""
        counted = _LineCount(window)
        for item in items:
            if isinstance(item, RowFault):
                self._faults.append(item)
            else:
                yield from self._add(item, counted)
            most = min(_ROWS, max(256, _CELLS // len(self._columns)))
            if len(self._starts) >= most or len(self._faults) >= most or self._size >= _TEXT:
                yield self._batch(counted)
        if self._starts or self._faults:
            yield self._batch(counted)

    def _add(self, item: SourceRecord, counted: _LineCount) -> Iterator[RawCells]:
        left_out = list(item.left_out)
        flat = self._flat(item, left_out)
        columns = self._columns
        if not flat.keys() <= columns.keys() and len(flat.keys() | columns.keys()) > MAX_NODES:
            if self._starts or self._faults:
                yield self._batch(counted)
            self._forget()
            columns = self._columns
        row = len(self._starts)
        self._starts.append(item.start)
        self._ends.append(item.end)
        self._size += item.end - item.start
        for name, value in flat.items():
            column = columns.get(name)
            if column is None:
                if len(columns) >= MAX_NODES:
                    left_out.append(f"more than {MAX_NODES:,} names at once")
                    continue
                column = columns[name] = ValueColumn()
            column.rows.append(row)
            column.values.append(value)
        if left_out:
            self._left_out += [(row, reason) for reason in left_out]

    def _flat(self, item: SourceRecord, left_out: list[str]) -> dict[str, Any]:
        """The record's values by column."""
        values, plain = item.values, self._plain
        if values.keys() <= plain.keys() and all(type(v) in KINDS for v in values.values()):
            flat = {plain[name]: value for name, value in values.items()}
            if len(flat) == len(values):
                return self._kept(item.beside) | flat if item.beside else flat
        record = Flat(dict(values), self._depth, self._taken.whole)
        left_out += record.left_out
        for name, value in item.beside.items():
            record.values.setdefault(name, value)
        flat = {}
        for name, value in record.values.items():
            column = name if self._taken.is_plain else self._taken.column(name)
            if column is None:
                continue
            if flat.get(column) is not None:
                left_out.append(TWICE)
                continue
            flat[column] = value
            if len(plain) < MAX_NODES and name in values:
                plain[name] = column
        return flat

    def _kept(self, beside: Mapping[str, Any]) -> dict[str, Any]:
        """What stands beside many records, by column."""
        if self._beside is not beside:
            named = ((name, self._taken.column(name)) for name in beside)
            self._beside, self._beside_columns = beside, {c: beside[name] for name, c in named if c is not None}
        return self._beside_columns

    def _batch(self, counted: _LineCount) -> RawCells:
        window = counted.window
        first = min([*self._starts, *(f.start for f in self._faults)])
        last = max([*self._ends, *(f.end for f in self._faults)])
        piece = window.data[first:last]
        shape = len(self._columns), len(self._starts)
        texts = AddedTexts(len(piece))
        cells = RawCells(
            np.frombuffer(piece, np.uint8), window.base + first, counted.at(first), list(self._columns),
            np.zeros(shape, np.uint8), np.zeros(shape, np.int64),
            np.array(self._starts, np.int64) - first, np.array(self._ends, np.int64) - first,
            np.zeros(shape, np.int64) if self._as_text else None,
            [f._replace(start=f.start - first, end=f.end - first) for f in self._faults], left_out=self._left_out,
        )  # fmt: skip
        values = {name: (column.rows, column.values) for name, column in self._columns.items() if column.rows}
        cells.again = RowTexts(values).text
        for at, column in enumerate(self._columns.values()):
            if column.rows:
                column.write(cells, at, texts, is_time=at == _TIME)
        cells.data = texts.after(cells.data)
        self._clear()
        return cells


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
