"""Answers of metrics as tables: typed arrays with a compact JSON form, and their lookup index."""

from __future__ import annotations

import hashlib
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import Any

import numpy as np
import zstandard
from numpy.typing import NDArray

from dataflow.expressions.node import value_text
from dataflow.json.errors import JsonFormError, short
from dataflow.json.reading import Reader
from dataflow.tables.table_sources import Column
from operators.errors import DataflowError
from operators.nearest import listed, meant
from operators.types import Type

MAX_ANSWER_ROWS, MAX_ANSWER_BYTES = 2_000_000, 512 << 20
"""Limits on the answer of a metric inside another: rows, and bytes of its columns."""

_PARTS = ("values", "valid", "offsets", "blob")


@dataclass(frozen=True)
class AnswerColumn:
    """One column: ``values`` are float64, or int64 (text: codes into ``words``); where ``valid`` is False it is null,
    and the value is 0."""

    name: str
    type: Type
    values: NDArray[Any]
    valid: NDArray[np.bool_]
    words: tuple[str, ...] = ()

    def cell(self, row: int) -> object:
        """The value of a row as messages show it."""
        if not self.valid[row]:
            return None
        value = self.values[row].item()
        return self.words[value] if self.type.is_text else bool(value) if self.type is Type.BOOL else value


class AnswerTable:
    """The answer of a metric: columns of equal length. Equal answers have equal ``digest``s."""

    what = "answer"
    """What messages call it."""

    def __init__(self, columns: Sequence[AnswerColumn]) -> None:
        self.columns = tuple(columns)
        self.rows = len(columns[0].values)

    @classmethod
    def empty(cls, types: Sequence[tuple[str, Type]]) -> AnswerTable:
        """A table without rows, with columns of these types."""
        none = np.zeros(0, np.bool_)
        return cls([AnswerColumn(n, t, np.zeros(0, _dtype(t)), none) for n, t in types])

    @classmethod
    def of(cls, columns: Sequence[Column]) -> AnswerTable:
        """The table of columns of a reference table: names, types and values."""
        out = []
        for name, kind, cells in columns:
            valid = np.array([cell is not None for cell in cells], np.bool_)
            words: dict[str, int] = {}
            codes = [words.setdefault(cell, len(words)) if isinstance(cell, str) else cell for cell in cells]
            values = [0 if cell is None else cell for cell in codes]
            out.append(AnswerColumn(name, kind, np.array(values, _dtype(kind)), valid, tuple(words)))
        table = cls(out)
        table.what = "reference table"
        return table

    @property
    def types(self) -> dict[str, Type]:
        """The types of the columns."""
        return {c.name: c.type for c in self.columns}

    def column(self, name: str, where: str) -> AnswerColumn:
        """One column; DataflowError naming ``where`` if there is none."""
        for c in self.columns:
            if c.name == name:
                return c
        there = list(self.types)
        raise DataflowError(
            f"{where}: the {self.what} has no column {name!r}; {meant(name, there, 'it')} has {listed(there, 20)}"
        )

    @cached_property
    def digest(self) -> str:
        """SHA-256 of names, types and values, hex."""
        out = hashlib.sha256()
        for c in self.columns:
            for part in (c.name.encode(), c.type.value.encode(), *(a.tobytes() for a in _arrays(c))):
                out.update(len(part).to_bytes(8, "little"))
                out.update(part)
        return out.hexdigest()

    @cached_property
    def _packed(self) -> dict[str, Any]:
        columns = [{"name": c.name, "type": c.type.value, "words": len(c.words)} for c in self.columns]
        data = b"".join(a.tobytes() for c in self.columns for a in _arrays(c))
        packed = b64encode(zstandard.ZstdCompressor(level=1).compress(data)).decode()
        return {"columns": columns, "rows": self.rows, "packed": packed, "bytes": len(data)}

    def to_dict(self) -> dict[str, Any]:
        """The table as JSON-ready objects."""
        return self._packed

    def __repr__(self) -> str:
        return f"answer of {self.rows:,} rows ({', '.join(self.types)}) {self.digest[:12]}"


def without_rows(packed: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON form of the table with the same columns and no rows."""
    types = [(c["name"], Type(c["type"])) for c in packed["columns"]]
    return AnswerTable.empty(types).to_dict()


def answer_in(reader: Reader, value: object, where: str) -> AnswerTable:
    """A table from its JSON form; JsonFormError for one that does not hold what it says."""
    d = reader.fields(value, where, ["columns", "rows", "packed", "bytes"])
    rows = reader.whole(d["rows"], f"{where}.rows", 0, MAX_ANSWER_ROWS)
    size = reader.whole(d["bytes"], f"{where}.bytes", 0, MAX_ANSWER_BYTES)
    listed_ = reader.rows(d["columns"], f"{where}.columns")
    if not listed_:
        raise JsonFormError(f"{where}.columns: expected at least one column")
    try:
        data = b64decode(d["packed"], validate=True)
        if zstandard.frame_content_size(data) != size:
            raise ValueError("the size is wrong")
        data = zstandard.ZstdDecompressor().decompress(data)
    except (TypeError, ValueError, Base64Error, zstandard.ZstdError) as error:
        raise JsonFormError(f"{where}.packed: {error}") from None
    columns, at = [], 0
    for i, item in enumerate(listed_):
        here = f"{where}.columns[{i}]"
        c = reader.fields(item, here, ["name", "type", "words"])
        name, words = reader.text(c["name"], here), reader.whole(c["words"], here, 0, rows)
        if c["type"] not in [t.value for t in Type]:
            raise JsonFormError(f"{here}.type: unknown type {short(c['type'])}")
        found, at = _column_at(data, at, name, Type(c["type"]), rows, words, here)
        columns.append(found)
    if at != len(data) or len({c.name for c in columns}) < len(columns):
        raise JsonFormError(f"{where}: the columns do not fit the data")
    return AnswerTable(columns)


def _dtype(kind: Type) -> type[np.generic]:
    return np.float64 if kind is Type.FLOAT else np.int64


def _arrays(c: AnswerColumn) -> list[NDArray[Any]]:
    """The arrays of a column, in the order in which they are packed."""
    out: list[NDArray[Any]] = [np.ascontiguousarray(c.values), np.ascontiguousarray(c.valid)]
    if c.type.is_text:
        encoded = [w.encode() for w in c.words]
        offsets = np.zeros(len(encoded) + 1, np.int64)
        np.cumsum([len(e) for e in encoded], out=offsets[1:])
        out += [offsets, np.frombuffer(b"".join(encoded), np.uint8)]
    return out


def _column_at(
    data: bytes, at: int, name: str, kind: Type, rows: int, words: int, where: str
) -> tuple[AnswerColumn, int]:
    """The column that begins at a place of the data, and where the next one does."""

    def taken(count: int, dtype: type[np.generic]) -> NDArray[Any]:
        nonlocal at
        begin, at = at, at + count * np.dtype(dtype).itemsize
        if count < 0 or at > len(data):
            raise JsonFormError(f"{where}: the data are too short")
        return np.frombuffer(data[begin:at], dtype).copy()  # kernels take arrays that may be written

    values, valid = taken(rows, _dtype(kind)), taken(rows, np.uint8)
    if valid.size and valid.max() > 1:
        raise JsonFormError(f"{where}: a validity is neither 0 nor 1")
    texts: tuple[str, ...] = ()
    if kind.is_text:
        offsets = taken(words + 1, np.int64)
        if offsets[0] != 0 or (np.diff(offsets) < 0).any():
            raise JsonFormError(f"{where}: the places of the texts are wrong")
        blob = taken(int(offsets[-1]), np.uint8).tobytes()
        edges = offsets.tolist()
        try:
            texts = tuple(blob[a:b].decode() for a, b in pairwise(edges))
        except UnicodeDecodeError as error:
            raise JsonFormError(f"{where}: {error}") from None
        if rows and (values.min() < 0 or values.max() >= max(1, words) or (not words and valid.any())):
            raise JsonFormError(f"{where}: a value is none of the texts")
    return AnswerColumn(name, kind, values, valid.view(np.bool_), texts), at


def key_words(c: AnswerColumn) -> NDArray[np.int64]:
    """The values of a key column as integers that are equal where the values are, as in a grouping; 0 for null."""
    if c.type is Type.FLOAT:
        return np.where(c.valid, c.values + 0.0, 0.0).view(np.int64)
    return np.where(c.valid, c.values, 0)


def _distinct(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """The distinct values, ascending; answers are mostly ordered, for which this is much faster than ``np.unique``."""
    ordered = np.sort(values, kind="stable")
    return ordered[np.append(True, ordered[1:] != ordered[:-1])] if len(ordered) else ordered


@dataclass(frozen=True, eq=False, repr=False)
class AnswerIndex:
    """An answer as rows look it up by the columns ``on``, of which each has one row for each combination.

    Level 0 numbers the distinct values of the first column, in ascending order. Each further level numbers the pairs of
    the number so far and that of the next column's value, ``number * sizes[level] + place``. ``order`` are the table's
    rows by the last number. ``nulls``: a null equals a null; else it equals nothing.
    """

    table: AnswerTable
    on: tuple[str, ...]
    nulls: bool
    distinct: tuple[NDArray[np.int64], ...]
    """By column: its values without null as integers (``key_words``), ascending; texts as codes."""

    pairs: tuple[NDArray[np.int64], ...]
    """From the second level on."""

    places: NDArray[np.int64]
    """The place of null by column; -1 where it equals nothing."""

    sizes: NDArray[np.int64]
    order: NDArray[np.intp]

    timed = False

    @classmethod
    def of(cls, table: AnswerTable, on: Sequence[str], nulls: bool, where: str) -> AnswerIndex:
        """``table`` by these columns; DataflowError naming ``where`` for two rows with the same values."""
        columns = [table.column(name, where) for name in on]
        rows = np.arange(table.rows)
        if not nulls:
            for c in columns:
                rows = rows[c.valid[rows]]
        number, distinct, pairs, places, sizes = np.zeros(len(rows), np.int64), [], [], [], []
        for i, c in enumerate(columns):
            words, valid = key_words(c)[rows], c.valid[rows]
            values = _distinct(words[valid])
            place = np.where(valid, np.searchsorted(values, words), len(values))
            has_null = not valid.all()
            distinct.append(values)
            places.append(len(values) if has_null else -1)
            sizes.append(len(values) + 1)
            if i == 0:
                number = place
            else:
                pair = number * sizes[i] + place
                pairs.append(_distinct(pair))
                number = np.searchsorted(pairs[-1], pair)
        order = np.argsort(number, kind="stable")
        if (twice := np.flatnonzero(np.diff(number[order]) == 0)).size:
            row = int(rows[order[twice[0]]])
            said = ", ".join(f"{c.name} = {value_text(str(c.type), c.cell(row))}" for c in columns)
            cure = "join on all the columns that it is grouped by, or group it by those of on= only"
            if table.what != AnswerTable.what:
                cure = "join on more of its columns, or keep one row of each"
            raise DataflowError(f"{where}: the {table.what} has several rows with {said}; {cure}")
        return cls(
            table, tuple(on), nulls, tuple(distinct), tuple(pairs), np.array(places, np.int64),
            np.array(sizes, np.int64), rows[order],
        )  # fmt: skip

    def texts(self, level: int) -> list[str] | None:
        """The distinct texts of a key column, in the order of their places; None for a column of another type."""
        c = self.table.column(self.on[level], "lookup")
        return [c.words[code] for code in self.distinct[level].tolist()] if c.type.is_text else None

    def picked(self, name: str) -> AnswerColumn:
        """A column in the order of the index."""
        c = self.table.column(name, "lookup")
        return AnswerColumn(name, c.type, c.values[self.order], c.valid[self.order], c.words)

    def __repr__(self) -> str:
        return f"AnswerIndex({self.table.digest}, {self.on!r}, {self.nulls})"

    def __str__(self) -> str:
        return f"{', '.join(n for n in self.table.types if n not in self.on)} by {', '.join(self.on)}"
