"""Numbers as whole counts of 10**-p, exactly or rounded as told.

``flags[0]`` is set where a result does not fit in 64 bits, ``flags[1]`` where a value has more places than declared.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from operators.kernels.arithmetic import checked_mul
from operators.kernels.jit import F64, I64, inline

_LARGEST = 2.0**51
"""Below it a product with a power of ten is off by an eighth at most: its nearest integer is the only candidate."""

_SPLIT = 134217729.0
"""2**27 + 1: cuts a float into two halves (Dekker 1971)."""


@inline
def decimal_exact(x: F64, unit: F64, flags: NDArray[np.int64]) -> I64:
    """The count whose quotient by ``unit`` (a power of ten up to 10**9) is the float ``x``; else ``flags[1]``."""
    scaled = x * unit
    if not abs(scaled) < _LARGEST:
        flags[1] = 1
        return np.int64(0)
    n = np.rint(scaled)
    if n / unit != x:
        flags[1] = 1
    return np.int64(n)


@inline
def _past_half(x: F64, unit: F64, floor: F64) -> F64:
    """The sign of ``x * unit - (floor + 1/2)``, exactly."""
    product = x * unit
    # The product's own rounding error, by Dekker's splitting: nothing here overflows below _LARGEST.
    t = _SPLIT * x
    high = t - (t - x)
    low = x - high
    t = _SPLIT * unit
    unit_high = t - (t - unit)
    unit_low = unit - unit_high
    error = ((high * unit_high - product) + high * unit_low + low * unit_high) + low * unit_low
    return (product - floor - 0.5) + error


@inline
def decimal_half_even(x: F64, unit: F64, flags: NDArray[np.int64]) -> I64:
    """The count nearest to ``x * unit``, ties to even."""
    scaled = x * unit
    if not abs(scaled) < _LARGEST:
        flags[1] = 1
        return np.int64(0)
    floor = np.floor(scaled)
    side = _past_half(x, unit, floor)
    n = np.int64(floor)
    if side > 0.0 or (side == 0.0 and n & 1 == 1):
        n += 1
    return n


@inline
def decimal_half_up(x: F64, unit: F64, flags: NDArray[np.int64]) -> I64:
    """The count nearest to ``x * unit``, ties away from zero."""
    scaled = abs(x) * unit
    if not scaled < _LARGEST:
        flags[1] = 1
        return np.int64(0)
    floor = np.floor(scaled)
    n = np.int64(floor)
    if _past_half(abs(x), unit, floor) >= 0.0:
        n += 1
    return -n if x < 0.0 else n


@inline
def coarser_exact(a: I64, by: I64, flags: NDArray[np.int64]) -> I64:
    """``a / by`` where that is whole; else ``flags[1]``."""
    if a % by != 0:
        flags[1] = 1
    return a // by


@inline
def coarser_half_even(a: I64, by: I64, flags: NDArray[np.int64]) -> I64:
    """``a / by`` to the nearest integer, ties to even."""
    whole = a // by
    twice = 2 * (a - whole * by)
    if twice > by or (twice == by and whole & 1 == 1):
        whole += 1
    return whole


@inline
def coarser_half_up(a: I64, by: I64, flags: NDArray[np.int64]) -> I64:
    """``a / by`` to the nearest integer, ties away from zero."""
    whole = a // by
    twice = 2 * (a - whole * by)
    if twice > by or (twice == by and a >= 0):
        whole += 1
    return whole


@inline
def finer(a: I64, by: I64, flags: NDArray[np.int64]) -> I64:
    """``a * by``."""
    return checked_mul(a, by, flags)
