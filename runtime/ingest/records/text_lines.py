"""Records that are lines of text: each is parsed on its own, and one that does not fit is rejected alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from runtime.ingest.inputs.byte_stream import Text
from runtime.ingest.records.record_cells import RecordItem, SourceRecord, TextWindow
from runtime.ingest.text.json_strict import NotARecord
from runtime.ingest.text.rejects import RowFault

MAX_LINE = 1 << 24
"""Maximum bytes of a line."""

MAX_QUOTED = 1 << 20
"""Maximum bytes of a record of several lines."""

LineParser = Callable[[str], Mapping[str, Any] | None]
"""The values of a line; None for a line that is no record, such as an empty one or a comment; ``NotARecord`` says what
is wrong."""


class TextLines:
    """The records of a text, a line each, in windows.

    ``quoted``: a record goes on in the next line while a ``"`` in it is open, as in CSV.
    """

    def __init__(self, text: Text, parse: LineParser, quoted: bool = False) -> None:
        self._text, self._parse, self._quoted = text, parse, quoted
        self._at = 0

    def __iter__(self) -> Iterator[tuple[TextWindow, Iterator[RecordItem]]]:
        """Each window with its records; they must be read before the next window."""
        text = self._text
        while True:
            yield TextWindow(text.data, text.base, text.line), self._items()
            left = len(text.data) - self._at
            if text.final:
                return
            if left > MAX_LINE:
                fault = RowFault(self._at, len(text.data), f"line longer than {MAX_LINE >> 20} MB")
                yield TextWindow(text.data, text.base, text.line), iter([fault])
                self._at = text.skip_line(len(text.data))
            else:
                text.more(self._at)
                self._at = 0

    def _items(self) -> Iterator[RecordItem]:
        data, final = self._text.data, self._text.final
        while self._at < len(data):
            start = self._at
            end = data.find(b"\n", start)
            if end < 0:
                if not final:
                    return
                end = len(data)
            if self._quoted and data.count(b'"', start, end) % 2:
                end = self._closing(start, end)
                if end < 0:
                    return
            self._at = end + 1
            raw = data[start:end]
            try:
                values = self._parse(raw.decode().removesuffix("\r"))
            except UnicodeDecodeError:
                yield RowFault(start, end, "not UTF-8")
            except NotARecord as fault:
                yield RowFault(start, end, str(fault))
            else:
                if values is not None:
                    yield SourceRecord(start, end, values)

    def _closing(self, start: int, end: int) -> int:
        """The end of the line in which the open quote is closed; of the first line if it stays open, below 0 if more
        text is needed to know."""
        data, first, quotes = self._text.data, end, 1
        while end - start < MAX_QUOTED and end < len(data):
            after = data.find(b"\n", end + 1)
            if after < 0 and not self._text.final:
                return -1
            after = len(data) if after < 0 else after
            quotes += data.count(b'"', end, after)
            end = after
            if quotes % 2 == 0:
                return end
        return first
