"""What every feed is: something that points come from for as long as it is watched."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from runtime.ingest.inputs.inputs import FileInput
from runtime.ingest.text.rejects import KnownRows
from runtime.live.chains import Position, SourceChain

MOST_BYTES = 32 << 20
"""Bytes of records in one piece."""


@dataclass(frozen=True)
class Piece:
    """Some whole records of a feed, which become one source; of what is ``given``, the name and the bytes.

    It is the source ``number`` of ``chain``, after which that part of the feed goes on at ``position``. Without a chain
    it is a whole file, which is known by its content.
    """

    given: FileInput
    chain: SourceChain | None = None
    number: int = 0
    position: Position | None = None
    error: str | None = None
    """Why nothing of it can be read now; it is tried again."""

    rows: KnownRows | None = None
    """How it is read if it is rows of CSV without their header."""

    acknowledges: object = field(default=None, compare=False)
    """What the feed needs to know to acknowledge it."""


class Feed(Protocol):
    """Where points come from. It is used by one thread."""

    stopping: Callable[[], bool]
    """Whether it should wait no longer, and give what it has."""

    @property
    def ended(self) -> bool:
        """Whether nothing more can come."""
        ...

    @property
    def is_behind(self) -> bool:
        """Whether the last look did not come to the end of what there is: without anything new it is not idle yet."""
        ...

    def pieces(self, seconds: float) -> Iterator[Piece]:
        """What is new, within so many seconds, in pieces of at most ``MOST_BYTES``; each is committed, or given back,
        before the next one is asked for."""
        ...

    def committed(self, piece: Piece) -> None:
        """The piece is committed."""
        ...

    def taken(self, piece: Piece) -> None:
        """Another process has committed a source in the place of the piece: go on after that one."""
        ...

    def close(self) -> None:
        """Release what is open."""
        ...
