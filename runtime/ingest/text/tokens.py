"""Compiled loops that read JSON and CSV tokens from a byte buffer.

Positions are indexes into the buffer. A loop never reads at or past ``end``; reaching it is reported, because more
bytes may follow.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from operators.compiler.loops import inline

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
# value; INSTANT is a time in microseconds; SCALED is a decimal, a count of its column's smallest
# unit; NULLED is a word that an option declares missing.
MISSING, NULL, BOOL, INT, FLOAT, STRING, ESCAPED, BIGINT, DECIMAL = range(9)
BIG, JSON, NAN, INFINITE, INSTANT, SCALED, NULLED = range(9, 16)
KINDS = 16

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
