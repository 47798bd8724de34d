"""Numbers in columns of another type: exact, or in a twin; Fractions decide."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.types import DECIMALS, Type
from runtime.ingest.columns.interned_strings import InternedStrings
from runtime.ingest.tabular.decoded import Decoded
from runtime.ingest.tabular.fitting import fitted
from tests.runtime.ingest.lake import Lake, T
from tests.runtime.ingest.tabular.arrow_cases import with_values_of_twins

WHOLE = [Type.INT, *DECIMALS]
UNITS = st.one_of(
    st.integers(-1000, 1000), st.integers(-1000, 1000).map(lambda n: n * 10**6), st.integers(-(2**63), 2**63 - 1)
)
REALS = st.one_of(st.integers(-(10**6), 10**6).map(lambda n: n / 100), st.floats(allow_nan=False, allow_infinity=False))


def places(kind: Type) -> int:
    return kind.places or 0


def fit(kind: Type, values: list[Any], goal: Type) -> tuple[Decoded, list[Any]]:
    words: dict[str, InternedStrings] = {}
    valid = np.array([v is not None for v in values], np.bool_)
    column = Decoded(kind, np.array([0 if v is None else v for v in values], kind.dtype), valid)
    found = fitted(column, goal, "x", lambda n: words.setdefault(n, InternedStrings()))
    assert found is not None
    assert found.type is goal
    return found, with_values_of_twins(found, "x", words)


@given(st.sampled_from(WHOLE), st.sampled_from(WHOLE), st.lists(st.none() | UNITS, max_size=8))
def test_units(kind: Type, goal: Type, values: list[int | None]) -> None:
    _, got = fit(kind, values, goal)
    for value, found in zip(values, got, strict=True):
        if value is None:
            assert found is None
            continue
        number = Fraction(value, 10 ** places(kind))
        exact = number * 10 ** places(goal)
        if exact.denominator == 1 and -(2**63) < exact < 2**63:
            assert Fraction(found) == number
        else:
            assert found[0] == "string"
            assert Fraction(found[1]) == number
            assert len(found[1].partition(".")[2]) == places(kind)


@given(st.sampled_from(DECIMALS), st.lists(st.none() | UNITS, max_size=8))
def test_decimals_as_floats(kind: Type, values: list[int | None]) -> None:
    _, got = fit(kind, values, Type.FLOAT)
    for value, found in zip(values, got, strict=True):
        if value is None:
            assert found is None
        elif isinstance(found, tuple):
            assert abs(value) >= 10**15
            assert Decimal(found[1]) == Decimal(value).scaleb(-places(kind))
        else:
            assert Decimal(repr(found)) == Decimal(value).scaleb(-places(kind))


@given(st.sampled_from(DECIMALS), st.lists(st.none() | REALS, max_size=8))
def test_floats_as_decimals(goal: Type, values: list[float | None]) -> None:
    _, got = fit(Type.FLOAT, values, goal)
    for value, found in zip(values, got, strict=True):
        if value is None:
            assert found is None
        elif isinstance(found, tuple):
            assert found == ("float64", value)
            units = Decimal(repr(value)).scaleb(places(goal))
            assert units != units.to_integral_value() or abs(units) >= 10**15
        else:
            assert found == Decimal(repr(value))


def test_sources_of_other_places(lake: Lake) -> None:
    def source(*values: str | None, kind: Any) -> pa.Table:
        found = [None if v is None else Decimal(v) for v in values]
        return pa.table(
            {"k": ["a"] * len(values), "t": [T + i for i in range(len(values))], "x": pa.array(found, kind)}
        )

    lake.ingest(source("1.5", "2.0", kind=pa.decimal128(5, 1)))
    lake.ingest(source("1.25", "3.50", kind=pa.decimal128(5, 2)))
    lake.ingest(source("7", None, kind=pa.decimal128(5, 0)))
    lake.ingest({"k": ["a", "a"], "t": [T, T + 1], "x": [4, 10**18]})
    lake.ingest({"k": ["a", "a"], "t": [T + 2, T + 3], "x": [0.5, 0.25]})
    assert lake.columns() == {"x": DECIMALS[1], "x#string": Type.STRING, "x#int64": Type.INT, "x#float64": Type.FLOAT}
    found = sorted(str(v) for row in lake.rows() for n, v in row.items() if n.startswith("x"))
    assert found == sorted(["1.5", "2.0", "1.25", "3.5", "7.0", "4.0", str(10**18), "0.5", "0.25"])
    lake.ingest({"k": ["a"], "t": [T + 9], "x": ["1.5"]})
    assert [str(row.get("x")) for row in lake.rows() if row["t"] == (T + 9) * 1000] == ["1.5"]


def test_decimals_in_columns_of_numbers(lake: Lake) -> None:
    lake.ingest({"k": ["a"], "t": [T], "n": [1], "f": [0.5]})
    more = pa.array([Decimal("2.00"), Decimal("2.50")], pa.decimal128(5, 2))
    lake.ingest(pa.table({"k": ["b", "c"], "t": [T, T], "n": more, "f": more}))
    assert lake.rows() == [
        {"k": "a", "t": T * 1000, "n": 1, "f": 0.5},
        {"k": "b", "t": T * 1000, "n": 2, "f": 2.0},
        {"k": "c", "t": T * 1000, "n#string": "2.50", "f": 2.5},
    ]


def test_decimal_keys_and_times(lake: Lake) -> None:
    keys = pa.array([Decimal(7), Decimal(2**64)], pa.decimal128(38, 0))
    times = pa.array([Decimal("1700000000.25"), Decimal("1700000001")], pa.decimal128(20, 2))
    report = lake.ingest(pa.table({"k": keys, "t": times}), unit="s")
    assert report.reasons == {"key: column k is not decimal(0)": 1}
    assert lake.rows() == [{"k": 7, "t": 1_700_000_000_250_000}]
    for unit, value in (("ms", "1700000000250.9999"), ("us", "1700000000250999.9"), ("ns", "1700000000250999000")):
        found = pa.array([Decimal(value)])
        lake.ingest(pa.table({"k": ["x"], "t": found}), unit=unit, stream=unit)
        assert lake.rows(unit)[0]["t"] == 1_700_000_000_250_999
    far = pa.array([Decimal("-1.5"), Decimal("9e15"), None], pa.decimal128(20, 1))
    with pytest.raises(Exception, match="all 3 records were rejected"):
        lake.ingest(pa.table({"k": ["x"] * 3, "t": far}), unit="s", stream="far")


def test_event_times_out_of_range(lake: Lake) -> None:
    times = pa.array([T // 1000, 2**60, -(2**60)], pa.timestamp("s"))
    report = lake.ingest(pa.table({"k": ["x"] * 3, "t": times}), unit=None)
    assert report.reasons == {"time: column t is after 2261": 1, "time: column t is before 1970": 1}
    report = lake.ingest({"k": ["x"] * 3, "t": np.array([T, 2**63, 2**64 - 1], np.uint64)}, stream="u")
    assert report.reasons == {"time: column t is after 2261": 2}
    report = lake.ingest({"k": ["x"] * 2, "t": np.array([T, np.inf])}, stream="f")
    assert report.reasons == {"time: column t is infinite": 1}
