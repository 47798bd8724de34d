"""Where a text of records can be cut: its form, the lines that every piece needs, and the last whole record."""

from __future__ import annotations

from dataclasses import dataclass, replace

import orjson

from runtime.ingest.formats.known_formats import looks_like_text_of
from runtime.ingest.inputs.encodings import is_utf8
from runtime.ingest.inputs.settings import Settings
from runtime.ingest.text.dialects.dialect import WINDOW, find_dialect
from runtime.ingest.text.rejects import KnownRows

_BOM = b"\xef\xbb\xbf"
LINES = ("clf", "combined", "logfmt", "line-protocol")
"""Formats of one record a line that need no line before."""

JSON = ("json", "ndjson")
_PACKED = (b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"BZh", b"\xfd7zXZ", b"PK\x03\x04")


@dataclass(frozen=True)
class RecordText:
    """A text of one record a line; ``headers`` lines at its beginning belong to every piece. ``quote``: a line break
    between two of these marks is none."""

    headers: int = 0
    quote: bytes = b""
    is_csv: bool = False
    is_json: bool = False

    def head(self, data: bytes) -> bytes | None:
        """The header; None if it is not whole."""
        at = 0
        for _ in range(self.headers):
            end = data.find(b"\n", at)
            if end < 0:
                return None
            at = end + 1
        return data[:at]

    def first(self, data: bytes) -> int:
        """How many bytes the first record has; 0 if it is not whole."""
        end = data.find(b"\n") + 1
        while self.quote and end and data.count(self.quote, 0, end) % 2:
            end = data.find(b"\n", end) + 1
        return end

    def may_be_whole(self, data: bytes) -> bool:
        """Whether a last line without an end may be a whole record: half of a JSON record is none."""
        return not self.is_json or is_json_record(data)

    def whole(self, data: bytes) -> int:
        """How many bytes of ``data``, which begins with a record, are whole records."""
        end = data.rfind(b"\n") + 1
        if not self.quote:
            return end
        while end and data.count(self.quote, 0, end) % 2:
            end = data.rfind(b"\n", 0, end - 1) + 1
        return end


@dataclass(frozen=True)
class CsvRows:
    """How the rows of a CSV text are read, which begin at byte ``begin``."""

    begin: int
    known: KnownRows


def csv_rows(data: bytes, whole: bool, settings: Settings, name: str) -> CsvRows:
    """What the beginning of a CSV text (``whole``: all of it) says of its rows; IngestError without key or time."""
    mark = len(_BOM) if data.startswith(_BOM) else 0
    # Whatever columns the stream has by now, the same beginning is read in the same way.
    dialect = find_dialect(data[mark : mark + WINDOW], whole, replace(settings, known=None), name)
    return CsvRows(mark + dialect.begin, dialect.rows)


def record_text(head: bytes, settings: Settings) -> RecordText | None:
    """How content that begins with ``head`` can be cut into pieces; None if it can be read only as a whole."""
    format, reading = settings.format, settings.reading
    encoding = (reading.encoding or "utf-8").lower().replace("_", "-")
    if head.startswith(_PACKED) or reading.records or reading.columnar or encoding.startswith(("utf-16", "utf-32")):
        return None
    if format in LINES:
        return RecordText()
    if format == "auto":
        format = looks_like_text_of(head)
    if format in JSON:
        first = head.removeprefix(_BOM).lstrip(b"\r\n").partition(b"\n")[0]
        return RecordText(is_json=True) if is_json_record(first) else None
    if format == "csv" and is_utf8(encoding):
        # Where the header is not the first line, or is not certain to be one, a piece cannot be read like the whole.
        first = head.removeprefix(_BOM).partition(b"\n")[0].strip().lower()
        if reading.comment or not first or first.startswith((b"#", b"sep=", b'"sep=')):
            return None
        headers = reading.skip_rows + (0 if reading.names else 1)
        return RecordText(headers, (reading.quote or '"').encode(), is_csv=True)
    return None


def is_json_record(line: bytes) -> bool:
    """Whether the line is a whole JSON object."""
    try:
        return isinstance(orjson.loads(line), dict)
    except orjson.JSONDecodeError:
        return False
