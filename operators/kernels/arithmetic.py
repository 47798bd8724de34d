"""Integer arithmetic that detects overflow, and floor division as Python defines it.

The first time that a result does not fit in 64 bits, ``flags[0]`` is set to ``site``, the number of the expression,
plus ``SITES`` times ``row + 1``. The caller turns that into an error after the kernel has returned. Sums and products
are unsigned: signed overflow is undefined in LLVM, which would remove the check for it.
"""

from __future__ import annotations

import math
import sys

import numpy as np
from numpy.typing import NDArray

from operators.compiler.loops import F64, I64, inline

_MIN = np.int64(-(2**63))
_LARGEST = sys.float_info.max

SITES = 1 << 16
"""An upper bound of the number of expressions in a kernel."""


@inline
def noted(kind: I64, flags: NDArray[np.int64], site: I64, row: I64) -> None:
    """Set ``flags[kind]`` for an expression and a row (-1: none), unless it is set."""
    if flags[kind] == 0:
        flags[kind] = site + SITES * (row + 1)


@inline
def checked_add(a: I64, b: I64, flags: NDArray[np.int64], site: I64 = 1, row: I64 = -1) -> I64:
    """``a + b``."""
    r = np.int64(np.uint64(a) + np.uint64(b))
    if ((a ^ r) & (b ^ r)) < 0:
        noted(0, flags, site, row)
    return r


@inline
def checked_sub(a: I64, b: I64, flags: NDArray[np.int64], site: I64 = 1, row: I64 = -1) -> I64:
    """``a - b``."""
    r = np.int64(np.uint64(a) - np.uint64(b))
    if ((a ^ b) & (a ^ r)) < 0:
        noted(0, flags, site, row)
    return r


@inline
def checked_mul(a: I64, b: I64, flags: NDArray[np.int64], site: I64 = 1, row: I64 = -1) -> I64:
    """``a * b``."""
    r = np.int64(np.uint64(a) * np.uint64(b))
    small = np.int64(1) << 31
    narrow = -small <= a < small and -small <= b < small
    if not narrow and a != 0:  # noqa: SIM102 (the cheap test first, on its own)
        if (a == -1 and b == _MIN) or (b == -1 and a == _MIN) or (b != 0 and r // b != a):
            noted(0, flags, site, row)
    return r


@inline
def checked_neg(a: I64, flags: NDArray[np.int64], site: I64 = 1, row: I64 = -1) -> I64:
    """``-a``."""
    if a == _MIN:
        noted(0, flags, site, row)
    return -a


@inline
def floor_div(a: I64, b: I64, flags: NDArray[np.int64], site: I64 = 1, row: I64 = -1) -> I64:
    """``a // b`` rounded down; ``b`` is not 0."""
    if a == _MIN and b == -1:
        noted(0, flags, site, row)
        return a
    return a // b


@inline
def floor_mod(a: I64, b: I64) -> I64:
    """``a % b`` with the sign of ``b``; ``b`` is not 0."""
    if b == -1:
        return np.int64(0)
    return a % b


@inline
def float_mod(a: F64, b: F64) -> F64:
    """``a % b`` as CPython defines it: the sign of ``b``, exact; ``b`` is not 0."""
    m = np.fmod(a, b)
    if m != 0.0:
        if (b < 0.0) != (m < 0.0):
            m += b
    else:
        m = math.copysign(0.0, b)
    return m


@inline
def float_floor_div(a: F64, b: F64) -> F64:
    """``a // b`` as CPython defines it, consistent with ``float_mod``; ``b`` is not 0."""
    m = np.fmod(a, b)
    q = (a - m) / b
    if m != 0.0 and (b < 0.0) != (m < 0.0):
        q -= 1.0
    if q == 0.0:
        return math.copysign(0.0, a / b)
    whole = np.floor(q)
    if q - whole > 0.5:
        whole += 1.0
    return whole


@inline
def counter_step(before: F64, now: F64) -> F64:
    """The increment of a counter, or the whole value after a reset; NaN if it exceeds a float."""
    step = now - before if now >= before else now
    if step > _LARGEST and now <= _LARGEST and before >= -_LARGEST:
        return np.nan
    return step
