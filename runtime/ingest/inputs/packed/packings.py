"""Compressed bytes: recognised by content, not by name; unpacked in pieces of bounded size, checked to the end."""

from __future__ import annotations

import lzma
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import zstandard

from runtime.errors import IngestError
from runtime.ingest.inputs.byte_stream import Hashed
from runtime.ingest.inputs.packed.packed_units import Deflated, DeflateError, Unit, Zstd, bzip2_unit, xz_unit

_AGAIN = "Fetch it again; nothing of it was ingested."

ARCHIVES = (b"PK\x03\x04", b"PK\x05\x06")
"""The first bytes of a zip archive; the second those of an empty one."""

_OTHERS = {b"7z\xbc\xaf\x27\x1c": "a 7z archive", b"Rar!\x1a\x07": "a RAR archive"}
_TAR, _TAR_AT = b"ustar", 257


@dataclass(frozen=True)
class Packing:
    """A way to compress: its name, the first bytes of each unit, and whether zeros may follow as padding."""

    name: str
    begins: Callable[[bytes], bool]
    unit: Callable[[], Unit]
    magic: int = 4
    padded: bool = False


def _is(data: bytes, *magics: bytes) -> bool:
    """Whether the data begins with one of them, or is a beginning of it."""
    return len(data) >= 2 and any(data[: len(magic)] == magic[: len(data)] for magic in magics)


def _zstd_begins(data: bytes) -> bool:
    """A frame, or a skippable one."""
    return data[:4] == b"\x28\xb5\x2f\xfd" or (
        len(data) >= 4 and data[0] & 0xF0 == 0x50 and data[1:4] == b"\x2a\x4d\x18"
    )


def _bzip2_begins(data: bytes) -> bool:
    """The header of a stream with its block size, then a block or the end."""
    level = data[3:4]
    return level in b"123456789" and _is(data, b"BZh" + level + b"1AY&SY", b"BZh" + level + b"\x17\x72\x45\x38\x50\x90")


PACKINGS = (
    Packing("gzip", lambda data: _is(data, b"\x1f\x8b"), Deflated, magic=2, padded=True),
    Packing("zstd", _zstd_begins, Zstd),
    Packing("bzip2", _bzip2_begins, bzip2_unit, magic=10),
    Packing("xz", lambda data: _is(data, b"\xfd7zXZ\0"), xz_unit, magic=6, padded=True),
)
_MAGIC = max(p.magic for p in PACKINGS)


def decompressed(source: Hashed, name: str) -> Iterator[bytes]:
    """The source's content in pieces of bounded size; ``IngestError`` when its compression is damaged or cut short, or
    when it is an archive, which holds sources but is none."""
    first = source.take()
    while 0 < len(first) < _MAGIC:
        more = source.take()
        if not more:
            break
        first += more
    packing = next((p for p in PACKINGS if p.begins(first)), None)
    pieces = _plain(first, source) if packing is None else unpacked(first, source, name, packing)
    piece = next(pieces, b"")
    while len(piece) < _TAR_AT + len(_TAR) and (more := next(pieces, b"")):
        piece += more
    _refuse_archive(piece, name)
    if piece:
        yield piece
    yield from pieces


def _refuse_archive(head: bytes, name: str) -> None:
    what = next((what for magic, what in _OTHERS.items() if head.startswith(magic)), None)
    if head.startswith(ARCHIVES):
        what = "a zip archive within another file"
    elif head[_TAR_AT : _TAR_AT + len(_TAR)] == _TAR:
        what = "a tar archive"
    if what is not None:
        raise IngestError(f"{name} is {what}: unpack it and ingest the files in it. Nothing of it was ingested.")


def _plain(first: bytes, source: Hashed) -> Iterator[bytes]:
    while first:
        yield first
        first = source.take()


def unpacked(data: bytes, source: Hashed, name: str, packing: Packing, single: bool = False) -> Iterator[bytes]:
    """Decompress consecutive units, or a ``single`` one, from ``data`` and the rest of the source.

    After the first unit, only more of them or zero padding may follow.
    """
    what = packing.name
    while True:
        z = packing.unit()
        while not z.ended:
            if not data and z.hungry:
                data = source.take()
                if not data:
                    raise IngestError(
                        f"{name} is cut short: its {what} data ends at byte {source.bytes:,} in the middle. {_AGAIN}"
                    )
            try:
                out = z.feed(data)
            except (DeflateError, zstandard.ZstdError, lzma.LZMAError, OSError, ValueError, EOFError) as error:
                raise _damage(name, what, source.bytes - len(data), error) from error
            data = z.waiting
            if out:
                yield out
        data = z.rest
        while True:
            if packing.padded:
                data = data.lstrip(b"\0")  # padding, as tape blocks and some tools leave it
            if len(data) >= packing.magic:
                break
            more = source.take()
            if not more:
                break
            data += more
        if not data:
            return
        if single or not packing.begins(data):
            raise IngestError(
                f"{name} has something else after its {what} data, at byte {source.bytes - len(data):,}: it is damaged "
                "or was joined from different files. Nothing of it was ingested."
            )


def _damage(name: str, what: str, at: int, error: Exception) -> IngestError:
    if "emory" in str(error):  # "Memory usage limit exceeded", "Frame requires too much memory for decoding"
        return IngestError(
            f"{name} needs too much memory to unpack: its {what} data near byte {at:,} was made with a window of more "
            "than 128 MB. Compress it again with a smaller one; nothing of it was ingested."
        )
    return IngestError(f"{name} is damaged: its {what} data is wrong near byte {at:,} ({error}). {_AGAIN}")
