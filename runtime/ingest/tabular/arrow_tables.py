"""Tables in memory as chunks of typed columns: data frames, and anything that gives Arrow data, once or again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain
from typing import Any

import numpy as np

from runtime.errors import IngestError
from runtime.ingest.tabular.arrow import chunks, pyarrow, reading
from runtime.ingest.tabular.decoded import Chunk, WordsOf, rows_of
from runtime.ingest.tabular.python_values import Objects


def table_chunks(table: Any, name: str, rows: int, words: WordsOf) -> Iterator[Chunk]:
    """The rows of a table, some at a time; a reader is never held as a whole."""
    with reading(name, "a table"):
        if _is_frame(table):
            yield from _frame_chunks(table, rows, words)
        elif hasattr(table, "__next__") and not hasattr(table, "__arrow_c_stream__"):
            yield from _item_chunks(table, name, rows, words)
        else:
            reader = _reader(table, name)
            yield from chunks(reader, reader.schema, rows, words, exact=True)


def _reader(table: Any, name: str) -> Any:
    """A reader of record batches."""
    pa = pyarrow()
    if type(table).__name__ == "LazyFrame":
        raise IngestError(f"{name} is a lazy frame, which has no rows yet: give its result, frame.collect().")
    if isinstance(table, pa.RecordBatchReader):
        return table
    if hasattr(table, "scanner"):  # a data set
        table = table.scanner()
    if hasattr(table, "__arrow_c_stream__"):
        return pa.RecordBatchReader.from_stream(table)
    if hasattr(table, "__arrow_c_array__"):
        table = pa.record_batch(table)
        return pa.RecordBatchReader.from_batches(table.schema, [table])
    for method in ("to_reader", "to_arrow_reader", "fetch_arrow_reader", "fetch_record_batch"):
        if hasattr(table, method):
            return getattr(table, method)()
    raise IngestError(
        f"{name} is of type {type(table).__name__}, which gives no Arrow data: give an Arrow table, record batches or "
        "a data frame."
    )


def _item_chunks(items: Iterator[Any], name: str, rows: int, words: WordsOf) -> Iterator[Chunk]:
    """The tables that an iterator gives, as one: record batches as if they had come from one reader."""
    first = next(items, None)
    if first is None:
        return
    if _is_frame(first):
        for frame in chain([first], items):
            yield from table_chunks(frame, name, rows, words)
        return
    reader = _reader(first, name)
    batches = (batch for item in items for batch in _reader(item, name))
    yield from chunks(chain(reader, batches), reader.schema, rows, words, exact=True)


# ---- pandas


def _is_frame(table: Any) -> bool:
    return type(table).__module__.partition(".")[0] == "pandas" and hasattr(table, "iloc") and hasattr(table, "columns")


def _frame_chunks(frame: Any, rows: int, words: WordsOf) -> Iterator[Chunk]:
    from runtime.ingest.tabular.arrow_columns import columns_of

    series = [(str(name), frame.iloc[:, i]) for i, name in enumerate(frame.columns)]
    taken = {name for name, _ in series}
    for level, name in enumerate(frame.index.names):
        values = frame.index.get_level_values(level)
        if name is not None or values.dtype.kind not in "iu":  # numbers without a name only count the rows
            label = str("index" if name is None else name)
            series += [] if label in taken else [(label, values.to_series())]
    names = [name for name, _ in series]
    columns = [_of_series(values) for _, values in series]
    most = rows_of(rows, len(columns))
    for at in range(0, max(len(frame), 1), most):
        parts: list[Any] = []
        for column in columns:
            part = column[at : at + most] if isinstance(column, Objects) else column.slice(at, most)
            parts.append(part.combine_chunks() if hasattr(part, "combine_chunks") else part)
        yield columns_of(names, parts, words, {})


def _of_series(series: Any) -> Any:
    """A series as an Arrow array, or as its objects if those are of several types, which Arrow would make one."""
    pa = pyarrow()
    if series.dtype.kind != "O" or _is_uniform(series.tolist()):
        try:
            return pa.array(series, from_pandas=True)
        except (pa.ArrowException, TypeError, ValueError, OverflowError):
            pass
    return Objects.of(np.asarray(series, object).tolist())


def _is_uniform(values: Sequence[object]) -> bool:
    """Whether the values are of one type, not counting what pandas takes as missing."""
    types = {t for t in set(map(type, values)) if t.__name__ not in ("NoneType", "NAType", "NaTType")}
    if len(types) > 1 and float in types and all(v != v for v in values if type(v) is float):
        types.discard(float)
    return len(types) <= 1
