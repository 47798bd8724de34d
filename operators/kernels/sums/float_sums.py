"""Steps of exact float sums: pairs of floats, and a log of what pairs cannot represent.

Two floats almost always represent a sum of floats of similar size exactly: the nearest float and its error, both
computed without rounding (J. R. Shewchuk, "Adaptive precision floating-point arithmetic", 1997). ``rows``, float64 of
shape (groups, 2 * bins), contains such pairs. At first there is one bin. If numbers lie far apart, each goes to one of
several bins, by the upper six of its exponent's eleven bits, so that a million additions lose nothing. The lowest bin,
in all rows, has the number ``used[BASE]``.

What would need a third float, and numbers without a bin, go into ``log``, int64 of shape (2, entries): groups, and the
bits of floats. From there they move into digits (``operators.kernels.sums.float_digits``). If numbers lie far apart and
there are many groups, bins would not fit in a cache: then there are none, and all numbers go into the log.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from operators.compiler.loops import F64, I64, inline, loop

PAIR = 2
"""The width of a row with one bin."""

BASE, FAST, LOW, GIVEN, FILLED, USED = range(6)
"""Entries of ``used``: the lowest bin, the number of bins that are in SMALL_BINS, the lowest digit of ``wide``, the
number of its rows in use, and the number of filled log entries; and the number of these entries."""

SMALL_BINS, BINS = 62, 64
"""The number of bins below SMALL, and of all bins."""

SMALL, LARGE = 2.0**961, 2.0**1022
"""Limits of numbers that a pair takes without checking the sum, and of the sum where it is checked. So no sum of fewer
than 2**60 numbers is infinite, nor is its error."""


@inline
def add_float(g: I64, rows: NDArray[np.float64], log: NDArray[np.int64], used: NDArray[np.int64], x: F64) -> None:
    """Add ``x`` to the sum of group ``g``."""
    if rows.shape[1] == PAIR:
        # An ordered comparison: false for NaN and for large numbers.
        if -SMALL < x < SMALL:
            _add_pair(g, np.uint64(0), rows, log, used, x)
            return
        if _is_added(g, np.uint64(0), rows, log, used, x):
            return
    else:
        # As unsigned, bins below the lowest are huge, so one comparison covers both bounds.
        k = np.uint64(((np.float64(x).view(np.int64) >> np.int64(57)) & np.int64(63)) - used[BASE])
        if k < np.uint64(used[FAST]):
            _add_pair(g, k << np.uint64(1), rows, log, used, x)
            return
        if k < np.uint64(rows.shape[1] >> 1) and _is_added(g, k << np.uint64(1), rows, log, used, x):
            return
        if x == 0.0:
            return
    _note(g, log, used, np.float64(x).view(np.int64))


@inline
def _is_added(
    g: I64, k: I64, rows: NDArray[np.float64], log: NDArray[np.int64], used: NDArray[np.int64], x: F64
) -> bool:
    """Add ``x``, of any size, to the pair that starts in column ``k``, unless the sum is too large. Returns whether it
    was added."""
    # False for NaN, too. The compiler removes the second computation of the sum.
    done: bool = abs(rows[g, k] + x) < LARGE
    if done:
        _add_pair(g, k, rows, log, used, x)
    return done


@inline
def _add_pair(
    g: I64, k: I64, rows: NDArray[np.float64], log: NDArray[np.int64], used: NDArray[np.int64], x: F64
) -> None:
    """Add ``x`` to the pair that starts in column ``k``."""
    a, b = rows[g, k], rows[g, k + np.uint64(1)]
    # Twice Knuth's branch-free two-sum, a sum of two floats with its error (TAOCP 2, 4.2.2, theorem B).
    total = a + x
    part = total - a
    error = (a - (total - part)) + (x - part)
    rest = b + error
    part = rest - b
    lost = (b - (rest - part)) + (error - part)
    rows[g, k] = total
    rows[g, k + np.uint64(1)] = rest
    # Not ``!=``, which would also have to test for NaN.
    if lost < 0.0 or lost > 0.0:
        _note(g, log, used, np.float64(lost).view(np.int64))


@inline
def _note(g: I64, log: NDArray[np.int64], used: NDArray[np.int64], bits: I64) -> None:
    """Add an entry to the log."""
    e = np.uint64(used[FILLED])
    log[0, e] = g
    log[1, e] = bits
    used[FILLED] = np.int64(e) + np.int64(1)


@loop("void(i8[::1], f8[::1], f8[:,::1], i8[:,::1], i8[::1])")
def add_each(
    groups: NDArray[np.int64],
    values: NDArray[np.float64],
    rows: NDArray[np.float64],
    log: NDArray[np.int64],
    used: NDArray[np.int64],
) -> None:
    """``add_float`` for one number of each of these groups."""
    for j in range(groups.shape[0]):
        add_float(np.uint64(groups[j]), rows, log, used, values[j])
