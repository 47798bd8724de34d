"""logfmt: a line of ``key=value`` pairs; values in quotes are texts, a key alone is true."""

from __future__ import annotations

import json
import re
from typing import Any

from runtime.ingest.formats.known_formats import SourceFormat, register
from runtime.ingest.formats.record_batches import line_batches, parses
from runtime.ingest.records.written_values import distinct, value_or_text
from runtime.ingest.text.json_strict import NotARecord

_PAIR = re.compile(r'[ \t]*([^\s="]+)(?:(=)(?:("(?:[^"\\]|\\.)*")|([^\s"]*)))?(?=[ \t]|$)')
_TEXT = json.JSONDecoder(strict=False)


def _parse(line: str) -> dict[str, Any] | None:
    line = line.rstrip()
    if not line:
        return None
    names, values = [], []
    at, pairs = 0, 0
    while at < len(line):
        found = _PAIR.match(line, at)
        if found is None:
            raise NotARecord(f"logfmt: no key=value at character {at + 1}")
        name, equals, quoted, plain = found.groups()
        names.append(name)
        values.append(_text(quoted) if quoted else value_or_text(plain) if equals else True)
        pairs += equals is not None
        at = found.end()
    if not pairs:
        raise NotARecord("logfmt: no key=value in the line")
    return dict(zip(distinct(names), values, strict=True))


def _text(quoted: str) -> str:
    try:
        return str(_TEXT.decode(quoted))
    except ValueError:
        raise NotARecord("logfmt: an escape in a quoted value that is none of JSON's") from None


register(
    SourceFormat(
        "logfmt",
        ("logfmt",),
        lambda head: False,
        line_batches(lambda settings: _parse, as_text=True),
        about='key=value pairs, for example: level=info msg="all good" status=200',
        named=False,
        may_be=parses(_parse),
    )
)
