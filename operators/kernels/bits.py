"""Floats as integers: bit patterns, and an integer order that agrees with the order of floats. Hashes of integers."""

from __future__ import annotations

import numpy as np

from operators.compiler.loops import F64, I64, inline


@inline
def float_bits(x: F64) -> I64:
    """The 64 bits of ``x`` as int64."""
    return np.float64(x).view(np.int64)


@inline
def float_order(x: F64) -> I64:
    """An int64 that orders floats as IEEE 754's totalOrder does: -0.0 before 0.0, so extremes are unique."""
    b = np.float64(x).view(np.int64)
    return b ^ ((b >> 63) & np.int64(0x7FFFFFFFFFFFFFFF))


@inline
def order_float(order: I64) -> F64:
    """The float with this ``float_order``."""
    return np.int64(order ^ ((order >> 63) & np.int64(0x7FFFFFFFFFFFFFFF))).view(np.float64)


@inline
def hash_of_integer(x: I64) -> I64:
    """The hash of an integer as a key, as a signed integer: see ``runtime.pointfile.hashing``."""
    left, h = np.uint64(x), np.uint64(0x19C57EEC2E6329AC)  # after ``antfold1``
    for _ in range(8):
        h = (h ^ (left & np.uint64(0xFF))) * np.uint64(0x100000001B3)
        left = left >> np.uint64(8)
    h = (h ^ (h >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    h = (h ^ (h >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
    return np.int64(h ^ (h >> np.uint64(33)))
