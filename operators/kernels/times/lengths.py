"""Durations times and divided by numbers: exact, rounded once to the nearest microsecond, ties to even, or down.

A float is ``significand * 2**exponent``, so this is integer division. ``flags[0]`` is set if a result does not fit in
64 bits (``operators.kernels.arithmetic``).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from operators.compiler.loops import F64, I64, inline, noinline
from operators.kernels.arithmetic import floor_div, noted
from operators.kernels.sums.windowed_sums import significand_of

_LEAST = 1 << 63


@inline
def _size(a: I64) -> I64:
    """``abs(a)``, unsigned."""
    return np.uint64(a) if a >= 0 else np.uint64(0) - np.uint64(a)


@inline
def _signed(
    size: I64, past: I64, negative: bool, down: bool, flags: NDArray[np.int64], site: I64 = 1, row: I64 = -1
) -> I64:
    """The integer for an unsigned integer part and a fraction: 0 none, 1 less than a half, 2 a half, 3 more."""
    one = np.uint64(1)
    up = (negative and past > 0) if down else (past == 3 or (past == 2 and size & one == one))
    if up:
        size += one
    # The least int64 has no positive counterpart.
    if size > np.uint64(_LEAST) or (size == np.uint64(_LEAST) and not negative) or (up and size == np.uint64(0)):
        noted(0, flags, site, row)
        return np.int64(0)
    return np.int64(np.uint64(0) - size) if negative else np.int64(size)


@inline
def length_by_integer(a: I64, b: I64, flags: NDArray[np.int64], site: I64 = 1, row: I64 = -1) -> I64:
    """``a / b`` to the nearest integer, ties to even; ``b`` is not 0."""
    whole = floor_div(a, b, flags, site, row)
    size = _size(b)
    rest = _size(np.int64(np.uint64(a) - np.uint64(whole) * np.uint64(b)))
    left = size - rest
    if rest != np.uint64(0) and (rest > left or (rest == left and whole & 1 == 1)):
        whole += 1
    return whole


@noinline
def length_times(a: I64, x: F64, flags: NDArray[np.int64], site: I64 = 1, row: I64 = -1) -> I64:
    """``a * x`` to the nearest integer, ties to even; ``x`` is finite."""
    bits = np.float64(x).view(np.int64)
    negative = (a < 0) != (bits < 0)
    shift = max((bits >> 52) & 0x7FF, np.int64(1)) - 1075
    half, mask, one, zero = np.uint64(32), np.uint64(0xFFFFFFFF), np.uint64(1), np.uint64(0)
    ua, ub = np.uint64(_size(a)), np.uint64(significand_of(bits))
    # The product of 64 by 53 bits, in two words.
    a0, a1, b0, b1 = ua & mask, ua >> half, ub & mask, ub >> half
    low, middle, other = a0 * b0, a0 * b1, a1 * b0
    carried = (low >> half) + (middle & mask) + (other & mask)
    low = (low & mask) | (carried << half)
    high = a1 * b1 + (middle >> half) + (other >> half) + (carried >> half)
    if high == zero and low == zero:
        return np.int64(0)
    if shift >= 0:
        if high != zero or shift > 63 or (low << np.uint64(shift)) >> np.uint64(shift) != low:
            noted(0, flags, site, row)
            return np.int64(0)
        return np.int64(_signed(low << np.uint64(shift), np.int64(0), negative, False, flags, site, row))
    down = -shift
    if down > 127:
        return np.int64(0)
    # The integer part, and the fraction in units of 2**-64 with a sticky bit for the rest.
    if down > 64:
        by = np.uint64(down - 64)
        size, rest = high >> by, (high << (np.uint64(64) - by)) | (low >> by)
        lost = (low << (np.uint64(64) - by)) != zero
    elif down == 64:
        size, rest, lost = high, low, False
    else:
        by = np.uint64(down)
        if high >> by != zero:
            noted(0, flags, site, row)
            return np.int64(0)
        size, rest, lost = (high << (np.uint64(64) - by)) | (low >> by), low << (np.uint64(64) - by), False
    tie = one << np.uint64(63)
    past = np.int64(0)
    if rest > tie or (rest == tie and lost):
        past = np.int64(3)
    elif rest == tie:
        past = np.int64(2)
    elif rest != zero or lost:
        past = np.int64(1)
    return np.int64(_signed(size, past, negative, False, flags, site, row))


@noinline
def length_by(a: I64, x: F64, down: bool, flags: NDArray[np.int64], site: I64 = 1, row: I64 = -1) -> I64:
    """``a / x`` to the nearest integer, ties to even, or rounded ``down``; ``x`` is neither 0 nor NaN."""
    bits = np.float64(x).view(np.int64)
    negative = (a < 0) != (bits < 0)
    biased = (bits >> 52) & 0x7FF
    shift = max(biased, np.int64(1)) - 1075
    one, zero = np.uint64(1), np.uint64(0)
    size, by = np.uint64(_size(a)), np.uint64(significand_of(bits))
    if size == zero:
        return np.int64(0)
    if biased == 0x7FF or shift > 11:
        # Less than a half, or exactly a half of an odd divisor.
        return np.int64(_signed(zero, np.int64(1), negative, down, flags, site, row))
    if shift > 0:
        by <<= np.uint64(shift)
    rest = size % by
    size //= by
    while shift < 0 and (rest != zero or size != zero):
        if size >> np.uint64(63) != zero:
            noted(0, flags, site, row)
            return np.int64(0)
        size <<= one
        rest <<= one
        if rest >= by:
            rest -= by
            size |= one
        shift += 1
    left = by - rest
    past = np.int64(0)
    if rest > left:
        past = np.int64(3)
    elif rest == left:
        past = np.int64(2)
    elif rest != zero:
        past = np.int64(1)
    return np.int64(_signed(size, past, negative, down, flags, site, row))
