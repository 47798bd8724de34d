"""Exact sums of the rows of a window that moves over a key's rows: numbers enter and leave, and nothing is lost.

As long as two floats represent the sum exactly (``float_sums.py``), they are the state: ``a`` and ``b``. Once they do
not, or a number is too large for that, the sum moves to the digits of ``running_sums.py`` (``wide`` is then 1), until
the window is empty. So what a window answers depends on its rows alone, not on those that have left it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.compiler.loops import F64, I64, inline, noinline
from operators.kernels.sums.float_sums import SMALL
from operators.kernels.sums.running_sums import CHUNKS, NAN, NEGATIVE, POSITIVE, WIDTH, add_digits, rounded

FRACTION = 2
"""Digits below the unit of all floats, for quotients."""

WORK = CHUNKS + FRACTION
"""The length of the array that ``wide_quotient`` works in."""

_SPLIT = 134_217_729.0
_NEAR, _LARGE, _TINY = 0.4999, 2.0**900, 2.0**-900


@inline
def two_sum(a: F64, b: F64) -> Any:
    """The sum, rounded, and its error (Knuth, TAOCP 2, 4.2.2, theorem B)."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


@inline
def add_moving(a: F64, b: F64, wide: I64, digits: NDArray[np.int64], x: F64) -> Any:
    """The state after ``x`` has entered; ``digits`` is of shape (1, ``running_sums.WIDTH``)."""
    if wide == 0 and -SMALL < x < SMALL:
        total, error = two_sum(a, x)
        rest, lost = two_sum(b, error)
        if lost == 0.0:
            return total, rest, np.int64(0)
        _widen(digits, total, rest, lost)
        return 0.0, 0.0, np.int64(1)
    _add_wide(a, b, wide, digits, x)
    return 0.0, 0.0, np.int64(1)


@inline
def remove_moving(a: F64, b: F64, wide: I64, digits: NDArray[np.int64], x: F64) -> Any:
    """The state after ``x``, which had entered, has left."""
    if wide == 0:
        return add_moving(a, b, wide, digits, -x)
    _remove_wide(digits, x)
    return 0.0, 0.0, np.int64(1)


@noinline
def _widen(digits: NDArray[np.int64], x: F64, y: F64, z: F64) -> None:
    """Move a sum of three floats to the digits."""
    for i in range(WIDTH):
        digits[0, i] = 0
    add_digits(np.uint64(0), digits, x)
    add_digits(np.uint64(0), digits, y)
    add_digits(np.uint64(0), digits, z)


@noinline
def _add_wide(a: F64, b: F64, wide: I64, digits: NDArray[np.int64], x: F64) -> None:
    if wide == 0:
        for i in range(WIDTH):
            digits[0, i] = 0
        add_digits(np.uint64(0), digits, a)
        add_digits(np.uint64(0), digits, b)
    add_digits(np.uint64(0), digits, x)


@noinline
def _remove_wide(digits: NDArray[np.int64], x: F64) -> None:
    if x != x:
        digits[0, NAN] -= 1
    elif x == np.inf:
        digits[0, POSITIVE] -= 1
    elif x == -np.inf:
        digits[0, NEGATIVE] -= 1
    else:
        add_digits(np.uint64(0), digits, -x)


@inline
def moving_sum(a: F64, b: F64, wide: I64, digits: NDArray[np.int64]) -> F64:
    """The float64 nearest to the sum, ties to even; what IEEE 754 says of infinities and NaN."""
    if wide == 0:
        return a + b
    return _wide_sum(digits)


@noinline
def _wide_sum(digits: NDArray[np.int64]) -> F64:
    return rounded(np.uint64(0), digits)


@inline
def moving_mean(a: F64, b: F64, wide: I64, digits: NDArray[np.int64], work: NDArray[np.int64], n: I64) -> F64:
    """The float64 nearest to the sum divided by ``n``, from 1 to 2**31, ties to even."""
    high, low = two_sum(a, b)
    if wide == 0:
        count = np.float64(n)
        q = high / count
        if high == 0.0:
            return 0.0
        # The pair's quotient may be a neighbour of that of its larger part.
        for _ in range(2):
            size = abs(q)
            if not _TINY < size < _LARGE:
                break
            # The remainder of a division is a float. It tells whether a neighbour is nearer.
            product, error = _product(q, count)
            rest = ((high - product) - error) + low
            bits = np.float64(size).view(np.int64)
            place = np.int64(bits & np.int64(0x7FF0000000000000)).view(np.float64) * 2.0**-52
            # Below a power of two floats are twice as dense.
            if bits & np.int64(0xFFFFFFFFFFFFF) == 0:
                place *= 0.5
            if abs(rest) < _NEAR * place * count:
                return q
            q += rest / count
    return _wide_mean(high, low, wide, digits, work, n)


@noinline
def _wide_mean(high: F64, low: F64, wide: I64, digits: NDArray[np.int64], work: NDArray[np.int64], n: I64) -> F64:
    if wide == 0:
        _widen(digits, high, low, 0.0)
    return wide_quotient(digits, work, n)


@inline
def _product(x: F64, y: F64) -> Any:
    """The product, rounded, and its error (Dekker 1971)."""
    product = x * y
    c = _SPLIT * x
    x1 = c - (c - x)
    x2 = x - x1
    c = _SPLIT * y
    y1 = c - (c - y)
    y2 = y - y1
    return product, x2 * y2 - (((product - x1 * y1) - x2 * y1) - x1 * y2)


@inline
def wide_quotient(digits: NDArray[np.int64], work: NDArray[np.int64], n: I64) -> F64:
    """The float64 nearest to the accumulator ``digits`` divided by ``n``, from 1 to 2**31, ties to even; moves carries.

    ``work`` has ``WORK`` entries. The quotient's digits are those of long division, from the first on; the remainder
    only decides ties.
    """
    mask = np.int64(0xFFFFFFFF)
    if digits[0, NAN] > 0 or (digits[0, POSITIVE] > 0 and digits[0, NEGATIVE] > 0):
        return np.nan
    if digits[0, POSITIVE] > 0:
        return np.inf
    if digits[0, NEGATIVE] > 0:
        return -np.inf
    for i in range(CHUNKS - 1):
        digits[0, i + 1] += digits[0, i] >> 32
        digits[0, i] &= mask
    negative = digits[0, CHUNKS - 1] < 0
    for i in range(FRACTION):
        work[i] = 0
    borrow = np.int64(0)
    for i in range(CHUNKS):
        digit = digits[0, i]
        if negative:
            digit = -digit - borrow
            borrow = np.int64(digit < 0)
            digit &= mask
        work[i + FRACTION] = digit
    rest = np.int64(0)
    top = np.int64(0)
    for back in range(WORK):
        i = WORK - 1 - back
        whole = np.uint64(rest) << np.uint64(32) | np.uint64(work[i])
        found = whole // np.uint64(n)
        rest = np.int64(whole - found * np.uint64(n))
        work[i] = np.int64(found)
        if top == 0 and found != np.uint64(0):
            top = np.int64(i)
    small = work[FRACTION] | (work[FRACTION + 1] << 32)
    if top <= FRACTION + 1 and 0 <= small < (np.int64(1) << 53):
        # A multiple of 2**-1074, the unit of all floats of this size.
        half = np.int64(1) << 31
        above = work[1] > half or (work[1] == half and (work[0] != 0 or rest != 0))
        if above or (work[1] == half and work[0] == 0 and rest == 0 and (small & 1) != 0):
            small += 1
        out = np.float64(small) * np.int64(1).view(np.float64)
        return -out if negative else out
    lead, second, third = np.uint64(work[top]), np.uint64(work[top - 1]), np.uint64(work[top - 2])
    sticky = rest != 0
    for i in range(top - 2):
        sticky = sticky or work[i] != 0
    spare = np.uint64(0)
    while (lead << spare) >> np.uint64(31) == np.uint64(0):
        spare += np.uint64(1)
    bits = (((lead << np.uint64(32)) | second) << spare) | ((third << spare) >> np.uint64(32))
    if sticky or (third << spare) & np.uint64(0xFFFFFFFF) != np.uint64(0):
        bits |= np.uint64(1)
    out = np.float64(bits)
    exponent = 32 * (top - FRACTION - 1) - np.int64(spare) - 1074
    if exponent < -1000:
        out *= np.int64(23 << 52).view(np.float64)
        exponent += 1000
    out *= np.int64((exponent + 1023) << 52).view(np.float64)
    return -out if negative else out
