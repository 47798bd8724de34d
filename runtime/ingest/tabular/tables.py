"""Tables (Parquet, Arrow, pandas, Polars, dicts of arrays) into batches, whole columns at a time.

Types are those of the table, so a column that does not fit the stream is an error of the whole input. NaN (that is how
frames say "missing") and infinities are null; an integer that float64 cannot represent exactly rejects its row.
"""

from __future__ import annotations

import hashlib
import json
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from operators.aggregates.json_values import decimal_text
from operators.nearest import listed, meant
from operators.types import DECIMALS, Type
from runtime.errors import IngestError, SchemaConflict
from runtime.ingest.columns.assemble import Assembler, whole_key
from runtime.ingest.columns.batch import Batch, Values
from runtime.ingest.columns.column_types import TOO_MANY, beyond, commonest
from runtime.ingest.columns.erased_keys import NEVER
from runtime.ingest.columns.interned_strings import InternedStrings
from runtime.ingest.columns.null_words import INFINITY, NOT_A_NUMBER
from runtime.ingest.columns.placing import SHOWN, first_of
from runtime.ingest.inputs.settings import Settings
from runtime.ingest.report import Example, utc_text
from runtime.ingest.tabular.arrays import mapping_chunks
from runtime.ingest.tabular.arrow import ipc_chunks, parquet_chunks
from runtime.ingest.tabular.arrow_tables import table_chunks
from runtime.ingest.tabular.decoded import Chunk, Decoded, twin_name, with_twins
from runtime.ingest.tabular.fitting import fitted
from runtime.ingest.tabular.shaped_tables import renamed, shaped
from runtime.ingest.text.json_strict import name_fault
from runtime.ingest.text.tokens import KINDS, NULL

CHUNK_ROWS = 1 << 19
_NOT_IN_JSON = (Type.TIME, Type.DURATION, *DECIMALS)
"""Types that a rejected row as JSON does not show."""

Mask = NDArray[np.bool_]


def table_size(table: Any) -> int | None:
    """Rows of a table, if they are known without a query."""
    if isinstance(table, Mapping):
        return len(next(iter(table.values()))) if table else 0
    is_there = type(table).__module__.partition(".")[0] in ("pyarrow", "pandas", "polars")
    return len(table) if is_there and hasattr(table, "__len__") else None


def read_parquet(pieces: Iterator[bytes], settings: Settings, assembler: Assembler, name: str) -> Iterator[Batch]:
    """The accepted rows of a Parquet file, which is copied to a temporary file, because Parquet is read from its
    end."""
    return _read_copy(parquet_chunks, pieces, TypedColumns(settings, assembler, name), name)


def read_ipc(pieces: Iterator[bytes], settings: Settings, assembler: Assembler, name: str) -> Iterator[Batch]:
    """The accepted rows of an Arrow IPC file or stream, which is copied to a temporary file, too."""
    return _read_copy(ipc_chunks, pieces, TypedColumns(settings, assembler, name), name)


def _read_copy(
    chunks_of: Callable[..., Iterator[Chunk]], pieces: Iterator[bytes], typed: TypedColumns, name: str
) -> Iterator[Batch]:
    with _as_file(pieces, typed.assembler) as file:
        for number, chunk in enumerate(chunks_of(file, name, typed.assembler.most or CHUNK_ROWS, typed.words)):
            yield typed.take(chunk, number)


@contextmanager
def _as_file(pieces: Iterator[bytes], assembler: Assembler) -> Iterator[BinaryIO]:
    """The content as a file that can be read from its end: the source itself, or a copy that is gone afterwards."""
    if assembler.file is not None:
        assembler.file.seek(0)
        yield assembler.file
        return
    with tempfile.TemporaryFile() as file:
        for piece in pieces:
            file.write(piece)
        file.seek(0)
        yield file


def read_table(table: Any, settings: Settings, assembler: Assembler, name: str) -> TableReader:
    """A table in memory, ready to be read."""
    return TableReader(table, TypedColumns(settings, assembler, name), name)


class TableReader:
    """Reads a table in memory; ``digest`` and ``nbytes`` are those of its columns, valid after all batches were
    taken."""

    def __init__(self, table: Any, typed: TypedColumns, name: str) -> None:
        self._table, self._typed, self._name = table, typed, name
        self._sha = hashlib.sha256()
        self.nbytes = 0

    @property
    def digest(self) -> str:
        """SHA-256 over names, types and values."""
        return self._sha.hexdigest()

    def batches(self) -> Iterator[Batch]:
        """The accepted rows."""
        for number, chunk in enumerate(self._chunks()):
            self._note(chunk)
            yield self._typed.take(chunk, number)

    def _chunks(self) -> Iterator[Chunk]:
        words = self._typed.words
        if isinstance(self._table, Mapping):
            return mapping_chunks(self._table, self._name, CHUNK_ROWS, words)
        return table_chunks(self._table, self._name, CHUNK_ROWS, words)

    def _note(self, chunk: Chunk) -> None:
        for name, column in with_twins(chunk).items():
            self._sha.update(f"{name}\0{column.type}\0{len(column.values)}\0".encode())
            parts = [np.ascontiguousarray(column.values)]
            if column.valid is not None:
                parts.append(np.packbits(column.valid))
            if column.infinite is not None:
                parts.append(np.packbits(column.infinite))
            for part in parts:
                self._sha.update(part.data)
                self.nbytes += part.nbytes
            if column.type is Type.STRING:  # codes show which strings are equal; each string is hashed once
                words = self._typed.words(name)
                new = words.text_from(self._typed.noted.get(name, 0))
                self._typed.noted[name] = len(words)
                self._sha.update(new)
                self.nbytes += len(new)


class TypedColumns:
    """Settles typed columns against the stream, as ``Assembler`` does for cells."""

    def __init__(self, settings: Settings, assembler: Assembler, name: str) -> None:
        self._settings, self.assembler, self._name = settings, assembler, name
        self._time = assembler.time
        self.noted: dict[str, int] = {}
        self._row = 0

    def words(self, column: str) -> InternedStrings:
        """The words of a string column."""
        words = self.assembler.words
        if column not in words:
            words[column] = InternedStrings()
            self.noted[column] = 0
        return words[column]

    def take(self, chunk: Chunk, number: int) -> Batch:
        """The accepted rows of a chunk."""
        settings, assembler = self._settings, self.assembler
        assembler.offer(chunk)
        chunk, cells = renamed(chunk, settings.names(), assembler.words, self._name), None
        whole = chunk
        if assembler.shaping is not None:
            chunk, cells = shaped(chunk, settings, assembler.shaping, self.words, self._row + 1)
        for name in (settings.key, settings.time):
            if name not in chunk:
                raise IngestError(
                    f"{self._name} has no column {name!r}; {meant(name, chunk, 'it')} has {listed(chunk)}: check --key "
                    "and --time."
                )
            if chunk[name].left_out:
                raise IngestError(f"{self._name}: column {name!r} cannot be read: {chunk[name].left_out}.")
        reasons: dict[int, str] = {}
        given = chunk[settings.key]
        for twin in given.twins.values():
            _note(reasons, _present(twin), f"key: column {settings.key} is not {given.type}")
        if given.type is Type.DECIMAL_0:
            given = fitted(given, Type.INT, settings.key, self.words) or given
        key = self._without_empty(given, reasons)
        if key.valid is not None and settings.missing_key is None:
            _note(reasons, ~key.valid, f"key: column {settings.key} is missing or null")
        time = self._times(chunk[settings.time], reasons)
        good = np.ones(len(time), np.bool_)
        good[list(reasons)] = False
        if assembler.time.after is not None:  # other faults were counted when the table was first read
            good &= time > assembler.time.after
            reasons = {}
        if assembler.erased:
            assembler.leave_out(self._erased_until(key), good, reasons, time)
        columns: dict[str, Values] = {}
        keys = self._key(key, good)
        for name, column in self._others(chunk, good).items():
            columns.update(self._placed(name, column, good))
        if cells is not None:
            for at, name in enumerate(cells.names[2:], 2):
                if (kinds := cells.kind[at][good & (cells.kind[at] > NULL)]).any():
                    counts = np.bincount(kinds, minlength=KINDS)
                    order = list(dict.fromkeys(kinds.tolist()))
                    if (type_ := commonest(counts, order)) is not None:
                        assembler.columns.settle(name, type_)
            columns.update(assembler.placed(cells, good))
        assembler.rejects.add_rows((self._row + row, reasons[row], self._text(whole, row)) for row in sorted(reasons))
        types = {n: c.type for n, c in whole.items() if c.type in _NOT_IN_JSON}
        assembler.rejects.types = {**types, **assembler.rejects.types}
        taken = int(np.count_nonzero(good))
        assembler.rows_read += len(reasons) + taken
        self._row += len(time)
        batch = Batch(keys, time, columns)
        return batch if taken == len(time) else batch.take(np.flatnonzero(good))

    def _erased_until(self, key: Decoded) -> NDArray[np.int64]:
        """For each row the time up to which points of its key are left out, because it was erased."""
        erased, missing = self.assembler.erased, self._settings.missing_key
        until = np.full(len(key.values), NEVER, np.int64)
        if erased is None or key.type not in (Type.STRING, Type.INT):
            return until
        present = _present(key)
        if missing is not None:
            of = missing if key.type is Type.STRING else whole_key(missing, self._settings.key)
            until[~present] = erased.until_of(of)
        words = self.words(self._settings.key) if key.type is Type.STRING else None
        until[present] = erased.until(key.type, key.values[present], words)
        return until

    def _others(self, chunk: Chunk, good: Mask) -> Chunk:
        """The value columns and their twins, of the stream's types where values fit them; notes what is not in them."""
        types, notes = self.assembler.types, self.assembler.notes
        found: Chunk = {}
        for name, column in chunk.items():
            said = f"column {name} left out: {column.left_out}" if column.left_out else ""
            if name in (self._settings.key, self._settings.time):
                continue
            if not column.left_out:
                said = f"column {name}: {column.note}" if column.note else ""
                same = types.get(name, column.type) is column.type
                found[name] = column if same else fitted(column, types[name], name, self.words) or column
                for word, mask in ((NOT_A_NUMBER, column.nan), (INFINITY, column.infinite)):
                    if mask is not None and (rows := mask & good).any():
                        note = notes.of(name)
                        note.nulls[word] += int(np.count_nonzero(rows))
                        note.missing.setdefault(word, Example(word, self._row + int(rows.argmax()) + 1))
                for suffix, twin in found[name].twins.items():
                    self._note_twin(name, suffix, twin, good & _present(twin))
            if said and said not in notes.sentences:
                notes.sentences.append(said)
        return with_twins(found)

    def _note_twin(self, name: str, suffix: str, twin: Decoded, rows: Mask) -> None:
        if not rows.any():
            return
        note, row = self.assembler.notes.of(name), int(rows.argmax())
        note.twins[suffix] += int(np.count_nonzero(rows))
        note.examples.setdefault(suffix, self._example(twin, twin_name(name, suffix), row))

    def _example(self, column: Decoded, name: str, row: int) -> Example:
        """A value as text, with its row."""
        if column.type is Type.STRING:
            shown = self.words(name).text(int(column.values[row]), SHOWN)
        else:
            shown = self._json(column, name, row).strip('"')
        return Example(shown, self._row + row + 1)

    def _text(self, chunk: Chunk, row: int) -> str:
        """A row as a JSON record, as it would be ingested from JSON: times are texts, decimals numbers. What is in a
        twin is under the column's own name, as it was in the table."""
        record: dict[str, str] = {}
        for name, column in chunk.items():
            for suffix, part in (("", column), *column.twins.items()):
                if part.valid is None or part.valid[row]:
                    of = twin_name(name, suffix) if suffix else name
                    is_json = suffix == "json" and part.type is Type.STRING
                    record[name] = self.words(of).text(int(part.values[row])) if is_json else self._json(part, of, row)
        return "{" + ", ".join(f"{json.dumps(n, ensure_ascii=False)}: {text}" for n, text in record.items()) + "}"

    def _json(self, column: Decoded, name: str, row: int) -> str:
        value = column.values[row].item()
        if column.type.places is not None:
            return decimal_text(int(value), column.type.places)
        if column.type is Type.STRING:
            value = self.words(name).text(value)
        elif column.type is Type.TIME:
            value = utc_text(value)
        elif column.type is Type.BOOL:
            value = bool(value)
        return json.dumps(value, ensure_ascii=False)

    def _without_empty(self, key: Decoded, reasons: dict[int, str]) -> Decoded:
        """The keys without empty texts, which are missing."""
        code = self.words(self._settings.key).empty() if key.type is Type.STRING else None
        empty = key.values == code if code is not None else np.zeros(len(key.values), np.bool_)
        if key.valid is not None:
            empty &= key.valid
        if not empty.any():
            return key
        if self._settings.missing_key is None:
            _note(reasons, empty, f"key: column {self._settings.key} is empty")
        return Decoded(key.type, key.values, ~empty if key.valid is None else key.valid & ~empty)

    def _key(self, column: Decoded, good: Mask) -> Values:
        types, key = self.assembler.columns, self._settings.key
        present = good if column.valid is None else good & column.valid
        if not present.any():
            found = types.key_type or (column.type if column.type is Type.INT else Type.STRING)
        elif column.type in (Type.STRING, Type.INT):
            found = column.type
        else:
            raise IngestError(
                f"{self._name}: the key column {key!r} is {column.type}, but a key is a string or an integer."
            )
        if types.key_type is None and good.any():
            types.key_type = found
        if types.key_type is not None and types.key_type is not found:
            raise SchemaConflict(f"{self._name}: the key {key!r} is {found}, but the stream's is {types.key_type}.")
        values = column.values if column.type is found else np.zeros(len(column.values), found.dtype)
        missing = self._settings.missing_key
        if missing is not None and not present[good].all():
            stand_in = self.words(key).codes_of([missing])[0] if found is Type.STRING else whole_key(missing, key)
            values = np.where(present, values, stand_in).astype(found.dtype)
        return Values(found, values, None)

    def _times(self, column: Decoded, reasons: dict[int, str]) -> NDArray[np.int64]:
        name = self._settings.time
        valid = _present(column)
        for suffix, twin in column.twins.items():
            words = self.words(twin_name(name, suffix))
            for row in np.flatnonzero(_present(twin)).tolist():
                early = twin.type is Type.STRING and words.text(int(twin.values[row]), 1) == "-"
                reasons.setdefault(row, f"time: column {name} is {'before 1970' if early else 'after 2261'}")
        if column.infinite is not None:
            _note(reasons, column.infinite, f"time: column {name} is infinite")
        times, late = self._time.read_column(column.type, column.values, valid, column.zone, self.words(name))
        for row, reason in late.items():
            reasons.setdefault(row, reason)
        return times

    def _placed(self, name: str, column: Decoded, good: Mask) -> Iterator[tuple[str, Values]]:
        """The columns that get the good rows' values: the column itself, and its twin of another type."""
        types, notes = self.assembler.columns, self.assembler.notes
        values: NDArray[Any] = column.values
        present = good if column.valid is None else good & column.valid
        if not present.any():
            if good.any() and name_fault(name) is None:
                # Frames have NaN for missing, and then say float64 of any column.
                self.assembler.note_empty(name, None if column.type is Type.FLOAT else column.type)
            return
        fault = None if name in types.types else name_fault(name)
        if fault is None and name not in types.types and not types.settle(name, column.type):
            fault = TOO_MANY
        if fault is not None:
            notes.left_out[fault] += int(np.count_nonzero(present))
            return
        main, fits = types.types[name], present
        if {main, column.type} <= {Type.INT, Type.FLOAT}:
            wide = present & beyond(values) if column.type is Type.INT else np.zeros(len(good), np.bool_)
            real = present if column.type is Type.FLOAT else np.zeros(len(good), np.bool_)
            main = types.number_type(name, first_of(wide), first_of(real))
            if main is not column.type:
                fits = present & ~wide if main is Type.FLOAT else np.zeros(len(good), np.bool_)
        elif main is not column.type:
            fits = np.zeros(len(good), np.bool_)
        if fits.any():
            yield name, Values(main, np.where(fits, values, 0).astype(main.dtype, copy=False), _valid(fits))
        rest = present & ~fits
        if not rest.any():
            return
        twin, count = twin_name(name, str(column.type)), int(np.count_nonzero(rest))
        if not types.settle(twin, column.type):
            notes.left_out[TOO_MANY] += count
            return
        note = notes.of(name)
        note.twins[str(column.type)] += count
        note.examples.setdefault(str(column.type), self._example(column, name, int(rest.argmax())))
        if column.type is Type.STRING:
            yield twin, Values(column.type, self._as_twin(name, twin, values, rest), _valid(rest))
        else:
            yield (
                twin,
                Values(column.type, np.where(rest, values, 0).astype(column.type.dtype, copy=False), _valid(rest)),
            )

    def _as_twin(self, name: str, twin: str, codes: NDArray[Any], rows: Mask) -> NDArray[np.int32]:
        """The codes of a column's texts, in the words of its twin."""
        out = np.zeros(len(codes), np.int32)
        out[rows] = self.words(name).copied(codes[rows], self.words(twin))
        return out


def _present(column: Decoded) -> Mask:
    return np.ones(len(column), np.bool_) if column.valid is None else column.valid


def _valid(rows: Mask) -> Mask | None:
    return None if rows.all() else rows


def _note(reasons: dict[int, str], rows: Mask, reason: str) -> None:
    if rows.any():
        for row in np.flatnonzero(rows).tolist():
            reasons.setdefault(row, reason)
