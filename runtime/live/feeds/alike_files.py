"""What was read of files that begin with the same record: their sources are one chain, and their position is in it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from runtime.errors import IngestError
from runtime.live.chains import Position, SourceChain

MOST_ALIKE = 1_000
"""How many files that begin with the same record are remembered."""


@dataclass(frozen=True)
class Extent:
    """What was read of a file: so many bytes, with this SHA-256; ``first`` of them at first, which say how rows of CSV
    are read."""

    offset: int
    digest: str
    first: int

    @classmethod
    def of(cls, parts: Sequence[Any]) -> Extent:
        """From a position."""
        offset, digest, first = parts
        return cls(int(offset), str(digest), int(first))


@dataclass
class AlikeFiles:
    """The files that begin with the same record: their sources are one chain. ``extents`` are what was read of each,
    the last one read at the end."""

    key: str
    chain: SourceChain
    number: int = 0
    extents: list[Extent] = field(default_factory=list)

    def reload(self) -> None:
        """Go on after what is committed."""
        reached = self.chain.reached()
        found = () if reached.position is None else reached.position["files"]
        self.number, self.extents = reached.number, [Extent.of(parts) for parts in found]

    def position(self, before: Extent | None, after: Extent, held: Callable[[], Collection[str]]) -> Position:
        """The position once a file was read from ``before`` (None: from its beginning) to ``after``; ``held`` gives the
        digests of what was read of the files that are there. Of files that are gone, only the last are remembered."""
        kept = [e for e in self.extents if e != before]
        if len(kept) >= MOST_ALIKE:
            digests = held()
            kept = [e for e in kept if e.digest in digests]
        if len(kept) >= MOST_ALIKE:
            raise IngestError(
                f"more than {MOST_ALIKE:,} files begin with the same record, so they cannot be distinguished when "
                "they are renamed: watch folders with fewer of them."
            )
        return self.chain.position(files=[[e.offset, e.digest, e.first] for e in (*kept, after)])
