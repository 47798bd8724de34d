"""Formats of times, as ``strptime`` writes them, compiled to steps that a loop runs over texts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from operators.kernels.times.iso_times import LOCAL, LOCAL_DATE
from runtime.errors import IngestError
from runtime.ingest.times import format_loop as fl

Ints = NDArray[np.int64]

_SHORT_FOR = {
    "D": "%m/%d/%y", "F": "%Y-%m-%d", "R": "%H:%M", "T": "%H:%M:%S", "c": "%a %b %d %H:%M:%S %Y", "h": "%b",
    "x": "%m/%d/%y", "X": "%H:%M:%S",
}  # fmt: skip

# By directive: the field, the least and most digits, the least and greatest number.
_NUMBERS = {
    "Y": (fl.YEAR, 4, 4, 1, 9999), "G": (fl.YEAR, 4, 4, 1, 9999), "y": (fl.YEAR, 2, 2, 0, 99),
    "m": (fl.MONTH, 1, 2, 1, 12), "d": (fl.DAY, 1, 2, 1, 31), "e": (fl.DAY, 1, 2, 1, 31),
    "j": (fl.ORDINAL, 1, 3, 1, 366), "U": (fl.WEEK, 1, 2, 0, 53), "W": (fl.WEEK, 1, 2, 0, 53),
    "V": (fl.WEEK, 1, 2, 1, 53), "u": (fl.WEEKDAY, 1, 1, 1, 7), "w": (fl.WEEKDAY, 1, 1, 0, 6),
    "H": (fl.HOUR, 1, 2, 0, 24), "k": (fl.HOUR, 1, 2, 0, 24), "I": (fl.HOUR, 1, 2, 1, 12), "l": (fl.HOUR, 1, 2, 1, 12),
    "M": (fl.MINUTE, 1, 2, 0, 59), "S": (fl.SECOND, 1, 2, 0, 60),
}  # fmt: skip
_PADDED = "dekl"
"""Numbers whose first digit may be a blank."""

_OTHERS = {
    "b": (fl.NAME, fl.MONTH, *fl.MONTHS, 1), "B": (fl.NAME, fl.MONTH, *fl.MONTHS, 0),
    "a": (fl.NAME, fl.WEEKDAY, *fl.WEEKDAYS, 1), "A": (fl.NAME, fl.WEEKDAY, *fl.WEEKDAYS, 0),
    "f": (fl.FRACTION, fl.MICRO), "p": (fl.HALF_OF_DAY, fl.HALF), "z": (fl.ZONE, fl.ZONED), "Z": (fl.ZONE, fl.ZONED),
}  # fmt: skip

_FIELDS = {d: row[0] for d, row in _NUMBERS.items()} | {d: row[1] for d, row in _OTHERS.items()}
_FIELD_NAMES = (
    "year", "month", "day", "day of the year", "week", "weekday", "hour", "minute", "second", "fraction",
    "half of the day", "zone",
)  # fmt: skip

_PIECE = re.compile(r"%(.?)|(\s+)|([^%\s]+)", re.DOTALL)
_MARKED_UTC = re.compile(r"(%[HMSfTRXp]\s*)(?:Z|UTC|GMT)(?![A-Za-z0-9])")


@dataclass(frozen=True)
class TimeFormat:
    """One format. ``of_digits``: a text in this form may look like a number."""

    text: str
    of_digits: bool
    _kind: int
    _unzoned: int
    _steps: tuple[tuple[int, ...], ...]

    def read(self, data: NDArray[np.uint8], spans: Ints, out: Ints, said: NDArray[np.uint8]) -> None:
        """Put the times of the spans that have none yet (``BAD_TIME``) and are in this form into ``out``, and what they
        say of their zones into ``said``."""
        steps = np.array([(*step, *[0] * (fl.COLUMNS - len(step))) for step in self._steps], np.int64)
        room = np.zeros(fl.FIELDS, np.int64)
        fl.format_times(data, spans, steps, self._kind, self._unzoned, room, out, said)


@lru_cache(maxsize=64)
def time_format(text: str) -> TimeFormat:
    """The format, compiled; IngestError if it has unknown directives, or leaves open what the time is."""
    try:
        pieces = _pieces(text)
        by_field = _by_field(pieces)
        kind = _kind_of_date(by_field)
        _check_clock(by_field)
    except ValueError as fault:
        raise IngestError(f"time_format {text!r:.100}: {fault}.") from None
    points = sum(piece == "." for piece in pieces)
    of_digits = points < 2 and all(piece == "." or _is_number(piece) for piece in pieces)
    unzoned = LOCAL if fl.HOUR in by_field else LOCAL_DATE
    return TimeFormat(text, of_digits, kind, unzoned, tuple(_steps(pieces)))


def _pieces(text: str) -> list[str]:
    """Directives, blanks and other text, each by itself."""
    if "%z" not in text.lower():
        # A zone that the format itself says is one as well.
        text = _MARKED_UTC.sub(r"\1%Z", text)
    return [
        whole
        for found in _PIECE.finditer(text.strip())
        for whole in ([m[0] for m in _PIECE.finditer(_SHORT_FOR[found[1]])] if found[1] in _SHORT_FOR else [found[0]])
    ]


def _is_number(piece: str) -> bool:
    return piece[0] == "%" and (piece[1:] in _NUMBERS or piece == "%f")


def _by_field(pieces: list[str]) -> dict[int, str]:
    """The directive of each field; ValueError with a fault of one of them."""
    out: dict[int, str] = {}
    for piece in pieces:
        if piece[0] != "%" or piece == "%%":
            continue
        field = _FIELDS.get(piece[1:])
        if field is None:
            known = " ".join(f"%{d}" for d in sorted(_FIELDS | _SHORT_FOR, key=lambda d: (d.lower(), d)))
            hint = "; numbers of seconds have a unit (--unit s)" if piece == "%s" else ""
            raise ValueError(f"there is no directive {piece}{hint}; there are {known} %%")
        if field in out:
            raise ValueError(f"{out[field]} and {piece} both say the {_FIELD_NAMES[field]}")
        out[field] = piece
    return out


def _kind_of_date(given: Mapping[int, str]) -> int:
    """What the date is made of; ValueError if that is none or more than one date."""
    if fl.YEAR not in given:
        raise ValueError("a time needs its year (%Y or %y)")
    iso, week = given[fl.YEAR] == "%G", given.get(fl.WEEK, "")
    parts = [f for f in (fl.DAY, fl.ORDINAL, fl.WEEK) if f in given]
    if len(parts) > 1 or (fl.MONTH in given and parts not in ([], [fl.DAY])):
        raise ValueError(f"{' and '.join(given[f] for f in (fl.MONTH, *parts) if f in given)} say the date twice")
    if iso != (week == "%V"):
        raise ValueError("%G, the year of ISO weeks, and %V go together")
    if week in ("%U", "%W") and fl.WEEKDAY not in given:
        raise ValueError(f"{week} needs a weekday (%a, %A, %u or %w)")
    if fl.DAY in given and fl.MONTH not in given:
        raise ValueError(f"{given[fl.DAY]} needs a month (%m, %b or %B)")
    if not parts and given.keys() - {fl.YEAR, fl.MONTH}:
        raise ValueError("it has no date (%m and %d, or %j)")
    if week:
        return {"%V": fl.ISO_WEEK, "%U": fl.WEEK_OF_SUNDAYS, "%W": fl.WEEK_OF_MONDAYS}[week]
    return fl.DAY_OF_YEAR if fl.ORDINAL in given else fl.MONTH_AND_DAY


def _check_clock(given: Mapping[int, str]) -> None:
    """ValueError if the time of day lacks a part."""
    for part, whole, its in ((fl.MINUTE, fl.HOUR, "%H"), (fl.SECOND, fl.MINUTE, "%M"), (fl.MICRO, fl.SECOND, "%S")):
        if part in given and whole not in given:
            raise ValueError(f"{given[part]} needs {its}")
    of_twelve = given.get(fl.HOUR) in ("%I", "%l")
    if of_twelve and fl.HALF not in given:
        raise ValueError(f"{given[fl.HOUR]} is an hour of twelve and needs %p (AM or PM); %H is one of 24")
    if fl.HALF in given and not of_twelve:
        raise ValueError("%p (AM or PM) goes with %I, an hour of twelve")


def _steps(pieces: list[str]) -> Iterator[tuple[int, ...]]:
    """The steps of ``format_loop``."""
    for before, piece, after in zip(["", *pieces], pieces, [*pieces[1:], ""], strict=False):
        if piece[0] != "%" or piece == "%%":
            text = "%" if piece == "%%" else piece
            yield from [(fl.BLANKS,)] if text.isspace() else [(fl.LITERAL, byte) for byte in text.encode()]
        elif piece[1:] in _OTHERS:
            yield _OTHERS[piece[1:]]
        else:
            field, least, most, low, high = _NUMBERS[piece[1:]]
            # Among digits, only the full width says where a number ends.
            fixed = any(p and _is_number(p) for p in (before, after))
            op = fl.YEAR_OF_CENTURY if piece == "%y" else fl.NUMBER
            yield op, field, most if fixed else least, most, low, high, int(piece[1:] in _PADDED and not fixed)
