"""Bins of a fixed relative width, and the numbers of a HyperLogLog.

A bin is a float's exponent and the first six bits of its fraction, so that it is never wider than 1/64 of its values:
its middle is within 0.8 % of each of them. That takes no logarithm, hence has the same bits on every machine. (The idea
of bins whose width grows with the value is that of DDSketch, Masson et al. 2019.)
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.kernels.arithmetic import float_floor_div
from operators.kernels.jit import F64, I64, inline
from operators.kernels.tables import mix

_FRACTION = 6
"""Bits of the fraction that tell bins apart."""

_SHIFT = 52 - _FRACTION
_ZERO = 4096
"""Added to a bin's number, so that the least positive float still has a positive one."""

NAN_BIN = 1 << 20

PRECISION = 12
"""Registers of a HyperLogLog are 2**PRECISION: its relative standard error is 1.04 / 2**(PRECISION / 2), 1.63 %."""

SEED = 0x5DEECE66D


@inline
def relative_bin(x: F64) -> I64:
    """The bin of ``x``: 0 for zero, negative for negative values, in the order of the values; NAN_BIN for NaN."""
    x = np.float64(x)
    b = x.view(np.int64) & np.int64(0x7FFFFFFFFFFFFFFF)
    if b == 0:
        return np.int64(0)
    if b > np.int64(0x7FF0000000000000):
        return np.int64(NAN_BIN)
    if b < np.int64(0x0010000000000000):
        # Subnormal: bring it into range, and count its exponent down.
        n = (np.float64(abs(x) * 2.0**54).view(np.int64) >> _SHIFT) - (54 << _FRACTION)
    else:
        n = b >> _SHIFT
    n += _ZERO
    return -n if x < 0.0 else n


@inline
def register_of(h: I64) -> I64:
    """The register that a 64-bit hash belongs to."""
    return np.int64(np.uint64(h) >> np.uint64(64 - PRECISION))


@inline
def rank_of(h: I64) -> I64:
    """One more than the number of zeros that lead the rest of a hash, at most 64 - PRECISION + 1."""
    rest = np.uint64(h) << np.uint64(PRECISION)
    rank = np.int64(1)
    while rank <= 64 - PRECISION and (rest >> np.uint64(63)) == 0:
        rest <<= np.uint64(1)
        rank += 1
    return rank


@inline
def hash_word(word: I64) -> I64:
    """A 64-bit hash of one word, with a fixed seed."""
    return mix(mix(np.int64(SEED), word), np.int64(1))


@inline
def bin_between(v: Any, edges: NDArray[Any]) -> I64:
    """How many of the rising ``edges`` are at or below ``v``."""
    lo = np.int64(0)
    hi = np.int64(edges.shape[0])
    while lo < hi:
        middle = (lo + hi) >> 1
        if edges[middle] <= v:
            lo = middle + 1
        else:
            hi = middle
    return lo


@inline
def bin_of_width(v: F64, width: F64, flags: NDArray[np.int64]) -> I64:
    """``floor(v / width)``; ``flags[0]`` is set where that is no int64."""
    n = float_floor_div(v, width)
    if not abs(n) < 9.2e18:
        flags[0] = 1
        return np.int64(0)
    return np.int64(n)


def middles(bins: NDArray[np.int64]) -> NDArray[np.float64]:
    """The middle of each bin of ``relative_bin``."""
    n = np.abs(bins) - _ZERO
    fraction = (n & ((1 << _FRACTION) - 1)).astype(np.float64)
    exponent = (n >> _FRACTION) - 1023
    with np.errstate(over="ignore"):
        size = np.ldexp(1.0 + (fraction + 0.5) / (1 << _FRACTION), exponent.astype(np.int32))
    out = np.where(bins == 0, 0.0, np.where(bins < 0, -size, size))
    return np.where(bins == NAN_BIN, np.nan, out)
