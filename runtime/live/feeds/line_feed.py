"""Lines of standard input, or of a named pipe: what was read cannot be read again, but its end is known."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from runtime.ingest.inputs.inputs import BytesInput
from runtime.ingest.inputs.settings import Settings
from runtime.live.chains import SourceChain
from runtime.live.feeds.feed import MOST_BYTES, Piece
from runtime.live.feeds.text_records import CsvRows, RecordText, csv_rows, record_text

_READ = 1 << 20
_HEAD = 1 << 16


class LineFeed:
    """The lines of an open file descriptor, which are counted: the position is their number since the feed began.

    With ``skips``, the producer begins with its first line again: those that are committed are left out.
    """

    def __init__(
        self,
        fd: int,
        name: str,
        chain: SourceChain,
        settings: Settings,
        skips: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fd, self._name, self._chain, self._clock = fd, name, chain, clock
        self._settings = settings
        self._text: RecordText | None = None
        self._csv: CsvRows | None = None
        self._waiting = b""
        self._is_at_end = False
        self._number, self.lines = 0, 0
        """Lines that are committed."""

        self._reload()
        self._left_out = self.lines if skips else 0

    @property
    def ended(self) -> bool:
        """See ``Feed``."""
        return self._is_at_end and not self._waiting

    def pieces(self, seconds: float) -> Iterator[Piece]:
        """See ``Feed``."""
        until = self._clock() + seconds
        while not self._is_at_end and len(self._waiting) < MOST_BYTES:
            left = until - self._clock()
            if left <= 0 or not select.select([self._fd], [], [], left)[0]:
                break
            data = os.read(self._fd, _READ)
            self._is_at_end = not data
            self._waiting += data
        if (size := self._whole()) and (piece := self._piece(size)) is not None:
            yield piece

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
        return len(self._waiting) if self._is_at_end else size

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

    def _piece(self, size: int) -> Piece | None:
        data = self._waiting[:size]
        lines = data.count(b"\n") + (not data.endswith(b"\n"))
        number = self._number + 1
        identity = self._chain.identity(number)
        given = BytesInput(Path(self._name), self._name, identity=identity, data=data)
        rows = None if self._csv is None else self._csv.known
        return Piece(
            given, self._chain, number, self._chain.position(lines=self.lines + lines), rows=rows, acknowledges=size
        )
