"""Compiled loops that read JSON and CSV tokens from a byte buffer.

Positions are indexes into the buffer. A loop never reads at or past ``end``; reaching it is reported, because more
bytes may follow.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.compiler.loops import I64, inline, loop

Bytes = NDArray[np.uint8]


class _Writable:
    """Read-only memory, presented as writable."""

    def __init__(self, data: Bytes) -> None:
        self._data = data
        found = data.__array_interface__
        self.__array_interface__ = {**found, "data": (found["data"][0], False)}


def for_loops(data: Bytes) -> Bytes:
    """A writable view of read-only memory: compiled signatures require it, loops never write to it."""
    return data if data.flags.writeable else np.asarray(_Writable(data))


# Kinds of cells. SPAN kinds have the cell's position in the text as value: start << 32 | length.
# BIG is a number beyond 64 bits or float64, as text; JSON the text of an array or object; NAN and INFINITE have no
# value; INSTANT is a time in microseconds; SCALED is a decimal, a count of its column's smallest unit.
MISSING, NULL, BOOL, INT, FLOAT, STRING, ESCAPED, BIGINT, DECIMAL, BIG, JSON, NAN, INFINITE, INSTANT, SCALED = range(15)
KINDS = 15

# Results of ``string_end`` besides the position: bits.
HAS_ESCAPE, HAS_HIGH, CONTROL, CUT = 1, 128, 256, 512

# Results of ``number``.
NUMBER_INT, NUMBER_FLOAT, NUMBER_BIGINT, NUMBER_DECIMAL, NUMBER_BAD, NUMBER_CUT = range(6)

_POWERS = np.array([float(10**k) for k in range(23)])  # all exact


@inline
def digit(data: Bytes, i: int) -> int:
    """The value of the decimal digit at ``i``, signed so that arithmetic with it stays in int64."""
    return np.int64(data[i]) - 48  # type: ignore[return-value]


@inline
def skip_space(data: Bytes, i: int, end: int) -> int:
    """The position of the first byte that is not JSON white space."""
    while i < end:
        c = data[i]
        if c != 32 and c != 10 and c != 13 and c != 9:
            break
        i += 1
    return i


@inline
def string_end(data: Bytes, i: int, end: int) -> tuple[int, int]:
    """The position of the quote that closes the string whose first byte is at ``i``, and which bytes occur in it."""
    met = 0
    while i < end:
        c = data[i]
        if c == 34:
            return i, met
        if c < 32:
            return i, met | CONTROL
        if c == 92:
            met |= HAS_ESCAPE
            i += 1
        met |= c & HAS_HIGH
        i += 1
    return end, met | CUT


@inline
def skip_nested(data: Bytes, i: int, end: int) -> int:
    """The position after the array or object that opens at ``i``; -1 when cut, -2 - position where it breaks.

    Brackets, strings and separators are parsed, so a broken value ends where it breaks, not at the end of the file; its
    content is not checked further.
    """
    depth = 0
    after = False
    while i < end:
        c = data[i]
        if c == 32 or c == 10 or c == 13 or c == 9:
            i += 1
        elif c == 34:
            if after:
                return -2 - i
            j, met = string_end(data, i + 1, end)
            if met & CUT:
                return -1
            if met & CONTROL:
                return -2 - j
            i = j + 1
            after = True
        elif c == 123 or c == 91:
            if after:
                return -2 - i
            depth += 1
            i += 1
        elif c == 125 or c == 93:
            depth -= 1
            i += 1
            after = True
            if depth == 0:
                return i
        elif c == 44 or c == 58:
            if not after:
                return -2 - i
            after = False
            i += 1
        else:
            j = literal_end(data, i, end)
            if after or j == i:
                return -2 - i
            i = j
            after = True
    return -1


@inline
def literal_end(data: Bytes, i: int, end: int) -> int:
    """The position after a run of letters, digits, '+', '-', '.' and '_'."""
    while i < end:
        c = data[i]
        if (48 <= c <= 57) or (97 <= c <= 122) or (65 <= c <= 90) or c == 43 or c == 45 or c == 46 or c == 95:
            i += 1
        else:
            break
    return i


@inline
def number(data: Bytes, i: int, end: int) -> tuple[int, int, int, float]:
    """Position after the JSON number at ``i``, its kind, and its value as int64 or float64.

    A float is returned only if one correctly rounded operation yields it (Clinger 1990: at most 2^53 times or divided
    by at most 10^22). Otherwise DECIMAL means that the text needs a careful conversion, BIGINT that the digits may not
    fit in 64 bits, or that it is -0, whose sign int64 lacks.
    """
    start = i
    negative = data[i] == 45
    if negative:
        i += 1
        if i >= end:
            return i, NUMBER_CUT, 0, 0.0
    mantissa = 0
    digits = 0
    exponent = 0
    dropped = False
    c = data[i]
    if c == 48:
        i += 1
        if i < end and 48 <= data[i] <= 57:
            return start, NUMBER_BAD, 0, 0.0
    elif 49 <= c <= 57:
        while i < end and 48 <= data[i] <= 57:
            if digits < 18:
                mantissa = mantissa * 10 + digit(data, i)
                digits += 1
            else:
                dropped = True
            i += 1
    else:
        return start, NUMBER_BAD, 0, 0.0
    is_float = False
    if i < end and data[i] == 46:
        is_float = True
        i += 1
        k = i
        while i < end and 48 <= data[i] <= 57:
            if digits < 18:
                mantissa = mantissa * 10 + digit(data, i)
                exponent -= 1
                if mantissa > 0:
                    digits += 1
            else:
                dropped = True
            i += 1
        if i >= end:
            return i, NUMBER_CUT, 0, 0.0
        if i == k:
            return start, NUMBER_BAD, 0, 0.0
    if i < end and (data[i] == 101 or data[i] == 69):
        is_float = True
        i += 1
        below = False
        if i < end and (data[i] == 43 or data[i] == 45):
            below = data[i] == 45
            i += 1
        k = i
        power = 0
        while i < end and 48 <= data[i] <= 57:
            if power < 10000:
                power = power * 10 + digit(data, i)
            i += 1
        if i >= end:
            return i, NUMBER_CUT, 0, 0.0
        if i == k:
            return start, NUMBER_BAD, 0, 0.0
        exponent += -power if below else power
    if i >= end:
        return i, NUMBER_CUT, 0, 0.0
    if not is_float:
        if dropped or (negative and mantissa == 0):
            return i, NUMBER_BIGINT, 0, 0.0
        return i, NUMBER_INT, -mantissa if negative else mantissa, 0.0
    if dropped or mantissa > 9007199254740992 or exponent > 22 or exponent < -22:
        return i, NUMBER_DECIMAL, 0, 0.0
    value = float(mantissa)
    value = value * _POWERS[exponent] if exponent >= 0 else value / _POWERS[-exponent]
    return i, NUMBER_FLOAT, 0, -value if negative else value


@inline
def digits_at(data: Bytes, i: int, n: int) -> int:
    """The number in the ``n`` decimal digits at ``i``; -1 when they are not all digits."""
    value = 0
    for k in range(i, i + n):
        d = digit(data, k)
        if d < 0 or d > 9:
            return -1
        value = value * 10 + d
    return value


@inline
def days_from_civil(year: int, month: int, day: int) -> int:
    """Days since 1970-01-01 of a date of the proleptic Gregorian calendar (Howard Hinnant's algorithm)."""
    y = year - 1 if month <= 2 else year
    era = y // 400
    yoe = y - era * 400
    mp = month - 3 if month > 2 else month + 9
    doy = (153 * mp + 2) // 5 + day - 1
    doe = yoe * 365 + yoe // 4 - yoe // 100 + doy
    return int(era * 146097 + doe - 719468)


BAD_TIME = -(2**63)
TOO_LATE = 2**63 - 1
"""The result for a number that is too large for any time."""


@inline
def iso_time(data: Bytes, i: int, n: int) -> int:
    """Microseconds since 1970 UTC of the ISO-8601 text of ``n`` bytes at ``i``; ``BAD_TIME`` if it is not one.

    ``YYYY-MM-DD``, then optionally ``T`` or a space and ``HH:MM[:SS[.f]]`` with one to nine fractional digits (those
    past microseconds are truncated), then optionally ``Z`` or an offset ``+HH``, ``+HHMM`` or ``+HH:MM``. Without a
    zone it is UTC.
    """
    end = i + n
    if n < 10 or data[i + 4] != 45 or data[i + 7] != 45:
        return BAD_TIME
    year, month, day = digits_at(data, i, 4), digits_at(data, i + 5, 2), digits_at(data, i + 8, 2)
    if year < 1 or month < 1 or month > 12 or day < 1:
        return BAD_TIME
    longest = 31
    if month == 2:
        longest = 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
    elif month == 4 or month == 6 or month == 9 or month == 11:
        longest = 30
    if day > longest:
        return BAD_TIME
    time = days_from_civil(year, month, day) * 86400000000
    i += 10
    if i == end:
        return time
    if (data[i] != 84 and data[i] != 116 and data[i] != 32) or end - i < 6 or data[i + 3] != 58:
        return BAD_TIME
    hour, minute = digits_at(data, i + 1, 2), digits_at(data, i + 4, 2)
    if hour < 0 or hour > 23 or minute < 0 or minute > 59:
        return BAD_TIME
    time += hour * 3600000000 + minute * 60000000
    i += 6
    if i < end and data[i] == 58:
        if end - i < 3:
            return BAD_TIME
        second = digits_at(data, i + 1, 2)
        if second < 0 or second > 59:
            return BAD_TIME
        time += second * 1000000
        i += 3
        if i < end and (data[i] == 46 or data[i] == 44):
            i += 1
            k = i
            unit = 100000
            while i < end and 48 <= data[i] <= 57:
                time += digit(data, i) * unit
                unit //= 10
                i += 1
            if i == k or i - k > 9:
                return BAD_TIME
    if i == end:
        return time
    if data[i] == 90 or data[i] == 122:
        return time if i + 1 == end else BAD_TIME
    if data[i] != 43 and data[i] != 45:
        return BAD_TIME
    ahead = data[i] == 43
    i += 1
    left = end - i
    zone_minute = 0
    if left == 5 and data[i + 2] == 58:
        zone_minute = digits_at(data, i + 3, 2)
    elif left == 4:
        zone_minute = digits_at(data, i + 2, 2)
    elif left != 2:
        return BAD_TIME
    zone_hour = digits_at(data, i, 2)
    if zone_hour < 0 or zone_hour > 23 or zone_minute < 0 or zone_minute > 59:
        return BAD_TIME
    offset = zone_hour * 3600000000 + zone_minute * 60000000
    return time - offset if ahead else time + offset


@loop("void(u1[::1], i8[::1], i8[::1])")
def iso_times(data: Any, spans: Any, out: Any) -> None:
    """``iso_time`` of every span (start << 32 | length)."""
    for k in range(len(spans)):
        out[k] = iso_time(data, spans[k] >> 32, spans[k] & 0xFFFFFFFF)


@loop("void(u1[::1], i8[::1], i8, i8[::1])")
def decimal_times(data: Any, spans: Any, shift: I64, out: Any) -> None:
    """The number in every span times 10^shift, exact and truncated to an integer; -1 if negative, ``TOO_LATE`` if too
    large."""
    for k in range(len(spans)):
        i = spans[k] >> 32
        end = i + (spans[k] & 0xFFFFFFFF)
        out[k] = TOO_LATE
        negative = data[i] == 45
        if negative:
            i += 1
        mantissa = 0
        digits = 0
        exponent = shift
        point = False
        while i < end and data[i] != 101 and data[i] != 69:
            c = data[i]
            i += 1
            if c == 46:
                point = True
            elif digits < 18:
                mantissa = mantissa * 10 + digit(data, i - 1)
                if mantissa > 0:
                    digits += 1
                if point:
                    exponent -= 1
            elif not point:
                exponent += 1
        if i < end:
            i += 1
            below = False
            if data[i] == 43 or data[i] == 45:
                below = data[i] == 45
                i += 1
            power = 0
            while i < end:
                if power < 10000:
                    power = power * 10 + digit(data, i)
                i += 1
            exponent += -power if below else power
        if mantissa == 0 or negative:
            out[k] = 0 if mantissa == 0 else -1
            continue
        while exponent < 0 and mantissa > 0:
            mantissa //= 10
            exponent += 1
        while exponent > 0 and 0 < mantissa < 900000000000000000:
            mantissa *= 10
            exponent -= 1
        if exponent == 0 or mantissa == 0:
            out[k] = mantissa
