"""Interpolation between pairs of numbers: exact, rounded once, on arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from operators.sums.double_word import (
    MANY,
    Floats,
    Twofold,
    add,
    divide,
    in_range,
    multiply,
    rounded,
    subtract,
    two_sum,
)
from operators.sums.rounding import nearest

Ints = NDArray[np.int64]

_ERROR = 2.0**-96
"""An upper bound of the error of a difference, a product, a sum and a quotient, relative to both ends."""

_MASK = np.int64(0xFFFFFFFF)


@dataclass(frozen=True)
class Shares:
    """Positions between the lower and the higher number, in [0, 1): pair i has ``values[which[i]]``."""

    values: Sequence[Fraction]
    which: NDArray[np.intp]

    def __len__(self) -> int:
        return len(self.which)

    def __getitem__(self, i: int) -> Fraction:
        return self.values[int(self.which[i])]

    def take(self, at: NDArray[np.intp]) -> Shares:
        """The shares of the pairs ``at``."""
        return Shares(self.values, self.which[at])

    def twofold(self) -> Twofold:
        """The shares with about 100 bits."""
        high = [float(s) for s in self.values]
        low = [float(s - Fraction(h)) for s, h in zip(self.values, high, strict=True)]
        return np.array(high)[self.which], np.array(low)[self.which]


def between_floats(low: Floats, high: Floats, shares: Shares) -> Floats:
    """``low + share * (high - low)``, to the nearest float. Next to an infinity it is infinite, between two of them
    NaN."""
    part = shares.twofold()[0]
    out = low.copy()
    inner = (low != high) & (part != 0)
    finite = np.isfinite(low) & np.isfinite(high)
    with np.errstate(invalid="ignore"):
        weighed = (1 - part) * low + part * high
    ends = inner & ~finite
    # The same NaN on all machines.
    out[ends] = np.where(np.isnan(weighed), np.nan, weighed)[ends]
    at = np.flatnonzero(inner & finite)
    a, b, zero = low[at], high[at], np.zeros(len(at))
    out[at] = _between((a, zero), (b, zero), shares.take(at), 1, lambda i: (Fraction(a[i]), Fraction(b[i])))
    return out


def between_integers(low: Ints, high: Ints, unit: int, shares: Shares) -> Floats:
    """``(low + share * (high - low)) / unit``, to the nearest float."""
    pair: Callable[[int], tuple[Fraction, Fraction]] = lambda i: (Fraction(int(low[i])), Fraction(int(high[i])))  # noqa: E731
    return _between(_twofold(low), _twofold(high), shares, unit, pair)


def between_lengths(low: Ints, high: Ints, shares: Shares) -> Ints:
    """``low + share * (high - low)``, to the nearest integer, ties to even."""
    out = low.copy()
    for i in np.flatnonzero((low != high) & (shares.twofold()[0] != 0)).tolist():
        a, b, share = int(low[i]), int(high[i]), shares[i]
        out[i] = nearest(a * share.denominator + (b - a) * share.numerator, share.denominator)
    return out


def _twofold(n: Ints) -> Twofold:
    return two_sum((n >> 32).astype(np.float64) * 2.0**32, (n & _MASK).astype(np.float64))


def _between(
    low: Twofold, high: Twofold, shares: Shares, unit: int, pair: Callable[[int], tuple[Fraction, Fraction]]
) -> Floats:
    """In double-word arithmetic, and with fractions where the nearest float is not certain."""
    out, certain = np.zeros(len(shares)), np.zeros(len(shares), np.bool_)
    if len(shares) >= MANY:
        share = shares.twofold()
        by = np.full(len(shares), float(unit)), np.zeros(len(shares))
        with np.errstate(all="ignore"):
            difference = subtract(high, low)
            found = divide(add(low, multiply(difference, share)), by)
            size = (np.abs(low[0]) + np.abs(high[0])) / by[0]
            out, certain = rounded(found, size * _ERROR)
        certain &= in_range(out) & ((difference[0] == 0) | in_range(difference[0])) & in_range(1 - share[0])
        certain &= (share[0] == 0) | in_range(share[0])
    for i in np.flatnonzero(~certain).tolist():
        a, b = pair(i)
        out[i] = float((a + shares[i] * (b - a)) / unit)
    return out
