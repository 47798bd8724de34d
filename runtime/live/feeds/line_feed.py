"""Lines of standard input, a named pipe or a socket: what was read cannot be read again, but its end is known."""

from __future__ import annotations

import os
import select
import socket
import stat
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import urlsplit

from runtime.errors import IngestError
from runtime.ingest.inputs.inputs import BytesInput
from runtime.ingest.inputs.settings import Settings
from runtime.live.chains import SourceChain
from runtime.live.feeds.feed import MOST_BYTES, Piece
from runtime.live.feeds.text_records import CsvRows, RecordText, csv_rows, record_text

_READ = 1 << 20
_STEP = 0.5
"""Seconds after which it looks whether to wait on."""
_HEAD = 1 << 16


class LineFeed:
    """The lines of an open file descriptor, which are counted: the position is their number since the feed began.

    With ``skips``, the producer begins with its first line again: those that are committed are left out. ``is_own``:
    the descriptor is closed with the feed.

    A last line without its end is a record if it may be a whole one. Half of a JSON record is none, nor is any such
    line of a producer that begins again: it was ended within the line, and to count that would skip the whole one.
    """

    is_behind = False
    stopping: Callable[[], bool] = staticmethod(lambda: False)

    def __init__(
        self,
        fd: int,
        name: str,
        chain: SourceChain,
        settings: Settings,
        skips: bool = False,
        is_own: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fd, self._name, self._chain, self._clock = fd, name, chain, clock
        self._settings, self._is_own = settings, is_own
        self._text: RecordText | None = None
        self._csv: CsvRows | None = None
        self._waiting = b""
        self._is_at_end = False
        self._number, self.lines = 0, 0
        """Lines that are committed."""

        self._reload()
        self._skips, self._left_out = skips, self.lines if skips else 0

    @property
    def ended(self) -> bool:
        """See ``Feed``."""
        return self._is_at_end and not self._waiting

    def pieces(self, seconds: float) -> Iterator[Piece]:
        """See ``Feed``."""
        until = self._clock() + seconds
        while not self._is_at_end and len(self._waiting) < MOST_BYTES:
            left = until - self._clock()
            if left <= 0 or self.stopping():
                break
            if not select.select([self._fd], [], [], min(left, _STEP))[0]:
                continue
            data = self._read()
            self._is_at_end = not data
            self._waiting += data
        if size := self._whole():
            yield self._piece(size)
        elif self._is_at_end and self._waiting:
            raise self._cut_off("it ended within a line")

    def committed(self, piece: Piece) -> None:
        """See ``Feed``."""
        assert piece.position is not None
        self._number, self.lines = piece.number, int(piece.position["lines"])
        self._waiting = self._waiting[int(str(piece.acknowledges)) :]

    def taken(self, piece: Piece) -> None:
        """See ``Feed``."""
        self._reload()

    def close(self) -> None:
        """See ``Feed``."""
        if self._is_own:
            os.close(self._fd)

    def _read(self) -> bytes:
        try:
            return os.read(self._fd, _READ)
        except OSError as error:
            raise self._cut_off(error.strerror or str(error)) from None

    def _cut_off(self, said: str) -> IngestError:
        return IngestError(
            f"{self._name}: {said}, after {self.lines:,} lines were committed. Have the lines behind these sent again, "
            "or all of them, with --from committed."
        )

    def _reload(self) -> None:
        reached = self._chain.reached()
        self._number, self.lines = reached.number, 0 if reached.position is None else int(reached.position["lines"])

    def _whole(self) -> int:
        """Bytes of the whole lines that wait, behind the header."""
        if self._text is None and not self._is_begun():
            return 0
        assert self._text is not None
        size = self._text.whole(self._waiting)
        skipped = 0
        while self._left_out and skipped < size:
            skipped, self._left_out = self._waiting.index(b"\n", skipped) + 1, self._left_out - 1
        self._waiting, size = self._waiting[skipped:], size - skipped
        if not self._is_at_end:
            return size
        if self._left_out:  # the last line, which had no end before either
            self._waiting, self._left_out = b"", 0
            return 0
        return len(self._waiting) if self._may_be_whole(self._waiting[size:]) else size

    def _may_be_whole(self, rest: bytes) -> bool:
        """Whether what is behind the last end of a line is a record."""
        assert self._text is not None
        return self._text.may_be_whole(rest) and (self._text.is_json or not self._skips)

    def _is_begun(self) -> bool:
        """Find out how the lines are read, and leave out a header; False if the first lines are not there yet."""
        data = self._waiting
        if not data or (b"\n" not in data and not self._is_at_end):
            return False
        text = record_text(data[:_HEAD], self._settings) or RecordText()
        if text.is_csv:
            header = text.head(data)
            is_whole = header is not None and text.first(data[len(header) :]) > 0
            if not is_whole and not self._is_at_end:
                return False
            self._csv = csv_rows(data, self._is_at_end, self._settings, self._name)
            self._waiting = data[self._csv.begin :]
        self._text = text
        return True

    def _piece(self, size: int) -> Piece:
        data = self._waiting[:size]
        lines = data.count(b"\n") + (not data.endswith(b"\n"))
        number = self._number + 1
        identity = self._chain.identity(number)
        given = BytesInput(Path(self._name), self._name, identity=identity, data=data)
        rows = None if self._csv is None else self._csv.known
        return Piece(
            given, self._chain, number, self._chain.position(lines=self.lines + lines), rows=rows, acknowledges=size
        )


SOCKETS = ("tcp://", "unix://")
"""How the addresses of sockets begin."""

_PATIENCE = 10.0


def are_lines(source: str) -> bool:
    """Whether ``source`` is standard input, a socket, or another file that can be read only once."""
    if source == "-" or source.startswith(SOCKETS):
        return True
    return os.path.exists(source) and not os.path.isdir(source) and not os.path.isfile(source)


def opened_lines(source: str) -> int:
    """The descriptor of such a source, connected or opened; IngestError if it cannot be."""
    if source == "-":
        return sys.stdin.fileno()
    try:
        if source.startswith("tcp://"):
            return _connected(source)
        path = source.removeprefix("unix://")
        if source.startswith("unix://") or stat.S_ISSOCK(os.stat(source).st_mode):
            with socket.socket(socket.AF_UNIX) as one:
                one.connect(path)
                return one.detach()
        return os.open(source, os.O_RDONLY)
    except OSError as error:
        raise IngestError(f"{source} cannot be read: {error.strerror or error}.") from None


def _connected(source: str) -> int:
    try:
        parts = urlsplit(source)
        host, port = parts.hostname, parts.port
    except ValueError:
        host = port = None
    if not host or not port or parts.path not in ("", "/") or parts.query:
        raise IngestError(f"tcp://HOST:PORT is a socket that sends lines, got {source!r}.")
    with socket.create_connection((host, port), timeout=_PATIENCE) as one:
        one.settimeout(None)
        return one.detach()
