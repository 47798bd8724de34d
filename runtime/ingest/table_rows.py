"""`TableRows`: all rows of a source, without key and time, as the columns of a reference table."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from operators.kernels.times.dates import BAD_TIME
from operators.kernels.times.iso_times import ZONED
from operators.nearest import meant
from operators.types import Type
from runtime.errors import IngestError
from runtime.ingest.columns.assemble import Assembler, Screened
from runtime.ingest.columns.batch import Batch, Values, concatenated
from runtime.ingest.columns.null_words import INFINITY, NOT_A_NUMBER
from runtime.ingest.columns.placing import SHOWN
from runtime.ingest.inputs.settings import NOWHERE, Settings
from runtime.ingest.tabular.decoded import Decoded
from runtime.ingest.text.raw_cells import RawCells
from runtime.ingest.text.tokens import MISSING
from runtime.ingest.times.time_texts import TimeTexts

_NO_END = 2**63 - 1
_CUT = 16
_PATTERN = "*?["

TableColumn = tuple[str, Type, tuple[Any, ...]]
"""A column's name, type and values, as those of a reference table are."""


class TableLimits(NamedTuple):
    """How large a reference table may be; ``bytes`` are those of its JSON."""

    rows: int
    columns: int
    bytes: int


class TableRows(Assembler):
    """Takes all rows of a source. IngestError for anything that an ingest would reject, put into a twin or take as
    missing.

    ``source`` (its name), ``settings`` and ``limits`` are set before it is used. ``mixed`` are columns with values of
    several types, if these are no error (``may_mix``): they must be read again as text.
    """

    source = ""
    settings = Settings.without_key()
    limits = TableLimits(0, 0, 0)
    may_mix = False

    def __init__(self, *declared: Any) -> None:
        super().__init__(*declared)
        self.columns.key_type = Type.STRING
        if self.shaping is not None:
            self.shaping.latest = _NO_END  # periods may begin and end at any time
        self.mixed: set[str] = set()
        self._fields: dict[str, Type | None] = {}
        self._is_text = True
        self._batches: list[Batch] = []
        self._rows = self._size = 0

    # ---- reading

    def header(self, names: Sequence[str], made_up: Mapping[str, str]) -> None:
        """See Assembler."""
        reading, most = self.settings.reading, self.limits.columns
        chosen = reading.columns or reading.drop
        if made_up or len(names) > most or not (names or chosen):
            why = next((f"; {why} (drop=[{name!r}] leaves it out)" for name, why in made_up.items()), "")
            raise IngestError(f"{self.source}: the first line must name 1 to {most} columns, each once{why}")
        self._add(0, dict.fromkeys(names))

    def screen(self, cells: RawCells) -> Screened:
        """See Assembler; every row that is well-formed is good."""
        cells = self.shaped(cells)
        good = np.ones(len(cells), np.bool_)
        good[list(cells.bad)] = False
        for row, reason in cells.left_out:
            if good[row]:
                self._refuse(cells.line_of(row), reason)
        there = (cells.kind != MISSING).any(axis=1).tolist()
        names = [name for name, found in zip(cells.names[2:], there[2:], strict=True) if found]
        self._add(int(np.count_nonzero(good)), dict.fromkeys(names))
        return Screened(cells, good, dict(cells.bad), np.zeros(len(cells), np.int64))

    def reject(self, screened: Screened) -> None:
        """See Assembler; the first reject is an error."""
        super().reject(screened)
        if self.rejects.count:
            first = self.rejects.examples[0]
            self._refuse(first.line, f"{first.reason}: {first.text[:SHOWN]!r}")

    def offer(self, chunk: dict[str, Any]) -> None:
        """See Assembler; adds a key and a time, and puts times without a zone into the given one."""
        self._is_text = False
        names, reading = self.settings.names(), self.settings.reading
        times, rows = TimeTexts.of(reading), max((len(column) for column in chunk.values()), default=0)
        fields: dict[str, Type | None] = {}
        for name, column in chunk.items():
            new = names.column(name)
            if new is None:
                continue
            if column.left_out:
                raise IngestError(
                    f"{self.source}: column {name!r} cannot be read: {column.left_out} (drop=[{name!r}] leaves it out)"
                )
            fields[new] = column.type
            if column.type is Type.TIME and column.zone != ZONED and new not in reading.type:
                valid = np.ones(rows, np.bool_) if column.valid is None else column.valid
                found = times.instants(column.values, np.full(rows, column.zone, np.uint8))
                self._check_clock(new, found.never & valid, self._rows + 1)
                chunk[name] = replace(column, values=found.times)
        self._add(rows, fields)
        key, time = (np.zeros(rows, kind.dtype) for kind in (Type.STRING, Type.TIME))
        chunk |= {NOWHERE[0]: Decoded(Type.STRING, key, None), NOWHERE[1]: Decoded(Type.TIME, time, None)}

    def take_all(self, batches: Iterable[Batch]) -> None:
        """Take the rows of all batches; an error ends the reading."""
        for batch in batches:
            self._batches.append(batch)
            # A cell has at least a digit and a comma.
            self._size += 2 * len(batch) * len(batch.columns) + sum(self._text_sizes(batch))
            if self._size > self.limits.bytes:
                self._exceeds(f"{self.limits.bytes:,} bytes", "drop columns or rows")
            self._judge()
        self._judge()

    def check_rows(self, rows: int) -> None:
        """IngestError for more rows than a table may have."""
        if rows > self.limits.rows:
            self._exceeds(f"{self.limits.rows:,} rows", "ingest the data as a stream")

    def _add(self, rows: int, fields: Mapping[str, Type | None]) -> None:
        self._rows += rows
        self.check_rows(self._rows)
        for name, kind in fields.items():
            self._fields.setdefault(name, kind)
        if len(self._fields) > self.limits.columns:
            self._exceeds(f"{self.limits.columns} columns", "take some of them (columns=)")

    def _text_sizes(self, batch: Batch) -> Iterator[int]:
        for name, column in batch.columns.items():
            if column.type is Type.STRING:
                codes = column.values if column.valid is None else column.values[column.valid]
                yield int((self.words[name].spans()[1][codes] & 0xFFFFFFFF).sum())

    # ---- errors

    def _refuse(self, place: int, why: str) -> None:
        raise IngestError(f"{self.source}: {'line' if self._is_text else 'row'} {place:,}: {why}")

    def _exceeds(self, limit: str, cure: str) -> None:
        raise IngestError(f"{self.source}: more than {limit}, the limit of a reference table; {cure}")

    def _judge(self) -> None:
        """IngestError for the first value that is not in its column."""
        declared = self.settings.reading.type
        missing = {word.casefold() for word in self.settings.reading.null}
        odd: list[tuple[int, str, str]] = []
        for name, note in self.notes.columns.items():
            examples = [*note.examples.values()]
            examples += [example for word, example in note.missing.items() if word.casefold() not in missing]
            if examples and self.may_mix and name not in declared:
                self.mixed.add(name)
            else:
                odd += [(example.line, name, example.text) for example in examples]
        if odd:
            line, name, text = min(odd)
            kind, cures = self.types.get(name), []
            if len(text) < SHOWN:
                cures.append(f"null=[{text!r}] if it means missing")
            if declared.get(name) != "string" and (self._is_text or text not in (NOT_A_NUMBER, INFINITY)):
                cures.append(f"type={{{name!r}: 'string'}} if it is text")
            which = f", which is not {kind}" if kind else ""
            self._refuse(line, f"{name} is {text!r}{which}" + f"; say {', '.join(cures)}" * bool(cures))
        for reason, count in self.notes.left_out.items():
            raise IngestError(f"{self.source}: {count:,} values cannot be taken: {reason}")

    def _check_clock(self, name: str, never: Any, first: int) -> None:
        if never.any():
            zone = self.settings.reading.time_zone
            raise IngestError(
                f"{self.source}: row {first + int(never.argmax()):,}: the time {name} does not exist in {zone}: its "
                "clock was put forward"
            )

    # ---- the table

    def table_columns(self) -> list[TableColumn]:
        """All columns, in the order of the source; those without values are text, unless they have a type."""
        reading = self.settings.reading
        self._check_names()
        whole = concatenated(self._batches) if self._batches else None
        out: list[TableColumn] = []
        for name, kind in self._fields.items():
            column = None if whole is None else whole.columns.get(name)
            if column is None and name in reading.json:
                continue  # all of it is in columns of its own
            if column is None:
                type_ = self.types.get(name) or kind or Type.STRING
                column = Values(type_, np.zeros(self._rows, type_.dtype), np.zeros(self._rows, np.bool_))
            elif column.type is Type.STRING and self._is_text and name not in reading.type:
                self._check_array(name, column)
                column = self._as_times(name, column)
            out.append((name, column.type, tuple(self._cells(name, column))))
        return out

    def _cells(self, name: str, column: Values) -> Iterator[Any]:
        values: list[Any] = column.values.tolist()
        if column.type is Type.STRING:
            words = self.words.get(name)
            texts = (words.all_texts() if words else []) or [""]  # what is not there has code 0, too
            values = [texts[code] for code in values]
        elif column.type is Type.BOOL:
            values = [bool(value) for value in values]
        if column.valid is None:
            return iter(values)
        return (value if there else None for value, there in zip(values, column.valid.tolist(), strict=True))

    def _as_times(self, name: str, column: Values) -> Values:
        """Texts that are all times, and not only digits, as times: text has no other form for them."""
        words, valid = self.words[name], column.valid
        data, spans = words.spans()
        distinct, places = np.unique(column.values if valid is None else column.values[valid], return_inverse=True)
        times = TimeTexts.of(self.settings.reading)
        if (times.read(data, spans[distinct[:_CUT]])[0] == BAD_TIME).any():
            return column
        found = times.instants(*times.read(data, spans[distinct]))
        digits = not times.formats and all(words.text(int(code)).strip().isdigit() for code in distinct)
        if digits or (found.times == BAD_TIME).any():
            return column
        rows = np.arange(self._rows) if valid is None else np.flatnonzero(valid)
        never, values = np.zeros(self._rows, np.bool_), np.zeros(self._rows, np.int64)
        never[rows], values[rows] = found.never[places], found.times[places]
        self._check_clock(name, never, 1)
        return Values(Type.TIME, values, valid)

    def _check_names(self) -> None:
        """IngestError for an option that names a column that is not there, and for no columns."""
        reading, there = self.settings.reading, self._fields
        if not there:
            chosen = bool(reading.columns or reading.drop)
            what = "no column is left by columns= and drop=" if chosen else "there are no rows"
            raise IngestError(f"{self.source}: {what}")
        exact = [reading.rename.get(name, name) for name in reading.columns if not {*_PATTERN} & {*name}]
        for option, names in (("type", reading.type), ("rename", reading.rename.values()), ("columns", exact)):
            for name in names:
                if name not in there:
                    raise IngestError(
                        f"{self.source}: {option}= names {name!r}, which is not a column of it; "
                        f"{meant(name, there, 'it')} has {', '.join(there)}"
                    )

    def _check_array(self, name: str, column: Values) -> None:
        """IngestError if the only record holds an array: its records are probably in there."""
        reading = self.settings.reading
        given = reading.records is not None or reading.columnar is not None
        if self.form != "JSON" or self._rows != 1 or given or not column.values.size:
            return
        if self.words[name].text(int(column.values[0]), 1) == "[":
            raise IngestError(
                f"{self.source} is one record, in which {name} is an array: say records={name!r} if it holds the rows, "
                f"columnar={name.rpartition('.')[0] or '.'!r} if it is one of several columns, or "
                f"type={{{name!r}: 'json'}} if it is a value"
            )
