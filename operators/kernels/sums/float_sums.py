"""Exact sums of floats, number by number: pairs of floats, and a log of what these cannot tell.

A sum of floats of like size is hardly ever more than two floats can tell: the nearest one and the error of that, both
found without rounding (J. R. Shewchuk, "Adaptive precision floating-point arithmetic", 1997). ``rows``, float64 of
shape (groups, 2 * bins), holds such pairs. At first there is one bin. Where numbers lie far apart each goes, by its
exponent, to one of several: the bin of the upper six of its eleven bits, so that in a million additions nothing gets
lost. The lowest bin there is has the number ``used[BASE]``, in all rows.

What a third float would have to hold, and numbers for which there is no bin, go into ``log``, int64 of shape (2,
entries): groups, and the bits of floats. From there they are taken into digits
(``operators.kernels.sums.float_digits``). Where numbers lie far apart and groups are many, there are no bins, which no
cache would hold, and all numbers go into the log.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from operators.compiler.loops import F64, I64, inline, loop

PAIR = 2
"""The width of a row with one bin."""

BASE, FAST, LOW, GIVEN, FILLED, USED = range(6)
"""Entries of ``used``: the lowest bin, how many are of SMALL_BINS, the lowest digit of ``wide``, how many of its rows
are given, and how many entries of the log are filled; and how many entries these are."""

SMALL_BINS, BINS = 62, 64
"""Bins of numbers smaller than SMALL, and bins there can be."""

SMALL, LARGE = 2.0**961, 2.0**1022
"""What numbers are smaller than that a pair takes without a look at the sum, and what the sum is smaller than
where there is such a look. So no sum of fewer than 2**60 is infinite, nor is its error."""


@inline
def add_float(g: I64, rows: NDArray[np.float64], log: NDArray[np.int64], used: NDArray[np.int64], x: F64) -> None:
    """Add ``x`` to the sum of group ``g``."""
    if rows.shape[1] == PAIR:
        # Ordered: false for NaN, and for what is not small enough.
        if -SMALL < x < SMALL:
            _add_pair(g, np.uint64(0), rows, log, used, x)
            return
        if _is_added(g, np.uint64(0), rows, log, used, x):
            return
    else:
        # As unsigned those below the lowest are huge, so one comparison finds both ways out.
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
    """Add ``x``, of any size, to the pair that begins in column ``k``, unless the sum is too large; whether that is
    done."""
    # False for NaN, too. That the sum is found again costs nothing: the compiler sees that it is the same.
    done: bool = abs(rows[g, k] + x) < LARGE
    if done:
        _add_pair(g, k, rows, log, used, x)
    return done


@inline
def _add_pair(
    g: I64, k: I64, rows: NDArray[np.float64], log: NDArray[np.int64], used: NDArray[np.int64], x: F64
) -> None:
    """Add ``x`` to the pair that begins in column ``k``."""
    a, b = rows[g, k], rows[g, k + np.uint64(1)]
    # Twice Knuth's sum of two floats with its error, which takes no branch (TAOCP 2, 4.2.2, theorem B).
    total = a + x
    part = total - a
    error = (a - (total - part)) + (x - part)
    rest = b + error
    part = rest - b
    lost = (b - (rest - part)) + (error - part)
    rows[g, k] = total
    rows[g, k + np.uint64(1)] = rest
    # Not ``!=``, which would have to ask whether it is NaN, too.
    if lost < 0.0 or lost > 0.0:
        _note(g, log, used, np.float64(lost).view(np.int64))


@inline
def _note(g: I64, log: NDArray[np.int64], used: NDArray[np.int64], bits: I64) -> None:
    """An entry of the log."""
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
    """``add_float`` for a number of each of these groups."""
    for j in range(groups.shape[0]):
        add_float(np.uint64(groups[j]), rows, log, used, values[j])
