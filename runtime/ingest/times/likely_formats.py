"""The formats in which a text may be a time, by what its parts look like: for messages and previews."""

from __future__ import annotations

import re
from functools import lru_cache

import numpy as np

from operators.kernels.times.dates import BAD_TIME
from runtime.errors import IngestError
from runtime.ingest.times import format_loop as fl
from runtime.ingest.times.time_formats import time_format

_MOST = 64  # characters of a text that is looked at
_OFFSET = re.compile(r"(?<=[0-9MmZT])(\s*)(?:[+-][0-9]{2}:?[0-9]{2}|Z|UTC|GMT)$")
_CLOCK = re.compile(
    r"(?<![0-9])[0-9]{1,2}:[0-9]{2}(?P<s>:[0-9]{2}(?:(?P<point>[.,:])[0-9]+)?)?(?:(?P<gap> *)[AaPp][Mm])?(?![0-9:])"
)
_WORD = re.compile(r"(?<![%A-Za-z])[A-Za-z]+")
_NUMBER = re.compile(r"(?<![0-9])[0-9]+(?![0-9])")
_COMPACT = {14: "%Y%m%d%H%M%S", 12: "%Y%m%d%H%M", 8: "%Y%m%d"}


@lru_cache(maxsize=256)
def likely_formats(text: str) -> tuple[str, ...]:
    """The formats in which the text is a time; several where the order of day, month and year is open."""
    return tuple(form for form in _forms(text.strip()[:_MOST].replace("%", "")) if is_written_as(text, form))


def is_written_as(text: str, form: str) -> bool:
    """Whether the text is a time in this format."""
    raw = text.encode("utf-8", "replace") or b" "
    try:
        compiled = time_format(form)
    except IngestError:
        return False
    out = np.full(1, BAD_TIME, np.int64)
    spans = np.array([len(raw)], np.int64)
    compiled.read(np.frombuffer(raw, np.uint8).copy(), spans, out, np.zeros(1, np.uint8))
    return bool(out[0] != BAD_TIME)


def _forms(text: str) -> list[str]:
    """Formats by the parts of the text, which may still not fit."""
    text = _OFFSET.sub(r"\1%z", text)
    text, clocks = _CLOCK.subn(_clock, text, count=1)
    text = _WORD.sub(_name, text)
    numbers = list(_NUMBER.finditer(text))
    parts = [_COMPACT.get(len(n[0]), "") if n[0][:2] in ("19", "20") else "" for n in numbers]
    if any(parts):
        for at, n in enumerate(numbers):
            if not parts[at]:
                parts[at] = {6: "%H%M%S", 4: "%H%M"}.get(len(n[0]), "") if not clocks else ""
        orders = [parts]
    else:
        years = [len(n[0]) == 4 for n in numbers]
        named = "%b" in text or "%B" in text
        if len(numbers) != 3 - named or sum(years) > 1:
            return []
        if years[0] and not named:
            orders = [["%Y", "%m", "%d"]]
        elif named:
            orders = [["%Y" if year else "%d" for year in years]] if any(years) else [["%d", "%y"], ["%y", "%d"]]
        elif any(years):
            orders = [["%d", "%m", "%Y"], ["%m", "%d", "%Y"]] if years[2] else []
        else:
            orders = [["%d", "%m", "%y"], ["%m", "%d", "%y"], ["%y", "%m", "%d"]]
    forms = []
    for order in orders:
        if all(order):
            pieces = _NUMBER.split(text)
            forms.append("".join(f"{piece}{part}" for piece, part in zip(pieces, [*order, ""], strict=True)))
    return forms


def _clock(found: re.Match[str]) -> str:
    half = found["gap"] is not None
    seconds = "" if found["s"] is None else ":%S" + (f"{found['point']}%f" if found["point"] else "")
    return ("%I" if half else "%H") + ":%M" + seconds + (f"{found['gap']}%p" if half else "")


def _name(found: re.Match[str]) -> str:
    word = found[0].lower().encode()
    for (first, last), short, full in ((fl.MONTHS, "%b", "%B"), (fl.WEEKDAYS, "%a", "%A")):
        for name in fl.WORDS[first:last]:
            if word in (name, name[:3]):
                return short if word == name[:3] else full
    return found[0]
