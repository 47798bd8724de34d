"""Tables (Parquet, Arrow, pandas, Polars, dicts of arrays) into batches, whole columns at a time.

Types are those of the table, so a column that does not fit the stream is an error of the whole input. NaN (that is how
frames say "missing") and infinities are null; an integer that float64 cannot represent exactly rejects its row.
"""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.nearest import listed, meant
from operators.types import Type
from runtime.errors import IngestError, SchemaConflict
from runtime.ingest.columns.assemble import Assembler, whole_key
from runtime.ingest.columns.batch import Batch, Values
from runtime.ingest.columns.column_types import MAX_COLUMNS, TOO_BIG, TOO_FINE, beyond
from runtime.ingest.columns.event_times import SHIFTS, scaled
from runtime.ingest.columns.interned_strings import InternedStrings
from runtime.ingest.inputs.settings import Settings
from runtime.ingest.tabular.arrays import mapping_chunks
from runtime.ingest.tabular.arrow import ipc_chunks, parquet_chunks
from runtime.ingest.tabular.arrow_tables import table_chunks
from runtime.ingest.tabular.decoded import Chunk, Decoded, twin_name, with_twins
from runtime.ingest.tabular.fitting import fitted
from runtime.ingest.text.json_strict import name_fault
from runtime.ingest.text.tokens import BAD_TIME, TOO_LATE

CHUNK_ROWS = 1 << 19
Mask = NDArray[np.bool_]
_FAR = re.compile(r"[+-]?\d{5}")
"""The year of a time, or the beginning of a number, that is out of range."""


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
    with tempfile.TemporaryFile() as file:
        for piece in pieces:
            file.write(piece)
        file.seek(0)
        for number, chunk in enumerate(chunks_of(file, name, CHUNK_ROWS, typed.words)):
            yield typed.take(chunk, number)


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
    """Settles typed columns against the stream, as ``Assembler`` does for cells.

    By column: ``left_out`` says why it is not taken, ``notes`` what was converted; ``nan`` and ``infinite`` count the
    floats of accepted rows that are null because they are no numbers.
    """

    def __init__(self, settings: Settings, assembler: Assembler, name: str) -> None:
        self._settings, self._assembler, self._name = settings, assembler, name
        self._time = assembler.time
        self.noted: dict[str, int] = {}
        self.left_out: dict[str, str] = {}
        self.notes: dict[str, str] = {}
        self.nan: Counter[str] = Counter()
        self.infinite: Counter[str] = Counter()
        self._row = 0

    def words(self, column: str) -> InternedStrings:
        """The words of a string column."""
        words = self._assembler.words
        if column not in words:
            words[column] = InternedStrings()
            self.noted[column] = 0
        return words[column]

    def take(self, chunk: Chunk, number: int) -> Batch:
        """The accepted rows of a chunk."""
        settings, assembler = self._settings, self._assembler
        for name in (settings.key, settings.time):
            if name not in chunk:
                raise IngestError(
                    f"{self._name} has no column {name!r}; {meant(name, chunk, 'it')} has {listed(chunk)}: check --key "
                    "and --time."
                )
            if chunk[name].left_out:
                raise IngestError(f"{self._name}: column {name!r} cannot be read: {chunk[name].left_out}.")
        others = self._others(chunk)
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
        self._count(chunk, good)
        misfits = [self._misfits(name, column, good) for name, column in others.items()]
        for rows, reason in misfits:
            _note(reasons, rows, reason)
        good[list(reasons)] = False
        columns: dict[str, Values] = {}
        keys = self._key(key, good)  # last, because rejected rows settle no type
        for name, column in others.items():
            if (kept := self._column(name, column, good)) is not None:
                columns[name] = kept
        assembler.rejects.add_rows((self._row + row, reasons[row]) for row in sorted(reasons))
        taken = int(np.count_nonzero(good))
        assembler.rows_read += len(reasons) + taken
        self._row += len(time)
        batch = Batch(keys, time, columns)
        return batch if taken == len(time) else batch.take(np.flatnonzero(good))

    def _others(self, chunk: Chunk) -> Chunk:
        """The value columns and their twins, of the stream's types where values fit them."""
        types, found = self._assembler.types, {}
        for name, column in chunk.items():
            if column.left_out:
                self.left_out[name] = column.left_out
            elif name not in (self._settings.key, self._settings.time):
                if column.note:
                    self.notes[name] = column.note
                same = types.get(name, column.type) is column.type
                found[name] = column if same else fitted(column, types[name], name, self.words) or column
        return with_twins(found)

    def _count(self, chunk: Chunk, good: Mask) -> None:
        for name, column in chunk.items():
            for counts, mask in ((self.nan, column.nan), (self.infinite, column.infinite)):
                if mask is not None and (mask & good).any():
                    counts[name] += int(np.count_nonzero(mask & good))

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
        types, key = self._assembler.columns, self._settings.key
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
        name, unit = self._settings.time, self._settings.unit
        values = column.values
        valid = np.ones(len(values), np.bool_) if column.valid is None else column.valid
        self._note_others(column, reasons)
        if column.infinite is not None:
            _note(reasons, column.infinite, f"time: column {name} is infinite")
        if column.type is Type.TIME:
            out = values.astype(np.int64)
        elif column.type is Type.STRING and unit in (None, "iso"):
            words = self.words(name)
            out = words.iso_times()[values] if len(words) else np.zeros(len(values), np.int64)
            _note(reasons, valid & (out == BAD_TIME), f"time: column {name} is not ISO-8601 text")
        elif column.type in (Type.INT, Type.FLOAT) and unit in SHIFTS:
            if column.type is Type.INT:
                out = scaled(values.astype(np.int64), str(unit))
            else:
                scale = 10.0 ** SHIFTS[str(unit)]
                with np.errstate(over="ignore", invalid="ignore"):
                    real = np.rint(values.astype(np.float64) * scale) if scale >= 1 else np.floor(values * scale)
                    out = np.where(valid & (real < 2.0**62), np.maximum(real, -1.0), 0.0).astype(np.int64)
                out[valid & (real >= 2.0**62)] = TOO_LATE
        elif column.type.places is not None and unit in SHIFTS:
            shift = SHIFTS[str(unit)] - column.type.places
            whole, factor = values // 10 ** max(-shift, 0), 10 ** max(shift, 0)
            far = whole > TOO_LATE // factor
            out = np.where(far, TOO_LATE, np.maximum(np.where(far, 0, whole), -1) * factor)
        elif valid.any():
            raise IngestError(
                f"{self._name}: the time column {name!r} is {column.type}: numbers need a unit (--unit s, ms, us or "
                "ns), text must be ISO-8601 and is not declared with another unit."
            )
        else:
            out = np.zeros(len(values), np.int64)
        _note(reasons, ~valid, f"time: column {name} is missing or null")
        self._time.bounded(np.where(valid, out, 0), reasons)
        return np.where(valid, out, 0)

    def _note_others(self, column: Decoded, reasons: dict[int, str]) -> None:
        """Reject times of another type than the column's, and those that 64 bits cannot hold, by their texts."""
        name = self._settings.time
        for suffix, twin in column.twins.items():
            rows = np.flatnonzero(_present(twin))
            why = [f"is not {column.type}"] * len(rows)
            if suffix == "string":
                places, words = self.words(twin_name(name, suffix)).compact(twin.values[rows])
                far = [_FAR.match(text) for text in words.strings]
                bounds = [m and ("is before 1970" if m[0][0] == "-" else "is after 2261") for m in far]
                why = [bounds[place] or other for place, other in zip(places.tolist(), why, strict=True)]
            for row, reason in zip(rows.tolist(), why, strict=True):
                reasons.setdefault(row, f"time: column {name} {reason}")

    def _misfits(self, name: str, column: Decoded, good: Mask) -> tuple[Mask, str]:
        """Good rows that the column rejects, and why."""
        types = self._assembler.columns
        present = good if column.valid is None else good & column.valid
        type_ = types.types.get(name, column.type)
        if column.type is Type.FLOAT:
            if type_ is Type.INT and present.any() and not types.may_widen(name):
                return present, f"type: column {name} is {type_}, got {TOO_FINE}"
            return np.zeros(len(good), np.bool_), ""
        if type_ is Type.FLOAT and column.type is Type.INT:
            return present & beyond(column.values), f"type: column {name} is {type_}, got {TOO_BIG}"
        return np.zeros(len(good), np.bool_), ""

    def _column(self, name: str, column: Decoded, good: Mask) -> Values | None:
        """The column with the type settled by its accepted rows; None if it has no value in them."""
        present = good if column.valid is None else good & column.valid
        if not present.any():
            return None
        types = self._assembler.columns
        type_ = types.types.get(name)
        if type_ is None:
            fault = name_fault(name)
            if fault or len(types.types) >= MAX_COLUMNS:
                why = fault or f"the stream has {MAX_COLUMNS:,} columns already"
                raise IngestError(f"{self._name}: column {name!r:.80} cannot be taken: {why}.")
        values: NDArray[Any] = column.values
        if type_ is Type.FLOAT and column.type is Type.INT:
            values = values.astype(np.float64)
        elif type_ is None or type_ is column.type or (type_ is Type.INT and column.type is Type.FLOAT):
            wide = column.type is Type.INT and bool((present & beyond(values)).any())
            types.settle(name, column.type, wide)
        else:
            raise SchemaConflict(
                f"{self._name}: column {name!r} is {column.type}, but in the stream it is {type_}: convert it, leave "
                "it out, or rename it."
            )
        return Values(types.types[name], values, column.valid)


def _present(column: Decoded) -> Mask:
    return np.ones(len(column), np.bool_) if column.valid is None else column.valid


def _note(reasons: dict[int, str], rows: Mask, reason: str) -> None:
    if rows.any():
        for row in np.flatnonzero(rows).tolist():
            reasons.setdefault(row, reason)
