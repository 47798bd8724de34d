"""Decimals: conversion, expressions, sums and results, against Python's decimals and fractions."""

from __future__ import annotations

import json
import math
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Context, Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dataflow as df
from dataflow.binding.typing import GraphError
from operators.errors import InexactDecimal, OverflowExceeded
from operators.kernels import decimals
from runtime import Store
from runtime.testing.oracle.strategies import BASE
from tests.laws.memory import run_in_memory

PLACES = st.integers(0, 9)
WIDE = Context(prec=2000)
ROUNDED = {"half_even": ROUND_HALF_EVEN, "half_up": ROUND_HALF_UP}

CENTS = st.integers(-(10**12), 10**12)


@numba.njit
def _exact(x: Any, unit: Any, flags: Any) -> Any:
    return decimals.decimal_exact(x, unit, flags)


@numba.njit
def _half_even(x: Any, unit: Any, places: Any, flags: Any) -> Any:
    return decimals.decimal_half_even(x, unit, places, flags)


@numba.njit
def _half_up(x: Any, unit: Any, places: Any, flags: Any) -> Any:
    return decimals.decimal_half_up(x, unit, places, flags)


@numba.njit
def _float(n: Any, unit: Any) -> Any:
    return decimals.decimal_float(n, unit)


FROM_FLOAT = {"half_even": _half_even, "half_up": _half_up}


@given(st.integers(-(2**50), 2**50), PLACES)
def test_every_decimal_comes_back_from_its_float(units: int, places: int) -> None:
    flags = np.zeros(2, np.int64)
    nearest = float(Fraction(units, 10**places))
    assert _exact(nearest, float(10**places), flags) == units
    assert flags.tolist() == [0, 0]


@given(st.floats(allow_nan=True), PLACES)
def test_other_floats_are_refused(x: float, places: int) -> None:
    flags = np.zeros(2, np.int64)
    got = _exact(x, float(10**places), flags)
    if flags[1] == 0:
        assert float(Fraction(int(got), 10**places)) == x
    elif math.isfinite(x) and abs(x) * 10**places < 2**50:
        assert float(Fraction(round(Fraction(x) * 10**places), 10**places)) != x


near_ties = st.builds(lambda n, p, k: float(Fraction(2 * n + 1, 2 * 10**p)) + k * math.ulp(n / 10**p),
                      st.integers(-(10**9), 10**9), PLACES, st.integers(-2, 2))  # fmt: skip


long_ties = st.builds(lambda n, p: float(Fraction(2 * n + 1, 2 * 10**p)), st.integers(-(10**17), 10**17), PLACES)
many_floats = st.one_of(
    near_ties, long_ties, st.floats(-1e6, 1e6), st.integers(-40, 40).map(lambda n: n / 8),
    st.floats(allow_nan=False, allow_infinity=False), st.integers(-(2**63), 2**63 - 1).map(float),
)  # fmt: skip


@pytest.mark.parametrize("rounding", ROUNDED)
@given(x=many_floats, places=PLACES)
def test_rounding_is_that_of_the_shortest_decimal(rounding: str, x: float, places: int) -> None:
    flags = np.zeros(4, np.int64)
    got = FROM_FLOAT[rounding](x, float(10**places), places, flags)
    exact = Decimal(repr(x)).scaleb(places, context=WIDE)
    expected = int(exact.quantize(Decimal(1), ROUNDED[rounding], context=WIDE))
    if -(2**63) < expected < 2**63:
        assert (int(got), flags[:2].tolist()) == (expected, [0, 0])
    else:
        assert flags[0]
        assert not flags[1]


@pytest.mark.parametrize("rounding", ROUNDED)
@pytest.mark.parametrize("x", [math.inf, -math.inf, math.nan])
def test_what_is_no_number_has_no_decimal(rounding: str, x: float) -> None:
    flags = np.zeros(4, np.int64)
    FROM_FLOAT[rounding](x, 100.0, 2, flags)
    assert flags[1]


@given(st.integers(-(2**63), 2**63 - 1) | CENTS, PLACES)
def test_a_decimal_becomes_the_nearest_float(units: int, places: int) -> None:
    assert _float(units, float(10**places)) == float(Fraction(units, 10**places))


@pytest.mark.parametrize(
    ("x", "rounding", "expected"),
    [
        (1.005, "half_up", "1.01"), (2.675, "half_up", "2.68"), (0.285, "half_up", "0.29"),
        (-1.005, "half_up", "-1.01"), (1000000.005, "half_even", "1000000.00"), (1.015, "half_even", "1.02"),
        (1e15, "half_up", "1000000000000000.00"), (5e-324, "half_up", "0.00"),
    ],
)  # fmt: skip
def test_rounding_of_what_was_written(x: float, rounding: str, expected: str) -> None:
    (row,) = asked([x], price=T.decimal(2, rounding=rounding))
    assert str(row["price"]) == expected


def asked(values: list[float | None], **columns: Any) -> list[dict[str, Any]]:
    """Rows of expressions over a column ``temp`` and its place ``n``."""
    points = [{"device": "a", "ts": BASE + i, "temp": v, "n": i} for i, v in enumerate(values)]
    graph = json.loads(df.stream("s").select(**columns).to_json())
    return run_in_memory(graph, points, since=BASE, until=BASE + len(points) + 1)


T, N = df.col("temp"), df.col("n")


@given(st.lists(st.one_of(st.none(), st.integers(-(10**9), 10**9)), max_size=8))
def test_arithmetic(cents: list[int | None]) -> None:
    values = [None if c is None else c / 100 for c in cents]
    price = T.decimal(2)
    rows = asked(
        values,
        price=price,
        finer=price.decimal(4),
        coarser=price.decimal(1, rounding="half_even"),
        away=price.decimal(1, rounding="half_up"),
        times=price * N,
        square=(price - 1) * T.decimal(2),
        more=price + T.decimal(3) + 1,
        less=5 - price,
        negative=-price,
        size=price.abs(),
        quotient=price / 3,
        halves=price // 0.5,
        threes=price // 3,
        rest=price % 3,
        dear=price > 10,
        rather=price >= 9.99,
        between=price.between(-1, T.decimal(3)),
        one_of=price.is_in([1, 2]),
        or_zero=price.fill_null(0),
        chosen=df.when(price > 0).then(price).otherwise(N),
        before=price.previous(),
        known=price.is_not_null(),
    )
    before = None
    for i, (c, row) in enumerate(zip(cents, rows, strict=True)):
        assert row["before"] == before
        assert row["known"] is (c is not None)
        before = None if c is None else Decimal(c).scaleb(-2)
        if c is None:
            assert (row["price"], row["times"], row["or_zero"]) == (None, None, Decimal("0.00"))
            assert row["chosen"] == i
            continue
        price = Decimal(c).scaleb(-2)
        expected = {
            "price": price,
            "finer": price,
            "coarser": price.quantize(Decimal("0.1"), ROUND_HALF_EVEN),
            "away": price.quantize(Decimal("0.1"), ROUND_HALF_UP),
            "times": price * i,
            "square": (price - 1) * price,
            "more": 2 * price + 1,
            "less": 5 - price,
            "negative": -price,
            "size": abs(price),
            "quotient": c / 100 / 3,
            "halves": c / 100 // 0.5,
            "threes": c // 300,
            "rest": Decimal(c % 300).scaleb(-2),
            "dear": price > 10,
            "rather": c / 100 >= 9.99,
            "between": price >= -1,
            "one_of": price in (1, 2),
            "or_zero": price,
            "chosen": price if price > 0 else Decimal(i),
        }
        assert {name: row[name] for name in expected} == expected
    places = {"price": 2, "finer": 4, "times": 2, "square": 4, "more": 3, "chosen": 2}
    for row in rows:
        for name, digits in places.items():
            assert row[name] is None or row[name].as_tuple().exponent == -digits


@given(st.lists(st.tuples(st.sampled_from("abc"), CENTS), max_size=12), st.integers(1, 3))
def test_aggregates(rows: list[tuple[str, int]], tasks: int) -> None:
    points = [{"device": k, "ts": BASE + i, "temp": c / 100} for i, (k, c) in enumerate(rows)]
    price = T.decimal(2)
    metric = df.stream("s").agg(
        total=df.sum(price), mean=df.mean(price), low=df.min(price), last=df.last(price),
        kinds=df.count_distinct(price), spread=df.variance(price, ddof=0),
        top=df.top_k(price, 1), candle=df.candlestick(price),
    )  # fmt: skip
    (got,) = run_in_memory(json.loads(metric.to_json()), points, since=BASE, until=BASE + 100, tasks=tasks)
    cents = [c for _, c in rows]
    if not cents:
        assert got == {"total": None, "mean": None, "low": None, "last": None, "kinds": 0, "spread": None, "top": [],
                       "candle": None}  # fmt: skip
        return
    mean = Fraction(sum(cents), len(cents))
    assert got["total"] == Decimal(sum(cents)).scaleb(-2)
    assert got["mean"] == float(mean / 100)
    assert got["low"] == Decimal(min(cents)).scaleb(-2)
    assert got["last"] == Decimal(cents[-1]).scaleb(-2)
    assert got["kinds"] == len(set(cents))
    assert got["spread"] == float(sum((c - mean) ** 2 for c in cents) / len(cents) / 10_000)
    assert got["top"][0]["count"] == max(map(cents.count, cents))
    assert Decimal(got["candle"]["close"]) == Decimal(cents[-1]).scaleb(-2)


@pytest.mark.parametrize("value", [0.005, 1e300, 2.0**60, 1.0000000001])
def test_more_places_than_declared(value: float) -> None:
    with pytest.raises(InexactDecimal, match=r"step 2 .* more decimal places than decimal"):
        asked([value], price=T.decimal(2))


def test_overflow() -> None:
    with pytest.raises(OverflowExceeded, match="64 bits"):
        asked([1e9], price=T.decimal(6) * T.decimal(3) * 100_000)
    points = [{"device": "a", "ts": BASE + i, "temp": 2e9} for i in range(2)]
    metric = df.stream("s").agg(total=df.sum(T.decimal(0) * 4_000_000_000))
    with pytest.raises(OverflowExceeded, match="64-bit"):
        run_in_memory(json.loads(metric.to_json()), points, since=BASE, until=BASE + 9)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: T.decimal(10), "0 to 9 places"),
        (lambda: T.decimal(2, rounding="up"), "rounding is exact, half_even or half_up"),
    ],
)
def test_mistakes_at_once(make: Any, message: str) -> None:
    with pytest.raises(df.DataflowError, match=message):
        make()


@pytest.mark.parametrize(
    ("column", "message"),
    [
        (df.col("status").decimal(2), "decimal cannot take string"),
        (T.decimal(5) * T.decimal(5), "a product has at most 9"),
        (T.decimal(2) + df.col("status"), "a decimal cannot be combined"),
        (T.decimal(9) + 10**12, "does not fit in 64 bits with 9 places"),
    ],
)
def test_mistakes(column: df.Expr, message: str) -> None:
    with pytest.raises(df.DataflowError, match=message):
        asked([1.0], x=column)


TAKE_NONE: list[tuple[str, tuple[Any, ...]]] = [
    *((name, ()) for name in ("year", "quarter", "month", "day", "day_of_year", "iso_week", "weekday", "hour")),
    *((name, ()) for name in ("minute", "second", "lower", "upper", "strip", "length", "number", "__invert__")),
    *((name, ("a",)) for name in ("starts_with", "ends_with", "contains", "like")),
    *((name, (True,)) for name in ("__and__", "__or__")),
    ("truncate", ("1d",)), ("substring", (0, 1)), ("split", (",", 0)), ("replace", ("a", "b")), ("parse_time", ("%Y",)),
    ("extract", ("a",)),
]  # fmt: skip


@pytest.mark.parametrize(("function", "arguments"), TAKE_NONE)
def test_functions_of_times_texts_and_conditions_take_none(function: str, arguments: tuple[Any, ...]) -> None:
    """Else the scaled integer would be taken for a time, or for the number of a word."""
    with pytest.raises(GraphError, match=r"cannot take decimal\(2\), where (time|string|a condition) is expected"):
        asked([1.0], x=getattr(T.decimal(2), function)(*arguments))


def test_results(tmp_path: Path) -> None:
    store = Store(tmp_path, create=True)
    columns = {"device": ["a", "b"], "ts": [1, 2], "price": [12.3, None]}
    store.ingest("s", columns, key="device", time="ts", unit="s")
    result = store.query(df.stream("s").group_by("device").agg(net=df.sum(df.col("price").decimal(2))))
    assert result["net"] == [Decimal("12.30"), None]
    assert result.to_dict()["types"] == {"device": "string", "net": "decimal(2)"}
    assert result.to_dict()["rows"] == [["a", Decimal("12.30")], ["b", None]]
    assert result.to_csv() == "device,net\na,12.30\nb,\n"
    assert result.to_arrow()["net"].type == pa.decimal128(19, 2)
    assert result.to_arrow()["net"].to_pylist() == [Decimal("12.30"), None]
    assert result.to_pandas()["net"].tolist() == [Decimal("12.30"), None]
    assert result.to_polars()["net"].to_list() == [Decimal("12.30"), None]
    assert "12.30" in repr(result)
