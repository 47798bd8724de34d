"""Takes points of a stream back: those of sources (undo), of a key (erase), or before a day (retention)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np

from runtime.catalogue import Catalogue, FileEntry, Snapshot, SourceEntry, new_attempt
from runtime.catalogue.items.changes import Left, TakenBack
from runtime.catalogue.items.entries import DAY, SEQ, commit_of
from runtime.columns import Points
from runtime.errors import StoreError
from runtime.objects import ObjectStore
from runtime.pointfile import Buffers, PointFile
from runtime.upkeep.rewrite import Keep, Rewriting

_TRIES = 20
"""How often a commit is planned again because others changed the same files."""


@dataclass(frozen=True)
class RowRemoval:
    """Files to replace so that some rows are gone: ``gone`` are removed whole, ``cut`` are written again without them.

    ``rows`` is the number of these rows.
    """

    snapshot: Snapshot
    gone: tuple[FileEntry, ...]
    cut: tuple[FileEntry, ...]
    rows: int

    @property
    def dels(self) -> list[FileEntry]:
        """All files that are replaced."""
        return [*self.gone, *self.cut]


@dataclass(frozen=True)
class UndoReport:
    """The sources that were taken back, by name, and how many rows of files went with them."""

    stream: str
    sources: tuple[str, ...]
    rows: int
    dry_run: bool = False

    def __str__(self) -> str:
        if not self.sources:
            return f"{self.stream}: nothing to undo: these sources were taken back before, or had nothing in the stream"
        names = ", ".join(self.sources[:5]) + (f" and {len(self.sources) - 5:,} more" if len(self.sources) > 5 else "")
        return f"{self.stream}: {self.rows:,} rows of {names} {'would be' if self.dry_run else 'were'} taken back"


class TakingBack:
    """Takes rows of one stream back, in one commit each; safe beside ingests, queries and compactions."""

    def __init__(
        self, objects: ObjectStore, catalogue: Catalogue, open_file: Callable[[FileEntry], PointFile], stream: str
    ) -> None:
        self._objects, self._catalogue, self._open, self._stream = objects, catalogue, open_file, stream

    # ---- sources

    def without_sources(self, sources: Collection[str]) -> RowRemoval:
        """The files with rows of these sources (ids)."""
        # The snapshot first: a commit that only the log has is of no file in it.
        snapshot = self._catalogue.snapshot(self._stream)
        commits = {
            r.seq for r in self._catalogue.records(self._stream) if r.source in sources and r.seq <= snapshot.seq
        }
        gone = [f for f in snapshot.files if not f.compacted and f.seq in commits]
        rows = sum(file.rows for file in gone)
        cut: list[FileEntry] = []
        for file in snapshot.files:
            if not file.compacted:
                continue
            of_them = rows_of_commits(self._open(file), commits)
            rows += of_them
            if of_them == file.rows:
                gone.append(file)
            elif of_them:
                cut.append(file)
        return RowRemoval(snapshot, tuple(gone), tuple(cut), rows)

    def undo(self, sources: Sequence[SourceEntry]) -> int:
        """Take these sources back; returns the number of rows that are gone."""
        ids = [source.id for source in sources]

        def commit(removal: RowRemoval, adds: list[FileEntry], attempt: str, left: Left) -> bool:
            return self._catalogue.undo(self._stream, ids, removal.dels, adds, attempt, left) is not None

        return self._until_done(
            lambda: self.without_sources(ids), lambda _: _without_commits(self._commits(ids)), commit
        )

    def taken_back(self, sources: Sequence[str], attempt: str, number: int) -> TakenBack:
        """The removal of these sources for the commit of ``attempt``, which adds another one.

        Its new files are numbered from 900,000 on, above those of the attempt's own rows; ``number`` is that of the
        try, each of which writes others.
        """
        removal = self.without_sources(sources)
        adds = self._rewriting(removal.snapshot, attempt, 900_000 + 4_000 * number).each_written(
            removal.cut, _without_commits(self._commits(sources))
        )
        return TakenBack(sources, removal.dels, adds, left_by(removal, adds))

    def _commits(self, sources: Collection[str]) -> set[int]:
        return {r.seq for r in self._catalogue.records(self._stream) if r.source in sources}

    # ---- retention

    def before(self, day: int) -> RowRemoval:
        """The files that end before the UTC day ``day``; files that begin before it and end later stay."""
        snapshot = self._catalogue.snapshot(self._stream)
        gone = tuple(f for f in snapshot.files if f.t_max < day * DAY)
        return RowRemoval(snapshot, gone, (), sum(f.rows for f in gone))

    def retain(self, day: int) -> int:
        """Raise the floor to this day; returns the number of rows that are gone."""

        def commit(removal: RowRemoval, adds: list[FileEntry], attempt: str, left: Left) -> bool:
            return self._catalogue.raise_floor(self._stream, day, removal.dels, attempt, left) is not None

        return self._until_done(lambda: self.before(day), lambda _: _everything, commit)

    # ---- what they have in common

    def _until_done(
        self,
        plan: Callable[[], RowRemoval],
        keep_of: Callable[[RowRemoval], Keep],
        commit: Callable[[RowRemoval, list[FileEntry], str, Left], bool],
    ) -> int:
        for _ in range(_TRIES):
            removal, attempt = plan(), new_attempt()
            adds = self._rewriting(removal.snapshot, attempt).each_written(removal.cut, keep_of(removal))
            if commit(removal, adds, attempt, left_by(removal, adds)):
                return removal.rows
            if self._catalogue.claim_for_sweep(self._stream, attempt):
                for file in adds:
                    self._objects.delete(file.path)
        raise StoreError(
            f"stream {self._stream!r} changes all the time: repeat the command when fewer others write to it"
        )

    def _rewriting(self, snapshot: Snapshot, attempt: str, first: int = 0) -> Rewriting:
        order = self._catalogue.order(self._stream)
        return Rewriting(self._objects, self._open, self._stream, snapshot.schema, attempt, order, first)


def rows_of_commits(file: PointFile, commits: Collection[int]) -> int:
    """How many rows of a file that a compaction wrote are of these commits."""
    chunks = file.chunks(SEQ)
    wanted = np.array(sorted(commits), np.int64)
    found = 0
    for number in range(len(chunks)):
        low, high = int(chunks["vmin"][number]), int(chunks["vmax"][number])
        if not any(commit_of(low) <= c <= commit_of(high) for c in wanted.tolist()):
            continue
        rows = int(file.blocks["rows"][number])
        orders = file.load([SEQ], number, number + 1, time=False).block(number, [SEQ], Buffers()).columns[SEQ][0]
        found += int(np.isin(orders.astype(np.int64) >> 20, wanted).sum()) * (rows if len(orders) < rows else 1)
    return found


def left_by(removal: RowRemoval, adds: Sequence[FileEntry]) -> Left:
    """What a commit of this removal leaves."""
    dels = {file.path for file in removal.dels}
    times = [t for file in removal.snapshot.files if file.path not in dels for t in (file.t_min, file.t_max)]
    times += [t for file in adds for t in (file.t_min, file.t_max)]
    return Left(removal.snapshot.seq, min(times, default=None), max(times, default=None))


def _without_commits(commits: Collection[int]) -> Keep:
    wanted = np.array(sorted(commits), np.int64)

    def keep(points: Points) -> Points:
        orders = points.columns[SEQ].values.astype(np.int64, copy=False)
        return points.take(np.flatnonzero(~np.isin(orders >> 20, wanted)))

    return keep


def _everything(points: Points) -> Points:
    return points
