"""Points of every kind, plain counterparts of a point file's statistics, and ways to open bytes."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from itertools import groupby, pairwise
from typing import Any

import numpy as np
from hypothesis import strategies as st

from operators.types import DECIMALS, STORED, Type
from runtime.columns import Column, Dictionary, Points
from runtime.pointfile import Buffers, PointFile, encode, sort_points
from runtime.pointfile.hashing import hash_bytes

DAY = 19_783
START = DAY * 86_400_000_000
KEY, TIME = "device", "ts"
INT64 = st.integers(-(2**63), 2**63 - 1)


def text_column(values: list[str | None]) -> Column:
    words = sorted({v for v in values if v is not None}, reverse=True)
    place = {w: i for i, w in enumerate(words)}
    codes = np.array([0 if v is None else place[v] for v in values], np.int32)
    return Column(Type.STRING, codes, _validity(values), Dictionary.of(words))


def column(kind: Type, values: list[object]) -> Column:
    """A column of Python values, None for null."""
    if kind is Type.STRING:
        return text_column(values)  # type: ignore[arg-type]
    plain = [0 if v is None else _stored(kind, v) for v in values]
    return Column(kind, np.array(plain, kind.dtype), _validity(values))


def _stored(kind: Type, value: Any) -> Any:
    return value if kind.places is None else int(value.scaleb(kind.places))


def _validity(values: list[object] | list[str | None]) -> np.ndarray | None:
    valid = np.array([v is not None for v in values], np.bool_)
    return None if valid.all() else valid


def open_bytes(data: bytes, name: str = "test.points") -> PointFile:
    return PointFile.open(lambda offset, length: data[offset : offset + length], len(data), name)


def packed(points: Points, block_rows: int = 32768, level: int = 3) -> bytes:
    return encode(sort_points(points), key=KEY, time=TIME, day=DAY, block_rows=block_rows, level=level)


def bits(kind: Type, value: object) -> object:
    """A value such that equal means equal in every bit."""
    return None if value is None else np.float64(value).tobytes() if kind is Type.FLOAT else value


def rows_of(points: Points) -> list[tuple[object, ...]]:
    """Each point as (key, time, value of each column), floats as their bytes."""
    columns = [[bits(c.type, v) for v in c.to_list()] for c in points.columns.values()]
    return list(zip(points.key.to_list(), points.time.tolist(), *columns, strict=True))


def file_rows(file: PointFile, buffers: Buffers | None = None) -> list[tuple[object, ...]]:
    """What a reader makes of a file, in the form of ``rows_of``."""
    buffers = buffers or Buffers()
    names = list(file.schema)
    keys = file.key_column(0, file.keys).to_list()
    loaded = file.load(names, 0, len(file.blocks))
    out: list[tuple[object, ...]] = []
    for b in range(len(file.blocks)):
        block = loaded.block(b, names, buffers)
        lengths = block.run_lengths.tolist()
        key = [k for i, n in enumerate(lengths) for k in [keys[block.first_key + i]] * n]
        columns = []
        for name in names:
            kind = file.schema[name]
            values, valid = block.columns[name]
            assert values.dtype == np.dtype(kind.dtype)
            assert valid.dtype == np.uint8
            words = file.dictionary(name).strings if kind is Type.STRING else []
            plain = np.broadcast_to(values, block.rows).tolist()
            there = np.broadcast_to(valid, block.rows).tolist()
            values_of = [words[v] if kind is Type.STRING and ok else v for v, ok in zip(plain, there, strict=True)]
            shown = [bool(v) if kind is Type.BOOL else v for v in values_of]
            if kind.places is not None:
                shown = [Decimal(v).scaleb(-kind.places) for v in shown]
            columns.append([bits(kind, v) if ok else None for v, ok in zip(shown, there, strict=True)])
        out += list(zip(key, block.time.tolist(), *columns, strict=True))
    return out


def plain_order(points: Points) -> list[tuple[object, ...]]:
    """``rows_of`` in file order, by the plainest sort."""

    def place(row: tuple[object, ...]) -> tuple[int, object, object]:
        key = row[0]
        raw = key.encode() if isinstance(key, str) else int(key).to_bytes(8, "little", signed=True)  # type: ignore[call-overload]
        return hash_bytes(raw), raw if isinstance(key, str) else key, row[1]

    return sorted(rows_of(points), key=place)


def largest_step(rows: list[tuple[object, ...]]) -> int:
    steps = [-1]
    for _, run in groupby(rows, key=lambda row: row[0]):
        times = [row[1] for row in run]
        steps += [b - a for a, b in pairwise(times)]  # type: ignore[operator]
    return max(steps)


_DECIMALS = st.integers(-99_999, 99_999).flatmap(lambda n: st.integers(0, 6).map(lambda s: n / 10**s))
_FLOAT_BITS = st.integers(0, 2**64 - 1).map(lambda n: np.array([n], np.uint64).view(np.float64)[0])
_ODD_FLOATS = st.sampled_from([0.0, -0.0, float("inf"), float("-inf"), float("nan"), 5e-324, -2.2e-308, 1e308, 2.0**53])


def _decimals(kind: Type) -> list[st.SearchStrategy[object]]:
    """Prices, amounts in whole units, and any count of units."""
    assert kind.places is not None
    places = kind.places
    units = [st.integers(-500, 100_000), st.integers(0, 90).map(lambda n: n * 10**places), INT64]
    return [u.map(lambda n: Decimal(n).scaleb(-places)) for u in units]


VALUES: dict[Type, list[st.SearchStrategy[object]]] = {
    Type.BOOL: [st.booleans()],
    Type.INT: [st.integers(-5, 300), st.integers(-5, 300).map(lambda n: n * 1000), st.integers(0, 2**33), INT64],
    Type.FLOAT: [_DECIMALS, st.integers(0, 300).map(float), _FLOAT_BITS, st.one_of(_DECIMALS, _ODD_FLOATS)],
    Type.STRING: [st.sampled_from(["up", "down", ""]), st.text(max_size=5)],
    Type.TIME: [st.integers(START, START + 10**7), INT64],
    Type.DURATION: [st.integers(0, 10**6).map(lambda n: n * 1000), INT64],
    **{kind: _decimals(kind) for kind in DECIMALS},
}
TIMES: list[Callable[[int], int]] = [
    lambda n: n % 86_400_000_000,
    lambda n: n % 86_400 * 1_000_000,
    lambda n: n % 3,
    lambda n: n % 40_000_000 * 1000,
]


@st.composite
def column_of(draw: st.DrawFn, kind: Type, rows: int) -> Column:
    """A column in one of the shapes that the encodings are for: noise, repeats, constants, nulls."""
    values = draw(st.sampled_from(VALUES[kind]))
    shape = draw(st.sampled_from(["each", "repeats", "constant", "null"]))
    if shape == "null":
        return column(kind, [None] * rows)
    if shape == "constant":
        drawn: list[object] = [draw(values)] * rows
    elif shape == "repeats":
        few = draw(st.lists(values, min_size=1, max_size=4))
        drawn = [few[i * len(few) // rows] for i in range(rows)]
    else:
        drawn = draw(st.lists(values, min_size=rows, max_size=rows))
    nulls = draw(st.sampled_from([0, 0, 2, 5]))
    if nulls:
        at = draw(st.lists(st.integers(0, nulls), min_size=rows, max_size=rows))
        drawn = [None if n == 0 else v for n, v in zip(at, drawn, strict=True)]
    return column(kind, drawn)


@st.composite
def any_points(draw: st.DrawFn, most: int = 60) -> Points:
    rows = draw(st.integers(1, most))
    if draw(st.booleans()):
        names = draw(st.lists(st.text(max_size=6), min_size=1, max_size=8))
        key = text_column([draw(st.sampled_from(names)) for _ in range(rows)])
    else:
        numbers = draw(st.lists(INT64, min_size=1, max_size=8))
        key = column(Type.INT, [draw(st.sampled_from(numbers)) for _ in range(rows)])
    shape = draw(st.sampled_from(TIMES))
    offsets = draw(st.lists(st.integers(0, 86_399_999_999), min_size=rows, max_size=rows))
    time = np.array([START + shape(n) for n in offsets], np.int64)
    kinds = draw(st.lists(st.sampled_from(STORED), max_size=4))
    return Points(key, time, {f"{kind.value} {i}": draw(column_of(kind, rows)) for i, kind in enumerate(kinds)})
