"""Exact accumulation, after R. M. Neal, "Fast exact summation using small and large superaccumulators" (2015).

A finite float64 is an integer multiple of 2**-1074; a product of two, of 2**-2148. Such integers are cut into digits of
32 bits, and digits are added to int64s, which have room for 2**30 additions before carries must move on
(``operators.accumulators``). Addition of integers is associative, hence so are these sums, to the bit.

Numbers of one group are seldom far apart, so a group does not have digits for every exponent there is but a window of a
few around its first number: a row of ``rows``, int64 of shape (groups, 2 + digits), holds the number of its lowest
digit (``UNSET`` before the first), bits for infinities and NaN, then the digits, of which the last takes only carries.
What falls outside goes into ``log``, int64 of shape (entries, 5): group, number of the lowest digit and three digits;
the caller keeps room for ``LOGGED`` entries a row and empties it. ``used[0]`` counts them. Integer sums keep the low 32
bits and the rest apart in the same spirit.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from operators.kernels.jit import F64, I64, inline

UNSET = -(1 << 40)
"""The place of a window without a number."""

BASE, SPECIAL, FIRST = 0, 1, 2
"""Columns of a row: the lowest digit's number, bits of values that have no digits, the lowest digit."""

NAN, POSITIVE, NEGATIVE = 1, 2, 4
"""Bits of SPECIAL: a NaN, an infinity of either sign was added."""

LOGGED = 4
"""The most entries that one row can add to the log."""

MASK = 0xFFFFFFFF


@inline
def add_word(
    g: I64, rows: NDArray[np.int64], log: NDArray[np.int64], used: NDArray[np.int64],
    word: I64, place: I64, sign: I64,
) -> None:  # fmt: skip
    """Add ``word * 2**place`` units, or its negative where ``sign`` is -1 (else 0); ``word`` is unsigned."""
    w = np.uint64(word)
    mask = np.uint64(MASK)
    chunk = place >> 5
    shift = np.uint64(place & 31)
    rest = w >> (np.uint64(32) - shift)
    low = (np.int64((w << shift) & mask) ^ sign) - sign
    middle = (np.int64(rest & mask) ^ sign) - sign
    high = (np.int64(rest >> np.uint64(32)) ^ sign) - sign
    one = np.uint64(1)
    if rows[g, BASE] == UNSET:
        rows[g, BASE] = max(chunk - 1, np.int64(0))
    # Negative distances are huge as unsigned, so one comparison finds both ways out of the window.
    k = np.uint64(chunk - rows[g, BASE])
    if k < np.uint64(rows.shape[1] - FIRST - 3):
        k += np.uint64(FIRST)
        rows[g, k] += low
        rows[g, k + one] += middle
        rows[g, k + one + one] += high
    else:
        e = np.uint64(used[0])
        log[e, 0] = g
        log[e, 1] = chunk
        log[e, 2] = low
        log[e, 3] = middle
        log[e, 4] = high
        used[0] += 1


@inline
def add_float(g: I64, rows: NDArray[np.int64], log: NDArray[np.int64], used: NDArray[np.int64], x: F64) -> None:
    """Add ``x``, in units of 2**-1074."""
    b = np.float64(x).view(np.int64)
    exponent = (b >> 52) & 0x7FF
    significand = b & np.int64(0xFFFFFFFFFFFFF)
    if exponent == 0x7FF:
        rows[g, SPECIAL] |= special_bit(b)
    elif (b << 1) != 0:
        if exponent == 0:
            exponent = np.int64(1)
        else:
            significand |= np.int64(1) << 52
        add_word(g, rows, log, used, significand, exponent - 1, b >> 63)


@inline
def special_bit(b: I64) -> I64:
    """The bit of SPECIAL for a float with bits ``b`` that is not finite."""
    if (b & np.int64(0xFFFFFFFFFFFFF)) != 0:
        return np.int64(NAN)
    return np.int64(POSITIVE) if b > 0 else np.int64(NEGATIVE)


@inline
def add_product(
    g: I64, rows: NDArray[np.int64], log: NDArray[np.int64], used: NDArray[np.int64],
    a: I64, b: I64, place: I64, sign: I64,
) -> None:  # fmt: skip
    """Add ``a * b * 2**place`` units, or its negative; ``a`` and ``b`` are unsigned."""
    mask, half = np.uint64(MASK), np.uint64(32)
    ua, ub = np.uint64(a), np.uint64(b)
    a0, a1, b0, b1 = ua & mask, ua >> half, ub & mask, ub >> half
    add_word(g, rows, log, used, np.int64(a0 * b0), place, sign)
    add_word(g, rows, log, used, np.int64(a0 * b1), place + 32, sign)
    add_word(g, rows, log, used, np.int64(a1 * b0), place + 32, sign)
    add_word(g, rows, log, used, np.int64(a1 * b1), place + 64, sign)


@inline
def add_square(g: I64, rows: NDArray[np.int64], log: NDArray[np.int64], used: NDArray[np.int64], x: F64) -> None:
    """Add ``x * x``, in units of 2**-2148."""
    b = np.float64(x).view(np.int64)
    exponent = (b >> 52) & 0x7FF
    significand = b & np.int64(0xFFFFFFFFFFFFF)
    if exponent == 0x7FF:
        rows[g, SPECIAL] |= NAN if significand != 0 else POSITIVE
    elif (b << 1) != 0:
        if exponent == 0:
            exponent = np.int64(1)
        else:
            significand |= np.int64(1) << 52
        add_product(g, rows, log, used, significand, significand, 2 * (exponent - 1), np.int64(0))


@inline
def add_scaled(
    g: I64, rows: NDArray[np.int64], log: NDArray[np.int64], used: NDArray[np.int64], x: F64, n: I64
) -> None:
    """Add ``x * n`` for an integer ``n >= 0``, in units of 2**-1074."""
    b = np.float64(x).view(np.int64)
    exponent = (b >> 52) & 0x7FF
    significand = b & np.int64(0xFFFFFFFFFFFFF)
    if n == 0:
        return
    if exponent == 0x7FF:
        rows[g, SPECIAL] |= special_bit(b)
    elif (b << 1) != 0:
        if exponent == 0:
            exponent = np.int64(1)
        else:
            significand |= np.int64(1) << 52
        add_product(g, rows, log, used, significand, n, exponent - 1, b >> 63)


@inline
def add_integer_square(
    g: I64, rows: NDArray[np.int64], log: NDArray[np.int64], used: NDArray[np.int64], x: I64
) -> None:
    """Add ``x * x`` for an int64, in units of 1."""
    size = np.uint64(x) if x >= 0 else np.uint64(0) - np.uint64(x)
    if size != 0:
        add_product(g, rows, log, used, np.int64(size), np.int64(size), np.int64(0), np.int64(0))


@inline
def add_int(g: I64, low: NDArray[np.int64], high: NDArray[np.int64], x: I64) -> None:
    """Add the int64 ``x`` to ``high[g] * 2**32 + low[g]``."""
    low[g] += x & np.int64(0xFFFFFFFF)
    high[g] += x >> 32
