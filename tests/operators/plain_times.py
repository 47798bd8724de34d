"""A plain, slow reader of times, which shares no code with the compiled one."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime, timedelta, timezone

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_DATES = {
    r"(?P<y>\d{4})-(?P<m>\d\d)-(?P<d>\d\d)": "two",
    r"(?P<y>\d{4})(?P<m>\d\d)(?P<d>\d\d)": "two",
    r"(?P<y>\d{4})/(?P<m>\d\d?)/(?P<d>\d\d?)": "one",
    r"(?P<d>\d\d?)\.(?P<m>\d\d?)\.(?P<y>\d{4})": "one",
    r"(?P<y>\d{4})-(?P<j>\d{3})": "two",
    r"(?P<y>\d{4})-W(?P<w>\d\d)(?:-(?P<a>\d))?": "two",
    r"(?P<y>\d{4})W(?P<w>\d\d)(?P<a>\d)?": "two",
}
_HOURS = {"two": r"(?P<H>\d\d)", "one": r"(?P<H>\d\d)|(?P<h>\d)(?=:)"}
_CLOCK = r"(?::(?P<M>\d\d)(?::(?P<S>\d\d)(?:[.,](?P<f>\d+))?)?|(?P<M2>\d\d)(?:(?P<S2>\d\d)(?:[.,](?P<f2>\d+))?)?)?"
_ZONE = r"(?P<zone>[ \t]*(?:[Zz]|(?i:utc|gmt)|[+-]\d\d(?:\d\d(?:\d\d)?|:\d\d(?::\d\d)?)?))?"


def plain_time(text: str) -> tuple[int, str] | None:
    """Microseconds since 1970 and whether the text has a zone ("zone"), none ("clock") or is a date only ("date"); None
    if it is no time."""
    text = text.strip(" \t")
    for form, hours in _DATES.items():
        whole = re.compile(rf"{form}(?:(?:[Tt]|[ \t]+)(?:{_HOURS[hours]}){_CLOCK}{_ZONE})?", re.ASCII)
        if found := whole.fullmatch(text):
            try:
                return _value(found.groupdict())
            except ValueError:
                return None
    return None


def _value(part: dict[str, str | None]) -> tuple[int, str]:
    year = int(part["y"] or 0)
    if part.get("j"):
        day = date(year, 1, 1).toordinal() + int(part["j"] or 0) - 1
        if not date(year, 1, 1).toordinal() <= day <= date(year, 12, 31).toordinal():
            raise ValueError(day)
    elif part.get("w"):
        day = date.fromisocalendar(year, int(part["w"] or 0), int(part["a"] or 1)).toordinal()
    else:
        day = date(year, int(part["m"] or 0), int(part["d"] or 0)).toordinal()
    midnight = (day - EPOCH.toordinal()) * timedelta(days=1)
    hour = part["H"] or part.get("h")
    if hour is None:
        return midnight // timedelta(microseconds=1), "date"
    minute, second = int(part["M"] or part["M2"] or 0), int(part["S"] or part["S2"] or 0)
    micro = int(((part["f"] or part["f2"] or "") + "000000")[:6])
    if minute > 59 or second > 60 or int(hour) > 24 or (hour == "24" and minute + second + micro):
        raise ValueError(hour)
    at = midnight + timedelta(hours=int(hour), minutes=minute, seconds=second)
    if part["zone"]:
        at -= _offset(part["zone"].strip(" \t"))
    if second == 60 and at % timedelta(days=1):
        raise ValueError(second)
    return at // timedelta(microseconds=1) + micro, "zone" if part["zone"] else "clock"


def _offset(text: str) -> timedelta:
    if text[0] not in "+-":
        return timedelta(0)
    digits = (text[1:].replace(":", "") + "0000")[:6]
    hours, minutes, seconds = digits[:2], digits[2:4], digits[4:]
    if int(minutes) > 59 or int(seconds) > 59:
        raise ValueError(text)
    by = timedelta(hours=int(hours), minutes=int(minutes), seconds=int(seconds))
    return timezone(-by if text[0] == "-" else by).utcoffset(None)
