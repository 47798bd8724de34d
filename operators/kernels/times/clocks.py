"""The next change of what a wall clock shows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from operators.compiler.loops import I64, inline
from operators.kernels.times.calendar import offset_place


@inline
def next_shown(t: I64, width: I64, changes: NDArray[np.int64], offsets: NDArray[np.int64]) -> I64:
    """The first time after ``t`` (in the calendar years) at which the local clock can show another multiple of
    ``width`` microseconds: it reaches the next one, or its offset from UTC changes."""
    place = max(offset_place(t, changes, offsets), np.int64(0))
    local = t + offsets[place]
    return min(t + width - (local - local // width * width), changes[place + 1])
