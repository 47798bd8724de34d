"""Loops over the runs of rows that moving windows are made of."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from operators.compiler.loops import I64, loop


@loop("void(i8[::1], i8[::1], i8, i8, i8, i8, b1, i8[::1], i8[::1])")
def bounds_of_runs(
    time: NDArray[np.int64],
    run_len: NDArray[np.int64],
    length: I64,
    rows: I64,
    ahead: I64,
    rows_ahead: I64,
    waits: bool,
    complete: NDArray[np.int64],
    kept: NDArray[np.int64],
) -> None:
    """For each run of rows of one key, in order of time: how many rows are ``complete``, all but those of the last
    ``ahead`` microseconds and the last ``rows_ahead`` if others may come (``waits``); and how many of the last ones are
    ``kept``, since a later row may have them in its window: those that are not complete, those of ``length``
    microseconds before these, and ``rows`` before these."""
    start = np.int64(0)
    for r in range(run_len.shape[0]):
        end = start + run_len[r]
        last = time[end - 1]
        first = end
        if waits:
            first = max(start, end - rows_ahead)
            while first > start and time[first - 1] > last - ahead:
                first -= 1
        complete[r] = first - start
        if first < end:
            last = time[first]
        first = max(start, first - rows)
        while first > start and time[first - 1] > last - length:
            first -= 1
        kept[r] = end - first
        start = end


@loop("void(u1[::1], u1[::1], i8[::1], i8[::1], i8)")
def copy_runs(
    source: NDArray[np.uint8],
    into: NDArray[np.uint8],
    starts: NDArray[np.int64],
    lengths: NDArray[np.int64],
    width: I64,
) -> None:
    """Put runs of items of ``width`` bytes one after the other."""
    at = np.int64(0)
    for r in range(starts.shape[0]):
        first, n = starts[r] * width, lengths[r] * width
        for i in range(n):
            into[at + i] = source[first + i]
        at += n
