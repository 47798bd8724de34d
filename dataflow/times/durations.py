"""Durations and calendar buckets as text: ``"90s"``, ``"5m"``, ``"1d"``, ``"1mo"``."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from typing import cast

from dataflow.values.constants import constant, is_numpy_length
from dataflow.values.mistaken import shown, without_call
from dataflow.values.settings import Setting, checked_setting
from operators.errors import DataflowError
from operators.kernels.times.dates import BAD_TIME
from operators.kernels.times.iso_times import LOCAL_DATE, ZONED, iso_time

_UNITS = {
    "us": 1,
    "ms": 1_000,
    "s": 1_000_000,
    "m": 60_000_000,
    "h": 3_600_000_000,
    "d": 86_400_000_000,
    "w": 604_800_000_000,
}
WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_TEXT = re.compile(r"(?:[0-9]{1,30}(?:us|ms|s|m|h|d|w))+")
_PART = re.compile(r"(\d+)(us|ms|s|m|h|d|w)")
_EVERY = re.compile(rf"([0-9]{{1,30}})(ms|s|m|h|d|w|mo|y)(?:@({'|'.join(WEEKDAYS)}))?(?:\+({_TEXT.pattern}))?")
_SPELLED = re.compile(r"([0-9]{1,9})?\s*([a-z]+)")
_WORDS = {
    "ms": ("milli", "millisecond"), "s": ("s", "sec", "second"), "m": ("m", "min", "minute", "minutely"),
    "h": ("h", "hr", "hour", "hourly"), "d": ("d", "day", "daily"), "w": ("w", "wk", "week", "weekly"),
    "mo": ("mon", "month", "monthly"), "y": ("y", "yr", "year", "yearly"),
}  # fmt: skip
_OFFSET = re.compile(r"([+-]?)(?:([0-9]{1,9})y)?(?:([0-9]{1,9})mo)?(?:([0-9]{1,9})w)?(?:([0-9]{1,9})d)?")
_MOST_YEARS = 400
_LIMIT = 10_000 * 366 * _UNITS["d"]


def is_duration(text: str) -> bool:
    """Whether ``parse_duration`` reads the text as a duration."""
    return _TEXT.fullmatch(text) is not None


def parse_duration(value: str | timedelta, where: str, least: int = 1) -> int:
    """Microseconds of a duration, at least ``least``, for example ``"5m"``, ``"1h30m"`` or a timedelta.

    Raises DataflowError naming ``where`` for anything else; bare numbers have no unit and are refused. A parameter is
    returned as it is (``Setting``).
    """
    if isinstance(value, Setting):
        return cast(int, checked_setting(value, lambda v: parse_duration(v, where)))
    if isinstance(value, timedelta) or is_numpy_length(value):
        found = constant(value)[1]
        micros = found if isinstance(found, int) else 0
    elif isinstance(value, str) and is_duration(value):
        micros = sum(int(n) * _UNITS[u] for n, u in _PART.findall(value))
    else:
        given = without_call(value) or (
            f"{shown(value)} is not a duration; {_positive(value) or _meant(value)} e.g. '90s', '5m', '1h30m', '7d' "
            "(units us ms s m h d w)"
        )
        raise DataflowError(f"{where}: {given}")
    if not least <= micros <= _LIMIT:
        raise DataflowError(f"{where}: the duration {shown(value)} must be longer than zero and at most 10,000 years")
    return micros


def parse_offset(value: str, where: str) -> tuple[int, int]:
    """Months and days of a calendar offset, for example ``"1mo"``, ``"-1y"``, ``"1y6mo"`` or ``"-2w"``.

    Raises DataflowError naming ``where`` for anything else.
    """
    found = _OFFSET.fullmatch(value) if isinstance(value, str) else None
    if found is None or not any(found.groups()[1:]):
        hours = "; hours and shorter times are durations: df.time() + '1h'" if _is_length(value) else ""
        raise DataflowError(
            without_call(value)
            or f"{where}: {shown(value)} is no offset of a calendar; write for example '1mo', '-1y', '1y6mo', '-2w' or "
            f"'3d'{hours}"
        )
    sign = -1 if found[1] == "-" else 1
    years, months, weeks, days = (int(n or 0) for n in found.groups()[1:])
    months, days = sign * (12 * years + months), sign * (7 * weeks + days)
    if abs(months) > 12 * _MOST_YEARS or abs(days) > 366 * _MOST_YEARS:
        raise DataflowError(f"{where}: the offset {shown(value)} is longer than {_MOST_YEARS} years")
    return months, days


def _is_length(value: object) -> bool:
    return isinstance(value, str) and is_duration(value.lstrip("+-"))


def written_duration(micros: int) -> str:
    """A positive duration as ``parse_duration`` reads it, in the largest unit that divides it."""
    if isinstance(micros, Setting):
        return cast(str, micros)
    unit, size = next((u, n) for u, n in reversed(_UNITS.items()) if micros % n == 0)
    return f"{micros // size}{unit}"


def as_text(value: object) -> object:
    """A time or duration as the text that stands for it; other values unchanged. ValueError for one without a text."""
    if not isinstance(value, datetime | timedelta) and type(value).__module__ != "numpy":
        return value
    kind, micros = constant(value)
    if kind not in ("time", "duration") or not isinstance(micros, int):
        return value
    if kind == "duration":
        if micros <= 0:
            raise ValueError(value)
        return written_duration(micros)
    try:
        return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)).isoformat()
    except OverflowError:
        raise ValueError(value) from None


def _positive(value: object) -> str:
    """What to do about a sign in front of a duration; empty if it has none."""
    is_signed = isinstance(value, str) and value[:1] in ("-", "+") and is_duration(value[1:])
    return f"leave the sign out: '{str(value)[1:]}'. Write" if is_signed else ""


def _meant(value: object) -> str:
    """A suggestion for a duration whose unit is spelled out, like ``"1 day"`` or ``"5min"``; else just ``"write"``."""
    found = _SPELLED.fullmatch(value.strip().lower()) if isinstance(value, str) else None
    word = "" if found is None else found[2].removesuffix("s") or found[2]
    unit = next((u for u, names in _WORDS.items() if word in names), None)
    return "write" if found is None or unit is None else f"did you mean '{found[1] or 1}{unit}'? Write"


def moment(text: str) -> int:
    """Microseconds UTC of an ISO-8601 text like ``"2024-03-01"``, UTC without a zone; else ValueError."""
    return _moment_and_zone(text)[0]


def date_or_datetime(text: str) -> date:
    """The date, or the datetime (in UTC if it has an offset), of an ISO-8601 text; else ValueError."""
    found, said = _moment_and_zone(text)
    try:
        at = datetime(1970, 1, 1, tzinfo=UTC if said == ZONED else None) + timedelta(microseconds=found)
    except OverflowError:
        raise ValueError(f"{text!r:.100} is before the year 1 or after the year 9999") from None
    return at.date() if said == LOCAL_DATE else at


def _moment_and_zone(text: str) -> tuple[int, int]:
    data = text.encode()
    found, said = iso_time(data, 0, len(data))
    if found == BAD_TIME:
        raise ValueError(f"{text!r:.100} is not a time")
    return int(found), int(said)


@dataclass(frozen=True)
class Every:
    """A calendar bucket: ``count`` times a fixed length of microseconds, or ``count`` months.

    Weeks start on the day ``week_start`` (Monday = 0). Buckets of days and longer ones start ``offset`` microseconds
    of the wall clock after midnight of their first day.
    """

    count: int
    unit: str
    week_start: int = 0
    offset: int = 0

    @property
    def text(self) -> str:
        """The bucket as text, as ``parse_every`` reads it."""
        start = f"@{WEEKDAYS[self.week_start]}" if self.week_start else ""
        return f"{self.plain_text}{start}{f'+{written_duration(self.offset)}' if self.offset else ''}"

    @property
    def plain_text(self) -> str:
        """The length of the bucket as text."""
        return f"{self.count}{self.unit}"

    @property
    def months(self) -> int:
        """Months in a bucket; 0 for fixed units."""
        return self.count * {"mo": 1, "y": 12}.get(self.unit, 0)

    @property
    def micros(self) -> int:
        """Microseconds in a bucket of a fixed unit; 0 for months and years."""
        return self.count * _UNITS.get(self.unit, 0)

    @property
    def days(self) -> int:
        """Local days in a bucket of days or weeks, else 0."""
        return self.count * {"d": 1, "w": 7}.get(self.unit, 0)


def buckets_in(size: str | timedelta, every: Every, where: str) -> int:
    """The number of buckets ``every`` in ``size``; DataflowError naming ``where`` if it is not a whole number."""
    if every.months:
        whole, part = parse_every(size, where).months if isinstance(size, str) else 0, every.months
    else:
        whole, part = parse_duration(size, where), every.micros
    if whole < part or whole % part:
        raise DataflowError(f"{where}: {size!r} is not a whole number of buckets of {every.plain_text!r}")
    return whole // part


def parse_every(value: str, where: str) -> Every:
    """A bucket, for example ``"10m"``, ``"1d"``, ``"1w"``, ``"1mo"``, ``"1y"``; with the first day of its weeks and its
    offset ``"1w@sun"``, ``"1d+6h"``. Else DataflowError naming ``where``."""
    match = _EVERY.fullmatch(value) if isinstance(value, str) else None
    if match is None or not 0 < int(match[1]) <= 100_000:
        # pandas' "M"; a lone "m" is a minute.
        spelled = f"{value[:-1]}month" if isinstance(value, str) and value.endswith("M") else value
        raise DataflowError(
            f"{where}: {shown(value)} is not a bucket; {_meant(spelled)} "
            "for example '10m', '1h', '1d', '1w', '1mo' or '1y'"
        )
    every = Every(int(match[1]), match[2])
    if every.months == 0 and every.days == 0 and _UNITS["d"] % every.micros:
        raise DataflowError(f"{where}: {value!r} does not divide a day; use a divisor of 24 hours, or whole days")
    return _placed(every, match[3], match[4], where)


def placed_every(every: str, week_start: str | None, offset: str | timedelta | None, where: str) -> str:
    """The text of a bucket whose weeks start on the day ``week_start`` ("mon" to "sun"), and which begins ``offset``
    after midnight; else DataflowError naming ``where``. A parameter is returned as it is (``Setting``)."""
    if isinstance(every, Setting):
        if week_start is not None or offset is not None:
            raise DataflowError(f"{where}: a parameter says itself when its buckets start, like '1w@sun' or '1d+6h'")
        return cast(str, checked_setting(every, lambda v: parse_every(v, where)))
    if isinstance(week_start, Setting) or isinstance(offset, Setting):
        raise DataflowError(
            f"{where}: week_start= and offset= are constants; a bucket that is a parameter says both, like '1w@sun'"
        )
    bucket = parse_every(every, where)
    if week_start is None and offset is None:
        return every
    if week_start is not None and week_start not in WEEKDAYS:
        raise DataflowError(f"{where}: week_start is one of {', '.join(WEEKDAYS)}, got {shown(week_start)}")
    if (week_start is not None and bucket.week_start) or (offset is not None and bucket.offset):
        raise DataflowError(f"{where}: {every!r} says already when buckets start; leave out week_start= and offset=")
    written = None if offset is None else written_duration(parse_duration(offset, f"{where}(offset)"))
    return _placed(bucket, week_start, written, where).text


def _placed(every: Every, week_start: str | None, offset: str | None, where: str) -> Every:
    if week_start is not None and every.unit != "w":
        raise DataflowError(f"{where}: only weeks start on a day of the week, not buckets of {every.plain_text!r}")
    if offset is None:
        return replace(every, week_start=WEEKDAYS.index(week_start or "mon"))
    late = parse_duration(offset, f"{where}(offset)")
    if not (every.days or every.months):
        raise DataflowError(
            f"{where}: only days and longer buckets can have an offset, not {every.plain_text!r}; shift the time: "
            f"group_by(start=(df.time() - {offset!r}).truncate({every.plain_text!r}) + {offset!r})"
        )
    if late >= (every.micros or every.months * 28 * _UNITS["d"]):
        raise DataflowError(
            f"{where}: the offset {offset!r} is not shorter than a bucket of {every.plain_text!r}"
            + (" (a month has at least 28 days)" if every.months else "")
        )
    return Every(every.count, every.unit, WEEKDAYS.index(week_start or "mon"), late)
