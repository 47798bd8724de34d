"""Encodes points into the bytes of a point file."""

from __future__ import annotations

import zlib
from collections.abc import Mapping
from functools import partial
from itertools import pairwise

import numpy as np
import zstandard
from numpy.typing import NDArray

from operators.types import Type
from runtime.columns import Column, Dictionary, Points
from runtime.pointfile import layout
from runtime.pointfile.chunks import ColumnChunk, encode_chunk
from runtime.pointfile.frames import Compressor, width_of
from runtime.pointfile.hashing import hash_distinct
from runtime.pointfile.order import take_words, word_bytes

# Dictionaries of at most this many words are sorted by bytes, so that statistics of codes are statistics of strings;
# larger ones keep their order.
_SORTED_WORDS = 1 << 16


def encode(
    points: Points,
    *,
    key: str,
    time: str,
    day: int,
    days: int = 1,
    block_rows: int = layout.DEFAULT_BLOCK_ROWS,
    level: int = 3,
    origin: Mapping[str, str] | None = None,
) -> bytes:
    """A point file of these points, as bytes.

    ``points`` must be in the order of ``sort_points`` and lie in the ``days`` UTC days (at most 366) from ``day`` on
    (days since 1970-01-01), at least one in the first and one in the last; ``key`` and ``time`` name the key and the
    event time. ``level`` is zstd's, 1 to 19. ``origin`` is the provenance of the points, for `dataflow recover`
    (POINTFILE.md, "Footer"). ValueError for points that do not meet these conditions.
    """
    if not 1 <= block_rows <= layout.MAX_BLOCK_ROWS:
        raise ValueError(f"block_rows must be from 1 to {layout.MAX_BLOCK_ROWS}, not {block_rows}")
    if not 1 <= level <= 19:
        raise ValueError(f"level must be from 1 to 19, not {level}")
    if not 1 <= days <= layout.MAX_DAYS:
        raise ValueError(f"a point file covers from 1 to {layout.MAX_DAYS} days, not {days}")
    _check(points, key, time, day, days)
    rows = len(points)
    times = np.ascontiguousarray(points.time, np.int64)
    keys, starts = _keys(points.key, times)
    zstd = Compressor(level)
    columns = {name: _prepared(column) for name, column in points.columns.items()}

    hashes = hash_distinct(keys)
    at = _block_starts(hashes, starts, rows, block_rows)
    blocks = _blocks(times, starts, rows, at)
    chunks: list[ColumnChunk] = []
    edges = list(pairwise([*at.tolist(), rows]))
    runs = [_runs_within(starts, lo, hi) for lo, hi in edges]
    sources = [(Type.TIME, times, None)] + [(c.type, c.values, c.valid) for c in columns.values()]
    for kind, values, valid in sources:
        for (lo, hi), inside in zip(edges, runs, strict=True):
            mask = None if valid is None else valid[lo:hi]
            chunks.append(encode_chunk(kind, values[lo:hi], mask, inside, zstd))

    frames = [frame for chunk in chunks for frame in chunk.frames]
    counts = np.diff(starts, append=rows).astype(np.uint64)
    count_width = width_of(int(counts.max()))
    frames += zstd.array(counts, count_width)
    key_words, key_width, key_base = None, 0, 0
    if keys.words is not None:
        key_words = _words(keys.words, frames, zstd)
    else:
        numbers = keys.values.astype(np.int64, copy=False)
        key_base = int(numbers.min())
        offsets = (numbers - np.int64(key_base)).view(np.uint64)
        key_width = width_of(int(offsets.max()))
        frames += zstd.array(offsets, key_width)
    words = {n: _words(c.words, frames, zstd) for n, c in columns.items() if c.words is not None}

    slots = (hashes >> np.uint64(56)).astype(np.int64)
    footer = layout.Footer(
        day=day,
        days=days,
        rows=rows,
        keys=len(keys),
        key_name=key,
        key_type=keys.type,
        key_width=key_width,
        key_base=key_base,
        key_words=key_words,
        count_width=count_width,
        time_name=time,
        columns={name: column.type for name, column in columns.items()},
        words=words,
        shard_keys=np.bincount(slots, minlength=layout.SHARD_SLOTS),
        shard_rows=np.bincount(np.repeat(slots, counts.astype(np.int64)), minlength=layout.SHARD_SLOTS),
        blocks=blocks,
        chunks=np.array([chunk.row for chunk in chunks], layout.CHUNK_DTYPE),
        frames=np.array([(len(frame), zlib.crc32(frame)) for frame in frames], layout.FRAME_DTYPE),
        origin=origin,
    )
    raw = layout.pack_footer(footer)
    if len(raw) > layout.MAX_FOOTER:
        raise ValueError("too many blocks and columns for one file")
    tail = zstandard.ZstdCompressor(level=level, write_checksum=True, write_content_size=True).compress(raw)
    offset = layout.HEADER.size + sum(map(len, frames))
    return b"".join(
        [layout.pack_header(day, days, rows), *frames, tail, layout.pack_trailer(offset, tail, len(raw), days)]
    )


def _check(points: Points, key: str, time: str, day: int, days: int) -> None:
    rows = len(points)
    if not 1 <= rows <= layout.MAX_ROWS:
        raise ValueError(f"a point file holds from 1 to {layout.MAX_ROWS} points, not {rows}")
    if key == time or key in points.columns or time in points.columns:
        raise ValueError(f"the key {key!r}, the time {time!r} and the columns must have names of their own")
    if points.key.type not in (Type.STRING, Type.INT) or points.key.nulls or len(points.key) != rows:
        raise ValueError("the key must be a string or integer column of one value per row, without nulls")
    first, last = (int(t) // layout.MICROS_PER_DAY for t in (points.time.min(), points.time.max()))
    if days == 1 and (first, last) != (day, day):
        raise ValueError(f"not all points lie in UTC day {day}")
    if (first, last) != (day, day + days - 1):
        raise ValueError(f"the points lie in UTC days {first} to {last}, not {day} to {day + days - 1}")
    for name, column in (*points.columns.items(), (key, points.key)):
        if len(column) != rows or column.values.dtype != np.dtype(column.type.dtype):
            raise ValueError(f"column {name!r} must be {column.type.dtype} of {rows} rows")
        if column.valid is not None and len(column.valid) != rows:
            raise ValueError(f"column {name!r} needs validity for {rows} rows")
        if column.type is Type.STRING and column.words is None:
            raise ValueError(f"string column {name!r} needs its dictionary")
        if name == layout.SEQ and (column.type is not Type.INT or column.nulls):
            raise ValueError(f"{layout.SEQ} is reserved for each row's commit order: int64 without nulls")


def _keys(key: Column, times: NDArray[np.int64]) -> tuple[Column, NDArray[np.int64]]:
    """The distinct keys in file order and the rows at which they start; ValueError unless the rows are sorted."""
    edges = np.flatnonzero(key.values[1:] != key.values[:-1]) + 1
    starts = np.concatenate((np.zeros(1, np.int64), edges)).astype(np.int64)
    if key.words is not None:
        words = take_words(key.words, key.values[starts].astype(np.int64))
        keys = Column(Type.STRING, np.arange(len(starts), dtype=np.int32), None, words)
    else:
        keys = Column(Type.INT, key.values[starts], None)
    hashes = hash_distinct(keys)
    rising = hashes[1:] > hashes[:-1]
    for at in np.flatnonzero(hashes[1:] == hashes[:-1]).tolist():
        if keys.words is not None:
            rising[at] = word_bytes(keys.words, at) < word_bytes(keys.words, at + 1)
        else:
            rising[at] = keys.values[at] < keys.values[at + 1]
    falls = times[1:] < times[:-1]
    falls[edges - 1] = False
    if not rising.all() or falls.any():
        raise ValueError("the points are not sorted: pass them through sort_points first")
    return keys, starts


def _prepared(column: Column) -> Column:
    """The column in canonical form: no unused words, booleans 0 and 1, codes in range."""
    values = np.ascontiguousarray(column.values)
    present = values if column.valid is None else values[column.valid]
    if column.type is Type.BOOL and len(present) and int(present.max()) > 1:
        raise ValueError("booleans must be 0 or 1")
    if column.type is not Type.STRING or column.words is None:
        return Column(column.type, values, column.valid)
    if len(present) and not 0 <= int(present.min()) <= int(present.max()) < len(column.words):
        raise ValueError("a string's code is outside its dictionary")
    used = np.zeros(len(column.words), np.bool_)
    used[present] = True
    codes = np.flatnonzero(used)
    if len(codes) <= _SORTED_WORDS:
        codes = np.array(sorted(codes.tolist(), key=partial(word_bytes, column.words)), np.int64)
    place = np.zeros(max(len(used), 1), np.int32)
    place[codes] = np.arange(len(codes), dtype=np.int32)
    if column.valid is not None:
        values = np.where(column.valid, values, 0)
    return Column(Type.STRING, place[values], column.valid, take_words(column.words, codes))


def _words(words: Dictionary, frames: list[bytes], zstd: Compressor) -> layout.WordsEntry:
    """Add a dictionary's frames: the lengths of its strings, then the strings."""
    if len(words.blob) > layout.MAX_WORDS_BYTES:
        raise ValueError(f"a column's distinct strings take more than {layout.MAX_WORDS_BYTES} bytes")
    lengths = np.diff(words.offsets).astype(np.uint64)
    width = width_of(int(lengths.max(initial=0)))
    frames += zstd.array(lengths, width)
    frames += zstd.planes(np.frombuffer(words.blob, np.uint8)[None, :])
    return layout.WordsEntry(len(words), width, len(words.blob))


def _runs_within(starts: NDArray[np.int64], lo: int, hi: int) -> NDArray[np.int64]:
    """Where the key runs of rows ``lo`` to ``hi`` start, counted from ``lo``; the first is 0."""
    first = int(np.searchsorted(starts, lo, "right")) - 1
    last = int(np.searchsorted(starts, hi, "left"))
    inside = starts[first:last] - lo
    inside[0] = 0
    return inside


def _block_starts(
    hashes: NDArray[np.uint64], starts: NDArray[np.int64], rows: int, block_rows: int
) -> NDArray[np.int64]:
    """The first row of every block: at most ``block_rows`` long, with an edge wherever a shard begins.

    Shards here are 2, 4, 8 or 16 equal ranges of hashes, as many as leave ``SHARD_ROWS`` rows in each, so that a query
    with such shards decodes no block for only a few rows.
    """
    bits = max(0, min(4, (rows // layout.SHARD_ROWS).bit_length() - 1))
    edges = [0, rows]
    if bits:
        shards = np.arange(1, 1 << bits, dtype=np.uint64) << np.uint64(64 - bits)
        edges = [0, *np.append(starts, rows)[np.searchsorted(hashes, shards)].tolist(), rows]
    out: list[int] = []
    for lo, hi in pairwise(edges):
        if lo < hi:
            pieces = -(-(hi - lo) // block_rows)
            out += range(lo, hi, -(-(hi - lo) // pieces))
    return np.array(out, np.int64)


def _blocks(times: NDArray[np.int64], starts: NDArray[np.int64], rows: int, at: NDArray[np.int64]) -> NDArray[np.void]:
    sizes = np.diff(at, append=rows)
    out = np.empty(len(at), np.dtype(list(layout.BLOCK_FIELDS)))
    first = np.searchsorted(starts, at, "right") - 1
    out["rows"] = sizes
    out["first_key"] = first
    out["runs"] = np.searchsorted(starts, at + sizes, "left") - first
    out["t_min"] = np.minimum.reduceat(times, at)
    out["t_max"] = np.maximum.reduceat(times, at)
    steps = np.diff(times, prepend=times[0])
    steps[starts] = -1
    steps[at] = -1
    out["max_step"] = np.maximum.reduceat(steps, at)
    return out
