"""The W3C extended log format: IIS, CloudFront, proxies. ``#Fields`` names the columns of the lines after it."""

from __future__ import annotations

import re
from typing import Any

from runtime.ingest.formats.known_formats import SourceFormat, register
from runtime.ingest.formats.record_batches import line_batches
from runtime.ingest.inputs.settings import Settings
from runtime.ingest.records.written_values import distinct, number_or_text
from runtime.ingest.text.json_strict import NotARecord

_BEGINS = re.compile(rb"#(Version|Fields|Software|Date|Start-Date|Remark): ?", re.IGNORECASE)
_VALUE = re.compile(r'[ ]*(?:"((?:[^"]|"")*)"|([^" ][^ ]*))(?=[ ]|$)')
_PLAIN = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}(:[0-9]{2}(\.[0-9]+)?)?")
_DATE = re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}")


class _Log:
    """What directives said so far."""

    def __init__(self) -> None:
        self._names: list[str] = []
        self._date: str | None = None

    def parse(self, line: str) -> dict[str, Any] | None:
        """See ``LineParser``."""
        if line.startswith("#"):
            self._directive(line[1:])
            return None
        if not line.strip():
            return None
        if not self._names:
            raise NotARecord("w3c: no #Fields line before it")
        given = [(v, False) for v in line.split("\t")] if "\t" in line else _split(line)
        if len(given) != len(self._names):
            raise NotARecord(f"w3c: {len(given)} values for the {len(self._names)} columns of #Fields")
        out: dict[str, Any] = {}
        for name, (raw, quoted) in zip(self._names, given, strict=True):
            if raw == "-" and not quoted:
                out[name] = None
            else:
                out[name] = raw if quoted or name in ("date", "time") else number_or_text(raw)
        return self._timed(out)

    def _directive(self, text: str) -> None:
        name, _, value = text.partition(":")
        if name.lower() == "fields":
            self._names = distinct(value.split())
        elif name.lower() == "date":
            found = _DATE.match(value.strip())
            self._date = found[0] if found else None

    def _timed(self, out: dict[str, Any]) -> dict[str, Any]:
        """The values, with date and time as one column ``time``; a date that is missing is that of ``#Date``."""
        if "time" in out:
            date = out.pop("date", None) or self._date
            if out["time"] is not None and date is None:
                raise NotARecord("w3c: a time without a date, and no #Date line before it")
            if out["time"] is not None:
                time = f"{date}T{out['time']}"
                out["time"] = f"{time}Z" if _PLAIN.fullmatch(time) else time  # the format's times are GMT
        return out


def _split(line: str) -> list[tuple[str, bool]]:
    """The values of a line, and whether each is in quotes."""
    out: list[tuple[str, bool]] = []
    line = line.rstrip()
    at = 0
    while at < len(line):
        found = _VALUE.match(line, at)
        if found is None:
            raise NotARecord(f"w3c: a quote that is not closed, or text after it, at character {at + 1}")
        out.append((found[2], False) if found[1] is None else (found[1].replace('""', '"'), True))
        at = found.end()
    return out


def _parser(settings: Settings) -> Any:
    return _Log().parse


register(
    SourceFormat(
        "W3C extended log",
        ("w3c",),
        lambda head: _BEGINS.match(head) is not None,
        line_batches(_parser, as_text=True),
        about="W3C extended logs (#Fields: ...), as of IIS and CloudFront; date and time become the column time",
        rank=-1,
        named=False,
    )
)
