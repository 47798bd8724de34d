"""Rows of committed files, each with its commit order, to be written again."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.distinct_values import distinct
from operators.states.strings import Words
from operators.types import Type
from runtime.catalogue import FileEntry, StreamSchema
from runtime.catalogue.items.entries import SEQ, order_of
from runtime.columns import Column, Dictionary, Points
from runtime.errors import StoreError
from runtime.pointfile import Buffers, PointFile
from runtime.pointfile.reading.decoded_blocks import Block

_EXACT = 2**53

Files = Sequence[tuple[FileEntry, PointFile]]


def stored_rows(
    files: Files,
    schema: StreamSchema,
    shard: tuple[int, int],
    buffers: Buffers,
    times: tuple[int, int] | None = None,
    sparing: bool = False,
) -> Points | None:
    """All rows of these files whose keys have hashes in ``shard``, in commit order, with a column ``$seq``.

    Within a commit and file they keep their order. A column has the type that it has in all files, else the stream's.
    ``times``: only rows of [begin, end). ``sparing``: no dictionary is in memory as a whole, but read at each call.
    None if there are no rows. StoreError where an integer is not exact in a column that became float64.
    """
    parts: list[Points] = []
    for entry, file in files:
        of_file = list(_parts(entry, file, shard, buffers, times, sparing))
        parts += _with_words(file, of_file) if sparing else of_file
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


def time_ranges(files: Files, shard: tuple[int, int], buffers: Buffers, most: int) -> list[tuple[int, int]]:
    """Ranges of times, one after the other, that have all rows of the shard: each has at most ``most`` bytes of
    different texts, unless they are all of one time."""
    times: list[NDArray[np.int64]] = []
    ids: dict[str, list[NDArray[np.int64]]] = {}
    lengths = [np.zeros(1, np.int64)]  # of the id 0: no text
    rows, known = 0, 1
    for _, file in files:
        names = [name for name, type_ in file.schema.items() if type_ is Type.STRING]
        begin = {}
        for name in names:
            lengths.append(file.text_lengths(name))
            begin[name], known = known, known + len(lengths[-1])
        for block, low, high in _blocks(file, names, shard, buffers):
            times.append(block.time[low:high].copy())
            for name in names:
                values, valid = block.columns[name]
                column = _column(file, name, values, valid, low, high, sparing=True)
                of_it = column.values.astype(np.int64) + begin[name]
                known_rows = sum(map(len, ids.setdefault(name, [])))
                ids[name] += [np.zeros(rows - known_rows, np.int64)]
                ids[name].append(of_it if column.valid is None else np.where(column.valid, of_it, 0))
            rows += high - low
    if not rows:
        return []
    at = np.concatenate(times)
    order = np.argsort(at, kind="stable")
    sorted_times: list[int] = at[order].tolist()
    columns = [
        np.concatenate([*parts, np.zeros(rows - sum(map(len, parts)), np.int64)])[order] for parts in ids.values()
    ]
    sizes = np.concatenate(lengths)
    out: list[tuple[int, int]] = []

    def divide(low: int, high: int) -> None:
        first, last = sorted_times[low], sorted_times[high - 1]
        size = sum(int(sizes[distinct(column[low:high])].sum()) for column in columns)
        if size <= most or first == last:
            out.append((first, last + 1))
            return
        middle = sorted_times[(low + high) // 2]
        cut = bisect_left(sorted_times, middle, low, high)
        if cut == low:
            cut = bisect_right(sorted_times, middle, low, high)
        divide(low, cut)
        divide(cut, high)

    divide(0, rows)
    return out


def _blocks(
    file: PointFile,
    names: Sequence[str],
    shard: tuple[int, int],
    buffers: Buffers,
    times: tuple[int, int] | None = None,
) -> Iterator[tuple[Block, int, int]]:
    """The file's blocks with rows in the shard, with these columns, and which of their rows these are. Each is valid
    until the next one."""
    _, _, row_lo, row_hi = file.key_span(*shard)
    if row_lo == row_hi:
        return
    blocks = file.blocks
    first = int(np.searchsorted(blocks["row_start"], row_lo, side="right")) - 1
    last = int(np.searchsorted(blocks["row_start"], row_hi, side="left"))
    for number in range(first, last):
        if times is not None and (blocks["t_max"][number] < times[0] or blocks["t_min"][number] >= times[1]):
            continue
        block = file.load(names, number, number + 1, buffers=buffers).block(number, names, buffers)
        yield block, max(row_lo - block.row_start, 0), min(row_hi - block.row_start, block.rows)


def _parts(
    entry: FileEntry,
    file: PointFile,
    shard: tuple[int, int],
    buffers: Buffers,
    times: tuple[int, int] | None,
    sparing: bool,
) -> Iterator[Points]:
    """The file's rows in the shard, a block at a time, in arrays of their own; ``sparing``: texts only as codes."""
    for block, low, high in _blocks(file, list(file.schema), shard, buffers, times):
        lengths = block.run_lengths
        keys = np.repeat(np.arange(block.first_key, block.first_key + len(lengths)), lengths)[low:high]
        first_key = int(keys[0])
        distinct = file.key_column(first_key, int(keys[-1]) + 1)
        key = Column(distinct.type, distinct.values[keys - first_key], None, distinct.words)
        columns = {
            name: _column(file, name, values, valid, low, high, sparing)
            for name, (values, valid) in block.columns.items()
        }
        if SEQ not in columns:
            order = np.full(high - low, order_of(entry.seq, entry.ordinal), np.int64)
            columns[SEQ] = Column(Type.INT, order)
        points = Points(key, block.time[low:high].copy(), columns)
        if times is not None:
            points = points.take(np.flatnonzero((points.time >= times[0]) & (points.time < times[1])))
        if len(points):
            yield points


def _with_words(file: PointFile, parts: Sequence[Points]) -> Iterator[Points]:
    """The parts of a file with those strings that they have."""
    if not parts:
        return
    changed: list[dict[str, Column]] = [{} for _ in parts]
    for name in [name for name, type_ in file.schema.items() if type_ is Type.STRING]:
        columns = [part.columns[name] for part in parts]
        there = [c.values if c.valid is None else c.values[c.valid] for c in columns]
        used = distinct(np.concatenate(there)).astype(np.int64)
        words = file.some_words(name, used)
        for column, into in zip(columns, changed, strict=True):
            codes = np.searchsorted(used, column.values).clip(0, max(len(used) - 1, 0)).astype(np.int32)
            into[name] = replace(column, values=codes, words=words)
    for part, columns_of in zip(parts, changed, strict=True):
        yield replace(part, columns={**part.columns, **columns_of})


def _column(
    file: PointFile, name: str, values: NDArray[Any], valid: NDArray[np.uint8], low: int, high: int, sparing: bool
) -> Column:
    """A decoded column's rows ``low`` to ``high - 1``; one entry may stand for all rows. ``sparing``: without words."""
    type_ = file.schema[name]
    rows = high - low
    kept = values[low:high].copy() if len(values) > 1 else np.repeat(values, rows)
    flags = (valid[low:high] if len(valid) > 1 else np.repeat(valid, rows)) != 0
    words = file.dictionary(name) if type_ is Type.STRING and not sparing else None
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
