"""A source's bytes: hashed as received, read ahead by a thread, and the buffer in which text is scanned."""

from __future__ import annotations

import hashlib
import queue
import re
import threading
from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar

import numpy as np

from runtime.errors import IngestError
from runtime.helpers import go_on

CHUNK = 1 << 22
_READ = 1 << 20
LINE_END = re.compile(rb"\r\n|\n|\r")
"""However lines end."""

_LINE_FEED = re.compile(rb"\n")


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


_Piece = TypeVar("_Piece")


class Prefetched(Generic[_Piece]):
    """Pieces of another iterator, read ahead by a thread, so that unpacking, scanning and typing overlap."""

    def __init__(self, pieces: Iterator[_Piece], ahead: int = 4) -> None:
        self._queue: queue.Queue[_Piece | BaseException | None] = queue.Queue(ahead)
        self._stop = threading.Event()
        self._pieces: Iterator[_Piece] | None = None
        self._thread = threading.Thread(target=self._run, args=(pieces,), daemon=True)
        try:
            self._thread.start()
        except RuntimeError:  # Python starts none once the main thread has ended
            go_on()
            self._pieces = pieces

    def _run(self, pieces: Iterator[_Piece]) -> None:
        end: BaseException | None = None
        try:
            for piece in pieces:
                if not self._put(piece):
                    return
        except BaseException as error:
            end = error
        self._put(end)

    def _put(self, item: _Piece | BaseException | None) -> bool:
        while not self._stop.is_set():
            try:
                self._queue.put(item, timeout=0.1)
                return True
            except queue.Full:
                continue
        return False

    def __iter__(self) -> Iterator[_Piece]:
        if self._pieces is not None:
            yield from self._pieces
            return
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
        if self._pieces is None:
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

    def skip_line(self, keep: int, returns: bool = False) -> int:
        """The position after the next line end from position ``keep`` on, or of the end; reads more as needed.

        With ``returns``, a carriage return alone is a line end, too.
        """
        ends = LINE_END if returns else _LINE_FEED
        end = ends.search(self.data, keep)
        while end is None and not self.final:
            self.more(len(self.data))
            end = ends.search(self.data)
        return len(self.data) if end is None else end.end()
