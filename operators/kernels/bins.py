"""Bins of a fixed relative width, and the numbers of a HyperLogLog.

A bin holds the numbers of one power of two whose first eight bits are the same: it is never wider than 1/128 of its
values, so that its middle is within 1/256 of each of them. That takes no logarithm, hence has the same bits on every
machine. (The idea of bins whose width grows with the value is that of DDSketch, Masson et al. 2019.) A bin goes by its
middle, which lies in it, too; and integers of fewer bits are bins of their own.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.compiler.loops import I64, inline
from operators.kernels.hash_tables import mix

BITS = 8
"""Bits that tell bins apart."""

_CUT = 52 - (BITS - 1)
"""Bits of a float's fraction that do not."""

_TOP = np.int64(0x7FFFFFFFFFFFFFFF)
_INFINITE = 0x7FF0000000000000
NAN_ORDER = 0x7FF8000000000000
"""What NaN counts as: above all numbers, whatever its bits."""

PRECISION = 12
"""Registers of a HyperLogLog are 2**PRECISION: its relative standard error is 1.04 / 2**(PRECISION / 2), 1.63 %."""

SEED = 0x5DEECE66D


@inline
def middle_of_integer(n: I64) -> I64:
    """The middle of the bin of an integer."""
    size = np.uint64(n) if n >= 0 else np.uint64(0) - np.uint64(n)
    rest, cut = size >> np.uint64(BITS), np.uint64(0)
    for step in (32, 16, 8, 4, 2, 1):
        if (rest >> np.uint64(step - 1)) >> np.uint64(1) != np.uint64(0):
            rest >>= np.uint64(step)
            cut += np.uint64(step)
    cut += np.uint64(1) if rest != np.uint64(0) else np.uint64(0)
    # The least integer of all has a bin of its own.
    if cut == np.uint64(0) or size >= np.uint64(1 << 63):
        return n
    one = np.uint64(1)
    middle = np.int64((size >> cut << cut) | one << (cut - one))
    return middle if n >= 0 else -middle


@inline
def middle_of_float(order: I64) -> I64:
    """The middle of the bin of a float; both go by ``operators.kernels.bits.float_order``."""
    bits = order ^ ((order >> 63) & np.int64(0x7FFFFFFFFFFFFFFF))
    size = bits & np.int64(0x7FFFFFFFFFFFFFFF)
    if size >= np.int64(_INFINITE):
        return order
    if size < np.int64(1 << 52):
        # Below the range of normal floats, where they are multiples of the least one.
        size = np.int64(middle_of_integer(size))
    else:
        size = (size >> _CUT << _CUT) | np.int64(1 << _CUT - 1)
    return size if order >= 0 else ~size


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


def middles_of_integers(n: NDArray[np.int64]) -> NDArray[np.int64]:
    """``middle_of_integer`` of each."""
    # The absolute value of the least integer is itself, and is right as an unsigned one.
    size = np.abs(n).view(np.uint64)
    rest, cut = size >> np.uint64(BITS), np.zeros(len(n), np.uint64)
    for step in (32, 16, 8, 4, 2, 1):
        more = np.where(rest >> np.uint64(step - 1) >> np.uint64(1) != 0, np.uint64(step), np.uint64(0))
        rest, cut = rest >> more, cut + more
    cut += (rest != 0).astype(np.uint64)
    half = np.where(cut > 0, np.uint64(1) << np.maximum(cut, np.uint64(1)) - np.uint64(1), np.uint64(0))
    middle = ((size >> cut << cut) | half).view(np.int64)
    out: NDArray[np.int64] = np.where(size >= np.uint64(1 << 63), n, np.where(n >= 0, middle, -middle))
    return out


def middles_of_floats(order: NDArray[np.int64]) -> NDArray[np.int64]:
    """``middle_of_float`` of each."""
    size = (order ^ ((order >> 63) & _TOP)) & _TOP
    normal = (size >> _CUT << _CUT) | np.int64(1 << _CUT - 1)
    middle = np.where(size < 1 << 52, middles_of_integers(np.minimum(size, 1 << 52)), normal)
    out: NDArray[np.int64] = np.where(size >= _INFINITE, order, np.where(order >= 0, middle, ~middle))
    return out
