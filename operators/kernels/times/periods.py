"""Lookups by key and time in tables sorted by (key, start): reference tables, calendars.

The rows of key number ``q`` are ``offsets[q]`` to ``offsets[q + 1] - 1``; row r is valid in [``starts[r]``,
``ends[r]``), and the rows of one key do not overlap. Times are int64 microseconds.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from operators.compiler.loops import I64, inline

NEVER = 2**62
"""A time after all others."""


@inline
def key_number(v: I64, keys: NDArray[np.int64]) -> I64:
    """The index of ``v`` in the ascending ``keys``; -1 if it is missing."""
    lo = np.int64(0)
    hi = np.int64(keys.shape[0])
    while lo < hi:
        mid = (lo + hi) >> 1
        if keys[mid] < v:
            lo = mid + 1
        else:
            hi = mid
    if lo < keys.shape[0] and keys[lo] == v:
        return lo
    return np.int64(-1)


@inline
def last_start(q: I64, t: I64, offsets: NDArray[np.int64], starts: NDArray[np.int64]) -> I64:
    """The latest row of key ``q`` that starts at or before ``t``; the row before its first if none does."""
    lo = offsets[q]
    hi = offsets[q + 1]
    while lo < hi:
        mid = (lo + hi) >> 1
        if starts[mid] <= t:
            lo = mid + 1
        else:
            hi = mid
    return lo - 1


@inline
def row_at(q: I64, t: I64, offsets: NDArray[np.int64], starts: NDArray[np.int64], ends: NDArray[np.int64]) -> I64:
    """The row of key ``q`` (-1: none) that is valid at ``t``; -1 if there is none."""
    if q < 0:
        return np.int64(-1)
    r = last_start(q, t, offsets, starts)
    if r >= offsets[q] and t < ends[r]:
        return r
    return np.int64(-1)


@inline
def edge_after(q: I64, t: I64, offsets: NDArray[np.int64], starts: NDArray[np.int64], ends: NDArray[np.int64]) -> I64:
    """The first time after ``t`` at which ``row_at`` may return another row."""
    if q < 0:
        return np.int64(NEVER)
    r = last_start(q, t, offsets, starts)
    if r >= offsets[q] and t < ends[r]:
        return ends[r]
    if r + 1 < offsets[q + 1]:
        return starts[r + 1]
    return np.int64(NEVER)
