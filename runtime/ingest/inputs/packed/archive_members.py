"""The files in a zip archive: unpacked as they are read, and checked against the archive's size and checksum."""

from __future__ import annotations

import hashlib
import os
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import IO

from runtime.errors import IngestError
from runtime.ingest.inputs.byte_stream import Hashed, Readable
from runtime.ingest.inputs.inputs import FileInput, Version, version
from runtime.ingest.inputs.packed.packed_units import Deflated, Unit, Zstd, bzip2_unit, lzma_unit
from runtime.ingest.inputs.packed.packings import ARCHIVES, Packing, unpacked

LOCAL_HEADER = 30
"""Bytes of the header before a member's name and data."""

_PIECE = 1 << 20
_LZMA_HEADER = 9  # 2 of the version, 2 of the size of what follows: 5 of the properties
_LZMA_MARKED = 1 << 1  # flag: the data ends with a mark, and not by its size


def _packing(name: str, unit: Callable[[], Unit]) -> Packing:
    """Of a single unit: nothing else may begin after it."""
    return Packing(name, lambda data: False, unit, magic=1)


METHODS: dict[int, Packing | None] = {
    zipfile.ZIP_STORED: None,
    zipfile.ZIP_DEFLATED: _packing("deflate", lambda: Deflated(-15)),
    zipfile.ZIP_BZIP2: _packing("bzip2", bzip2_unit),
    zipfile.ZIP_LZMA: _packing("LZMA", lzma_unit),
    93: _packing("zstd", Zstd),
}
"""How members are packed, by the number of the method."""


@dataclass(frozen=True)
class MemberInput(FileInput):
    """A file in a zip archive; ``path`` is where it would be if the archive were a folder.

    ``fault`` says why it cannot be read.
    """

    archive: IO[bytes] | None = None
    info: zipfile.ZipInfo = field(default_factory=zipfile.ZipInfo)
    fault: str | None = None

    def digest(self) -> tuple[str, Version]:
        """SHA-256 of its unpacked bytes, in hexadecimal, and its version."""
        sha = hashlib.sha256()
        with self.open() as file:
            before = version(file)
            while piece := file.read(_PIECE):
                sha.update(piece)
        return sha.hexdigest(), before

    @contextmanager
    def open(self) -> Iterator[Readable]:
        """Its unpacked bytes."""
        if self.archive is None or self.fault is not None:
            raise IngestError(f"{self.name} {self.fault}")
        yield MemberFile(self.archive, self.info, self.name)


class MemberFile:
    """The unpacked bytes of a member."""

    def __init__(self, archive: IO[bytes], info: zipfile.ZipInfo, name: str) -> None:
        self._number = archive.fileno()
        self._info, self._name = info, name
        self._pieces = self._checked()
        self._left = memoryview(b"")

    def read(self, size: int, /) -> bytes:
        """Up to ``size`` bytes; none at the end."""
        if not self._left:
            self._left = memoryview(next(self._pieces, b""))
        data = bytes(self._left[:size])
        self._left = self._left[len(data) :]
        return data

    @property
    def version(self) -> Version:
        """The archive's version, with the size of this member."""
        found = os.fstat(self._number)
        return found.st_dev, found.st_ino, self._info.file_size, found.st_mtime_ns

    def _checked(self) -> Iterator[bytes]:
        info, size, crc = self._info, 0, 0
        for piece in self._unpacked():
            size += len(piece)
            crc = zlib.crc32(piece, crc)
            yield piece
        if (size, crc) != (info.file_size, info.CRC):
            raise IngestError(
                f"{self._name} is damaged: it unpacks to {size:,} bytes with the checksum {crc:08x}, where its archive "
                f"says {info.file_size:,} and {info.CRC:08x}. Fetch the archive again; nothing of it was ingested."
            )

    def _unpacked(self) -> Iterator[bytes]:
        info, number = self._info, self._number
        packing, begin, head = METHODS[info.compress_type], self._begin(), b""
        end = begin + info.compress_size
        if info.compress_type == zipfile.ZIP_LZMA:
            # A stream by itself has the properties and the size, here in the archive's directory.
            size = -1 if info.flag_bits & _LZMA_MARKED else info.file_size
            head = os.pread(number, _LZMA_HEADER, begin)[4:] + struct.pack("<q", size)
            begin += _LZMA_HEADER
        source = Hashed(_Section(number, begin, end), self._name, digest="")
        source.bytes = begin  # positions in messages are those in the archive
        if packing is not None:
            yield from unpacked(head, source, self._name, packing, single=True)
            return
        while piece := source.take():
            yield piece

    def _begin(self) -> int:
        """Where its data begins, after the local header."""
        at = self._info.header_offset
        header = os.pread(self._number, LOCAL_HEADER, at)
        if len(header) < LOCAL_HEADER or header[:4] != ARCHIVES[0]:
            raise IngestError(
                f"{self._name} is damaged: its archive has no header for it at byte {at:,}. Fetch the archive again; "
                "nothing of it was ingested."
            )
        names, extra = struct.unpack("<HH", header[26:])
        return int(at + LOCAL_HEADER + names + extra)


class _Section:
    """A part of an open file, read at its place: several may be read at once."""

    def __init__(self, number: int, begin: int, end: int) -> None:
        self._number, self._at, self._end = number, begin, end

    def read(self, size: int, /) -> bytes:
        """Up to ``size`` bytes; none at the end."""
        data = os.pread(self._number, max(min(size, self._end - self._at), 0), self._at)
        self._at += len(data)
        return data
