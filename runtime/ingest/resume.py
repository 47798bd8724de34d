"""Rows that were rejected as too far in the future, and can be committed by ingesting their source again.

A row more than an hour ahead of this machine's clock is rejected, but the clock may have been wrong. The source's entry
then records up to which time rows were accepted; later rows wait. When the source is ingested again, only these rows
are read, and those acceptable by now are committed under an id derived from the source's id and that time: they count
once, however many processes try, however often. Rows that are still ahead keep waiting.
"""

from __future__ import annotations

from dataclasses import dataclass

from runtime.catalogue import Catalogue, Waiting
from runtime.ingest.columns.event_times import latest_time


@dataclass(frozen=True)
class Known:
    """An ingested source: the id of its next commit, and the rows that wait for it."""

    next_id: str | None = None
    waiting: Waiting | None = None

    @property
    def acceptable(self) -> bool:
        """Whether some of the waiting rows would be accepted now."""
        return self.waiting is not None and self.waiting.earliest <= latest_time()


def known_source(catalogue: Catalogue, stream: str, source_id: str, again: bool = False) -> Known | None:
    """The ingested source; None if it was not ingested yet. ``again``: what was taken back counts as not ingested.

    One that was in quarantine, and was taken back from it, is passed over like any that was taken back.
    """
    entry = catalogue.is_ingested(stream, source_id)
    if entry is None or (again and entry.undone) or (entry.quarantined is not None and not entry.undone):
        return None
    while entry is not None and entry.waiting is not None:
        waiting, next_id = entry.waiting, entry.waiting.next_id(entry.id)
        entry = catalogue.is_ingested(stream, next_id)
        if entry is None or (again and entry.undone):
            return Known(next_id, waiting)
    return Known()
