"""The shortest decimal that reads back as a float, as integers: what ``repr`` prints.

The algorithm is Schubfach (R. Giulietti, "The Schubfach way to render doubles", 2021), with the constants of the
implementation by A. Bolz. It uses 64-bit integers and a table of powers of ten, and no C library.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from operators.compiler.loops import F64, I64, inline, noinline

_LEAST = -292
_MOST = 324
"""The powers of ten that floats need."""

_FRACTION = (1 << 52) - 1
_HIDDEN = 1 << 52
_BIAS = 1075


def _powers() -> NDArray[np.uint64]:
    """The first 128 bits of 10**k, rounded up, as (high, low)."""
    out = np.zeros((_MOST - _LEAST + 1, 2), np.uint64)
    for row, k in zip(out, range(_LEAST, _MOST + 1), strict=True):
        above, below = (10**k, 1) if k >= 0 else (1, 10**-k)
        # About 150 bits of the quotient, and whether there is a rest.
        up = max(0, 150 - above.bit_length() + below.bit_length())
        whole, rest = divmod(above << up, below)
        cut = whole.bit_length() - 128
        bits = (whole >> cut) + (rest != 0 or whole & ((1 << cut) - 1) != 0)
        row[0], row[1] = bits >> 64, bits & (2**64 - 1)
    return out


_POWERS = _powers()


@inline
def high_word(a: I64, b: I64) -> I64:
    """The upper 64 bits of the product of two unsigned words."""
    mask, half = np.uint64(0xFFFFFFFF), np.uint64(32)
    a, b = np.uint64(a), np.uint64(b)
    a0, a1, b0, b1 = a & mask, a >> half, b & mask, b >> half
    middle = a1 * b0 + ((a0 * b0) >> half)
    other = a0 * b1 + (middle & mask)
    return a1 * b1 + (middle >> half) + (other >> half)


@inline
def _rounded_to_odd(row: I64, c: I64) -> I64:
    """The product of a power of ten and ``c``, truncated to 64 bits, with the last one as sticky bit."""
    c, one = np.uint64(c), np.uint64(1)
    high, low = _POWERS[row, 0], _POWERS[row, 1]
    below = high_word(low, c)
    middle = high * c + below
    out = high_word(high, c)
    if middle < below:
        out += one
    return out | one if middle > one else out


@noinline
def shortest_decimal(x: F64) -> tuple[I64, I64]:
    """``(digits, exponent)``: among the decimals ``digits * 10**exponent`` whose nearest float is ``x``, those with the
    fewest digits, and of these the nearest to ``x``. ``x`` is positive and finite."""
    b = np.float64(x).view(np.int64)
    fraction, biased = b & np.int64(_FRACTION), b >> 52
    if biased != 0:
        c, q = fraction | np.int64(_HIDDEN), biased - np.int64(_BIAS)
        if -53 < q <= 0 and (c & ((np.int64(1) << -q) - 1)) == 0:
            # An integer.
            return c >> -q, np.int64(0)
    else:
        c, q = fraction, np.int64(1 - _BIAS)
    odd = np.uint64(c & 1)
    closer = np.int64(1) if fraction == 0 and biased > 1 else np.int64(0)
    k = (q * 1262611 - closer * 524031) >> 22
    h = np.uint64(q + ((-k * 1741647) >> 19) + 1)
    row = np.uint64(-k - _LEAST)
    four = np.uint64(4)
    lower = _rounded_to_odd(row, np.uint64(4 * c - 2 + closer) << h) + odd
    value = _rounded_to_odd(row, np.uint64(4 * c) << h)
    upper = _rounded_to_odd(row, np.uint64(4 * c + 2) << h) - odd
    s = value // four
    if s >= np.uint64(10):
        # One digit fewer.
        tens = s // np.uint64(10)
        down, up = lower <= np.uint64(40) * tens, np.uint64(40) * tens + np.uint64(40) <= upper
        if down != up:
            return np.int64(tens) + np.int64(up), k + 1
    down, up = lower <= four * s, four * s + four <= upper
    if down != up:
        return np.int64(s) + np.int64(up), k
    middle = four * s + np.uint64(2)
    more = value > middle or (value == middle and (s & np.uint64(1)) != np.uint64(0))
    return np.int64(s) + np.int64(more), k
