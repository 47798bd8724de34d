"""Reads a stream at one commit: the watermark, the log beyond it, the day index up to it, in this order.

What was read of a commit is true of it for ever: the hash of its record is of its whole history. So a process that asks
again reads the heads and the end of the log, checks them, and takes the rest from what it read before.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from operators.nearest import listed, meant
from runtime.catalogue.day_rows import DayFiles
from runtime.catalogue.index import IndexSteps, Mark, day_range
from runtime.catalogue.items.entries import DAY, FileEntry, Record, Totals, day_name
from runtime.catalogue.items.schema import StreamSchema
from runtime.catalogue.key_value import Steps
from runtime.catalogue.log import RETRIES, Head
from runtime.catalogue.recent import Recent
from runtime.errors import IncompleteResult, QueryError


@dataclass(frozen=True)
class Snapshot:
    """A stream as of commit ``seq``, made at ``at`` (microseconds UTC), and the files that a query range [since, until)
    needs.

    ``files`` are those with points on the UTC days that the range touches, in the order (day, seq, ordinal); they are
    available as columns (``files.heads``), and entries are created on access. ``floor`` is the first day that retention
    keeps (days since 1970-01-01; None: all). ``first_time`` and ``last_time`` are the event times (microseconds UTC,
    both inclusive) of the whole stream from the floor on, None when it has no points. ``total_...``, ``sources``,
    ``quarantined`` (sources set aside; of them ``dismissed``), ``rejected`` (rows), ``dropped`` (duplicates),
    ``undone`` (sources taken back) and ``erased`` (keys; what ``commit`` takes) are of the whole stream. ``checked``:
    every item read had a checksum; False for streams of earlier versions.

    Files that end before the floor hold what is carried in: each key's last rows from before it (``is_carried``).
    """

    stream: str
    seq: int
    at: int
    schema: StreamSchema
    files: DayFiles
    floor: int | None
    first_time: int | None
    last_time: int | None
    total_files: int
    total_rows: int
    total_bytes: int
    sources: int
    quarantined: int
    rejected: int
    dropped: int
    checked: bool = True
    undone: int = 0
    erased: int = 0
    dismissed: int = 0

    def is_carried(self, file: FileEntry) -> bool:
        """Whether a file holds what is carried in at the floor, rather than points of the stream."""
        return self.floor is not None and file.t_max < self.floor * DAY

    @property
    def points(self) -> list[FileEntry]:
        """The files without those that are carried in."""
        return [file for file in self.files if not self.is_carried(file)]

    @property
    def set_hash(self) -> str:
        """The set hash of the planned files' paths; see ``entries.set_hash``."""
        return self.files.set_hash

    @property
    def rows(self) -> int:
        """Rows of the planned files."""
        return self.files.row_count


class ReadSteps:
    """The read side of the protocol; ``steps`` provides the single reads, ``recent`` keeps snapshots by their files."""

    def __init__(self, steps: IndexSteps, recent: Recent[Snapshot] | None = None) -> None:
        self.steps = steps
        self.stream = steps.stream
        self.recent = recent

    def snapshot(self, since: int | None = None, until: int | None = None) -> Steps[Snapshot | None]:
        """The newest snapshot; None for a stream without commits."""
        for _ in range(RETRIES):
            beside = yield from self.steps.beside()
            head = yield from self.steps.head()
            mark = yield from self.steps.mark()
            tail = yield from self.steps.records_after(0 if mark is None else mark.seq)
            if mark is None and not tail:
                if head is not None or beside is not None:
                    raise self.steps.damaged("log", "it is missing")
                return None
            if mark is not None and mark.seq == 0 and not tail:
                raise self.steps.damaged("log", "it is missing")
            last = tail[-1] if tail or mark is None else (yield from self.steps.record(mark.seq))
            # Watermark and head exist from the first commit on. If one is missing, that commit happened in between, or
            # it is lost.
            if head is None and last.version > 1:
                continue
            if mark is None and (tail[0].version > 1 or (head is not None and head.sealed)):
                continue
            yield from self.steps.check_heads(last, beside, head, tail)
            return (yield from self._read(mark or Mark(0, None), tail, last, head, since, until))
        raise self.steps.damaged("watermark or head", "it is missing")

    def _read(
        self, mark: Mark, tail: list[Record], last: Record, head: Head | None, since: int | None, until: int | None
    ) -> Steps[Snapshot]:
        """The snapshot at the record ``last``."""
        totals = last.totals
        bounds = times_from(last.floor, totals)
        days = (0, -1)
        if totals.first is not None and totals.last is not None:
            days = day_range(totals.first, totals.last, since, until)
        asked = days[0]
        if totals.reach and totals.first is not None and asked <= days[1]:
            # Files that begin before the range may reach into it.
            days = max(asked - totals.reach, totals.first // DAY), days[1]
        sealed, whole = head is not None and head.sealed, since is None and until is None
        version, name = (last.seq, last.hash), (asked, days, whole)
        known = self.recent.get(self.stream, version, name) if self.recent is not None and sealed else None
        if known is not None:
            return known
        schema = yield from self.steps.schema_at(last)
        written = None
        if mark.years is not None:
            written = yield from self.steps.directory(mark.years, *days)
        rows = yield from self.steps.index_rows(written, *days)
        index = self.as_of(rows, mark.seq)
        self.check_days(index, mark.seq, written)
        files = self.overlay(index, mark.seq, [(r, days) for r in tail])
        if totals.reach:
            files = files.reaching(asked)
        if whole:
            self.check_all(files, totals)
        found = Snapshot(
            stream=self.stream,
            seq=last.seq,
            at=last.at,
            schema=schema,
            files=files,
            floor=last.floor,
            first_time=bounds[0],
            last_time=bounds[1],
            total_files=totals.files,
            total_rows=totals.rows,
            total_bytes=totals.bytes,
            sources=totals.sources,
            quarantined=totals.quarantined,
            rejected=totals.rejected,
            dropped=totals.dropped,
            checked=sealed,
            undone=totals.undone,
            erased=totals.erased,
            dismissed=totals.dismissed,
        )
        if self.recent is not None and sealed:
            self.recent.put(self.stream, version, name, found, len(files))
        return found

    def as_of(self, found: DayFiles, mark: int) -> DayFiles:
        """The rows of commits up to the watermark; later ones come from the log."""
        return found.where(found.heads["add_seq"] <= mark)

    def check_days(self, index: DayFiles, mark: int, written: Mapping[int, int] | None) -> None:
        """Raise unless each day's live files have the count, rows and set hash of the day's totals.

        The days and their last commits must be those of the directory: ``written``.
        """
        heads = index.heads
        if written is not None:
            ends = np.append(np.flatnonzero(np.diff(heads["day"])), len(heads) - 1)[: len(heads)]
            latest = dict(zip(heads["day"][ends].tolist(), heads["add_seq"][ends].tolist(), strict=True))
            if latest != written:
                day = min(set(latest.items()) ^ set(written.items()))[0]
                raise IncompleteResult(
                    f"the day index of stream {self.stream!r} does not have the rows of {day_name(day)} that were "
                    "committed: run `dataflow recover` on the store."
                )
        if not len(heads):
            return
        live = (heads["del_seq"] == 0) | (heads["del_seq"] > mark)
        live &= heads["marker"] == 0
        starts = np.flatnonzero(np.diff(heads["day"], prepend=heads["day"][0] - 1))
        ends = np.append(starts[1:], len(heads)) - 1
        counts = np.add.reduceat(live.astype(np.int64), starts)
        sums = np.add.reduceat(np.where(live, heads["rows"], 0), starts)
        hashes = heads["hash"].astype(np.uint64)
        if not live.all():
            hashes[~live] = 0
        lanes = np.add.reduceat(hashes, starts, axis=0)
        for k in range(7, 0, -1):
            # Modulo 2^256: what the first lane carries is dropped.
            lanes[:, k - 1] += lanes[:, k] >> np.uint64(32)
        said = heads[ends]
        wrong = (counts != said["day_files"]) | (sums != said["day_rows"])
        wrong |= (lanes.astype(np.uint32) != said["day_hash"]).any(axis=1)
        if wrong.any():
            i = int(np.argmax(wrong))
            raise IncompleteResult(
                f"the day index of stream {self.stream!r} does not add up on {day_name(int(said['day'][i]))}: "
                f"{counts[i]} files with {sums[i]} rows are listed, {said['day_files'][i]} with "
                f"{said['day_rows'][i]} were committed; run `dataflow recover` on the store."
            )

    def overlay(self, index: DayFiles, mark: int, tail: Sequence[tuple[Record, tuple[int, int]]]) -> DayFiles:
        """The live files at the end of the log's tail: those of the index, minus its deletions, plus its additions."""
        heads = index.heads
        seq = tail[-1][0].seq if tail else mark
        dead = ((heads["del_seq"] != 0) & (heads["del_seq"] <= seq)) | (heads["marker"] != 0)
        added: dict[tuple[int, int], FileEntry] = {}
        gone: set[tuple[int, int]] = set()
        for record, (first, last) in tail:
            added |= {(f.seq, f.ordinal): f for f in record.adds if first <= f.day <= last}
            for deletion in record.dels:
                if not first <= deletion.day <= last:
                    continue
                if added.pop((deletion.seq, deletion.ordinal), None) is None:
                    gone.add((deletion.seq, deletion.ordinal))
        if gone:
            place = {
                pair: i for i, pair in enumerate(zip(heads["add_seq"].tolist(), heads["ordinal"].tolist(), strict=True))
            }
            for pair in gone:
                if pair not in place:
                    raise IncompleteResult(
                        f"the day index of stream {self.stream!r} lacks file {pair[1]} of commit {pair[0]}: "
                        "run `dataflow recover` on the store."
                    )
                dead[place[pair]] = True
        files = index.where(~dead)
        return files.with_added(list(added.values())) if added else files

    def check_all(self, files: DayFiles, totals: Totals) -> None:
        """Raise unless a snapshot of the whole stream has the files, rows and set hash of the log's last record."""
        found = (len(files), files.row_count, files.set_hash)
        if found != (totals.files, totals.rows, totals.hash):
            raise IncompleteResult(
                f"the catalogue of stream {self.stream!r} does not add up: {found[0]} files with {found[1]} rows are "
                f"listed, {totals.files} with {totals.rows} were committed; run `dataflow recover` on the store."
            )


def times_from(floor: int | None, totals: Totals) -> tuple[int | None, int | None]:
    """The first and last time of a stream from the floor on."""
    if floor is None or totals.first is None or totals.last is None:
        return totals.first, totals.last
    return (None, None) if totals.last < floor * DAY else (max(totals.first, floor * DAY), totals.last)


def unknown_stream(stream: str, known: Sequence[str]) -> QueryError:
    """The error for a stream that does not exist."""
    names = listed(known) if known else "none yet"
    return QueryError(
        f"there is no stream {stream!r} in this store; {meant(stream, known, 'its')} streams: {names}. "
        "dataflow ingest makes one"
    )
