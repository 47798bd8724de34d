"""Units of compressed data: each unpacks one member, frame or stream, in pieces of bounded size."""

from __future__ import annotations

import bz2
import lzma
from typing import Any, Protocol, cast

import zstandard
from isal import isal_zlib

from runtime.ingest.inputs.byte_stream import CHUNK

DeflateError = cast(type[Exception], isal_zlib.error)
"""Damaged deflate data (the library's types say that it is an instance)."""

_READ = 1 << 20
_STEP = 1 << 16
"""Packed bytes that bzip2 and xz are given at once, so that an error's position is that close."""

_ZSTD_STEP = 1 << 10
_XZ_MEMORY = 1 << 28


class Unit(Protocol):
    """One member, frame or stream of a compressed source, being unpacked."""

    def feed(self, data: bytes) -> bytes:
        """Take more packed bytes; some of what they unpack to, never much more than ``CHUNK`` bytes."""
        ...

    @property
    def waiting(self) -> bytes:
        """Packed bytes that were given and must be given again."""
        ...

    @property
    def hungry(self) -> bool:
        """Whether nothing comes without more packed bytes."""
        ...

    @property
    def ended(self) -> bool:
        """Whether the unit is complete."""
        ...

    @property
    def rest(self) -> bytes:
        """The given bytes after its end."""
        ...


class Deflated:
    """Deflate data: a gzip member or, with ``wbits`` -15, without header and checksum."""

    def __init__(self, wbits: int = 31) -> None:
        self._z = isal_zlib.decompressobj(wbits=wbits)  # four times as fast as zlib
        self._full = False

    def feed(self, data: bytes) -> bytes:
        """See Unit."""
        out = self._z.decompress(data, CHUNK)
        self._full = len(out) == CHUNK
        return out

    @property
    def waiting(self) -> bytes:
        """See Unit."""
        return self._z.unconsumed_tail

    @property
    def hungry(self) -> bool:
        """See Unit; when the output was cut, there may be more of it without any input left."""
        return not self._full

    @property
    def ended(self) -> bool:
        """See Unit."""
        return self._z.eof

    @property
    def rest(self) -> bytes:
        """See Unit."""
        return self._z.unused_data


class Stepped:
    """A decompressor that holds its input itself, fed in steps: bzip2, xz."""

    def __init__(self, z: Any) -> None:
        self._z = z
        self._queue = b""

    def feed(self, data: bytes) -> bytes:
        """See Unit."""
        step = data[:_STEP] if self._z.needs_input else b""
        self._queue = data[len(step) :]
        out: bytes = self._z.decompress(step, CHUNK)
        return out

    @property
    def waiting(self) -> bytes:
        """See Unit."""
        return b"" if self._z.eof else self._queue

    @property
    def hungry(self) -> bool:
        """See Unit."""
        return bool(self._z.needs_input)

    @property
    def ended(self) -> bool:
        """See Unit."""
        return bool(self._z.eof)

    @property
    def rest(self) -> bytes:
        """See Unit."""
        return bytes(self._z.unused_data) + self._queue


class Zstd(Stepped):
    """One zstd frame, fed a little at a time so that a bomb never unpacks at once.

    zstandard's ``decompressobj`` unpacks all of its input at once, and four bytes of input can unpack to 128 KB: a step
    of 1 KB bounds the output to some 32 MB. A frame's window is bounded to 128 MB.
    """

    def __init__(self) -> None:
        super().__init__(zstandard.ZstdDecompressor(max_window_size=1 << 27).decompressobj())

    def feed(self, data: bytes) -> bytes:
        """See Unit."""
        parts = []
        size = 0
        at = 0
        while at < len(data) and size < _READ and not self._z.eof:
            part = self._z.decompress(data[at : at + _ZSTD_STEP])
            at += _ZSTD_STEP
            size += len(part)
            parts.append(part)
        self._queue = data[at:]
        return b"".join(parts)

    @property
    def hungry(self) -> bool:
        """See Unit."""
        return True


def xz_unit() -> Unit:
    """One xz stream; its dictionary is bounded by memory."""
    return Stepped(lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY))


def lzma_unit() -> Unit:
    """One stream of the older format, which has a header of 13 bytes; zip archives hold it in pieces."""
    return Stepped(lzma.LZMADecompressor(lzma.FORMAT_ALONE, memlimit=_XZ_MEMORY))


def bzip2_unit() -> Unit:
    """One bzip2 stream."""
    return Stepped(bz2.BZ2Decompressor())
