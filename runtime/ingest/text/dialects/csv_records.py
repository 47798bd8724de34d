"""The first records of a CSV text, in plain Python: what its dialect is found by."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from runtime.ingest.inputs.byte_stream import LINE_END

BLANKS = " "
"""As separator: runs of blanks."""


class Cell(NamedTuple):
    """A cell as it is written, without its quotes; ``indented``: it begins with a blank."""

    text: bytes
    quoted: bool = False
    indented: bool = False


def record_at(data: bytes, start: int, separator: str, quote: str) -> tuple[list[Cell], int]:
    """The cells of the record that begins at ``start``, and where the next one begins.

    A quote that does not enclose a whole cell is text, as any is with ``quote`` "".
    """
    cells: list[Cell] = []
    match = _cell(separator, quote).match
    double, single = (2 * quote).encode(), quote.encode()
    while True:
        found = match(data, start)
        assert found is not None  # the pattern matches anything
        inside, indented = found["quoted"], data[start : start + 1] == b" "
        if inside is None:
            cells.append(Cell(found["plain"], False, indented))
        else:
            cells.append(Cell(inside.replace(double, single), True, indented))
        start = found.end()
        if found["last"] is not None:
            return cells, start


def line_end(data: bytes, start: int) -> int:
    """Where the line after the one at ``start`` begins, whatever ends it."""
    found = LINE_END.search(data, start)
    return len(data) if found is None else found.end()


@lru_cache(64)
def _cell(separator: str, quote: str) -> re.Pattern[bytes]:
    s, q = (re.escape(mark.encode()) for mark in (separator, quote))
    runs = separator == BLANKS
    last, between = (b" *(?:\r\n|\n|\r|\\Z)", b" +") if runs else (b"\r\n|\n|\r|\\Z", s)
    quoted = b" *%b(?P<quoted>[^%b]*(?:%b%b[^%b]*)*)%b *(?=%b|[\r\n]|\\Z)" % (q, q, q, q, q, q, s)
    plain = b"(?P<plain>[^%b\r\n]*)" % s
    if not quote:
        quoted = b"(?P<quoted>(?!))"
    return re.compile(b"%b(?:%b|%b)(?:(?P<last>%b)|%b)" % (b" *" if runs else b"", quoted, plain, last, between))
