"""The loop that reads texts in a given form: it runs the steps of ``time_formats`` over each."""

from __future__ import annotations

from typing import Any

import numpy as np

from operators.compiler.loops import I64, inline, loop, noinline
from operators.kernels.times.calendar import DAY as DAY_LENGTH
from operators.kernels.times.dates import (
    BAD_TIME,
    calendar_day,
    days_from_civil,
    leaps,
    ordinal_day,
    time_of_day,
    week_day,
)
from operators.kernels.times.iso_times import ZONED as HAS_ZONE
from operators.kernels.times.iso_times import (
    after_blanks,
    before_blanks,
    digits_at,
    fraction_at,
    run_of_digits,
    zone_at,
)

# Steps: the operation, then what is written after it.
LITERAL = 0  # byte
BLANKS = 1
NUMBER = 2  # field, least and most digits, least and greatest number, whether the first digit may be a blank
YEAR_OF_CENTURY = 3  # as NUMBER: 69 to 99 are of the 20th century, others of the 21st
FRACTION = 4  # field
NAME = 5  # field, first and last row of _NAMES, whether it is cut to three letters
HALF_OF_DAY = 6  # field
ZONE = 7  # field
COLUMNS = 7

# Fields.
YEAR, MONTH, DAY, ORDINAL, WEEK, WEEKDAY, HOUR, MINUTE, SECOND, MICRO, HALF, ZONED, OFFSET = range(13)
FIELDS = 13

# What the date is made of, besides the year.
MONTH_AND_DAY, DAY_OF_YEAR, ISO_WEEK, WEEK_OF_SUNDAYS, WEEK_OF_MONDAYS = range(5)

MONTHS, WEEKDAYS = (0, 12), (12, 19)
WORDS = [
    b"january", b"february", b"march", b"april", b"may", b"june", b"july", b"august", b"september", b"october",
    b"november", b"december", b"monday", b"tuesday", b"wednesday", b"thursday", b"friday", b"saturday", b"sunday",
]  # fmt: skip
_NAMES = np.array([list(word.ljust(10, b"\0")) for word in WORDS], np.uint8)


@inline
def _digits_end(data: Any, i: I64, end: I64, least: I64, most: I64, padded: I64) -> tuple[I64, I64]:
    """Where the digits at ``i`` begin and end; the end is -1 if they are too few."""
    if padded and i + 1 < end and data[i] == 32:
        i += 1
        most = 1
    n = min(run_of_digits(data, i, min(end, i + most)), most)
    return i, i + n if n >= least else -1


@inline
def _name_at(data: Any, i: I64, end: I64, first: I64, last: I64, short: I64) -> tuple[I64, I64]:
    """The position after a name at ``i`` and its number from 1; -1 if none is there."""
    for row in range(first, last):
        n = 0
        while n < (3 if short else 10) and _NAMES[row, n] != 0:
            if i + n >= end or data[i + n] | 32 != _NAMES[row, n]:
                n = -1
                break
            n += 1
        if n > 0:
            return i + n, row - first + 1
    return -1, 0


@noinline
def _step(data: Any, i: I64, end: I64, step: Any, fields: Any) -> I64:
    """The position after what the step reads at ``i``; -1 if that is not there."""
    op = step[0]
    if op == LITERAL:
        return i + 1 if i < end and data[i] == step[1] else -1
    if op == BLANKS:
        at = after_blanks(data, i, end)
        return at if at > i else -1
    field = step[1]
    if op in (NUMBER, YEAR_OF_CENTURY):
        i, at = _digits_end(data, i, end, step[2], step[3], step[6])
        if at < 0:
            return -1
        value = digits_at(data, i, at - i)
        if value < step[4] or value > step[5]:
            return -1
        if op == YEAR_OF_CENTURY:
            value += 1900 if value >= 69 else 2000
        if field == WEEKDAY and value == 0:
            value = 7
        fields[field] = value
    elif op == FRACTION:
        at, fields[field] = fraction_at(data, i, end)
        if at == i:
            return -1
    elif op == NAME:
        at, fields[field] = _name_at(data, i, end, step[2], step[3], step[4])
    elif op == HALF_OF_DAY:
        if end - i < 2 or data[i + 1] | 32 != 109 or (data[i] | 32 != 97 and data[i] | 32 != 112):
            return -1
        fields[field] = 2 if data[i] | 32 == 112 else 1
        at = i + 2
    else:
        fields[field] = 1
        at, fields[OFFSET] = zone_at(data, i, end)
    return at


@noinline
def _day_of(fields: Any, kind: I64) -> I64:
    """The day that the fields say."""
    year, weekday = fields[YEAR], fields[WEEKDAY]
    if kind == ISO_WEEK:
        return week_day(year, fields[WEEK], max(weekday, 1))
    if kind in (WEEK_OF_SUNDAYS, WEEK_OF_MONDAYS):
        # Week 1 begins with the year's first Sunday or Monday.
        shift = 1 if kind == WEEK_OF_SUNDAYS else 0
        begins = (days_from_civil(year, 1, 1) + 3 + shift) % 7
        day = 7 * fields[WEEK] + (weekday - 1 + shift) % 7 - begins + (0 if begins else -7) + 1
        return ordinal_day(year, day)
    ordinal = kind == DAY_OF_YEAR
    day = ordinal_day(year, fields[ORDINAL]) if ordinal else calendar_day(year, fields[MONTH], fields[DAY])
    if weekday and (day + 3) % 7 + 1 != weekday:
        return BAD_TIME
    return day


@loop("void(u1[::1], i8[::1], i8[:,::1], i8, i8, i8[::1], i8[::1], u1[::1])")
def format_times(data: Any, spans: Any, steps: Any, kind: I64, unzoned: I64, fields: Any, out: Any, said: Any) -> None:
    """The times of the spans (start << 32 | length) whose ``out`` is ``BAD_TIME``, where the text is in the form.

    ``said`` becomes ``ZONED``, or ``unzoned`` where there is no zone. ``fields`` is room for the loop.
    """
    for k in range(len(spans)):
        if out[k] != BAD_TIME:
            continue
        i = spans[k] >> 32
        end = i + (spans[k] & 0xFFFFFFFF)
        i = after_blanks(data, i, end)
        end = before_blanks(data, i, end)
        for field in range(FIELDS):
            fields[field] = 0
        fields[MONTH] = fields[DAY] = 1
        for step in range(len(steps)):
            i = _step(data, i, end, steps[step], fields)
            if i < 0:
                break
        if i != end:
            continue
        hour, second, micro = fields[HOUR], fields[SECOND], fields[MICRO]
        if fields[HALF]:
            hour = hour % 12 + 12 * (fields[HALF] - 1)
        day = _day_of(fields, kind)
        time = time_of_day(hour, fields[MINUTE], second, micro)
        if day == BAD_TIME or time < 0:
            continue
        time += day * DAY_LENGTH - fields[OFFSET]
        if second < 60 or leaps(time, micro):
            out[k] = time
            said[k] = HAS_ZONE if fields[ZONED] else unzoned
