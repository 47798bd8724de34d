"""Small files that are read together hold the same rows as when each is opened, or are refused."""

from __future__ import annotations

import random
import zlib
from typing import Any

import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from operators.types import Type
from runtime.columns import Column, Dictionary, Points
from runtime.errors import FormatError
from runtime.pointfile import Buffers, PointFile, encode, layout, sort_points
from runtime.pointfile.reading.joined_files import JoinedFiles, SmallFile

DAY = 86_400_000_000
COLUMNS = {"x": Type.FLOAT, "n": Type.INT, "t": Type.STRING, "up": Type.BOOL, "at": Type.TIME}

VALUES: dict[Type, st.SearchStrategy[Any]] = {
    Type.FLOAT: st.sampled_from([0.5, 21.5, -0.0, 1e300, float("inf"), 0.1 + 0.2]) | st.floats(allow_nan=False),
    Type.INT: st.integers(-5, 5) | st.integers(-(2**63), 2**63 - 1),
    Type.STRING: st.sampled_from(["", "up", "größer", "\U0001f600", "x" * 300]),
    Type.BOOL: st.booleans(),
    Type.TIME: st.integers(0, 3) | st.integers(-(2**60), 2**60),
}


def column(draw: st.DrawFn, kind: Type, rows: int) -> Column:
    alike = draw(st.booleans())
    nulls = draw(st.sampled_from([0, 1, 2]))
    values = [draw(VALUES[kind])] * rows if alike else draw(st.lists(VALUES[kind], min_size=rows, max_size=rows))
    valid = None
    if nulls:
        valid = np.array(draw(st.lists(st.booleans(), min_size=rows, max_size=rows)), np.bool_) & (nulls == 1)
    if kind is Type.STRING:
        words = list(dict.fromkeys(values))
        return Column(kind, np.array([words.index(v) for v in values], np.int32), valid, Dictionary.of(words))
    return Column(kind, np.array(values, kind.dtype), valid)


@st.composite
def files(draw: st.DrawFn) -> list[bytes]:
    """Files of one shape, of different days."""
    texts = draw(st.booleans())
    names = draw(st.lists(st.sampled_from(list(COLUMNS)), unique=True, max_size=5))
    out = []
    for _ in range(draw(st.integers(1, 5))):
        day, rows = draw(st.integers(-3, 20_000)), draw(st.integers(1, 30))
        keys = [
            draw(st.sampled_from(["a", "b", "key " * 40, "é"]) if texts else st.integers(-2, 2)) for _ in range(rows)
        ]
        if texts:
            words = list(dict.fromkeys(keys))
            key = Column(Type.STRING, np.array([words.index(k) for k in keys], np.int32), None, Dictionary.of(words))
        else:
            key = Column(Type.INT, np.array(keys, np.int64))
        times = day * DAY + np.array([draw(st.integers(0, DAY - 1)) for _ in range(rows)], np.int64)
        points = Points(key, times, {n: column(draw, COLUMNS[n], rows) for n in names})
        out.append(encode(sort_points(points), key="k", time="ts", day=day))
    return out


def opened(data: bytes) -> PointFile:
    return PointFile.open(lambda offset, length: data[offset : offset + length], len(data), "file")


def rows_alone(data: bytes) -> list[tuple[Any, ...]]:
    file = opened(data)
    names = list(file.schema)
    block = file.load(names, 0, 1).rows(0, 1, names, Buffers())
    texts = {n: file.dictionary(n).strings for n in names if file.schema[n] is Type.STRING}
    keys = np.repeat(np.array(file.key_column(0, file.keys).to_list(), object), np.diff(file.run_starts))
    return _rows(keys, block, names, texts)


def rows_joined(several: list[bytes]) -> list[tuple[Any, ...]]:
    files = JoinedFiles([SmallFile.of(d) for d in several], Buffers())
    names = list(files.schema)
    texts = {n: files.strings(n) for n in names if files.schema[n] is Type.STRING}
    block = files.decoded(names, True, {n: np.arange(len(t), dtype=np.int32) for n, t in texts.items()})
    keys = np.repeat(np.array(files.keys.to_list(), object), files.run_lengths)
    assert list(files.hashes) == [h for d in several for h in (lambda f: f.key_hashes(0, f.keys))(opened(d))]
    return _rows(keys, block, names, texts)


def _rows(keys: Any, block: Any, names: list[str], texts: dict[str, list[str]]) -> list[tuple[Any, ...]]:
    out = []
    for i, key in enumerate(keys.tolist()):
        row = [key, int(block.time[i])]
        for n in names:
            values, valid = block.columns[n]
            value = values[i if len(values) > 1 else 0]
            told = texts[n][value] if n in texts and valid[i if len(valid) > 1 else 0] else value.tobytes()
            row.append(told if valid[i if len(valid) > 1 else 0] else None)
        out.append(tuple(row))
    return out


@given(files())
def test_the_same_rows(several: list[bytes]) -> None:
    assert rows_joined(several) == [row for data in several for row in rows_alone(data)]


@given(files(), st.randoms(use_true_random=False))
def test_a_footer_that_is_refused_alone_is_refused_among_others(several: list[bytes], luck: random.Random) -> None:
    """A bit of one footer flips, or a byte of the points; checksums of the footer are as if it had been written so."""
    at = luck.randrange(len(several))
    data = several[at]
    offset, length, raw, _, _ = layout.unpack_trailer(data[-layout.TRAILER.size :], len(data))
    if luck.random() < 0.25 and offset > layout.HEADER.size:
        place = luck.randrange(layout.HEADER.size, offset)
        broken = data[:place] + bytes([data[place] ^ (1 << luck.randrange(8))]) + data[place + 1 :]
    else:
        footer = bytearray(zstandard.ZstdDecompressor().decompress(data[offset : offset + length]))
        start = 4 + int.from_bytes(footer[:4], "little")
        # Not the CRCs of frames, which only `verify` reads.
        frames = layout.unpack_footer(bytes(footer)).frames
        place = luck.randrange(start, len(footer) - 4 * len(frames))
        footer[place] ^= 1 << luck.randrange(8)
        packed = zstandard.ZstdCompressor(write_checksum=True, write_content_size=True).compress(bytes(footer))
        broken = data[:offset] + packed + layout.pack_trailer(offset, packed, raw, 1)
        assert zlib.crc32(packed) == layout.unpack_trailer(broken[-layout.TRAILER.size :], len(broken))[3]
    try:
        alone = rows_alone(broken)
    except (FormatError, ValueError):
        alone = None
    several = [*several[:at], broken, *several[at + 1 :]]
    if alone is None:
        with pytest.raises((ValueError, FormatError)):
            rows_joined(several)
    else:
        assert rows_joined(several) == [r for d in several for r in (alone if d is broken else rows_alone(d))]
