"""Arithmetic of pairs, unevaluated sums of a float and its error: about 106 bits, with additions and products only.

The basic operations are exact (T. J. Dekker, "A floating-point technique for extending the available precision", 1971;
D. Knuth, TAOCP 2, 4.2.2). A fused multiply-add would be faster, but not every target has one.
``operators.sums.double_word`` does the same on arrays.
"""

from __future__ import annotations

import math

import numpy as np

from operators.compiler.loops import F64, I64, inline
from operators.kernels.foreign import square_root

_SPLIT = 2.0**27 + 1


@inline
def fast_sum(a: F64, b: F64) -> tuple[F64, F64]:
    """``a + b`` without error, if ``a`` is zero or not smaller than ``b``."""
    total = a + b
    return total, b - (total - a)


@inline
def exact_sum(a: F64, b: F64) -> tuple[F64, F64]:
    """``a + b`` without error."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


@inline
def exact_product(a: F64, b: F64) -> tuple[F64, F64]:
    """``a * b`` without error, if both are below 2**996 and the product is not near the subnormal numbers."""
    product = a * b
    c, d = _SPLIT * a, _SPLIT * b
    ah, bh = c - (c - a), d - (d - b)
    al, bl = a - ah, b - bh
    return product, ((ah * bh - product) + ah * bl + al * bh) + al * bl


@inline
def pair_sum(ah: F64, al: F64, bh: F64, bl: F64) -> tuple[F64, F64]:
    """The sum of two pairs."""
    high, low = exact_sum(ah, bh)
    more, least = exact_sum(al, bl)
    high, low = fast_sum(high, low + more)
    return fast_sum(high, low + least)


@inline
def pair_product(ah: F64, al: F64, bh: F64, bl: F64) -> tuple[F64, F64]:
    """The product of two pairs."""
    high, low = exact_product(ah, bh)
    return fast_sum(high, low + (ah * bl + al * bh))


@inline
def pair_quotient(ah: F64, al: F64, bh: F64, bl: F64) -> tuple[F64, F64]:
    """The quotient of two pairs; the second is not zero."""
    first = ah / bh
    high, low = exact_product(first, bh)
    rest = ((ah - high) - low) + (al - first * bl)
    return fast_sum(first, rest / bh)


@inline
def pair_root(ah: F64, al: F64) -> tuple[F64, F64]:
    """The square root of a pair that is not negative."""
    if ah <= 0.0:
        return 0.0, 0.0
    first = square_root(ah)
    high, low = exact_product(first, first)
    return fast_sum(first, (((ah - high) - low) + al) / (2.0 * first))


@inline
def power_of_two(e: I64) -> F64:
    """``2.0**e`` for -1022 <= e <= 1023."""
    return np.int64((np.int64(e) + np.int64(1023)) << np.int64(52)).view(np.float64)


@inline
def scaled(high: F64, low: F64, e: I64) -> F64:
    """``(high + low) * 2.0**e``, rounded once, also to a subnormal number; ``high`` is between 1/4 and 8 or zero."""
    if e >= -1000:
        if e > 1000:
            # Above the largest float, infinite.
            return (high + low) * 2.0**1000 * power_of_two(min(e, 1900) - 1000)
        return (high + low) * power_of_two(e)
    if e < -1090:
        return math.copysign(0.0, high)
    unit = power_of_two(-1074 - e)
    least = 2.0**52 * unit
    if abs(high) >= least:
        return (high + low) * 2.0**-500 * power_of_two(e + 500)
    # Next to this number, floats are multiples of the unit of subnormal numbers.
    beside = math.copysign(least, high)
    near, lost = fast_sum(beside, high)
    return ((near + (lost + low)) - beside) * 2.0**-500 * power_of_two(e + 500)
