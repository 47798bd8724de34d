"""Takes points of a stream back: those of sources (undo), of a key (erase), or before a day (retention)."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from operators.distinct_values import among
from operators.nearest import listed
from operators.types import Type
from runtime.catalogue import Catalogue, Committed, FileEntry, Snapshot, SourceEntry, new_attempt
from runtime.catalogue.items.changes import Left, TakenBack, key_digest
from runtime.catalogue.items.compaction_origin import A_TRY, REWRITTEN
from runtime.catalogue.items.entries import DAY, SEQ, commit_of, day_name
from runtime.columns import Points
from runtime.display.text_tables import printable
from runtime.errors import QueryError, StoreError
from runtime.objects import ObjectStore
from runtime.pointfile import Buffers, PointFile
from runtime.pointfile.hashing import hash_bytes
from runtime.progress import count_of
from runtime.query.carry.last_rows import LastRows
from runtime.storage.open_files import OpenedFiles
from runtime.upkeep.rewrite import Keep, Rewriting

_LISTED = 5

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
    before: tuple[str, ...] = ()
    """The names of those that had been taken back, or set aside, before."""

    def to_dict(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)

    def __str__(self) -> str:
        before = listed(map(printable, self.before), _LISTED)
        if not self.sources:
            why = f": {before} had nothing in the stream any more" if self.before else ""
            return f"{self.stream}: nothing to undo{why}"
        rows, one = count_of(self.rows, "row"), self.rows == 1
        would = "would be" if self.dry_run else "was" if one else "were"
        text = f"{self.stream}: {rows} of {listed(map(printable, self.sources), _LISTED)} {would} taken back"
        return text + (f"; {before} had been taken back before" if self.before else "")


class TakingBack:
    """Takes rows of one stream back, in one commit each; safe beside ingests, queries and compactions."""

    def __init__(self, objects: ObjectStore, catalogue: Catalogue, opened: OpenedFiles, stream: str) -> None:
        self._objects, self._catalogue, self._open, self._stream = objects, catalogue, opened, stream

    # ---- sources

    def without_sources(self, sources: Collection[str]) -> RowRemoval:
        """The files with rows of these sources (ids)."""
        # The snapshot first: a commit that only the log has is of no file in it.
        snapshot = self._catalogue.snapshot(self._stream)
        commits = {
            r.seq for r in self._catalogue.records(self._stream) if r.source in sources and r.seq <= snapshot.seq
        }
        self._check_floor(snapshot, sources)
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

    def _check_floor(self, snapshot: Snapshot, sources: Collection[str]) -> None:
        """QueryError if points of these sources are retired: the last values that remain do not name their sources."""
        if snapshot.floor is None:
            return
        begins: dict[str, int] = {}
        for record in self._catalogue.records(self._stream):
            if record.seq > snapshot.seq:
                break
            # What was taken back earlier, and ingested anew since, was not yet retired.
            gone = begins if record.totals.begun == record.seq else record.undone
            for source in list(gone):
                begins.pop(source, None)
            source_id = record.source
            if source_id is not None and source_id in sources and record.adds:
                first = min(file.t_min for file in record.adds)
                begins[source_id] = min(first, begins.get(source_id, first))
        if any(begin < snapshot.floor * DAY for begin in begins.values()):
            raise QueryError(
                f"a source with points before {day_name(snapshot.floor)} cannot be taken back: those points are "
                "retired, and the last values that remain of them do not name their sources"
            )

    def undo(self, sources: Sequence[SourceEntry]) -> tuple[list[SourceEntry], int]:
        """Take these sources back; returns those that nobody else took back meanwhile, and how many rows are gone."""
        taken, ids = list(sources), [source.id for source in sources]

        def plan() -> RowRemoval:
            taken[:] = [source for source in taken if not self._is_undone(source.id)]
            ids[:] = [source.id for source in taken]
            return self.without_sources(ids)

        def commit(removal: RowRemoval, adds: list[FileEntry], attempt: str, left: Left) -> bool:
            if not ids:
                return True
            return self._catalogue.undo(self._stream, ids, removal.dels, adds, attempt, left) is not None

        rows = self._until_done(
            plan, lambda _: _without_commits(self._commits(ids)), commit, " ".join(["undo", *sorted(ids)])
        )
        return taken, rows

    def _is_undone(self, source_id: str) -> bool:
        entry = self._catalogue.is_ingested(self._stream, source_id)
        return entry is None or bool(entry.undone)

    def taken_back(self, sources: Sequence[str], attempt: str, number: int) -> tuple[TakenBack, int]:
        """The removal of these sources, and of how many rows, for the commit of ``attempt``, which adds another one.

        Its new files are numbered from ``REWRITTEN`` on, above those of the attempt's own rows; ``number`` is that of
        the try, each of which writes others.
        """
        removal = self.without_sources(sources)
        rewriting = self._rewriting(removal.snapshot, attempt, REWRITTEN + A_TRY * number)
        adds = replace(rewriting, removes=" ".join(["replace", *sorted(sources)])).each_written(
            removal.cut, _without_commits(self._commits(sources)), removal.gone
        )
        return TakenBack(sources, removal.dels, adds, left_by(removal, adds)), removal.rows

    def _commits(self, sources: Collection[str]) -> set[int]:
        return {r.seq for r in self._catalogue.records(self._stream) if r.source in sources}

    # ---- keys

    def without_key(self, key: str | int) -> RowRemoval:
        """The files with rows of a key."""
        snapshot = self._catalogue.snapshot(self._stream)
        gone: list[FileEntry] = []
        cut: list[FileEntry] = []
        rows = 0
        for file in snapshot.files:
            of_it = rows_of_key(self._open(file), key)
            rows += of_it
            if of_it:
                (gone if of_it == file.rows else cut).append(file)
        carried = [file for file in snapshot.files if snapshot.is_carried(file)]
        if any(snapshot.is_carried(file) for file in (*gone, *cut)):
            # Together, so that a recovery finds all of what is carried in with the files of one attempt.
            cut += [file for file in carried if file not in gone and file not in cut]
        return RowRemoval(snapshot, tuple(gone), tuple(cut), rows)

    def erase_key(self, key: str | int) -> tuple[Committed, RowRemoval]:
        """Erase a key: note it, so that no later commit has older points of it, then replace the files that do.

        Returns the commit that notes it, and what was removed. If it is interrupted in between, the key's points are
        still there, and it can be repeated.
        """
        noted = None
        for _ in range(_TRIES):
            noted = self._catalogue.note_erased(self._stream, [key_digest(key)], new_attempt())
            if noted is not None:
                break
        if noted is None:
            raise self._busy()

        def commit(removal: RowRemoval, adds: list[FileEntry], attempt: str, left: Left) -> bool:
            if not removal.dels:
                return True
            return self._catalogue.erase(self._stream, (), removal.dels, adds, attempt, left) is not None

        what = f"erase {key_digest(key)}"
        return noted, self._removed(lambda: self.without_key(key), lambda _: _without_key(key), commit, what)

    def everything(self) -> RowRemoval:
        """All files."""
        snapshot = self._catalogue.snapshot(self._stream)
        return RowRemoval(snapshot, tuple(snapshot.files), (), snapshot.rows)

    def erase_all(self) -> tuple[Committed, RowRemoval]:
        """Erase the whole stream; returns the commit, and what was removed."""
        done: list[Committed] = []

        def commit(removal: RowRemoval, adds: list[FileEntry], attempt: str, left: Left) -> bool:
            committed = self._catalogue.erase_all(self._stream, removal.dels, attempt, left.seq)
            done.extend([] if committed is None else [committed])
            return committed is not None

        removal = self._removed(self.everything, lambda _: _everything, commit)
        return done[0], removal

    # ---- retention

    def before(self, day: int) -> RowRemoval:
        """The files with points before the UTC day ``day``; ``rows`` without those that were carried in already.

        There are none if the floor is there, or higher. QueryError if nothing would be left.
        """
        snapshot = self._catalogue.snapshot(self._stream)
        if is_retired(snapshot, day):
            return RowRemoval(snapshot, (), (), 0)
        check_left(snapshot, day)
        gone = tuple(f for f in snapshot.files if f.t_max < day * DAY)
        cut = tuple(f for f in snapshot.files if f.t_min < day * DAY <= f.t_max)
        rows = sum(f.rows for f in gone if not snapshot.is_carried(f))
        rows += sum(rows_before(self._open(f), day * DAY) for f in cut)
        return RowRemoval(snapshot, gone, cut, rows)

    def retain(self, day: int, workers: int) -> tuple[RowRemoval, list[FileEntry]]:
        """Raise the floor to this day, unless it is there, or higher.

        Returns what is gone, and the files that are there instead. The rows that are carried in are found by
        ``workers`` threads.
        """
        written: list[FileEntry] = []

        def carried(removal: RowRemoval, rewriting: Rewriting) -> list[FileEntry]:
            columns = [name for name, type_ in removal.snapshot.schema.columns.items() if type_ is not Type.TIME]
            last = LastRows(removal.snapshot.schema, columns, self._open, workers, day * DAY)
            last.add(removal.dels)
            return rewriting.carried(last.points(), day) if removal.dels else []

        def commit(removal: RowRemoval, adds: list[FileEntry], attempt: str, left: Left) -> bool:
            written[:] = adds
            if is_retired(removal.snapshot, day):
                return True
            return self._catalogue.raise_floor(self._stream, day, removal.dels, adds, attempt, left) is not None

        what = f"retire {day}"
        return self._removed(lambda: self.before(day), lambda _: _from(day * DAY), commit, what, carried), written

    # ---- what they have in common

    def _until_done(
        self,
        plan: Callable[[], RowRemoval],
        keep_of: Callable[[RowRemoval], Keep],
        commit: Callable[[RowRemoval, list[FileEntry], str, Left], bool],
        what: str = "",
    ) -> int:
        return self._removed(plan, keep_of, commit, what).rows

    def _removed(
        self,
        plan: Callable[[], RowRemoval],
        keep_of: Callable[[RowRemoval], Keep],
        commit: Callable[[RowRemoval, list[FileEntry], str, Left], bool],
        what: str = "",
        more: Callable[[RowRemoval, Rewriting], list[FileEntry]] = lambda *_: [],
    ) -> RowRemoval:
        """Plan, write and commit; ``what`` is removed, as the files' origin says it."""
        for _ in range(_TRIES):
            removal, attempt = plan(), new_attempt()
            rewriting = replace(self._rewriting(removal.snapshot, attempt), removes=what)
            adds = rewriting.each_written(removal.cut, keep_of(removal), removal.gone)
            adds += more(removal, self._rewriting(removal.snapshot, attempt, len(adds)))
            if commit(removal, adds, attempt, left_by(removal, adds)):
                self._open.close(removal.dels)
                return removal
            if self._catalogue.claim_for_sweep(self._stream, attempt):
                for file in adds:
                    with suppress(StoreError):  # without permission to delete, the sweep removes it
                        self._objects.delete(file.path)
        raise self._busy()

    def _busy(self) -> StoreError:
        return StoreError(
            f"stream {self._stream!r} changes all the time: repeat the command when fewer others write to it"
        )

    def _rewriting(self, snapshot: Snapshot, attempt: str, first: int = 0) -> Rewriting:
        order = self._catalogue.order(self._stream)
        return Rewriting(
            self._objects, self._open, self._stream, snapshot.schema, attempt, order, first, floor=snapshot.floor
        )


def is_retired(snapshot: Snapshot, day: int) -> bool:
    """Whether there are no points before a day: all are retired already, or there never were any."""
    first = min((file.t_min for file in snapshot.points), default=None)
    return (snapshot.floor is not None and day <= snapshot.floor) or (first is not None and first >= day * DAY)


def check_left(snapshot: Snapshot, day: int) -> None:
    """QueryError if a stream has no points from a day on."""
    last = snapshot.last_time
    if last is None or day > last // DAY:
        newest = "it has no points" if last is None else f"its newest point is of {day_name(last // DAY)}"
        raise QueryError(
            f"before {day_name(day)} are all points of {snapshot.stream} ({newest}): to remove them all, use "
            "`dataflow erase`"
        )


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
        found += int(among(orders.astype(np.int64) >> 20, wanted).sum()) * (rows if len(orders) < rows else 1)
    return found


def rows_before(file: PointFile, time: int) -> int:
    """How many rows of a file are before a time."""
    found = 0
    for number, block in enumerate(file.blocks):
        if int(block["t_max"]) < time:
            found += int(block["rows"])
        elif int(block["t_min"]) < time:
            times = file.load([], number, number + 1).block(number, [], Buffers()).time
            found += int(np.count_nonzero(times < time))
    return found


def rows_of_key(file: PointFile, key: str | int) -> int:
    """How many rows of a file are of a key."""
    data = key.encode() if isinstance(key, str) else key.to_bytes(8, "little", signed=True)
    hashed = hash_bytes(data)
    first, last, _, _ = file.key_span(hashed, hashed + 1)
    if first == last or (file.key_column(first, last).type is Type.STRING) != isinstance(key, str):
        return 0
    starts = file.run_starts
    found = [at for at, other in enumerate(file.key_column(first, last).to_list(), first) if other == key]
    return sum(int(starts[at + 1] - starts[at]) for at in found)


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
        return points.take(np.flatnonzero(~among(orders >> 20, wanted)))

    return keep


def _without_key(key: str | int) -> Keep:
    def keep(points: Points) -> Points:
        column = points.key
        if column.words is None:
            return points.take(np.flatnonzero(column.values != key))
        codes = [code for code, word in enumerate(column.words.strings) if word == key]
        # What is written has only words that rows still have.
        return points.take(np.flatnonzero(~np.isin(column.values, codes)))

    return keep


def _from(time: int) -> Keep:
    return lambda points: points.take(np.flatnonzero(points.time >= time))


def _everything(points: Points) -> Points:
    return points
