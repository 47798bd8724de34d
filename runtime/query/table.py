"""Tables between the merge and the result: small, in memory, worked on by the same kernels as points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.types import Type
from operators.words import Words
from runtime.columns import Column, Dictionary
from runtime.query.chunk import Chunk

TableColumn = tuple[Type, NDArray[Any], NDArray[np.uint8]]
"""Type, values (strings: codes into the table's strings) and validity, one entry per row."""


@dataclass(frozen=True)
class Table:
    """Named columns of ``rows`` entries; string columns hold codes into ``strings``."""

    rows: int
    columns: dict[str, TableColumn]
    strings: list[str]

    def take(self, index: NDArray[np.intp]) -> Table:
        """The rows at ``index``, in that order."""
        columns = {n: (t, v[index], k[index]) for n, (t, v, k) in self.columns.items()}
        return Table(len(index), columns, self.strings)

    def compact(self) -> Table:
        """The same table in one canonical form: its dictionary sorted and without unused strings, zero where null."""
        used = [v[k != 0] for t, v, k in self.columns.values() if t.is_text]
        present = np.unique(np.concatenate(used)) if used else np.zeros(0, np.int64)
        texts = [self.strings[c] for c in present.tolist()]
        order = sorted(range(len(texts)), key=texts.__getitem__)
        place = np.empty(len(texts), np.int64)
        place[order] = np.arange(len(texts))
        columns: dict[str, TableColumn] = {}
        for name, (t, v, k) in self.columns.items():
            ok = k != 0
            values = np.zeros(len(v), np.int64 if t.is_text else v.dtype)
            values[ok] = place[np.searchsorted(present, v[ok])] if t.is_text else v[ok]
            columns[name] = (t, values, k)
        return Table(self.rows, columns, [texts[i] for i in order])

    def recoded(self, words: Words) -> Table:
        """The same table with codes of ``words``."""
        codes = words.codes(self.strings)
        columns = dict(self.columns)
        for name, (t, v, k) in self.columns.items():
            if t.is_text:
                columns[name] = (t, codes[v] if len(codes) else v, k)
        return Table(self.rows, columns, words.strings)

    def sorted_by(self, by: Sequence[tuple[str, bool]]) -> Table:
        """Rows ordered by (column, descending): stable; nulls first, last when descending; strings by code point."""
        if not by or self.rows < 2:
            return self
        words: list[NDArray[Any]] = []
        for name, descending in by:
            kind, values, valid = self.columns[name]
            rank = _ranks(kind, values, valid, self.strings)
            words.append(-rank if descending else rank)
        return self.take(np.lexsort(list(reversed(words))))

    def chunk(self) -> Chunk:
        """The table as one run of rows without a key; intervals have the time of ``$start``, other rows none."""
        columns = {n: (v, k) for n, (_, v, k) in self.columns.items()}
        time = self.columns["$start"][1] if "$start" in self.columns else np.zeros(self.rows, np.int64)
        return Chunk(np.zeros(1, np.int32), np.array([self.rows], np.int64), time, columns)

    def result_columns(self) -> dict[str, Column]:
        """The columns as results show them."""
        small = self.compact()
        words = Dictionary.of(small.strings)
        out: dict[str, Column] = {}
        for name, (kind, values, valid) in small.columns.items():
            mask = None if valid.all() else valid != 0
            text = words if kind.is_text else None
            out[name] = Column(kind, np.ascontiguousarray(values.astype(kind.dtype)), mask, text)
        return out


def _ranks(kind: Type, values: NDArray[Any], valid: NDArray[np.uint8], strings: list[str]) -> NDArray[np.int64]:
    """Dense ranks from 1 up in the order of the values, 0 for null."""
    ok = valid != 0
    out = np.zeros(len(values), np.int64)
    if kind.is_text:
        codes, inverse = np.unique(values[ok], return_inverse=True)
        texts = [strings[c] for c in codes.tolist()]
        place = np.empty(len(codes), np.int64)
        place[sorted(range(len(texts)), key=texts.__getitem__)] = np.arange(1, len(codes) + 1)
        out[ok] = place[inverse]
    else:
        _, inverse = np.unique(values[ok], return_inverse=True)
        out[ok] = inverse + 1
    return out


def joined(tables: Sequence[Table]) -> Table:
    """All rows of tables with equal columns, with codes of one dictionary."""
    words = Words()
    recoded = [t.recoded(words) for t in tables]
    columns: dict[str, TableColumn] = {}
    for name, (kind, _, _) in tables[0].columns.items():
        parts = [t.columns[name] for t in recoded]
        columns[name] = (kind, np.concatenate([v for _, v, _ in parts]), np.concatenate([k for _, _, k in parts]))
    return Table(sum(t.rows for t in tables), columns, words.strings)
