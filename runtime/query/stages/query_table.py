"""Tables between merge and result: small, in memory, processed by the same kernels as points."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
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

    def shared(self) -> QueryTable:
        """The same columns in a table of its own, which may be ``spent``."""
        return QueryTable(self.rows, dict(self.columns), self.strings)

    @property
    def nbytes(self) -> int:
        """Bytes of the columns."""
        return sum(v.nbytes + k.nbytes for _, v, k in self.columns.values())

    def _each(self, spent: bool) -> Iterator[tuple[str, TableColumn]]:
        """The columns; if ``spent``, the table loses each as it is passed, so that its memory can be reused."""
        for name in list(self.columns):
            yield name, self.columns.pop(name) if spent else self.columns[name]

    def take(self, index: NDArray[np.intp], spent: bool = False) -> QueryTable:
        """The rows at ``index``, in that order; ``spent``: this table is not used afterwards."""
        columns = {n: (t, v[index], k[index]) for n, (t, v, k) in self._each(spent)}
        return QueryTable(len(index), columns, self.strings)

    def compact(self, spent: bool = False) -> QueryTable:
        """The same table in one canonical form: its dictionary sorted and without unused strings, zero where null.

        ``spent``: this table is not used afterwards.
        """
        used = [v if k.all() else v[k != 0] for t, v, k in self.columns.values() if t.is_text]
        place, texts = _places(used, self.strings)
        columns: dict[str, TableColumn] = {}
        for name, (t, v, k) in self._each(spent):
            if k.all():
                columns[name] = (t, place[v] if t.is_text else v, k)
                continue
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

    def words(self, by: Sequence[tuple[str, bool]]) -> list[_Word]:
        """Numbers in the order of rows by (column, descending), most significant first; equal for equal rows."""
        words: list[_Word] = []
        for name, descending in by:
            for ranks, size in _ranks(*self.columns[name], self.strings):
                word = (size - 1 - ranks if descending else ranks, size)
                # As few numbers as possible: the time of sorting depends on their count.
                words += [_joined(words.pop(), word)] if words and words[-1][1] * size < 2**63 else [word]
        return words

    def sorted_by(self, by: Sequence[tuple[str, bool]], spent: bool = False) -> QueryTable:
        """Rows ordered by (column, descending): stable; nulls first, last when descending; strings by code point.

        ``spent``: this table is not used afterwards.
        """
        if not by or self.rows < 2:
            return self
        words = self.words(by)
        if not words:
            return self
        order = np.argsort(words.pop()[0], kind="stable")
        while words:
            order = order[np.argsort(words.pop()[0][order], kind="stable")]
        return self.take(order, spent)

    def chunk(self) -> RowBatch:
        """The table as one run of rows without a key; the time of an interval is ``$start``, other rows have none."""
        columns = {n: (v, k) for n, (_, v, k) in self.columns.items()}
        time = self.columns["$start"][1] if "$start" in self.columns else np.zeros(self.rows, np.int64)
        return RowBatch(np.zeros(1, np.int32), np.array([self.rows], np.int64), time, columns)

    def result_columns(self, spent: bool = False) -> dict[str, Column]:
        """The columns of a ``Result``; ``spent``: this table is not used afterwards."""
        small = self.compact(spent)
        words = Dictionary.of(small.strings)
        out: dict[str, Column] = {}
        for name, (kind, values, valid) in small._each(spent=True):
            mask = None if valid.all() else valid != 0
            text = words if kind.is_text else None
            out[name] = Column(kind, np.ascontiguousarray(values, kind.dtype), mask, text)
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
    whole = bool(ok.all())
    if kind.is_text:
        some = values if whole else values[ok]
        place = _places([some], strings)[0]
        if whole:
            keys = place[values]
        else:
            keys = np.zeros(len(values), np.int64)
            keys[ok] = place[some]
    elif kind is Type.FLOAT:
        # Floats sort like their bits as integers, once those of negative ones are flipped. Zeros are made equal, and so
        # are NaNs, which sort last.
        bits = np.where(np.isnan(values), np.nan, values + 0.0).view(np.int64)
        keys = bits ^ ((bits >> 63) & np.int64(2**63 - 1))
    else:
        keys = values.astype(np.int64)
    least, most = _extent(keys, ok, whole)
    parts = [keys] if most - least < 2**62 else [keys >> 32, keys & np.int64(2**32 - 1)]
    out = []
    for part in parts:
        least, most = _extent(part, ok, whole)
        ranks = part - least
        ranks += 1
        if not whole:
            ranks[~ok] = 0
        out.append((ranks, most - least + 2))
    return out


def _extent(keys: NDArray[np.int64], ok: NDArray[np.bool_], whole: bool) -> tuple[int, int]:
    some = keys if whole else keys[ok]
    return int(some.min()), int(some.max())


def _places(codes: Sequence[NDArray[np.int64]], strings: list[str]) -> tuple[NDArray[np.int64], list[str]]:
    """The rank of each string that any of these codes refers to (undefined for others), and these strings in order."""
    used = np.zeros(len(strings), np.bool_)
    for some in codes:
        used[some] = True
    found = sorted(np.flatnonzero(used).tolist(), key=strings.__getitem__)
    place = np.zeros(len(strings), np.int64)
    place[found] = np.arange(len(found))
    return place, [strings[c] for c in found]


def joined(tables: Sequence[QueryTable], spent: bool = False) -> QueryTable:
    """All rows of tables with equal columns, with codes of one dictionary; ``spent``: they are not used afterwards."""
    if len(tables) == 1:
        return tables[0].shared()
    words = Words()
    codes = [words.codes(t.strings) for t in tables]
    columns: dict[str, TableColumn] = {}
    for found in zip(*(t._each(spent) for t in tables), strict=True):
        name, (kind, _, _) = found[0]
        columns[name] = (kind, *_one_column([column for _, column in found], codes))
    return QueryTable(sum(t.rows for t in tables), columns, words.strings)


def _one_column(parts: list[TableColumn], codes: Sequence[NDArray[np.int32]]) -> tuple[NDArray[Any], NDArray[np.uint8]]:
    values = [c[v] if kind.is_text and len(c) else v for c, (kind, v, _) in zip(codes, parts, strict=True)]
    return np.concatenate(values), np.concatenate([k for _, _, k in parts])
