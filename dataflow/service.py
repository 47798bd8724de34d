"""Calendars as timelines: service hours that repeat every week in a time zone, less what is excepted."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

import numpy as np

from dataflow.calendars import offset_table, zone_named
from dataflow.durations import moment
from dataflow.reference import Periods
from operators.errors import DataflowError

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_HOURS = re.compile(r"(\d\d):(\d\d)(?::(\d\d))?-(\d\d):(\d\d)(?::(\d\d))?")
_SECOND = 1_000_000
DAY_SECONDS = _DAY = 86_400
MAX_EXCEPT = 10_000

Moment = str | date
Span = tuple[int, int]


@dataclass(frozen=True)
class Calendar:
    """The times that the wall clock of ``zone`` shows within ``weekly``, less ``except_``.

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

    def periods(self, lo: int, hi: int) -> Periods:
        """All periods of the calendar that overlap [lo, hi], in microseconds UTC, ascending and apart."""
        out: list[Span] = []
        changes, offsets = (a.tolist() for a in offset_table(self.zone, lo, hi))
        for i, offset in enumerate(offsets):
            # While the offset stays, local time is UTC shifted; what the clock shows twice is in the calendar twice.
            first = max(lo, changes[i])
            end = min(hi + 1, changes[i + 1]) if i + 1 < len(changes) else hi + 1
            for day in range((first + offset) // (_DAY * _SECOND), (end + offset) // (_DAY * _SECOND) + 1):
                for weekday, a, b in self.weekly:
                    if (day + 3) % 7 == weekday:
                        midnight = day * _DAY * _SECOND - offset
                        out.append((max(first, midnight + a * _SECOND), min(end, midnight + b * _SECOND)))
        kept = _without(joined(s for s in out if s[0] < s[1]), self.except_)
        starts, ends = (np.array([s[k] for s in kept], np.int64) for k in (0, 1))
        return Periods(np.array([0, len(kept)], np.int64), starts, ends)


def calendar(
    weekly: Mapping[str, str | Sequence[str]],
    zone: str = "UTC",
    except_: Sequence[Moment | tuple[Moment, Moment]] = (),
) -> Calendar:
    """Service hours: ``df.calendar({"mon-fri": "09:00-17:00"}, zone="Europe/London", except_=["2024-12-25"])``.

    Days are ``"mon"`` to ``"sun"``, ranges of them, or several after commas; hours are ``"HH:MM-HH:MM"`` of the wall
    clock of ``zone``, one or a list, to ``24:00`` at most; hours that end before they start last into the next day.
    What the clock skips is in no hours, what it shows twice is in them twice. ``except_`` takes out whole local days
    (``"2024-12-25"``) and spans [from, to) of times, which are local unless they say their zone. Raises DataflowError.
    """
    place = zone_named(zone, "calendar")
    if not isinstance(weekly, Mapping) or not weekly:
        raise DataflowError('calendar takes hours by day, e.g. {"mon-fri": "09:00-17:00", "sat": ["09:00-12:00"]}')
    hours: list[tuple[int, int]] = []
    for days, texts in weekly.items():
        for text in [texts] if isinstance(texts, str) else texts:
            a, b = _hours(text)
            for d in _weekdays(days):
                # In seconds of the week; Sunday night goes on on Monday.
                hours += [(d * _DAY + a, d * _DAY + b)] if d * _DAY + b <= 7 * _DAY else _round_the_week(d, a, b)
    pieces = [
        (d, max(a - d * _DAY, 0), min(b - d * _DAY, _DAY))
        for a, b in joined(hours)
        for d in range(a // _DAY, -(-b // _DAY))
    ]
    if len(except_) > MAX_EXCEPT:
        raise DataflowError(f"calendar: more than {MAX_EXCEPT:,} exceptions")
    return Calendar(tuple(pieces), zone, tuple(joined(_exception(e, place) for e in except_)))


def _round_the_week(d: int, a: int, b: int) -> list[tuple[int, int]]:
    return [(d * _DAY + a, 7 * _DAY), (0, d * _DAY + b - 7 * _DAY)]


def joined(spans: object) -> list[Span]:
    """Spans in ascending order, with those that touch or overlap made one."""
    out: list[Span] = []
    for a, b in sorted(spans):  # type: ignore[call-overload]
        if out and a <= out[-1][1]:
            out[-1] = (out[-1][0], max(out[-1][1], b))
        else:
            out.append((a, b))
    return out


def _without(spans: Sequence[Span], gone: Sequence[Span]) -> list[Span]:
    """``spans`` less ``gone``; both ascending and apart."""
    out: list[Span] = []
    at = 0
    for a, b in spans:
        while at < len(gone) and gone[at][1] <= a:
            at += 1
        k = at
        while k < len(gone) and gone[k][0] < b:
            if a < gone[k][0]:
                out.append((a, gone[k][0]))
            a = max(a, gone[k][1])
            k += 1
        if a < b:
            out.append((a, b))
    return out


def _weekdays(text: str) -> list[int]:
    out: list[int] = []
    for part in str(text).replace(" ", "").split(","):
        first, _, last = part.partition("-")
        if first not in _DAYS or (last or first) not in _DAYS:
            raise DataflowError(f"calendar: {text!r} names no days; write e.g. 'mon', 'mon-fri' or 'sat,sun'")
        a, b = _DAYS.index(first), _DAYS.index(last or first)
        out += [d % 7 for d in range(a, (b if b >= a else b + 7) + 1)]
    return out


def _hours(text: object) -> tuple[int, int]:
    match = _HOURS.fullmatch(text) if isinstance(text, str) else None
    n = [int(x or 0) for x in match.groups()] if match else []
    if not n or max(n[1], n[2], n[4], n[5]) > 59:
        raise DataflowError(f"calendar: {text!r} are no hours; write e.g. '09:00-17:00', in 24 hours")
    a, b = n[0] * 3600 + n[1] * 60 + n[2], n[3] * 3600 + n[4] * 60 + n[5]
    if a >= _DAY or b > _DAY or a == b:
        raise DataflowError(f"calendar: {text!r} must start before 24:00, end by 24:00, and last")
    return a, b if b > a else b + _DAY


def _exception(value: Moment | tuple[Moment, Moment], place: object) -> Span:
    if isinstance(value, tuple | list):
        if len(value) != 2:
            raise DataflowError(f"calendar: the exception {value!r} is no pair (from, to)")
        a, b = (_instant(v, place) for v in value)
    else:
        try:
            day = date.fromisoformat(value) if isinstance(value, str) else value
            if not isinstance(day, date) or isinstance(day, datetime):
                raise ValueError(value)
        except ValueError:
            raise DataflowError(
                f"calendar: the exception {value!r} is no day; write '2024-12-25' or a pair (from, to)"
            ) from None
        a, b = _instant(day, place), _instant(day + timedelta(days=1), place)
    if a >= b:
        raise DataflowError(f"calendar: the exception {value!r} must end after it starts")
    return a, b


def _instant(value: Moment, place: object) -> int:
    try:
        found: date = datetime.fromisoformat(value) if isinstance(value, str) else value
        if not isinstance(found, datetime):
            found = datetime(found.year, found.month, found.day)
    except (ValueError, AttributeError, TypeError):
        raise DataflowError(f"calendar: {value!r} is not a time; write e.g. '2024-12-24T12:00'") from None
    if found.tzinfo is None:
        found = found.replace(tzinfo=place)  # type: ignore[arg-type]
    return moment(found.isoformat())
