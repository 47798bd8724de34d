"""InfluxDB's line protocol: ``measurement,tag=a field=1.5,other=2i 1700000000000000000``."""

from __future__ import annotations

import re
from math import isinf
from typing import Any

from runtime.ingest.formats.known_formats import SourceFormat, register
from runtime.ingest.formats.record_batches import line_batches, parses
from runtime.ingest.records.written_values import distinct
from runtime.ingest.text.json_strict import Decimal, NotARecord

SERIES = "series"
"""The key that identifies a series: the measurement and the tags, in order of their names. A column only as the key."""

_TIME = "time"
_NAME = r"(?:\\[,= ]|[^,= \t])+"
_TAG = re.compile(f",({_NAME})=({_NAME})")
_MEASUREMENT = re.compile(r"(?:\\[, ]|[^, \t])+")
_HEAD = re.compile(f"({_MEASUREMENT.pattern}(?:,{_NAME}={_NAME})*)[ \t]+")
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


_KNOWN = 4096  # beginnings of lines that are remembered: a series has the same in all its points


class _Points:
    """Parses the points of one source; ``with_series``: with the column ``series``."""

    def __init__(self, with_series: bool) -> None:
        self._with_series = with_series
        self._heads: dict[str, dict[str, str]] = {}

    def parse(self, line: str) -> dict[str, Any] | None:
        """See ``LineParser``."""
        line = line.strip(" \t")
        if not line or line.startswith("#"):
            return None
        found = _HEAD.match(line)
        if found is None:
            raise NotARecord(_head_fault(line))
        head = self._heads.get(found[1])
        if head is None:
            if len(self._heads) >= _KNOWN:
                self._heads.clear()
            head = self._heads[found[1]] = self._read_head(found[1])
        fields, at = _fields(line, found.end())
        stamp = _STAMP.match(line, at)
        if (stamp.end() if stamp else at) != len(line):
            raise NotARecord(f"line protocol: not a timestamp at character {at + 1}")
        out: dict[str, Any] = {_TIME: int(stamp[1]) if stamp else None, **head}
        if fields.keys().isdisjoint(out):
            return out | fields
        return dict(zip(distinct([*out, *fields]), [*out.values(), *fields.values()], strict=True))

    def _read_head(self, head: str) -> dict[str, str]:
        """Measurement and tags, by column; a tag that is called like another column gets another name."""
        found = _MEASUREMENT.match(head)
        assert found is not None
        measurement = _unescaped(found[0])
        tags: dict[str, str] = {}
        for name, value in _TAG.findall(head, found.end()):
            _put(tags, name, _unescaped(value), "tag")
        own = {"measurement": measurement}
        if self._with_series:
            own[SERIES] = series(measurement, tags)
        names = distinct([_TIME, *own, *tags])[1:]
        return dict(zip(names, [*own.values(), *tags.values()], strict=True))


def _head_fault(line: str) -> str:
    found = _MEASUREMENT.match(line)
    if found is None:
        return "line protocol: no measurement"
    at = found.end()
    while tag := _TAG.match(line, at):
        at = tag.end()
    what = "no fields" if at == len(line) else f"a tag that is not name=value at character {at + 1}"
    return f"line protocol: {what}"


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
    name = _unescaped(name)
    if name in out:
        raise NotARecord(f"line protocol: the {what} {name[:80]} occurs twice")
    out[name] = value


def _unescaped(text: str) -> str:
    return _ESCAPED.sub(r"\1", text) if "\\" in text else text


def _value(text: str) -> Any:
    if text[0] == '"':
        return _ESCAPED_TEXT.sub(r"\1", text[1:-1]) if "\\" in text else text[1:-1]
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
        line_batches(lambda settings: _Points(settings.key == SERIES).parse),
        about="InfluxDB's line protocol; measurement, tags and fields are columns, series identifies the first two",
        named=False,
        may_be=parses(_Points(False).parse),
    )
)
