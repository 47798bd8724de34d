"""Tables between merge and result: small, in memory, processed by the same kernels as points."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.states.strings import Words
from operators.types import Type
from runtime.columns import Column, Dictionary
from runtime.query.stages.row_batch import RowBatch

TableColumn = tuple[Type, NDArray[Any], NDArray[np.uint8]]
"""Type, values (strings: codes into the table's strings) and validity, one entry per row."""


@dataclass(frozen=True)
class QueryTable:
    """Named columns of ``rows`` entries; string columns hold codes into ``strings``."""

    rows: int
    columns: dict[str, TableColumn]
    strings: list[str]

    def take(self, index: NDArray[np.intp]) -> QueryTable:
        """The rows at ``index``, in that order."""
        columns = {n: (t, v[index], k[index]) for n, (t, v, k) in self.columns.items()}
        return QueryTable(len(index), columns, self.strings)

    def compact(self) -> QueryTable:
        """The same table in one canonical form: its dictionary sorted and without unused strings, zero where null."""
        used = [v[k != 0] for t, v, k in self.columns.values() if t.is_text]
        place, texts = _places(used, self.strings)
        columns: dict[str, TableColumn] = {}
        for name, (t, v, k) in self.columns.items():
            ok = k != 0
            values = np.zeros(len(v), np.int64 if t.is_text else v.dtype)
            values[ok] = place[v[ok]] if t.is_text else v[ok]
            columns[name] = (t, values, k)
        return QueryTable(self.rows, columns, texts)

    def recoded(self, words: Words) -> QueryTable:
        """The same table with codes of ``words``."""
        codes = words.codes(self.strings)
        columns = dict(self.columns)
        for name, (t, v, k) in self.columns.items():
            if t.is_text:
                columns[name] = (t, codes[v] if len(codes) else v, k)
        return QueryTable(self.rows, columns, words.strings)

    def sorted_by(self, by: Sequence[tuple[str, bool]]) -> QueryTable:
        """Rows ordered by (column, descending): stable; nulls first, last when descending; strings by code point."""
        if not by or self.rows < 2:
            return self
        words: list[_Word] = []
        for name, descending in by:
            for ranks, size in _ranks(*self.columns[name], self.strings):
                word = (size - 1 - ranks if descending else ranks, size)
                # As few numbers as possible: the time of sorting depends on their count.
                words += [_joined(words.pop(), word)] if words and words[-1][1] * size < 2**63 else [word]
        if not words:
            return self
        order = np.argsort(words.pop()[0], kind="stable")
        for ranks, _ in reversed(words):
            order = order[np.argsort(ranks[order], kind="stable")]
        return self.take(order)

    def chunk(self) -> RowBatch:
        """The table as one run of rows without a key; the time of an interval is ``$start``, other rows have none."""
        columns = {n: (v, k) for n, (_, v, k) in self.columns.items()}
        time = self.columns["$start"][1] if "$start" in self.columns else np.zeros(self.rows, np.int64)
        return RowBatch(np.zeros(1, np.int32), np.array([self.rows], np.int64), time, columns)

    def result_columns(self) -> dict[str, Column]:
        """The columns of a ``Result``."""
        small = self.compact()
        words = Dictionary.of(small.strings)
        out: dict[str, Column] = {}
        for name, (kind, values, valid) in small.columns.items():
            mask = None if valid.all() else valid != 0
            text = words if kind.is_text else None
            out[name] = Column(kind, np.ascontiguousarray(values.astype(kind.dtype)), mask, text)
        return out


_Word = tuple[NDArray[np.int64], int]
"""Numbers in the order of the values they encode, and their exclusive upper bound."""


def _joined(high: _Word, low: _Word) -> _Word:
    return high[0] * low[1] + low[0], high[1] * low[1]


def _ranks(kind: Type, values: NDArray[Any], valid: NDArray[np.uint8], strings: list[str]) -> list[_Word]:
    """Numbers that sort like the values, most significant first: 0 for null."""
    ok = valid != 0
    if not ok.any():
        return []
    if kind.is_text:
        keys = np.zeros(len(values), np.int64)
        keys[ok] = _places([values[ok]], strings)[0][values[ok]]
    elif kind is Type.FLOAT:
        # Floats sort like their bits as integers, once those of negative ones are flipped. Zeros are made equal, and so
        # are NaNs, which sort last.
        bits = np.where(np.isnan(values), np.nan, values + 0.0).view(np.int64)
        keys = bits ^ ((bits >> 63) & np.int64(2**63 - 1))
    else:
        keys = values.astype(np.int64)
    least, most = int(keys[ok].min()), int(keys[ok].max())
    parts = [keys] if most - least < 2**62 else [keys >> 32, keys & np.int64(2**32 - 1)]
    out = []
    for part in parts:
        least, most = int(part[ok].min()), int(part[ok].max())
        out.append((np.where(ok, part - least + 1, 0), most - least + 2))
    return out


def _places(codes: Sequence[NDArray[np.int64]], strings: list[str]) -> tuple[NDArray[np.int64], list[str]]:
    """The rank of each string that any of these codes refers to (undefined for others), and these strings in order."""
    used = np.zeros(len(strings), np.bool_)
    for some in codes:
        used[some] = True
    found = sorted(np.flatnonzero(used).tolist(), key=strings.__getitem__)
    place = np.zeros(len(strings), np.int64)
    place[found] = np.arange(len(found))
    return place, [strings[c] for c in found]


def joined(tables: Sequence[QueryTable]) -> QueryTable:
    """All rows of tables with equal columns, with codes of one dictionary."""
    words = Words()
    recoded = [t.recoded(words) for t in tables]
    columns: dict[str, TableColumn] = {}
    for name, (kind, _, _) in tables[0].columns.items():
        parts = [t.columns[name] for t in recoded]
        columns[name] = (kind, np.concatenate([v for _, v, _ in parts]), np.concatenate([k for _, _, k in parts]))
    return QueryTable(sum(t.rows for t in tables), columns, words.strings)
