"""Double-word arithmetic on arrays: numbers of about 100 bits as a float and its error (T. J. Dekker, 1971), and their
rounding where the error cannot matter.

The algorithms and their error bounds are those of M. Joldes, J.-M. Muller and V. Popescu, "Tight and rigorous error
bounds for basic building blocks of double-word arithmetic" (2017). No bound there exceeds 16 * 2**-106. Numbers are in
the range in which no part of a product is subnormal or infinite (``in_range``).
"""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Twofold: TypeAlias = tuple[Floats, Floats]

MANY = 64
"""From this many numbers on this is faster than Python's integers."""

ERROR = 2.0**-96
"""An upper bound of the relative error of half a dozen operations in sequence."""

_SPLIT = 2.0**27 + 1


def _fast_sum(a: Floats, b: Floats) -> Twofold:
    """Like ``two_sum``, if ``a`` is the larger one or zero."""
    total = a + b
    return total, b - (total - a)


def two_sum(a: Floats, b: Floats) -> Twofold:
    """``a + b`` without error."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


def _halves(a: Floats) -> Twofold:
    high = _SPLIT * a
    high -= high - a
    return high, a - high


def two_product(a: Floats, b: Floats) -> Twofold:
    """``a * b`` without error."""
    product = a * b
    (ah, al), (bh, bl) = _halves(a), _halves(b)
    return product, ((ah * bh - product) + ah * bl + al * bh) + al * bl


def add(x: Twofold, y: Twofold) -> Twofold:
    """``x + y``."""
    high, low = two_sum(x[0], y[0])
    more, least = two_sum(x[1], y[1])
    high, low = _fast_sum(high, low + more)
    return _fast_sum(high, low + least)


def subtract(x: Twofold, y: Twofold) -> Twofold:
    """``x - y``."""
    return add(x, (-y[0], -y[1]))


def multiply(x: Twofold, y: Twofold) -> Twofold:
    """``x * y``."""
    high, low = two_product(x[0], y[0])
    return _fast_sum(high, low + (x[0] * y[1] + x[1] * y[0]))


def divide(x: Twofold, y: Twofold) -> Twofold:
    """``x / y``; ``y`` is not zero."""
    first = x[0] / y[0]
    rest = subtract(x, multiply(y, (first, np.zeros_like(first))))
    return _fast_sum(first, rest[0] / y[0])


def square_root(x: Twofold) -> Twofold:
    """The square root of ``x``, which is positive."""
    first = np.sqrt(x[0])
    square, lost = two_product(first, first)
    return _fast_sum(first, (((x[0] - square) - lost) + x[1]) / (2 * first))


def in_range(x: Floats) -> NDArray[np.bool_]:
    """Which numbers allow products of four of them."""
    size = np.abs(x)
    out: NDArray[np.bool_] = (size > 2.0**-200) & (size < 2.0**200)
    return out


def rounded(x: Twofold, error: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """The float nearest to ``x``, and whether it is certainly also the nearest to any number within ``error`` of ``x``
    (A. Ziv, 1991); ``error`` is at least 2**-100 of ``x``, so that the low part can decide.
    """
    high, low = _fast_sum(*x)
    return high, (high + (low - error) == high) & (high + (low + error) == high)
