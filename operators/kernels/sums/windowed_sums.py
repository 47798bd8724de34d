"""Exact sums in windowed superaccumulators, after R. M. Neal, "Fast exact summation using small and large
superaccumulators" (2015).

A finite float64 is an integer multiple of 2**-1074, a product of two of 2**-2148. Integer addition is associative, so
these sums are, too, to the bit: an integer is shifted to its place and added to one of several 128-bit accumulators,
which are 32 bits apart. An accumulator has room for 2**30 numbers before it must be emptied
(``operators.sums.windowed``).

Numbers of one group are rarely far apart, so a group does not have accumulators for every exponent but a window of a
few around its first number. A row of ``rows``, int64 of shape (groups, 2 + 2 * accumulators), contains the place in
bits of the second accumulator (``UNSET`` before the first number), bits for infinities and NaN, then the low and the
high word of each accumulator.

The first number, and numbers outside of the window, go into ``log``, int64 of shape (entries, 4): group, place in bits,
the unsigned integer, and -1 if it is negative. ``used[0]`` counts the entries; the caller ensures room for ``LOGGED``
entries per row, and ``refold`` empties it. So steps have only two short paths, which made them twice as fast.

Sums of floats themselves are in ``operators.kernels.sums.float_sums``.

Integer sums store the low 32 bits and the rest separately, for the same reason.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.compiler.loops import F64, I64, inline, loop

UNSET = -(1 << 40)
"""The place of an empty window."""

BASE, SPECIAL, FIRST = 0, 1, 2
"""Columns of a row: the place, bits of special values, the first accumulator's low word."""

NAN, POSITIVE, NEGATIVE = 1, 2, 4
"""Bits of SPECIAL: a NaN, or an infinity of either sign, was added."""

STEP = 32
"""Bits between the places of two accumulators."""

LOGGED = 4
"""The maximum number of log entries per row."""

_FRACTION = (1 << 52) - 1
_IMPLICIT = 1 << 52


@inline
def add_word(
    g: I64, rows: NDArray[np.int64], log: NDArray[np.int64], used: NDArray[np.int64],
    word: I64, place: I64, sign: I64,
) -> None:  # fmt: skip
    """Add ``word * 2**place`` units, or its negative where ``sign`` is -1 (else 0); ``word`` is unsigned."""
    if not _is_added(g, rows, word, place, sign):
        if rows[g, BASE] == UNSET:
            rows[g, BASE] = max(place, np.int64(STEP))
        _note(g, log, used, word, place, sign)


@inline
def _is_added(g: I64, rows: NDArray[np.int64], word: I64, place: I64, sign: I64) -> Any:
    """Add it if it lies in the group's window; returns whether it does."""
    # Negative distances are huge as unsigned, so one comparison covers both bounds of the window.
    s = np.uint64(place - rows[g, BASE] + STEP)
    one = np.uint64(1)
    inside = s < np.uint64((rows.shape[1] - FIRST) << 4)
    if inside:
        k = np.uint64(FIRST) + ((s >> np.uint64(5)) << one)
        shift = s & np.uint64(31)
        flip = np.uint64(sign)
        low = ((np.uint64(word) << shift) ^ flip) - flip
        high = ((np.uint64(word) >> one) >> (np.uint64(63) - shift)) ^ flip
        # A negative number is the complement plus one; the one carries if the low word is 0.
        if sign != 0 and low == np.uint64(0):
            high += one
        total = np.uint64(rows[g, k]) + low
        rows[g, k] = np.int64(total)
        if total < low:
            high += one
        rows[g, k + one] += np.int64(high)
    return inside


@inline
def _note(g: I64, log: NDArray[np.int64], used: NDArray[np.int64], word: I64, place: I64, sign: I64) -> None:
    """Add an entry to the log."""
    e = np.uint64(used[0])
    log[e, 0] = g
    log[e, 1] = place
    log[e, 2] = word
    log[e, 3] = sign
    used[0] += 1


@loop("void(i8[:,::1], i8[:,::1], i8[::1])")
def refold(rows: NDArray[np.int64], log: NDArray[np.int64], used: NDArray[np.int64]) -> None:
    """Add the log entries that lie in their group's window, which the first one opens; the others move up."""
    kept = np.int64(0)
    for e in range(used[0]):
        if not _is_added(np.uint64(log[e, 0]), rows, log[e, 2], log[e, 1], log[e, 3]):
            for k in range(4):
                log[kept, k] = log[e, k]
            kept += 1
    used[0] = kept


@inline
def significand_of(b: I64) -> I64:
    """The significand of the finite float with bits ``b``, in units of its last place."""
    fraction = b & np.int64(_FRACTION)
    return fraction if ((b >> 52) & 0x7FF) == 0 else fraction | np.int64(_IMPLICIT)


@inline
def special_bit(b: I64) -> I64:
    """The bit of SPECIAL for the non-finite float with bits ``b``."""
    if (b & np.int64(_FRACTION)) != 0:
        return np.int64(NAN)
    return np.int64(POSITIVE) if b > 0 else np.int64(NEGATIVE)


@inline
def add_product(
    g: I64, rows: NDArray[np.int64], log: NDArray[np.int64], used: NDArray[np.int64],
    a: I64, b: I64, place: I64, sign: I64,
) -> None:  # fmt: skip
    """Add ``a * b * 2**place`` units, or its negative; ``a`` and ``b`` are unsigned."""
    mask, half = np.uint64(0xFFFFFFFF), np.uint64(32)
    ua, ub = np.uint64(a), np.uint64(b)
    a0, a1, b0, b1 = ua & mask, ua >> half, ub & mask, ub >> half
    add_word(g, rows, log, used, np.int64(a0 * b0), place, sign)
    add_word(g, rows, log, used, np.int64(a0 * b1), place + 32, sign)
    add_word(g, rows, log, used, np.int64(a1 * b0), place + 32, sign)
    add_word(g, rows, log, used, np.int64(a1 * b1), place + 64, sign)


@inline
def add_square(g: I64, rows: NDArray[np.int64], log: NDArray[np.int64], used: NDArray[np.int64], x: F64) -> None:
    """Add ``x * x``, in units of 2**-2148."""
    b = np.float64(abs(x)).view(np.int64)
    exponent = (b >> 52) & 0x7FF
    if exponent == 0x7FF:
        rows[g, SPECIAL] |= special_bit(b)
    elif b != 0:
        significand = significand_of(b)
        place = 2 * (max(exponent, np.int64(1)) - 1)
        add_product(g, rows, log, used, significand, significand, place, np.int64(0))


@inline
def add_scaled(
    g: I64, rows: NDArray[np.int64], log: NDArray[np.int64], used: NDArray[np.int64], x: F64, n: I64
) -> None:
    """Add ``x * n`` for an integer ``n >= 0``, in units of 2**-1074."""
    b = np.float64(x).view(np.int64)
    exponent = (b >> 52) & 0x7FF
    if n == 0 or (b << 1) == 0:
        return
    if exponent == 0x7FF:
        rows[g, SPECIAL] |= special_bit(b)
    else:
        add_product(g, rows, log, used, significand_of(b), n, max(exponent, np.int64(1)) - 1, b >> 63)


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
