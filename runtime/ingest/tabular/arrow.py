"""Parquet files, Arrow IPC and tables in memory as chunks of typed columns; pyarrow is imported from here on only."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from decimal import InvalidOperation
from itertools import chain
from typing import Any, BinaryIO

from runtime.errors import IngestError
from runtime.ingest.inputs.byte_stream import Prefetched
from runtime.ingest.tabular.decoded import Chunk, WordsOf, all_null, joined, rows_of

_END = b"\xff\xff\xff\xff\0\0\0\0"
"""The end of an IPC stream."""

FILE = b"ARROW1"
"""The first bytes of an IPC file; a stream begins with those of ``STREAM``."""

STREAM = b"\xff\xff\xff\xff"


def pyarrow() -> Any:
    """The module; IngestError without it."""
    try:
        import pyarrow
    except ImportError as error:
        raise IngestError(
            "Parquet, Arrow tables and data frames need pyarrow: pip install 'antfold[parquet]'."
        ) from error
    return pyarrow


@contextmanager
def reading(name: str, what: str) -> Iterator[None]:
    """pyarrow's errors as one sentence."""
    pa = pyarrow()
    try:
        yield
    except (pa.ArrowException, OSError, UnicodeDecodeError, InvalidOperation) as error:  # the last: of a damaged scale
        text = (str(error).splitlines() or [type(error).__name__])[0].rstrip(".")
        raise IngestError(f"{name} cannot be read as {what}: {text}. Nothing of it was ingested.") from error


def parquet_chunks(file: BinaryIO, name: str, rows: int, words: WordsOf) -> Iterator[Chunk]:
    """A Parquet file's rows, some at a time; a thread reads ahead."""
    with reading(name, "Parquet"):
        import pyarrow.parquet as pq

        from runtime.ingest.tabular.arrow_values import INTERVAL, UUID

        # Times of the old kind count nanoseconds, which wrap around outside of the years 1678 to 2262.
        parquet = pq.ParquetFile(file, page_checksum_verification=True, coerce_int96_timestamp_unit="us")
        leaves = [parquet.schema.column(i) for i in range(len(parquet.schema))]
        meanings = {leaf.path: INTERVAL for leaf in leaves if leaf.converted_type == "INTERVAL"}
        meanings |= {leaf.path: UUID for leaf in leaves if leaf.logical_type.type == "UUID"}
        most = rows_of(rows, len(leaves))
        batches, left_out = _parquet_batches(parquet, most)
        with closing(Prefetched(batches, 1)) as ahead:
            for chunk in chunks(iter(ahead), parquet.schema_arrow, most, words, meanings):
                size = len(next(iter(chunk.values()))) if chunk else 0
                yield chunk | {n: all_null(size, why) for n, why in left_out.items()}


def _parquet_batches(parquet: Any, rows: int) -> tuple[Iterator[Any], Mapping[str, str]]:
    """The file's record batches without the columns that this pyarrow cannot read, and why it cannot read them.

    (The codecs of columns in ``parquet.metadata`` are not looked at: there pyarrow aborts the process for damage.)
    """
    try:
        batches = parquet.iter_batches(rows)
        return chain([next(batches)], batches), {}
    except StopIteration:
        return iter(()), {}
    except (RuntimeError, OSError) as error:
        left_out: dict[str, str] = {}
        names = parquet.schema_arrow.names if _is_unknown(error) else []
        for column in names:
            try:
                next(parquet.iter_batches(1, columns=[column]))
            except (RuntimeError, OSError) as cause:
                if _is_unknown(cause):
                    left_out[column] = f"this pyarrow cannot read it: {cause}".rstrip(".")
        if len(left_out) == len(names):
            raise
        return parquet.iter_batches(rows, columns=[n for n in names if n not in left_out]), left_out


def _is_unknown(error: Exception) -> bool:
    """Whether pyarrow does not know what it should read, such as a codec, rather than finding it damaged."""
    return isinstance(error, RuntimeError) or "LZO" in str(error)


def ipc_chunks(file: BinaryIO, name: str, rows: int, words: WordsOf) -> Iterator[Chunk]:
    """The rows of an Arrow IPC file (Feather) or of one or more streams, some at a time."""
    with reading(name, "Arrow IPC"):
        pa = pyarrow()
        is_file = file.read(len(FILE)) == FILE
        file.seek(0)
        source = pa.PythonFile(file, mode="r")
        reader = pa.ipc.open_file(source) if is_file else pa.ipc.open_stream(source)
        batches = _ipc_file(reader) if is_file else _ipc_streams(source, reader, name)
        with closing(Prefetched(batches, 1)) as ahead:
            most = rows_of(rows, len(reader.schema))
            yield from chunks(iter(ahead), reader.schema, most, words)


def _ipc_file(reader: Any) -> Iterator[Any]:
    for number in range(reader.num_record_batches):
        yield _checked(reader.get_batch(number))


def _ipc_streams(source: Any, reader: Any, name: str) -> Iterator[Any]:
    """The record batches of streams one after the other; IngestError if the last one has no end."""
    pa = pyarrow()
    while True:
        for batch in reader:
            yield _checked(batch)
        end = source.tell()
        source.seek(max(end - len(_END), 0))
        if source.read(len(_END)) != _END:
            raise IngestError(
                f"{name} is an Arrow stream without the mark of its end: it was cut short, or its writer was not "
                "closed. Nothing of it was ingested."
            )
        if not source.read(1):
            return
        source.seek(end)
        reader = pa.ipc.open_stream(source)


def _checked(batch: Any) -> Any:
    """The batch, whose offsets and texts were checked: IPC has no checksums."""
    batch.validate(full=True)
    return batch


def chunks(
    batches: Iterator[Any],
    schema: Any,
    rows: int,
    words: WordsOf,
    meanings: Mapping[str, str] | None = None,
    exact: bool = False,
) -> Iterator[Chunk]:
    """Record batches as chunks of at most ``rows`` rows. ``exact``: always of so many, however the batches were cut,
    fewer where there are many columns. An input without rows is one chunk, too: its columns are checked."""
    is_empty = True
    for group in _groups(batches, rows, exact):
        is_empty = False
        yield _decoded(group, words, meanings)
    if is_empty:
        empty = [pyarrow().nulls(0, kind) for kind in schema.types]
        yield _columns(schema.names, empty, words, meanings)


def _groups(batches: Iterator[Any], rows: int, exact: bool) -> Iterator[list[Any]]:
    """Batches, or parts of them, that become a chunk together. Those that are large enough stay alone, because to join
    them copies them, unless that would make chunks of another size."""
    group: list[Any] = []
    size = 0
    for batch in batches:
        most, at = rows_of(rows, batch.num_columns) if exact else rows, 0
        while at < batch.num_rows:
            room = most - size if exact or not group else most
            part = batch.slice(at, room)
            if group and (part.schema != group[0].schema or size + part.num_rows > most):
                yield group
                group, size = [], 0
            group.append(part)
            at, size = at + part.num_rows, size + part.num_rows
            if size == most:
                yield group
                group, size = [], 0
    if group:
        yield group


def _decoded(group: list[Any], words: WordsOf, meanings: Mapping[str, str] | None) -> Chunk:
    pa, parts = pyarrow(), group
    # pyarrow makes other numbers of halves when it merges their dictionaries.
    if len(group) > 1 and "values=halffloat" not in group[0].schema.to_string():
        # Texts of more than 2 GB remain in several parts, and so does what pyarrow cannot concatenate.
        with suppress(pa.ArrowException):
            parts = pa.Table.from_batches(group).combine_chunks().to_batches()
    found = [_columns(part.schema.names, _arrays(part), words, meanings) for part in parts]
    return {name: joined([part[name] for part in found]) for name in found[0]}


def _arrays(part: Any) -> list[Any]:
    """The arrays of a batch, a column without values for one whose type pyarrow has no arrays of: intervals of other
    languages."""
    out = []
    for number, field in enumerate(part.schema):
        try:
            out.append(part.column(number))
        except KeyError:
            out.append(all_null(part.num_rows, f"this pyarrow cannot read it: {field.type}"))
    return out


def _columns(names: Any, arrays: Any, words: WordsOf, meanings: Mapping[str, str] | None) -> Chunk:
    from runtime.ingest.tabular.arrow_columns import columns_of

    return columns_of(names, arrays, words, meanings or {})
