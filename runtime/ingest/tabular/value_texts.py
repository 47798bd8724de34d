"""Values of types that streams do not store, as text: times of day, intervals, bytes, times out of range."""

from __future__ import annotations

import re

_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")
_DAY = 86_400
DIGITS = {"s": 0, "ms": 3, "us": 6, "ns": 9}
"""Decimal digits of a second in a unit."""


def binary_text(data: bytes) -> str:
    """Bytes that are text as that text; others as ``\\x`` and hexadecimal digits, as PostgreSQL shows them.

    Text has no control characters but tabs and line ends, and does not begin with ``\\x``: the bytes can be restored.
    """
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = None
    return f"\\x{data.hex()}" if text is None or text.startswith("\\x") or _CONTROL.search(text) else text


def clock_time(value: int, unit: str) -> str:
    """A time of day: ``13:05:01``, with a fraction of 6 digits (nanoseconds: 9, where needed) unless that is zero."""
    seconds, part = divmod(value, 10 ** DIGITS[unit])
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{_fraction(part, DIGITS[unit])}"


def _fraction(part: int, digits: int) -> str:
    """The fraction of a second, as ``datetime.isoformat`` writes it; of nanoseconds also nine digits."""
    if not part:
        return ""
    whole = f"{part:0{digits}}".ljust(6, "0")
    return f".{whole}" if len(whole) == 6 or int(whole[6:]) else f".{whole[:6]}"


def iso_time(value: int, unit: str, zone: str = "Z") -> str:
    """A time since 1970 as ISO-8601, of any year; those after 9999 have a sign (``+10000-01-01T00:00:00Z``)."""
    seconds, part = divmod(value, 10 ** DIGITS[unit])
    days, second = divmod(seconds, _DAY)
    return f"{iso_date(days)}T{clock_time(second * 10 ** DIGITS[unit] + part, unit)}{zone}"


def iso_date(days: int) -> str:
    """A day since 1970-01-01 in the Gregorian calendar, extended to all years.

    The algorithm counts eras of 400 years from 0000-03-01, so that a leap day ends a year.
    """
    era, day = divmod(days + 719_468, 146_097)
    year = (day - day // 1460 + day // 36_524 - day // 146_096) // 365
    day -= 365 * year + year // 4 - year // 100
    month = (5 * day + 2) // 153
    number = day - (153 * month + 2) // 5 + 1
    full = 400 * era + year + (month >= 10)
    shown = f"{full:04}" if 0 <= full <= 9999 else f"{full:+05}"
    return f"{shown}-{month + 3 if month < 10 else month - 9:02}-{number:02}"


def iso_interval(months: int, days: int, nanos: int) -> str:
    """An interval as an ISO-8601 duration: ``P1Y2M3DT4H5M6.5S``; each part has its own sign, as in PostgreSQL."""
    sign, size = (-1, -months) if months < 0 else (1, months)
    date = [(sign * (size // 12), "Y"), (sign * (size % 12), "M"), (days, "D")]
    sign, size = (-1, -nanos) if nanos < 0 else (1, nanos)
    seconds, part = divmod(size, 10**9)
    text = "P" + "".join(f"{n}{letter}" for n, letter in date if n)
    clock = [(sign * (seconds // 3600), "H"), (sign * (seconds // 60 % 60), "M")]
    rest = f"{'-' if sign < 0 else ''}{seconds % 60}{f'.{part:09}'.rstrip('0') if part else ''}"
    time = "".join(f"{n}{letter}" for n, letter in clock if n) + (f"{rest}S" if seconds % 60 or part else "")
    return f"{text}T{time}" if time else text if len(text) > 1 else "PT0S"


def iso_duration(value: int, unit: str) -> str:
    """A duration as an ISO-8601 one, in seconds: ``PT90.5S``."""
    sign, size = ("-", -value) if value < 0 else ("", value)
    digits = DIGITS[unit]
    seconds, part = divmod(size, 10**digits)
    return f"PT{sign}{seconds}{f'.{part:0{digits}}'.rstrip('0') if part else ''}S"
