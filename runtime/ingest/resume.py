"""Rows that were rejected for the clock, and can be ingested when their source is offered again.

A row whose time is more than an hour ahead of this machine's clock is rejected, and the clock may have been wrong. The
source's entry then says up to which time rows were accepted; those later than it wait. Offered again, the source is
read for these rows alone, and what is acceptable by now is committed by an id that follows from the source's id and
that time: it counts once, however many processes try, however often. Rows that are still ahead wait on.
"""

from __future__ import annotations

from dataclasses import dataclass

from runtime.catalogue import Catalogue, Waiting
from runtime.ingest.columns.event_times import latest_time


@dataclass(frozen=True)
class Known:
    """What is known of a source that was ingested: the id of what would come next, and the rows that wait for it."""

    next_id: str | None = None
    waiting: Waiting | None = None

    @property
    def acceptable(self) -> bool:
        """Whether some of the waiting rows would be accepted now."""
        return self.waiting is not None and self.waiting.earliest <= latest_time()


def known_source(catalogue: Catalogue, stream: str, source_id: str) -> Known | None:
    """What is known of the source; None if it is to be ingested."""
    entry = catalogue.is_ingested(stream, source_id)
    if entry is None or entry.quarantined is not None:
        return None
    while entry is not None and entry.waiting is not None:
        waiting, next_id = entry.waiting, entry.waiting.next_id(entry.id)
        entry = catalogue.is_ingested(stream, next_id)
        if entry is None:
            return Known(next_id, waiting)
    return Known()
