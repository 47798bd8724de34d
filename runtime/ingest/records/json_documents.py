"""The JSON documents of a text: one, one per line, or one after the other; each is read by what knows its shape."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from runtime.errors import IngestError
from runtime.ingest.inputs.byte_stream import CHUNK, Text
from runtime.ingest.records.json_parts import BROKEN, CUT_OFF, JsonParts
from runtime.ingest.records.record_cells import RecordItem, TextWindow
from runtime.ingest.text.json_lines import BEYOND, MAX_RECORD, next_start
from runtime.ingest.text.json_strict import NotARecord
from runtime.ingest.text.rejects import RowFault

MAX_DOCUMENT = 1 << 29
"""Maximum bytes of a document: its whole text is in memory, its records are not."""

DocumentReader = Callable[[JsonParts, int, int], Iterator[RecordItem]]
"""The records of the document from ``start`` to ``end``. ``NotARecord`` rejects the document as a whole."""

_BETWEEN = b" \t\r\n\x1e"  # the last begins a record of a JSON text sequence (RFC 7464)


class JsonDocuments:
    """The records of a text's documents, in windows. One that is broken is rejected as a whole, and reading goes on
    with the next line or, if it has several, the next line that begins a document with the same indent."""

    def __init__(self, text: Text, read: DocumentReader, name: str) -> None:
        self._text, self._read, self._name = text, read, name
        self._at = 0
        self._lost = False

    def __iter__(self) -> Iterator[tuple[TextWindow, Iterator[RecordItem]]]:
        """Each window with its records; they must be read before the next window."""
        text = self._text
        while True:
            yield TextWindow(text.data, text.base, text.line), self._items()
            if text.final:
                return
            if self._lost:
                self._at = text.skip_line(self._at)
                self._lost = False
                continue
            left = len(text.data) - self._at
            if left > MAX_DOCUMENT:
                raise IngestError(
                    f"{self._name}: the JSON document at byte {text.base + self._at:,} is larger than "
                    f"{MAX_DOCUMENT >> 20} MB, the most that can be searched for records. Split it, or write a record "
                    "a line (for example with jq -c '.Records[]'). Nothing of it was ingested."
                )
            text.more(self._at, min(max(CHUNK, left), MAX_DOCUMENT + CHUNK - left))
            self._at = 0

    def _items(self) -> Iterator[RecordItem]:
        text = self._text
        data = text.data
        parts = JsonParts(data)
        while True:
            while self._at < len(data) and data[self._at] in _BETWEEN:
                self._at += 1
            start = self._at
            if start == len(data):
                return
            end, state = parts.whole(start) if data[start] in b"{[" else (start, BROKEN)
            if state == CUT_OFF and not text.final:
                return
            if state in (CUT_OFF, BROKEN):
                fault = self._broken(start, end, state)
                if fault is None:
                    return
                yield fault
                continue
            self._at = end
            try:
                yield from self._read(parts, start, end)
            except NotARecord as reason:
                yield RowFault(start, end, str(reason))

    def _broken(self, start: int, at: int, state: int) -> RowFault | None:
        """The reject of a document that breaks at ``at``; None if more text is needed to find the next one."""
        data, final = self._text.data, self._text.final
        reason = "JSON: cut off in the middle of a document"
        if state == BROKEN:
            reason = f"JSON: the document is malformed at its byte {at - start:,}" if at > start else "not JSON"
        after = len(data) if state == CUT_OFF else next_start(data, start, at, final)
        if after == BEYOND or (after < 0 and not final and len(data) - start < MAX_RECORD):
            return None
        if after < 0:
            after, self._lost = len(data), not final
        self._at = after
        return RowFault(start, after, reason)
