"""A source's bytes in chunks: hashed as received, decompressed by content (not by name)."""

from __future__ import annotations

import hashlib
import queue
import threading
import zlib
from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import zstandard

from runtime.errors import IngestError

CHUNK = 1 << 22
_READ = 1 << 20
GZIP = b"\x1f\x8b"
ZSTD = b"\x28\xb5\x2f\xfd"


class Readable(Protocol):
    """An open binary file."""

    def read(self, size: int, /) -> bytes:
        """Up to ``size`` bytes; none at the end."""
        ...


class Hashed:
    """A file that is hashed and counted as it is read; ``take`` returns the next bytes.

    A known ``digest`` is not computed again.
    """

    def __init__(self, file: Readable, name: str, digest: str | None = None) -> None:
        self._file = file
        self._name = name
        self._known = digest
        self._sha = hashlib.sha256()
        self.bytes = 0

    def take(self) -> bytes:
        """The next bytes; none at the end."""
        try:
            data = self._file.read(_READ)
        except (OSError, ValueError) as error:
            raise IngestError(f"{self._name} cannot be read after byte {self.bytes:,}: {error}.") from error
        if not isinstance(data, bytes):
            if data is None or isinstance(data, str):
                raise IngestError(f"{self._name} does not give bytes: open it in binary mode ('rb').")
            data = bytes(data)
        if self._known is None:
            self._sha.update(data)
        self.bytes += len(data)
        return data

    def drain(self) -> None:
        """Read the rest, so that the hash covers the whole source."""
        while self.take():
            pass

    @property
    def digest(self) -> str:
        """SHA-256 of what was read, in hexadecimal."""
        return self._sha.hexdigest() if self._known is None else self._known


def decompressed(source: Hashed, name: str) -> Iterator[bytes]:
    """The source's content in pieces of bounded size; ``IngestError`` when its compression is damaged or cut short."""
    first = source.take()
    while 0 < len(first) < 4:
        more = source.take()
        if not more:
            break
        first += more
    if first.startswith(GZIP):
        yield from _inflated(first, source, name, "gzip", GZIP, _Gzip)
    elif first.startswith(ZSTD) or _skippable(first):
        yield from _inflated(first, source, name, "zstd", ZSTD, _Zstd)
    else:
        while first:
            yield first
            first = source.take()


def _skippable(data: bytes) -> bool:
    return len(data) >= 4 and data[0] & 0xF0 == 0x50 and data[1:4] == b"\x2a\x4d\x18"


class _Gzip:
    """One gzip member; returns at most a chunk at a time, however much it unpacks to."""

    def __init__(self) -> None:
        self._z = zlib.decompressobj(wbits=31)

    def feed(self, data: bytes) -> bytes:
        return self._z.decompress(data, CHUNK)

    @property
    def waiting(self) -> bytes:
        return self._z.unconsumed_tail

    @property
    def ended(self) -> bool:
        return self._z.eof

    @property
    def rest(self) -> bytes:
        return self._z.unused_data


class _Zstd:
    """One zstd frame, fed a little at a time so that a bomb never unpacks at once.

    zstandard's ``decompressobj`` unpacks all of its input at once, and four bytes of input can unpack to 128 KB: a step
    of 1 KB bounds the output to some 32 MB. A frame's window is bounded to 128 MB.
    """

    def __init__(self) -> None:
        self._z: Any = zstandard.ZstdDecompressor(max_window_size=1 << 27).decompressobj()
        self._queue = b""

    def feed(self, data: bytes) -> bytes:
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
    def waiting(self) -> bytes:
        return b"" if self._z.eof else self._queue

    @property
    def ended(self) -> bool:
        return bool(self._z.eof)

    @property
    def rest(self) -> bytes:
        return bytes(self._z.unused_data) + self._queue


_ZSTD_STEP = 1 << 10


def _inflated(data: bytes, source: Hashed, name: str, what: str, magic: bytes, unit: type[Any]) -> Iterator[bytes]:
    """Decompress consecutive members or frames; after the first, only more of them or zero padding may follow."""
    while True:
        z = unit()
        while not z.ended:
            if not data:
                data = source.take()
                if not data and not z.ended:
                    raise IngestError(
                        f"{name} is cut short: its {what} data ends at byte {source.bytes:,} in the middle. Fetch it "
                        "again; nothing of it was ingested."
                    )
            try:
                out = z.feed(data)
            except (zlib.error, zstandard.ZstdError) as error:
                raise IngestError(
                    f"{name} is damaged: its {what} data is wrong near byte {source.bytes - len(data):,} ({error}). "
                    "Fetch it again; nothing of it was ingested."
                ) from error
            data = z.waiting
            if out:
                yield out
        data = z.rest
        while True:
            if what == "gzip":
                data = data.lstrip(b"\0")  # padding, as tape blocks and some tools leave it
            if len(data) >= 4 or (len(data) >= 2 and what == "gzip"):
                break
            more = source.take()
            if not more:
                break
            data += more
        if not data:
            return
        if not data.startswith(magic) and not (what == "zstd" and _skippable(data)):
            raise IngestError(
                f"{name} has something else after its {what} data, at byte {source.bytes - len(data):,}: it is damaged "
                "or was joined from different files. Nothing of it was ingested."
            )


class Prefetched:
    """Pieces of another iterator, read ahead by a thread, so that unpacking and parsing overlap."""

    def __init__(self, pieces: Iterator[bytes], ahead: int = 4) -> None:
        self._queue: queue.Queue[bytes | BaseException | None] = queue.Queue(ahead)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(pieces,), daemon=True)
        self._thread.start()

    def _run(self, pieces: Iterator[bytes]) -> None:
        end: BaseException | None = None
        try:
            for piece in pieces:
                if not self._put(piece):
                    return
        except BaseException as error:
            end = error
        self._put(end)

    def _put(self, item: bytes | BaseException | None) -> bool:
        while not self._stop.is_set():
            try:
                self._queue.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def __iter__(self) -> Iterator[bytes]:
        while not self._stop.is_set():
            item = self._queue.get()
            if item is None:
                return
            if isinstance(item, BaseException):
                raise item
            yield item

    def close(self) -> None:
        """Stop the thread; needed when not everything was read. Does not wait for a thread that waits for input."""
        self._stop.set()
        self._thread.join(1.0)


class Text:
    """The buffer in which text is scanned: the remaining text, extended at its end."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = iter(pieces)
        self.data = b""
        self.base = 0
        self.line = 1
        self.final = False

    def more(self, keep: int, size: int = CHUNK) -> None:
        """Drop the text before position ``keep`` and read until there are ``size`` new bytes, or the end."""
        self.line += int(np.count_nonzero(np.frombuffer(self.data, np.uint8, keep) == 10)) if keep else 0
        self.base += keep
        parts = [self.data[keep:]]
        got = 0
        while got < size:
            piece = next(self._pieces, None)
            if piece is None:
                self.final = True
                break
            parts.append(piece)
            got += len(piece)
        self.data = b"".join(parts)

    def skip_line(self, keep: int) -> int:
        """The position after the next line end from position ``keep`` on, or of the end; reads more as needed."""
        end = self.data.find(b"\n", keep)
        while end < 0 and not self.final:
            self.more(len(self.data))
            end = self.data.find(b"\n")
        return end + 1 if end >= 0 else len(self.data)
