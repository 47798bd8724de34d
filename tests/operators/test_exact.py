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
from operators.errors import OverflowExceeded
from operators.kernels.exact import WIDTH, add_float, add_int

FLOATS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False, width=64),
    st.sampled_from([5e-324, -5e-324, 2.2250738585072014e-308, 1e300, -1e300, 0.1, -0.0, 2.0**53, 1.0]),
)
INTS = st.integers(-(2**63), 2**63 - 1)


@numba.njit
def _add_floats(values: Any, digits: Any) -> None:
    for i in range(values.shape[0]):
        add_float(0, digits, values[i])


@numba.njit
def _add_ints(values: Any, low: Any, high: Any) -> None:
    for i in range(values.shape[0]):
        add_int(0, low, high, values[i])


def float_state(values: list[float]) -> np.ndarray[Any, Any]:
    digits = np.zeros((1, WIDTH), np.int64)
    _add_floats(np.array(values, np.float64), digits)
    exact.settle_digits(digits)
    return digits


def rounded(values: list[float]) -> float:
    """The float nearest to the exact sum."""
    total = sum(map(Fraction, values), Fraction(0))
    try:
        return float(total)
    except OverflowError:
        return math.inf if total > 0 else -math.inf


@given(st.lists(FLOATS, max_size=30))
def test_float_sum_is_the_nearest_float(values: list[float]) -> None:
    assert exact.round_digits(float_state(values))[0] == rounded(values)


@given(st.lists(FLOATS, max_size=20), st.integers(0, 20), st.randoms(use_true_random=False))
def test_every_split_has_the_same_bits(values: list[float], cut: int, random: Any) -> None:
    whole = float_state(values)
    shuffled = list(values)
    random.shuffle(shuffled)
    merged = float_state(shuffled[:cut]) + float_state(shuffled[cut:])
    exact.settle_digits(merged)
    assert merged.tobytes() == whole.tobytes()


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([math.inf, 1.0], math.inf),
        ([-math.inf, 1e308], -math.inf),
        ([math.inf, -math.inf], math.nan),
        ([math.nan, 1.0], math.nan),
        ([1.7976931348623157e308, 1.7976931348623157e308], math.inf),
        ([1e308, 1e308, -1e308], 1e308),
    ],
)
def test_values_without_digits(values: list[float], expected: float) -> None:
    (got,) = exact.round_digits(float_state(values)).tolist()
    assert got == expected or (math.isnan(got) and math.isnan(expected))


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
