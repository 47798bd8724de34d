"""Columns that hold JSON as text: what is in it becomes columns of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from runtime.ingest.records.flat_values import SPANS
from runtime.ingest.records.json_parts import JsonParts
from runtime.ingest.records.record_cells import RecordCells, SourceRecord, TextWindow
from runtime.ingest.text.column_names import Names
from runtime.ingest.text.json_names import MAX_NODES
from runtime.ingest.text.json_scanner import MAX_DEPTH
from runtime.ingest.text.json_strict import NotARecord
from runtime.ingest.text.raw_cells import RawCells
from runtime.ingest.text.tokens import MISSING, NULL, STRING

_SPACE = b" \t\r\n"


class JsonColumns:
    """Reads the JSON in the text of these columns of one source's cells: ``Message`` that holds ``{"t": 1}`` becomes
    ``Message.t``; a number, text or boolean becomes the column's value; an array stays text.

    The text stays where it is not JSON, where a name in it is that of another value of the row, and where a part of it
    could not be kept. ``names`` says which of the fields in it are taken, objects deeper than ``depth`` are JSON text.
    """

    def __init__(self, columns: Sequence[str], names: Names, depth: int = MAX_DEPTH) -> None:
        self._columns = tuple(columns)
        self._names, self._depth = names, depth
        self._made: dict[str, None] = {}

    def __call__(self, cells: RawCells) -> RawCells:
        """The cells with these columns read; columns made before come first among the new ones, in the same order."""
        before = cells.names
        if len(self._made) < MAX_NODES:
            cells = _widened(cells, [name for name in self._made if name not in before])
        for name in self._columns:
            column = self._names.column(name)
            if len(cells) and column in cells.names:
                cells = self._read(cells, cells.names.index(column), name)
        self._made.update(dict.fromkeys(cells.names[len(before) :]))
        return cells

    def _read(self, cells: RawCells, at: int, name: str) -> RawCells:
        """The cells with the JSON in column ``at`` read, which is the source's field ``name``."""
        spans = cells.value[at] if cells.spans is None else cells.spans[at]
        rows = np.flatnonzero(cells.kind[at] == STRING)
        data = cells.data.tobytes() if len(rows) else b""
        records: list[SourceRecord] = []
        for row, span in zip(rows.tolist(), spans[rows].tolist(), strict=True):
            raw = data[span >> 32 : (span >> 32) + (span & 0xFFFFFFFF)].strip(_SPACE)
            if raw[:1] == b"[" or not raw:
                continue
            try:
                # The row takes the place of a position in the text.
                records.append(SourceRecord(row, row, {name: JsonParts(raw).value(0, len(raw))}))
            except NotARecord:
                continue
        reader = RecordCells(self._names, cells.spans is not None, self._depth)
        for part in list(reader.batches(TextWindow(b"", 0, 1), records)):
            cells = _merged(cells, at, part)
        return cells


def _merged(cells: RawCells, at: int, part: RawCells) -> RawCells:
    """The cells with the values of ``part``, whose places are rows, instead of the text in column ``at``."""
    rows = part.start + part.base
    free = np.ones(len(rows), np.bool_)
    free[[row for row, _ in part.left_out]] = False
    places = {name: column for column, name in enumerate(cells.names)}
    for column, name in enumerate(part.names):
        there = places.get(name, at)
        if there != at:
            free &= (part.kind[column] <= NULL) | (cells.kind[there, rows] <= NULL)
    cells = _widened(cells, [name for name in part.names if name not in places])
    kind, value, spans = cells.kind, cells.value, cells.spans
    shift = len(cells.data) << 32
    zeros = set(part.minus_zeros)
    kind[at, rows[free]] = MISSING
    places = {name: column for column, name in enumerate(cells.names)}
    for column, name in enumerate(part.names):
        there = places[name]
        null = (part.kind[column] == NULL) & (kind[there, rows] == MISSING)
        found = np.flatnonzero(free & ((part.kind[column] > NULL) | null))
        if not len(found):
            continue
        kinds = part.kind[column][found]
        kind[there, rows[found]] = kinds
        moved = np.where(np.isin(kinds, SPANS), shift, 0)
        value[there, rows[found]] = part.value[column][found] + moved
        if spans is not None and part.spans is not None:
            spans[there, rows[found]] = part.spans[column][found] + shift
        cells.minus_zeros += [(there, int(rows[k])) for k in found.tolist() if (column, k) in zeros]
    cells.data = np.concatenate([cells.data, part.data])
    return cells


def _widened(cells: RawCells, new: list[str]) -> RawCells:
    """A copy of the cells with these columns, still empty."""

    def wider(array: NDArray[Any]) -> NDArray[Any]:
        return np.concatenate([array, np.zeros((len(new), array.shape[1]), array.dtype)])

    return replace(
        cells,
        names=[*cells.names, *new],
        kind=wider(cells.kind),
        value=wider(cells.value),
        spans=None if cells.spans is None else wider(cells.spans),
        minus_zeros=list(cells.minus_zeros),
        left_out=list(cells.left_out),
    )
