"""Dates as days since 1970-01-01, in the proleptic Gregorian calendar, and times of day in microseconds.

A date that does not exist is ``BAD_TIME``. These also run as plain Python.
"""

from __future__ import annotations

from operators.compiler.loops import I64, inline, noinline
from operators.kernels.times.calendar import DAY

BAD_TIME = -(2**63)
"""Neither a day nor a time."""

HOUR, MINUTE, SECOND = 3_600_000_000, 60_000_000, 1_000_000


@inline
def days_from_civil(year: I64, month: I64, day: I64) -> I64:
    """Days since 1970-01-01 (Howard Hinnant's algorithm)."""
    y = year - 1 if month <= 2 else year
    era = y // 400
    yoe = y - era * 400
    mp = month - 3 if month > 2 else month + 9
    doy = (153 * mp + 2) // 5 + day - 1
    doe = yoe * 365 + yoe // 4 - yoe // 100 + doy
    return era * 146097 + doe - 719468


@inline
def year_and_day(day: I64) -> tuple[I64, I64]:
    """The year that begins on 1 March and contains the day, and the day's number in it, from 0 (Howard Hinnant's
    algorithm)."""
    z = day + 719468
    era = z // 146097
    doe = z - era * 146097
    yoe = (doe - doe // 1460 + doe // 36524 - doe // 146096) // 365
    return yoe + era * 400, doe - (365 * yoe + yoe // 4 - yoe // 100)


@inline
def year_of(local: I64) -> I64:
    """The year."""
    year, doy = year_and_day(local // DAY)
    return year + 1 if doy >= 306 else year


@inline
def month_of(local: I64) -> I64:
    """Month of the year, 1 to 12."""
    _, doy = year_and_day(local // DAY)
    mp = (5 * doy + 2) // 153
    return mp + 3 if mp < 10 else mp - 9


@inline
def quarter_of(local: I64) -> I64:
    """Quarter of the year, 1 to 4."""
    return (month_of(local) + 2) // 3


@inline
def day_of(local: I64) -> I64:
    """Day of the month, 1 to 31."""
    _, doy = year_and_day(local // DAY)
    return doy - (153 * ((5 * doy + 2) // 153) + 2) // 5 + 1


@inline
def day_of_year_of(local: I64) -> I64:
    """Day of the year, 1 to 366."""
    return local // DAY - days_from_civil(year_of(local), 1, 1) + 1


@inline
def iso_week_of(local: I64) -> I64:
    """Week of ISO 8601, 1 to 53: a week belongs to the year of its Thursday."""
    day = local // DAY
    thursday = day + 3 - ((day + 3) - (day + 3) // 7 * 7)
    return (day_of_year_of(thursday * DAY) + 6) // 7


@inline
def calendar_day(year: I64, month: I64, day: I64) -> I64:
    """The day of a date."""
    if year < 1 or month < 1 or month > 12 or day < 1:
        return BAD_TIME
    longest = 31
    if month == 2:
        longest = 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
    elif month == 4 or month == 6 or month == 9 or month == 11:
        longest = 30
    if day > longest:
        return BAD_TIME
    return days_from_civil(year, month, day)


@noinline
def ordinal_day(year: I64, number: I64) -> I64:
    """Day ``number`` (from 1) of a year."""
    first = days_from_civil(year, 1, 1)
    if year < 1 or number < 1 or first + number > days_from_civil(year + 1, 1, 1):
        return BAD_TIME
    return first + number - 1


@noinline
def week_day(year: I64, week: I64, day: I64) -> I64:
    """Day 1 (Monday) to 7 of an ISO week; January 4 is always in week 1, December 28 in the last one."""
    fourth = days_from_civil(year, 1, 4)
    monday = fourth - (fourth + 3) % 7 + 7 * (week - 1)
    if year < 1 or week < 1 or day < 1 or day > 7 or monday > days_from_civil(year, 12, 28):
        return BAD_TIME
    return monday + day - 1


@inline
def time_of_day(hour: I64, minute: I64, second: I64, micro: I64) -> I64:
    """Microseconds since midnight; second 60 only where the minute's end is one of the day (see ``leaps``)."""
    if hour < 0 or minute < 0 or minute > 59 or second < 0 or second > 60:
        return -1
    if hour > 23 and (hour > 24 or minute + second + micro > 0):
        return -1
    return hour * HOUR + minute * MINUTE + second * SECOND + micro


@inline
def leaps(time: I64, micro: I64) -> bool:
    """Whether a leap second may end at the UTC time without its microseconds: at midnight only."""
    return bool((time - micro) % DAY == 0)
