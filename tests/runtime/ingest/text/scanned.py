"""CSV read up to its cells, in pieces of any size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, cycle
from typing import Any

import pytest

from runtime.ingest.formats.known_formats import Content
from runtime.ingest.inputs.byte_stream import Text
from runtime.ingest.inputs.encodings import as_utf8
from runtime.ingest.inputs.settings import Settings
from runtime.ingest.text import csv_reader
from runtime.ingest.text.csv_reader import CsvReader
from runtime.ingest.text.dialects import dialect
from runtime.ingest.text.tokens import NULL


@dataclass
class Scanned:
    """Rows as text by column (null: None), and what was rejected: (line, byte, reason)."""

    names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    rows: list[list[str | None]] = field(default_factory=list)
    kinds: list[list[int]] = field(default_factory=list)
    rejected: list[tuple[int, int, str]] = field(default_factory=list)


def scanned(data: bytes, sizes: Sequence[int] = (1 << 30,), window: int | None = None, **options: Any) -> Scanned:
    """The CSV text, which comes in pieces of these sizes; its dialect is found by the first ``window`` bytes."""
    given: dict[str, Any] = {"key": "k", "time": "t", "unit": "ms"} | options
    settings = Settings.of(None, "s", format="csv", duplicates=None, id=None, missing_key=None, **given)
    with pytest.MonkeyPatch.context() as patch:
        if window is not None:
            real = Text.more
            patch.setattr(csv_reader, "WINDOW", window)
            patch.setattr(dialect, "WINDOW", window)
            patch.setattr(Text, "more", lambda self, keep, size=1: real(self, keep, size))
        return _scanned(data, sizes, settings)


def _pieces(data: bytes, sizes: Sequence[int]) -> Iterator[bytes]:
    at = 0
    for size in cycle(sizes):
        if at >= len(data):
            return
        yield data[at : at + size]
        at += size


def _scanned(data: bytes, sizes: Sequence[int], settings: Settings) -> Scanned:
    pieces = _pieces(data, sizes)
    head = b""
    while len(head) < 4 and (piece := next(pieces, b"")):
        head += piece
    pieces = as_utf8(head, pieces, settings.reading.encoding, "x")
    head = b""
    while len(head) < 3 and (piece := next(pieces, b"")):
        head += piece
    reader = CsvReader(Content(head, chain(pieces)).text(), settings, "x")
    out = Scanned(reader.dialect.names, reader.dialect.notes)
    for cells in reader.cells():
        text, spans = cells.data.tobytes(), cells.spans
        assert spans is not None
        places = [cells.names.index(name) for name in out.names]
        for row in range(len(cells)):
            start = int(cells.start[row])
            if row in cells.bad:
                out.rejected.append((_line(cells, start), cells.base + start, cells.bad[row]))
                continue
            found: list[str | None] = []
            for at in places:
                begin, length = int(spans[at, row]) >> 32, int(spans[at, row]) & 0xFFFFFFFF
                null = cells.kind[at, row] == NULL
                found.append(None if null else text[begin : begin + length].decode())
            out.rows.append(found)
            out.kinds.append([int(cells.kind[at, row]) for at in places])
        out.rejected += [(_line(cells, f.start), cells.base + f.start, f.reason) for f in cells.faults]
    out.rejected.sort()
    return out


def _line(cells: Any, start: int) -> int:
    return int(cells.line) + int((cells.data[:start] == 10).sum())
