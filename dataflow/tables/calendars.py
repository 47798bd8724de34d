"""Calendars: service hours that repeat every week in a time zone, minus exceptions."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from dataflow.tables.reference_tables import Periods
from dataflow.times.calendar_tables import known_time
from dataflow.times.durations import date_or_datetime, moment
from dataflow.times.zones import ZoneClock, clock_of, zone_named
from dataflow.values.mistaken import listed_values, shown
from operators.distinct_values import distinct
from operators.errors import DataflowError
from operators.kernels.times.calendar import DAY, END, FIRST
from operators.kernels.times.periods import NEVER

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_HOURS = re.compile(r"(\d\d):(\d\d)(?::(\d\d))?-(\d\d):(\d\d)(?::(\d\d))?")
_SECOND = 1_000_000
DAY_SECONDS = _DAY = 86_400
MAX_EXCEPT = 10_000
MAX_SPANS = 7 * 24
"""The maximum number of spans per week: each has a period in every week from 1900 to 2261."""

Moment = str | date
Span = tuple[int, int]
Times: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True)
class Calendar:
    """The times at which the wall clock of ``zone`` is within ``weekly``, minus ``except_``.

    ``weekly``: (weekday, from, to), Monday = 0, in seconds of the day, ascending and apart. ``except_``: [from, to) in
    microseconds UTC, ascending and apart.
    """

    weekly: tuple[tuple[int, int, int], ...]
    zone: str
    except_: tuple[Span, ...]

    timed = True
    keys: tuple[str | int, ...] | None = None

    def __str__(self) -> str:
        hours = sum(b - a for _, a, b in self.weekly) / 3600
        return f"calendar of {hours:g} hours a week in {self.zone}, {len(self.except_)} exceptions"

    def periods(self) -> Periods:
        """All periods of the calendar in the years 1900 to 2261, in microseconds UTC, ascending and apart."""
        return _periods(self)


@lru_cache(maxsize=8)
def _periods(calendar: Calendar) -> Periods:
    clock = clock_of(calendar.zone)
    days = np.arange(FIRST // DAY - 1, END // DAY + 1)
    spans = [(np.zeros(0, np.int64), np.zeros(0, np.int64))]
    for weekday, a, b in calendar.weekly:
        # 1970-01-01 was a Thursday.
        midnights = days[(days + 3) % 7 == weekday] * DAY
        spans += _shown(clock, midnights + a * _SECOND, midnights + b * _SECOND)
    starts, ends = (np.concatenate(side) for side in zip(*spans, strict=True))
    starts, ends = _less(*_touching(starts, ends), calendar.except_)
    return Periods(np.array([0, len(starts)], np.int64), starts, ends)


def _shown(clock: ZoneClock, a: Times, b: Times) -> list[tuple[Times, Times]]:
    """When the clock shows the local times [a, b); under a constant offset, local time is shifted UTC."""
    ends = np.append(clock.changes[1:], NEVER)
    low = np.searchsorted(clock.changes, a - clock.offsets.max(), side="right") - 1
    high = np.searchsorted(clock.changes, b - clock.offsets.min(), side="right") - 1
    out = []
    for k in range(int((high - low).max()) + 1):
        at = low + k
        some = at <= high
        at = at[some]
        start = np.maximum(np.maximum(a[some] - clock.offsets[at], clock.changes[at]), FIRST)
        end = np.minimum(np.minimum(b[some] - clock.offsets[at], ends[at]), END)
        out.append((start[start < end], end[start < end]))
    return out


def _touching(starts: Times, ends: Times) -> tuple[Times, Times]:
    """Spans in ascending order, with touching or overlapping ones merged."""
    order = np.argsort(starts, kind="stable")
    starts, ends = starts[order], np.maximum.accumulate(ends[order])
    begins = np.append(True, starts[1:] > ends[:-1])[: len(starts)]
    return starts[begins], ends[np.append(begins[1:], True)[: len(starts)]]


def _less(starts: Times, ends: Times, gone: Sequence[Span]) -> tuple[Times, Times]:
    """Spans minus ``gone``; both ascending and disjoint."""
    if not gone:
        return starts, ends
    a, b = (np.array([span[side] for span in gone], np.int64) for side in (0, 1))
    edges = distinct(np.concatenate([starts, ends, a, b]))
    inside = _within(edges, starts, ends) & ~_within(edges, a, b)
    return edges[:-1][inside[:-1]], edges[1:][inside[:-1]]


def _within(t: Times, starts: Times, ends: Times) -> NDArray[np.bool_]:
    at = np.searchsorted(starts, t, side="right") - 1
    found: NDArray[np.bool_] = (at >= 0) & (t < ends[at])
    return found


def calendar(
    weekly: Mapping[str, str | Sequence[str]],
    zone: str = "UTC",
    except_: Sequence[Moment | tuple[Moment, Moment]] = (),
) -> Calendar:
    """Service hours: ``df.calendar({"mon-fri": "09:00-17:00"}, zone="Europe/London", except_=["2024-12-25"])``.

    Days are ``"mon"`` to ``"sun"``, ranges, or several separated by commas. Hours are ``"HH:MM-HH:MM"`` of the wall
    clock of ``zone``, one or a list, up to ``24:00``; hours that end before they start extend into the next day. An
    hour that the clock skips does not exist, one that it repeats counts twice. ``except_`` removes whole local days
    (``"2024-12-25"``) and spans [from, to) of times, which are local unless they have a zone. Raises DataflowError.
    """
    place = zone_named(zone, "calendar")
    if not isinstance(weekly, Mapping) or not weekly:
        raise DataflowError('calendar takes hours by day, e.g. {"mon-fri": "09:00-17:00", "sat": ["09:00-12:00"]}')
    listed = listed_values(except_, "calendar: except_ is a list of days and spans")
    hours: list[tuple[int, int]] = []
    for days, texts in weekly.items():
        for text in [texts] if isinstance(texts, str) else listed_values(texts, f"calendar: hours of {shown(days)}"):
            a, b = _hours(text)
            for d in _weekdays(days):
                # In seconds of the week; Sunday night continues on Monday.
                hours += [(d * _DAY + a, d * _DAY + b)] if d * _DAY + b <= 7 * _DAY else _round_the_week(d, a, b)
    pieces = [
        (d, max(a - d * _DAY, 0), min(b - d * _DAY, _DAY))
        for a, b in joined(hours)
        for d in range(a // _DAY, -(-b // _DAY))
    ]
    if len(pieces) > MAX_SPANS:
        raise DataflowError(f"calendar: {len(pieces):,} spans of hours in a week are more than {MAX_SPANS}")
    if len(listed) > MAX_EXCEPT:
        raise DataflowError(f"calendar: more than {MAX_EXCEPT:,} exceptions")
    return Calendar(tuple(pieces), zone, tuple(joined(_exception(e, place) for e in listed)))


def _round_the_week(d: int, a: int, b: int) -> list[tuple[int, int]]:
    return [(d * _DAY + a, 7 * _DAY), (0, d * _DAY + b - 7 * _DAY)]


def joined(spans: object) -> list[Span]:
    """Spans in ascending order, with touching or overlapping ones merged."""
    out: list[Span] = []
    for a, b in sorted(spans):  # type: ignore[call-overload]
        if out and a <= out[-1][1]:
            out[-1] = (out[-1][0], max(out[-1][1], b))
        else:
            out.append((a, b))
    return out


def _weekdays(text: str) -> list[int]:
    out: list[int] = []
    for part in str(text).replace(" ", "").split(","):
        first, _, last = part.partition("-")
        if first not in _DAYS or (last or first) not in _DAYS:
            raise DataflowError(f"calendar: {shown(text)} is not a day; write e.g. 'mon', 'mon-fri' or 'sat,sun'")
        a, b = _DAYS.index(first), _DAYS.index(last or first)
        out += [d % 7 for d in range(a, (b if b >= a else b + 7) + 1)]
    return out


def _hours(text: object) -> tuple[int, int]:
    match = _HOURS.fullmatch(text) if isinstance(text, str) else None
    n = [int(x or 0) for x in match.groups()] if match else []
    if not n or max(n[1], n[2], n[4], n[5]) > 59:
        raise DataflowError(f"calendar: {shown(text)} is not a span of hours; write e.g. '09:00-17:00', with 24 hours")
    a, b = n[0] * 3600 + n[1] * 60 + n[2], n[3] * 3600 + n[4] * 60 + n[5]
    if a >= _DAY or b > _DAY or a == b:
        raise DataflowError(f"calendar: {text!r} must start before 24:00, end by 24:00, and not be empty")
    return a, b if b > a else b + _DAY


def _exception(value: Moment | tuple[Moment, Moment], place: object) -> Span:
    if isinstance(value, tuple | list):
        if len(value) != 2:
            raise DataflowError(f"calendar: the exception {shown(value)} is not a pair (from, to)")
        a, b = (_instant(v, place) for v in value)
    else:
        try:
            day = date_or_datetime(value) if isinstance(value, str) else value
            if not isinstance(day, date) or isinstance(day, datetime):
                raise ValueError(value)
        except ValueError:
            raise DataflowError(
                f"calendar: the exception {shown(value)} is not a day; write '2024-12-25' or a pair (from, to)"
            ) from None
        a, b = _instant(day, place), _instant(day + timedelta(days=1), place)
    if a >= b:
        raise DataflowError(f"calendar: the exception {shown(value)} must end after it starts")
    return a, b


def _instant(value: Moment, place: object) -> int:
    try:
        found = date_or_datetime(value) if isinstance(value, str) else value
        if not isinstance(found, datetime):
            found = datetime(found.year, found.month, found.day)
    except (ValueError, AttributeError, TypeError):
        raise DataflowError(f"calendar: {shown(value)} is not a time; write e.g. '2024-12-24T12:00'") from None
    if found.tzinfo is None:
        found = found.replace(tzinfo=place)  # type: ignore[arg-type]
    return known_time(moment(found.isoformat()), "calendar")
