"""Arrow data (tables, data frames, Parquet) as typed columns; ingest imports pyarrow only here."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, BinaryIO, cast

import numpy as np
from numpy.typing import NDArray

from operators.types import Type
from runtime.errors import IngestError
from runtime.ingest.columns.interned_strings import InternedStrings
from runtime.ingest.tabular.arrays import Decoded, reals

_FEW = 1 << 16
WordsOf = Callable[[str], InternedStrings]


def _pyarrow() -> Any:
    try:
        import pyarrow
    except ImportError as error:
        raise IngestError(
            "Parquet, Arrow tables and data frames need pyarrow: pip install 'antfold[parquet]'."
        ) from error
    return pyarrow


def parquet_chunks(file: BinaryIO | Any, name: str, rows: int, words: WordsOf) -> Iterator[dict[str, Decoded]]:
    """A Parquet file's rows, some at a time."""
    pa = _pyarrow()
    import pyarrow.parquet as pq

    try:
        # For few rows, do not read whole columns of a row group.
        options: dict[str, Any] = {"pre_buffer": False, "buffer_size": 1 << 16} if rows < _FEW else {}
        parquet = pq.ParquetFile(file, **options)
        for batch in parquet.iter_batches(batch_size=rows):
            yield _decoded(pa, pa.Table.from_batches([batch]), name, words)
    except (pa.ArrowException, OSError) as error:
        text = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise IngestError(f"{name} cannot be read as Parquet: {text}. Nothing of it was ingested.") from error


def table_chunks(table: Any, name: str, rows: int, words: WordsOf) -> Iterator[dict[str, Decoded]]:
    """The rows of an Arrow table, a record batch or a data frame, some at a time."""
    pa = _pyarrow()
    home = type(table).__module__.partition(".")[0]
    try:
        if home == "pandas":
            table = pa.Table.from_pandas(table, preserve_index=False)
        elif isinstance(table, pa.RecordBatch):
            table = pa.Table.from_batches([table])
        elif not isinstance(table, pa.Table):
            table = pa.table(table)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise IngestError(f"{name} cannot be read as a table: {error}") from error
    # An empty table has a first chunk, too: its columns are checked.
    for at in range(0, max(table.num_rows, 1), rows):
        yield _decoded(pa, table.slice(at, rows), name, words)


def _decoded(pa: Any, table: Any, name: str, words: WordsOf) -> dict[str, Decoded]:
    while any(pa.types.is_struct(field.type) for field in table.schema):
        table = table.flatten()
    if len(set(table.column_names)) != table.num_columns:
        raise IngestError(f"{name} has two columns of one name (nested ones are named with dots): rename one.")
    return {n: _column(pa, table.column(n), n, name, words) for n in table.column_names}


def _column(pa: Any, column: Any, column_name: str, name: str, words: WordsOf) -> Decoded:
    types, kind = pa.types, column.type
    column = column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)
    if types.is_run_end_encoded(kind):
        import pyarrow.compute as pc

        column = pc.run_end_decode(column)
        kind = column.type
    valid = None
    if column.null_count:
        valid = column.is_valid().to_numpy(zero_copy_only=False)
    if types.is_dictionary(kind) or types.is_string(kind) or types.is_large_string(kind) or _is_view(types, kind):
        if types.is_dictionary(kind) and not _is_text(types, kind.value_type):
            return _column(pa, pa.chunked_array([column.dictionary_decode()]), column_name, name, words)
        return Decoded(Type.STRING, _codes(pa, column, words(column_name)), valid)
    if types.is_boolean(kind):
        return Decoded(Type.BOOL, _filled(pa, column, False).astype(np.uint8), valid)
    if types.is_uint64(kind) and valid is None and len(column):
        big = column.to_numpy(zero_copy_only=False)
        if int(big.max()) >= 2**63:
            raise IngestError(f"{name}: column {column_name!r} has integers that do not fit in int64.")
    if types.is_integer(kind):
        try:
            return Decoded(Type.INT, _filled(pa, column.cast(pa.int64()), 0), valid)
        except pa.ArrowInvalid as error:
            raise IngestError(f"{name}: column {column_name!r} has integers that do not fit in int64.") from error
    if types.is_floating(kind):
        found = reals(_filled(pa, column.cast(pa.float64()), float("nan")))
        return found
    if types.is_timestamp(kind) or types.is_duration(kind) or types.is_date(kind):
        return _times(pa, column, kind, valid)
    if types.is_null(kind):
        return Decoded(Type.FLOAT, np.zeros(len(column)), np.zeros(len(column), np.bool_))
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return Decoded(Type.STRING, _arrays(column, column_name, name, words), valid)
    raise IngestError(
        f"{name}: column {column_name!r} has the type {kind}, which is not supported: convert it (to float64, int64, "
        "string or a timestamp) or leave it out."
    )


def _is_view(types: Any, kind: Any) -> bool:
    return bool(getattr(types, "is_string_view", lambda _: False)(kind))


def _is_text(types: Any, kind: Any) -> bool:
    return bool(types.is_string(kind) or types.is_large_string(kind) or _is_view(types, kind))


def _filled(pa: Any, column: Any, value: object) -> NDArray[Any]:
    if column.null_count:
        column = column.fill_null(value)
    return cast("NDArray[Any]", column.to_numpy(zero_copy_only=False))


def _times(pa: Any, column: Any, kind: Any, valid: NDArray[np.bool_] | None) -> Decoded:
    if pa.types.is_date(kind):
        column, unit = column.cast(pa.timestamp("ms")), "ms"
    else:
        unit = kind.unit
    raw = _filled(pa, column.view(pa.int64()) if hasattr(column, "view") else column.cast(pa.int64()), 0)
    if unit == "ns":
        micros = raw // 1000
    else:
        factor = {"s": 1_000_000, "ms": 1000, "us": 1}[unit]
        limit = (2**63 - 1) // factor
        micros = np.clip(raw, -limit, limit) * factor
    return Decoded(Type.DURATION if pa.types.is_duration(kind) else Type.TIME, micros, valid)


def _codes(pa: Any, column: Any, words: InternedStrings) -> NDArray[np.int32]:
    """Codes of a string column; looks up only its distinct strings."""
    if not pa.types.is_dictionary(column.type):
        if _is_view(pa.types, column.type):
            column = column.cast(pa.large_string())
        column = column.dictionary_encode()
    distinct = column.dictionary.cast(pa.large_string())
    places = _filled(pa, column.indices, 0).astype(np.int64)
    if not len(distinct):
        return np.zeros(len(column), np.int32)
    _, edges, blob = distinct.buffers()
    offsets = np.frombuffer(edges, np.int64)[distinct.offset : distinct.offset + len(distinct) + 1]
    data = np.frombuffer(blob, np.uint8) if blob is not None and blob.size else np.zeros(1, np.uint8)
    first = int(offsets[0])
    data = data[first : max(int(offsets[-1]), first + 1)]
    # Only strings that occur: their order of first appearance must not depend on the table's dictionary.
    used, at = np.unique(places, return_index=True)
    used = used[np.argsort(at, kind="stable")]
    starts = offsets[used] - first
    codes = np.zeros(len(distinct), np.int32)
    codes[used] = words.codes(data, starts << 32 | (offsets[used + 1] - offsets[used]))
    return codes[places]


def _arrays(column: Any, column_name: str, name: str, words: WordsOf) -> NDArray[np.int32]:
    """Arrays as compact JSON text, like those of JSON sources."""
    import orjson

    try:
        return words(column_name).codes_of([orjson.dumps(v).decode() for v in column.to_pylist()])
    except TypeError as error:
        raise IngestError(f"{name}: column {column_name!r} has arrays that JSON cannot hold ({error}).") from error
