"""A stream whose first bytes were looked at, and are still to be read."""

from __future__ import annotations

from typing import Any

from runtime.ingest.inputs.byte_stream import Readable


class Peeked:
    """A file from which ``size`` bytes were read ahead, as ``head``; ``failed`` is what went wrong and is raised when
    it is read, as any error of it is."""

    def __init__(self, file: Readable, size: int) -> None:
        self.head = b""
        self.failed: Exception | None = None
        self._file = file
        self._read: list[Any] = []
        try:
            while len(self.head) < size:
                part = file.read(size - len(self.head))
                self._read.append(part)
                if not part or not isinstance(part, bytes | bytearray | memoryview):
                    break
                self.head += part
        except Exception as error:
            self.failed = error

    def read(self, size: int, /) -> bytes:
        """The next bytes, as the file gives them; none at the end."""
        if self._read:
            part: bytes = self._read.pop(0)
            return part
        if self.failed is not None:
            raise self.failed
        return self._file.read(size)

    def close(self) -> None:
        """Close the file, if it can be closed."""
        close = getattr(self._file, "close", None)
        if close is not None:
            close()
