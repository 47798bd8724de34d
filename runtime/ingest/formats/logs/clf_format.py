"""Logs of web servers: the common log format, and the combined one, which adds referer and agent."""

from __future__ import annotations

import re
from typing import Any

from runtime.ingest.formats.known_formats import SourceFormat, register
from runtime.ingest.formats.record_batches import line_batches, parses
from runtime.ingest.records.text_lines import LineParser
from runtime.ingest.text.json_strict import NotARecord

_QUOTED = r'"((?:[^"\\]|\\.)*)"'
_COMMON = rf"(\S+) (\S+) (.+?) \[([^\]]*)\] {_QUOTED} ([0-9]{{3}}|-) ([0-9]+|-)"
_AGENT = rf" {_QUOTED} {_QUOTED}(?: {_QUOTED})?"
_NAMES = ("host", "ident", "user", "time", "request", "status", "bytes", "referer", "agent", "forwarded_for")
_NUMBERS = ("status", "bytes")
_REQUEST = re.compile(r"([A-Za-z][A-Za-z_-]*) (\S.*?)(?: (HTTP/[0-9.]+))?")
_TIME = re.compile(r"([0-9]{2})/([A-Z][a-z]{2})/([0-9]{4}):([0-9:]{8}) ([+-][0-9]{2})([0-9]{2})")
_MONTH_NAMES = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTHS = {m: n for n, m in enumerate(_MONTH_NAMES, 1)}
_ESCAPE = re.compile(rb"\\(x[0-9A-Fa-f]{2}|.)", re.DOTALL)
_ESCAPES = {b"t": b"\t", b"n": b"\n", b"r": b"\r", b"b": b"\b", b"v": b"\v", b"f": b"\f", b'"': b'"', b"\\": b"\\"}


def _parser(pattern: str, title: str) -> LineParser:
    whole = re.compile(pattern)

    def parse(line: str) -> dict[str, Any] | None:
        if not line.strip():
            return None
        found = whole.fullmatch(line)
        if found is None:
            raise NotARecord(f'{title}: not host ident user [time] "request" status bytes{_WANTED[title]}')
        out: dict[str, Any] = {}
        for name, raw in zip(_NAMES, found.groups(), strict=False):
            if raw is None:
                continue
            if raw == "-":
                out[name] = None
            elif name in _NUMBERS:
                out[name] = int(raw)
            else:
                out[name] = _iso(raw) if name == "time" else _unescaped(raw)
            if name == "request":
                parts = _REQUEST.fullmatch(out[name] or "")
                out["method"], out["path"], out["protocol"] = parts.groups() if parts else (None, None, None)
        return out

    return parse


def _iso(text: str) -> str:
    """``31/Dec/2024:13:05:01 +0100`` as ISO-8601; any other time as it is written."""
    found = _TIME.fullmatch(text)
    if found is None or found[2] not in _MONTHS:
        return text
    day, month, year, clock, hours, minutes = found.groups()
    return f"{year}-{_MONTHS[month]:02}-{day}T{clock}{hours}:{minutes}"


def _unescaped(text: str) -> str:
    """A text without Apache's escapes; as it is written, if their bytes are not UTF-8."""
    if "\\" not in text:
        return text
    try:
        return _ESCAPE.sub(_byte, text.encode()).decode()
    except UnicodeDecodeError:
        return text


def _byte(found: re.Match[bytes]) -> bytes:
    code = found[1]
    if code[:1] == b"x" and len(code) == 3:
        return bytes([int(code[1:], 16)])
    return _ESCAPES.get(code, b"\\" + code)


_WANTED = {"clf": "", "combined": ' "referer" "agent"'}
_parse_common = _parser(f"{_COMMON}(?:{_AGENT})?", "clf")
_parse_combined = _parser(_COMMON + _AGENT, "combined")

register(
    SourceFormat(
        "Common Log Format",
        ("clf",),
        lambda head: False,
        line_batches(lambda settings: _parse_common),
        about="logs of web servers: host, ident, user, time, request, status, bytes; combined ones, too",
        named=False,
        may_be=parses(_parse_common),
    )
)
register(
    SourceFormat(
        "Combined Log Format",
        ("combined",),
        lambda head: False,
        line_batches(lambda settings: _parse_combined),
        about="logs of web servers with referer and agent, as Apache and nginx write them",
        named=False,
        may_be=parses(_parse_combined),
    )
)
