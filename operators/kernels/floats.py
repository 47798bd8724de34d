"""Exact sums of floats: pairs of floats, and how they become the one canonical form.

A sum of floats of like size is hardly ever more than two floats can tell: the nearest one and the error of that, both
found without rounding (J. R. Shewchuk, "Adaptive precision floating-point arithmetic", 1997). ``rows``, float64 of
shape (groups, 2 * bins), holds such pairs. At first there is one bin. Where numbers lie far apart each goes, by its
exponent, to one of several: the bin of the upper six of its eleven bits, so that in a million additions nothing gets
lost. The lowest bin there is has the number ``used[1]``, in all rows.

What a third float would have to hold, and numbers for which there is no bin, go into ``log``, int64 of shape (entries,
2): a group and the bits of a float; ``used[0]`` of them are filled. ``enter`` takes them into ``wide``, rows of digits
for all exponents there are, one for each group that needs it: ``place[g]`` for group g, or -1. Every finite float64 is
an integer multiple of 2**-1074; a digit has 32 of its bits, in words of 64 so that carries can wait (R. M. Neal, "Fast
exact summation using small and large superaccumulators", 2015).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.kernels.exact import significand_of, special_bit
from operators.kernels.jit import F64, I64, inline, loop

PAIR = 2
"""The width of a row with one bin."""

FILLED, BASE = range(2)
"""Entries of ``used``."""

BINS = 62
"""Bins there can be. A number in one is never too large: no sum of fewer than 2**62 of them is infinite."""

SMALL = 2.0**961
"""What numbers in bins are smaller than."""

DIGITS = 69
"""Digits for all places: 66 that a finite float can touch, and those that sums of many reach."""

SPECIAL = DIGITS
"""The column of ``wide`` with the bits for infinities and NaN."""

TOP = 0x7FE
"""The place that infinities and NaN would have: one more than that of any number."""

LOWEST = -1074
"""The exponent of the unit: every float is a multiple of 2**LOWEST."""

_MASK = 0xFFFFFFFF


@inline
def add_float(g: I64, rows: NDArray[np.float64], log: NDArray[np.int64], used: NDArray[np.int64], x: F64) -> None:
    """Add ``x`` to the sum of group ``g``."""
    if rows.shape[1] == PAIR:
        # Ordered: false for NaN, and for what is not small enough.
        if -SMALL < x < SMALL:
            _add_pair(g, np.uint64(0), rows, log, used, x)
            return
    else:
        # As unsigned those below the lowest are huge, so one comparison finds both ways out.
        k = np.uint64(((np.float64(x).view(np.int64) >> np.int64(57)) & np.int64(63)) - used[BASE])
        if k < np.uint64(rows.shape[1] >> 1):
            _add_pair(g, k << np.uint64(1), rows, log, used, x)
            return
        if x == 0.0:
            return
    _note(g, log, used, np.float64(x).view(np.int64))


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
    e = np.uint64(used[FILLED])
    log[e, 0] = g
    log[e, 1] = bits
    used[FILLED] += 1


@inline
def _place_of(b: I64) -> I64:
    """The place of the lowest bit of a float's significand."""
    return max((b >> np.int64(52)) & np.int64(0x7FF), np.int64(1)) - np.int64(1)


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


@loop("i8(i8[:,::1], i8, i4[::1], i8)")
def give_rows(entries: NDArray[np.int64], n: I64, place: NDArray[np.int32], given: I64) -> I64:
    """Give every group in column 0 of the first ``n`` entries a row of ``wide``; how many are given then."""
    for e in range(n):
        g = np.uint64(entries[e, 0])
        if place[g] < 0:
            place[g] = given
            given += np.int64(1)
    return given


@loop("void(i8[:,::1], i8[::1], i4[::1], i8[:,::1])")
def enter(log: NDArray[np.int64], used: NDArray[np.int64], place: NDArray[np.int32], wide: NDArray[np.int64]) -> None:
    """Add what the log holds to ``wide``, in which all its groups have rows, and empty it."""
    for e in range(used[FILLED]):
        row = np.uint64(place[np.uint64(log[e, 0])])
        b = log[e, 1]
        if _place_of(b) == TOP:
            wide[row, SPECIAL] |= special_bit(b)
        else:
            _add(wide[row], b)
    used[FILLED] = 0


@inline
def _add(digits: NDArray[np.int64], b: I64) -> None:
    """Add the finite float with bits ``b`` to ``digits``."""
    place, sign = np.uint64(_place_of(b)), b >> np.int64(63)
    word = (significand_of(b) ^ sign) - sign
    k = place >> np.uint64(5)
    shift = np.int64(place & np.uint64(31))
    above = word >> (np.int64(32) - shift)
    digits[k] += (word << shift) & np.int64(_MASK)
    digits[k + np.uint64(1)] += above & np.int64(_MASK)
    digits[k + np.uint64(2)] += above >> np.int64(32)


@loop("void(i8[:,::1], i8[::1], i4[::1], i8[:,::1])")
def enter_digits(
    entries: NDArray[np.int64], at: NDArray[np.int64], place: NDArray[np.int32], wide: NDArray[np.int64]
) -> None:
    """Add canonical digits (``read``) to ``wide``; the groups' numbers are those in ``at``."""
    for e in range(entries.shape[0]):
        row = np.uint64(place[np.uint64(at[np.uint64(entries[e, 0])])])
        k = place_of_digit(entries[e, 1])
        digit = entries[e, 1] - (k << np.int64(32))
        if k == SPECIAL:
            wide[row, k] |= digit
        else:
            wide[row, k] += digit


@inline
def place_of_digit(word: I64) -> I64:
    """The place of a canonical digit, or SPECIAL; ``word`` less ``place << 32`` is the digit, or the special bits."""
    return (word + np.int64(1 << 31)) >> np.int64(32)


@loop("void(i8[:,::1])")
def carry_digits(wide: NDArray[np.int64]) -> None:
    """Move carries: all digits but the last then in [0, 2**32), the last signed."""
    for i in range(wide.shape[0]):
        for k in range(DIGITS - 1):
            wide[i, k + 1] += wide[i, k] >> np.int64(32)
            wide[i, k] &= np.int64(_MASK)


@loop("i8(f8[:,::1], i8[::1], i8[::1], i4[::1], i8[:,::1], f8[::1], f8[:,::1], i8[:,::1], i8[::1], i8[::1])")
def read(
    rows: NDArray[np.float64],
    used: NDArray[np.int64],
    groups: NDArray[np.int64],
    place: NDArray[np.int32],
    wide: NDArray[np.int64],
    nearest: NDArray[np.float64],
    pairs: NDArray[np.float64],
    entries: NDArray[np.int64],
    filled: NDArray[np.int64],
    digits: NDArray[np.int64],
) -> I64:
    """The canonical sums of ``groups`` from number ``filled[0]`` on; how many are done, fewer if ``entries`` is full.

    ``nearest`` is the nearest float, infinite where there is none. ``pairs`` is that and what it lacks, if that is a
    float too. Else it is zeros, and the sum is in ``entries``, from ``filled[1]`` on: number, and ``place << 32`` plus
    the digit in [-2**31, 2**31) of each digit that is not zero, the lowest first; last the bits for infinities and NaN
    if there are any, at the place SPECIAL. ``digits`` is room for DIGITS digits.
    """
    for j in range(filled[0], groups.shape[0]):
        g = np.uint64(groups[j])
        row = np.int64(place[g])
        if row < 0 and rows.shape[1] == PAIR:
            a, b = rows[g, 0], rows[g, 1]
            total = a + b
            part = total - a
            pairs[j, 0] = total
            pairs[j, 1] = (a - (total - part)) + (b - part)
            nearest[j] = total
            continue
        n = filled[1]
        if entries.shape[0] - n <= DIGITS:
            filled[0] = j
            return np.int64(j)
        # The digits between which there may be any.
        low, high = np.int64(0), np.int64(DIGITS)
        if row < 0 and rows.shape[1] > PAIR:
            low, high = _reach(rows, used)
        bits = _gather(g, row, rows, wide, digits, low, high)
        top = _balance(digits, low, high)
        end = n
        for k in range(low, high):
            entries[end, 0] = j
            entries[end, 1] = (np.int64(k) << np.int64(32)) + digits[k]
            end += np.int64(digits[k] != 0)
        first = _nearest(digits, low, top)
        nearest[j] = _special(bits) if bits != 0 else first
        pairs[j, 0] = 0.0
        pairs[j, 1] = 0.0
        # A float has digits in three places at most.
        if bits == 0 and end - n <= 6 and abs(first) < np.inf:
            _add(digits, np.float64(-first).view(np.int64))
            top = _balance(digits, low, high)
            bottom = low
            while bottom < top and digits[bottom] == 0:
                bottom += np.int64(1)
            if top - bottom < 3:
                second = _nearest(digits, low, top)
                _add(digits, np.float64(-second).view(np.int64))
                if digits[_balance(digits, low, high)] == 0:
                    pairs[j, 0] = first
                    pairs[j, 1] = second
                    end = n
        if bits != 0:
            entries[end, 0] = j
            entries[end, 1] = (np.int64(SPECIAL) << np.int64(32)) + bits
            end += np.int64(1)
        filled[1] = end
    filled[0] = groups.shape[0]
    return np.int64(groups.shape[0])


@inline
def _reach(rows: NDArray[np.float64], used: NDArray[np.int64]) -> Any:
    """The digits, from the first to before the second number, that pairs in bins can touch: errors are up to 53 bits
    below the lowest number, and sums up to 64 above the largest."""
    below = max(used[BASE] - np.int64(2), np.int64(0))
    return below, min(used[BASE] + np.int64(rows.shape[1] >> 1) + np.int64(5), np.int64(DIGITS))


@inline
def _gather(
    g: I64, row: I64, rows: NDArray[np.float64], wide: NDArray[np.int64], digits: NDArray[np.int64], low: I64, high: I64
) -> I64:
    """The whole sum of group ``g`` into ``digits``; the bits for infinities and NaN."""
    bits = np.int64(0)
    if row >= 0:
        for k in range(low, high):
            digits[k] = wide[np.uint64(row), k]
        bits = wide[np.uint64(row), SPECIAL]
    else:
        for k in range(low, high):
            digits[k] = 0
    for k in range(rows.shape[1]):
        _add(digits, np.float64(rows[g, k]).view(np.int64))
    return bits


@inline
def _balance(digits: NDArray[np.int64], low: I64, high: I64) -> I64:
    """Move carries until every digit is in [-2**31, 2**31); the place of the last that is not zero, else ``low``."""
    over, top = np.int64(0), low
    for k in range(low, high):
        over += digits[k]
        digit = ((over + np.int64(1 << 31)) & np.int64(_MASK)) - np.int64(1 << 31)
        digits[k] = digit
        over = (over - digit) >> np.int64(32)
        top = np.int64(k) if digit != 0 else top
    return top


@inline
def _special(bits: I64) -> F64:
    """What infinities and NaN add up to as IEEE adds them."""
    return np.inf if bits == 2 else (-np.inf if bits == 4 else np.nan)


@inline
def _nearest(digits: NDArray[np.int64], low: I64, top: I64) -> F64:
    """The float64 nearest to the balanced digits up to ``top``, ties to even; infinite beyond the largest."""
    if digits[top] == 0:
        return 0.0
    sign = np.int64(1) if digits[top] > 0 else np.int64(-1)
    lead: I64 = sign * digits[top]
    second: I64 = sign * digits[top - 1] if top > low else np.int64(0)
    third: I64 = sign * digits[top - 2] if top > low + 1 else np.int64(0)
    rest = top - np.int64(3)
    while rest > low and digits[rest] == 0:
        rest -= np.int64(1)
    below = sign * digits[rest] if rest >= low else np.int64(0)
    # As digits in [0, 2**32), of which the first or the second is not small: more than 54 bits, and whether any follow.
    third -= np.int64(below < 0)
    second += third >> np.int64(32)
    lead += second >> np.int64(32)
    second &= np.int64(_MASK)
    third &= np.int64(_MASK)
    sticky = np.int64(below != 0)
    if lead == 0:
        top -= np.int64(1)
        lead = second
        second = third
        third = np.int64(0)
    # The 64 bits that start at the leading one; what is below them only decides a tie.
    length = np.int64(np.float64(lead).view(np.int64) >> np.int64(52)) - np.int64(1022)
    spare = np.int64(32) - length
    window = (np.uint64((lead << np.int64(32)) | second)) << np.uint64(spare)
    window |= np.uint64(third >> (np.int64(32) - spare))
    lost = (third << spare) & np.int64(_MASK)
    window |= np.uint64(sticky | np.int64(lost != 0))
    # In two steps, as the scale itself may be out of range. A multiple of the unit has no bits that the grid of
    # subnormals could round once more.
    exponent = np.int64(32) * (top - 1) - spare + np.int64(LOWEST)
    half = exponent >> np.int64(1)
    return np.float64(sign) * np.float64(window) * _power(half) * _power(exponent - half)


@inline
def _power(exponent: I64) -> F64:
    return np.int64((exponent + np.int64(1023)) << np.int64(52)).view(np.float64)
