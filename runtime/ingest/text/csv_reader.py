"""CSV with a header row into batches; the types of its columns come from samples of its rows (``samples``)."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator

import numpy as np

from operators.nearest import listed, meant
from runtime.errors import IngestError
from runtime.ingest.columns.assemble import Assembler
from runtime.ingest.columns.batch import Batch
from runtime.ingest.columns.samples import Sample
from runtime.ingest.inputs.byte_stream import Text
from runtime.ingest.inputs.settings import Settings
from runtime.ingest.text import csv_scanner as cs
from runtime.ingest.text.json_strict import name_fault
from runtime.ingest.text.raw_cells import RawCells
from runtime.ingest.text.rejects import RowFault
from runtime.ingest.text.tokens import BIGINT, DECIMAL, ESCAPED, FLOAT, INT, STRING, for_loops

MAX_HEADER = 1 << 20
MAX_RECORD = 1 << 24
_SEPARATORS = (",", ";", "\t", "|")
_CELLS = 1 << 21
_TIME = 1


class CsvReader:
    """Reads the rows of a CSV text whose first line names the columns."""

    def __init__(self, text: Text, settings: Settings, name: str) -> None:
        self._text = text
        self._name = name
        self._state = np.zeros(cs.STATE, np.int64)
        header, end = self._header()
        self._separator, names = self._columns(header, settings)
        self._state[cs.POS] = end
        self._names = [settings.key, settings.time]
        self._names += [n for n in names if n not in (settings.key, settings.time)]
        place = {n: k for k, n in enumerate(self._names)}
        self._targets = np.array([place[n] for n in names], np.int64)
        columns = len(self._names)
        rows = min(1 << 15, max(256, _CELLS // columns))
        self._kind = np.zeros((columns, rows), np.uint8)
        self._value = np.zeros((columns, rows), np.int64)
        self._spans = np.zeros((columns, rows), np.int64)
        self._rows = np.zeros((2, rows), np.int64)
        self._faults: list[RowFault] = []

    def _header(self) -> tuple[str, int]:
        data = self._text.data
        end = data.find(b"\n")
        end = len(data) if end < 0 else end + 1
        if end > MAX_HEADER:
            raise IngestError(f"{self._name} has no header line of CSV within its first megabyte, and it is not JSON.")
        try:
            return data[:end].decode().rstrip("\r\n"), end
        except UnicodeDecodeError as error:
            raise IngestError(f"{self._name} is neither JSON nor CSV in UTF-8: its first line is not UTF-8.") from error

    def _columns(self, header: str, settings: Settings) -> tuple[str, list[str]]:
        if not header.strip() and self._text.final and not self._text.data.strip():
            return ",", [settings.key, settings.time]  # an empty file
        needed = {"--key": settings.holder(settings.key), "--time": settings.holder(settings.time)}
        readings = [(next(csv.reader(io.StringIO(header), delimiter=d), []), d) for d in _SEPARATORS]
        # The separator that yields both columns; else the closest one, for the error.
        names, separator = max(readings, key=lambda r: (sum(n in r[0] for n in needed.values()), len(r[0])))
        if missing := [(option, n) for option, n in needed.items() if n not in names]:
            raise IngestError(self._without(names, missing, header))
        for n in names:
            fault = name_fault(n) if n else "it is empty"
            if fault or names.count(n) > 1:
                raise IngestError(
                    f"{self._name} has the CSV column {n[:80]!r}, which cannot be used: {fault or 'it occurs twice'}."
                )
        return separator, names

    def _without(self, names: list[str], missing: list[tuple[str, str]], header: str) -> str:
        """The error text for a first line without key, time or both."""
        if len(names) < 2:
            wanted = " and ".join(repr(n) for _, n in missing)
            return (
                f"{self._name} is read as CSV, but its first line has no columns {wanted} (it begins "
                f"{header[:80]!r}): check --key, --time and --format."
            )
        lacks = " and ".join(f"{n!r} ({option})" for option, n in missing)
        its = meant(missing[0][1], names, "its")
        # Quoted, because without a header these are values, which logs redact.
        return f"{self._name} has no column {lacks}; {its} first line has {listed(map(repr, names))}."

    def batches(self, assembler: Assembler) -> Iterator[Batch]:
        """The accepted rows."""
        sample = Sample(assembler)
        for cells in self._cells():
            yield from sample.take(assembler.screen(cells))
        yield from sample.settled()

    def _cells(self) -> Iterator[RawCells]:
        text, state = self._text, self._state
        while True:
            padded = text.data + b"\n"
            data = for_loops(np.frombuffer(padded, np.uint8))
            # A missing final line end is added.
            final = text.final and not text.data.endswith(b"\n")
            while True:
                stop = self._scan(data, len(text.data), final)
                if stop == cs.FULL:
                    yield from self._flush(data)
                elif stop == cs.BROKEN or (stop == cs.PARTIAL and text.final):
                    self._pass_fault(stop)
                else:
                    break
            pos = min(int(state[cs.POS]), len(text.data))
            skip = stop == cs.PARTIAL and len(text.data) - pos > MAX_RECORD
            if skip:
                self._faults.append(RowFault(pos, len(text.data), f"CSV: row longer than {MAX_RECORD >> 20} MB"))
            yield from self._flush(data)
            if skip:
                state[cs.POS] = text.skip_line(pos)
            elif text.final:
                return
            else:
                text.more(pos)
                state[cs.POS] = 0

    def _scan(self, data: np.ndarray, end: int, final: bool) -> int:
        return cs.scan_csv(  # type: ignore[no-any-return]
            data,
            end,
            final,
            ord(self._separator),
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

    def _pass_fault(self, stop: int) -> None:
        state, data = self._state, self._text.data
        start, at, found = int(state[cs.POS]), int(state[cs.AT]), int(state[cs.FOUND])
        line = data.find(b"\n", start) + 1 or len(data)
        if stop == cs.PARTIAL:
            reason, end = "CSV: a quoted value is not closed", line
        elif found < 0:
            reason, end = "CSV: text after a closing quote", line
        else:
            reason, end = f"CSV: {found} values in a row of {len(self._targets)} columns", min(at, len(data))
        self._faults.append(RowFault(start, end, reason))
        self._kind[:, state[cs.ROW]] = 0
        state[cs.POS] = end

    def _flush(self, data: np.ndarray) -> Iterator[RawCells]:
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
            _convert(cells)
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
                    cells.bad[row] = "CSV: not UTF-8"


def _convert(cells: RawCells) -> None:
    """Resolve doubled quotes, and convert the numbers that the scanner left as text."""
    assert cells.spans is not None
    kind, value, spans = cells.kind, cells.value, cells.spans
    data = cells.data.tobytes()
    extra: list[bytes] = []
    size = len(data)
    for column, row in np.argwhere((kind == ESCAPED) | (kind == BIGINT) | (kind == DECIMAL)).tolist():
        span = int(spans[column, row])
        raw = data[span >> 32 : (span >> 32) + (span & 0xFFFFFFFF)]
        if kind[column, row] == ESCAPED:
            raw = raw.replace(b'""', b'"')
            spans[column, row] = value[column, row] = size << 32 | len(raw)
            kind[column, row] = STRING
            extra.append(raw)
            size += len(raw)
        elif kind[column, row] == BIGINT:
            number = int(raw) if len(raw) < 25 else 2**63
            fits = -(2**63) <= number < 2**63
            if fits:
                value[column, row] = number
            if number == 0:
                cells.minus_zeros.append((column, row))
            kind[column, row] = INT if fits else STRING
        elif column != _TIME:
            real = np.float64(raw.decode())
            value[column, row] = real.view(np.int64)
            kind[column, row] = STRING if np.isinf(real) else FLOAT
    if extra:
        cells.data = np.frombuffer(data + b"".join(extra), np.uint8)
