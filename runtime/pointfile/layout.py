"""The fixed parts of a point file: header, trailer and footer as bytes. `runtime/POINTFILE.md` is normative."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import orjson
from numpy.typing import NDArray

from operators.types import Type, stored

VERSION, SPAN = 1, 2
"""Versions of a file of one UTC day, and of one that covers several."""

HEADER_MAGIC = b"ANTFOLDP"
TRAILER_MAGIC = b"PANTFOLD"
HEADER = struct.Struct("<8sHHiQII")
"""Magic, version, 0, day, rows, 0, CRC-32 of what precedes."""
TRAILER = struct.Struct("<QIIIHHI8s")
"""Footer offset, size, raw size, CRC-32 of the footer; version, 0, CRC-32 of what precedes, magic."""

DEFAULT_BLOCK_ROWS = 131_072
SHARD_ROWS = 65_536
"""Minimum rows of a shard for blocks to end at its edge."""

MAX_BLOCK_ROWS = 1 << 19
MAX_ROWS = (1 << 31) - 1
MAX_FOOTER = 1 << 30
MAX_WORDS_BYTES = 1 << 30
MICROS_PER_DAY = 86_400_000_000
MAX_DAYS = 366
"""The most days that a file covers: a leap year."""

SEQ = "$seq"
"""The reserved name of the column in which a compaction keeps each row's commit order (int64, no nulls)."""

# Encodings of a chunk.
CONST, FOR, DELTA, RUNS, BITS, LINEAR = range(6)
PARTS = (4, 2, 1)
"""Bit widths of the parts of LINEAR's distances besides whole bytes, from the lowest."""
BITWISE = 255
"""The `scale` of a chunk whose values are not scaled decimals: integers, or the bit patterns of floats."""
MAX_SCALE = 15
"""The largest other ``scale``."""
POSITION_WIDTH = 3
"""Bytes of a row number within its block, in the list of exceptions of a chunk of decimals."""

BLOCK_FIELDS = (
    ("rows", "<u4"),
    ("first_key", "<u4"),
    ("runs", "<u4"),
    ("t_min", "<i8"),
    ("t_max", "<i8"),
    ("max_step", "<i8"),
)
CHUNK_FIELDS = (
    ("encoding", "<u1"),
    ("scale", "<u1"),
    ("width", "<u1"),
    ("width2", "<u1"),
    ("nulls", "<u4"),
    ("count", "<u4"),
    ("base", "<i8"),
    ("tick", "<u8"),
    ("step", "<i8"),
    ("vmin", "<i8"),
    ("vmax", "<i8"),
)
FRAME_FIELDS = (("size", "<u4"), ("crc", "<u4"))
CHUNK_DTYPE = np.dtype(list(CHUNK_FIELDS))
FRAME_DTYPE = np.dtype(list(FRAME_FIELDS))
SHARD_SLOTS = 256


@dataclass(frozen=True)
class WordsEntry:
    """A dictionary's strings: their number, the width of their lengths, and their total bytes."""

    count: int
    width: int
    size: int


@dataclass(frozen=True)
class Footer:
    """Everything that a reader needs before it reads a chunk.

    ``blocks``, ``chunks`` (shape (1 + columns, blocks); row 0 is the time column) and ``frames`` are structured arrays
    of the ``*_FIELDS`` above; ``days`` is the number of UTC days covered, from ``day`` on; ``shard_keys`` and
    ``shard_rows`` hold, for each value of the hash's top eight bits, how many keys and rows there are (int64, shape
    (256,)).
    """

    day: int
    days: int
    rows: int
    keys: int
    key_name: str
    key_type: Type
    key_width: int
    key_base: int
    key_words: WordsEntry | None
    count_width: int
    time_name: str
    columns: dict[str, Type]
    words: dict[str, WordsEntry]
    shard_keys: NDArray[np.int64]
    shard_rows: NDArray[np.int64]
    blocks: NDArray[np.void]
    chunks: NDArray[np.void]
    frames: NDArray[np.void]
    origin: Mapping[str, str] | None = None


def version_of(days: int) -> int:
    """The version of a file that covers this many UTC days."""
    return VERSION if days == 1 else SPAN


def pack_header(day: int, days: int, rows: int) -> bytes:
    """The file's first 32 bytes."""
    front = HEADER.pack(HEADER_MAGIC, version_of(days), 0, day, rows, 0, 0)[:-4]
    return front + struct.pack("<I", zlib.crc32(front))


def pack_trailer(offset: int, footer: bytes, raw: int, days: int) -> bytes:
    """The file's last 36 bytes."""
    front = TRAILER.pack(offset, len(footer), raw, zlib.crc32(footer), version_of(days), 0, 0, TRAILER_MAGIC)[:-12]
    return front + struct.pack("<I", zlib.crc32(front)) + TRAILER_MAGIC


def unpack_trailer(data: bytes, size: int) -> tuple[int, int, int, int, int]:
    """Offset, size, raw size and CRC-32 of the footer, and the version, of a file of ``size`` bytes.

    ValueError gives the reason why it is none.
    """
    offset, length, raw, crc, version, zero, own, magic = TRAILER.unpack(data)
    if magic != TRAILER_MAGIC:
        raise ValueError("it does not end as a point file does (truncated, or not a point file)")
    if own != zlib.crc32(data[:-12]):
        raise ValueError("its trailer's checksum is wrong")
    if not VERSION <= version <= SPAN:
        raise ValueError(f"it is of version {version}, written by a newer version; this one reads version {SPAN}")
    if zero != 0 or offset < HEADER.size or offset + length + TRAILER.size != size:
        raise ValueError("its trailer does not fit the file's size")
    if not 0 < raw <= MAX_FOOTER:
        raise ValueError("its footer's size is out of bounds")
    return offset, length, raw, crc, version


def pack_footer(footer: Footer) -> bytes:
    """The footer as bytes, uncompressed: a length, that many bytes of JSON, then the arrays field by field."""

    def words(w: WordsEntry) -> dict[str, int]:
        return {"words": w.count, "width": w.width, "bytes": w.size}

    key: dict[str, object] = {"name": footer.key_name, "type": footer.key_type.value}
    if footer.key_words is not None:
        key |= words(footer.key_words)
    else:
        key |= {"width": footer.key_width, "base": footer.key_base}
    columns: list[dict[str, object]] = []
    for name, kind in footer.columns.items():
        entry: dict[str, object] = {"name": name, "type": kind.value}
        columns.append(entry | words(footer.words[name]) if kind is Type.STRING else entry)
    meta: dict[str, object] = {
        "day": footer.day,
        "rows": footer.rows,
        "keys": footer.keys,
        "blocks": len(footer.blocks),
        "frames": len(footer.frames),
        "key": key,
        "counts": {"width": footer.count_width},
        "time": footer.time_name,
        "columns": columns,
    }
    if footer.days != 1:
        meta["days"] = footer.days
    if footer.origin is not None:
        meta["origin"] = dict(footer.origin)
    try:
        text = orjson.dumps(meta)
    except orjson.JSONEncodeError as error:
        raise ValueError(f"a column's name is not valid text: {error}") from None
    parts = [struct.pack("<I", len(text)), text]
    parts += [footer.shard_keys.astype("<u4").tobytes(), footer.shard_rows.astype("<u4").tobytes()]
    for table, fields in ((footer.blocks, BLOCK_FIELDS), (footer.chunks, CHUNK_FIELDS), (footer.frames, FRAME_FIELDS)):
        parts += [np.ascontiguousarray(table[name]).astype(kind).tobytes() for name, kind in fields]
    return b"".join(parts)


@dataclass(frozen=True)
class Metadata:
    """The part of a footer before its tables: see ``Footer``; ``blocks`` and ``frames`` are their numbers, and ``end``
    is where it ends."""

    day: int
    days: int
    rows: int
    keys: int
    blocks: int
    frames: int
    key_name: str
    key_type: Type
    key_width: int
    key_base: int
    key_words: WordsEntry | None
    count_width: int
    time_name: str
    columns: dict[str, Type]
    words: dict[str, WordsEntry]
    origin: Mapping[str, str] | None
    end: int


def unpack_metadata(data: bytes) -> Metadata:
    """The metadata of a footer; ValueError, TypeError or KeyError if it is malformed."""
    if len(data) < 4:
        raise ValueError("its footer is too short")
    (length,) = struct.unpack_from("<I", data)
    if length > len(data) - 4:
        raise ValueError("its metadata is longer than its footer")
    meta = orjson.loads(data[4 : 4 + length])
    rows = _count(meta["rows"], MAX_ROWS)
    key = meta["key"]
    key_type = stored(key["type"])
    if key_type not in (Type.STRING, Type.INT):
        raise ValueError("its key is neither a string nor an integer")
    columns: dict[str, Type] = {}
    words: dict[str, WordsEntry] = {}
    for column in meta["columns"]:
        name, kind = _name(column["name"]), stored(column["type"])
        if name in columns:
            raise ValueError(f"column {name!r} is listed twice")
        columns[name] = kind
        if kind is Type.STRING:
            words[name] = _words(column)
    return Metadata(
        day=_integer(meta["day"], -(1 << 24), 1 << 24),
        days=_integer(meta.get("days", 1), 1, MAX_DAYS),
        rows=rows,
        keys=_count(meta["keys"], rows),
        blocks=_count(meta["blocks"], rows),
        frames=_count(meta["frames"], len(data)),
        key_name=_name(key["name"]),
        key_type=key_type,
        key_width=0 if key_type is Type.STRING else _count(key["width"], 8),
        key_base=0 if key_type is Type.STRING else _integer(key["base"], -(1 << 63), (1 << 63) - 1),
        key_words=_words(key) if key_type is Type.STRING else None,
        count_width=_count(meta["counts"]["width"], 8),
        time_name=_name(meta["time"]),
        columns=columns,
        words=words,
        origin=_origin(meta.get("origin")),
        end=4 + length,
    )


def unpack_footer(data: bytes) -> Footer:
    """The footer that ``pack_footer`` packed; ValueError, TypeError or KeyError if it is malformed.

    Sizes are checked against the available bytes; ``directory.check`` checks the values.
    """
    meta = unpack_metadata(data)
    blocks, chunks = meta.blocks, (1 + len(meta.columns)) * meta.blocks
    tables = _Arrays(data, meta.end)
    tables.expect(2 * 4 * SHARD_SLOTS, (BLOCK_FIELDS, blocks), (CHUNK_FIELDS, chunks), (FRAME_FIELDS, meta.frames))
    return Footer(
        day=meta.day,
        days=meta.days,
        rows=meta.rows,
        keys=meta.keys,
        key_name=meta.key_name,
        key_type=meta.key_type,
        key_width=meta.key_width,
        key_base=meta.key_base,
        key_words=meta.key_words,
        count_width=meta.count_width,
        time_name=meta.time_name,
        columns=meta.columns,
        words=meta.words,
        shard_keys=tables.take("<u4", SHARD_SLOTS).astype(np.int64),
        shard_rows=tables.take("<u4", SHARD_SLOTS).astype(np.int64),
        blocks=tables.table(BLOCK_FIELDS, blocks),
        chunks=tables.table(CHUNK_FIELDS, chunks).reshape(1 + len(meta.columns), blocks),
        frames=tables.table(FRAME_FIELDS, meta.frames),
        origin=meta.origin,
    )


class _Arrays:
    """The arrays after the metadata, read in sequence."""

    def __init__(self, data: bytes, position: int) -> None:
        self.data = data
        self.position = position

    def expect(self, other: int, *tables: tuple[tuple[tuple[str, str], ...], int]) -> None:
        """Check that exactly these tables and ``other`` bytes remain, before any is copied."""
        sizes = [sum(np.dtype(kind).itemsize for _, kind in fields) * count for fields, count in tables]
        if other + sum(sizes) != len(self.data) - self.position:
            raise ValueError("its footer's tables do not fill the footer")

    def take(self, kind: str, count: int) -> NDArray[np.generic]:
        array: NDArray[np.generic] = np.frombuffer(self.data, kind, count, self.position)
        self.position += array.nbytes
        return array

    def table(self, fields: tuple[tuple[str, str], ...], count: int) -> NDArray[np.void]:
        out = np.empty(count, np.dtype(list(fields)))
        for name, kind in fields:
            out[name] = self.take(kind, count)
        return out


def _integer(value: object, least: int, most: int) -> int:
    if type(value) is not int or not least <= value <= most:
        raise ValueError("a number in its footer is out of bounds")
    return value


def _origin(value: object) -> Mapping[str, str] | None:
    if value is None:
        return None
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise TypeError("its origin is not texts by name")
    return value


def _count(value: object, most: int) -> int:
    return _integer(value, 0, most)


def _name(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError("a name in its footer is not a string")
    return value


def _words(entry: dict[str, object]) -> WordsEntry:
    return WordsEntry(
        _count(entry["words"], MAX_ROWS), _count(entry["width"], 8), _count(entry["bytes"], MAX_WORDS_BYTES)
    )
