"""Products and powers for windowed superaccumulators (``windowed_sums``), in as few words as possible.

A product of two integers has up to 128 bits, a fourth power 252: they are computed in words of 64 bits, without
rounding, and each word is added at its place. A row may add ``LOGGED`` words to a sum.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from operators.compiler.loops import F64, I64, inline
from operators.kernels.sums.windowed_sums import SPECIAL, add_word, significand_of, special_bit

CUBES, FOURTHS = -3 * 1074, -4 * 1074
"""The exponents of the units of third and fourth powers of floats."""


@inline
def _high(a: I64, b: I64) -> I64:
    """The high word of the product of two unsigned words."""
    mask, half = np.uint64(0xFFFFFFFF), np.uint64(32)
    a0, a1, b0, b1 = a & mask, a >> half, b & mask, b >> half
    middle = a1 * b0 + ((a0 * b0) >> half)
    other = a0 * b1 + (middle & mask)
    return a1 * b1 + (middle >> half) + (other >> half)


@inline
def _carried(total: I64, part: I64) -> I64:
    """1 if a sum of unsigned words, of which one was ``part``, has overflowed."""
    return np.uint64(1) if total < part else np.uint64(0)


@inline
def _add(
    g: I64, rows: NDArray[np.int64], log: NDArray[np.int64], used: NDArray[np.int64], word: I64, place: I64, sign: I64
) -> None:
    if word != np.uint64(0):
        add_word(g, rows, log, used, np.int64(word), place, sign)


@inline
def _add_cube(
    g: I64, rows: NDArray[np.int64], log: NDArray[np.int64], used: NDArray[np.int64], size: I64, place: I64, sign: I64
) -> None:
    m = np.uint64(size)
    low, high = m * m, _high(m, m)
    first, second = low * m, high * m
    carry = _high(low, m)
    middle = second + carry
    _add(g, rows, log, used, first, place, sign)
    _add(g, rows, log, used, middle, place + 64, sign)
    _add(g, rows, log, used, _high(high, m) + _carried(middle, carry), place + 128, sign)


@inline
def _add_fourth(
    g: I64, rows: NDArray[np.int64], log: NDArray[np.int64], used: NDArray[np.int64], size: I64, place: I64
) -> None:
    m = np.uint64(size)
    one, last, none = np.uint64(1), np.uint64(63), np.int64(0)
    low, high = m * m, _high(m, m)
    # (low + high * 2**64) ** 2, the product of the two parts doubled.
    both, above = low * high, _high(low, high)
    carry = _high(low, low)
    second = (both << one) + carry
    more = _carried(second, carry)
    middle = (above << one) | (both >> last)
    square = high * high
    third = square + middle
    least = _carried(third, square)
    third += more
    most = _high(high, high) + (above >> last) + least + _carried(third, more)
    _add(g, rows, log, used, low * low, place, none)
    _add(g, rows, log, used, second, place + 64, none)
    _add(g, rows, log, used, third, place + 128, none)
    _add(g, rows, log, used, most, place + 192, none)


@inline
def add_cube(g: I64, rows: NDArray[np.int64], log: NDArray[np.int64], used: NDArray[np.int64], x: F64) -> None:
    """Add ``x ** 3``, in units of 2**CUBES; nothing for infinities and NaN."""
    b = np.float64(x).view(np.int64)
    exponent = (b >> 52) & 0x7FF
    if exponent != 0x7FF and (b << 1) != 0:
        _add_cube(g, rows, log, used, significand_of(b), 3 * (max(exponent, np.int64(1)) - 1), b >> 63)


@inline
def add_fourth(g: I64, rows: NDArray[np.int64], log: NDArray[np.int64], used: NDArray[np.int64], x: F64) -> None:
    """Add ``x ** 4``, in units of 2**FOURTHS; nothing for infinities and NaN."""
    b = np.float64(x).view(np.int64)
    exponent = (b >> 52) & 0x7FF
    if exponent != 0x7FF and (b << 1) != 0:
        _add_fourth(g, rows, log, used, significand_of(b), 4 * (max(exponent, np.int64(1)) - 1))


@inline
def add_integer_cube(g: I64, rows: NDArray[np.int64], log: NDArray[np.int64], used: NDArray[np.int64], x: I64) -> None:
    """Add ``x ** 3`` for an int64, in units of 1."""
    size = np.uint64(x) if x >= 0 else np.uint64(0) - np.uint64(x)
    _add_cube(g, rows, log, used, np.int64(size), np.int64(0), np.int64(x) >> 63)


@inline
def add_integer_fourth(
    g: I64, rows: NDArray[np.int64], log: NDArray[np.int64], used: NDArray[np.int64], x: I64
) -> None:
    """Add ``x ** 4`` for an int64, in units of 1."""
    size = np.uint64(x) if x >= 0 else np.uint64(0) - np.uint64(x)
    _add_fourth(g, rows, log, used, np.int64(size), np.int64(0))


@inline
def add_float_product(
    g: I64, rows: NDArray[np.int64], log: NDArray[np.int64], used: NDArray[np.int64], x: F64, y: F64
) -> None:
    """Add ``x * y``, in units of 2**-2148; nothing for infinities and NaN."""
    a, b = np.float64(x).view(np.int64), np.float64(y).view(np.int64)
    above, below = (a >> 52) & 0x7FF, (b >> 52) & 0x7FF
    if above != 0x7FF and below != 0x7FF and (a << 1) != 0 and (b << 1) != 0:
        m, n = np.uint64(significand_of(a)), np.uint64(significand_of(b))
        place = max(above, np.int64(1)) + max(below, np.int64(1)) - 2
        _add(g, rows, log, used, m * n, place, (a ^ b) >> 63)
        _add(g, rows, log, used, _high(m, n), place + 64, (a ^ b) >> 63)


@inline
def add_integer_product(
    g: I64, rows: NDArray[np.int64], log: NDArray[np.int64], used: NDArray[np.int64], x: I64, y: I64
) -> None:
    """Add ``x * y`` for two int64, in units of 1."""
    m = np.uint64(x) if x >= 0 else np.uint64(0) - np.uint64(x)
    n = np.uint64(y) if y >= 0 else np.uint64(0) - np.uint64(y)
    sign = (np.int64(x) ^ np.int64(y)) >> 63
    _add(g, rows, log, used, m * n, np.int64(0), sign)
    _add(g, rows, log, used, _high(m, n), np.int64(64), sign)


@inline
def add_float_scaled(
    g: I64, rows: NDArray[np.int64], log: NDArray[np.int64], used: NDArray[np.int64], x: F64, n: I64
) -> None:
    """Add ``x * n`` for an integer ``n >= 0``, in units of 2**-1074: ``add_scaled`` in at most two words."""
    b = np.float64(x).view(np.int64)
    exponent = (b >> 52) & 0x7FF
    if n == 0 or (b << 1) == 0:
        return
    if exponent == 0x7FF:
        rows[g, SPECIAL] |= special_bit(b)
    else:
        m, place = np.uint64(significand_of(b)), max(exponent, np.int64(1)) - 1
        _add(g, rows, log, used, m * np.uint64(n), place, b >> 63)
        _add(g, rows, log, used, _high(m, np.uint64(n)), place + 64, b >> 63)
