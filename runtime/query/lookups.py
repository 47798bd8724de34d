"""The arrays by which a kernel looks up reference tables and calendars."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataflow.reference import Index
from dataflow.service import Calendar
from operators.types import Type
from operators.words import Words


class Lookup:
    """One table or calendar, in terms of a task's dictionary, for times in ``span``."""

    def __init__(self, table: Index | Calendar, words: Words, span: tuple[int, int]) -> None:
        self._table, self._words = table, words
        rows = table.periods(*span)
        self._parts: dict[str, NDArray[Any]] = {"offsets": rows.offsets, "starts": rows.starts, "ends": rows.ends}
        if isinstance(table, Index) and table.kind is Type.STRING:
            codes = words.codes(str(k) for k in table.keys)
            places = np.full(len(words), -1, np.int32)
            places[codes] = np.arange(len(codes), dtype=np.int32)
            self._parts["codes"] = places
        elif isinstance(table, Index):
            self._parts["keys"] = np.array(table.keys, np.int64)

    def part(self, name: str) -> NDArray[Any]:
        """The array ``name``; ``codes``, the place of each string among the keys, covers the dictionary as it is."""
        if name == "codes" and len(self._words) > len(self._parts[name]):
            old = self._parts[name]
            grown = np.full(2 * len(self._words), -1, np.int32)
            grown[: len(old)] = old
            self._parts[name] = grown
        return self._parts[name]

    def column(self, name: str) -> tuple[NDArray[Any], NDArray[np.uint8]]:
        """Values and validity of a column, one entry per row and one at least."""
        assert isinstance(self._table, Index)
        kind, _ = self._table.table.column(name, "lookup")
        cells = self._table.values(name) or [None]
        valid = np.array([c is not None for c in cells], np.uint8)
        if kind is Type.STRING:
            return self._words.codes("" if c is None else str(c) for c in cells).astype(np.int64), valid
        return np.array([0 if c is None else c for c in cells], np.float64 if kind is Type.FLOAT else np.int64), valid
