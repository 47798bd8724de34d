"""Tables as files, written a batch of rows at a time: Parquet, CSV, NDJSON."""

from __future__ import annotations

import gzip
import io
import math
from collections.abc import Callable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
import orjson
import zstandard

from operators.errors import DataflowError
from operators.nearest import meant
from operators.types import Type
from runtime.columns import Column
from runtime.display.export import csv_header, csv_rows, iso_times, need, to_arrow
from runtime.display.pieces import pieces

Types = Mapping[str, Type]

GROUP_ROWS, GROUP_BYTES = 1 << 20, 1 << 26
"""A row group of a Parquet file has so many rows, or bytes in memory, or a few more."""

FORMS = ("parquet", "csv", "ndjson")

_LINES = 4096
_ENDINGS = {
    ".parquet": "parquet", ".csv": "csv", ".ndjson": "ndjson", ".jsonl": "ndjson",
}  # fmt: skip
_PACKED: dict[str, Callable[[BinaryIO], Any]] = {
    ".gz": lambda out: gzip.GzipFile("", "wb", 6, out, mtime=0),
    ".zst": lambda out: zstandard.ZstdCompressor().stream_writer(out, closefd=False),
}


class TableFile(Protocol):
    """A table being written; every batch has the columns, and their types, that the table was begun with."""

    def write(self, columns: Mapping[str, Column]) -> None:
        """Append the rows."""

    def finish(self) -> None:
        """Write the rest; without it the file is not complete."""


def form_of(path: Path) -> str:
    """The form that a file's name says: ``parquet``, ``csv`` or ``ndjson``; else DataflowError."""
    ending = path.with_suffix("").suffix if path.suffix.lower() in _PACKED else path.suffix
    form = _ENDINGS.get(ending.lower())
    if form is None or (form == "parquet" and path.suffix.lower() in _PACKED):
        there = meant(ending, _ENDINGS, "end it in")
        raise DataflowError(
            f"{path}: the name does not say a form; {there} {', '.join(_ENDINGS)} (text also .gz, .zst), or give one "
            "with --format"
        )
    return form


def table_file(form: str, out: BinaryIO, types: Types, name: str = "") -> TableFile:
    """A table of this form and these columns, written to ``out``; text is compressed if ``name`` ends in .gz or .zst.

    ``MissingLibraryError`` for Parquet without pyarrow.
    """
    if form == "parquet":
        return ParquetTable(out, types)
    packed = _PACKED.get(Path(name).suffix.lower())
    stream = out if packed is None else packed(out)
    return (CsvTable if form == "csv" else NdjsonTable)(stream, types, packed is not None)


def write_table(out: BinaryIO, form: str, columns: Mapping[str, Column]) -> None:
    """A whole table in memory, as a file of this form, written a piece at a time."""
    table = table_file(form, out, {name: column.type for name, column in columns.items()})
    for piece in pieces(columns):
        table.write(piece)
    table.finish()


class CsvTable:
    """CSV with a header. Null is an empty field, the empty string ``""``; text is as it is, also what a spreadsheet
    would run."""

    def __init__(self, out: Any, types: Types, close: bool = False) -> None:
        self._out, self._close = out, close
        out.write(csv_header(types).encode())

    def write(self, columns: Mapping[str, Column]) -> None:
        """See TableFile."""
        self._out.write("".join(csv_rows(columns)).encode())

    def finish(self) -> None:
        """See TableFile."""
        if self._close:
            self._out.close()


class NdjsonTable:
    """A JSON object per line, with all columns. Numbers have all their digits; times are ISO-8601 text in UTC with
    microseconds, durations whole microseconds; NaN and the infinities, which JSON lacks, are text."""

    def __init__(self, out: Any, types: Types, close: bool = False) -> None:
        self._out, self._close = out, close

    def write(self, columns: Mapping[str, Column]) -> None:
        """See TableFile."""
        names = list(columns)
        cells = [_json_cells(column) for column in columns.values()]
        rows = (dict(zip(names, row, strict=True)) for row in zip(*cells, strict=True))
        # A few at once: orjson reserves a kilobyte and more for each.
        while part := [orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE) for row in islice(rows, _LINES)]:
            self._out.write(b"".join(part))

    def finish(self) -> None:
        """See TableFile."""
        if self._close:
            self._out.close()


class ParquetTable:
    """Parquet, compressed with zstd. Times are timestamps in UTC with microseconds, durations int64 microseconds that
    Arrow's readers know as durations, text plain strings, decimals decimals."""

    def __init__(self, out: BinaryIO, types: Types) -> None:
        pa, pq = need("pyarrow", "parquet"), need("pyarrow.parquet", "parquet")
        self._arrow = pa
        empty = _arrow_table({name: _empty(type_) for name, type_ in types.items()})
        self._writer = pq.ParquetWriter(_Counted(out), empty.schema, compression="zstd")
        self._held: list[Any] = []
        self._rows = self._bytes = 0

    def write(self, columns: Mapping[str, Column]) -> None:
        """See TableFile."""
        table = _arrow_table(columns)
        self._held.append(table)
        self._rows += table.num_rows
        self._bytes += table.nbytes
        if self._rows >= GROUP_ROWS or self._bytes >= GROUP_BYTES:
            self._flush()

    def finish(self) -> None:
        """See TableFile."""
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        if self._held:
            self._writer.write_table(self._arrow.concat_tables(self._held), row_group_size=GROUP_ROWS)
        self._held, self._rows, self._bytes = [], 0, 0


class _Counted(io.RawIOBase):
    """A file that counts what is written to it: a pipe does not know its own position."""

    def __init__(self, out: BinaryIO) -> None:
        self._out, self._at = out, 0

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        if not self._out.closed:  # pyarrow's writer ends the file even if writing it was given up
            self._out.write(data)
        self._at += memoryview(data).nbytes
        return memoryview(data).nbytes

    def tell(self) -> int:
        return self._at


def _empty(type_: Type) -> Column:
    return Column(type_, np.zeros(0, type_.dtype))


def _arrow_table(columns: Mapping[str, Column]) -> Any:
    """The columns as an Arrow table, its text plain."""
    table = to_arrow(columns)
    for at, column in enumerate(columns.values()):
        if column.type.is_text:
            plain = table.column(at).combine_chunks().dictionary_decode()
            table = table.set_column(at, table.field(at).name, plain)
    return table


def _json_cells(column: Column) -> list[Any]:
    """The values of a column as orjson takes them."""
    match column.type:
        case Type.TIME:
            return list(iso_times(column))
        case Type.FLOAT:
            return [_json_float(v) if isinstance(v, float) else None for v in column.to_list()]
        case Type.JSON:
            return [None if t is None else orjson.Fragment(t) for t in column.texts()]
        case _ if column.type.places is not None:
            return [None if v is None else orjson.Fragment(format(v, "f")) for v in column.to_list()]
        case _:
            return column.to_list()


def _json_float(value: float) -> object:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
