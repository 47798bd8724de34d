"""JSON text in any framing (a record a line, arrays, records one after the other) into cells."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator

import numpy as np
import orjson

from runtime.ingest import jsonscan as js
from runtime.ingest.bytestream import Text
from runtime.ingest.cells import Cells
from runtime.ingest.names import NameTree
from runtime.ingest.rejects import Fault
from runtime.ingest.strict import Decimal, MinusZero, NotARecord, parse, read_record
from runtime.ingest.tokens import (
    BIGINT,
    BOOL,
    DECIMAL,
    ESCAPED,
    FLOAT,
    INT,
    NULL,
    STRING,
    Bytes,
    for_loops,
)

MAX_RECORD = 1 << 24
_CELLS = 1 << 21
_MAX_ROWS = 1 << 15
_TIME = 1
_OUTSIDE = "integer outside 64 bits"
_EXPLAINED = 1 << 20  # bytes of a broken record that are read again to say what is wrong


class JsonReader:
    """Reads the records of a text; iterate once. The cells handed over are valid until the next are asked for."""

    def __init__(self, text: Text, key: str, time: str) -> None:
        self._text = text
        self._tree = NameTree(key, time)
        self._state = np.zeros(js.STATE, np.int64)
        self._stack = np.zeros(js.MAX_DEPTH + 1, np.int64)
        self._faults: list[Fault] = []
        self._allocate(64)

    def _allocate(self, columns: int) -> None:
        rows = min(_MAX_ROWS, max(256, _CELLS // columns))
        self._kind = np.zeros((columns, rows), np.uint8)
        self._value = np.zeros((columns, rows), np.int64)
        self._rows = np.zeros((3, rows), np.int64)
        self._stamps = np.zeros(columns, np.int64)

    def __iter__(self) -> Iterator[Cells]:
        text, state = self._text, self._state
        while True:
            data = for_loops(np.frombuffer(text.data, np.uint8))
            valid = _is_utf8(text.data, text.final)
            while True:
                stop = self._scan(data, valid)
                if stop in (js.BROKEN, js.NO_RECORD) or (stop == js.PARTIAL and text.final):
                    if not self._pass_fault(stop):
                        break
                elif stop == js.NEW_NAME:
                    if self._tree.columns >= len(self._kind):
                        yield from self._flush()
                        self._allocate(2 * len(self._kind))
                    name = text.data[state[js.NAME_START] : state[js.NAME_END]]
                    self._tree.add(int(state[js.PARENT]), name)
                elif stop == js.FULL:
                    yield from self._flush()
                else:
                    break
            if text.final and state[js.POS] >= len(text.data) and state[js.IN_ARRAY]:
                self._faults.append(Fault(len(text.data), len(text.data), "JSON: the array is not closed"))
            pos = int(state[js.POS])
            too_long = stop == js.PARTIAL and len(text.data) - pos > MAX_RECORD
            lost = stop in (js.BROKEN, js.NO_RECORD)
            if too_long:
                reason = f"JSON: record longer than {MAX_RECORD >> 20} MB"
                self._faults.append(Fault(pos, len(text.data), reason))
            yield from self._flush()
            if too_long or lost:
                state[js.POS] = text.skip_line(pos)
            elif text.final:
                return
            else:
                text.more(pos)
                state[js.POS] = 0

    def _scan(self, data: Bytes, valid: bool) -> int:
        tree = self._tree
        return js.scan(  # type: ignore[no-any-return]
            data,
            len(data),
            self._state,
            tree.nodes,
            tree.text,
            tree.table,
            tree.stamps,
            self._stamps,
            not tree.full,
            valid,
            _TIME,
            self._stack,
            self._kind,
            self._value,
            self._value.view(np.float64),
            self._rows,
        )

    def _pass_fault(self, stop: int) -> bool:
        """Reject what breaks at the scanner's place and move on behind it; False when no line end is in sight."""
        data, state = self._text.data, self._state
        at = int(state[js.AT])
        start = at if stop == js.NO_RECORD else int(state[js.POS])
        end = -1
        if stop == js.NO_RECORD:
            end = _value_end(data, at) if state[js.IN_ARRAY] else -1
            if end < 0:
                end = data.find(b"\n", at) + 1 or -1
        else:
            end = _next_start(data, start, at)
        if end < 0 and self._text.final:
            end = len(data)
        if stop == js.PARTIAL:
            reason = "JSON: cut off in the middle of a record"
        else:
            reason = _why(data[start : min(end if end >= 0 else len(data), start + _EXPLAINED)])
        self._faults.append(Fault(start, end if end >= 0 else len(data), reason))
        state[js.POS] = end if end >= 0 else start
        return end >= 0

    def _flush(self) -> Iterator[Cells]:
        n = int(self._state[js.ROW])
        if not n and not self._faults:
            return
        columns = self._tree.columns
        text = self._text
        cells = Cells(
            np.frombuffer(text.data, np.uint8),
            text.base,
            text.line,
            self._tree.column_names,
            self._kind[:columns, :n],
            self._value[:columns, :n],
            self._rows[0, :n].copy(),
            self._rows[1, :n].copy(),
            faults=self._faults,
        )
        extra = Extra(text.data)
        look = np.flatnonzero(self._rows[2, :n])
        for row in look.tolist():
            self._look(cells, extra, row)
        columns = self._tree.columns  # a closer look may have brought new ones
        cells.kind, cells.value = self._kind[:columns, :n], self._value[:columns, :n]
        if self._state[js.SPECIAL]:
            _convert(cells, extra)
        if extra.parts:
            cells.data = np.frombuffer(text.data + b"".join(extra.parts), np.uint8)
        yield cells
        self._kind[:, :n] = 0
        self._state[js.ROW] = 0
        self._state[js.SPECIAL] = 0
        self._faults = []

    def _look(self, cells: Cells, extra: Extra, row: int) -> None:
        """Read a record again, strictly, and write its cells anew."""
        self._kind[:, row] = 0
        try:
            record = read_record(self._text.data[cells.start[row] : cells.end[row]])
            for name, value in record.items():
                if isinstance(value, int) and not isinstance(value, bool) and not -(2**63) <= value < 2**63:
                    raise NotARecord(_OUTSIDE)
                column = self._tree.column(name)
                if column is None:
                    raise NotARecord("more columns than an input may have")
                self._put(row, column, value, extra)
                if isinstance(value, MinusZero):
                    cells.minus_zeros.append((column, row))
        except NotARecord as error:
            self._kind[:, row] = 0
            cells.bad[row] = str(error)

    def _put(self, row: int, column: int, value: object, extra: Extra) -> None:
        if column >= len(self._kind):
            wider = 2 * len(self._kind)
            self._kind = np.concatenate([self._kind, np.zeros_like(self._kind)])
            self._value = np.concatenate([self._value, np.zeros_like(self._value)])
            self._stamps = np.zeros(wider, np.int64)
        what, cell = NULL, 0
        if isinstance(value, bool):
            what, cell = BOOL, int(value)
        elif isinstance(value, int):
            what, cell = INT, value
        elif isinstance(value, Decimal):
            if column == _TIME:
                what, cell = DECIMAL, extra.add(value)
            else:
                what, cell = FLOAT, int(np.float64(value).view(np.int64))
        elif isinstance(value, str):
            what, cell = STRING, extra.add(value)
        self._kind[column, row] = what
        self._value[column, row] = cell


class Extra:
    """Text that is appended to a buffer, such as strings whose escapes were resolved."""

    def __init__(self, data: bytes) -> None:
        self._at = len(data)
        self.parts: list[bytes] = []

    def add(self, text: str) -> int:
        """The span of the text once it is appended."""
        raw = text.encode()
        self.parts.append(raw)
        self._at += len(raw)
        return (self._at - len(raw)) << 32 | len(raw)


def _convert(cells: Cells, extra: Extra) -> None:
    """Make values of the cells that the scanner left as text."""
    data = cells.data.data
    kind, value = cells.kind, cells.value
    wanted = (kind == ESCAPED) | (kind == BIGINT) | (kind == DECIMAL)
    wanted[_TIME] &= kind[_TIME] == ESCAPED
    for column, row in np.argwhere(wanted).tolist():
        what = kind[column, row]
        span = int(value[column, row])
        raw = bytes(data[span >> 32 : (span >> 32) + (span & 0xFFFFFFFF)])
        if what == ESCAPED:
            try:
                value[column, row] = extra.add(orjson.loads(b'"' + raw + b'"'))
            except ValueError:
                cells.bad.setdefault(row, _why(bytes(data[cells.start[row] : cells.end[row]])))
            kind[column, row] = STRING
        elif what == BIGINT:
            number = int(raw) if len(raw) < 25 else 2**63
            if -(2**63) <= number < 2**63:
                value[column, row] = number
                kind[column, row] = INT
                if number == 0:
                    cells.minus_zeros.append((column, row))
            else:
                cells.bad.setdefault(row, _OUTSIDE)
                kind[column, row] = NULL
        else:
            real = np.float64(raw.decode())
            if np.isinf(real):
                cells.bad.setdefault(row, "JSON: number too large for a float64")
            value[column, row] = real.view(np.int64)
            kind[column, row] = FLOAT


def _is_utf8(data: bytes, final: bool) -> bool:
    try:
        codecs.utf_8_decode(data, "strict", final)
    except UnicodeDecodeError:
        return False
    return True


def _next_start(data: bytes, start: int, at: int) -> int:
    """Where to go on after the record that starts at ``start`` broke at ``at``; -1 when no line ends after it.

    That is the next line; of a record over several lines, the next line that opens a record with the same indent.
    """
    line_end = data.find(b"\n", start)
    if line_end < 0 or at <= line_end:
        return line_end + 1 or -1
    indent = data[data.rfind(b"\n", 0, start) + 1 : start]
    if not indent.strip():
        again = data.find(b"\n" + indent + b"{", start)
        if again >= 0:
            return again + 1
    return line_end + 1


def _value_end(data: bytes, at: int) -> int:
    """Where the value that is no object ends; -1 when it has no clear end."""
    end = int(js.value_end(for_loops(np.frombuffer(data, np.uint8)), at, len(data)))
    return end if at < end < len(data) else -1


def _why(raw: bytes) -> str:
    """What is wrong with a text that should be one record."""
    try:
        parse(raw.strip())
    except NotARecord as error:
        reason = str(error)
        if raw.lstrip()[:1] != b"{":
            try:
                json.loads(raw)
            except (ValueError, RecursionError):
                return "not JSON"
            return "JSON: not an object"
        return reason
    return "JSON: broken"


def sniff(data: bytes) -> bool:
    """Whether a text begins like JSON: with ``{`` or ``[``, or most of its first lines do. Nothing at all may be it."""
    head = data[: 1 << 16].lstrip(b" \t\r\n")
    if head[:1] in (b"", b"{", b"["):
        return True
    lines = [line.strip()[:1] for line in head.split(b"\n")[:1000] if line.strip()]
    return sum(c in (b"{", b"[") for c in lines) * 2 > len(lines)
