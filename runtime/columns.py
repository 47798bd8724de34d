"""Typed columns in memory, shared by ingest, point files and results."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from operators.aggregates.json_values import as_decimal
from operators.distinct_values import distinct
from operators.types import Type

_STRING = 57
"""Bytes of a string in a list, beside its text."""


@dataclass(frozen=True)
class Dictionary:
    """Distinct strings, addressed by code: string ``i`` is ``blob[offsets[i]:offsets[i + 1]]`` in UTF-8.

    ``offsets`` is int64 of shape (n + 1,), starting at 0.
    """

    offsets: NDArray[np.int64]
    blob: bytes

    @classmethod
    def of(cls, strings: Sequence[str]) -> Dictionary:
        """The dictionary of ``strings``, in their order."""
        encoded = [s.encode() for s in strings]
        offsets = np.zeros(len(encoded) + 1, np.int64)
        np.cumsum([len(e) for e in encoded], out=offsets[1:])
        return cls(offsets, b"".join(encoded))

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @cached_property
    def strings(self) -> list[str]:
        """All strings, in code order."""
        edges: list[int] = self.offsets.tolist()
        blob = self.blob
        return [blob[a:b].decode() for a, b in pairwise(edges)]

    @property
    def nbytes(self) -> int:
        """Bytes in memory, with all strings decoded."""
        return self.offsets.nbytes + 2 * len(self.blob) + _STRING * len(self)

    def some(self, codes: NDArray[np.int64]) -> list[str]:
        """The strings of these codes; the others are not decoded."""
        if "strings" in self.__dict__:
            strings = self.strings
            return [strings[code] for code in codes.tolist()]
        blob, edges = self.blob, zip(self.offsets[codes].tolist(), self.offsets[codes + 1].tolist(), strict=True)
        return [blob[a:b].decode() for a, b in edges]

    def slice(self, lo: int, hi: int) -> Dictionary:
        """The dictionary of codes ``lo`` to ``hi - 1``, renumbered from 0."""
        offsets = self.offsets[lo : hi + 1]
        return Dictionary(offsets - offsets[0], self.blob[int(offsets[0]) : int(offsets[-1])])


@dataclass(frozen=True)
class Column:
    """Values of one type, with validity.

    ``values`` has the dtype ``type.dtype`` (string: int32 codes into ``words``); where ``valid`` (bool, same
    shape; None means all valid) is False the value is null and ``values`` there is meaningless but in range.
    """

    type: Type
    values: NDArray[np.generic]
    valid: NDArray[np.bool_] | None = None
    words: Dictionary | None = None

    def __len__(self) -> int:
        return len(self.values)

    @property
    def nulls(self) -> int:
        """How many values are null."""
        return 0 if self.valid is None else int(len(self.valid) - np.count_nonzero(self.valid))

    def texts(self) -> list[str | None]:
        """The texts of a column of strings or JSON; None for null."""
        places, words = self.coded()
        # The place of null is -1, the last.
        known = [*words, None]
        return [known[place] for place in places.tolist()]

    def coded(self) -> tuple[NDArray[np.int64], list[str]]:
        """A column of text as places (-1 for null) in the list of its distinct texts, in the order of their codes."""
        codes = self.values.astype(np.int64)
        if self.valid is not None:
            codes[~self.valid] = -1
        # An all-null column may have no words.
        words, count = self.words, 0 if self.words is None else len(self.words)
        codes[codes >= count] = -1
        if words is None or not count:
            return codes, []
        if count <= 4 * len(codes):
            occurs = np.zeros(count + 1, np.bool_)
            occurs[codes] = True
            occurs[-1] = False
            used = np.flatnonzero(occurs)
            place = np.full(count + 1, -1, np.int64)
            place[used] = np.arange(len(used))
            return place[codes], words.some(used)
        used = distinct(codes[codes >= 0])
        return np.where(codes >= 0, np.searchsorted(used, codes), -1), words.some(used)

    def part(self, lo: int, hi: int) -> Column:
        """The rows ``lo`` to ``hi - 1``, in the memory of this column."""
        valid = None if self.valid is None else self.valid[lo:hi]
        return Column(self.type, self.values[lo:hi], valid, self.words)

    def take(self, index: NDArray[np.intp]) -> Column:
        """The rows at ``index``, in that order."""
        valid = None if self.valid is None else self.valid[index]
        return Column(self.type, self.values[index], valid, self.words)

    def to_list(self) -> list[object]:
        """Python values: bool, int, float, str; None for null; times and durations as int microseconds.

        Decimals are ``decimal.Decimal``, JSON is lists and dicts.
        """
        if self.type is Type.JSON:
            return [None if t is None else json.loads(t) for t in self.texts()]
        if self.type is Type.STRING:
            return list(self.texts())
        out: list[object]
        if self.type.places is not None:
            places = self.type.places
            out = [as_decimal(v, places) for v in self.values.tolist()]
        elif self.type is Type.BOOL:
            out = self.values.astype(np.bool_).tolist()
        else:
            out = self.values.tolist()
        if self.valid is not None:
            for i in np.flatnonzero(~self.valid).tolist():
                out[i] = None
        return out


@dataclass(frozen=True)
class Points:
    """A batch of points of one stream: a key and an event time each, and the columns that came with them.

    ``key`` is a STRING or INT column without nulls; ``time`` int64 microseconds UTC; all of one length.
    """

    key: Column
    time: NDArray[np.int64]
    columns: dict[str, Column]

    def __len__(self) -> int:
        return len(self.time)

    def take(self, index: NDArray[np.intp]) -> Points:
        """The points at ``index``, in that order."""
        return Points(self.key.take(index), self.time[index], {n: c.take(index) for n, c in self.columns.items()})
