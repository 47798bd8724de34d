"""Bins of a fixed relative width, and the registers of a HyperLogLog.

A bin contains the numbers of one power of two with the same first eight bits: it is never wider than 1/128 of its
values, so its middle is within 1/256 of each of them. This needs no logarithm, so it has the same bits on every
machine. (Bins whose width grows with the value are from DDSketch, Masson et al. 2019.) A bin is represented by its
middle, which lies in it; an integer of fewer bits is its own bin.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.compiler.loops import I64, inline
from operators.kernels.hash_tables import mix

BITS = 8
"""Bits that distinguish bins."""

_CUT = 52 - (BITS - 1)
"""Bits of a float's fraction that do not distinguish bins."""

_TOP = np.int64(0x7FFFFFFFFFFFFFFF)
_INFINITE = 0x7FF0000000000000
NAN_ORDER = 0x7FF8000000000000
"""The order of NaN: above all numbers, whatever its bits."""

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
    # The least int64 is its own bin.
    if cut == np.uint64(0) or size >= np.uint64(1 << 63):
        return n
    one = np.uint64(1)
    middle = np.int64((size >> cut << cut) | one << (cut - one))
    return middle if n >= 0 else -middle


@inline
def middle_of_float(order: I64) -> I64:
    """The middle of a float's bin; both are in ``operators.kernels.bits.float_order``."""
    bits = order ^ ((order >> 63) & np.int64(0x7FFFFFFFFFFFFFFF))
    size = bits & np.int64(0x7FFFFFFFFFFFFFFF)
    if size >= np.int64(_INFINITE):
        return order
    if size < np.int64(1 << 52):
        # Subnormal floats: multiples of the least one.
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
    """One plus the number of leading zeros in the rest of a hash, at most 64 - PRECISION + 1."""
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
    """How many of the ascending ``edges`` are at or below ``v``."""
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
    # The absolute value of the least int64 is itself, which is correct as an unsigned integer.
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
