"""Annotated CSV, as InfluxDB's query API answers: tables with ``#group``, ``#datatype`` and ``#default`` rows."""

from __future__ import annotations

import re
from math import isfinite
from typing import Any

from runtime.ingest.formats.known_formats import SourceFormat, register
from runtime.ingest.formats.logs.line_protocol_format import SERIES, series
from runtime.ingest.formats.record_batches import line_batches
from runtime.ingest.inputs.settings import Settings
from runtime.ingest.records.text_lines import LineParser
from runtime.ingest.records.written_values import distinct
from runtime.ingest.text.json_strict import Decimal, NotARecord

_CELL = re.compile(r'(?:"((?:[^"]|"")*)"|([^",]*))(,|$)', re.DOTALL)
_ANNOTATIONS = ("#group", "#datatype", "#default")
_BEGINS = tuple(f"{name},".encode() for name in _ANNOTATIONS)
_OWN = ("result", "table", "error", "reference")
_DOUBLE = re.compile(r"[+-]?(?:(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|Inf)|NaN")
_INTEGER = re.compile(r"[+-]?[0-9]{1,20}")


class _Tables:
    """The table that is being read."""

    def __init__(self, with_series: bool) -> None:
        self._with_series = with_series
        self._end()

    def _end(self) -> None:
        self._said: dict[str, list[str]] = {}
        self._names: list[str] = []

    def parse(self, line: str) -> dict[str, Any] | None:
        """See ``LineParser``."""
        if not line.strip():
            self._end()
            return None
        cells = _split(line)
        if cells[0].startswith("#"):
            self._annotation(cells)
            return None
        if not self._names:
            self._names = distinct(cells)
            return None
        if len(cells) != len(self._names):
            raise NotARecord(f"influx-csv: {len(cells)} values in a table of {len(self._names)} columns")
        return self._row(cells)

    def _annotation(self, cells: list[str]) -> None:
        if self._names:
            self._end()
        if cells[0] not in _ANNOTATIONS:
            raise NotARecord(f"influx-csv: the annotation {cells[0][:40]} is none of {', '.join(_ANNOTATIONS)}")
        self._said[cells[0]] = cells

    def _row(self, cells: list[str]) -> dict[str, Any]:
        types, defaults = self._said.get("#datatype", []), self._said.get("#default", [])
        out: dict[str, Any] = {}
        for k, (name, cell) in enumerate(zip(self._names, cells, strict=True)):
            if not name:
                continue  # the column of the annotations
            text = cell or (defaults[k] if k < len(defaults) else "")
            out[name] = _typed(text, types[k] if k < len(types) else "string", name) if text else None
        if out.get("error") and "_time" not in out:
            raise NotARecord(f"influx-csv: the query failed: {out['error']!s:.200}")
        if self._with_series:
            out[SERIES] = self._series(out)
        return out

    def _series(self, out: dict[str, Any]) -> str:
        groups = self._said.get("#group")
        tags = {
            name: str(out[name])
            for k, name in enumerate(self._names)
            if name and name[0] != "_" and name not in _OWN and out.get(name) is not None
            and (groups is None or (k < len(groups) and groups[k] == "true"))
        }  # fmt: skip
        return series(str(out.get("_measurement") or ""), tags)


def _split(line: str) -> list[str]:
    out: list[str] = []
    at = 0
    while True:
        found = _CELL.match(line, at)
        if found is None:
            raise NotARecord("influx-csv: a quote that is not closed, or text after it")
        out.append(found[2] if found[1] is None else found[1].replace('""', '"'))
        at = found.end()
        if not found[3]:
            return out


def _typed(text: str, type_: str, name: str) -> Any:
    if type_ == "boolean" and text in ("true", "false"):
        return text == "true"
    if type_ in ("long", "unsignedLong") and _INTEGER.fullmatch(text):
        return int(text)
    if type_ == "double" and _DOUBLE.fullmatch(text):
        return Decimal(text) if isfinite(float(text)) else None
    if type_ not in ("boolean", "long", "unsignedLong", "double"):
        return text
    raise NotARecord(f"influx-csv: {text[:80]!r} in the column {name} is no {type_}")


def _parser(settings: Settings) -> LineParser:
    return _Tables(settings.key == SERIES).parse


register(
    SourceFormat(
        "InfluxDB annotated CSV",
        ("influx-csv",),
        lambda head: head.startswith(_BEGINS),
        line_batches(_parser, quoted=True),
        about="annotated CSV, as InfluxDB's query API answers; series identifies measurement and tags",
        rank=-1,
        named=False,
    )
)
