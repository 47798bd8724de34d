"""Times as people and programs write them, in ISO-8601 and forms as plain, to microseconds since 1970 UTC.

Taken are, with blanks before and after:

- dates ``2024-12-31``, ``20241231``, ``2024-366``, ``2024-W05-3``, ``2024-W05`` (its Monday), ``2024W053``,
  ``2024W05``, ``2024/12/31``, ``31.12.2024``; in the last two forms, day, month and hour may have one digit;
- after ``T``, ``t`` or blanks: ``HH``, ``HH:MM``, ``HH:MM:SS``, ``HHMM``, ``HHMMSS``, and after seconds a fraction of
  any number of digits; those past microseconds are truncated. 24:00:00 is the next day's midnight, and 23:59:60 (in
  UTC, if there is an offset) the second after it;
- then, if anything, ``Z``, ``UTC``, ``GMT``, ``+HH``, ``+HHMM``, ``+HH:MM`` or with seconds, after blanks or none.

A date with slashes and the year last is never taken: nobody can tell which of its numbers is the day.

Steps return negative numbers (days and times: ``BAD_TIME``) for what they cannot read, and read no byte at or past
``end``. They also run as plain Python, on bytes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from operators.compiler.loops import I64, inline, loop, noinline
from operators.kernels.times.calendar import DAY
from operators.kernels.times.dates import (
    BAD_TIME,
    HOUR,
    MINUTE,
    SECOND,
    calendar_day,
    leaps,
    ordinal_day,
    time_of_day,
    week_day,
)

ZONED, LOCAL, LOCAL_DATE = range(3)
"""What a text says of its zone: an offset, none, or none and no time of day."""


@inline
def digit(data: Any, i: I64) -> I64:
    """The value of the byte at ``i`` as a decimal digit, signed so that arithmetic with it stays in int64."""
    return np.int64(data[i]) - 48


@inline
def digits_at(data: Any, i: I64, n: I64) -> I64:
    """The number in the ``n`` decimal digits at ``i``; -1 when they are not all digits."""
    value = 0
    for k in range(i, i + n):
        d = digit(data, k)
        if d < 0 or d > 9:
            return -1
        value = value * 10 + d
    return value


@inline
def run_of_digits(data: Any, i: I64, end: I64) -> I64:
    """How many digits there are from ``i`` on."""
    n = 0
    while i + n < end and 48 <= data[i + n] <= 57:
        n += 1
    return n


@inline
def after_blanks(data: Any, i: I64, end: I64) -> I64:
    """The position after the blanks and tabs at ``i``."""
    while i < end and (data[i] == 32 or data[i] == 9):
        i += 1
    return i


@inline
def before_blanks(data: Any, i: I64, end: I64) -> I64:
    """``end``, or where the blanks and tabs before it begin."""
    while end > i and (data[end - 1] == 32 or data[end - 1] == 9):
        end -= 1
    return end


# ---- fractions and offsets


@inline
def fraction_at(data: Any, i: I64, end: I64) -> tuple[I64, I64]:
    """The position after the digits at ``i``, and the microseconds that they are as a fraction of a second."""
    micro = 0
    unit = np.int64(100_000)
    while i < end and 48 <= data[i] <= 57:
        micro += digit(data, i) * unit
        unit //= 10
        i += 1
    return i, micro


@inline
def _is_utc(data: Any, i: I64, end: I64) -> bool:
    """Whether UTC or GMT is at ``i``."""
    if end - i < 3:
        return False
    a, b, c = data[i] | 32, data[i + 1] | 32, data[i + 2] | 32
    return bool((a == 117 and b == 116 and c == 99) or (a == 103 and b == 109 and c == 116))


@noinline
def zone_at(data: Any, i: I64, end: I64) -> tuple[I64, I64]:
    """The position after the zone at ``i`` (-1: none is there), and its offset from UTC in microseconds."""
    none = -1, 0
    if i >= end:
        return none
    if data[i] == 90 or data[i] == 122:
        return i + 1, 0
    if _is_utc(data, i, end):
        return i + 3, 0
    if (data[i] != 43 and data[i] != 45) or end - i < 3:
        return none
    behind = data[i] == 45
    hour, minute, second = digits_at(data, i + 1, 2), 0, 0
    i += 3
    colon = 1 if i < end and data[i] == 58 else 0
    if run_of_digits(data, i + colon, end) >= 2:
        minute = digits_at(data, i + colon, 2)
        i += colon + 2
        if i + colon + 2 <= end and (colon == 0 or data[i] == 58):
            found = digits_at(data, i + colon, 2)
            if found >= 0:
                second = found
                i += colon + 2
    if hour < 0 or hour > 23 or minute > 59 or second > 59:
        return none
    offset = hour * HOUR + minute * MINUTE + second * SECOND
    return i, -offset if behind else offset


# ---- texts


@noinline
def _ended(data: Any, i: I64, end: I64, time: I64, micro: I64, leap: bool) -> tuple[I64, I64]:
    """The time and what it says of its zone, which is all that follows at ``i``."""
    said = LOCAL
    if i < end:
        i, offset = zone_at(data, after_blanks(data, i, end), end)
        time -= offset
        said = ZONED
    if i != end or (leap and not leaps(time, micro)):
        return BAD_TIME, LOCAL
    return time, said


@noinline
def _date_at(data: Any, i: I64, end: I64) -> tuple[I64, I64, bool]:
    """The position after the date at ``i``, its day, and whether it is in a form whose numbers may have one digit."""
    run = run_of_digits(data, i, end)
    day = BAD_TIME
    if run == 8:
        month = digits_at(data, i + 4, 2)
        return i + 8, calendar_day(digits_at(data, i, 4), month, digits_at(data, i + 6, 2)), False
    if (run != 4 and run != 1 and run != 2) or i + run >= end:
        return i, day, False
    first = digits_at(data, i, run)
    i += run
    mark = data[i]
    dash = mark == 45
    if run == 4 and (mark == 87 or (dash and i + 1 < end and data[i + 1] == 87)):
        i += 2 if dash else 1
        n = run_of_digits(data, i, end)
        if n == 3 and not dash:
            return i + 3, week_day(first, digits_at(data, i, 2), digit(data, i + 2)), False
        if n == 2:
            week = digits_at(data, i, 2)
            i += 2
            if not dash or i >= end or data[i] != 45:
                return i, week_day(first, week, 1), False
            if run_of_digits(data, i + 1, end) == 1:
                return i + 2, week_day(first, week, digit(data, i + 1)), False
        return i, day, False
    # Three numbers with the same mark between them. 2024.12.1 is left: versions are written so.
    if not dash and (mark != 47 if run == 4 else mark != 46):
        return i, day, False
    n = run_of_digits(data, i + 1, end)
    if dash and run == 4 and n == 3:
        return i + 4, ordinal_day(first, digits_at(data, i + 1, 3)), False
    if n < 1 or n > 2 or (dash and (n < 2 or run < 4)):
        return i, day, False
    month = digits_at(data, i + 1, n)
    i += 1 + n
    if i >= end or data[i] != mark:
        return i, day, False
    n = run_of_digits(data, i + 1, end)
    if n < 1 or (n != 4 if run < 4 else n > 2 or (dash and n < 2)):
        return i, day, False
    last = digits_at(data, i + 1, n)
    i += 1 + n
    return i, calendar_day(first, month, last) if run == 4 else calendar_day(last, month, first), not dash


@noinline
def _any_form(data: Any, i: I64, end: I64) -> tuple[I64, I64]:
    """``iso_time`` of a text in any of the forms."""
    none = BAD_TIME, LOCAL
    i = after_blanks(data, i, end)
    end = before_blanks(data, i, end)
    i, day, loose = _date_at(data, i, end)
    if day == BAD_TIME:
        return none
    if i == end:
        return day * DAY, LOCAL_DATE
    at = i + 1 if data[i] == 84 or data[i] == 116 else after_blanks(data, i, end)
    if at == i:
        return none
    i = at
    run = run_of_digits(data, i, end)
    if run != 2 and run != 4 and run != 6 and not (loose and run == 1):
        return none
    hour, minute, second, micro = (
        digits_at(data, i, 1 if run == 1 else 2),
        0,
        0,
        0,
    )
    seconds = run == 6
    if run >= 4:
        minute = digits_at(data, i + 2, 2)
    if run == 6:
        second = digits_at(data, i + 4, 2)
    i += run
    if run <= 2 and i < end and data[i] == 58:
        if run_of_digits(data, i + 1, end) != 2:
            return none
        minute = digits_at(data, i + 1, 2)
        i += 3
        if i < end and data[i] == 58:
            if run_of_digits(data, i + 1, end) != 2:
                return none
            second = digits_at(data, i + 1, 2)
            seconds = True
            i += 3
    elif run == 1:
        return none
    if seconds and i < end and (data[i] == 46 or data[i] == 44):
        at, micro = fraction_at(data, i + 1, end)
        if at == i + 1:
            return none
        i = at
    time = time_of_day(hour, minute, second, micro)
    if time < 0:
        return none
    return _ended(data, i, end, day * DAY + time, micro, second == 60)


@inline
def iso_time(data: Any, i: I64, n: I64) -> tuple[I64, I64]:
    """Microseconds since 1970 of the text of ``n`` bytes at ``i``, and what it says of its zone.

    The time is UTC if that is ``ZONED``, else what a clock showed; ``BAD_TIME`` if the text is in none of the forms.
    """
    end = i + n
    # The usual form is read here, which is faster than to find out which one it is.
    if n >= 10 and data[i + 4] == 45 and data[i + 7] == 45:
        month, date = digits_at(data, i + 5, 2), digits_at(data, i + 8, 2)
        day = calendar_day(digits_at(data, i, 4), month, date)
        if n == 10:
            return (BAD_TIME if day == BAD_TIME else day * DAY), LOCAL_DATE
        mark = data[i + 10]
        if n >= 16 and (mark == 84 or mark == 32) and data[i + 13] == 58 and day != BAD_TIME:
            hour, minute = digits_at(data, i + 11, 2), digits_at(data, i + 14, 2)
            second, micro, at = 0, 0, i + 16
            if n >= 19 and data[at] == 58:
                second = digits_at(data, i + 17, 2)
                at = i + 19
                if n > 20 and (data[at] == 46 or data[at] == 44) and 48 <= data[at + 1] <= 57:
                    at, micro = fraction_at(data, at + 1, end)
            if 0 <= hour < 24 and 0 <= minute < 60 and 0 <= second < 60:
                time = day * DAY + (hour * HOUR + minute * MINUTE + second * SECOND + micro)
                if at == end:
                    return time, LOCAL
                if data[at] == 90 and at + 1 == end:
                    return time, ZONED
                if at + 6 == end and data[at + 3] == 58 and (data[at] == 43 or data[at] == 45):
                    hour, minute = digits_at(data, at + 1, 2), digits_at(data, at + 4, 2)
                    if 0 <= hour < 24 and 0 <= minute < 60:
                        offset = hour * HOUR + minute * MINUTE
                        return (time - offset if data[at] == 43 else time + offset), ZONED
    return _any_form(data, i, end)


@loop("void(u1[::1], i8[::1], i8[::1], u1[::1])")
def iso_times(data: Any, spans: Any, out: Any, said: Any) -> None:
    """``iso_time`` of every span (start << 32 | length)."""
    for k in range(len(spans)):
        time, zone = iso_time(data, spans[k] >> 32, spans[k] & 0xFFFFFFFF)
        out[k] = time
        said[k] = zone
