"""CSV with a header row into batches; the types of its columns come from samples of its rows (``samples``)."""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from runtime.ingest.columns.assemble import Assembler
from runtime.ingest.columns.batch import Batch
from runtime.ingest.columns.samples import Sample
from runtime.ingest.inputs.byte_stream import LINE_END, Text
from runtime.ingest.inputs.encodings import UNDECODABLE, is_utf8
from runtime.ingest.inputs.settings import Settings
from runtime.ingest.text import csv_scanner as cs
from runtime.ingest.text.dialects.csv_cells import WrittenCells, resolve
from runtime.ingest.text.dialects.dialect import WINDOW, find_dialect
from runtime.ingest.text.raw_cells import RawCells
from runtime.ingest.text.rejects import RowFault
from runtime.ingest.text.tokens import Bytes, for_loops

MAX_RECORD = 1 << 24
_CELLS = 1 << 21
_MAX_ROWS = 1 << 15
_TIME = 1
_LONE_RETURN = re.compile(rb"\r(?!\n)")


class CsvReader:
    """Reads the rows of a CSV text; its first lines say in which ``dialect`` it is, where no option does."""

    def __init__(self, text: Text, settings: Settings, name: str) -> None:
        self._text = text
        while len(text.data) <= WINDOW and not text.final:
            text.more(0)
        self.dialect = dialect = find_dialect(text.data, text.final, settings, name)
        if b"\r" in text.data[: dialect.begin]:  # lines are counted by their line feeds
            begin = _LONE_RETURN.sub(b"\n", text.data[: dialect.begin])
            text.data = begin + text.data[dialect.begin :]
        self._separator = ord(dialect.separator)
        self._quote = ord(dialect.quote) if dialect.quote else -1
        self._ends = np.zeros(256, np.uint8)
        self._ends[[self._separator, 10]] = 1
        self._returns = False
        self._comment = np.array(list(dialect.comment), np.uint8)
        self._state = np.zeros(cs.STATE, np.int64)
        self._state[cs.POS] = dialect.begin
        taken = settings.names()
        becomes = taken.columns_of(dialect.names, name)
        self._made_up = {n: why for n, why in dialect.made_up.items() if taken.column(n) == n}
        self._names = list(dict.fromkeys([settings.key, settings.time, *(n for n in becomes if n is not None)]))
        place = {n: k for k, n in enumerate(self._names)}
        self._targets = np.array([-1 if n is None else place[n] for n in becomes], np.int64)
        columns = len(self._names)
        rows = min(_MAX_ROWS, max(256, _CELLS // columns))
        self._kind = np.zeros((columns, rows), np.uint8)
        self._value = np.zeros((columns, rows), np.int64)
        self._spans = np.zeros((columns, rows), np.int64)
        self._rows = np.zeros((2, rows), np.int64)
        self._faults: list[RowFault] = []
        encoding = settings.encoding
        self._not_text = "CSV: not UTF-8 (if it is Latin-1: --encoding latin-1, or windows-1252)"
        self._undecoded = "CSV: not in the encoding that its byte-order mark says"
        if encoding is not None:
            self._not_text = f"CSV: not {'UTF-8' if is_utf8(encoding) else encoding}, which --encoding declares"
            self._undecoded = self._not_text
        reading = settings.reading
        self._written = None if reading.decimal is None and reading.thousands is None else WrittenCells(reading)

    def batches(self, assembler: Assembler) -> Iterator[Batch]:
        """The accepted rows."""
        assembler.rejects.head = self.dialect.header
        assembler.rejects.rows = self.dialect.rows
        assembler.notes.sentences += self.dialect.notes
        assembler.header(self._names[2:], self._made_up)
        sample = Sample(assembler)
        for cells in self.cells():
            yield from sample.take(assembler.screen(cells))
        yield from sample.settled()
        if self._written is not None:
            assembler.notes.sentences += self._written.notes()

    def cells(self) -> Iterator[RawCells]:
        """The rows as scanned, in batches whose arrays are used again; bad ones are marked."""
        text, state = self._text, self._state
        while True:
            data = self._loaded()
            # A missing final line end is added.
            final = text.final and not text.data.endswith(b"\n")
            while True:
                stop = self._scan(data, len(text.data), final)
                if stop == cs.FULL:
                    yield from self._flush(data)
                elif stop == cs.DONE or not self._pass_fault(stop, data):
                    break
            if self._returns:
                text.data = data[:-1].tobytes()  # with a line feed where a row ends
            pos = min(int(state[cs.POS]), len(text.data))
            skip = stop != cs.DONE and len(text.data) - pos > MAX_RECORD
            if skip:
                self._faults.append(RowFault(pos, len(text.data), f"CSV: row longer than {MAX_RECORD >> 20} MB"))
            yield from self._flush(data)
            if skip:
                state[cs.POS] = text.skip_line(pos, returns=True)
            elif text.final:
                return
            else:
                text.more(pos)
                state[cs.POS] = 0

    def _loaded(self) -> Bytes:
        """The text with a line feed after it; writable if carriage returns alone may end its lines."""
        padded = self._text.data + b"\n"
        data = for_loops(np.frombuffer(padded, np.uint8))
        self._returns = b"\r" in padded and cs.has_lone_return(data, len(self._text.data)) > 0
        self._ends[13] = self._returns
        return data.copy() if self._returns else data

    def _scan(self, data: Bytes, end: int, final: bool) -> int:
        return cs.scan_csv(  # type: ignore[no-any-return]
            data,
            end,
            final,
            self._ends,
            self._separator,
            self._quote,
            self.dialect.trim,
            self._comment,
            len(self._targets),
            self._targets,
            _TIME,
            self._state,
            self._kind,
            self._value,
            self._value.view(np.float64),
            self._spans,
            self._rows,
        )

    def _pass_fault(self, stop: int, data: Bytes) -> bool:
        """Reject the row where the scanner stopped, and go on after it; False if its end needs more text."""
        state, text = self._state, self._text
        start, at, found = int(state[cs.POS]), int(state[cs.AT]), int(state[cs.FOUND])
        if stop == cs.BROKEN and found >= 0:
            reason, end = f"CSV: {found} values in a row of {len(self._targets)} columns", min(at, len(text.data))
        else:
            if stop == cs.PARTIAL and not text.final:
                return False
            reason = f"CSV: {'a quoted value is not closed' if stop == cs.PARTIAL else 'text after a closing quote'}"
            line = LINE_END.search(text.data, start)
            end = len(text.data) if line is None else line.end()
            if end == len(text.data) and not text.final and not text.data.endswith(b"\n"):
                return False
            if self._returns and data[end - 1] == 13:
                data[end - 1] = 10
        self._faults.append(RowFault(start, end, reason))
        self._kind[:, state[cs.ROW]] = 0
        state[cs.POS] = end
        return True

    def _flush(self, data: Bytes) -> Iterator[RawCells]:
        n = int(self._state[cs.ROW])
        if not n and not self._faults:
            return
        cells = RawCells(
            data,
            self._text.base,
            self._text.line,
            self._names,
            self._kind[:, :n],
            self._value[:, :n],
            self._rows[0, :n].copy(),
            self._rows[1, :n].copy(),
            self._spans[:, :n],
            self._faults,
        )
        self._check_text(cells)
        if self._state[cs.SPECIAL]:
            resolve(cells, self.dialect.quote)
        if self._written is not None:
            self._written.convert(cells)
        yield cells
        self._kind[:, :n] = 0
        self._state[cs.ROW] = 0
        self._state[cs.SPECIAL] = 0
        self._faults = []

    def _check_text(self, cells: RawCells) -> None:
        """Reject rows that are not UTF-8."""
        if not len(cells):
            return
        raw = self._text.data
        try:
            raw[int(cells.start[0]) : int(cells.end[-1])].decode()
        except UnicodeDecodeError:
            for row in range(len(cells)):
                try:
                    raw[int(cells.start[row]) : int(cells.end[row])].decode()
                except UnicodeDecodeError:
                    part = raw[int(cells.start[row]) : int(cells.end[row])]
                    cells.bad[row] = self._undecoded if UNDECODABLE in part else self._not_text
