"""Lines of standard input, or of a named pipe: what was read cannot be read again, but its end is known."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from runtime.ingest.inputs.inputs import BytesInput
from runtime.ingest.inputs.reading import Reading
from runtime.live.chains import SourceChain
from runtime.live.feeds.feed import MOST_BYTES, Piece
from runtime.live.feeds.text_records import RecordText, record_text

_READ = 1 << 20


class LineFeed:
    """The lines of an open file descriptor, which are counted: the position is their number since the feed began.

    With ``skips``, the producer begins with its first line again: those that are committed are left out.
    """

    def __init__(
        self,
        fd: int,
        name: str,
        chain: SourceChain,
        format: str = "auto",
        reading: Reading | None = None,
        skips: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._fd, self._name, self._chain, self._clock = fd, name, chain, clock
        self._format, self._reading = format, reading or Reading()
        self._text: RecordText | None = None
        self._header = b""
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
        if self._text is None:
            if b"\n" not in self._waiting and not self._is_at_end:
                return 0
            self._text = record_text(self._waiting[:65536], self._format, self._reading) or RecordText()
            if (header := self._text.head(self._waiting)) is None and not self._is_at_end:
                self._text = None
                return 0
            self._header = header or b""
            self._waiting = self._waiting[len(self._header) :]
        size = self._text.whole(self._waiting)
        while self._left_out and size:
            end = self._waiting.index(b"\n") + 1
            self._waiting, size, self._left_out = self._waiting[end:], size - end, self._left_out - 1
        return len(self._waiting) if self._is_at_end else size

    def _piece(self, size: int) -> Piece | None:
        data = self._waiting[:size]
        lines = data.count(b"\n") + (not data.endswith(b"\n"))
        number = self._number + 1
        identity = self._chain.identity(number)
        given = BytesInput(Path(self._name), self._name, identity=identity, data=self._header + data)
        return Piece(given, self._chain, number, {"lines": self.lines + lines}, size)
