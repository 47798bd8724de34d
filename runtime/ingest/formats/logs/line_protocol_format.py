"""InfluxDB's line protocol: ``measurement,tag=a field=1.5,other=2i 1700000000000000000``."""

from __future__ import annotations

import re
from math import isinf
from typing import Any

from runtime.ingest.formats.known_formats import SourceFormat, register
from runtime.ingest.formats.record_batches import line_batches
from runtime.ingest.inputs.settings import Settings
from runtime.ingest.records.text_lines import LineParser
from runtime.ingest.records.written_values import distinct
from runtime.ingest.text.json_strict import Decimal, NotARecord

SERIES = "series"
"""The key that identifies a series: the measurement and the tags, in order of their names. A column only as the key."""

_MEASUREMENT = re.compile(r"(?:\\[, ]|[^, \t])+")
_TAG = re.compile(r",((?:\\[,= ]|[^,= \t])+)=((?:\\[,= ]|[^,= \t])+)")
_BLANKS = re.compile(r"[ \t]+")
_FIELD = re.compile(r'((?:\\[,= ]|[^,= \t])+)=("(?:[^"\\]|\\.)*"|[^",= \t]+)')
_STAMP = re.compile(r"[ \t]+(-?[0-9]+)")
_WHOLE = re.compile(r"(-?[0-9]+)i|([0-9]+)u")
_FLOAT = re.compile(r"-?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_WORDS = dict.fromkeys(("t", "T", "true", "True", "TRUE"), True) | dict.fromkeys(
    ("f", "F", "false", "False", "FALSE"), False
)
_ESCAPED = re.compile(r"\\([,= ])")
_ESCAPED_TEXT = re.compile(r'\\(["\\])')
_SPECIAL = re.compile(r"[,= ]")


def _parser(settings: Settings) -> LineParser:
    with_series = settings.key == SERIES

    def parse(line: str) -> dict[str, Any] | None:
        line = line.strip(" \t")
        if not line or line.startswith("#"):
            return None
        return _point(line, with_series)

    return parse


def _point(line: str, with_series: bool) -> dict[str, Any]:
    found = _MEASUREMENT.match(line)
    if found is None:
        raise NotARecord("line protocol: no measurement")
    measurement = _ESCAPED.sub(r"\1", found[0])
    at = found.end()
    tags: dict[str, str] = {}
    while tag := _TAG.match(line, at):
        _put(tags, tag[1], _ESCAPED.sub(r"\1", tag[2]), "tag")
        at = tag.end()
    blanks = _BLANKS.match(line, at)
    if blanks is None:
        what = "no fields" if at == len(line) else f"a tag that is not name=value at character {at + 1}"
        raise NotARecord(f"line protocol: {what}")
    fields, at = _fields(line, blanks.end())
    stamp = _STAMP.match(line, at)
    if (stamp.end() if stamp else at) != len(line):
        raise NotARecord(f"line protocol: not a timestamp at character {at + 1}")
    names = distinct(["time", "measurement", *((SERIES,) if with_series else ()), *tags, *fields])
    given = [int(stamp[1]) if stamp else None, measurement]
    if with_series:
        given.append(series(measurement, tags))
    return dict(zip(names, [*given, *tags.values(), *fields.values()], strict=True))


def _fields(line: str, at: int) -> tuple[dict[str, Any], int]:
    out: dict[str, Any] = {}
    while True:
        field = _FIELD.match(line, at)
        if field is None:
            raise NotARecord(f"line protocol: a field that is not name=value at character {at + 1}")
        _put(out, field[1], _value(field[2]), "field")
        at = field.end()
        if line[at : at + 1] != ",":
            return out, at
        at += 1


def _put(out: dict[str, Any], name: str, value: Any, what: str) -> None:
    name = _ESCAPED.sub(r"\1", name)
    if name in out:
        raise NotARecord(f"line protocol: the {what} {name[:80]} occurs twice")
    out[name] = value


def _value(text: str) -> Any:
    if text[0] == '"':
        return _ESCAPED_TEXT.sub(r"\1", text[1:-1])
    if text in _WORDS:
        return _WORDS[text]
    if whole := _WHOLE.fullmatch(text):
        if len(text) > 21:
            raise NotARecord("integer outside 64 bits")
        return int(whole[1] or whole[2])
    if _FLOAT.fullmatch(text):
        if isinf(float(text)):
            raise NotARecord("line protocol: number too large for a float64")
        return Decimal(text)
    raise NotARecord(f"line protocol: {text[:80]!r} is no value of a field")


def series(measurement: str, tags: dict[str, str]) -> str:
    """The text that identifies a series: measurement and tags as in a line, the tags in order of their names."""
    parts = [re.sub("[, ]", r"\\\g<0>", measurement)]
    parts += [f"{_escaped(name)}={_escaped(tags[name])}" for name in sorted(tags)]
    return ",".join(parts)


def _escaped(text: str) -> str:
    return _SPECIAL.sub(r"\\\g<0>", text)


register(
    SourceFormat(
        "InfluxDB line protocol",
        ("line-protocol",),
        lambda head: False,
        line_batches(_parser),
        about="InfluxDB's line protocol; measurement, tags and fields are columns, series identifies the first two",
        named=False,
    )
)
