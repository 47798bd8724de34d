"""`KeptStore`: an open store that looks after its files; the base of `Store`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.errors import QueryError
from runtime.storage.open_store import OpenStore

if TYPE_CHECKING:
    from runtime.progress import Progress
    from runtime.upkeep.compaction import Compaction, CompactionReport


class KeptStore(OpenStore):
    """Upkeep of the streams of a store."""

    def compact(self, *streams: str, progress: bool | Progress = True) -> list[CompactionReport]:
        """Replace the files of these streams (none given: of all) by as few as hold the same points.

        Never changes an answer. The replaced files stay for a day, for queries that run; then ``sweep`` removes them.
        ``ingest`` does by itself what pays off at the time.
        """
        known = self.catalogue.streams()
        for stream in streams:
            if stream not in known:
                self.catalogue.snapshot(stream, 0, 0)  # says which there are
                raise QueryError(f"there is no stream {stream!r}")
        return [self.compaction(stream, progress).everything() for stream in streams or known]

    def undo(self, stream: str, *sources: str) -> UndoReport:
        """Take sources back, named as ``find_sources`` allows: all their points are gone from answers in one commit.

        The stream is then as if they had not been ingested, but for its schema. Each stays known, so that events,
        reconciliation and watchers pass it over; ``ingest`` with ``again`` takes it anew. What later ingests took of a
        source (rows that waited, retried rejects) goes with it. ``sweep`` removes the files after a day.
        """
        from runtime.upkeep.source_list import find_sources
        from runtime.upkeep.undo import UndoReport

        entries = self.catalogue.sources(stream)
        if not entries:
            self.catalogue.snapshot(stream, 0, 0)  # says which streams there are
        chosen = {entry.id: entry for text in sources for entry in find_sources(entries, text)}
        taken = [entry for entry in chosen.values() if not entry.undone and entry.quarantined is None]
        rows = self.taking_back(stream).undo(taken) if taken else 0
        return UndoReport(stream, tuple(entry.name for entry in taken), rows)

    def compaction(self, stream: str, progress: bool | Progress = True) -> Compaction:
        """The compaction of a stream, to be run."""
        from runtime.progress import progress_for
        from runtime.upkeep.compaction import Compaction

        shown = progress_for(progress) if isinstance(progress, bool) else progress
        return Compaction(self.objects, self.catalogue, self.open_file, stream, shown)
