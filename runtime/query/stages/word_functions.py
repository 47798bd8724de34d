"""Functions of one text as plain Python: called once per word."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

import numpy as np

from dataflow.expressions.text_patterns import compiled
from dataflow.times.durations import moment
from operators.kernels.times.calendar import END, FIRST
from operators.kernels.times.dates import BAD_TIME
from runtime.pointfile.hashing import hash_bytes

WordFunction = Callable[[str], Any]
"""The value of a text; None if it has none."""

_INTEGER = re.compile(r"[+-]?[0-9]+")
_FLOAT = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_LONGEST = 40
"""Digits of an integer, beyond which it does not fit in 64 bits or is written oddly."""


def word_function(fn: str, options: Mapping[str, Any]) -> WordFunction:
    """The function ``fn`` with its options, as ``dataflow.codegen.texts`` names them."""
    match fn:
        case "lower":
            return lower
        case "upper":
            return str.upper
        case "strip":
            return str.strip
        case "length":
            return len
        case "hash":
            return _hash
        case "substring":
            start, count = options["start"], options.get("count")
            end = None if count is None else start + count
            return lambda text: text[start:end]
        case "split":
            return lambda text: _piece(text.split(options["separator"]), options["index"])
        case "replace":
            return lambda text: text.replace(options["old"], options["new"])
        case "ends_with":
            return lambda text: text.endswith(options["suffix"])
        case "like":
            return like(options["pattern"])
        case "extract":
            return _extracted(options["pattern"])
        case "affix":
            return lambda text: f"{options['prefix']}{text}{options['suffix']}"
        case "number":
            return lambda text: number(text, options["decimal"], options["thousands"])
        case "parse_time":
            return lambda text: _time(text, options["format"], options["zone"])
    assert fn == "read", fn
    return _READ[options["type"]]


def lower(text: str) -> str:
    """The text in lower case. A final sigma is one like any other: which letters come before it depends on the version
    of Unicode, and so on that of Python."""
    return text.lower() if "\u03a3" not in text else "".join(map(str.lower, text))


def _hash(text: str) -> int:
    found = hash_bytes(text.encode())
    return found - (1 << 64) if found >> 63 else found


def _piece(pieces: list[str], index: int) -> str | None:
    return pieces[index] if -len(pieces) <= index < len(pieces) else None


def like(pattern: str) -> Callable[[str], bool]:
    """Whether a whole text fits the pattern: ``%`` stands for any text, ``_`` for one character, and a backslash takes
    the next character as it is. Each part between two ``%`` is taken where it fits first, so the time is at most the
    product of both lengths."""
    parts: list[list[str | None]] = [[]]
    at = iter(pattern)
    for c in at:
        if c == "%":
            parts.append([])
        else:
            parts[-1].append(None if c == "_" else next(at, "\\") if c == "\\" else c)

    def fits(text: str, part: list[str | None], begin: int) -> bool:
        return all(c is None or text[begin + i] == c for i, c in enumerate(part))

    def matches(text: str) -> bool:
        if len(parts) == 1:
            return len(text) == len(parts[0]) and fits(text, parts[0], 0)
        begin, end = len(parts[0]), len(text) - len(parts[-1])
        if begin > end or not fits(text, parts[0], 0) or not fits(text, parts[-1], end):
            return False
        for part in parts[1:-1]:
            found = next((i for i in range(begin, end - len(part) + 1) if fits(text, part, i)), None)
            if found is None:
                return False
            begin = found + len(part)
        return True

    return matches


def _extracted(pattern: str) -> Callable[[str], str | None]:
    """The group of the first place that fits, or all of it if the pattern has none."""
    search, group = compiled(pattern).search, compiled(pattern).groups

    def extracted(text: str) -> str | None:
        found = search(text)
        return None if found is None else found.group(group)

    return extracted


@lru_cache(maxsize=64)
def _number_form(decimal: str, thousands: str) -> re.Pattern[str]:
    whole = r"[0-9]+"
    if thousands:
        whole = rf"(?:[0-9]{{1,3}}(?:{re.escape(thousands)}[0-9]{{3}})+|[0-9]+)"
    point = re.escape(decimal)
    return re.compile(rf"[+-]?(?:{whole}(?:{point}[0-9]*)?|{point}[0-9]+)(?:[eE][+-]?[0-9]+)?")


def number(text: str, decimal: str, thousands: str) -> float | None:
    """The number that is written in the text, blanks around it aside."""
    text = text.strip()
    if _number_form(decimal, thousands).fullmatch(text) is None:
        return None
    return _finite(text.replace(thousands, "").replace(decimal, ".") if thousands else text.replace(decimal, "."))


def _finite(text: str) -> float | None:
    found = float(text)
    return found if found - found == 0 else None


def _integer(text: str) -> int | None:
    if len(text) > _LONGEST or _INTEGER.fullmatch(text) is None:
        return None
    found = int(text)
    return found if -(2**63) <= found < 2**63 else None


def _float(text: str) -> float | None:
    return None if _FLOAT.fullmatch(text) is None else _finite(text)


def _moment(text: str) -> int | None:
    try:
        found = moment(text)
    except ValueError:
        return None
    return found if FIRST <= found < END else None


_READ: Mapping[str, WordFunction] = {
    "int64": _integer,
    "float64": _float,
    "bool": {"true": True, "false": False}.get,
    "time": _moment,
}


def _time(text: str, form: str, zone: str) -> int | None:
    """The time that the text says in this form, by the clock of ``zone`` if it names no offset; None if it is no time,
    or one that the clock never showed."""
    # Imported only where it is used: a worker starts faster without.
    from runtime.ingest.times.time_formats import time_format
    from runtime.ingest.times.time_texts import TimeTexts

    data = np.frombuffer(text.encode() or b"\0", np.uint8)
    texts = TimeTexts((time_format(form),), zone)
    times, said = texts.read(data, np.array([len(text.encode())], np.int64))
    found, _, never = texts.instants(times, said)
    t = int(found[0])
    return None if t == BAD_TIME or never[0] or not FIRST <= t < END else t
