"""The slow, strict reader of one JSON record: its values, or the reason why it is not one."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from math import isinf
from typing import Any

from operators.errors import Portable
from runtime.ingest.text.json_scanner import MAX_DEPTH
from runtime.pointfile.layout import SEQ

MAX_NAME = 256
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_INTEGER_DIGITS = 25  # anything longer is outside 64 bits; Python itself refuses thousands of digits
_CONTROL = re.compile("[\x00-\x1f\x7f]")
SURROGATE = re.compile("[\ud800-\udfff]")

TWICE = "a name occurs twice in one object"
HALF = "half of a surrogate pair"
NO_NAME = "a field has no name"


class NotARecord(Portable, ValueError):
    """The reason why a text is not a record, for the report of rejects."""


class Malformed(NotARecord):
    """The text is not valid JSON in UTF-8, or too deep to check: the text next to it cannot be trusted either."""


class Decimal(str):
    """A number with a fraction or exponent, as text."""

    __slots__ = ()


class MinusZero(int):
    """The integer -0."""

    __slots__ = ()


class JsonText(str):
    """An array or object as compact JSON text."""

    __slots__ = ()


class Big(str):
    """A number beyond 64 bits, or beyond float64, as text."""

    __slots__ = ()


class NotFinite(float):
    """NaN or an infinity, which JSON does not have but Python writes."""

    __slots__ = ()


@dataclass(frozen=True)
class LeftOut:
    """A value that cannot be kept, and why."""

    reason: str


Value = bool | int | str | Decimal | JsonText | Big | NotFinite | None


class Flat:
    """The values of a record by dotted name; ``left_out`` says why others are not among them.

    Objects within it are flattened down to ``depth``, but not those called ``whole``; arrays and the other objects are
    ``JsonText``.
    """

    def __init__(self, record: dict[str, Any], depth: int = MAX_DEPTH, whole: Collection[str] = ()) -> None:
        self.values: dict[str, Value] = {}
        self.left_out: list[str] = []
        self._whole = whole
        self._add("", record, depth)

    def _add(self, prefix: str, record: dict[str, Any], depth: int) -> None:
        out = self.values
        for name, value in record.items():
            full = prefix + name
            if isinstance(value, dict) and depth > 1 and name and full not in self._whole:
                self._add(full + ".", value, depth - 1)
                continue
            fault = NO_NAME if not name else name_fault(full)
            if fault is None and isinstance(value, (list, dict)):
                lost: list[LeftOut] = []
                value = JsonText(_compact(value, lost))
                if lost or SURROGATE.search(value):
                    value = LeftOut(TWICE if LeftOut(TWICE) in lost else HALF)
            if isinstance(value, LeftOut):
                fault = fault or value.reason
            if fault is not None:
                self.left_out.append(fault)
            elif out.get(full) is None:
                out[full] = value
            elif value is not None:
                out[_second(full, out)] = value


def read_record(raw: bytes, depth: int = MAX_DEPTH, whole: Collection[str] = ()) -> Flat:
    """The record in a text; ``NotARecord`` says why it is none."""
    return Flat(parse(raw), depth, whole)


def parse(raw: bytes) -> dict[str, Any]:
    """The JSON object in ``raw``, read strictly."""
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise Malformed("JSON: not UTF-8") from error
    _check_depth(text)
    value = _decoded(text, _DECODER)
    if not isinstance(value, dict):
        raise NotARecord("JSON: not an object")
    return value


def is_value(raw: bytes) -> bool:
    """Whether a text is one well-formed JSON value, of any kind."""
    try:
        text = raw.decode()
        _check_depth(text)
        _decoded(text.strip(" \t\r\n"), _GRAMMAR)
    except (UnicodeDecodeError, Malformed):
        return False
    return True


def _decoded(text: str, decoder: json.JSONDecoder) -> Any:
    try:
        return decoder.decode(text)
    except json.JSONDecodeError as error:
        raise Malformed(f"JSON: {error.msg[:1].lower()}{error.msg[1:]}") from error


def _check_depth(text: str) -> None:
    if text.count("{") + text.count("[") <= MAX_DEPTH:
        return
    depth = 0
    for c in re.findall(r"[][{}]", _STRING.sub("", text)):
        depth += 1 if c in "{[" else -1
        if depth > MAX_DEPTH:
            raise Malformed(f"JSON: nested deeper than {MAX_DEPTH}")


def _integer(text: str) -> int | Big:
    if text == "-0":
        return MinusZero(0)
    if len(text) <= _INTEGER_DIGITS and -(2**63) <= (number := int(text)) < 2**63:
        return number
    return Big(text)


def _decimal(text: str) -> Decimal | Big:
    return Big(text) if isinf(float(text)) else Decimal(text)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    if len(out) != len(pairs):
        for name, times in Counter(name for name, _ in pairs).items():
            if times > 1:
                out[name] = LeftOut(TWICE)
    for name, value in out.items():
        if isinstance(value, str) and SURROGATE.search(value):
            out[name] = LeftOut(HALF)
    return out


_DECODER = json.JSONDecoder(
    object_pairs_hook=_object, parse_constant=NotFinite, parse_int=_integer, parse_float=_decimal
)
_GRAMMAR = json.JSONDecoder(parse_int=str, parse_float=str)


def name_fault(name: str) -> str | None:
    """Why a column cannot have this name; None if it can."""
    if not name or len(name.encode("utf-8", "replace")) > MAX_NAME:
        return f"column name is empty or longer than {MAX_NAME} bytes"
    if _CONTROL.search(name) or SURROGATE.search(name):
        return "column name with control characters"
    if name == SEQ:
        return f"the column name {SEQ} is reserved"
    return None


def _second(name: str, out: dict[str, Value]) -> str:
    """Another name for a column, of which the record has two: ``a.b`` beside ``a: {b}``."""
    number = 2
    while f"{name}_{number}" in out:
        number += 1
    return f"{name}_{number}"


def _compact(value: Any, lost: list[LeftOut]) -> str:
    """Compact JSON text; numbers as written. ``lost`` gets what cannot be part of it."""
    if isinstance(value, (Decimal, Big)):
        return str(value)
    if isinstance(value, list):
        return "[" + ",".join(_compact(v, lost) for v in value) + "]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{_compact(k, lost)}:{_compact(v, lost)}" for k, v in value.items()) + "}"
    if isinstance(value, NotFinite):
        return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, MinusZero):
        return "-0"
    if isinstance(value, LeftOut):
        lost.append(value)
        return "null"
    return json.dumps(value, ensure_ascii=False)
