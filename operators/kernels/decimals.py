"""Numbers as integer counts of 10**-p, exact or rounded.

For rounding, a float is read as its shortest decimal: 1.005 is a tie, although the float is slightly less. ``flags[0]``
is set if a result does not fit in 64 bits, ``flags[1]`` if a value has more places than declared
(``operators.kernels.arithmetic``).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from operators.compiler.loops import F64, I64, inline, noinline
from operators.kernels.arithmetic import checked_mul, noted
from operators.kernels.shortest import shortest_decimal

_LARGEST = 2.0**51
"""Below this, a product with a power of ten has an error of at most 1/8: its nearest integer is the only candidate."""

_MARGIN = 2.0**-50

_WHOLE = 1 << 53
"""Integers up to this are exact as floats."""


@inline
def decimal_exact(x: F64, unit: F64, flags: NDArray[np.int64], site: I64 = 1, row: I64 = -1) -> I64:
    """The count whose quotient by ``unit`` (a power of ten up to 10**9) is the float ``x``; sets ``flags[1]`` if
    none."""
    scaled = x * unit
    if not abs(scaled) < _LARGEST:
        noted(1, flags, site, row)
        return np.int64(0)
    n = np.rint(scaled)
    if n / unit != x:
        noted(1, flags, site, row)
    return np.int64(n)


@inline
def _nearest(x: F64, unit: F64, places: I64, even: bool, flags: NDArray[np.int64], site: I64 = 1, row: I64 = -1) -> I64:
    """The count nearest to ``x * 10**places``, ties to even or away from zero. ``x`` is read as its shortest
    decimal."""
    size = abs(x)
    scaled = size * unit
    n = np.int64(0)
    settled = False
    if scaled < _LARGEST:
        n = np.int64(scaled)
        past = (scaled - np.float64(n)) - 0.5
        # The float's decimal and the product have errors of 2**-53 each; farther from a tie these cannot matter.
        settled = abs(past) > scaled * _MARGIN
        if past > 0.0:
            n += 1
    if not settled:
        if not size < np.inf:
            noted(1, flags, site, row)
            return np.int64(0)
        digits, exponent = shortest_decimal(size)
        n = _units(digits, exponent + places, even, flags, site, row)
    return -n if x < 0.0 else n


@noinline
def _units(digits: I64, exponent: I64, even: bool, flags: NDArray[np.int64], site: I64 = 1, row: I64 = -1) -> I64:
    """``digits * 10**exponent`` to the nearest integer; ``digits`` has at most 17 places."""
    n = np.int64(digits)
    while exponent > 0:
        if n > np.int64(922337203685477580):
            noted(0, flags, site, row)
            return np.int64(0)
        n *= np.int64(10)
        exponent -= 1
    if exponent < -18:
        return np.int64(0)
    by = np.int64(1)
    while exponent < 0:
        by *= np.int64(10)
        exponent += 1
    whole = n // by
    rest = n - whole * by
    left = by - rest
    if rest > left or (rest == left and (not even or whole & 1 == 1)):
        whole += 1
    return whole


@inline
def decimal_half_even(x: F64, unit: F64, places: I64, flags: NDArray[np.int64], site: I64 = 1, row: I64 = -1) -> I64:
    """The count nearest to ``x * unit``, ties to even."""
    return _nearest(x, unit, places, True, flags, site, row)


@inline
def decimal_half_up(x: F64, unit: F64, places: I64, flags: NDArray[np.int64], site: I64 = 1, row: I64 = -1) -> I64:
    """The count nearest to ``x * unit``, ties away from zero."""
    return _nearest(x, unit, places, False, flags, site, row)


@inline
def decimal_float(n: I64, unit: F64) -> F64:
    """The float nearest to ``n / unit``, a power of ten up to 10**9."""
    if -_WHOLE <= n <= _WHOLE:
        return np.float64(n) / unit
    by = np.uint64(unit)
    size = np.uint64(n) if n >= 0 else np.uint64(0) - np.uint64(n)
    whole = size // by
    rest = size - whole * by
    one, scale = np.uint64(1), 1.0
    # More bits than a float has, and a sticky bit for the rest: the only rounding is that of this integer.
    while whole < np.uint64(1 << 55):
        rest <<= one
        whole <<= one
        if rest >= by:
            rest -= by
            whole |= one
        scale *= 0.5
    if rest != np.uint64(0):
        whole |= one
    out = np.float64(whole) * scale
    return -out if n < 0 else out


@inline
def coarser_exact(a: I64, by: I64, flags: NDArray[np.int64], site: I64 = 1, row: I64 = -1) -> I64:
    """``a / by`` if that is an integer; else sets ``flags[1]``."""
    if a % by != 0:
        noted(1, flags, site, row)
    return a // by


@inline
def coarser_half_even(a: I64, by: I64, flags: NDArray[np.int64], site: I64 = 1, row: I64 = -1) -> I64:
    """``a / by`` to the nearest integer, ties to even."""
    whole = a // by
    twice = 2 * (a - whole * by)
    if twice > by or (twice == by and whole & 1 == 1):
        whole += 1
    return whole


@inline
def coarser_half_up(a: I64, by: I64, flags: NDArray[np.int64], site: I64 = 1, row: I64 = -1) -> I64:
    """``a / by`` to the nearest integer, ties away from zero."""
    whole = a // by
    twice = 2 * (a - whole * by)
    if twice > by or (twice == by and a >= 0):
        whole += 1
    return whole


@inline
def finer(a: I64, by: I64, flags: NDArray[np.int64], site: I64 = 1, row: I64 = -1) -> I64:
    """``a * by``."""
    return checked_mul(a, by, flags, site, row)
