"""Columns of Python values of any kinds: most of them give the type, no other value is lost."""

from __future__ import annotations

import json
import math
from collections import Counter
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import numpy as np
import pandas as pd
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from operators.kernels.times.iso_times import LOCAL, ZONED
from operators.types import DECIMALS, Type
from runtime.ingest.columns.interned_strings import InternedStrings
from runtime.ingest.tabular.python_values import main_kind, of_objects, units
from tests.runtime.ingest.lake import Lake, T
from tests.runtime.ingest.tabular.arrow_cases import with_values_of_twins

EPOCH = datetime(1970, 1, 1)
VALUES = st.one_of(
    st.none(), st.booleans(), st.integers(-10, 10), st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=3),
    st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-(10**12), max_value=10**12),
    st.datetimes(), st.timedeltas(), st.lists(st.integers(0, 3), max_size=2),
    st.dictionaries(st.sampled_from(["a", "b"]), st.integers(0, 3)), st.binary(max_size=3),
)  # fmt: skip


def group(value: Any) -> str:
    """The kind of a value; bytes are text."""
    names = {bool: "bool", int: "number", float: "number", str: "string", bytes: "string", Decimal: "decimal"}
    names |= {datetime: "time", timedelta: "duration", list: "json", dict: "json"}
    return names[type(value)]


def of(values: list[Any], main: str | None = None) -> tuple[Any, list[Any]]:
    words: dict[str, InternedStrings] = {}
    column = of_objects(values, "x", lambda n: words.setdefault(n, InternedStrings()), main)
    return column, with_values_of_twins(column, "x", words)


@given(st.lists(VALUES, max_size=12))
@example([timedelta(days=106_751_992), timedelta(1)])
def test_every_value_is_somewhere(values: list[Any]) -> None:
    column, got = of(values)
    present = [v for v in values if v is not None]
    if not present:
        assert got == [None] * len(values)
        return
    counts = Counter(map(group, present))
    most = max(counts.values())
    main = next(group(v) for v in present if counts[group(v)] == most)
    real = main == "number" and any(type(v) is float for v in present)
    for value, found in zip(values, got, strict=True):
        if value is None or (type(value) is float and not math.isfinite(value)):
            assert found is None
        elif type(value) is bool:
            assert found == (value if main == "bool" else ("bool", value))
        elif type(value) is int and main == "decimal" and -(2**63) <= value * 10**column.type.places < 2**63:
            assert found == value
        elif type(value) is int and main == "number" and not real and -(2**63) <= value < 2**63:
            assert (type(found), found) == (int, value)
        elif type(value) is int and main == "number" and real and abs(value) <= 2**53:
            assert (type(found), found) == (float, value)
        elif type(value) is int:
            assert found == (("int64", value) if -(2**63) <= value < 2**63 else ("string", str(value)))
        elif type(value) is float:
            assert found == (value if main == "number" else ("float64", value))
        elif type(value) is str:
            assert found == (value if main == "string" else ("string", value))
        elif type(value) is Decimal:
            assert found == value if main == "decimal" else found == ("string", format(value, "f"))
        elif type(value) is datetime:
            assert found == (
                (value - EPOCH) // timedelta(microseconds=1) if main == "time" else ("string", value.isoformat())
            )
        elif type(value) is timedelta:
            count = value // timedelta(microseconds=1)
            if main == "duration" and -(2**63) <= count < 2**63:
                assert found == count
            else:
                assert (found[0], Decimal(found[1][2:-1])) == ("string", Decimal(count).scaleb(-6))
        elif type(value) in (list, dict):
            text = found if main == "json" else found[1]
            assert json.loads(text) == value
            assert main == "json" or found[0] == "json"


@given(st.lists(VALUES, max_size=12), st.integers(0, 12))
def test_a_part_is_typed_as_the_whole(values: list[Any], at: int) -> None:
    main = main_kind(values)
    whole, got = of(values, main)
    (first, a), (second, b) = of(values[:at], main), of(values[at:], main)
    assert [v[1] if isinstance(v, tuple) else v for v in a + b] == [v[1] if isinstance(v, tuple) else v for v in got]
    numbers = (Type.INT, Type.FLOAT)
    for part in (first, second):
        assert part.type is whole.type or {part.type, whole.type} <= {*numbers} or not any(v is not None for v in a + b)


@given(st.decimals(allow_nan=False, allow_infinity=False), st.integers(0, 9))
def test_units(value: Decimal, places: int) -> None:
    sign, digits, exponent = value.as_tuple()
    found = units(value, places)
    if abs(exponent) < 60:
        numerator = int("".join(map(str, digits))) * (-1 if sign else 1) * 10 ** max(exponent + places, 0)
        rest = numerator % 10 ** max(-exponent - places, 0)
        exact = numerator // 10 ** max(-exponent - places, 0)
        assert found == (exact if rest == 0 and -(2**63) <= exact < 2**63 else None)
    else:
        assert found is None or not any(digits)


class Colour(Enum):
    RED = "red"


BERLIN = timezone(timedelta(hours=1))
KNOWN: list[tuple[Any, Any]] = [
    (np.int32(5), 5),
    (np.float32(0.5), 0.5),
    (np.str_("x"), "x"),
    (np.bool_(True), True),
    (np.datetime64("2024-01-01T00:00:00.5"), 1704067200_500000),
    (np.datetime64("NaT"), None),
    (np.timedelta64(3, "s"), 3_000_000),
    (pd.NaT, None),
    (pd.NA, None),
    (pd.Timestamp("2024-01-01", tz="Europe/Berlin"), 1704063600_000000),
    (pd.Timedelta("1s"), 1_000_000),
    (datetime(2024, 1, 1, tzinfo=BERLIN), 1704063600_000000),
    (datetime.max.replace(tzinfo=UTC), 253402300799_999999),
    (date(2024, 1, 1), 1704067200_000000),
    (time(13, 5, 1, 1), "13:05:01.000001"),
    (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
    (Colour.RED, "red"),
    (b"\xff", "\\xff"),
    (bytearray(b"ab"), "ab"),
    ((1, 2), "[1,2]"),
    (np.array([1, 2]), "[1,2]"),
    ({"a": {"b": [1, None]}}, '{"a":{"b":[1,null]}}'),
    ({1: Decimal("1.50")}, '{"1":"1.50"}'),
    ({"big": 2**70}, '{"big":1180591620717411303424}'),
    ("\ud800", "\\ud800"),
    (Decimal("12.30"), Decimal("12.30")),
    (Decimal("NaN"), None),
    (3 + 4j, "(3+4j)"),
]


@pytest.mark.parametrize(("value", "expected"), KNOWN, ids=lambda v: repr(v)[:30])
def test_one_value(value: Any, expected: Any) -> None:
    column, got = of([value, None])
    assert got == [expected, None]
    assert not column.twins


def test_decimals_have_the_most_places() -> None:
    column, got = of([Decimal("1.5"), Decimal("2"), Decimal("0.125"), 7, 0.5, Decimal("1e-12"), Decimal("1e30")])
    assert column.type is DECIMALS[9]
    assert got[:4] == [Decimal("1.5"), Decimal(2), Decimal("0.125"), Decimal(7)]
    assert got[4:] == [("float64", 0.5), ("string", "0.000000000001"), ("string", "1" + "0" * 30)]
    column, got = of([Decimal("NaN"), Decimal("Infinity"), Decimal("1.5")])
    assert column.nan.tolist() == [True, False, False]
    assert column.infinite.tolist() == [False, True, False]


def test_times_with_and_without_a_zone() -> None:
    naive, aware = datetime(2024, 1, 1), datetime(2024, 1, 1, tzinfo=BERLIN)
    column, _ = of([naive, naive])
    assert column.zone == LOCAL
    column, got = of([naive, aware, aware])
    assert column.zone == ZONED
    assert got == [("string", "2024-01-01T00:00:00"), *[1704063600_000000] * 2]


def test_lists_of_anything_are_taken(lake: Lake) -> None:
    lake.ingest(
        {"k": ["a"] * 4, "t": [T, T + 1, T + 2, T + 3], "x": [1, True, {"q": 1}, "text"], "y": [0.5, 2**60, 3, None]}
    )
    assert lake.rows() == [
        {"k": "a", "t": T * 1000, "x": 1, "y": 0.5},
        {"k": "a", "t": (T + 1) * 1000, "x#bool": True, "y#int64": 2**60},
        {"k": "a", "t": (T + 2) * 1000, "x#json": '{"q":1}', "y": 3.0},
        {"k": "a", "t": (T + 3) * 1000, "x#string": "text"},
    ]


def test_numpy_arrays_of_anything() -> None:
    from runtime.ingest.tabular.arrays import from_numpy

    def values(array: Any) -> list[Any]:
        words: dict[str, InternedStrings] = {}
        column = from_numpy(array, "x", lambda n: words.setdefault(n, InternedStrings()))
        return with_values_of_twins(column, "x", words)

    assert values(np.array([1, 2**63, 2**64 - 1], np.uint64)) == [1, ("string", str(2**63)), ("string", str(2**64 - 1))]
    assert values(np.array([1.5, np.inf, np.nan], np.float16)) == [1.5, None, None]
    assert values(np.array(["2024", "NaT"], "M8[Y]")) == [1704067200_000000, None]
    assert values(np.array([300_000 - 1970], "M8[Y]")) == [("string", "300000")]
    assert values(np.array([2**60, 1], "m8[s]")) == [("string", f"PT{2**60}S"), 1_000_000]
    assert values(np.array([14, "NaT"], "m8[M]")) == ["P1Y2M", None]
    assert values(np.array([b"ab", b"\xc3\xa9", b"\xff"])) == ["ab", "é", "\\xff"]
    assert values(np.array(["\ud800", "é"])) == ["\\ud800", "é"]
    wide = np.array([np.longdouble(1) / 3, 0.5], np.longdouble)
    assert values(wide) == [("string", str(wide[0])), 0.5]
    assert from_numpy(np.zeros(2, [("a", "i4")]), "x", lambda n: InternedStrings()).left_out
    assert values(np.array([1 + 2j])) == ["(1+2j)"]
