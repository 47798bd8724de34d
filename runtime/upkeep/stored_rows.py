"""Rows of committed files, each with its commit order, to be written again."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.states.strings import Words
from operators.types import Type
from runtime.catalogue import FileEntry, StreamSchema
from runtime.catalogue.items.entries import SEQ, order_of
from runtime.columns import Column, Dictionary, Points
from runtime.errors import StoreError
from runtime.pointfile import Buffers, PointFile

_EXACT = 2**53


def stored_rows(
    files: Sequence[tuple[FileEntry, PointFile]], schema: StreamSchema, shard: tuple[int, int], buffers: Buffers
) -> Points | None:
    """All rows of these files whose keys have hashes in ``shard``, in commit order, with a column ``$seq``.

    Within a commit and file they keep their order. A column has the type that it has in all files, else the stream's.
    None if there are no rows. StoreError where an integer is not exact in a column that became float64.
    """
    parts = [part for entry, file in files for part in _parts(entry, file, shard, buffers)]
    if not parts:
        return None
    sizes = [len(part) for part in parts]
    key = _joined([part.key for part in parts], sizes, schema.key_type)
    columns: dict[str, Column] = {}
    for name in dict.fromkeys(name for part in parts for name in part.columns):
        given = [part.columns.get(name) for part in parts]
        types = {column.type for column in given if column is not None}
        type_ = types.pop() if len(types) == 1 else schema.columns[name]
        try:
            columns[name] = _joined(given, sizes, type_)
        except ValueError as error:
            raise StoreError(f"files cannot be compacted: column {name!r} {error}") from None
    points = Points(key, np.concatenate([part.time for part in parts]), columns)
    order = columns[SEQ].values.astype(np.int64, copy=False)
    if (order[1:] < order[:-1]).any():
        points = points.take(np.argsort(order, kind="stable"))
    return points


def _parts(entry: FileEntry, file: PointFile, shard: tuple[int, int], buffers: Buffers) -> Iterator[Points]:
    """The file's rows in the shard, a block at a time, in arrays of their own."""
    _, _, row_lo, row_hi = file.key_span(*shard)
    if row_lo == row_hi:
        return
    starts = file.blocks["row_start"]
    first = int(np.searchsorted(starts, row_lo, side="right")) - 1
    last = int(np.searchsorted(starts, row_hi, side="left"))
    names = list(file.schema)
    for number in range(first, last):
        block = file.load(names, number, number + 1, buffers=buffers).block(number, names, buffers)
        low, high = max(row_lo - block.row_start, 0), min(row_hi - block.row_start, block.rows)
        lengths = block.run_lengths
        keys = np.repeat(np.arange(block.first_key, block.first_key + len(lengths)), lengths)[low:high]
        first_key = int(keys[0])
        distinct = file.key_column(first_key, int(keys[-1]) + 1)
        key = Column(distinct.type, distinct.values[keys - first_key], None, distinct.words)
        columns = {
            name: _column(file, name, values, valid, low, high) for name, (values, valid) in block.columns.items()
        }
        if SEQ not in columns:
            order = np.full(high - low, order_of(entry.seq, entry.ordinal), np.int64)
            columns[SEQ] = Column(Type.INT, order)
        yield Points(key, block.time[low:high].copy(), columns)


def _column(file: PointFile, name: str, values: NDArray[Any], valid: NDArray[np.uint8], low: int, high: int) -> Column:
    """A decoded column's rows ``low`` to ``high - 1``; one entry may stand for all rows."""
    type_ = file.schema[name]
    rows = high - low
    kept = values[low:high].copy() if len(values) > 1 else np.repeat(values, rows)
    flags = (valid[low:high] if len(valid) > 1 else np.repeat(valid, rows)) != 0
    words = file.dictionary(name) if type_ is Type.STRING else None
    return Column(type_, kept.astype(type_.dtype, copy=False), None if flags.all() else flags, words)


def _joined(parts: Sequence[Column | None], sizes: Sequence[int], type_: Type) -> Column:
    """The columns one after the other; null where a part has none."""
    values = np.zeros(sum(sizes), type_.dtype)
    valid = np.zeros(len(values), np.bool_)
    words = Words()
    maps: dict[int, NDArray[np.int32]] = {}
    at = 0
    for part, size in zip(parts, sizes, strict=True):
        if part is not None:
            flags = True if part.valid is None else part.valid
            valid[at : at + size] = flags
            values[at : at + size] = _converted(part, type_, words, maps)
        at += size
    dictionary = Dictionary.of(words.strings) if type_ is Type.STRING else None
    return Column(type_, values, None if valid.all() else valid, dictionary)


def _converted(part: Column, type_: Type, words: Words, maps: dict[int, NDArray[np.int32]]) -> NDArray[np.generic]:
    """The part's values as values of ``type_``, strings as codes of ``words``; ValueError if that is not exact."""
    if type_ is Type.STRING:
        assert part.words is not None
        codes = maps.get(id(part.words))
        if codes is None:
            codes = maps[id(part.words)] = words.codes(part.words.strings)
        return codes[part.values] if len(codes) else np.zeros(len(part), np.int32)
    if part.type is type_:
        return part.values
    if (part.type, type_) != (Type.INT, Type.FLOAT):
        raise ValueError(f"is {part.type.value} in one file and {type_.value} in another")
    known = part.values if part.valid is None else part.values[part.valid]
    if len(known) and (int(known.max()) > _EXACT or int(known.min()) < -_EXACT):
        raise ValueError("has integers beyond 2**53 from before it became float64")
    return part.values.astype(np.float64)
