"""Functions of texts and casts, one value at a time."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from functools import cache
from itertools import islice
from typing import Any

from runtime.testing.oracle.buckets import EPOCH, local
from runtime.testing.oracle.oracle_zones import zone as zone_of
from runtime.testing.oracle.rows import Json


class InexactError(ValueError):
    """A value that has no exact counterpart in the type that it is cast to."""


def numbered(pieces: list[str]) -> dict[int, str]:
    """The pieces by their number from the start, and from the end."""
    return {i - n: piece for i, piece in enumerate(pieces) for n in (0, len(pieces))}


@cache
def fits(text: str, pattern: str) -> bool:
    """Whether the text fits a pattern of LIKE, character by character."""
    if not pattern:
        return not text
    if pattern[0] == "%":
        return any(fits(text[i:], pattern[1:]) for i in range(len(text) + 1))
    head, rest = (pattern[1], pattern[2:]) if pattern[0] == "\\" and len(pattern) > 1 else (pattern[0], pattern[1:])
    one = pattern[0] == "_" or text[:1] == head
    return bool(text) and one and fits(text[1:], rest)


def first_fit(text: str, pattern: str) -> str | None:
    """What fits a regular expression first: its group, if it has one. Python's own, whose digits are here ASCII."""
    found = re.compile(pattern, re.ASCII).search(text)
    return None if found is None else found[found.re.groups]


def as_number(text: str, decimal: str, thousands: str) -> float | None:
    """The number in a text."""
    sign, size = (text[0], text[1:]) if text[:1] in ("+", "-") else ("", text)
    whole, _, rest = size.partition(decimal)
    groups = whole.split(thousands) if thousands else [whole]
    if len(groups) > 1:
        if not (1 <= len(groups[0]) <= 3 and all(len(g) == 3 for g in groups[1:])):
            return None
        if any(c not in "0123456789" for c in "".join(groups)):
            return None
    written = sign + "".join(groups) + (f".{rest}" if decimal in size else "")
    if not set(written) <= set("0123456789+-.eE"):
        return None
    try:
        found = float(written)
    except ValueError:
        return None
    return found if math.isfinite(found) else None


def written_time(text: str, form: str, zone: str) -> int | None:
    """The time in a text."""
    try:
        shown = datetime.strptime(text, form)
    except ValueError:
        return None
    at = shown if shown.tzinfo else shown.replace(tzinfo=zone_of(zone))
    t = (at - EPOCH) // timedelta(microseconds=1)
    return t if shown.tzinfo or local(t, zone).replace(tzinfo=None, fold=0) == shown else None


def cast(value: Any, kind: str, strictly: bool) -> Any:
    """The value as one of another type; None, or an error, if there is none."""
    found = counterpart(value, kind)
    if found is None and strictly:
        raise InexactError(f"{value!r} as {kind}")
    return found


def counterpart(value: Any, kind: str) -> Any:
    """The value of another type that is exactly this one."""
    if isinstance(value, str):
        if kind == "bool":
            return {"true": True, "false": False}.get(value)
        if kind == "int64":
            digits = value[1:] if value[:1] in ("+", "-") else value
            whole = int(value) if digits.isascii() and digits.isdigit() else None
            return whole if whole is not None and -(2**63) <= whole < 2**63 else None
        return as_number(value, ".", "")
    if kind == "bool":
        return bool(value) if value in (0, 1) else None
    if kind == "int64":
        if isinstance(value, float) and not math.isfinite(value):
            return None
        exact = Fraction(value)
        return int(exact) if exact.denominator == 1 and -(2**63) <= exact < 2**63 else None
    if isinstance(value, Decimal):
        return float(value) if len(value.as_tuple().digits) <= 15 else None
    return float(value) if Fraction(float(value)) == value else None


def key_hash(value: str | int) -> int:
    """FNV-1a of ``antfold1`` and the value's bytes, then fmix64, as a signed integer."""
    found = 0xCBF29CE484222325
    for byte in b"antfold1" + (value.encode() if isinstance(value, str) else value.to_bytes(8, "little", signed=True)):
        found = (found ^ byte) * 0x100000001B3 % 2**64
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53, 1):
        found = (found ^ found // 2**33) * factor % 2**64
    return found - 2**64 if found >= 2**63 else found


TEXTS: dict[str, Callable[[str, Json], Any]] = {
    "lower": lambda text, _: "".join(c.lower() for c in text),
    "upper": lambda text, _: text.upper(),
    "strip": lambda text, _: text.strip(),
    "length": lambda text, _: len(text),
    "hash": lambda value, _: key_hash(value),
    "substring": lambda text, e: "".join(
        islice(text, e["start"], None if e.get("count") is None else e["start"] + e["count"])
    ),
    "split": lambda text, e: numbered(text.split(e["separator"])).get(e["index"]),
    "replace": lambda text, e: e["new"].join(text.split(e["old"])),
    "ends_with": lambda text, e: text[::-1].startswith(e["suffix"][::-1]),
    "like": lambda text, e: fits(text, e["pattern"]),
    "extract": lambda text, e: first_fit(text, e["pattern"]),
    "number": lambda text, e: as_number(text.strip(), e["decimal"], e["thousands"]),
    "parse_time": lambda text, e: written_time(text, e["format"], e["zone"]),
}

TEXT_TYPES = {
    "length": "int64",
    "hash": "int64",
    "ends_with": "bool",
    "like": "bool",
    "number": "float64",
    "parse_time": "time",
}
"""The types of those that do not make a text."""
