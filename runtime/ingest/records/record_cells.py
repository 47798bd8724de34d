"""Parsed records into ``RawCells``, in batches of bounded size, each record with its place in the text."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from runtime.ingest.records.flat_values import flatten
from runtime.ingest.records.value_columns import AddedTexts, ValueColumn
from runtime.ingest.text.json_names import MAX_NODES
from runtime.ingest.text.json_strict import NotARecord
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
    written, and an empty text is null.
    """

    def __init__(self, key: str, time: str, as_text: bool = False) -> None:
        self._key = key, time
        self._as_text = as_text
        self._forget()

    def _forget(self) -> None:
        """Start with key and time only: no names, no rows."""
        self._columns = {name: ValueColumn() for name in self._key}
        self._clear()

    def _clear(self) -> None:
        self._starts, self._ends = array("q"), array("q")
        self._faults: list[RowFault] = []
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
        flat: dict[str, Any] = {}
        columns = self._columns
        try:
            flatten(item.values, flat)
            for name, value in item.beside.items():
                flat.setdefault(name, value)
            if not flat.keys() <= columns.keys() and len(flat.keys() | columns.keys()) > MAX_NODES:
                if len({*self._key, *flat}) > MAX_NODES:
                    raise NotARecord(f"more than {MAX_NODES:,} names")
                if self._starts or self._faults:
                    yield self._batch(counted)
                self._forget()
                columns = self._columns
        except NotARecord as fault:
            self._faults.append(RowFault(item.start, item.end, str(fault)))
            return
        row = len(self._starts)
        self._starts.append(item.start)
        self._ends.append(item.end)
        self._size += item.end - item.start
        for name, value in flat.items():
            column = columns.get(name)
            if column is None:
                column = columns[name] = ValueColumn()
            column.rows.append(row)
            column.values.append(value)

    def _batch(self, counted: _LineCount) -> RawCells:
        window = counted.window
        first = min([*self._starts, *(f.start for f in self._faults)])
        last = max([*self._ends, *(f.end for f in self._faults)])
        piece = window.data[first:last]
        shape = len(self._columns), len(self._starts)
        kind, value = np.zeros(shape, np.uint8), np.zeros(shape, np.int64)
        spans = np.zeros(shape, np.int64) if self._as_text else None
        texts = AddedTexts(len(piece))
        cells = RawCells(
            np.frombuffer(piece, np.uint8), window.base + first, counted.at(first), list(self._columns),
            kind, value, np.array(self._starts, np.int64) - first, np.array(self._ends, np.int64) - first, spans,
            [f._replace(start=f.start - first, end=f.end - first) for f in self._faults],
        )  # fmt: skip
        for at, column in enumerate(self._columns.values()):
            if column.rows:
                column.write(cells, at, texts, is_time=at == _TIME)
        kind[:, list(cells.bad)] = 0
        cells.data = np.frombuffer(b"".join([piece, *texts.parts]), np.uint8)
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
