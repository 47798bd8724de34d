"""`KeptStore`: an open store that looks after its files; the base of `Store`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from operators.errors import DataflowError
from runtime.errors import QueryError
from runtime.moments import Moment, microseconds
from runtime.storage.open_store import OpenStore

if TYPE_CHECKING:
    from runtime.ingest.one_source import Replacing
    from runtime.objects.object_store import ObjectInfo
    from runtime.progress import Progress
    from runtime.upkeep.backup import BackupReport
    from runtime.upkeep.compaction import Compaction, CompactionReport, UpkeepFailure
    from runtime.upkeep.erasing import EraseReport
    from runtime.upkeep.quarantined import DismissReport, QuarantinedSource
    from runtime.upkeep.retaining import RetainReport
    from runtime.upkeep.source_list import IngestedSource
    from runtime.upkeep.sweep import SweepReport
    from runtime.upkeep.sweep_plan import SweepRules
    from runtime.upkeep.taking_back import TakingBack, UndoReport


class KeptStore(OpenStore):
    """Upkeep of the streams of a store."""

    def compact(self, *streams: str, progress: bool | Progress = True) -> list[CompactionReport]:
        """Replace the files of these streams (none given: of all) by as few as hold the same points.

        Never changes an answer. The replaced files stay for a day, for queries that run; then ``sweep`` removes them.
        ``ingest`` does by itself what pays off at the time.
        """
        for stream in streams:
            self.be_known(stream)
        return [self.compaction(stream, progress).everything() for stream in streams or self.catalogue.streams()]

    def undo(self, stream: str, *sources: str, dry_run: bool = False) -> UndoReport:
        """Take sources back, named as ``find_sources`` allows: all their points are gone from answers in one commit.

        The stream is then as if they had not been ingested, but for its schema. Each stays known, so that events,
        reconciliation and watchers pass it over; ``ingest`` with ``again`` takes it anew. ``dry_run``: only say what
        would go. What later ingests took of a source (rows that waited, retried rejects) goes with it. ``sweep``
        removes the files after a day.
        """
        from runtime.upkeep.source_list import find_sources
        from runtime.upkeep.taking_back import UndoReport

        self.be_known(stream)
        entries = self.catalogue.sources(stream)
        chosen = {entry.id: entry for text in sources for entry in find_sources(entries, text)}
        taken = [entry for entry in chosen.values() if not entry.undone and entry.quarantined is None]
        before = [entry for entry in chosen.values() if entry not in taken]
        back = self.taking_back(stream)
        rows = 0
        if taken:
            if dry_run:
                rows = back.without_sources([entry.id for entry in taken]).rows
            else:
                taken, rows = back.undo(taken)
        return UndoReport(
            stream, tuple(entry.name for entry in taken), rows, dry_run, tuple(entry.name for entry in before)
        )

    def erase(self, stream: str, key: str | int | None = None, dry_run: bool = False) -> EraseReport:
        """Erase all points of a key, or of the whole stream, from answers, files, rejects, kept states and saved
        answers.

        Points of a key that are not later than this are left out of later ingests; the key itself is kept as a SHA-256.
        A stream that is erased begins anew. The replaced files go with the first ``sweep`` a day later. ``dry_run``:
        only say what would go. An erasure that is interrupted can be repeated.
        """
        from runtime.upkeep.erasing import erase
        from runtime.upkeep.retaining import end_policy

        self.be_known(stream)
        report = erase(
            self.objects, self.catalogue, self.taking_back(stream), stream, key, lambda: self.kept_of(stream), dry_run
        )
        if key is None and not dry_run:
            end_policy(self.objects, stream)
        return report

    def retain(
        self,
        stream: str,
        keep: str | timedelta | None = None,
        before: Moment | None = None,
        always: bool = False,
        dry_run: bool = False,
    ) -> RetainReport:
        """Retire the points before a day: ``before``, or counted back from the newest event what ``keep`` says
        (``"400d"``).

        Queries from that day on answer as before, where each key's last values from before it tell enough of what is
        retired; others are an error, unless they ask for ``below_floor``. Rows that come later for days before it are
        rejected. With ``always``, ``optimize`` does it again. ``sweep`` removes the files after a day. ``dry_run``:
        only say what would go.
        """
        from dataflow.times.durations import written_duration
        from runtime.query.plan.make_tasks import default_workers
        from runtime.upkeep import retaining

        snapshot = self.catalogue.snapshot(stream, 0, 0)
        if (keep is None) == (before is None):
            raise QueryError("retain takes either keep or before")
        if always and keep is None:
            raise QueryError("always is with keep: a stream keeps its points for so long")
        policy = None
        if before is not None:
            micros = microseconds(before, "before")
            day = None if micros is None else retaining.day_of(micros)
        else:
            assert keep is not None
            length = retaining.length_of(keep)
            day = retaining.day_to_keep(snapshot, length)
            if always:
                policy = written_duration(length)
        if day is None:
            raise QueryError(f"{stream} has no points")
        if policy is not None and not dry_run:
            retaining.set_policy(self.objects, stream, policy)
        return retaining.retain(self.taking_back(stream), stream, day, policy, default_workers(), dry_run)

    def kept_of(self, stream: str) -> tuple[list[ObjectInfo], list[ObjectInfo]]:
        """The objects that may have states (snapshots of last values among them), and saved answers, of queries over a
        stream."""
        carried = [info for info in self.objects.list(f"carry/{stream}/") if info.size]
        saved = [*self.objects.list("results/"), *self.objects.list("deliveries/")]
        return [*self.objects.list("cache/"), *carried], saved

    def tidy_caches(self) -> list[str]:
        """Delete cached states of superseded versions of published queries; returns their paths."""
        return []

    def sources(self, stream: str, limit: int | None = None) -> list[IngestedSource]:
        """What was ingested into a stream, newest first; at most ``limit`` sources."""
        from runtime.upkeep.source_list import ingested_sources

        self.be_known(stream)
        if limit is not None and limit < 1:
            raise QueryError(f"limit must be at least 1, got {limit!r}")
        return ingested_sources(self.catalogue, stream)[:limit]

    def quarantined(self, *streams: str) -> list[QuarantinedSource]:
        """The sources in quarantine of these streams (none given: of all), newest first; also dismissed ones."""
        from runtime.upkeep.quarantined import quarantined_sources

        return quarantined_sources(self.catalogue, streams or self.catalogue.streams())

    def dismiss(self, sources: Sequence[QuarantinedSource], dry_run: bool = False) -> DismissReport:
        """Dismiss sources in quarantine: they stay there, and proofs count them, but they no longer ask for attention.

        Events and reconciliation do not change that. When one is ingested after all, it is in the stream.
        ``dry_run``: only say what would be dismissed.
        """
        from runtime.upkeep.quarantined import DismissReport, dismiss

        waiting = [source for source in sources if source.entry.waits_for_attention]
        return DismissReport(tuple(waiting if dry_run else dismiss(self.catalogue, waiting)), dry_run)

    def sweep(
        self,
        dry_run: bool = False,
        allow_many: bool = False,
        rules: SweepRules | None = None,
        progress: bool | Progress = False,
    ) -> SweepReport:
        """Remove files that nothing needs any more: replaced ones, those of no commit, temporary ones.

        Each goes at the age that ``rules`` say. ``TooManyOrphans``, before anything is removed, if many of the point
        files are in no commit, unless ``allow_many``. See ``runtime.upkeep.sweep``.
        """
        from runtime.upkeep.sweep import sweep

        if not dry_run:
            self.tidy_caches()
        return sweep(
            self.objects, self.catalogue, dry_run, allow_many, rules,
            progress=_shown(progress), states_of=lambda stream: self.kept_of(stream)[0],
        )  # fmt: skip

    def backup(self, to: str | Path, force: bool = False) -> BackupReport:
        """Copy the catalogue of a store in a folder, while it is used, to a folder or file; ``force`` replaces one."""
        from runtime.upkeep.backup import backup

        return backup(self._location, to, force)

    def optimize(
        self, progress: bool | Progress = True
    ) -> Iterator[RetainReport | CompactionReport | SweepReport | UpkeepFailure]:
        """Do what is due: retire what streams keep no longer, compact where that pays off, then sweep; the reports, one
        after the other.

        What fails is reported, too, and does not keep the rest from being done.
        """
        from runtime.upkeep.compaction import UpkeepFailure
        from runtime.upkeep.retaining import policy_of

        for stream in self.catalogue.streams():
            done: list[RetainReport | CompactionReport | UpkeepFailure] = []
            try:
                try:
                    keep = policy_of(self.objects, stream)
                    if keep is not None and self.catalogue.snapshot(stream, 0, 0).last_time is not None:
                        done.append(self.retain(stream, keep))
                except DataflowError as error:
                    done.append(UpkeepFailure(stream, error, "retired"))
                done.append(self.compaction(stream, progress).what_is_due())
            except DataflowError as error:
                done.append(UpkeepFailure(stream, error))
            yield from done
        yield self.sweep(progress=progress)

    def replacing(self, stream: str, replace: str | bool) -> Replacing:
        """What sources take back in their commits: the source that ``replace`` names, or those of their own names."""
        from runtime.upkeep.replacing import ByName

        return ByName(self.catalogue, self.taking_back(stream), stream, replace)

    def be_known(self, stream: str) -> None:
        """QueryError if there is no such stream."""
        self.catalogue.snapshot(stream, 0, 0)

    def taking_back(self, stream: str) -> TakingBack:
        """The removal of points of a stream, to be run."""
        from runtime.upkeep.taking_back import TakingBack

        return TakingBack(self.objects, self.catalogue, self.opened, stream)

    def compaction(self, stream: str, progress: bool | Progress = True) -> Compaction:
        """The compaction of a stream, to be run."""
        from runtime.query.plan.make_tasks import default_workers
        from runtime.upkeep.compaction import Compaction

        opened, shown = self.opened, _shown(progress)
        return Compaction(self.objects, self.catalogue, opened, stream, shown, default_workers())


def _shown(progress: bool | Progress) -> Progress:
    from runtime.progress import progress_for

    return progress_for(progress) if isinstance(progress, bool) else progress
