"""Methods of times."""

from __future__ import annotations

from datetime import timedelta
from typing import Self

from dataflow.expressions.methods.method_base import Methods
from dataflow.times.durations import WEEKDAYS, parse_offset, placed_every
from dataflow.values.mistaken import shown, text_of
from dataflow.values.settings import Setting, checked_setting
from operators.errors import DataflowError


class TimeMethods(Methods):
    """Functions of times."""

    def truncate(
        self, every: str, zone: str = "UTC", week_start: str | None = None, offset: str | timedelta | None = None
    ) -> Self:
        """The start of the calendar bucket that a time falls in: ``"10m"``, ``"1d"``, ``"1w"``, ``"1mo"``, ``"1y"`` in
        the IANA time zone ``zone``.

        Weeks start on Monday, or on ``week_start`` (``"mon"`` to ``"sun"``). Days and longer buckets start at midnight,
        or at that ``offset`` later by the wall clock: ``offset="6h"`` for days that begin at 6:00, also on days on
        which the clock changes; ``offset="14d"`` for months that begin on the 15th. A bucket can also be written with
        both: ``"1w@sun"``, ``"1d+6h"``.
        """
        every = placed_every(every, week_start, offset, "truncate")
        return self._of("truncate", every=every, zone=text_of(zone, "truncate"))

    def offset_by(self, by: str, zone: str = "UTC") -> Self:
        """The time whose wall clock in the IANA time zone ``zone`` shows the same on another date: ``"1mo"``,
        ``"-1y"``, ``"1y6mo"``, ``"-2w"`` or ``"3d"`` later.

        In a month without that day it is the last one: a month after January 31 is February 28, or 29. Days are those
        of the calendar, also if they have 23 or 25 hours. A wall time that the clock skips there is as much later as it
        jumps; of one that it shows twice, the first. Null outside of the years 1900 to 2261.
        """
        if isinstance(by, Setting):
            checked_setting(by, lambda v: parse_offset(v, "offset_by"))
        else:
            parse_offset(by, "offset_by")
        return self._of("offset_by", by=by, zone=text_of(zone, "offset_by"))

    def year(self, zone: str = "UTC") -> Self:
        """The year of a time in ``zone``."""
        return self._part("year", zone)

    def quarter(self, zone: str = "UTC") -> Self:
        """The quarter of the year of a time, 1 to 4, in ``zone``."""
        return self._part("quarter", zone)

    def month(self, zone: str = "UTC") -> Self:
        """The month of a time, 1 to 12, in ``zone``."""
        return self._part("month", zone)

    def iso_week(self, zone: str = "UTC") -> Self:
        """The week of ISO 8601 of a time, 1 to 53, in ``zone``: a week belongs to the year of its Thursday."""
        return self._part("iso_week", zone)

    def day(self, zone: str = "UTC") -> Self:
        """The day of the month of a time, 1 to 31, in ``zone``."""
        return self._part("day", zone)

    def day_of_year(self, zone: str = "UTC") -> Self:
        """The day of the year of a time, 1 to 366, in ``zone``."""
        return self._part("day_of_year", zone)

    def hour(self, zone: str = "UTC") -> Self:
        """The hour of the day of a time, 0 to 23, in ``zone``."""
        return self._part("hour", zone)

    def minute(self, zone: str = "UTC") -> Self:
        """The minute of the hour of a time, 0 to 59, in ``zone``."""
        return self._part("minute", zone)

    def second(self, zone: str = "UTC") -> Self:
        """The whole second of the minute of a time, 0 to 59, in ``zone``."""
        return self._part("second", zone)

    def weekday(self, zone: str = "UTC", first: str = "mon") -> Self:
        """The day of the week of a time in ``zone``, from 0 for the day ``first`` (``"mon"`` to ``"sun"``)."""
        if first not in WEEKDAYS:
            raise DataflowError(f"weekday: first is one of {', '.join(WEEKDAYS)}, got {shown(first)}")
        day = self._part("weekday", zone)
        return day if first == "mon" else day._of("add", 7 - WEEKDAYS.index(first))._of("mod", 7)

    def _part(self, part: str, zone: str) -> Self:
        return self._of(part, zone=text_of(zone, part))
