"""Where what a wall clock shows can change."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from operators.kernels.jit import I64, inline


@inline
def clock_edge(t: I64, width: I64, changes: NDArray[np.int64], offsets: NDArray[np.int64]) -> I64:
    """The first time after ``t`` at which the local clock can show another multiple of ``width`` microseconds: it
    reaches the next one, or its offset from UTC changes."""
    lo = np.int64(0)
    hi = np.int64(changes.shape[0] - 1)
    while lo < hi:
        mid = (lo + hi + 1) >> 1
        if changes[mid] <= t:
            lo = mid
        else:
            hi = mid - 1
    local = t + offsets[lo]
    edge = t + width - (local - local // width * width)
    if lo + 1 < changes.shape[0] and changes[lo + 1] < edge:
        return changes[lo + 1]
    return edge
