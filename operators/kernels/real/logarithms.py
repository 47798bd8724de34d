"""log, log2, log10 and powers.

``x = 2**e * m``; with ``c`` from a table, near ``1 / m``, ``log(x) = e * log(2) - log(c) + log(1 + r)`` where
``r = m * c - 1`` is exact as a pair (P. T. P. Tang, "Table-driven implementation of the logarithm function", 1990).
Near 1, ``c`` is 1, so that nothing cancels. The first three terms of the series are pairs: the relative error is below
2**-76, enough for a power, which multiplies it by up to 2**10.
"""

from __future__ import annotations

from fractions import Fraction

import numpy as np

from operators.compiler.loops import F64, inline, noinline
from operators.kernels.real.exact_tables import BITS, LN2, LN10, ONE, fixed, leading, log_of, pair
from operators.kernels.real.exponentials import LEAST, MOST, exp_pair
from operators.kernels.real.float_pairs import exact_product, exact_sum, fast_sum, pair_product, pair_sum, scaled

_FIRST, _END = 181, 363
"""Parts of 1/256 from 1/sqrt(2) to sqrt(2)."""

_LARGEST = 1.7976931348623157e308
_LN2_HIGH = leading(LN2, 42)
_LN2_LOW = pair(LN2 - int(_LN2_HIGH * ONE))[0]
_THIRD, _THIRD_LOW = pair(ONE // 3)
_PER_LN2, _PER_LN2_LOW = pair((ONE << BITS) // LN2)
_PER_LN10, _PER_LN10_LOW = pair((ONE << BITS) // LN10)


def _factor(part: int) -> Fraction:
    """Nearly the inverse of the numbers in a part, with few digits; 1 beside 1."""
    return Fraction(1) if part in (255, 256) else Fraction(round(Fraction(256 << 13, 2 * part + 1)), 1 << 12)


_FACTORS = np.array(
    [(float(c), *pair(-log_of(fixed(c)))) for c in map(_factor, range(_FIRST, _END))], np.float64
)  # fmt: skip


@inline
def log_pair(x: F64) -> tuple[F64, F64]:
    """log of a positive finite number, as a pair."""
    e = np.int64(0)
    if x < 2.2250738585072014e-308:
        x *= 2.0**54
        e = np.int64(-54)
    bits = np.float64(x).view(np.int64)
    e += (bits >> np.int64(52)) - np.int64(1023)
    m = np.int64((bits & np.int64((1 << 52) - 1)) | np.int64(1023 << 52)).view(np.float64)
    if m > 1.4142135623730951:
        m *= 0.5
        e += np.int64(1)
    row = np.uint64(np.int64(m * 256.0) - np.int64(_FIRST))
    near, lost = exact_product(m, _FACTORS[row, 0])
    rh, rl = fast_sum(near - 1.0, lost)
    # r - r**2 * (1/2 - r * (1/3 - r * tail))
    tail = 0.25 - rh * (0.2 - rh * (1 / 6 - rh * (1 / 7 - rh * (0.125 - rh * (1 / 9 - rh * 0.1)))))
    ch, cl = fast_sum(_THIRD, -(rh * tail))
    ch, cl = pair_product(ch, cl + _THIRD_LOW, rh, rl)
    bh, bl = fast_sum(0.5, -ch)
    sh, sl = exact_product(rh, rh)
    bh, bl = pair_product(bh, bl - cl, sh, sl + 2.0 * rh * rl)
    wh, wl = pair_sum(rh, rl, -bh, -bl)
    n = np.float64(e)
    ah, al = exact_sum(n * _LN2_HIGH, _FACTORS[row, 1])
    return pair_sum(ah, al + (n * _LN2_LOW + _FACTORS[row, 2]), wh, wl)


@inline
def _in_domain(x: F64) -> bool:
    return bool(0.0 < x <= _LARGEST)


@noinline
def logarithm(x: F64) -> F64:
    """log(x); NaN outside of the domain."""
    if not _in_domain(x):
        return np.nan
    h, low = log_pair(x)
    return h + low


@noinline
def logarithm_2(x: F64) -> F64:
    """log2(x); NaN outside of the domain."""
    if not _in_domain(x):
        return np.nan
    h, low = log_pair(x)
    h, low = pair_product(h, low, _PER_LN2, _PER_LN2_LOW)
    return h + low


@noinline
def logarithm_10(x: F64) -> F64:
    """log10(x); NaN outside of the domain."""
    if not _in_domain(x):
        return np.nan
    h, low = log_pair(x)
    h, low = pair_product(h, low, _PER_LN10, _PER_LN10_LOW)
    return h + low


@noinline
def power(x: F64, y: F64) -> F64:
    """``x ** y``; 1 for a zero ``y``; infinite where it is too large and for 0 to a negative power; NaN for a negative
    number to a power that is no integer, and where an argument is not finite."""
    if not (abs(x) <= _LARGEST and abs(y) <= _LARGEST):
        return np.nan
    if y == 0.0 or x == 1.0:
        return 1.0
    if x == 0.0:
        return np.inf if y < 0.0 else 0.0
    sign = 1.0
    if x < 0.0:
        if np.floor(y) != y:
            return np.nan
        if np.floor(y * 0.5) != y * 0.5:
            sign = -1.0
    size = abs(x)
    if size == 1.0:
        return sign
    h, low = log_pair(size)
    if abs(y) > 2.0**70:
        # No number but 1 is so near to 1 that the power is in the range of floats.
        return sign * np.inf if (h > 0.0) == (y > 0.0) else 0.0
    ph, pl = exact_product(h, y)
    ph, pl = fast_sum(ph, pl + low * y)
    if ph > MOST:
        return sign * np.inf
    if ph < LEAST:
        return 0.0
    vh, vl, e = exp_pair(ph, pl)
    return sign * scaled(vh, vl, e)
