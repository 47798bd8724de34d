"""Shortest decimals of floats, bins and comparisons by them, against fractions."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numba
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.kernels import comparing, shortest, widths

FINITE = st.floats(allow_nan=False, allow_infinity=False)
POSITIVE = st.one_of(
    st.integers(1, 0x7FEFFFFFFFFFFFFF).map(lambda bits: float(np.int64(bits).view(np.float64))),
    st.builds(lambda e, k: (1 + k * 2.0**-52) * math.ldexp(1.0, e), st.integers(-1022, 1023), st.integers(0, 3)),
    st.builds(lambda n, p: float(Fraction(n, 10**p)), st.integers(1, 10**18), st.integers(0, 20)),
)  # fmt: skip
INT64 = st.integers(-(2**63), 2**63 - 1)


@numba.njit
def _shortest(x: Any) -> Any:
    return shortest.shortest_decimal(x)


@numba.njit
def _bin(x: Any, width: Any, digits: Any, exponent: Any, flags: Any) -> Any:
    return widths.bin_of_width(x, width, digits, exponent, flags)


@numba.njit
def _integer(n: Any, x: Any) -> Any:
    return comparing.integer_against_float(n, x)


@numba.njit
def _decimal(n: Any, x: Any, unit: Any, places: Any) -> Any:
    return comparing.decimal_against_float(n, x, unit, places)


@numba.njit
def _coarse(a: Any, b: Any, by: Any) -> Any:
    return comparing.coarse_against_fine(a, b, by)


def sign(exact: Fraction) -> int:
    return (exact > 0) - (exact < 0)


@given(POSITIVE)
def test_the_shortest_decimal_is_that_of_repr(x: float) -> None:
    digits, exponent = _shortest(x)
    assert Decimal(int(digits)).scaleb(int(exponent)) == Decimal(repr(x))


def test_the_shortest_decimal_of_many() -> None:
    rng = np.random.default_rng(1)
    exponents = np.arange(1, 2047, dtype=np.int64) << 52
    bits = [rng.integers(1, 0x7FF0000000000000, 20_000), exponents, exponents - 1, exponents + 1, np.arange(1, 400)]
    for x in np.concatenate(bits).view(np.float64).tolist():
        digits, exponent = _shortest(x)
        assert Decimal(int(digits)).scaleb(int(exponent)) == Decimal(repr(x))


@st.composite
def at_edges(draw: st.DrawFn) -> tuple[float, float]:
    """A value and a width; the value is often an edge, or the float beside one."""
    width = draw(st.one_of(st.sampled_from([0.1, 0.01, 0.25, 3.0, 0.12345678901234567, 5e-324]), POSITIVE))
    edge = draw(st.integers(-(10**9), 10**9)) * Fraction(repr(width))
    if draw(st.integers(0, 3)) == 0 or abs(edge) > Fraction(10) ** 300:
        return draw(FINITE), width
    x = float(edge)
    return draw(st.sampled_from([x, math.nextafter(x, math.inf), math.nextafter(x, -math.inf)])), width


@given(at_edges())
def test_bins_by_the_decimal_that_was_written(case: tuple[float, float]) -> None:
    x, width = case
    _, digits, exponent = Decimal(repr(width)).normalize().as_tuple()
    flags = np.zeros(4, np.int64)
    found = _bin(x, width, int("".join(map(str, digits))), exponent, flags)
    expected = math.floor(Fraction(repr(x)) / Fraction(repr(width)))
    if abs(expected) < 9.1e18:
        assert (int(found), int(flags[0])) == (expected, 0)
    elif not flags[0]:
        assert int(found) == expected


@given(INT64, FINITE, st.integers(-1, 1))
def test_integers_against_floats(n: int, x: float, off: int) -> None:
    for number in (n, max(min(int(x) + off, 2**63 - 1), -(2**63))):
        assert _integer(number, x) == sign(Fraction(number) - Fraction(x))


@given(INT64, POSITIVE | FINITE, st.integers(0, 9), st.integers(-1, 1))
def test_decimals_against_floats(n: int, x: float, places: int, off: int) -> None:
    written = Fraction(repr(x))
    for number in (n, max(min(math.floor(written * 10**places) + off, 2**63 - 1), -(2**63))):
        assert _decimal(number, x, float(10**places), places) == sign(Fraction(number, 10**places) - written)


@given(INT64, INT64, st.integers(0, 9), st.integers(-1, 1))
def test_decimals_of_other_places(a: int, b: int, places: int, off: int) -> None:
    by = 10**places
    for number in (a, max(min(b // by + off, 2**63 - 1), -(2**63))):
        assert _coarse(number, b, by) == sign(Fraction(number * by - b))


@pytest.mark.parametrize(("x", "expected"), [(math.inf, -1), (-math.inf, 1), (math.nan, comparing.UNORDERED)])
def test_what_is_no_finite_number(x: float, expected: int) -> None:
    for n in (0, 5, 10**17, -(10**17), 2**63 - 1, -(2**63)):
        assert _integer(n, x) == expected
        assert _decimal(n, x, 100.0, 2) == expected
