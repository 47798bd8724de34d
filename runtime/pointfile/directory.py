"""Checks a footer against itself and the file's size, and locates every frame.

Everything that decoders rely on is bounded here, in a few vectorised passes when a file is opened.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from operators.types import DECIMALS, Type
from runtime.pointfile.frames import JOINED, raw_sizes
from runtime.pointfile.layout import (
    BITS,
    BITWISE,
    CONST,
    DELTA,
    FOR,
    HEADER,
    LINEAR,
    MAX_BLOCK_ROWS,
    MAX_SCALE,
    MICROS_PER_DAY,
    PARTS,
    POSITION_WIDTH,
    RUNS,
    SEQ,
    Footer,
)

_ENCODINGS = {
    Type.BOOL: (CONST, BITS, RUNS),
    Type.STRING: (CONST, FOR, RUNS),
    Type.INT: (CONST, FOR, DELTA, RUNS, LINEAR),
    Type.FLOAT: (CONST, FOR, DELTA, RUNS, LINEAR),
    Type.TIME: (CONST, FOR, DELTA, RUNS, LINEAR),
    **dict.fromkeys((Type.DURATION, *DECIMALS), (CONST, FOR, DELTA, RUNS, LINEAR)),
}


@dataclass(frozen=True)
class FramePlaces:
    """The positions of the frames.

    ``offsets`` (int64, frames + 1): each frame's offset in the file. ``chunk_frames`` (int64, shape (1 + columns,
    blocks + 1)): the first frame of each chunk, and the end. The first frames of the other arrays: ``counts`` and
    ``keys``, and ``words`` by column.
    """

    offsets: NDArray[np.int64]
    chunk_frames: NDArray[np.int64]
    counts: int
    keys: int
    words: dict[str, int]


def check(footer: Footer, end: int) -> FramePlaces:
    """The frame positions of a file whose footer begins at ``end``; ValueError if the footer contradicts itself."""
    if footer.rows < 1 or footer.keys < 1:
        raise ValueError("it declares no rows")
    names = [footer.key_name, footer.time_name, *footer.columns]
    if len(set(names)) != len(names):
        raise ValueError("two of its columns have the same name")
    if footer.columns.get(SEQ, Type.INT) is not Type.INT:
        raise ValueError(f"{SEQ} is not of type int64")
    _check_blocks(footer)
    for slot, (name, kind) in enumerate([(footer.time_name, Type.TIME), *footer.columns.items()]):
        words = footer.words[name].count if kind is Type.STRING else 0
        check_chunks(footer.blocks, footer.chunks[slot], name, kind, words, name == footer.time_name)
    if footer.shard_keys.sum() != footer.keys or footer.shard_rows.sum() != footer.rows:
        raise ValueError("its shard table does not add up")
    if footer.key_words is not None and footer.key_words.count != footer.keys:
        raise ValueError("its dictionary of keys is not as long as its keys")
    return _places(footer, end)


def _check_blocks(footer: Footer) -> None:
    blocks = footer.blocks
    rows = blocks["rows"].astype(np.int64)
    first = blocks["first_key"].astype(np.int64)
    last = first + blocks["runs"].astype(np.int64) - 1
    start = footer.day * MICROS_PER_DAY
    bad = (rows < 1) | (rows > MAX_BLOCK_ROWS) | (last < first) | (last - first >= rows)
    bad |= (blocks["t_min"] < start) | (blocks["t_max"] >= start + footer.days * MICROS_PER_DAY)
    bad |= (blocks["t_min"] > blocks["t_max"]) | (blocks["max_step"] < -1)
    gap = first[1:] - last[:-1]
    if bad.any() or rows.sum() != footer.rows or ((gap != 0) & (gap != 1)).any():
        raise ValueError("its block directory contradicts itself")
    if first[0] != 0 or last[-1] != footer.keys - 1:
        raise ValueError("its blocks do not hold its keys")


def check_chunks(
    blocks: NDArray[np.void],
    chunks: NDArray[np.void],
    name: str,
    kind: Type,
    words: int | NDArray[np.int64],
    time: bool,
) -> None:
    """ValueError if a column's chunks contradict themselves or the blocks. ``words`` is the size of its dictionary (or
    that of each block's file); ``time``: it is the event time."""
    rows = blocks["rows"]
    encoding = chunks["encoding"]
    if (encoding > LINEAR).any():
        newest = int(encoding.max())
        raise ValueError(f"column {name!r} has encoding {newest}, which a newer version wrote; update to read it")
    whole = chunks["nulls"] == rows
    bad = ~np.isin(encoding, _ENCODINGS[kind]) | (chunks["nulls"] > rows) | (whole & (encoding != CONST))
    linear = encoding == LINEAR
    bad |= (chunks["width"] > 8) | (chunks["width2"] > np.where(linear, 64, 8)) | (chunks["tick"] < 1)
    bad |= linear & ((chunks["count"] > 8) | (chunks["scale"] != BITWISE))
    bad |= (encoding == RUNS) & ((chunks["count"] < 1) | (chunks["count"] > rows))
    scaled = chunks["scale"] != BITWISE
    bad |= ~scaled & (encoding != RUNS) & ~linear & (chunks["count"] != 0) | (chunks["count"] > rows)
    bad |= scaled & ((chunks["scale"] > MAX_SCALE) | (encoding == CONST) | (kind is not Type.FLOAT))
    if kind is Type.STRING:
        for field in ("base", "vmin", "vmax"):
            bad |= ~whole & ((chunks[field] < 0) | (chunks[field] >= words))
        bad |= chunks["tick"] != 1
    if kind is Type.BOOL:
        for field in ("base", "vmin", "vmax"):
            bad |= (chunks[field] < 0) | (chunks[field] > 1)
        bad |= (encoding == RUNS) & ((chunks["width"] > 1) | (chunks["base"] != 0) | (chunks["tick"] != 1))
    if (kind is Type.TIME and time) or name == SEQ:
        bad |= chunks["nulls"] != 0
    if time:
        bad |= (chunks["vmin"] != blocks["t_min"]) | (chunks["vmax"] != blocks["t_max"])
    if bad.any():
        raise ValueError(f"its directory of column {name!r} contradicts itself at block {int(np.argmax(bad))}")


def frames_of_chunks(blocks: NDArray[np.void], chunks: NDArray[np.void]) -> NDArray[np.int64]:
    """The number of frames of each chunk, of shape (1 + columns, blocks)."""
    rows = np.broadcast_to(blocks["rows"].astype(np.int64), chunks.shape)
    runs = np.broadcast_to(blocks["runs"].astype(np.int64), chunks.shape)
    encoding, nulls, count = chunks["encoding"], chunks["nulls"], chunks["count"].astype(np.int64)
    first = np.where(encoding == RUNS, count, np.where((encoding == DELTA) | (encoding == LINEAR), runs, rows))
    frames = frames_of(first, np.where((encoding == CONST) | (encoding == BITS), 0, chunks["width"]))
    linear = encoding == LINEAR
    second = np.where(encoding == RUNS, count, rows - runs)
    width2 = chunks["width2"].astype(np.int64)
    frames += frames_of(second, np.where((encoding == RUNS) | (encoding == DELTA), width2, 0))
    frames += frames_of(runs, np.where(linear, count, 0)) + frames_of(rows, np.where(linear, width2 >> 3, 0))
    for bits in PARTS:
        frames += frames_of(np.where(linear & (width2 & bits > 0), (rows * bits + 7) >> 3, 0), np.int64(1))
    patches = np.where((encoding == FOR) | (encoding == DELTA), count, 0)
    frames += frames_of(patches, np.int64(POSITION_WIDTH)) + frames_of(patches, np.int64(8))
    frames += (encoding == BITS).astype(np.int64) + ((nulls > 0) & (nulls < rows))
    return frames


def _places(footer: Footer, end: int) -> FramePlaces:
    frames = frames_of_chunks(footer.blocks, footer.chunks)
    ends = np.cumsum(frames.ravel()).reshape(frames.shape)
    chunk_frames = np.concatenate((ends[:, :1] - frames[:, :1], ends), axis=1)

    at = int(ends[-1, -1])
    counts = at
    at += len(raw_sizes(footer.keys, footer.count_width))
    keys = at
    if footer.key_words is not None:
        at += len(raw_sizes(footer.keys, footer.key_words.width)) + len(raw_sizes(footer.key_words.size, 1))
    else:
        at += len(raw_sizes(footer.keys, footer.key_width))
    words = {}
    for name, entry in footer.words.items():
        words[name] = at
        at += len(raw_sizes(entry.count, entry.width)) + len(raw_sizes(entry.size, 1))
    offsets = np.full(len(footer.frames) + 1, HEADER.size, np.int64)
    offsets[1:] += np.cumsum(footer.frames["size"], dtype=np.int64)
    if at != len(footer.frames) or offsets[-1] != end:
        raise ValueError("its frames do not fill the file")
    return FramePlaces(offsets, chunk_frames, counts, keys, words)


def frames_of(count: NDArray[np.int64], width: NDArray[np.int64] | np.int64) -> NDArray[np.int64]:
    """``len(raw_sizes(count, width))`` for counts of at most one piece."""
    total = count * width
    return np.where(total == 0, 0, np.where(total <= JOINED, 1, width)).astype(np.int64)
