"""Digits of exact sums of floats, and the canonical form of pairs and digits together.

Every finite float64 is an integer multiple of 2**-1076. A digit has 32 of its bits, in a 64-bit word so that carries
can wait (R. M. Neal, "Fast exact summation using small and large superaccumulators", 2015). ``wide`` has rows of digits
for the groups that need one: row ``place[g]`` for group g, or -1. All rows have the same digits, from digit
``used[LOW]`` on: those of the numbers met so far.

``enter`` moves a log (``operators.kernels.sums.float_sums``) into digits. Computing the digits of many entries at once,
while the target rows are prefetched, is faster than one at a time in the loop over the data.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.compiler.loops import F64, I64, inline, loop
from operators.kernels.foreign import address_of, prefetch, put_word, word_at
from operators.kernels.sums.float_sums import BASE, FILLED, GIVEN, LOW
from operators.kernels.sums.windowed_sums import significand_of, special_bit

BLOCK = 64
"""Log entries whose digits are computed at once."""

DIGITS = 69
"""The number of all digits: 66 that a finite float can touch, and further ones for large sums."""

SPECIAL = 0
"""The column of ``wide`` with the bits for infinities and NaN; the digits follow it."""

FIRST = 1
"""The column of the lowest digit."""

ABOVE = 3
"""Digits above that of a number's lowest bit: two that it can touch, and one for large sums."""

LOWEST = -1076
"""The exponent of the unit. Floats are multiples of four units, so the digit of infinities and NaN is never that of a
number."""

TOP = 64
"""The digit of infinities and NaN."""

_MASK = 0xFFFFFFFF


@loop("b1(i8[:,::1], i8[::1], i8[::1], i4[::1], i8[:,::1], i8[::1])")
def enter(
    log: NDArray[np.int64],
    at: NDArray[np.int64],
    used: NDArray[np.int64],
    place: NDArray[np.int32],
    wide: NDArray[np.int64],
    room: NDArray[np.int64],
) -> bool:
    """Add the log's entries to ``wide``, from number ``at[0]`` on. Returns whether all were added; it stops at an entry
    without a row or digit. ``room`` is scratch space of four words per entry of a block."""
    first, filled = at[0], used[FILLED]
    while first < filled:
        size = min(filled - first, np.int64(BLOCK))
        if _make_digits(log, first, size, used, wide, room):
            done = _add_block(log, first, size, used, place, wide, room)
        else:
            done = _add_singly(log, first, size, used, place, wide)
        first += done
        if done < size:
            at[0] = first
            return False
    used[FILLED] = 0
    return True


@inline
def _make_digits(
    log: NDArray[np.int64],
    first: I64,
    size: I64,
    used: NDArray[np.int64],
    wide: NDArray[np.int64],
    room: NDArray[np.int64],
) -> bool:
    """Compute the digits of ``size`` entries from number ``first`` on: ``room`` then has, in four blocks, the columns
    of the lowest digits, these digits, the next and the highest ones. Returns whether ``wide`` has all these
    columns."""
    # A loop without branches, so that it is vectorised.
    low = used[LOW]
    last = _last_of(low, wide)
    outside: I64 = np.int64(0)
    for i in range(size):
        j = np.uint64(i)
        digit, lowest, middle, highest = _digits_of(log[1, np.uint64(first) + j])
        k = digit - low
        outside |= k | (last - k)
        room[j] = k
        room[j + np.uint64(BLOCK)] = lowest
        room[j + np.uint64(2 * BLOCK)] = middle
        room[j + np.uint64(3 * BLOCK)] = highest
    return bool(outside >= 0)


@inline
def _last_of(low: I64, wide: NDArray[np.int64]) -> I64:
    """The last column, relative to FIRST, that can have the lowest digit of a number."""
    return min(np.int64(wide.shape[1]) - np.int64(FIRST + ABOVE), np.int64(TOP) - low) - np.int64(1)


@inline
def _add_block(
    log: NDArray[np.int64],
    first: I64,
    size: I64,
    used: NDArray[np.int64],
    place: NDArray[np.int32],
    wide: NDArray[np.int64],
    room: NDArray[np.int64],
) -> I64:
    """Add the digits from ``_make_digits``. Returns the number of entries added: fewer if the next one has no row."""
    digits, width = address_of(wide) + np.int64(8 * FIRST), np.int64(8) * np.int64(wide.shape[1])
    done = np.int64(0)
    while done < size:
        row = np.int64(_row_of(np.uint64(log[0, np.uint64(first + done)]), place, used, wide))
        if row < 0:
            break
        lowest = digits + row * width + np.int64(8) * room[np.uint64(done)]
        room[np.uint64(done)] = lowest
        # The three may be in two cache lines.
        prefetch(lowest)
        prefetch(lowest + np.int64(16))
        done += np.int64(1)
    for i in range(done):
        j = np.uint64(i)
        _add_word(room[j], room[j + np.uint64(BLOCK)])
        _add_word(room[j] + np.int64(8), room[j + np.uint64(2 * BLOCK)])
        _add_word(room[j] + np.int64(16), room[j + np.uint64(3 * BLOCK)])
    return done


@inline
def _add_word(address: I64, word: I64) -> None:
    """Add a word to the one at an address."""
    put_word(address, word_at(address) + word)


@inline
def _add_singly(
    log: NDArray[np.int64],
    first: I64,
    size: I64,
    used: NDArray[np.int64],
    place: NDArray[np.int32],
    wide: NDArray[np.int64],
) -> I64:
    """Add ``size`` entries from number ``first`` on. Returns how many: fewer if the next one has no row or digit."""
    low = used[LOW]
    last = _last_of(low, wide)
    for i in range(size):
        entry = np.uint64(first + i)
        b = log[1, entry]
        row = np.int64(_row_of(np.uint64(log[0, entry]), place, used, wide))
        k = _digit_of(b) - low
        if row >= 0 and 0 <= k <= last:
            _add(wide[np.uint64(row)], np.uint64(k) + np.uint64(FIRST), b)
        elif row >= 0 and k + low == TOP:
            wide[np.uint64(row), SPECIAL] |= special_bit(b)
        else:
            return np.int64(i)
    return size


@inline
def _row_of(g: I64, place: NDArray[np.int32], used: NDArray[np.int64], wide: NDArray[np.int64]) -> I64:
    """The row of a group, a new one if it has none, or -1 if there is none left."""
    row = np.int64(place[g])
    if row < 0 and used[GIVEN] < np.int64(wide.shape[0]):
        row = used[GIVEN]
        place[g] = row
        used[GIVEN] = row + np.int64(1)
    return row


@inline
def _expect(row: I64, wide: NDArray[np.int64]) -> None:
    """Prefetch a row, if there is one."""
    if row >= 0:
        for k in range(0, wide.shape[1], 8):
            prefetch(address_of(wide) + np.int64(8) * (np.int64(row) * np.int64(wide.shape[1]) + np.int64(k)))


@inline
def _place_of(b: I64) -> I64:
    """The position of the lowest bit of a float's significand."""
    return max((b >> np.int64(52)) & np.int64(0x7FF), np.int64(1)) + np.int64(1)


@inline
def _digit_of(b: I64) -> I64:
    """The digit that has this bit."""
    return _place_of(b) >> np.int64(5)


@inline
def _digits_of(b: I64) -> Any:
    """For the float with bits ``b``: the number of its lowest digit, and its three digits, with its sign."""
    sign = b >> np.int64(63)
    word = significand_of(b)
    shift = _place_of(b) & np.int64(31)
    lowest = (word << shift) & np.int64(_MASK)
    above = word >> (np.int64(32) - shift)
    middle, highest = above & np.int64(_MASK), above >> np.int64(32)
    return _digit_of(b), (lowest ^ sign) - sign, (middle ^ sign) - sign, (highest ^ sign) - sign


@inline
def _add(digits: NDArray[np.int64], k: I64, b: I64) -> None:
    """Add the finite float with bits ``b``, whose lowest bit is in ``digits[k]``."""
    _, lowest, middle, highest = _digits_of(b)
    digits[k] += lowest
    digits[k + np.uint64(1)] += middle
    digits[k + np.uint64(2)] += highest


@inline
def _add_at_place(digits: NDArray[np.int64], x: F64) -> None:
    """Add a finite float to a row of all digits."""
    b = np.float64(x).view(np.int64)
    _add(digits, np.uint64(_digit_of(b)), b)


@loop("void(i4[:,::1], i4[::1], i8[::1], i8[::1], i4[::1], i8[:,::1])")
def enter_digits(
    spans: NDArray[np.int32],
    digits: NDArray[np.int32],
    at: NDArray[np.int64],
    used: NDArray[np.int64],
    place: NDArray[np.int32],
    wide: NDArray[np.int64],
) -> None:
    """Add canonical digits (``read``) to ``wide``, which has enough rows and digits; ``at`` are the groups' numbers."""
    n = np.int64(0)
    for i in range(spans.shape[0]):
        row = np.uint64(_row_of(np.uint64(at[np.uint64(spans[i, 0])]), place, used, wide))
        wide[row, SPECIAL] |= np.int64(spans[i, 3])
        first = np.int64(spans[i, 1]) - used[LOW] + np.int64(FIRST)
        for k in range(spans[i, 2]):
            wide[row, np.uint64(first + k)] += np.int64(digits[n + k])
        n += np.int64(spans[i, 2])


@loop("void(i8[:,::1])")
def carry_digits(wide: NDArray[np.int64]) -> None:
    """Move carries: all digits but the last are then in [0, 2**32), the last is signed."""
    for i in range(wide.shape[0]):
        for k in range(FIRST, wide.shape[1] - 1):
            wide[i, k + 1] += wide[i, k] >> np.int64(32)
            wide[i, k] &= np.int64(_MASK)


@loop("i8(f8[:,::1], i8[::1], i8[::1], i4[::1], i8[:,::1], f8[::1], f8[:,::1], i4[:,::1], i4[::1], i8[::1], i8[::1])")
def read(
    rows: NDArray[np.float64],
    used: NDArray[np.int64],
    groups: NDArray[np.int64],
    place: NDArray[np.int32],
    wide: NDArray[np.int64],
    nearest: NDArray[np.float64],
    pairs: NDArray[np.float64],
    spans: NDArray[np.int32],
    digits: NDArray[np.int32],
    filled: NDArray[np.int64],
    room: NDArray[np.int64],
) -> I64:
    """The canonical sums of ``groups`` from number ``filled[0]`` on. Returns how many are done: fewer if an array is
    full.

    ``nearest`` is the nearest float, infinite if there is none. ``pairs`` is that float and its error, if the error is
    a float. Otherwise it is zeros, and the sum is in ``digits``, in [-2**31, 2**31), from the lowest non-zero one to
    the highest; ``spans`` describes them: number of the group, place of the lowest digit, their number, and the bits
    for infinities and NaN. ``filled`` counts finished groups, spans and digits; unless ``filled[3]`` is set, digits are
    counted but not written. ``room`` is scratch space for DIGITS digits.
    """
    bins = np.int64(rows.shape[1] >> 1)
    # The digits that may be non-zero.
    low, high = used[LOW], used[LOW] + np.int64(wide.shape[1]) - np.int64(FIRST)
    if bins == 1:
        low, high = np.int64(0), np.int64(DIGITS)
    elif bins > 1:
        # Errors are up to 53 bits below a bin's lowest number, sums up to 64 bits above its largest.
        least, most = max(used[BASE] - np.int64(2), np.int64(0)), min(used[BASE] + bins + np.int64(5), np.int64(DIGITS))
        low, high = (min(low, least), max(high, most)) if high > low else (least, most)
    for j in range(filled[0], groups.shape[0]):
        soon: I64 = min(j + 4, np.int64(groups.shape[0]) - 1)
        _expect(place[np.uint64(groups[soon])], wide)
        g = np.uint64(groups[j])
        row = np.int64(place[g])
        if row < 0 and bins <= 1:
            a, b = (rows[g, 0], rows[g, 1]) if bins == 1 else (0.0, 0.0)
            total = a + b
            part = total - a
            pairs[j, 0] = total
            pairs[j, 1] = (a - (total - part)) + (b - part)
            nearest[j] = total
            continue
        span, n = filled[1], filled[2]
        if span == np.int64(spans.shape[0]) or (filled[3] != 0 and np.int64(digits.shape[0]) - n < DIGITS):
            filled[0] = j
            return np.int64(j)
        bits = _gather(g, row, rows, wide, used, room, low, high)
        top, some = _balance(room, low, high)
        first = _nearest(room, low, top)
        nearest[j] = _special(bits) if bits != 0 else first
        pairs[j, 0] = 0.0
        pairs[j, 1] = 0.0
        bottom = low
        while bottom < top and room[bottom] == 0:
            bottom += np.int64(1)
        count = top - bottom + np.int64(1) if some > 0 else np.int64(0)
        if filled[3] != 0:
            for k in range(count):
                digits[n + k] = np.int32(room[bottom + k])
        # A float has at most three digits.
        if bits == 0 and some <= 6 and abs(first) < np.inf:
            _add_at_place(room, -first)
            top, some = _balance(room, low, high)
            if some <= 3:
                second = _nearest(room, low, top)
                _add_at_place(room, -second)
                top, some = _balance(room, low, high)
                if some == 0:
                    pairs[j, 0] = first
                    pairs[j, 1] = second
                    continue
        spans[span, 0] = j
        spans[span, 1] = bottom
        spans[span, 2] = count
        spans[span, 3] = bits
        filled[1] = span + np.int64(1)
        filled[2] = n + count
    filled[0] = groups.shape[0]
    return np.int64(groups.shape[0])


@inline
def _gather(
    g: I64,
    row: I64,
    rows: NDArray[np.float64],
    wide: NDArray[np.int64],
    used: NDArray[np.int64],
    room: NDArray[np.int64],
    low: I64,
    high: I64,
) -> I64:
    """Collect the sum of group ``g``, each digit at its place, between ``low`` and ``high``. Returns the bits for
    infinities and NaN."""
    for k in range(low, high):
        room[k] = 0
    bits = np.int64(0)
    if row >= 0:
        bits = wide[np.uint64(row), SPECIAL]
        for k in range(np.int64(wide.shape[1]) - np.int64(FIRST)):
            room[used[LOW] + k] = wide[np.uint64(row), np.uint64(FIRST + k)]
    for k in range(rows.shape[1]):
        if rows[g, k] != 0.0:
            _add_at_place(room, rows[g, k])
    return bits


@inline
def _balance(digits: NDArray[np.int64], low: I64, high: I64) -> Any:
    """Move carries until every digit is in [-2**31, 2**31). Returns the place of the last non-zero one, else ``low``,
    and how many are non-zero."""
    half = np.int64(1 << 31)
    over, top, some = np.int64(0), low, np.int64(0)
    for k in range(low, high):
        over += digits[k] + half
        digit = (over & np.int64(_MASK)) - half
        digits[k] = digit
        over >>= np.int64(32)
        top = np.int64(k) if digit != 0 else top
        some += np.int64(digit != 0)
    return top, some


@inline
def _special(bits: I64) -> F64:
    """The IEEE sum of infinities and NaN."""
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
    # As digits in [0, 2**32), of which the first or the second is not small: more than 54 bits, and a sticky bit.
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
    # The 64 bits from the leading one on; anything below only decides a tie.
    length = np.int64(np.float64(lead).view(np.int64) >> np.int64(52)) - np.int64(1022)
    spare = np.int64(32) - length
    window = (np.uint64((lead << np.int64(32)) | second)) << np.uint64(spare)
    window |= np.uint64(third >> (np.int64(32) - spare))
    lost = (third << spare) & np.int64(_MASK)
    window |= np.uint64(sticky | np.int64(lost != 0))
    # In two steps, since the scale itself may be out of range. A multiple of the unit has no bits that subnormals would
    # round a second time.
    exponent = np.int64(32) * (top - 1) - spare + np.int64(LOWEST)
    half = exponent >> np.int64(1)
    return np.float64(sign) * np.float64(window) * _power(half) * _power(exponent - half)


@inline
def _power(exponent: I64) -> F64:
    return np.int64((exponent + np.int64(1023)) << np.int64(52)).view(np.float64)
