"""A file of one event a line, and standard output."""

from __future__ import annotations

import os
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
    """A file to which events are appended, each exactly once: what an interrupted delivery wrote is written anew."""

    def __init__(self, path: str) -> None:
        self._path = path
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o666)
        except OSError as error:
            raise QueryError(f"{path} cannot be written: {error.strerror}") from None

    def position(self) -> Any:
        """See ``EventSink``: the bytes that are there."""
        return os.fstat(self._file).st_size

    def deliver(self, delivery: Delivery) -> None:
        """See ``EventSink``."""
        data, begin = delivery.lines(), int(delivery.position)
        try:
            if delivery.is_again:
                self._check(begin, data)
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

    def _check(self, begin: int, data: bytes) -> None:
        """QueryError unless the file ends with a part of the delivery, or all of it."""
        size = os.fstat(self._file).st_size
        there = os.pread(self._file, len(data) + 1, begin) if size >= begin else b""
        if size < begin or not data.startswith(there):
            raise QueryError(
                f"{self._path} is not as it was left: it had {begin:,} bytes, and a delivery was begun behind them. "
                "Deliver to another file, under another name."
            )
