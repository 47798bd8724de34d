"""Bins of equal width, with edges at decimals as written.

A float is read as its shortest decimal, and so is the width: with bins 0.1 wide, 0.3 is in the bin that starts at 0.3,
although the float 0.3 is less than three times the float 0.1.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.compiler.loops import F64, I64, inline, noinline
from operators.kernels.arithmetic import noted
from operators.kernels.shortest import high_word, shortest_decimal

_MARGIN = 2.0**-49
"""An upper bound of a quotient's relative error: 2**-53 each of the float, the width and the division."""

_CERTAIN = 2.0**44
_TINY = 2.0**-1000
"""Floats below this may have fewer bits."""

_LARGEST = 9.2e18


@inline
def bin_of_width(
    v: F64, width: F64, digits: I64, exponent: I64, flags: NDArray[np.int64], site: I64 = 1, row: I64 = -1
) -> I64:
    """The integer k with ``k * w <= v < (k + 1) * w`` for the decimal ``w = digits * 10**exponent``, which is the float
    ``width``; ``flags[0]`` is set if k is not an int64."""
    size = abs(v)
    q = size / width
    n, whole = np.int64(0), False
    if not q < _LARGEST:
        noted(0, flags, site, row)
        return n
    if size == 0.0:
        return n
    near: Any = True
    if q < _CERTAIN and width > _TINY:
        n = np.int64(q)
        past = q - np.float64(n)
        margin = q * _MARGIN
        # A non-zero value is past the edge at zero, however small.
        near = past >= 1.0 - margin or (n > 0 and past <= margin)
    if near:
        n, whole = _quotient(size, digits, exponent)
        if n < 0:
            noted(0, flags, site, row)
            return np.int64(0)
    if v < 0.0:
        return -n if whole else -n - 1
    return n


@noinline
def _quotient(x: F64, digits: I64, exponent: I64) -> tuple[I64, bool]:
    """The integer part of the decimal ``x`` divided by ``digits * 10**exponent``, -1 if it exceeds an int64; and
    whether the division is exact."""
    found, power = shortest_decimal(x)
    power -= exponent
    low, high, by = np.uint64(found), np.uint64(0), np.uint64(digits)
    zero, one, ten = np.uint64(0), np.uint64(1), np.uint64(10)
    while power > 0:
        if high >= np.uint64(1 << 59):
            return np.int64(-1), False
        high = high * ten + np.uint64(high_word(low, ten))
        low *= ten
        power -= 1
    while power < 0:
        # Once the divisor is larger, the quotient stays zero.
        if by > low:
            return np.int64(0), False
        by *= ten
        power += 1
    if high == zero:
        n = low // by
        whole = n * by == low
    else:
        # Bit by bit: it is rare, and needs no division that kernels lack.
        if high >= by:
            return np.int64(-1), False
        n, rest = zero, high
        for j in range(64):
            carried = rest >> np.uint64(63)
            rest = rest << one | low >> np.uint64(63 - j) & one
            n <<= one
            if carried != zero or rest >= by:
                rest -= by
                n |= one
        whole = rest == zero
    if n > np.uint64(1 << 63) - one:
        return np.int64(-1), False
    return np.int64(n), whole
