"""Exact arithmetic on results: integer sums in two words, ratios and roots rounded once."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from operators.errors import OverflowExceeded
from operators.sums.double_word import ERROR, MANY, Twofold, divide, in_range, multiply, rounded, two_sum

_LOW = np.int64(0xFFFFFFFF)


def settle_pair(low: NDArray[np.int64], high: NDArray[np.int64]) -> None:
    """Carry from ``low`` to ``high``: afterwards ``low`` is in [0, 2**32). In place."""
    high += low >> 32
    low &= _LOW


class Sums(Protocol):
    """The exact sums of some groups: ``PairSums``, or those of ``ExactSum`` and ``FloatSum``."""

    def take(self, at: NDArray[np.intp]) -> Sums:
        """The sums of the groups ``at``."""

    def twofold(self) -> Twofold:
        """The sums with about 100 bits; NaN if unknown, or if there were infinities or NaN."""

    def integers(self) -> list[int]:
        """The sums as Python integers, in some unit."""


@dataclass(frozen=True)
class PairSums:
    """Settled sums of integers in two words: ``high * 2**32 + low``."""

    low: NDArray[np.int64]
    high: NDArray[np.int64]

    def take(self, at: NDArray[np.intp]) -> PairSums:
        """See ``Sums``."""
        return PairSums(self.low[at], self.high[at])

    def twofold(self) -> Twofold:
        """See ``Sums``."""
        known = np.abs(self.high) < 2**52
        return two_sum(np.where(known, self.high * 2.0**32, np.nan), self.low.astype(np.float64))

    def integers(self) -> list[int]:
        """See ``Sums``."""
        return [h * 2**32 + w for h, w in zip(self.high.tolist(), self.low.tolist(), strict=True)]


def in_floats(
    values: NDArray[np.float64], special: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Rounded results, and which of them are valid: a result beyond the largest float is not.

    ``special``: the results of infinities and NaN among the inputs, which are valid; 0 if there were none.
    """
    out = np.where(special == 0, values, special)
    ok = np.isfinite(out) | (special != 0)
    return np.where(ok, out, 0.0), ok


def fits(high: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which settled pairs fit in int64."""
    out: NDArray[np.bool_] = (high >= -(2**31)) & (high < 2**31)
    return out


def pair_to_int(low: NDArray[np.int64], high: NDArray[np.int64], what: str) -> NDArray[np.int64]:
    """The sums as int64; OverflowExceeded naming ``what`` if one does not fit."""
    fit = fits(high)
    if not fit.all():
        text = f"{what} exceeds the 64-bit integer range; divide or filter before summing"
        raise OverflowExceeded(text, int(np.argmin(fit)))
    return (high << 32) + low


def quotients(above: Sums, below: PairSums, up: int = 1, down: int = 1, lowest: int = 0) -> NDArray[np.float64]:
    """``above * up / (below * down)``, each rounded once; 0 where ``below`` is 0.

    The integers of ``above`` are in units of 2**lowest; ``up`` and ``down`` are exact as floats.
    """
    groups = len(below.low)
    out, certain = np.zeros(groups), np.zeros(groups, np.bool_)
    if groups >= MANY:
        factor, nothing = np.ones(groups), np.zeros(groups)
        with np.errstate(all="ignore"):
            a = multiply(above.twofold(), (factor * up, nothing))
            found = divide(a, multiply(below.twofold(), (factor * down, nothing)))
            out, certain = rounded(found, np.abs(found[0]) * ERROR)
        certain = (certain & in_range(a[0])) | (a[0] == 0)
        out = np.where(certain & (a[0] != 0), out, 0.0)
    left = np.flatnonzero(~certain)
    for g, p, q in zip(left.tolist(), above.take(left).integers(), below.take(left).integers(), strict=True):
        out[g] = ratio(p * up, q * down, lowest) if q else 0.0
    return out


def nearest_quotients(above: PairSums, below: NDArray[np.int64]) -> NDArray[np.int64]:
    """``above / below`` to the nearest integers, ties to even; 0 where ``below`` is 0.

    The quotients fit in int64, like means of int64 values.
    """
    narrow = fits(above.high)
    total = np.where(narrow, (above.high << 32) + above.low, 0)
    by = np.maximum(below, 1)
    whole = total // by
    rest = total - whole * by
    out: NDArray[np.int64] = whole + ((rest > by - rest) | ((rest == by - rest) & (whole & 1 == 1)))
    left = np.flatnonzero(~narrow)
    for g, a in zip(left.tolist(), above.take(left).integers(), strict=True):
        out[g] = nearest(a, int(by[g]))
    return np.where(below == 0, 0, out)


def nearest(a: int, b: int) -> int:
    """The integer nearest to ``a / b``, ties to even."""
    whole, rest = divmod(a, b)
    return whole + (2 * rest > b or (2 * rest == b and whole % 2 == 1))


def nearest_root(a: int, b: int) -> int:
    """The integer nearest to the square root of ``a / b`` (not negative), ties to even."""
    whole = math.isqrt(a // b)
    # Compare with the square of the midpoint between two integers.
    past = 4 * a - b * (2 * whole + 1) ** 2
    return whole + (past > 0 or (past == 0 and whole % 2 == 1))


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
    # At least 64 bits of the root and a sticky bit for the rest: the one rounding, in the division by a power of two,
    # is then that of the exact root.
    up = max(0, 128 - a.bit_length() + b.bit_length() + 1)
    up += up % 2
    square, rest = divmod(a << up, b)
    found = math.isqrt(square)
    sticky = int(rest != 0 or found * found != square)
    return ratio(2 * found + sticky, 2, (exponent - up) // 2)
