"""Running sums against Python's fractions."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.kernels.sums.running_sums import WIDTH, add_digits, is_a_sum, rounded

LARGEST = 1.7976931348623157e308
FLOATS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False, width=64),
    st.sampled_from(
        [5e-324, -5e-324, 2.2250738585072014e-308, 1e300, -1e300, LARGEST, 0.1, -0.0, 2.0**53, 1.0, 2**-53]
    ),
)


@numba.njit
def _running(values: Any, digits: Any, out: Any) -> None:
    for i in range(values.shape[0]):
        add_digits(0, digits, values[i])
        out[i] = rounded(0, digits)


def running(values: list[float]) -> list[float]:
    out = np.zeros(len(values))
    _running(np.array(values, np.float64), np.zeros((1, WIDTH), np.int64), out)
    return out.tolist()


def nearest(total: Fraction) -> float:
    try:
        return float(total)
    except OverflowError:
        return math.inf if total > 0 else -math.inf


@given(st.lists(FLOATS, max_size=40))
def test_every_sum_on_the_way_is_the_nearest_float(values: list[float]) -> None:
    totals = [sum(map(Fraction, values[: i + 1]), Fraction(0)) for i in range(len(values))]
    assert running(values) == [nearest(total) for total in totals]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([2.0**53, 1.0, 2.0**-1000], 2.0**53 + 2),
        ([2.0**53, 1.0], 2.0**53),
        ([-(2.0**53), -1.0, -(2.0**-1074)], -(2.0**53) - 2),
        ([2.0**53 + 2, 1.0], 2.0**53 + 4),
        ([LARGEST, LARGEST], math.inf),
        ([LARGEST, LARGEST, -LARGEST], LARGEST),
        ([math.inf, -1.0], math.inf),
        ([-math.inf, math.inf], math.nan),
        ([1e16, 1.0, -1e16], 1.0),
    ],
)
def test_edges(values: list[float], expected: float) -> None:
    assert running(values)[-1] == expected or (math.isnan(running(values)[-1]) and math.isnan(expected))


@numba.njit
def _are_sums(values: Any, digits: Any, out: Any) -> None:
    for i in range(values.shape[0]):
        add_digits(0, digits, values[i])
        out[i] = is_a_sum(0, digits, rounded(0, digits))


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1e308, 1e308, -1e308], [True, False, True]),
        ([-LARGEST, -LARGEST, 1.0, LARGEST], [True, False, False, True]),
        # Infinities and NaN among the numbers stay.
        ([1.0, math.inf, -math.inf], [True, True, True]),
        ([LARGEST, LARGEST, math.nan], [True, False, True]),
        ([LARGEST, LARGEST, -math.inf], [True, False, True]),
    ],
)
def test_what_is_too_large_is_no_sum(values: list[float], expected: list[bool]) -> None:
    out = np.zeros(len(values), np.bool_)
    _are_sums(np.array(values), np.zeros((1, WIDTH), np.int64), out)
    assert out.tolist() == expected
