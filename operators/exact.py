"""Exact arithmetic on whole answers: sums in two words, ratios and roots that are rounded once."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.errors import OverflowExceeded

_LOW = np.int64(0xFFFFFFFF)


def settle_pair(low: NDArray[np.int64], high: NDArray[np.int64]) -> None:
    """Carry from ``low`` to ``high``: afterwards ``low`` is in [0, 2**32). In place."""
    high += low >> 32
    low &= _LOW


def exact_ints(low: NDArray[np.int64], high: NDArray[np.int64]) -> list[int]:
    """The sums as Python integers of any size."""
    return [h * 2**32 + w for h, w in zip(high.tolist(), low.tolist(), strict=True)]


def fits(high: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which settled pairs fit in int64."""
    out: NDArray[np.bool_] = (high >= -(2**31)) & (high < 2**31)
    return out


def pair_to_int(low: NDArray[np.int64], high: NDArray[np.int64], what: str) -> NDArray[np.int64]:
    """The sums as int64; OverflowExceeded naming ``what`` where one does not fit."""
    if not fits(high).all():
        raise OverflowExceeded(f"{what} exceeds the 64-bit integer range; divide or filter before summing")
    return (high << 32) + low


def pair_ratio(
    low: NDArray[np.int64], high: NDArray[np.int64], over_low: NDArray[np.int64], over_high: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Correctly rounded quotients of two exact sums; the divisors are not zero."""
    small = (np.abs(high) < 2**20) & (np.abs(over_high) < 2**20)
    with np.errstate(divide="ignore", invalid="ignore"):
        out: NDArray[np.float64] = ((high << 32) + low) / ((over_high << 32) + over_low)
    # Past 2**53 the operands themselves would be rounded; Python divides integers of any size correctly.
    for i in np.flatnonzero(~small).tolist():
        one: Any = slice(i, i + 1)
        out[i] = exact_ints(low[one], high[one])[0] / exact_ints(over_low[one], over_high[one])[0]
    return out


def pair_mean(low: NDArray[np.int64], high: NDArray[np.int64], n: NDArray[np.int64], unit: int) -> NDArray[np.float64]:
    """Correctly rounded ``sum / (n * unit)``, for ``unit`` of at most 10**9; 0 counts as 1."""
    n = np.maximum(n, 1)
    over_low, over_high = (n & _LOW) * unit, (n >> 32) * unit
    settle_pair(over_low, over_high)
    return pair_ratio(low, high, over_low, over_high)


def ratio(a: int, b: int, exponent: int = 0) -> float:
    """``a / b * 2**exponent``, rounded once; infinite where it exceeds the largest float64."""
    a, b = (a << exponent, b) if exponent > 0 else (a, b << -exponent)
    try:
        return a / b
    except OverflowError:
        return math.inf if (a > 0) == (b > 0) else -math.inf


def root(a: int, b: int, exponent: int = 0) -> float:
    """The square root of ``a / b * 2**exponent`` (not negative), rounded once; ``exponent`` is even."""
    if a == 0:
        return 0.0
    # At least 64 bits of the root, below which one sticky bit says whether anything is left: so the one rounding, of
    # the quotient by a power of two, is that of the exact root.
    up = max(0, 128 - a.bit_length() + b.bit_length() + 1)
    up += up % 2
    square, rest = divmod(a << up, b)
    found = math.isqrt(square)
    sticky = int(rest != 0 or found * found != square)
    return ratio(2 * found + sticky, 2, (exponent - up) // 2)
