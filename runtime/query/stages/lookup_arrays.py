"""Arrays for a kernel's look-ups: string predicates, reference tables and calendars."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataflow.tables.answer_tables import AnswerIndex
from dataflow.tables.calendars import Calendar
from dataflow.tables.reference_tables import Index
from operators.states.strings import Words
from operators.types import Type

_PREDICATES: dict[str, Callable[[str, Any], bool]] = {
    "lt": lambda text, o: bool(text < o[0]),
    "le": lambda text, o: bool(text <= o[0]),
    "gt": lambda text, o: bool(text > o[0]),
    "ge": lambda text, o: bool(text >= o[0]),
    "between": lambda text, o: bool(o[0] <= text <= o[1]),
    "is_in": lambda text, o: text in o,
    "starts_with": lambda text, o: text.startswith(o),
    "contains": lambda text, o: o in text,
}


class Lut:
    """A predicate on strings, evaluated once per dictionary entry."""

    def __init__(self, predicate: str, operand: object) -> None:
        self._test = _PREDICATES[predicate]
        self._operand = operand
        self._done = 0
        self.table = np.zeros(64, np.uint8)

    def upto(self, words: Words) -> NDArray[np.uint8]:
        """By code, 1 where it is true; covers the current dictionary."""
        n = len(words)
        if n > self._done:
            if n > len(self.table):
                grown = np.zeros(2 * n, np.uint8)
                grown[: self._done] = self.table[: self._done]
                self.table = grown
            fresh = words.strings[self._done :]
            self.table[self._done : n] = [self._test(t, self._operand) for t in fresh]
            self._done = n
        return self.table


def _grown(codes: NDArray[np.int32], count: int) -> NDArray[np.int32]:
    """The places by code, -1 for further ones."""
    out = np.full(count, -1, np.int32)
    out[: len(codes)] = codes
    return out


class AnswerLookup:
    """The answer of a metric, in terms of a task's dictionary."""

    def __init__(self, index: AnswerIndex, words: Words) -> None:
        self._index, self._words = index, words
        self._parts: dict[str, NDArray[Any]] = {"places": index.places, "sizes": index.sizes}
        for i, pairs in enumerate(index.pairs, 1):
            self._parts[f"pairs{i}"] = pairs
        for i, distinct in enumerate(index.distinct):
            texts = index.texts(i)
            if texts is None:
                self._parts[f"distinct{i}"] = distinct
                continue
            codes = words.codes(texts)
            places = np.full(len(words), -1, np.int32)
            places[codes] = np.arange(len(codes), dtype=np.int32)
            self._parts[f"codes{i}"] = places

    def part(self, name: str) -> NDArray[Any]:
        """The array ``name``; the place of each string among the keys covers the current dictionary."""
        if name.startswith("codes") and len(self._words) > len(self._parts[name]):
            self._parts[name] = _grown(self._parts[name], 2 * len(self._words))
        return self._parts[name]

    def column(self, name: str) -> tuple[NDArray[Any], NDArray[np.uint8]]:
        """Values and validity of a column, one entry per row and at least one."""
        c = self._index.picked(name)
        if not len(c.values):
            return np.zeros(1, c.values.dtype), np.zeros(1, np.uint8)
        if not c.type.is_text:
            return c.values, c.valid.view(np.uint8)
        codes = self._words.codes(c.words).astype(np.int64)
        return codes[c.values] if len(codes) else c.values, c.valid.view(np.uint8)


class Lookup:
    """One reference table or calendar, in terms of a task's dictionary."""

    def __init__(self, table: Index | Calendar, words: Words) -> None:
        self._table, self._words = table, words
        rows = table.periods()
        self._parts: dict[str, NDArray[Any]] = {"offsets": rows.offsets, "starts": rows.starts, "ends": rows.ends}
        if isinstance(table, Index) and table.kind is Type.STRING:
            codes = words.codes(str(k) for k in table.keys)
            places = np.full(len(words), -1, np.int32)
            places[codes] = np.arange(len(codes), dtype=np.int32)
            self._parts["codes"] = places
        elif isinstance(table, Index):
            self._parts["keys"] = np.array(table.keys, np.int64)

    def part(self, name: str) -> NDArray[Any]:
        """The array ``name``; ``codes``, the place of each string among the keys, covers the current dictionary."""
        if name == "codes" and len(self._words) > len(self._parts[name]):
            self._parts[name] = _grown(self._parts[name], 2 * len(self._words))
        return self._parts[name]

    def column(self, name: str) -> tuple[NDArray[Any], NDArray[np.uint8]]:
        """Values and validity of a column, one entry per row and at least one."""
        assert isinstance(self._table, Index)
        kind, _ = self._table.table.column(name, "lookup")
        cells = self._table.values(name) or [None]
        valid = np.array([c is not None for c in cells], np.uint8)
        if kind is Type.STRING:
            return self._words.codes("" if c is None else str(c) for c in cells).astype(np.int64), valid
        return np.array([0 if c is None else c for c in cells], np.float64 if kind is Type.FLOAT else np.int64), valid


def lookup_of(table: Index | Calendar | AnswerIndex, words: Words) -> Lookup | AnswerLookup:
    """The arrays of a table, calendar or answer, in terms of a task's dictionary."""
    return AnswerLookup(table, words) if isinstance(table, AnswerIndex) else Lookup(table, words)
