"""Exact sums against Python's fractions and integers."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators import exact
from operators.accumulators import Accumulator, Totals
from operators.errors import OverflowExceeded
from operators.kernels.exact import add_int, add_integer_square, add_scaled, add_square
from tests.operators.numbers import FLOATS

INTS = st.integers(-(2**63), 2**63 - 1)
ONE = np.zeros(1, np.intp)


@numba.njit
def _add_squares(values: Any, rows: Any, log: Any, used: Any) -> None:
    for i in range(values.shape[0]):
        add_square(0, rows, log, used, values[i])


@numba.njit
def _add_integer_squares(values: Any, rows: Any, log: Any, used: Any) -> None:
    for i in range(values.shape[0]):
        add_integer_square(0, rows, log, used, values[i])


@numba.njit
def _add_scaled(groups: Any, values: Any, times: Any, rows: Any, log: Any, used: Any) -> None:
    for i in range(values.shape[0]):
        add_scaled(groups[i], rows, log, used, values[i], times[i])


@numba.njit
def _add_ints(values: Any, low: Any, high: Any) -> None:
    for i in range(values.shape[0]):
        add_int(0, low, high, values[i])


def of_floats(groups: Any, values: Any) -> Accumulator:
    """Windows of floats, each added once."""
    found = Accumulator(max(groups, default=0) + 1, 7, -1074, log=4 * len(values))
    once = np.ones(len(values), np.int64)
    _add_scaled(np.array(groups, np.int64), np.array(values, np.float64), once, found.rows, found.log, found.used)
    return found


def total(found: Accumulator) -> Totals:
    return found.totals(ONE)


def test_many_groups_apart_from_each_other() -> None:
    # Windows of two states that start up to four digits from each other, of either sign, and some that do not fit.
    rng = np.random.default_rng(5)
    scales = rng.integers(-100, 100, (2, 2000))
    values = np.ldexp(rng.normal(size=(2, 2000)), scales)
    everything = np.arange(2000)
    sums = [of_floats(everything, numbers) for numbers in values]
    sums[0].merge_totals(everything, sums[1].totals(everything))
    assert sums[0].totals(everything).rounded().tolist() == [math.fsum(pair) for pair in values.T.tolist()]
    assert len({int(s) for s in (scales[0] - scales[1]) // 32}) > 6


def test_a_window_does_not_overflow() -> None:
    found = Accumulator(1, 7, -1074)
    rows = np.array([[0, 0, 2**32 - 1, 2**32 - 1, 2**32 - 1, 2**32 - 1, 2**32 - 1, 2**32 - 1, 2**39]], np.int64)
    for _ in range(40):
        found.merge_totals(ONE, Totals(rows, {}, -1074))
        found.settle()
    n = sum(int(d) << (32 * i) for i, d in enumerate(rows[0, 2:].tolist()))
    assert total(found).integers() == [40 * n]


@given(st.lists(FLOATS, max_size=20))
def test_windows_are_relieved(values: list[float]) -> None:
    found = of_floats([0] * len(values), values)
    before = total(found)
    found.relieve()
    assert not found.rows[:, 1:].any()
    after = total(found)
    assert (after.rows.tobytes(), after.beyond) == (before.rows.tobytes(), before.beyond)
    assert after.integers() == [sum(map(Fraction, values), Fraction(0)) * 2**1074]


@given(st.lists(FLOATS, max_size=20))
def test_squares(values: list[float]) -> None:
    found = Accumulator(1, 9, -2148)
    _add_squares(np.array(values, np.float64), found.rows, found.log, found.used)
    assert total(found).integers() == [sum(Fraction(v) ** 2 for v in values) * 2**2148]


@given(st.lists(INTS, max_size=20))
def test_integer_squares(values: list[int]) -> None:
    found = Accumulator(1, 7, 0)
    _add_integer_squares(np.array(values, np.int64), found.rows, found.log, found.used)
    assert total(found).integers() == [sum(v * v for v in values)]


@given(st.lists(st.tuples(FLOATS, st.integers(0, 2**63 - 1)), max_size=20))
def test_scaled(pairs: list[tuple[float, int]]) -> None:
    found = Accumulator(1, 8, -1074)
    values, times = np.array([v for v, _ in pairs], np.float64), np.array([n for _, n in pairs], np.int64)
    _add_scaled(np.zeros(len(pairs), np.int64), values, times, found.rows, found.log, found.used)
    assert total(found).integers() == [sum(Fraction(v) * n for v, n in pairs) * 2**1074]


@given(st.integers(0, 2**200), st.integers(1, 2**100), st.integers(-1100, 40))
def test_root_is_correctly_rounded(a: int, b: int, half: int) -> None:
    found = exact.root(a, b, 2 * half)
    square = Fraction(a, b) * Fraction(2) ** (2 * half)
    below, above = (Fraction(math.nextafter(found, to)) for to in (0.0, math.inf))
    # No other float is nearer: the root lies between the middles to its neighbours.
    assert ((Fraction(found) + below) / 2) ** 2 <= square <= ((Fraction(found) + above) / 2) ** 2


@given(st.lists(INTS, max_size=30))
def test_integer_sum(values: list[int]) -> None:
    low, high = np.zeros(1, np.int64), np.zeros(1, np.int64)
    _add_ints(np.array(values, np.int64), low, high)
    exact.settle_pair(low, high)
    total = sum(values)
    assert exact.exact_ints(low, high) == [total]
    if -(2**63) <= total < 2**63:
        assert exact.pair_to_int(low, high, "sum")[0] == total
    else:
        with pytest.raises(OverflowExceeded, match="64-bit"):
            exact.pair_to_int(low, high, "sum")


@given(INTS, st.integers(1, 2**63 - 1))
def test_ratio_is_correctly_rounded(a: int, b: int) -> None:
    def words(n: int) -> tuple[Any, Any]:
        return np.array([n & 0xFFFFFFFF], np.int64), np.array([n >> 32], np.int64)

    assert exact.pair_ratio(*words(a), *words(b))[0] == a / b
