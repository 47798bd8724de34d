"""Reads JSON text in any framing (one record per line, arrays, concatenated records) into cells."""

from __future__ import annotations

import codecs
import json
from collections.abc import Iterator

import numpy as np
import orjson

from runtime.ingest.inputs.byte_stream import Text
from runtime.ingest.text import json_scanner as js
from runtime.ingest.text.added_texts import AddedTexts
from runtime.ingest.text.column_names import Names
from runtime.ingest.text.json_lines import (
    BEYOND,
    MAX_LINE,
    MAX_RECORD,
    NOWHERE,
    SPACE,
    first_record,
    next_start,
    value_end,
    without_broken_lines,
    without_space,
)
from runtime.ingest.text.json_names import MAX_NODES, NameTree
from runtime.ingest.text.json_scanner import MAX_DEPTH
from runtime.ingest.text.json_strict import (
    TWICE,
    Big,
    Decimal,
    JsonText,
    Malformed,
    MinusZero,
    NotARecord,
    NotFinite,
    is_value,
    parse,
    read_record,
)
from runtime.ingest.text.raw_cells import RawCells
from runtime.ingest.text.rejects import RowFault
from runtime.ingest.text.tokens import (
    BIG,
    BIGINT,
    BOOL,
    DECIMAL,
    ESCAPED,
    FLOAT,
    INFINITE,
    INT,
    JSON,
    NAN,
    NULL,
    STRING,
    Bytes,
    for_loops,
)

_CELLS = 1 << 21
_MAX_ROWS = 1 << 15
_TIME = 1
_EXPLAINED = 1 << 20  # bytes of a broken record that are read again to explain the error
_LINE_CELLS = 1 << 23  # maximum cells of one line that wait for its end
_MANY_NEW = 32  # new names in one record: then the others are learned at once
_FAR = -(1 << 62)  # the array began on an earlier line
_ON, _MORE, _LOST = range(3)


class JsonReader:
    """Reads the records of a text; iterate once. The yielded cells are valid until the next ones are requested.

    Records are yielded once their line was read to its end, because malformed text on it rejects them, too.
    """

    def __init__(self, text: Text, names: Names, name: str, depth: int = MAX_DEPTH) -> None:
        self._text = text
        self._name = name
        self._names = names
        self._depth = depth
        self._tree = NameTree(names)
        self._full_at, self._times = -1, 0  # the record at which there were too many names, and how often so far
        self._new_at, self._new = -1, 0  # the record with the last new names, and how many
        self._learning = True
        self._state = np.zeros(js.STATE, np.int64)
        self._stack = np.zeros(js.MAX_DEPTH + 1, np.int64)
        self._malformed: list[RowFault] = []
        self._elements: list[tuple[RowFault, int]] = []  # array elements that are not records, and where in the array
        # Positions in the whole text: the start of the buffer's first line, the end of the last yielded record.
        self._begun, self._handed = text.base, -1
        self._allocate(64)

    def _allocate(self, columns: int, most: int = _MAX_ROWS) -> None:
        rows = min(most, max(256, _CELLS // columns))
        self._kind = np.zeros((columns, rows), np.uint8)
        self._value = np.zeros((columns, rows), np.int64)
        self._rows = np.zeros((4, rows), np.int64)
        self._stamps = np.zeros(columns, np.int64)

    def __iter__(self) -> Iterator[RawCells]:
        text, state = self._text, self._state
        while True:
            data = for_loops(np.frombuffer(text.data, np.uint8))
            valid = _is_utf8(text.data, text.final)
            lost = False
            while True:
                stop = self._scan(data, valid)
                if stop in (js.BROKEN, js.NO_RECORD) or (stop == js.PARTIAL and text.final):
                    after = self._pass_fault(stop)
                    if after != _ON:
                        lost = after == _LOST
                        break
                elif stop == js.NEW_NAME:
                    if self._tree.columns >= len(self._kind):
                        yield from self._whole_lines()
                        self._allocate(2 * len(self._kind))
                        continue
                    if self._tree.full:
                        yield from self._make_room()
                        continue
                    name = text.data[state[js.NAME_START] : state[js.NAME_END]]
                    self._tree.add(int(state[js.PARENT]), name)
                    yield from self._learn_many()
                elif stop == js.FULL:
                    yield from self._whole_lines(full=True)
                    self._learn_again()
                else:
                    break
            pos = int(state[js.POS])
            if text.final and pos >= len(text.data):
                self._end_array()
            if stop == js.PARTIAL and not text.final and len(text.data) - pos > MAX_RECORD:
                reason = f"JSON: record longer than {MAX_RECORD >> 20} MB"
                self._malformed.append(RowFault(pos, len(text.data), reason))
                self._leave_array()
                lost = True
            if lost or text.final:
                yield from self._flush(int(state[js.ROW]))
                if text.final:
                    return
                state[js.POS] = text.skip_line(pos)
                self._begun = text.base + int(state[js.POS])
                state[js.OPENED] = _FAR
                continue
            yield from self._whole_lines()
            self._learn_again()
            self._drop()

    def _learn_many(self) -> Iterator[RawCells]:
        """The scanner starts a record again after each new name: where one has many, learn all of them at once."""
        at = self._text.base + int(self._state[js.POS])
        self._new = self._new + 1 if self._new_at == at else 1
        self._new_at = at
        if self._new == _MANY_NEW and (record := first_record(self._text.data, int(self._state[js.POS]))):
            yield from self._whole_lines()
            self._tree.learn(record, self._depth)
            if self._tree.columns > len(self._kind):
                self._allocate(1 << (self._tree.columns - 1).bit_length())

    def _make_room(self) -> Iterator[RawCells]:
        """Yield what was read and forget all names; a record that alone has too many is read without learning.

        The scanner starts that record again, perhaps from the start of its line; if it reaches it again, the line is
        yielded in pieces.
        """
        at = self._text.base + int(self._state[js.POS])
        self._times = self._times + 1 if self._full_at == at else 0
        self._full_at = at
        if self._times == 0:
            yield from self._whole_lines()
        elif self._times == 1:
            yield from self._flush(int(self._state[js.ROW]))
        self._forget()
        if self._times > 1:
            self._allocate(64, 1)
            self._learning = False

    def _learn_again(self) -> None:
        """Forget all names if there are too many, once everything read was yielded."""
        if not self._state[js.ROW] and (self._tree.full or not self._learning):
            self._forget()

    def _forget(self) -> None:
        self._tree = NameTree(self._names)
        self._allocate(64)
        self._learning = True
        self._new = 0

    def _drop(self) -> None:
        """Read more, and drop finished text: all before the last non-empty line."""
        text, state = self._text, self._state
        pos, opened = int(state[js.POS]), int(state[js.OPENED])
        keep = text.data.rfind(b"\n", 0, without_space(text.data, pos)) + 1
        line = keep
        if pos - keep >= MAX_LINE:
            keep, line = pos, text.data.rfind(b"\n", 0, pos) + 1
        self._begun = text.base + line if line else self._begun
        state[js.OPENED] = _FAR if b"\n" in text.data[max(opened, 0) : keep] else opened - keep
        text.more(keep)
        state[js.POS] = pos - keep

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
            self._learning,
            valid,
            _TIME,
            self._stack,
            self._kind,
            self._value,
            self._value.view(np.float64),
            self._rows,
            self._depth,
        )

    def _pass_fault(self, stop: int) -> int:
        """Reject the text that breaks at the scanner's position. Returns whether it moved past it, needs more text for
        that, or cannot see the line's end."""
        data, state, final = self._text.data, self._state, self._text.final
        at, in_array = int(state[js.AT]), int(state[js.IN_ARRAY])
        start = at if stop == js.NO_RECORD else int(state[js.POS])
        if stop != js.NO_RECORD:
            end = next_start(data, start, at, final)
        else:
            if in_array in (js.AFTER_OPEN, js.AFTER_COMMA):
                end = value_end(data, at)
                if end < 0 and not final and len(data) - at <= MAX_RECORD:
                    return _MORE
                if end >= 0 and is_value(data[at:end]):
                    self._elements.append((RowFault(at, end, "JSON: not an object"), in_array))
                    state[js.POS], state[js.IN_ARRAY] = end, js.AFTER_VALUE
                    return _ON
            end = data.find(b"\n", at) + 1 or NOWHERE
        if end == BEYOND:
            return _MORE
        if end < 0 and not final and len(data) - start <= MAX_RECORD:
            return _MORE  # the whole line is rejected, and kept
        if end < 0 and final:
            end = len(data)
        stop_at = end if end >= 0 else len(data)
        if stop == js.PARTIAL:
            reason = "JSON: cut off in the middle of a record"
        elif stop == js.NO_RECORD and in_array == js.AFTER_VALUE and data[at : at + 1] == b"{":
            reason = "JSON: expecting ',' delimiter"
        else:
            reason = _why(data[start : min(stop_at, start + _EXPLAINED)])
        self._malformed.append(RowFault(start, stop_at, reason))
        self._leave_array()
        state[js.POS] = end if end >= 0 else start
        return _ON if end >= 0 else _LOST

    def _leave_array(self) -> None:
        """Forget where in an array the scanner is."""
        if self._state[js.IN_ARRAY] != js.NO_ARRAY:
            self._state[js.IN_ARRAY] = js.ANYWHERE

    def _end_array(self) -> None:
        """Record an array that is not closed at the end of the text; if it is on one line, that line is malformed."""
        data, opened = self._text.data, int(self._state[js.OPENED])
        in_array = int(self._state[js.IN_ARRAY])
        if in_array in (js.NO_ARRAY, js.ANYWHERE, js.ANYWHERE_AFTER_VALUE):
            return
        self._state[js.IN_ARRAY] = js.NO_ARRAY
        end = len(data.rstrip(SPACE))
        fault = RowFault(len(data), len(data), "JSON: the array is not closed")
        if opened > _FAR and b"\n" not in data[max(opened, 0) : end]:
            self._malformed.append(fault._replace(start=end, end=end))
        else:
            self._elements.append((fault, in_array))

    def _whole_lines(self, full: bool = False) -> Iterator[RawCells]:
        """Yield the records whose line was read to its end; the scanner goes back to the first of the others.

        A line too long for that is yielded in pieces. ``full``: there is no room for another record.
        """
        state, data = self._state, self._text.data
        rows, pos = int(state[js.ROW]), int(state[js.POS])
        line = data.rfind(b"\n", 0, pos) + 1
        if js.AFTER_OPEN <= state[js.IN_ARRAY] <= js.AFTER_COMMA and state[js.OPENED] > _FAR:
            # An array that is still open on its first line may never be closed: then that line is malformed.
            opened = max(int(state[js.OPENED]), 0)
            if b"\n" not in data[opened:pos].rstrip(SPACE):
                line = data.rfind(b"\n", 0, opened) + 1
        whole = int(np.searchsorted(self._rows[1, :rows], line, "right"))
        back, where = pos, int(state[js.IN_ARRAY])
        if whole < rows:
            back, where = int(self._rows[0, whole]), int(self._rows[3, whole])
        kept = [(fault, at) for fault, at in self._elements if fault.end <= line]
        if len(kept) < len(self._elements) and self._elements[len(kept)][0].start < back:
            back, where = self._elements[len(kept)][0].start, self._elements[len(kept)][1]
        if back == pos or self._handed > (self._text.base + line if line else self._begun):
            yield from self._flush(rows)
            return
        columns, room = self._kind.shape
        crowded = full and not whole
        if crowded and 2 * columns * room <= _LINE_CELLS:
            self._kind = np.concatenate([self._kind, np.zeros_like(self._kind)], 1)
            self._value = np.concatenate([self._value, np.zeros_like(self._value)], 1)
            self._rows = np.concatenate([self._rows, np.zeros_like(self._rows)], 1)
            return
        if crowded or pos - back > MAX_LINE:
            yield from self._flush(rows)
            return
        self._elements = kept
        yield from self._flush(whole)
        state[js.POS], state[js.IN_ARRAY] = back, where

    def _flush(self, n: int) -> Iterator[RawCells]:
        """Yield the first ``n`` records and the rejects; records after them are read again."""
        used = int(self._state[js.ROW])
        if used or self._malformed or self._elements:
            if n or self._malformed or self._elements:
                yield self._cells(n)
                if n:
                    self._handed = self._text.base + int(self._rows[1, n - 1])
            self._kind[: self._tree.columns, :used] = 0
            self._state[js.ROW] = 0
            self._state[js.SPECIAL] = 0
            self._malformed, self._elements = [], []

    def _cells(self, n: int) -> RawCells:
        text = self._text
        columns = self._tree.columns
        cells = RawCells(
            np.frombuffer(text.data, np.uint8),
            text.base,
            text.line,
            self._tree.column_names,
            self._kind[:columns, :n],
            self._value[:columns, :n],
            self._rows[0, :n].copy(),
            self._rows[1, :n].copy(),
        )
        extra = AddedTexts(len(text.data))
        look = np.flatnonzero(self._rows[2, :n])
        for row in look.tolist():
            self._look(cells, extra, row)
        if self._state[js.SPECIAL]:
            for row in self._convert(cells, extra):
                self._look(cells, extra, row)
        columns = self._tree.columns  # the strict reader may have added new ones
        cells.kind, cells.value = self._kind[:columns, :n], self._value[:columns, :n]
        cells.data = extra.after(cells.data)
        elements = [fault for fault, _ in self._elements]
        if self._malformed:
            begun, handed = self._begun - text.base, self._handed - text.base
            return without_broken_lines(text.data, cells, self._malformed, elements, begun, handed, self._name)
        cells.faults = elements
        return cells

    def _bad(self, cells: RawCells, row: int, error: NotARecord) -> None:
        """Reject a record; one that is malformed takes its line with it."""
        if isinstance(error, Malformed):
            self._malformed.append(RowFault(int(cells.start[row]), int(cells.end[row]), str(error)))
        else:
            cells.bad.setdefault(row, str(error))

    def _look(self, cells: RawCells, extra: AddedTexts, row: int) -> None:
        """Read a record again, strictly, and rewrite its cells."""
        self._kind[:, row] = 0
        try:
            raw = self._text.data[cells.start[row] : cells.end[row]]
            record = read_record(raw, self._depth, self._names.whole)
        except NotARecord as error:
            self._bad(cells, row, error)
            return
        cells.left_out += [(row, reason) for reason in record.left_out]
        for name, value in record.values.items():
            column = self._tree.column(name, learn=value is not None)
            if column is None:
                cells.left_out.append((row, f"more than {MAX_NODES:,} names at once"))
            elif column >= 0 and self._is_free(row, column):
                self._put(row, column, value, extra)
                if isinstance(value, MinusZero):
                    cells.minus_zeros.append((column, row))
            elif column >= 0 and value is not None:
                cells.left_out.append((row, TWICE))

    def _is_free(self, row: int, column: int) -> bool:
        """Whether the record has no value there yet: two fields may be renamed to one."""
        return column >= len(self._kind) or self._kind[column, row] <= NULL

    def _put(self, row: int, column: int, value: object, extra: AddedTexts) -> None:
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
        elif isinstance(value, NotFinite):
            what = NAN if np.isnan(value) else INFINITE
        elif isinstance(value, str):
            what = BIG if isinstance(value, Big) else JSON if isinstance(value, JsonText) else STRING
            cell = extra.add(value)
        self._kind[column, row] = what
        self._value[column, row] = cell

    def _convert(self, cells: RawCells, extra: AddedTexts) -> list[int]:
        """Convert the cells that the scanner left as text; the rows in which that fails are for the strict reader."""
        data = cells.data.data
        columns, n = self._tree.columns, len(cells)
        kind, value = self._kind[:columns, :n], self._value[:columns, :n]
        again: dict[int, None] = {}
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
                    again[row] = None
                kind[column, row] = STRING
            elif what == BIGINT:
                number = int(raw) if len(raw) < 25 else 2**63
                if -(2**63) <= number < 2**63:
                    value[column, row] = number
                    kind[column, row] = INT
                    if number == 0:
                        cells.minus_zeros.append((column, row))
                else:
                    kind[column, row] = BIG
            else:
                real = np.float64(raw.decode())
                if np.isinf(real):
                    kind[column, row] = BIG
                else:
                    value[column, row] = real.view(np.int64)
                    kind[column, row] = FLOAT
        return list(again)


def _is_utf8(data: bytes, final: bool) -> bool:
    if data.isascii():  # without a copy
        return True
    try:
        codecs.utf_8_decode(data, "strict", final)
    except UnicodeDecodeError:
        return False
    return True


def _why(raw: bytes) -> str:
    """Why a text is not one record."""
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
    """Whether a text looks like JSON: it, or most of its first lines, begin with ``{`` or ``[``. An empty text does."""
    head = data[: 1 << 16].lstrip(b" \t\r\n")
    if head[:1] in (b"", b"{", b"["):
        return True
    lines = [line.strip()[:1] for line in head.split(b"\n")[:1000] if line.strip()]
    return sum(c in (b"{", b"[") for c in lines) * 2 > len(lines)
