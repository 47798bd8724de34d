"""Exact running sums: R. M. Neal's small superaccumulator (2015), rounded at every row, as steps.

A float64 is an integer multiple of 2**-1074. Its 53-bit significand, shifted to its place, is split into 32-bit digits
that are added to three of the key's 67 int64 chunks. A chunk has room for 2**30 additions before carries must be moved,
which every rounding does. (``windowed_sums.py`` is for sums of many groups that are read once: it is narrower, and its
accumulators have no fixed place.)
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.compiler.loops import F64, I64, inline

CHUNKS = 67
"""Digits of 32 bits from 2**-1074 to beyond the largest float64."""

NAN, POSITIVE, NEGATIVE = CHUNKS, CHUNKS + 1, CHUNKS + 2
"""Columns with the numbers of NaN and infinite values, which have no digits."""

WIDTH = CHUNKS + 3

_LARGEST = sys.float_info.max


@inline
def add_digits(g: I64, digits: NDArray[np.int64], x: F64) -> None:
    """Add ``x`` to the accumulator in row ``g`` of ``digits``, int64 of shape (groups, WIDTH)."""
    b = np.float64(x).view(np.int64)
    exponent = (b >> 52) & 0x7FF
    significand = b & np.int64(0xFFFFFFFFFFFFF)
    if exponent == 0x7FF:
        if significand != 0:
            digits[g, NAN] += 1
        elif b > 0:
            digits[g, POSITIVE] += 1
        else:
            digits[g, NEGATIVE] += 1
    elif (b << 1) != 0:
        if exponent == 0:
            exponent = np.int64(1)
        else:
            significand |= np.int64(1) << 52
        place = exponent - 1
        chunk = np.uint64(place >> 5)
        one = np.uint64(1)
        shift = place & 31
        sign = b >> 63
        mask = np.int64(0xFFFFFFFF)
        rest = significand >> (32 - shift)
        digits[g, chunk] += (((significand << shift) & mask) ^ sign) - sign
        digits[g, chunk + one] += ((rest & mask) ^ sign) - sign
        digits[g, chunk + one + one] += ((rest >> 32) ^ sign) - sign


@inline
def is_a_sum(g: I64, digits: NDArray[np.int64], x: F64) -> Any:
    """Whether ``x``, the rounded accumulator in row ``g``, is valid: an infinite sum of finite numbers is not."""
    special = digits[g, NAN] + digits[g, POSITIVE] + digits[g, NEGATIVE]
    return abs(x) <= _LARGEST or special > 0


@inline
def rounded(g: I64, digits: NDArray[np.int64]) -> F64:
    """The float64 nearest to the accumulator in row ``g``, ties to even; moves its carries.

    The scalar counterpart of ``operators.sums.windowed``.
    """
    mask = np.int64(0xFFFFFFFF)
    for i in range(CHUNKS - 1):
        digits[g, i + 1] += digits[g, i] >> 32
        digits[g, i] &= mask
    if digits[g, NAN] > 0 or (digits[g, POSITIVE] > 0 and digits[g, NEGATIVE] > 0):
        return np.nan
    if digits[g, POSITIVE] > 0:
        return np.inf
    if digits[g, NEGATIVE] > 0:
        return -np.inf
    negative = digits[g, CHUNKS - 1] < 0
    # Of the magnitude: the leading digit, the two below it, and a sticky bit for the rest.
    top = np.int64(0)
    lead = second = third = np.uint64(0)
    rest = sticky = False
    near = far = np.int64(0)
    borrow = np.int64(0)
    for i in range(CHUNKS):
        digit = digits[g, i]
        if negative:
            digit = -digit - borrow
            borrow = np.int64(digit < 0)
            digit &= mask
        if digit != 0:
            top, sticky = np.int64(i), rest
            lead, second, third = np.uint64(digit), np.uint64(near), np.uint64(far)
        rest = rest or far != 0
        near, far = digit, near
    if lead == np.uint64(0):
        return 0.0
    # The 64 bits from the leading one on; anything below only decides a tie.
    spare = np.uint64(0)
    while (lead << spare) >> np.uint64(31) == np.uint64(0):
        spare += np.uint64(1)
    wide = (((lead << np.uint64(32)) | second) << spare) | ((third << spare) >> np.uint64(32))
    if sticky or (third << spare) & np.uint64(0xFFFFFFFF) != np.uint64(0):
        wide |= np.uint64(1)
    # Times a power of two, in two steps if it exceeds a float's range; below 2**-1022 nothing is lost, since all digits
    # are multiples of 2**-1074. (ldexp is one of Numba's own functions, which kernels must not call.)
    out = np.float64(wide)
    exponent = 32 * (top - 1) - np.int64(spare) - 1074
    if exponent < -1000:
        out *= np.int64(23 << 52).view(np.float64)
        exponent += 1000
    out *= np.int64((exponent + 1023) << 52).view(np.float64)
    return -out if negative else out
