"""Times relative to now, as schedules and users write them: ``-7d``, ``today``, ``yesterday``, ``today-30d``."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, tzinfo

from dataflow.times.durations import moment, parse_duration
from dataflow.times.zones import zone_named
from operators.errors import DataflowError
from runtime.errors import QueryError

_FORM = re.compile(r"(now|today|yesterday)?(?:([+-])([0-9a-z]+))?")
_DAY = 86_400_000_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def is_relative(text: str) -> bool:
    """Whether the text has the form of a relative time."""
    return bool(text) and _FORM.fullmatch(text) is not None


def resolved(text: str, at: int, zone: str, what: str) -> int:
    """Microseconds UTC of a relative time or an ISO-8601 time, seen from ``at``; QueryError naming ``what``.

    ``today`` and ``yesterday`` begin at midnight in ``zone``; day offsets from them are calendar days there.
    """
    found = _FORM.fullmatch(text) if text else None
    if found is None:
        try:
            return moment(text)
        except ValueError:
            raise QueryError(
                f"{what}: {text!r} is not a time; write -7d, today, yesterday, today-30d, now-1h or an ISO-8601 time"
            ) from None
    anchor, sign, length = found.groups()
    try:
        by = 0 if length is None else parse_duration(length, what) * (-1 if sign == "-" else 1)
        place = zone_named(zone, what)
    except DataflowError as error:
        raise QueryError(str(error)) from None
    try:
        return _from(anchor, at, by, place)
    except OverflowError:
        raise QueryError(f"{what}: {text!r} is before the year 1 or after the year 9999") from None


def _from(anchor: str | None, at: int, by: int, zone: tzinfo) -> int:
    if anchor in (None, "now"):
        return (_EPOCH + timedelta(microseconds=at + by) - _EPOCH) // timedelta(microseconds=1)
    if anchor == "yesterday":
        by -= _DAY
    day = (_EPOCH + timedelta(microseconds=at)).astimezone(zone).date()
    whole, rest = divmod(by, _DAY)
    midnight = datetime.combine(day + timedelta(days=whole), datetime.min.time(), zone)
    return (midnight.astimezone(UTC) - _EPOCH) // timedelta(microseconds=1) + rest
