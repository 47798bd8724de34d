"""Exact comparisons of numbers of two types, without rounding to floats.

Each function returns -1, 0 or 1 if the first number is less than, equal to or greater than the second, and
``UNORDERED`` if the second is NaN.
"""

from __future__ import annotations

import numpy as np

from operators.compiler.loops import F64, I64, inline, noinline
from operators.kernels.shortest import shortest_decimal

UNORDERED = 2

_BEYOND = 2.0**63
_FEW = 10**15
"""Decimals with fewer units have at most 15 digits, so no two of them have the same nearest float."""


@inline
def integer_against_float(n: I64, x: F64) -> I64:
    """Compare ``n`` with ``x`` exactly."""
    if x != x:
        return np.int64(UNORDERED)
    if x >= _BEYOND:
        return np.int64(-1)
    if x < -_BEYOND:
        return np.int64(1)
    whole = np.int64(x)
    if n != whole:
        return np.int64(1) if n > whole else np.int64(-1)
    rest = x - np.float64(whole)
    return np.int64(-1) if rest > 0.0 else np.int64(1) if rest < 0.0 else np.int64(0)


@inline
def decimal_against_float(n: I64, x: F64, unit: F64, places: I64) -> I64:
    """Compare ``n / unit`` with ``x``, read as its shortest decimal; ``unit`` is ``10**places``."""
    if x != x:
        return np.int64(UNORDERED)
    if -_FEW < n < _FEW:
        # If the floats are equal, so are the decimals: the shortest has no more digits than this one.
        near = np.float64(n) / unit
        return np.int64(-1) if near < x else np.int64(1) if near > x else np.int64(0)
    return _far_against_float(n, x, places)


@noinline
def _far_against_float(n: I64, x: F64, places: I64) -> I64:
    """``decimal_against_float`` for an ``n`` of many digits."""
    sign = np.int64(1) if n > 0 else np.int64(-1)
    if (x < 0.0) != (n < 0) or x == 0.0:
        return sign
    size = abs(x)
    if not size < np.inf:
        return -sign
    units = np.uint64(n) if n > 0 else np.uint64(0) - np.uint64(n)
    digits, power = shortest_decimal(size)
    other = np.uint64(digits)
    power += places
    while power > 0:
        if other > np.uint64(1844674407370955161):
            return -sign
        other *= np.uint64(10)
        power -= 1
    left = False
    while power < 0:
        whole = other // np.uint64(10)
        left = left or whole * np.uint64(10) != other
        other = whole
        power += 1
        if other == np.uint64(0):
            power = np.int64(0)
    if units != other:
        return sign if units > other else -sign
    return -sign if left else np.int64(0)


@inline
def coarse_against_fine(a: I64, b: I64, by: I64) -> I64:
    """Compare ``a * by`` with ``b``, counts of larger and of smaller units, without computing the product."""
    whole = b // by
    if a != whole:
        return np.int64(1) if a > whole else np.int64(-1)
    return np.int64(-1) if b - whole * by != 0 else np.int64(0)
