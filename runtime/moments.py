"""Times as callers give them."""

from __future__ import annotations

from datetime import UTC, date, datetime

from runtime.errors import QueryError

Moment = str | datetime | date | int
"""ISO-8601 text, a datetime or date (UTC without a zone), or microseconds UTC."""


def microseconds(value: Moment | None, name: str) -> int | None:
    """Microseconds UTC of a time given as text, datetime, date or microseconds."""
    if value is None:
        return None
    if isinstance(value, bool):
        raise QueryError(f"{name}: {value!r} is not a time")
    if isinstance(value, int):
        return value
    if isinstance(value, str):
        from dataflow.times.durations import moment

        try:
            return moment(value)
        except ValueError:
            raise QueryError(
                f"{name}: {value!r} is not a time; write for example 2024-03-01 or 2024-03-01T12:00:00Z (UTC)"
            ) from None
    if not isinstance(value, datetime):
        value = datetime(value.year, value.month, value.day)
    if value.tzinfo is None:
        value = value.replace(tzinfo=UTC)
    delta = value - datetime(1970, 1, 1, tzinfo=UTC)
    return (delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds
