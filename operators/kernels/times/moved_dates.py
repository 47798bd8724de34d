"""Times moved by months and days of a local calendar."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from operators.compiler.loops import I64, inline, noinline
from operators.kernels.times.calendar import DAY, END, FIRST, OUTSIDE, in_years, offset_place
from operators.kernels.times.dates import days_from_civil, year_and_day


@inline
def month_length(year: I64, month: I64) -> I64:
    """The number of days of a month."""
    if month == 2:
        return 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
    return 30 if month == 4 or month == 6 or month == 9 or month == 11 else 31


@inline
def moved_day(date: I64, months: I64, days: I64) -> I64:
    """The date (days since 1970) so many months and then days later; the last day of a month that is too short."""
    year, doy = year_and_day(date)
    mp = (5 * doy + 2) // 153
    month = mp + 3 if mp < 10 else mp - 9
    count = (year + (1 if month <= 2 else 0)) * 12 + month - 1 + months
    year = count // 12
    month = count - year * 12 + 1
    return days_from_civil(year, month, min(doy - (153 * mp + 2) // 5 + 1, month_length(year, month))) + days


@noinline
def at_local(local: I64, changes: NDArray[np.int64], offsets: NDArray[np.int64]) -> I64:
    """The time at which a wall clock first shows ``local``; one that it skips is as much later as the clock jumps.

    ``OUTSIDE`` unless the time lies in the calendar years. An offset from UTC is less than a day.
    """
    if local < FIRST - DAY or local >= END + DAY:
        return np.int64(OUTSIDE)
    at = offset_place(min(max(local - DAY, np.int64(FIRST)), np.int64(END - 1)), changes, offsets)
    last = offset_place(min(max(local + DAY, np.int64(FIRST)), np.int64(END - 1)), changes, offsets)
    while at < last and local - offsets[at] >= changes[at + 1] and local - offsets[at + 1] >= changes[at + 1]:
        at += 1
    found = local - offsets[at]
    return found if in_years(found) else np.int64(OUTSIDE)


@inline
def moved_date(t: I64, months: I64, days: I64, changes: NDArray[np.int64], offsets: NDArray[np.int64]) -> I64:
    """The time whose wall clock shows the same on the date so many months and then days after that of ``t``."""
    place = offset_place(t, changes, offsets)
    if place < 0:
        return np.int64(OUTSIDE)
    local = t + offsets[place]
    return at_local(moved_day(local // DAY, months, days) * DAY + local - local // DAY * DAY, changes, offsets)
