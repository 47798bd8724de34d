"""A file of one event a line, and standard output."""

from __future__ import annotations

import fcntl
import os
import stat
import sys
from typing import Any

from runtime.errors import QueryError
from runtime.live.sinks.sink import Delivery


class OutputSink:
    """Standard output: a delivery that was interrupted is printed again."""

    def position(self) -> Any:
        """See ``EventSink``."""
        return None

    def deliver(self, delivery: Delivery) -> None:
        """See ``EventSink``."""
        sys.stdout.write(delivery.lines().decode())
        sys.stdout.flush()

    def close(self) -> None:
        """See ``EventSink``."""


class FileSink:
    """A file to which events are appended, each exactly once: what an interrupted delivery wrote is written anew.

    Nothing else may write to it meanwhile: another delivery to it is refused, and what came behind the last delivery is
    not overwritten.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o666)
        except OSError as error:
            raise QueryError(f"{path} cannot be written: {error.strerror}") from None
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(self._file)
            raise QueryError(f"{path} is written by another delivery: give each a file of its own") from None
        except OSError:  # a file system without locks
            pass

    def position(self) -> Any:
        """See ``EventSink``: the bytes that are there."""
        return os.fstat(self._file).st_size

    def deliver(self, delivery: Delivery) -> None:
        """See ``EventSink``."""
        begin = int(delivery.position)
        try:
            data = delivery.lines()
            if stat.S_ISREG(os.fstat(self._file).st_mode):
                data = self._start(begin) + data
                self._check(begin, data if delivery.is_again else b"")
                os.lseek(self._file, begin, os.SEEK_SET)
            left = memoryview(data)
            while left:
                left = left[os.write(self._file, left) :]
            os.fsync(self._file)
        except OSError as error:
            said = f"{self._path} cannot be written: {error.strerror}"
            raise QueryError(f"{said}; it goes on with this delivery") from None

    def close(self) -> None:
        """See ``EventSink``."""
        os.close(self._file)

    def _start(self, begin: int) -> bytes:
        """The end of a last line that has none."""
        return b"" if not begin or os.pread(self._file, 1, begin - 1) in (b"\n", b"") else b"\n"

    def _check(self, begin: int, data: bytes) -> None:
        """QueryError unless the file ends with a part of ``data`` behind ``begin``, or all of it."""
        size = os.fstat(self._file).st_size
        there = os.pread(self._file, len(data) + 1, begin) if size >= begin else b""
        if size < begin or not data.startswith(there):
            raise QueryError(
                f"{self._path} is not as it was left: it had {begin:,} bytes, and something else changed it since. "
                "Deliver to another file, under another name."
            )
