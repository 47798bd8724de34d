"""`PointFile`: opens a point file and reads only what a query needs."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cached_property
from hashlib import blake2b

import numpy as np
import zstandard
from numpy.typing import NDArray

from operators.types import Type
from runtime.columns import Column, Dictionary
from runtime.errors import FormatError
from runtime.pointfile import layout
from runtime.pointfile.directory import FramePlaces, check
from runtime.pointfile.frames import Frames, raw_sizes
from runtime.pointfile.hashing import hash_distinct
from runtime.pointfile.reading import unpack
from runtime.pointfile.reading.columns_of_file import Columns, Loaded, with_changes
from runtime.pointfile.reading.decoded_blocks import Buffers, Maps
from runtime.pointfile.reading.planned_reads import GAP, Span, grouped, tail_bytes
from runtime.pointfile.reading.stored_footer import expand_footer, footer_digest

Read = Callable[[int, int], bytes]
ReadInto = Callable[[int, memoryview], None]

_SHARDS = 1 << 64
_SHIFT = 56


class PointFile:
    """An open point file: its directory in memory, its chunks read on demand. Thread-safe.

    ``day`` (days since 1970-01-01), ``days`` (how many it covers), ``rows``, ``keys`` (distinct keys), ``key_name``,
    ``key_type``, ``time_name``, ``schema`` (value columns, without key and time), ``blocks`` (structured: row_start,
    rows, first_key, runs, t_min, t_max, and max_step: the largest step in microseconds between two rows of one key
    within the block, -1 if none). ``footer_digest`` is the digest of footer and trailer (see the function), ``origin``
    the points' provenance, if present.
    """

    def __init__(
        self,
        read: Read,
        size: int,
        name: str,
        tail: bytes,
        footer: layout.Footer,
        places: FramePlaces,
        gap: int,
        read_into: ReadInto | None,
    ) -> None:
        self._read_into = read_into
        self.name = name
        self.size = size
        self.footer_digest = footer_digest(tail)
        self.origin = footer.origin
        self.day = footer.day
        self.days = footer.days
        self.rows = footer.rows
        self.keys = footer.keys
        self.key_name = footer.key_name
        self.key_type = footer.key_type
        self.time_name = footer.time_name
        self.schema = dict(footer.columns)
        self.blocks = _with_starts(footer.blocks)
        self._read = read
        self.gap = gap
        self._tail = tail
        self._footer = footer
        self.places = places
        self._slots = {footer.time_name: 0} | {name: 1 + i for i, name in enumerate(footer.columns)}
        self._shard_keys = np.concatenate(([0], np.cumsum(footer.shard_keys)))
        self._shard_rows = np.concatenate(([0], np.cumsum(footer.shard_rows)))
        self._header_seen = False
        self.on_growth: Callable[[PointFile], None] | None = None
        """Called when more of the file is held than before."""
        directory = (footer.chunks, footer.blocks, footer.frames, places.offsets, places.chunk_frames, self.blocks)
        self._counted: dict[object, int] = {"": len(tail) + sum(array.nbytes for array in directory)}
        self._dictionaries: dict[str, Dictionary] = {}
        self._tables: dict[str, NDArray[np.int32]] = {}
        self._asked: dict[tuple[tuple[str, ...], bool], Columns] = {}
        self._changing: dict[tuple[tuple[str, ...], tuple[str, ...]], NDArray[np.bool_]] = {}

    @classmethod
    def open(cls, read: Read, size: int, name: str, gap: int = GAP, read_into: ReadInto | None = None) -> PointFile:
        """Open a file of ``size`` bytes; ``read(offset, length)`` returns exactly those bytes.

        One read for ordinary files. Ranges are coalesced over gaps of ``gap`` bytes at most. With ``read_into(offset,
        buffer)``, columns are read into reused memory. FormatError, naming ``name``, for anything but an intact point
        file.
        """
        if size < layout.HEADER.size + layout.TRAILER.size:
            raise FormatError(f"{name} is not a point file: it has only {size} bytes")
        first = tail_bytes(size, gap)
        tail = _exactly(read, size - first, first, name)
        try:
            offset, length, raw, crc, version = layout.unpack_trailer(tail[-layout.TRAILER.size :], size)
            if offset < size - len(tail):
                tail = _exactly(read, offset, size - offset, name)
            at = offset - (size - len(tail))
            packed = tail[at : at + length]
            if zlib.crc32(packed) != crc:
                raise ValueError("its footer's checksum is wrong")
            footer = layout.unpack_footer(expand_footer(packed, raw))
            if version != layout.version_of(footer.days):
                raise ValueError("its trailer contradicts its footer")
            places = check(footer, offset)
            file = cls(read, size, name, tail, footer, places, gap, read_into)
            if len(tail) == size:
                file._check_header(tail)
        except (ValueError, TypeError, KeyError, OverflowError) as error:
            raise FormatError(f"{name} cannot be read as a point file: {_reason(error)}") from None
        return file

    @property
    def content_digest(self) -> str:
        """A digest of everything but the origin: equal for files with the same rows from different writers.

        The frames' checksums do not suffice: a constant column has no frame.
        """
        return blake2b(layout.pack_footer(replace(self._footer, origin=None)), digest_size=16).hexdigest()

    @property
    def text_bytes(self) -> int:
        """Bytes of the strings of all string columns, each as often as it is in a dictionary; known without a read."""
        return sum(words.size for words in self._footer.words.values())

    @property
    def held(self) -> int:
        """Bytes in memory while it is open: what was read of it, decoded dictionaries, arrays for compiled loops."""
        return sum(list(self._counted.values()))

    def _count(self, what: object, size: int) -> None:
        self._counted[what] = size
        if self.on_growth is not None:
            self.on_growth(self)

    def key_span(self, lo: int, hi: int) -> tuple[int, int, int, int]:
        """The keys whose hashes are in ``[lo, hi)`` and their rows: (key_lo, key_hi, row_lo, row_hi).

        ``hi`` may be 2**64. The spans of a partition of the hashes partition the file's rows.
        """
        if not 0 <= lo <= hi <= _SHARDS:
            raise ValueError(f"a range of hashes lies within 0 to 2**64, unlike {lo} to {hi}")
        key_lo, row_lo = self._boundary(lo)
        key_hi, row_hi = self._boundary(hi)
        return key_lo, key_hi, row_lo, row_hi

    def key_column(self, key_lo: int, key_hi: int) -> Column:
        """The distinct keys numbered ``key_lo`` to ``key_hi - 1`` in file order."""
        if not 0 <= key_lo <= key_hi <= self.keys:
            raise ValueError(f"keys {key_lo} to {key_hi} are not within the file's {self.keys}")
        if self._footer.key_words is not None:
            words = self._key_words.slice(key_lo, key_hi)
            return Column(Type.STRING, np.arange(key_hi - key_lo, dtype=np.int32), None, words)
        return Column(Type.INT, self._key_numbers[key_lo:key_hi], None)

    def key_hashes(self, key_lo: int, key_hi: int) -> NDArray[np.uint64]:
        """The hashes of the keys numbered ``key_lo`` to ``key_hi - 1``; they never decrease."""
        return self._hashes[key_lo:key_hi]

    def dictionary(self, column: str) -> Dictionary:
        """The strings of a string column, by code."""
        found = self._dictionaries.get(column)
        if found is None:
            if column not in self._footer.words:
                raise ValueError(f"{self.name} has no string column {column!r}")
            what = f"the dictionary of column {column!r}"
            found = self._words(self._footer.words[column], self.places.words[column], what)
            self._dictionaries[column] = found
            self._count(("words", column), found.nbytes)
        return found

    def text_lengths(self, column: str) -> NDArray[np.int64]:
        """The lengths in bytes of the strings of a string column, by code; they add up."""
        words, what = self._footer.words[column], f"the dictionary of column {column!r}"
        lengths = self._integers(self.places.words[column], words.count, words.width, 0, what)
        if (words.count and (lengths.min() < 0 or lengths.max() > words.size)) or lengths.sum() != words.size:
            raise FormatError(f"{self.name} is damaged: {what}: the lengths do not add up")
        return lengths

    def some_words(self, column: str, codes: NDArray[np.int64]) -> Dictionary:
        """The strings of these codes, which rise, renumbered from 0. They are read anew and not kept, a frame at a
        time, so that memory holds little else."""
        words, what = self._footer.words[column], f"the dictionary of column {column!r}"
        edges = np.concatenate((np.zeros(1, np.int64), np.cumsum(self.text_lengths(column))))
        begin, end = edges[codes], edges[codes + 1]
        first = self.places.words[column] + len(raw_sizes(words.count, words.width))
        zstd, parts, at = zstandard.ZstdDecompressor(), [], 0
        for number, raw in enumerate(raw_sizes(words.size, 1), first):
            low, high = int(np.searchsorted(end, at, "right")), int(np.searchsorted(begin, at + raw, "left"))
            if low < high:
                place, size = int(self.places.offsets[number]), int(self._footer.frames["size"][number])
                try:
                    data = Frames(self._fetch(place, size), [size], zstd).take(raw)
                except ValueError as error:
                    raise FormatError(f"{self.name} is damaged: {what}: {error}") from None
                spans = zip(
                    np.maximum(begin[low:high] - at, 0).tolist(),
                    np.minimum(end[low:high] - at, raw).tolist(),
                    strict=True,
                )
                parts += [data[start:stop] for start, stop in spans]
            at += raw
        return self._dictionary(end - begin, b"".join(parts), what)

    def chunks(self, column: str) -> NDArray[np.void]:
        """A column's statistics per block (structured): nulls, encoding, constant, vmin, vmax.

        ``constant``: all rows have the same value, or all are null. ``vmin`` and ``vmax`` (int64) span the non-null
        values: integers, the bits of float64 (both NaN where any value is), codes of strings; 0 where all are null.
        """
        chunks = self._footer.chunks[self.slot(column)]
        out = np.empty(
            len(chunks), [("nulls", "i8"), ("encoding", "u1"), ("constant", "u1"), ("vmin", "i8"), ("vmax", "i8")]
        )
        for field in ("nulls", "encoding", "vmin", "vmax"):
            out[field] = chunks[field]
        alike = (chunks["nulls"] == 0) | (chunks["nulls"] == self.blocks["rows"])
        out["constant"] = (chunks["encoding"] == layout.CONST) & alike
        return out

    def chunk_bytes(self, column: str) -> NDArray[np.int64]:
        """How many bytes of the file each of a column's chunks takes (the time column goes by its name)."""
        edges = self.places.offsets[self.places.chunk_frames[self.slot(column)]]
        sizes: NDArray[np.int64] = edges[1:] - edges[:-1]
        return sizes

    def load(
        self,
        columns: Sequence[str],
        block_lo: int,
        block_hi: int,
        *,
        time: bool = True,
        gap: int | None = None,
        buffers: Buffers | None = None,
    ) -> Loaded:
        """Read the chunks of these columns in blocks ``[block_lo, block_hi)``, and the times unless ``time`` is False.

        One read per run of bytes; runs less than ``gap`` bytes (by default the file's own) apart share one. With
        ``buffers``, loaded data is valid until the next load into the same buffers.
        """
        if not 0 <= block_lo <= block_hi <= len(self.blocks):
            raise ValueError(f"blocks {block_lo} to {block_hi} are not within the file's {len(self.blocks)}")
        gap = self.gap if gap is None else gap
        spans = self._spans(columns, block_lo, block_hi, time)
        parts: dict[int, memoryview] = {s: memoryview(b"") for s, _, _ in spans}
        for group in grouped(spans, gap):
            lo, data = self._fetch_group(group[0][1], group[-1][2], gap, f"bytes of column {group[0][0]}", buffers)
            parts |= {s: data[start - lo : end - lo] for s, start, end in group}
        return Loaded(self, parts, time, block_lo, block_hi)

    def _spans(self, columns: Sequence[str], block_lo: int, block_hi: int, time: bool) -> list[Span]:
        slots = sorted({self.slot(column) for column in columns} | ({0} if time else set()))
        offsets, frames = self.places.offsets, self.places.chunk_frames
        return [(s, int(offsets[frames[s, block_lo]]), int(offsets[frames[s, block_hi]])) for s in slots]

    def reads(self, columns: Sequence[str], block_lo: int, block_hi: int, time: bool) -> list[int]:
        """The bytes of each read that ``load`` makes: none where everything was read with the file's end."""
        groups = grouped(self._spans(columns, block_lo, block_hi, time), self.gap)
        return [g[-1][2] - self._begin(g[0][1], self.gap) for g in groups if not self._in_tail(g[0][1])]

    def reads_of_keys(self) -> list[int]:
        """The bytes of each read for the keys and their row counts."""
        footer, places = self._footer, self.places
        if footer.key_words is None:
            arrays = [(places.keys, footer.keys, footer.key_width)]
        else:
            arrays = _arrays_of(footer.key_words, places.keys)
        return self._reads_of([(places.counts, footer.keys, footer.count_width), *arrays])

    def reads_of_words(self, column: str) -> list[int]:
        """The bytes of each read for the strings of a string column."""
        return self._reads_of(_arrays_of(self._footer.words[column], self.places.words[column]))

    def _reads_of(self, arrays: Sequence[tuple[int, int, int]]) -> list[int]:
        spans = [self._array_span(first, len(raw_sizes(count, width))) for first, count, width in arrays]
        return [length for offset, length in spans if length and not self._in_tail(offset)]

    def columns(self, columns: Sequence[str], time: bool) -> Columns:
        """These columns in the form of compiled loops, with the event time if ``time``; cached."""
        key = (tuple(columns), time)
        found = self._asked.get(key)
        if found is None:
            found = self._asked[key] = Columns.of(self, columns, time)
            self._count(("columns", *key), found.chunks.nbytes)
        return found

    def has_changes(self, columns: Sequence[str], reported: Sequence[str]) -> NDArray[np.bool_]:
        """See ``columns_of_file.with_changes``; cached."""
        key = (tuple(columns), tuple(reported))
        found = self._changing.get(key)
        if found is None:
            found = self._changing[key] = with_changes(self, columns, reported)
            self._count(("changing", *key), found.nbytes)
        return found

    @cached_property
    def chunk_table(self) -> NDArray[np.int64]:
        """The directory's chunks in the form of compiled loops: int64, shape (1 + columns, blocks,
        ``unpack.FIELDS``)."""
        chunks = self._footer.chunks
        out = np.empty((*chunks.shape, unpack.FIELDS), np.int64)
        for i, (name, _) in enumerate(layout.CHUNK_FIELDS[: unpack.FRAME]):
            out[..., i] = chunks[name].view(np.int64) if name == "tick" else chunks[name]
        out[..., unpack.FRAME] = self.places.chunk_frames[:, :-1]
        self._count("chunks", out.nbytes)
        return out

    @cached_property
    def block_table(self) -> NDArray[np.int64]:
        """The directory's blocks in the form of compiled loops: int64, shape (blocks, 5)."""
        fields = ("row_start", "rows", "first_key", "runs", "max_step")
        return np.stack([self.blocks[name] for name in fields], axis=1)

    @cached_property
    def run_starts(self) -> NDArray[np.int64]:
        """The row at which each key starts, and the number of rows: int64, shape (keys + 1,)."""
        footer = self._footer
        counts = self._integers(self.places.counts, footer.keys, footer.count_width, 0, "the keys' row counts")
        starts = np.zeros(footer.keys + 1, np.int64)
        if counts.min() >= 1 and counts.max() <= footer.rows:
            np.cumsum(counts, out=starts[1:])
        row = self.blocks["row_start"]
        first = np.searchsorted(starts, row, "right") - 1
        last = np.searchsorted(starts, row + self.blocks["rows"], "left") - 1
        wrong = starts[-1] != footer.rows or (starts[self._shard_keys] != self._shard_rows).any()
        if wrong or (first != self.blocks["first_key"]).any() or (last - first + 1 != self.blocks["runs"]).any():
            raise FormatError(f"{self.name} is damaged: the keys' row counts contradict its directory")
        self._count("starts", starts.nbytes)
        return starts

    @cached_property
    def _hashes(self) -> NDArray[np.uint64]:
        hashes = hash_distinct(self.key_column(0, self.keys))
        self._count("hashes", hashes.nbytes)
        return hashes

    @cached_property
    def _key_words(self) -> Dictionary:
        assert self._footer.key_words is not None
        words = self._words(self._footer.key_words, self.places.keys, "the dictionary of keys")
        # Only slices of it are decoded, which are not kept.
        self._count("keys", words.offsets.nbytes + len(words.blob))
        return words

    @cached_property
    def _key_numbers(self) -> NDArray[np.int64]:
        footer = self._footer
        numbers = self._integers(self.places.keys, footer.keys, footer.key_width, footer.key_base, "the keys")
        self._count("keys", numbers.nbytes)
        return numbers

    def _boundary(self, at: int) -> tuple[int, int]:
        """The first key, and its row, whose hash is not below ``at``."""
        slot, rest = at >> _SHIFT, at & ((1 << _SHIFT) - 1)
        key = int(self._shard_keys[slot])
        if not rest:
            return key, int(self._shard_rows[slot])
        hashes = hash_distinct(self.key_column(key, int(self._shard_keys[slot + 1])))
        key += int(np.searchsorted(hashes, np.uint64(at), "left"))
        return key, int(self.run_starts[key])

    def slot(self, column: str) -> int:
        """The number of a column; 0 is the event time."""
        slot = self._slots.get(column)
        if slot is None:
            raise ValueError(f"{self.name} has no column {column!r}; it has {', '.join(self._slots)}")
        return slot

    def _fetch_group(self, lo: int, hi: int, gap: int, name: str, buffers: Buffers | None) -> tuple[int, memoryview]:
        lo = self._begin(lo, gap)
        data = self._fetch(lo, hi - lo, name, buffers)
        if lo == 0:
            self._check_header(data)
        return lo, data

    def _begin(self, lo: int, gap: int) -> int:
        # The header only repeats the footer; it is checked when that costs no extra read.
        near = not self._header_seen and lo - layout.HEADER.size <= gap
        return 0 if near and not self._in_tail(lo) else lo

    def _in_tail(self, offset: int) -> bool:
        return offset >= self.size - len(self._tail)

    def _fetch(self, offset: int, length: int, name: str = "", buffers: Buffers | None = None) -> memoryview:
        if self._in_tail(offset):
            behind = offset - (self.size - len(self._tail))
            return memoryview(self._tail)[behind : behind + length]
        if buffers is not None and self._read_into is not None:
            into = memoryview(buffers.array(name, "u1", length))[:length]  # type: ignore[arg-type]
            self._read_into(offset, into)
            return into
        return memoryview(_exactly(self._read, offset, length, self.name))

    def _check_header(self, data: bytes | memoryview) -> None:
        if data[: layout.HEADER.size] != layout.pack_header(self.day, self.days, self.rows):
            raise FormatError(f"{self.name} is damaged: its header contradicts its footer")
        self._header_seen = True

    def _array(self, first: int, count: int, width: int, what: str) -> tuple[NDArray[np.uint8], int]:
        """The planes of an array outside the blocks, and the number of the frame after it."""
        raws = raw_sizes(count, width)
        end = first + len(raws)
        sizes = self._footer.frames["size"][first:end].tolist()
        data = self._fetch(*self._array_span(first, len(raws)))
        frames = Frames(data, sizes, zstandard.ZstdDecompressor())
        try:
            # Joined, not preallocated: a declared size is trusted only frame by frame, after its check.
            return np.frombuffer(bytearray(b"").join([frames.take(raw) for raw in raws]), np.uint8), end
        except ValueError as error:
            raise FormatError(f"{self.name} is damaged: {what}: {error}") from None

    def _array_span(self, first: int, frames: int) -> tuple[int, int]:
        """Offset and length of so many frames."""
        offset = int(self.places.offsets[first])
        return offset, int(self.places.offsets[first + frames]) - offset

    def _integers(self, first: int, count: int, width: int, base: int, what: str) -> NDArray[np.int64]:
        planes, _ = self._array(first, count, width, what)
        out = np.full(count, base & (_SHARDS - 1), np.uint64)
        for k in range(width):
            out += planes[k * count : (k + 1) * count].astype(np.uint64) << np.uint64(8 * k)
        return out.view(np.int64)

    def _words(self, words: layout.WordsEntry, first: int, what: str) -> Dictionary:
        lengths = self._integers(first, words.count, words.width, 0, what)
        blob = self._array(first + len(raw_sizes(words.count, words.width)), words.size, 1, what)[0].tobytes()
        return self._dictionary(lengths, blob, what)

    def _dictionary(self, lengths: NDArray[np.int64], blob: bytes, what: str) -> Dictionary:
        size = len(blob)
        offsets = np.zeros(len(lengths) + 1, np.int64)
        if len(lengths) and lengths.min() >= 0 and lengths.max() <= size:
            np.cumsum(lengths, out=offsets[1:])
        if offsets[-1] != size:
            raise FormatError(f"{self.name} is damaged: {what}: the lengths do not add up")
        inner = offsets[(offsets > 0) & (offsets < size)]
        split = (np.frombuffer(blob, np.uint8)[inner] & 0xC0) == 0x80
        if split.any() or not _is_utf8(blob):
            raise FormatError(f"{self.name} is damaged: {what}: a string is not UTF-8")
        return Dictionary(offsets, blob)

    def code_map(self, column: str, maps: Maps | None) -> NDArray[np.int32]:
        """The new code for each code of a string column's dictionary: from ``maps``, else unchanged."""
        size = self._footer.words[column].count
        table = maps.get(column) if maps else None
        if table is not None:
            if len(table) < size or table.dtype != np.int32:
                raise ValueError(f"the code map of column {column!r} must be int32 and as long as its dictionary")
            return table[:size]
        table = self._tables.get(column)
        if table is None:
            table = self._tables[column] = np.arange(size, dtype=np.int32)
            self._count(("table", column), table.nbytes)
        return table


def _exactly(read: Read, offset: int, length: int, name: str) -> bytes:
    data = read(offset, length)
    if len(data) != length:
        raise FormatError(f"{name} ends early: {length} bytes at {offset} were requested, {len(data)} arrived")
    return data


def _reason(error: Exception) -> str:
    return f"its footer lacks {error}" if isinstance(error, KeyError) else str(error)


def _arrays_of(words: layout.WordsEntry, first: int) -> list[tuple[int, int, int]]:
    """The arrays of a dictionary: first frame, entries and their width."""
    return [(first, words.count, words.width), (first + len(raw_sizes(words.count, words.width)), words.size, 1)]


def _with_starts(blocks: NDArray[np.void]) -> NDArray[np.void]:
    out = np.empty(len(blocks), [(name, "i8") for name in ("row_start", *(name for name, _ in layout.BLOCK_FIELDS))])
    for name, _ in layout.BLOCK_FIELDS:
        out[name] = blocks[name]
    out["row_start"] = np.cumsum(out["rows"]) - out["rows"]
    return out


def _is_utf8(blob: bytes) -> bool:
    try:
        blob.decode()
    except UnicodeDecodeError:
        return False
    return True
