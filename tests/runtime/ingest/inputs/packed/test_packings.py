"""Compressed sources: every way and every framing, all kinds of damage, and bombs."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import re
import subprocess
import sys
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from runtime.errors import IngestError
from runtime.ingest.inputs.byte_stream import Hashed
from runtime.ingest.inputs.packed.packings import decompressed
from tests.runtime.ingest.lake import Lake, T

PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "zstd": lambda data: zstandard.ZstdCompressor(write_checksum=True).compress(data),
    "bzip2": bz2.compress,
    "xz": lambda data: lzma.compress(data, check=lzma.CHECK_SHA256),
}
PADDED = ("gzip", "xz")
TEXT = b"".join(b"device-%d,%d\n" % (i % 7, i) for i in range(2000))


class Bits(io.RawIOBase):
    """A file that gives up to ``size`` bytes at a time."""

    def __init__(self, data: bytes, size: int) -> None:
        self._data = io.BytesIO(data)
        self._most = size

    def read(self, size: int = -1) -> bytes:
        return self._data.read(min(self._most, size))


def unpacked(data: bytes, size: int = 1 << 20) -> bytes:
    return b"".join(decompressed(Hashed(Bits(data, size), "x"), "x"))


@given(
    st.sampled_from(sorted(PACKERS)),
    st.lists(st.binary(max_size=200), min_size=1, max_size=4),
    st.integers(1, 50),
    st.integers(0, 3),
)
def test_any_number_of_parts_in_any_pieces(what: str, parts: list[bytes], size: int, padding: int) -> None:
    zeros = b"\0" * (4 * padding) if what in PADDED else b""
    packed = zeros.join(PACKERS[what](part) for part in parts) + zeros
    assert unpacked(packed, size) == b"".join(parts)


@pytest.mark.parametrize("what", PACKERS)
def test_every_truncation_is_an_error(what: str) -> None:
    packed = PACKERS[what](TEXT)
    for size in range(6, len(packed), 7):
        with pytest.raises(IngestError, match=rf"x is cut short: its {what} data ends at byte {size:,} in the middle"):
            unpacked(packed[:size])
    for size in range(len(packed) - 12, len(packed)):
        with pytest.raises(IngestError, match="cut short"):
            unpacked(packed[:size])
        with pytest.raises(IngestError, match="cut short"):
            unpacked(packed + packed[:size])


@pytest.mark.parametrize("what", PACKERS)
def test_every_damaged_byte_is_an_error_or_changes_nothing(what: str) -> None:
    packed = PACKERS[what](TEXT)
    errors = []
    for at in range(10, len(packed), max(len(packed) // 300, 1)):  # after the bytes by which it is known
        damaged = bytearray(packed)
        damaged[at] ^= 0x41
        try:
            same = unpacked(bytes(damaged)) == TEXT
            assert same, at  # a byte without meaning, such as gzip's time
        except IngestError as error:
            errors.append(str(error))
    assert len(errors) > 250
    assert [e for e in errors if not re.search("Fetch it again|too much memory|something else", e)] == []


@pytest.mark.parametrize("what", PACKERS)
@pytest.mark.parametrize("rest", [b"x", b"k,t\n", b"BZh", b"\x1f", b"\xfd7", b"PK\x03\x04", b"\0k"])
def test_anything_after_the_end_is_an_error(what: str, rest: bytes) -> None:
    packed = PACKERS[what](TEXT)
    with pytest.raises(IngestError, match=r"something else after its|is cut short") as raised:
        unpacked(packed + rest)
    if "something" in str(raised.value):
        at = len(packed) + (rest[:1] == b"\0" and what in PADDED)
        assert f"at byte {at:,}:" in str(raised.value)


@pytest.mark.parametrize("what", PACKERS)
def test_ingest_of_compressed_files(lake: Lake, tmp_path: Path, what: str) -> None:
    path = tmp_path / "a"
    path.write_bytes(PACKERS[what](b"k,t,v\na,%d,1\n" % T))
    assert lake.ingest(path).committed == 1
    assert lake.ingest(path).sources[0].status == "already ingested"
    with pytest.raises(IngestError, match=f"cut short: its {what}"):
        lake.ingest(io.BytesIO(path.read_bytes()[:-3]))


def test_too_large_a_window_is_no_damage() -> None:
    filters = [{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 30}]
    packed = lzma.compress(b"k,t\n", filters=filters)
    with pytest.raises(IngestError, match="x needs too much memory to unpack: its xz data near byte"):
        unpacked(packed)


def test_archives_that_are_none_of_ours() -> None:
    tar = io.BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a.csv"), io.BytesIO())
    for data, what in [
        (tar.getvalue(), "a tar archive"),
        (gzip.compress(tar.getvalue(), mtime=0), "a tar archive"),
        (b"7z\xbc\xaf\x27\x1c" + bytes(20), "a 7z archive"),
        (b"Rar!\x1a\x07\x01\0", "a RAR archive"),
        (gzip.compress(b"PK\x03\x04" + bytes(30), mtime=0), "a zip archive within another file"),
    ]:
        for size in (1, 1 << 20):
            with pytest.raises(IngestError, match=f"x is {what}: unpack it and ingest the files in it"):
                unpacked(data, size)


BOMB = """
import sys
from runtime.ingest.inputs.byte_stream import Hashed
from runtime.ingest.inputs.packed.packings import decompressed
from tests.runtime.ingest.memory import peak
with open(sys.argv[1], "rb") as file:
    size = sum(map(len, decompressed(Hashed(file, "x"), "x")))
print(size, peak())
"""


@pytest.mark.parametrize("what", PACKERS)
def test_a_bomb_is_unpacked_a_little_at_a_time(tmp_path: Path, what: str) -> None:
    """A quarter of a gigabyte of zeros, of which only a few megabytes are in memory at once."""
    path = tmp_path / "bomb"
    path.write_bytes(PACKERS[what](bytes(1 << 26)) * 4)
    root = Path(__file__).parents[5]
    command = [sys.executable, "-c", BOMB, str(path)]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=root, check=False)
    assert ran.returncode == 0, ran.stderr
    size, peak = map(int, ran.stdout.split())
    assert size == 1 << 28
    assert peak < 200 << 20, peak
