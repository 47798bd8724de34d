"""Parameters and times from text, and result values to text."""

from __future__ import annotations

import json
from decimal import Decimal


def parameter_value(text: str) -> object:
    """A parameter's value from text: a number, ``true`` or ``false``, else the text itself."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, (int, float, bool, str)) else text


def moment(text: str) -> str | int:
    """An absolute time unchanged; a relative one (``-7d``, ``today``) in microseconds."""
    from runtime.query.plan.prepare import now_micros
    from runtime.schedules.relative_times import is_relative, resolved

    return resolved(text, now_micros(), "UTC", "TIME") if is_relative(text) else text


def to_json(value: object) -> str:
    """One JSON object on one line."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, default=_plain)


def _plain(value: object) -> str:
    """A decimal as text with all its places: as a number, some JSON readers would lose digits."""
    if isinstance(value, Decimal):
        return format(value, "f")
    raise TypeError(value)
