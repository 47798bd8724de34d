"""Columns of Python values: of the type of most of them, with the others in twins."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from typing import Any

import numpy as np
import orjson

from operators.kernels.times.iso_times import LOCAL, ZONED
from operators.types import MAX_PLACES, Type, decimal
from runtime.ingest.columns.batch import EXACT
from runtime.ingest.tabular.decoded import (
    Decoded,
    Mask,
    WordsOf,
    all_null,
    mask_of,
    of_texts,
    reals,
    twin_name,
    with_texts,
)
from runtime.ingest.tabular.value_texts import binary_text, iso_duration

_EPOCH, _EPOCH_UTC = datetime(1970, 1, 1), datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_OPTIONS = orjson.OPT_NON_STR_KEYS | orjson.OPT_SERIALIZE_NUMPY
_LONGEST = 80
"""Digits of a decimal, zeros included, that are worth looking at: int64 has 19."""

NUMBER, DECIMAL, JSON = "number", "decimal", "json"
_KINDS: dict[type, str] = {
    bool: Type.BOOL, int: NUMBER, float: NUMBER, str: Type.STRING, datetime: Type.TIME, timedelta: Type.DURATION,
    Decimal: DECIMAL, dict: JSON, list: JSON,
}  # fmt: skip

Cells = dict[int, Any]
"""Values by row."""


@dataclass(frozen=True)
class Objects:
    """A part of a column of Python values, and the kind of most values of all of it."""

    values: Sequence[object]
    main: str | None

    @classmethod
    def of(cls, values: Sequence[object]) -> Objects:
        """All of a column."""
        return cls(values, main_kind(values))

    def __getitem__(self, part: slice) -> Objects:
        return Objects(self.values[part], self.main)

    def __len__(self) -> int:
        return len(self.values)


def main_kind(values: Iterable[object]) -> str | None:
    """The kind of most values, integers and floats together; of two as frequent, that of the first one. None without
    values. Decimals are named with their places: ``decimal(2)``."""
    kinds: Counter[str] = Counter()
    places = 0
    for value in map(_plain, values):
        if value is not None:
            kinds[_KINDS[type(value)]] += 1
            if type(value) is Decimal and value.is_finite():
                places = max(places, min(-int(value.as_tuple().exponent), MAX_PLACES))
    if not kinds:
        return None
    found = kinds.most_common(1)[0][0]
    return decimal(places).value if found == DECIMAL else found


def of_objects(values: Sequence[object], name: str, words: WordsOf, main: str | None = None) -> Decoded:
    """The column of these values, of the kind ``main`` (without it, that of most of them); None is null."""
    rows = len(values)
    types = set(map(type, values)) - {type(None)}
    if types == {str} and main in (None, Type.STRING):
        return of_texts(values, name, words)  # type: ignore[arg-type]
    if types in ({int}, {float}) and main in (None, NUMBER):
        valid = np.array([v is not None for v in values], np.bool_)
        plain: list[Any] = [0 if v is None else v for v in values]
        with suppress(OverflowError):
            if types == {float}:
                return reals(np.array(plain, np.float64), mask_of(valid))
            return Decoded(Type.INT, np.array(plain, np.int64), mask_of(valid))
    main = main or main_kind(values)
    if main is None:
        return all_null(rows)
    cells: dict[str, Cells] = {}
    for row, value in enumerate(map(_plain, values)):
        if value is not None:
            cells.setdefault(_KINDS[type(value)], {})[row] = value
    mine = cells.pop(DECIMAL if main.startswith(DECIMAL) else main, {})
    if main.startswith(DECIMAL):
        numbers = cells.get(NUMBER, {})
        mine |= {row: Decimal(numbers.pop(row)) for row in [row for row, v in numbers.items() if type(v) is int]}
    column, others = _column(main, mine, rows, name, words)
    for found in cells.values():
        others |= found
    return _with_twins(column, others, name, words)


def units(value: Decimal, places: int) -> int | None:
    """The decimal as a count of 10**-places; None if it is none, or does not fit in int64."""
    sign, digits, exponent = value.as_tuple()
    shift = int(exponent) + places
    if len(digits) + abs(shift) > _LONGEST:
        return None if any(digits) else 0
    number = int("".join(map(str, digits)))
    whole, rest = divmod(number * 10 ** max(shift, 0), 10 ** max(-shift, 0))
    whole = -whole if sign else whole
    return None if rest or not _fits(whole) else whole


def _column(main: str, mine: Cells, rows: int, name: str, words: WordsOf) -> tuple[Decoded, Cells]:
    """The column of the values of its own kind, and those of them that it cannot hold."""
    if main == JSON:
        return of_texts(_spread(mine, rows, json_text), name, words, "objects and lists as JSON"), {}
    if main == Type.STRING:
        return of_texts(_spread(mine, rows, str), name, words), {}
    if main == NUMBER and any(type(v) is float for v in mine.values()):
        fit = {row: v for row, v in mine.items() if type(v) is float or abs(v) <= EXACT}
        return _floats(fit, rows), {row: v for row, v in mine.items() if row not in fit}
    if main == NUMBER:
        fit = {row: v for row, v in mine.items() if _fits(v)}
        return _dense(Type.INT, fit, rows), {row: v for row, v in mine.items() if row not in fit}
    kind = Type(main)
    if kind is Type.TIME:
        naive = all(v.tzinfo is None for v in mine.values())
        start = _EPOCH if naive else _EPOCH_UTC
        fit = {row: (v - start) // _MICROSECOND for row, v in mine.items() if naive or v.tzinfo is not None}
        zone = LOCAL if naive else ZONED
        return replace(_dense(kind, fit, rows), zone=zone), {row: v for row, v in mine.items() if row not in fit}
    if kind is Type.DURATION:
        counts = {row: v // _MICROSECOND for row, v in mine.items()}
        fit = {row: n for row, n in counts.items() if _fits(n)}
        return _dense(kind, fit, rows), {row: v for row, v in mine.items() if row not in fit}
    if kind.places is not None:
        found = {row: units(v, kind.places) for row, v in mine.items() if v.is_finite()}
        column = _dense(kind, {row: n for row, n in found.items() if n is not None}, rows)
        nan, infinite = ([row for row, v in mine.items() if test(v)] for test in (Decimal.is_nan, Decimal.is_infinite))
        column = replace(column, nan=_at(nan, rows), infinite=_at(infinite, rows))
        return column, {row: mine[row] for row, n in found.items() if n is None}
    return _dense(kind, mine, rows), {}


def _with_twins(column: Decoded, others: Cells, name: str, words: WordsOf) -> Decoded:
    """The column with values of other kinds in its twins; what has none becomes text."""
    rows = len(column)
    twins: dict[str, Decoded] = {}
    found: dict[str, Cells] = {}
    for row, value in others.items():
        kind = type(value)
        suffix = {bool: "bool", float: "float64", dict: JSON, list: JSON}.get(kind, "string")
        found.setdefault("int64" if kind is int and _fits(value) else suffix, {})[row] = value
    for suffix, cells in found.items():
        if suffix == JSON:
            twins[JSON] = of_texts(_spread(cells, rows, json_text), twin_name(name, JSON), words)
        elif suffix == "float64":
            real = _floats(cells, rows)
            column = replace(
                column, nan=_either(column.nan, real.nan), infinite=_either(column.infinite, real.infinite)
            )
            if real.valid is None or real.valid.any():
                twins[suffix] = replace(real, nan=None, infinite=None)
        elif suffix != "string":
            twins[suffix] = _dense(Type(suffix), cells, rows)
    column = replace(column, twins=twins)
    return with_texts(column, {row: _text(v) for row, v in found.get("string", {}).items()}, name, words)


def json_text(value: object) -> str:
    """The value as JSON; what JSON has no form for is null (NaN) or text."""
    try:
        return orjson.dumps(value, default=_jsonable, option=_OPTIONS).decode()
    except TypeError:  # an integer beyond 64 bits
        return json.dumps(value, default=_jsonable, ensure_ascii=False, separators=(",", ":"))


def _jsonable(value: object) -> object:
    return list(value) if isinstance(value, set | frozenset) else _text(value)


def _plain(value: Any) -> Any:
    """The value as one of the types of ``_KINDS``; None for null."""
    kind = type(value)
    if kind in _KINDS or value is None:
        return value
    if kind.__name__ in ("NAType", "NaTType"):
        return None
    if isinstance(value, Enum):
        return _plain(value.value)
    if isinstance(value, np.generic):
        is_time = value.dtype.kind in "mM"
        found = (value.astype(f"{value.dtype.kind}8[us]") if is_time else value).item()
        return str(value) if type(found) is kind or (is_time and type(found) is int) else _plain(found)
    if isinstance(value, datetime):  # pandas' Timestamp, for example
        return datetime.combine(value.date(), value.timetz())
    if isinstance(value, timedelta):
        return timedelta(value.days, value.seconds, value.microseconds)
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day)
    known: Any
    for known in (str, int, float, Decimal, dict):
        if isinstance(value, known):
            return known(value)
    if isinstance(value, np.ndarray | list | tuple | set | frozenset):
        return list(value)
    return _text(value)


def _text(value: Any) -> str:
    if isinstance(value, date | time):
        return value.isoformat()
    if isinstance(value, timedelta):
        return iso_duration(value // _MICROSECOND, "us")
    if isinstance(value, Decimal):
        return format(value, "f") if len(value.as_tuple().digits) + abs(value.adjusted()) < 1000 else str(value)
    return binary_text(bytes(value)) if isinstance(value, bytes | bytearray | memoryview) else str(value)


def _fits(value: int) -> bool:
    return -(2**63) <= value < 2**63


def _spread(cells: Cells, rows: int, text: Callable[[Any], str]) -> list[str | None]:
    """The texts of the values, and None in the other rows."""
    out: list[str | None] = [None] * rows
    for row, value in cells.items():
        out[row] = text(value)
    return out


def _dense(kind: Type, cells: Mapping[int, Any], rows: int) -> Decoded:
    values, valid = np.zeros(rows, kind.dtype), np.zeros(rows, np.bool_)
    at = list(cells)
    values[at], valid[at] = list(cells.values()), True
    return Decoded(kind, values, mask_of(valid))


def _floats(cells: Mapping[int, Any], rows: int) -> Decoded:
    column = _dense(Type.FLOAT, cells, rows)
    return reals(column.values, column.valid)


def _at(rows: Sequence[int], size: int) -> Mask | None:
    """A mark in each of these rows; None for none."""
    if not rows:
        return None
    out = np.zeros(size, np.bool_)
    out[list(rows)] = True
    return out


def _either(a: Mask | None, b: Mask | None) -> Mask | None:
    return b if a is None else a if b is None else a | b
