"""The slow, strict reader of one JSON record: its values, or the reason why it is not one."""

from __future__ import annotations

import json
import re
from math import isinf
from typing import Any

from runtime.ingest.text.json_scanner import MAX_DEPTH
from runtime.pointfile.layout import SEQ

MAX_NAME = 256
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"')
_INTEGER_DIGITS = 25  # anything longer is outside 64 bits; Python itself refuses thousands of digits
_CONTROL = re.compile("[\x00-\x1f\x7f]")
_SURROGATE = re.compile("[\ud800-\udfff]")


class NotARecord(ValueError):
    """The reason why a text is not a record, for the report of rejects."""


class Malformed(NotARecord):
    """The text is not valid JSON in UTF-8, or too deep to check: the text next to it cannot be trusted either."""


class Decimal(str):
    """A number with a fraction or exponent, as text."""

    __slots__ = ()


class MinusZero(int):
    """The integer -0."""

    __slots__ = ()


Value = bool | int | str | Decimal | None


def read_record(raw: bytes) -> dict[str, Value]:
    """The record's values by dotted name; ``NotARecord`` gives the reason.

    Nested objects are flattened; an array becomes compact JSON text; a fraction ``Decimal`` text.
    """
    out: dict[str, Value] = {}
    _flatten("", parse(raw), out)
    return out


def parse(raw: bytes) -> dict[str, Any]:
    """The JSON object in ``raw``, read strictly."""
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        raise Malformed("JSON: not UTF-8") from error
    _check_depth(text)
    try:
        value = _decoded(text, _DECODER)
    except Malformed:
        raise
    except NotARecord:
        _decoded(text, _GRAMMAR)  # the text after the refused value may be malformed
        raise
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


def _constant(name: str) -> Any:
    raise Malformed(f"JSON: {name} is not a number")


def _integer(text: str) -> int:
    if len(text) > _INTEGER_DIGITS:
        raise NotARecord("integer outside 64 bits")
    return MinusZero(0) if text == "-0" else int(text)


def _decimal(text: str) -> Decimal:
    if isinf(float(text)):
        raise NotARecord("JSON: number too large for a float64")
    return Decimal(text)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    if len(out) != len(pairs):
        raise NotARecord("JSON: a name occurs twice in one object")
    for name, value in pairs:
        if _SURROGATE.search(name) or (isinstance(value, str) and _SURROGATE.search(value)):
            raise NotARecord("JSON: half of a surrogate pair")
    return out


_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique, parse_constant=_constant, parse_int=_integer, parse_float=_decimal
)
_GRAMMAR = json.JSONDecoder(parse_constant=_constant, parse_int=str, parse_float=str)


def name_fault(name: str) -> str | None:
    """Why a column cannot have this name; None if it can."""
    if not name or len(name.encode("utf-8", "replace")) > MAX_NAME:
        return f"column name is empty or longer than {MAX_NAME} bytes"
    if _CONTROL.search(name) or _SURROGATE.search(name):
        return "column name with control characters"
    if name == SEQ:
        return f"the column name {SEQ} is reserved"
    return None


def _flatten(prefix: str, record: dict[str, Any], out: dict[str, Value]) -> None:
    for name, value in record.items():
        full = prefix + name
        if isinstance(value, dict):
            _flatten(full + ".", value, out)
            continue
        fault = "column name is empty or longer than 256 bytes" if not name else name_fault(full)
        if fault:
            raise NotARecord(fault)
        if full in out:
            raise NotARecord("JSON: a dotted name and a nested one are the same column")
        out[full] = _compact(value) if isinstance(value, list) else value


def _compact(value: Any) -> str:
    """Compact JSON text; numbers as written."""
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, list):
        return "[" + ",".join(_compact(v) for v in value) + "]"
    if isinstance(value, dict):
        return "{" + ",".join(f"{_compact(k)}:{_compact(v)}" for k, v in value.items()) + "}"
    text = json.dumps(value, ensure_ascii=False)
    if _SURROGATE.search(text):
        raise NotARecord("JSON: half of a surrogate pair")
    return text
