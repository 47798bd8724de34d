"""Loop bodies against plain Python."""

from __future__ import annotations

import math
from typing import Any

import numba
import numpy as np
from hypothesis import assume, given
from hypothesis import strategies as st

from operators.kernels import arithmetic, bits

INTS = st.one_of(st.integers(-(2**63), 2**63 - 1), st.integers(-10, 10), st.sampled_from([-(2**63), 2**63 - 1, 2**32]))
FLOATS = st.floats(allow_nan=False, allow_infinity=False)


@numba.njit(error_model="numpy")
def _checked(a: Any, b: Any, flags: Any) -> Any:
    flags[0] = 0
    total = arithmetic.checked_add(a, b, flags)
    flags[1] = flags[0]
    flags[0] = 0
    difference = arithmetic.checked_sub(a, b, flags)
    flags[2] = flags[0]
    flags[0] = 0
    product = arithmetic.checked_mul(a, b, flags)
    return total, difference, product


@numba.njit(error_model="numpy")
def _divided(a: Any, b: Any, flags: Any) -> Any:
    return arithmetic.floor_div(a, b, flags), arithmetic.floor_mod(a, b)


@numba.njit(error_model="numpy")
def _float_divided(a: Any, b: Any) -> Any:
    return arithmetic.float_floor_div(a, b), arithmetic.float_mod(a, b)


@numba.njit
def _order(a: Any) -> Any:
    return bits.float_order(a)


@given(INTS, INTS)
def test_overflow_is_noticed(a: int, b: int) -> None:
    flags = np.zeros(3, np.int64)
    got = _checked(a, b, flags)
    for value, flag, expected in zip(got, (flags[1], flags[2], flags[0]), (a + b, a - b, a * b), strict=True):
        fits = -(2**63) <= expected < 2**63
        assert bool(flag) is not fits
        assert not fits or value == expected


@given(INTS, INTS)
def test_floor_division(a: int, b: int) -> None:
    assume(b != 0)
    flags = np.zeros(1, np.int64)
    quotient, remainder = _divided(a, b, flags)
    assert remainder == a % b
    if a == -(2**63) and b == -1:
        assert flags[0] == 1
    else:
        assert (quotient, flags[0]) == (a // b, 0)


@given(FLOATS, FLOATS)
def test_float_division_is_that_of_python(a: float, b: float) -> None:
    assume(b != 0)
    assume(math.isfinite(a / b))
    got = _float_divided(a, b)
    assert [math.copysign(1, v) * abs(v) for v in got] == [math.copysign(1, v) * abs(v) for v in (a // b, a % b)]


@given(FLOATS, FLOATS)
def test_order_of_floats(a: float, b: float) -> None:
    assert (_order(a) < _order(b)) == (a < b or (a == b and math.copysign(1, a) < math.copysign(1, b)))
