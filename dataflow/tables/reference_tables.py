"""Reference tables: small tables of attributes that are part of the metric, and their lookup index."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from dataflow.expressions.expr import expr
from dataflow.tables.table_sources import Cell, Column, columns_of_source
from dataflow.times.calendar_tables import known_time
from dataflow.times.durations import moment
from dataflow.values.constants import Literal
from dataflow.values.mistaken import shown
from operators.errors import DataflowError
from operators.kernels.times.periods import NEVER
from operators.nearest import meant
from operators.types import MAX_PLACES, Type, decimal

MAX_ROWS, MAX_COLUMNS, MAX_TABLE_BYTES = 100_000, 64, 4 * 1024 * 1024
"""Limits on a reference table; bytes are those of the canonical JSON, and limit all tables of a metric together."""

_LIMITS = (MAX_ROWS, MAX_COLUMNS, MAX_TABLE_BYTES)


@runtime_checkable
class Answer(Protocol):
    """The result of a query, as a reference table takes it."""

    def reference_columns(self) -> Sequence[Column]:
        """Names, types and values of its columns; DataflowError for one that no reference table can have."""


class ReferenceTable:
    """A small table: typed columns of equal length, with nulls. Equal tables have equal ``digest``s.

    ``source`` is one of

    - a mapping of names to lists of bool, int, float, Decimal, str, aware datetime, timedelta or None; a column has one
      type (integers next to floats become floats);
    - the path of a file of any form that an ingest reads: CSV and its dialects, JSON, Parquet, Arrow IPC, logs, also
      compressed, or alone in a zip archive;
    - a table: pandas, Polars, Arrow, a reader of record batches, a relation of DuckDB, whatever exports Arrow data;
    - the result of a query, as it is. (To join a metric whose answer may change, or has more rows, join the metric:
      ``.join(metric, on=...)``.)

    ``options`` are those of an ingest (``runtime.ingest.inputs.reading``), as far as they do not concern key and time:

    - the form: ``format``, ``preset``, ``encoding``; of CSV ``delimiter``, ``quote``, ``comment``, ``skip_rows``,
      ``names``; of JSON ``records``, ``columnar``, ``json``, ``depth``;
    - the columns: ``columns``, ``drop``, ``rename``, and ``type``, for example ``{"id": "string"}``;
    - the values: ``null`` (words for missing ones), ``decimal``, ``thousands``, ``time_format``, ``time_zone``,
      ``unit`` (of numbers that are declared as times).

    In text (CSV, JSON, logs) a column whose values are all ISO-8601 times, or of ``time_format``, is one of times. What
    an ingest would reject, put beside a column or take as missing is an error that names its place and the option to
    give. Raises DataflowError for that, for a table without columns, with columns of different lengths or mixed types,
    and beyond the limits; of a file no more is read than these allow.
    """

    def __init__(self, source: object, /, **options: Any) -> None:
        if isinstance(source, Answer):
            if options:
                raise DataflowError(f"a reference table of a result takes no options, got {next(iter(options))}=")
            self._set(tuple(source.reference_columns()))
            return
        if not isinstance(source, Mapping):
            self._set(tuple(columns_of_source(source, options, *_LIMITS)))
            return
        if options:
            raise DataflowError(f"a reference table of given columns takes no options, got {next(iter(options))}=")
        if not 0 < len(source) <= MAX_COLUMNS:
            raise DataflowError(f"a reference table takes a mapping of 1 to {MAX_COLUMNS} columns to lists of values")
        self._set(tuple(_column(name, values) for name, values in source.items()))

    @classmethod
    def of(cls, columns: Sequence[Column]) -> ReferenceTable:
        """The table of columns whose types are known."""
        self = cls.__new__(cls)
        self._set(tuple(columns))
        return self

    def _set(self, columns: tuple[Column, ...]) -> None:
        self.columns = columns
        self.rows = len(columns[0][2])
        for name, _, values in columns:
            if len(values) != self.rows:
                raise DataflowError(
                    f"reference table: the column {name!r} has {len(values)} values, {columns[0][0]!r} has {self.rows}"
                )
        if self.rows > MAX_ROWS:
            raise DataflowError(
                f"reference table: {self.rows:,} rows exceed the limit of {MAX_ROWS:,}; ingest the data as a "
                "stream, or join the metric that it is the answer of"
            )
        if self.bytes > MAX_TABLE_BYTES:
            raise DataflowError(
                f"reference table: {self.bytes:,} bytes exceed the limit of {MAX_TABLE_BYTES:,}; drop columns or rows"
            )

    @classmethod
    def from_csv(cls, path: str | Path, types: Mapping[str, str] | None = None) -> ReferenceTable:
        """The table of a CSV file with a header. Empty cells are null.

        A column is bool, int64, float64 or time if all its cells parse as that type, else string; ``types`` overrides
        this by column. Raises DataflowError that names the file and the line of an error.
        """
        return cls.of(columns_of_source(path, {"format": "csv", "type": types}, *_LIMITS, may_mix=True))

    @cached_property
    def _text(self) -> str:
        return json.dumps(self.to_dict(), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)

    @property
    def bytes(self) -> int:
        """The size of the canonical JSON."""
        return len(self._text.encode())

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the canonical JSON, hex."""
        return hashlib.sha256(self._text.encode()).hexdigest()

    def to_dict(self) -> dict[str, Any]:
        """The table as JSON-ready objects."""
        return {"columns": [{"name": n, "type": t.value, "values": list(values)} for n, t, values in self.columns]}

    def column(self, name: str, where: str) -> tuple[Type, tuple[Cell, ...]]:
        """Type and values of one column; DataflowError naming ``where`` if there is none."""
        for n, kind, values in self.columns:
            if n == name:
                return kind, values
        there = [n for n, _, _ in self.columns]
        raise DataflowError(
            f"{where}: the reference table has no column {name!r}; {meant(name, there, 'it')} has {', '.join(there)}"
        )

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ReferenceTable) and self.digest == other.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        return f"table of {self.rows} rows ({', '.join(n for n, _, _ in self.columns)}) {self.digest[:12]}"


def _column(name: str, values: Sequence[Literal]) -> Column:
    if not isinstance(name, str) or not name:
        raise DataflowError(f"reference table: {name!r} is not a column name")
    if isinstance(values, str):
        raise DataflowError(f"reference table: the column {name!r} takes a list of values, got the string {values!r}")
    values = list(values)
    if any(isinstance(v, Decimal) for v in values):
        return _decimals(name, values)
    cells = []
    for v in values:
        e = expr(v)
        if e.fn != "lit":
            raise DataflowError(f"reference table: the column {name!r} takes constants, got an expression")
        cells.append((str(e.option("type")), e.option("value")))
    kinds = {k for k, _ in cells} - {"null"}
    if kinds == {"int64", "float64"}:
        kinds = {"float64"}
        cells = [(k, float(str(v)) if v is not None else None) for k, v in cells]
    if len(kinds) != 1:
        what = "only nulls" if not kinds else " and ".join(sorted(kinds))
        raise DataflowError(f"reference table: the column {name!r} contains {what}; a column has one type")
    kind = Type(kinds.pop())
    if kind is Type.FLOAT and any(isinstance(v, float) and not math.isfinite(v) for _, v in cells):
        raise DataflowError(f"reference table: the column {name!r} contains numbers that are not finite; use None")
    return name, kind, tuple(v for _, v in cells)  # type: ignore[misc]


def _decimals(name: str, values: Sequence[Literal | Decimal]) -> Column:
    """A column of decimals, with as many places as the longest has; integers may be among them."""
    where = f"reference table: the column {name!r} of decimals"
    found: list[Decimal | None] = []
    for v in values:
        if v is not None and (isinstance(v, bool) or not isinstance(v, int | Decimal)):
            raise DataflowError(f"{where} contains {shown(v)}; a column has one type")
        found.append(None if v is None else Decimal(v))
    there = [v for v in found if v is not None]
    exponents = [v.as_tuple().exponent for v in there]
    places = max(-e if isinstance(e, int) else MAX_PLACES + 1 for e in [0, *exponents])
    units: list[int | None] = []
    if places <= MAX_PLACES and all(v.adjusted() < 19 for v in there):
        ratios = [None if v is None else v.as_integer_ratio() for v in found]  # exact, whatever the context says
        units = [None if r is None else r[0] * 10**places // r[1] for r in ratios]
    if not units or any(n is not None and not -(2**63) <= n < 2**63 for n in units):
        raise DataflowError(f"{where}: a decimal is finite, has at most {MAX_PLACES} places and fits in 64 bits")
    return name, decimal(places), tuple(units)


@dataclass(frozen=True)
class Periods:
    """The rows of a lookup, sorted by (key, start); see ``operators.kernels.times.periods``."""

    offsets: NDArray[np.int64]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]


@dataclass(frozen=True, eq=False, repr=False)
class Index:
    """A reference table as rows look it up: by ``key`` and, if ``timed``, by time.

    ``keys`` are the distinct keys in ascending order, ``order`` the table's rows in the order of (key, valid from),
    without rows that repeat the previous one (or, with ``merge``, with touching or overlapping periods merged).
    """

    table: ReferenceTable
    key: str
    valid_from: str | None
    valid_to: str | None
    keys: tuple[str | int, ...]
    kind: Type
    order: tuple[int, ...]
    rows: Periods

    @property
    def timed(self) -> bool:
        """Whether the time decides as well."""
        return self.valid_from is not None or self.valid_to is not None

    @property
    def attributes(self) -> tuple[tuple[str, Type], ...]:
        """Names and types of the columns that a join adds."""
        own = (self.key, self.valid_from, self.valid_to)
        return tuple((n, t) for n, t, _ in self.table.columns if n not in own)

    def values(self, name: str) -> list[Cell]:
        """One column, in the order of the index."""
        _, cells = self.table.column(name, "lookup")
        return [cells[i] for i in self.order]

    def periods(self) -> Periods:
        """The rows."""
        return self.rows

    def __repr__(self) -> str:
        return f"Index({self.table.digest}, {self.key!r}, {self.valid_from!r}, {self.valid_to!r}, {len(self.order)})"

    def __str__(self) -> str:
        valid = f", valid from {self.valid_from or 'ever'} to {self.valid_to or 'the next'}" if self.timed else ""
        return f"{self.table!r} by {self.key}{valid}"


def check_times(table: ReferenceTable, where: str, periods: Sequence[str | None] = ()) -> None:
    """DataflowError naming ``where`` for a time outside of the calendar's years. The columns ``periods``, which
    begin and end periods, may have any time; rows get none of them."""
    for name, column, values in table.columns:
        if column is Type.TIME and name not in periods:
            for v in values:
                if isinstance(v, int):
                    known_time(v, f"{where}: the column {name!r} of a reference table")


@lru_cache(maxsize=32)
def indexed(
    table: ReferenceTable, key: str, valid_from: str | None, valid_to: str | None, where: str, merge: bool = False
) -> Index:
    """``table`` by ``key`` and validity; DataflowError naming ``where`` for nulls, duplicates and overlaps.

    A null start or end is open; without ``valid_to`` a row is valid until its key's next one.
    """
    kind, cells = table.column(key, where)
    if kind not in (Type.STRING, Type.INT):
        hint = "; a number of days or months is one, and valid_from= is a time" if kind is Type.TIME else ""
        raise DataflowError(f"{where}: the key {key!r} of a reference table is a string or int64, got {kind}{hint}")
    if None in cells:
        raise DataflowError(f"{where}: the key {key!r} is null in row {cells.index(None) + 1} of the reference table")
    if valid_from is not None and valid_from == valid_to:
        raise DataflowError(f"{where}: valid_from and valid_to are the same column")
    check_times(table, where, (valid_from, valid_to))
    starts = _times(table, valid_from, -NEVER, where)
    ends = _times(table, valid_to, NEVER, where)
    order = sorted(range(table.rows), key=lambda i: (cells[i], starts[i]))
    if valid_from is not None and valid_to is None:
        for i, j in itertools.pairwise(order):
            ends[i] = starts[j] if cells[i] == cells[j] else NEVER
            if cells[i] == cells[j] and starts[i] == starts[j]:
                raise DataflowError(_clash(table, key, i, j, valid_from, where))
    same = [v for n, _, v in table.columns if n not in (valid_from, valid_to)]
    kept: list[int] = []
    for i in order:
        if starts[i] >= ends[i]:
            raise DataflowError(
                f"{where}: row {i + 1} of the reference table ({key} {cells[i]!r}) must end after it starts"
            )
        if kept and cells[kept[-1]] == cells[i]:
            last = kept[-1]
            if merge and starts[i] <= ends[last]:
                ends[last] = max(ends[last], ends[i])
                continue
            if starts[i] < ends[last]:
                raise DataflowError(_clash(table, key, last, i, valid_from, where))
            if starts[i] == ends[last] and all(v[i] == v[last] for v in same):
                # Nothing changes here, so nothing is cut.
                ends[last] = ends[i]
                continue
        kept.append(i)
    keys: list[str | int] = []
    offsets: list[int] = []
    for n, i in enumerate(kept):
        cell = cells[i]
        assert isinstance(cell, str | int)
        if not keys or keys[-1] != cell:
            keys.append(cell)
            offsets.append(n)
    rows = Periods(
        np.array([*offsets, len(kept)], np.int64),
        np.array([starts[i] for i in kept], np.int64),
        np.array([ends[i] for i in kept], np.int64),
    )
    return Index(table, key, valid_from, valid_to, tuple(keys), kind, tuple(kept), rows)


def _clash(table: ReferenceTable, key: str, a: int, b: int, valid_from: str | None, where: str) -> str:
    name = table.column(key, where)[1][b]
    cure = "say when each is valid (valid_from=, valid_to=)" if valid_from is None else "end one first"
    return f"{where}: rows {a + 1} and {b + 1} of the reference table are both valid for {key} {name!r}; {cure}"


def _times(table: ReferenceTable, name: str | None, default: int, where: str) -> list[int]:
    if name is None:
        return [default] * table.rows
    kind, cells = table.column(name, where)
    out = []
    for i, c in enumerate(cells):
        try:
            if kind not in (Type.TIME, Type.STRING):
                raise ValueError(c)
            out.append(default if c is None else c if isinstance(c, int) else moment(str(c)))
        except ValueError:
            raise DataflowError(
                f"{where}: {name} is {c!r} in row {i + 1} of the reference table; write times like '2024-03-01'"
            ) from None
    return out
