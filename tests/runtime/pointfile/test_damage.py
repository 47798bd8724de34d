"""No damaged byte gives a wrong result, and the only error is FormatError."""

from __future__ import annotations

import random
import struct
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from operators.types import Type
from runtime.columns import Column, Points
from runtime.errors import FormatError
from runtime.pointfile import Buffers, PointFile, layout, verify_file
from runtime.pointfile.frames import Compressor, expand, frame_head
from runtime.pointfile.reading.stored_footer import expand_footer
from tests.runtime.pointfile.cases import START, column, file_rows, open_bytes, packed, text_column

BUFFERS = Buffers()
GOLDEN = Path(__file__).parent / "golden"


def small() -> bytes:
    """A small file with every encoding, nulls and a dictionary in it."""
    rng = np.random.default_rng(2)
    n = 300
    key = text_column([f"d{i % 7}" for i in range(n)])
    time = START + np.arange(n) * 1000 + rng.integers(0, 300, n)
    walk: list[object] = (np.cumsum(rng.integers(-3, 4, n)) / 10).tolist()
    columns = {
        "walk": column(Type.FLOAT, walk),
        "raw": Column(Type.FLOAT, rng.random(n)),
        "n": column(Type.INT, [None if i % 11 == 0 else int(v) for i, v in enumerate(rng.integers(0, 9, n))]),
        "b": Column(Type.BOOL, rng.integers(0, 2, n).astype(np.uint8)),
        "s": text_column([("up", "down", "off", None)[i // 50 % 4] for i in range(n)]),
        "c": text_column(["same"] * n),
    }
    return packed(Points(key, time, columns), block_rows=128)


def outcome(data: bytes) -> object:
    """The rows, or None where the file is refused."""
    try:
        file = open_bytes(data)
        return file_rows(file, BUFFERS), file.blocks.tolist(), [file.chunks(c).tolist() for c in file.schema]
    except FormatError:
        return None


def is_refused_by_verify(data: bytes) -> bool:
    try:
        verify_file(open_bytes(data), BUFFERS)
    except FormatError as error:
        return "test.points" in str(error)
    return False


def test_a_flipped_bit_in_every_byte() -> None:
    data = small()
    truth = outcome(data)
    unnoticed = 0
    for at in range(len(data)):
        for bit in range(8) if at < 40 or at >= len(data) - 40 else (at * 5 % 8,):
            damaged = bytearray(data)
            damaged[at] ^= 1 << bit
            found = outcome(bytes(damaged))
            assert found is None or found == truth, f"byte {at}, bit {bit}"
            if found is not None:
                unnoticed += 1
                assert is_refused_by_verify(bytes(damaged)), f"byte {at}, bit {bit}"
    # zstd has more than one way of saying the same; such a flip changes no value.
    assert unnoticed < len(data) // 20


def test_every_truncation() -> None:
    data = small()
    for size in range(len(data)):
        assert outcome(data[:size]) is None


def test_bytes_put_in_or_behind_or_left_out() -> None:
    data = small()
    assert outcome(data + b"\0") is None
    assert outcome(data + data) is None
    for at in range(0, len(data), 5):
        assert outcome(data[:at] + b"\0" + data[at:]) is None
        assert outcome(data[:at] + data[at + 1 :]) is None


@given(st.binary(max_size=300))
def test_any_bytes(data: bytes) -> None:
    assert outcome(data) is None


@pytest.mark.parametrize("seed", range(20))
def test_random_damage(seed: int) -> None:
    rng = random.Random(seed)
    data = small()
    truth = outcome(data)
    for _ in range(30):
        damaged = bytearray(data)
        for _ in range(rng.randint(1, 6)):
            at, length = rng.randrange(len(data)), rng.randint(1, 40)
            damaged[at : at + length] = rng.choice([rng.randbytes(length), bytes(length), damaged[:length]])
        found = outcome(bytes(damaged))
        assert found is None or found == truth


# A hostile writer computes its checksums right, so the claims themselves have to be checked.


def rewritten(data: bytes, change: Callable[[layout.Footer], layout.Footer]) -> bytes:
    """The file with another footer, and checksums that fit it."""
    offset, length, raw, *_ = layout.unpack_trailer(data[-layout.TRAILER.size :], len(data))
    footer = layout.unpack_footer(expand_footer(data[offset : offset + length], raw))
    blocks, chunks, frames = footer.blocks.copy(), footer.chunks.copy(), footer.frames.copy()
    packed_footer = layout.pack_footer(change(replace(footer, blocks=blocks, chunks=chunks, frames=frames)))
    return with_footer(data[:offset], packed_footer)


def with_footer(front: bytes, footer: bytes) -> bytes:
    tail = zstandard.ZstdCompressor(write_checksum=True, write_content_size=True).compress(footer)
    return front + tail + layout.pack_trailer(len(front), tail, len(footer), 1)


def lies(data: bytes) -> Iterator[tuple[str, bytes]]:
    """The file with each number of its directories replaced by values that are not true of it."""
    tables: tuple[tuple[str, tuple[tuple[str, str], ...]], ...] = (
        ("blocks", layout.BLOCK_FIELDS),
        ("chunks", layout.CHUNK_FIELDS),
        ("frames", layout.FRAME_FIELDS),
    )
    for table, fields in tables:
        for field, kind in fields:
            info = np.iinfo(kind)
            for lie in (0, 1, 2, 5, 8, 9, 255, 600, int(info.max), int(info.min), int(info.max) // 2):
                if not info.min <= lie <= info.max:
                    continue
                for at in range(0, 10, 3):

                    def change(footer: layout.Footer, table: str = table, field: str = field) -> layout.Footer:
                        flat = getattr(footer, table).reshape(-1)
                        flat[field][at % len(flat)] = lie  # noqa: B023
                        return footer

                    yield f"{table}.{field}[{at}] = {lie}", rewritten(data, change)


def test_lies_in_the_directories_never_escape() -> None:
    """What is read may be wrong for a lie about a value, but it is rows of the right shape, or FormatError."""
    data = small()
    truth = outcome(data)
    refused = 0
    for what, lying in lies(data):
        if outcome(lying) is None:
            refused += 1
        elif outcome(lying) != truth:
            assert (
                is_refused_by_verify(lying) or ".base" in what or ".scale" in what or ".tick" in what or "step" in what
            ), what
    assert refused > 300


def changed(footer: layout.Footer, **values: Any) -> layout.Footer:
    return replace(footer, **values)


@pytest.mark.parametrize(
    "values",
    [
        {"rows": 0},
        {"rows": 301},
        {"rows": layout.MAX_ROWS},
        {"keys": 0},
        {"keys": 300},
        {"day": 0},
        {"day": 1 << 25},
        {"key_name": "ts"},
        {"time_name": "walk"},
        {"key_words": layout.WordsEntry(6, 1, 14)},
        {"key_words": layout.WordsEntry(7, 8, 14)},
        {"key_words": layout.WordsEntry(7, 1, 13)},
        {"key_words": layout.WordsEntry(7, 1, 1 << 31)},
        {"key_words": layout.WordsEntry(7, 1, 1 << 30)},
        {"key_type": Type.INT, "key_words": None},
        {"count_width": 8},
        {"count_width": 9},
        {"shard_keys": np.zeros(256, np.int64)},
        {"shard_rows": np.ones(256, np.int64)},
        {"columns": {}, "words": {}},
    ],
)
def test_lies_in_the_metadata(values: dict[str, Any]) -> None:
    assert outcome(rewritten(small(), lambda footer: changed(footer, **values))) is None


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"{}",
        b'{"rows": "many"}',
        b'{"rows": -1}',
        b'{"rows": 1e300}',
        b"\xff",
        b'{"rows": true}',
    ],
)
def test_metadata_that_is_none(text: bytes) -> None:
    data = small()
    offset = layout.unpack_trailer(data[-layout.TRAILER.size :], len(data))[0]
    assert outcome(with_footer(data[:offset], struct.pack("<I", len(text)) + text)) is None
    assert outcome(with_footer(data[:offset], text or b"\0")) is None


def test_a_newer_encoding_says_so() -> None:
    def change(footer: layout.Footer) -> layout.Footer:
        footer.chunks["encoding"][1, 0] = 6
        return footer

    with pytest.raises(FormatError, match="column 'walk' has encoding 6, which a newer version wrote"):
        open_bytes(rewritten(small(), change))


def test_a_newer_version_says_so() -> None:
    data = bytearray(small())
    struct.pack_into("<H", data, len(data) - 16, 3)
    struct.pack_into("<I", data, len(data) - 12, zlib.crc32(data[-36:-12]))
    with pytest.raises(FormatError, match="version 3, written by a newer version"):
        open_bytes(bytes(data))


def test_messages_name_the_file_and_the_place() -> None:
    data = small()
    file = open_bytes(data)
    at = int(file.places.offsets[file.places.chunk_frames[2, 1]]) + 12
    damaged = data[:at] + bytes([data[at] ^ 0x55]) + data[at + 1 :]
    with pytest.raises(FormatError, match=r"test\.points is damaged: block 1 of column 'raw'"):
        file_rows(open_bytes(damaged))
    with pytest.raises(FormatError, match=r"test\.points cannot be read as a point file: it does not end"):
        open_bytes(data[:-1])
    with pytest.raises(FormatError, match="has only 10 bytes"):
        open_bytes(data[:10])


def test_a_declared_size_is_not_believed() -> None:
    """A footer and frames that declare gigabytes cost nothing."""
    bomb = zstandard.ZstdCompressor(write_checksum=True).compress(bytes(1 << 28))
    data = small()
    offset = layout.unpack_trailer(data[-layout.TRAILER.size :], len(data))[0]
    tracemalloc.start()
    try:
        for raw in (1 << 28, 1 << 30, 4_000_000_000, 100):
            assert outcome(data[:offset] + bomb + layout.pack_trailer(offset, bomb, raw, 1)) is None
        with pytest.raises(ValueError, match="does not begin as it must"):
            expand(zstandard.ZstdDecompressor(), memoryview(bomb), 1000)
        lying = frame_head(1000) + bomb[9:]
        with pytest.raises(ValueError, match="zstd"):
            expand(zstandard.ZstdDecompressor(), memoryview(lying), 1000)
        assert tracemalloc.get_traced_memory()[1] < 1 << 25
    finally:
        tracemalloc.stop()


def test_frames_that_are_not_one_whole_frame() -> None:
    raw = np.arange(200, dtype=np.uint8)
    frame = Compressor(3).frame(raw)
    decompressor = zstandard.ZstdDecompressor()
    assert expand(decompressor, memoryview(frame), 200) == raw.tobytes()
    for bad in (frame + b"\0", frame + frame, frame[:-1], frame[:4], b"", frame[:-4] + bytes(4)):
        with pytest.raises(ValueError, match=r"frame|zstd"):
            expand(decompressor, memoryview(bad), 200)
    for size in (0, 199, 201, 456):
        with pytest.raises(ValueError, match="begin"):
            expand(decompressor, memoryview(frame), size)
    unchecked = zstandard.ZstdCompressor(write_checksum=False).compress(raw.tobytes())
    with pytest.raises(ValueError, match="begin"):
        expand(decompressor, memoryview(unchecked), 200)


@pytest.mark.nightly
@pytest.mark.parametrize("name", ["small", *sorted(path.name for path in GOLDEN.glob("*.points"))])
def test_every_bit(name: str) -> None:
    data = small() if name == "small" else (GOLDEN / name).read_bytes()
    truth = outcome(data)
    for at in range(len(data)):
        for bit in range(8):
            damaged = bytearray(data)
            damaged[at] ^= 1 << bit
            found = outcome(bytes(damaged))
            assert found is None or found == truth, f"byte {at}, bit {bit}"
            assert found is None or is_refused_by_verify(bytes(damaged)), f"byte {at}, bit {bit}"


def test_errors_of_the_source_pass_through() -> None:
    def broken(offset: int, length: int) -> bytes:
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        PointFile.open(broken, 1000, "x")
