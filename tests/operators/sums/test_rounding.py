"""Exact sums, rounded once, against Python's fractions and integers."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.errors import OverflowExceeded
from operators.kernels.sums.float_sums import add_each
from operators.kernels.sums.windowed_sums import add_int, add_integer_square, add_scaled, add_square
from operators.sums import double_word, rounding
from operators.sums.floats import FloatAccumulator
from operators.sums.windowed import Accumulator, WindowedTotals
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


def total(found: Accumulator) -> WindowedTotals:
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
        found.merge_totals(ONE, WindowedTotals(rows, {}, -1074))
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
    found = rounding.root(a, b, 2 * half)
    square = Fraction(a, b) * Fraction(2) ** (2 * half)
    below, above = (Fraction(math.nextafter(found, to)) for to in (0.0, math.inf))
    # No other float is nearer: the root lies between the middles to its neighbours.
    assert ((Fraction(found) + below) / 2) ** 2 <= square <= ((Fraction(found) + above) / 2) ** 2


@given(st.lists(INTS, max_size=30))
def test_integer_sum(values: list[int]) -> None:
    low, high = np.zeros(1, np.int64), np.zeros(1, np.int64)
    _add_ints(np.array(values, np.int64), low, high)
    rounding.settle_pair(low, high)
    total = sum(values)
    assert rounding.PairSums(low, high).integers() == [total]
    if -(2**63) <= total < 2**63:
        assert rounding.pair_to_int(low, high, "sum")[0] == total
    else:
        with pytest.raises(OverflowExceeded, match="64-bit"):
            rounding.pair_to_int(low, high, "sum")


def pairs_of(values: list[int]) -> rounding.PairSums:
    return rounding.PairSums(
        *(np.array(part, np.int64) for part in ([v & 0xFFFFFFFF for v in values], [v >> 32 for v in values]))
    )


@given(
    st.lists(
        st.tuples(st.one_of(INTS, st.integers(-(2**94), 2**94)), st.integers(0, 2**63 - 1)), min_size=1, max_size=9
    ),
    st.sampled_from([1, 1_000_000]),
    st.sampled_from([1, 1000, 10**9]),
    st.booleans(),
)
def test_quotients_are_correctly_rounded(pairs: list[tuple[int, int]], up: int, down: int, many: bool) -> None:
    pairs = pairs * (double_word.MANY if many else 1)
    above, below = (pairs_of(list(part)) for part in zip(*pairs, strict=True))
    expected = [float(Fraction(a * up, b * down)) if b else 0.0 for a, b in pairs]
    assert rounding.quotients(above, below, up, down).tolist() == expected


@pytest.mark.parametrize("far", [0, 2.0**-90])
def test_quotients_of_sums_of_floats(far: float) -> None:
    rng = np.random.default_rng(4)
    first = np.ldexp(rng.normal(size=300), rng.integers(-600, 600, 300) // rng.choice([1, 50], 300))
    then, by = np.zeros(300), rng.integers(1, 4, 300)
    # Beyond the middle of two floats by less than two floats tell, or on it.
    first[:50], then[:50], by[:50] = 2.0**53 + 2 * np.arange(50), 1.0, 1
    # So that the quotient's distance from such a middle is less than any float.
    for g in range(50, 100):
        number = 3 * (2**54 + 4 * g + 2) + rng.choice([-1, 1])
        first[g] = math.ldexp(float(number), -1074)
        then[g], by[g] = math.ldexp(float(number - int(float(number))), -1074), 3
    last = np.where(np.arange(300) < 50, rng.choice([-far, far], 300), 0.0)
    sums, area, everything = FloatAccumulator(300), of_floats(np.arange(300), first), np.arange(300)
    for numbers in (first, then, last):
        add_each(everything, numbers, sums.rows, sums.log, sums.used)
    for numbers in (then, last):
        area.merge_totals(everything, of_floats(everything, numbers).totals(everything))
    rows = zip(first.tolist(), then.tolist(), last.tolist(), by.tolist(), strict=True)
    expected = [float((Fraction(a) + Fraction(b) + Fraction(c)) / n) for a, b, c, n in rows]
    for found in (sums.totals(everything), area.totals(everything)):
        assert rounding.quotients(found, pairs_of(by.tolist()), lowest=-1074).tolist() == expected
