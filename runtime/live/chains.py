"""Where a feed is: the last of the sources that were committed from it, each of which says where the feed goes on.

The sources of a part of a feed are numbered 1, 2, 3, ... without gaps, and named by their number. So the position is in
the commit itself, and of two processes that watch one feed only one can commit the next source: the other finds that it
is ingested already.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runtime.catalogue import Catalogue
from runtime.errors import IngestError
from runtime.ingest.inputs.identity import declared_identity
from runtime.live.stream_watermark import INGESTS, PARTITION

Position = Mapping[str, Any]
"""Where a part of a feed goes on, as JSON."""


@dataclass(frozen=True)
class Reached:
    """The ``number`` of the last source of a part (0: none), and the position after it."""

    number: int = 0
    position: Position | None = None


@dataclass(frozen=True)
class SourceChain:
    """The sources of one part of a feed in a stream; ``name`` is that of the feed and the part, ``partition`` that by
    which the watermark knows it."""

    catalogue: Catalogue
    stream: str
    name: str
    partition: str = INGESTS

    def identity(self, number: int) -> str:
        """The id of the source ``number``."""
        return declared_identity(f"watch {self.name} {number}")

    def position(self, **where: Any) -> Position:
        """A position in the part."""
        return {**where, PARTITION: self.partition}

    def reached(self) -> Reached:
        """The last source. IngestError if it is there, but its position is not: a recovery rebuilt the catalogue."""
        low, high = 0, 1
        while self._is_there(high):
            low, high = high, 2 * high
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if self._is_there(middle) else (low, middle)
        if not low:
            return Reached()
        entry = self.catalogue.is_ingested(self.stream, self.identity(low))
        if entry is None or entry.position is None:
            raise IngestError(
                f"where {self.name} goes on is not known any more (the catalogue was rebuilt): ingest what is missing, "
                "then watch it under another --watch-name, from its end."
            )
        return Reached(low, entry.position)

    def _is_there(self, number: int) -> bool:
        return self.catalogue.is_ingested(self.stream, self.identity(number)) is not None
