"""Frames: arrays of unsigned integers as byte planes, each piece its own zstd frame."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import zstandard
from numpy.typing import NDArray

from runtime.pointfile.chunk_loops import planes

JOINED = 4096
"""An array of at most this many bytes is one frame with all its planes; else each plane has its own frames."""

PIECE = 1 << 19
"""Maximum uncompressed bytes of a frame; small enough that zstd has only one form of the frame header."""


@lru_cache(maxsize=4096)
def frame_head(raw: int) -> bytes:
    """The bytes with which a frame of ``raw`` bytes must begin: one segment, declared size, content checksum."""
    if raw < 256:
        return b"\x28\xb5\x2f\xfd\x24" + raw.to_bytes(1, "little")
    if raw < 65792:
        return b"\x28\xb5\x2f\xfd\x64" + (raw - 256).to_bytes(2, "little")
    return b"\x28\xb5\x2f\xfd\xa4" + raw.to_bytes(4, "little")


@lru_cache(maxsize=4096)
def raw_sizes(count: int, width: int) -> tuple[int, ...]:
    """The raw sizes of the frames of an array of ``count`` integers, ``width`` bytes each."""
    total = count * width
    if total == 0:
        return ()
    if total <= JOINED:
        return (total,)
    pieces = (PIECE,) * (count // PIECE) + ((count % PIECE,) if count % PIECE else ())
    return pieces * width


def expand(decompressor: zstandard.ZstdDecompressor, frame: memoryview, raw: int) -> bytes:
    """The ``raw`` bytes in a frame; ValueError unless the bytes are one intact frame of that size."""
    head = frame_head(raw)
    # The declared size is checked before zstd sees the frame, so that no frame makes it allocate more.
    if frame[: len(head)] != head:
        raise ValueError("a frame does not begin as it must")
    try:
        out = decompressor.decompress(frame, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise ValueError(f"zstd: {error}") from None
    if len(out) != raw:
        raise ValueError("a frame holds less than it declares")
    return out


class Frames:
    """The consecutive frames of a dictionary or of the keys' row counts, taken one after the other."""

    def __init__(self, data: memoryview, sizes: list[int], zstd: zstandard.ZstdDecompressor) -> None:
        self._data = data
        self._sizes = iter(sizes)
        self._zstd = zstd
        self._at = 0

    def take(self, raw: int) -> bytes:
        """The next frame's bytes."""
        end = self._at + next(self._sizes)
        frame = self._data[self._at : end]
        self._at = end
        return expand(self._zstd, frame, raw)


class Compressor:
    """Builds frames, always with content checksum and declared size."""

    def __init__(self, level: int) -> None:
        self._zstd = zstandard.ZstdCompressor(level=level, write_checksum=True, write_content_size=True)

    def frame(self, raw: NDArray[np.uint8]) -> bytes:
        """One frame of at most ``PIECE`` bytes."""
        out = self._zstd.compress(raw.data)
        if not out.startswith(frame_head(len(raw))):
            raise ValueError("the zstd library wrote a frame header that the point file format does not allow")
        return out

    def array(self, values: NDArray[np.uint64], width: int) -> list[bytes]:
        """The frames of the lowest ``width`` bytes of each value."""
        count = len(values)
        if count * width == 0:
            return []
        out = np.empty((width, count), np.uint8)
        planes(np.ascontiguousarray(values), out)
        return self.planes(out)

    def planes(self, planes: NDArray[np.uint8]) -> list[bytes]:
        """The frames of byte planes, shape (width, count)."""
        if planes.size <= JOINED:
            return [self.frame(planes.ravel())] if planes.size else []
        return [self.frame(plane[at : at + PIECE]) for plane in planes for at in range(0, len(plane), PIECE)]


def width_of(largest: int) -> int:
    """The number of bytes that represent ``largest``: 0 for zero."""
    return (largest.bit_length() + 7) // 8
