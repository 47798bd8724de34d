"""Many small point files as one: their footers are checked together, and one compiled call decodes them all.

Opening a file costs some hundred calls of numpy, whatever its size; here they serve all files. What each file declares
is checked by the same rules as in ``PointFile.open``.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.compiler.loops import loop
from operators.kernels.foreign import address_of
from operators.types import Type
from runtime.columns import Column, Dictionary
from runtime.pointfile import layout
from runtime.pointfile.directory import FramePlaces, check_chunks, frames_of, frames_of_chunks
from runtime.pointfile.hashing import hash_distinct
from runtime.pointfile.layout import BLOCK_FIELDS, CHUNK_FIELDS, SHARD_SLOTS, Metadata, WordsEntry
from runtime.pointfile.reading import unpack
from runtime.pointfile.reading.columns_of_file import Columns, Loaded
from runtime.pointfile.reading.decoded_blocks import Block, Buffers, Maps
from runtime.pointfile.reading.stored_footer import expand_footer, footer_digest
from runtime.pointfile.reading.unpack import AT, take

SMALL_BYTES, SMALL_ROWS = 1 << 15, 512
"""A file is small if it has at most so many bytes, and rows (so that every array is one frame)."""

_NONE = WordsEntry(0, 0, 0)
_SHARDS = 2 * 4 * SHARD_SLOTS
_FRAME = 8


@dataclass(frozen=True, slots=True)
class SmallFile:
    """A small file whose trailer, header and metadata were checked, and nothing else."""

    data: bytes
    meta: Metadata
    tables: bytes
    footer_at: int
    footer_digest: str
    shape: tuple[object, ...]
    """Equal for files that can be joined."""

    @classmethod
    def of(cls, data: bytes) -> SmallFile:
        """The file with these bytes; ValueError, TypeError or KeyError if it is none, or not small."""
        size = len(data)
        if size < layout.HEADER.size + layout.TRAILER.size:
            raise ValueError("it is too short")
        offset, length, raw, crc, version = layout.unpack_trailer(data[-layout.TRAILER.size :], size)
        packed = data[offset : offset + length]
        if zlib.crc32(packed) != crc:
            raise ValueError("its footer's checksum is wrong")
        footer = expand_footer(packed, raw)
        meta = layout.unpack_metadata(footer)
        if version != layout.version_of(meta.days):
            raise ValueError("its trailer contradicts its footer")
        if data[: layout.HEADER.size] != layout.pack_header(meta.day, meta.days, meta.rows):
            raise ValueError("its header contradicts its footer")
        entries = [*([meta.key_words] if meta.key_words is not None else []), *meta.words.values()]
        if (
            meta.blocks != 1
            or not 1 <= meta.keys <= meta.rows <= SMALL_ROWS
            or any(w.count > SMALL_ROWS or w.size > SMALL_BYTES for w in entries)
        ):
            raise ValueError("it is not small")
        if meta.key_words is not None and meta.key_words.count != meta.keys:
            raise ValueError("its dictionary of keys is not as long as its keys")
        shape = (meta.key_name, meta.key_type, meta.time_name, *meta.columns.items())
        return cls(data, meta, footer[meta.end :], offset, footer_digest(data), shape)


class JoinedFiles:
    """Small files of one shape, joined: block i is file i, and keys are numbered through all files.

    ValueError if one contradicts itself. ``rows_of`` and ``keys_of`` (int64) are the numbers of rows and keys of each
    file. A key may occur in several files.
    """

    def __init__(self, files: Sequence[SmallFile], buffers: Buffers) -> None:
        metas = [f.meta for f in files]
        first = metas[0]
        self.name = "small files"
        self.key_type, self.time_name, self.schema = first.key_type, first.time_name, dict(first.columns)
        names = [first.key_name, first.time_name, *first.columns]
        if len(set(names)) != len(names) or self.schema.get(layout.SEQ, Type.INT) is not Type.INT:
            raise ValueError("its columns are malformed")
        self._slots = {first.time_name: 0} | {name: 1 + i for i, name in enumerate(first.columns)}
        self._metas = metas
        self.rows_of = np.array([m.rows for m in metas], np.int64)
        self.keys_of = np.array([m.keys for m in metas], np.int64)
        self._words = {n: [m.words[n] for m in metas] for n, kind in first.columns.items() if kind is Type.STRING}
        self._data = bytearray().join([f.data for f in files])
        self._buffers = buffers
        self._asked: dict[tuple[tuple[str, ...], bool], Columns] = {}
        blocks, chunks, shards, sizes = self._tables(files)
        self._check(blocks, chunks, shards)
        self._place(files, blocks, chunks, sizes)
        self._read_keys(shards)

    def _tables(self, files: Sequence[SmallFile]) -> tuple[NDArray[np.void], NDArray[np.void], Any, list[Any]]:
        """The blocks, the chunks (1 + columns, files), the tables of shards, and the sizes of each file's frames."""
        n, slots = len(files), len(self._slots)
        widths = [np.dtype(kind).itemsize for _, kind in BLOCK_FIELDS]
        chunk_bytes = slots * sum(np.dtype(kind).itemsize for _, kind in CHUNK_FIELDS)
        fixed = _SHARDS + sum(widths) + chunk_bytes
        if any(len(f.tables) != fixed + _FRAME * f.meta.frames for f in files):
            raise ValueError("its footer's tables do not fill the footer")
        raw = np.frombuffer(b"".join([f.tables[:fixed] for f in files]), np.uint8).reshape(n, fixed)
        at = _SHARDS
        shards = np.ascontiguousarray(raw[:, :at]).view("<u4").reshape(n, 2, SHARD_SLOTS).astype(np.int64)
        blocks = np.empty(n, [(name, "i8") for name, _ in BLOCK_FIELDS])
        for (name, kind), width in zip(BLOCK_FIELDS, widths, strict=True):
            blocks[name] = np.ascontiguousarray(raw[:, at : at + width]).view(kind)[:, 0]
            at += width
        chunks = np.empty((slots, n), layout.CHUNK_DTYPE)
        for name, kind in CHUNK_FIELDS:
            width = slots * np.dtype(kind).itemsize
            chunks[name] = np.ascontiguousarray(raw[:, at : at + width]).view(kind).T
            at += width
        sizes = [np.frombuffer(f.tables, "<u4", f.meta.frames, fixed) for f in files]
        return blocks, chunks, shards, sizes

    def _check(self, blocks: NDArray[np.void], chunks: NDArray[np.void], shards: NDArray[np.int64]) -> None:
        start = np.array([m.day for m in self._metas], np.int64) * layout.MICROS_PER_DAY
        end = start + np.array([m.days for m in self._metas], np.int64) * layout.MICROS_PER_DAY
        bad = (blocks["rows"] != self.rows_of) | (blocks["runs"] != self.keys_of) | (blocks["first_key"] != 0)
        bad |= (blocks["t_min"] < start) | (blocks["t_max"] >= end)
        bad |= (blocks["t_min"] > blocks["t_max"]) | (blocks["max_step"] < -1)
        bad |= (shards.sum(axis=2) != np.stack([self.keys_of, self.rows_of], axis=1)).any(axis=1)
        if bad.any():
            raise ValueError("its block directory contradicts itself")
        for slot, (name, kind) in enumerate([(self.time_name, Type.TIME), *self.schema.items()]):
            words = np.array([w.count for w in self._words[name]], np.int64) if kind is Type.STRING else 0
            check_chunks(blocks, chunks[slot], name, kind, words, slot == 0)

    def _place(
        self, files: Sequence[SmallFile], blocks: NDArray[np.void], chunks: NDArray[np.void], sizes: list[Any]
    ) -> None:
        """Locate every frame. Frames are numbered through all files, with one number more for each file's end."""
        n, metas = len(files), self._metas
        counts = np.array([m.frames for m in metas], np.int64)
        base = np.cumsum(counts + 1) - (counts + 1)
        lengths = np.array([len(f.data) for f in files], np.int64)
        begin = np.cumsum(lengths) - lengths
        offsets = np.zeros(int(counts.sum()) + n, np.int64)
        inner = np.ones(len(offsets), np.bool_)
        inner[base] = False
        offsets[inner] = np.concatenate(sizes)
        # Per file: where its first frame begins, then the sum of the sizes before each frame.
        offsets[base] = begin + layout.HEADER.size
        total = np.cumsum(offsets)
        offsets = total - np.repeat(total[base] - offsets[base], counts + 1)
        per_chunk = frames_of_chunks(blocks, chunks)
        ends = np.cumsum(per_chunk, axis=0)
        at = base + ends[-1]
        self._count_at = at
        self._count_width = np.array([m.count_width for m in metas], np.int64)
        at = at + frames_of(self.keys_of, self._count_width)
        self._key_at = at
        if self.key_type is Type.STRING:
            entries = [m.key_words or _NONE for m in metas]
            at = at + _frames_of_words(entries)
        else:
            at = at + frames_of(self.keys_of, np.array([m.key_width for m in metas], np.int64))
        self._words_at: dict[str, NDArray[np.int64]] = {}
        for name, listed in self._words.items():
            self._words_at[name] = at
            at = at + _frames_of_words(listed)
        footers = begin + np.array([f.footer_at for f in files], np.int64)
        if (at != base + counts).any() or (offsets[base + counts] != footers).any():
            raise ValueError("its frames do not fill the file")
        firsts = base + ends - per_chunk
        chunk_frames = np.concatenate([firsts, firsts[:, -1:] + per_chunk[:, -1:]], axis=1)
        self.places = FramePlaces(offsets, chunk_frames, 0, 0, {})
        table = np.empty((*chunks.shape, unpack.FIELDS), np.int64)
        for i, (name, _) in enumerate(CHUNK_FIELDS[: unpack.FRAME]):
            table[..., i] = chunks[name].view(np.int64) if name == "tick" else chunks[name]
        table[..., unpack.FRAME] = firsts
        self.chunk_table = table
        self._key_base = np.cumsum(self.keys_of) - self.keys_of
        row_start = np.cumsum(self.rows_of) - self.rows_of
        self.block_table = np.stack(
            [row_start, self.rows_of, self._key_base, self.keys_of, blocks["max_step"].astype(np.int64)], axis=1
        )
        self.t_min, self.t_max = blocks["t_min"].copy(), blocks["t_max"].copy()

    def _read_keys(self, shards: NDArray[np.int64]) -> None:
        counts = self._integers(self._count_at, self.keys_of, self._count_width, np.zeros(len(self.keys_of), np.int64))
        if counts.min() < 1 or counts.max() > SMALL_ROWS:
            raise ValueError("the keys' row counts contradict its directory")
        starts = np.zeros(len(counts) + 1, np.int64)
        np.cumsum(counts, out=starts[1:])
        row_start = self.block_table[:, unpack.FIRST_ROW]
        if (starts[self._key_base] != row_start).any() or starts[-1] != self.rows_of.sum():
            raise ValueError("the keys' row counts contradict its directory")
        edges = np.cumsum(shards, axis=2)
        if (starts[self._key_base[:, None] + edges[:, 0]] != row_start[:, None] + edges[:, 1]).any():
            raise ValueError("the keys' row counts contradict its directory")
        self.run_starts = starts
        self.run_lengths = counts
        if self.key_type is Type.STRING:
            words = self._dictionary(self._key_at, [m.key_words or _NONE for m in self._metas])
            self.keys = Column(Type.STRING, np.arange(len(counts), dtype=np.int32), None, words)
        else:
            widths = np.array([m.key_width for m in self._metas], np.int64)
            bases = np.array([m.key_base for m in self._metas], np.int64)
            self.keys = Column(Type.INT, self._integers(self._key_at, self.keys_of, widths, bases))
        self.hashes = hash_distinct(self.keys)

    def _expanded(self, frames: NDArray[np.int64], sizes: NDArray[np.int64]) -> tuple[NDArray[np.uint8], Any]:
        """The raw bytes of one frame of each file (none where its size is 0), and where each begins."""
        at = np.cumsum(sizes) - sizes
        out = np.zeros(int(sizes.sum()) + 8, np.uint8)
        data = np.frombuffer(self._data, np.uint8)
        st = np.zeros(6, np.int64)
        wrong = _expand(self._buffers.zstd.words, st, self.places.offsets, data, frames, sizes, at, out)
        if wrong:
            raise ValueError(unpack.WRONG[wrong])
        return out, at

    def _integers(
        self, frames: NDArray[np.int64], counts: NDArray[np.int64], widths: NDArray[np.int64], bases: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """An array of each file, one after the other."""
        raw, at = self._expanded(frames, counts * widths)
        inside = np.arange(int(counts.sum())) - np.repeat(np.cumsum(counts) - counts, counts)
        out = np.repeat(bases, counts).view(np.uint64)
        place, count, width = (np.repeat(a, counts) for a in (at, counts, widths))
        for k in range(int(widths.max())):
            digit = np.where(k < width, raw[np.minimum(place + k * count + inside, len(raw) - 1)], np.uint8(0))
            out = out + (digit.astype(np.uint64) << np.uint64(8 * k))
        return out.view(np.int64)

    def _dictionary(self, frames: NDArray[np.int64], entries: Sequence[WordsEntry]) -> Dictionary:
        """The dictionaries of all files, one after the other."""
        counts = np.array([w.count for w in entries], np.int64)
        widths = np.array([w.width for w in entries], np.int64)
        sizes = np.array([w.size for w in entries], np.int64)
        lengths = self._integers(frames, counts, widths, np.zeros(len(counts), np.int64))
        raw, _ = self._expanded(frames + frames_of(counts, widths), sizes)
        blob = raw[: int(sizes.sum())]
        offsets = np.zeros(len(lengths) + 1, np.int64)
        if len(lengths) and (lengths.min() < 0 or lengths.max() > SMALL_BYTES):
            raise ValueError("the lengths do not add up")
        np.cumsum(lengths, out=offsets[1:])
        if (offsets[np.cumsum(counts)] != np.cumsum(sizes)).any():
            raise ValueError("the lengths do not add up")
        inner = offsets[(offsets > 0) & (offsets < len(blob))]
        if ((blob[inner] & 0xC0) == 0x80).any():
            raise ValueError("a string is not UTF-8")
        text = blob.tobytes()
        text.decode()  # a UnicodeDecodeError is a ValueError
        return Dictionary(offsets, text)

    # ---- decoding

    def slot(self, column: str) -> int:
        """The number of a column; 0 is the event time."""
        return self._slots[column]

    def columns(self, columns: Sequence[str], time: bool) -> Columns:
        """These columns in the form of compiled loops."""
        return Columns.of(self, columns, time)

    def code_map(self, column: str, maps: Maps | None) -> NDArray[np.int32]:
        """Codes stay those of each file's own dictionary: see ``decoded``."""
        return np.arange(max(w.count for w in self._words[column]), dtype=np.int32)

    def strings(self, column: str) -> list[str]:
        """The strings of all files' dictionaries of a column, one after the other."""
        return self._dictionary(self._words_at[column], self._words[column]).strings

    def decoded(self, columns: Sequence[str], time: bool, codes: Maps) -> Block:
        """All rows of all files; ``codes`` gives the new code of each of ``strings``. The arrays are valid until the
        next block is decoded into the same buffers."""
        offsets, frames = self.places.offsets, self.places.chunk_frames
        whole = memoryview(self._data)
        parts = {s: whole[int(offsets[frames[s, 0]]) :] for s in range(len(self._slots))}
        n = len(self.rows_of)
        block = Loaded(self, parts, time, 0, n).rows(0, n, columns, self._buffers)
        for name in columns:
            if name not in self._words:
                continue
            counts = np.array([w.count for w in self._words[name]], np.int64)
            values, valid = block.columns[name]
            local = np.where(valid != 0, values, 0).astype(np.int64) + np.zeros(block.rows, np.int64)
            count = np.repeat(counts, self.rows_of)
            if ((local >= count) & (valid != 0)).any():
                raise ValueError("a code is outside its dictionary")
            table = codes[name] if len(codes[name]) else np.zeros(1, np.int32)
            place = np.minimum(local + np.repeat(np.cumsum(counts) - counts, self.rows_of), len(table) - 1)
            block.columns[name] = (table[place], valid)
        return block


def _frames_of_words(entries: Sequence[WordsEntry]) -> NDArray[np.int64]:
    counts, widths, sizes = (np.array([getattr(w, f) for w in entries], np.int64) for f in ("count", "width", "size"))
    # A string's bytes are one frame, even if long: see ``raw_sizes``.
    return frames_of(counts, widths) + frames_of(sizes, np.int64(1))


@loop("i8(i8[::1], i8[::1], i8[::1], u1[::1], i8[::1], i8[::1], i8[::1], u1[::1])")
def _expand(z: Any, st: Any, offsets: Any, data: Any, frames: Any, sizes: Any, at: Any, out: Any) -> Any:
    """Unpack frame ``frames[i]`` of ``sizes[i]`` raw bytes to ``out[at[i]:]``; returns 0 or an error number."""
    base, to = np.int64(address_of(data)), np.int64(address_of(out))
    for i in range(len(frames)):
        if sizes[i] > 0:
            st[AT] = frames[i]
            wrong = take(z, offsets, base, st, sizes[i], to + at[i])
            if wrong != 0:
                return wrong
    return 0
