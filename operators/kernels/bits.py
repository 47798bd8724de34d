"""Floats as integers: bit patterns, and an integer order that agrees with the order of floats."""

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
