"""The catalogue's protocol, step by step, as CATALOGUE.md describes it: one log per stream, all else derived from it.

Every method is a generator of table requests (see ``table.py``), so that one text of the protocol serves every
table and the simulator. Small methods stand for the single rules of the protocol; tests break them one by one.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from runtime.catalogue import rows as day_rows
from runtime.catalogue.entries import (
    DAY,
    AlreadyIngested,
    Committed,
    Deletion,
    FileEntry,
    Record,
    SourceEntry,
    Totals,
    check_attempt,
    check_stream,
    day_name,
    shifted_hash,
)
from runtime.catalogue.rows import Files
from runtime.catalogue.schema import StreamSchema
from runtime.catalogue.table import (
    Check,
    ConditionFailed,
    OutcomeUnknown,
    Put,
    Steps,
    When,
    get,
    query,
    scan,
    transact,
)
from runtime.catalogue.wire import damaged, dump, dump_record, dump_source, load, load_record, log_key
from runtime.errors import IncompleteResult, IngestError, StoreError

MAX_RECORD = 400_000
"""Bytes of one log record: what an item of DynamoDB can hold."""

MAX_TRANSACTION = 3_500_000
"""Bytes of the bodies of one transaction: DynamoDB takes 4 MB with everything around them."""

MAX_UNKNOWN = 8
"""How often a request whose outcome is unknown is issued again."""

STREAMS = "STREAMS"


class AttemptSwept(IngestError):
    """The files of this attempt were collected as orphans before it came to commit them."""


class StreamSteps:
    """The protocol for one stream; ``most`` is the table's limit of items in one transaction."""

    def __init__(self, stream: str, most: int, clock: Callable[[], int] | None = None) -> None:
        self.stream = check_stream(stream)
        self.most = most
        self.patience = MAX_UNKNOWN
        self.clock = clock or (lambda: time.time_ns() // 1000)

    def partition(self, name: str) -> str:
        """A partition of this stream: LOG, SRC, CLAIM, DEL, WM or DAY#<month>."""
        return f"{self.stream}/{name}"

    # The log

    def last_record(self) -> Steps[Record | None]:
        """The newest record of the log."""
        found = yield from query(self.partition("LOG"), last=True)
        return load_record(found[-1][1], self.stream, found[-1][0]) if found else None

    def record(self, seq: int) -> Steps[Record]:
        """The record ``seq``, which must be there."""
        body = yield from get(self.partition("LOG"), log_key(seq))
        if body is None:
            raise damaged(f"log of stream {self.stream!r}", f"record {seq} is missing")
        return load_record(body, self.stream, log_key(seq))

    def records_after(self, seq: int) -> Steps[list[Record]]:
        """The longest gap-free run of records that follows ``seq``.

        A record beyond a gap was committed while the query ran; what fills the gap was committed before it, but
        after the query had passed its place.
        """
        found = yield from query(self.partition("LOG"), low=log_key(seq + 1))
        run: list[Record] = []
        for sort, body in found:
            if sort != log_key(seq + 1 + len(run)):
                break
            run.append(load_record(body, self.stream, sort))
        return run

    def schema_at(self, record: Record) -> Steps[StreamSchema]:
        """The schema that is valid as of a record."""
        holder = record if record.schema is not None else (yield from self.record(record.schema_seq))
        if holder.schema is None:
            raise damaged(f"log of stream {self.stream!r}", f"record {holder.seq} should hold the schema")
        return holder.schema

    def source(self, source_id: str) -> Steps[tuple[SourceEntry, int, str] | None]:
        """The source's entry, the commit that took it in, and that commit's attempt."""
        body = yield from get(self.partition("SRC"), source_id)
        if body is None:
            return None
        data = load(body, f"source {source_id} of stream {self.stream!r}")
        return SourceEntry.from_dict(data), int(data["seq"]), str(data["attempt"])

    # Commit

    def commit(
        self, schema: StreamSchema, source: SourceEntry, files: Sequence[FileEntry], attempt: str
    ) -> Steps[Committed | AlreadyIngested]:
        """Add the files of one source, once: one transaction of LOG + SRC + CLAIM, all if absent."""
        check_attempt(attempt)
        source.checked()
        for file in files:
            file.checked(self.stream, attempt)
        unknown = 0
        while True:
            known = yield from self.source(source.id)
            if known is not None:
                entry, seq, winner = known
                if winner == attempt:
                    return Committed(seq)  # ours: the reply to an earlier request was lost
                if entry.quarantined is None or source.quarantined is not None:
                    return AlreadyIngested(entry)
            last = yield from self.last_record()
            record = yield from self._record(last, attempt, source, schema, files, (), known is not None)
            items = [
                self._log_put(record),
                *self._source_puts(source, record, again=known is not None),
                *self._claim_puts(attempt, record),
                *self._stream_puts(record),
            ]
            try:
                yield from transact(items)
                return Committed(record.seq)
            except ConditionFailed:
                yield from self._check_claim(attempt, source.id)
            except OutcomeUnknown:
                unknown += 1
                if unknown > self.patience:
                    raise

    def replace_files(
        self, dels: Sequence[FileEntry], adds: Sequence[FileEntry], attempt: str
    ) -> Steps[Committed | None]:
        """Replace live files by others with the same rows: LOG + CLAIM + DEL per file that goes.

        None when another commit has replaced one of them already; this attempt's files are orphans then.
        """
        check_attempt(attempt)
        for file in adds:
            file.checked(self.stream, attempt)
        if len(dels) + 2 > self.most:
            raise StoreError(f"one commit can replace at most {self.most - 2} files, not {len(dels)}: use several.")
        gone = [Deletion.of(file) for file in dels]
        unknown = 0
        while True:
            claimed = yield from self.claim(attempt)
            if claimed is not None and claimed[0] == "commit":
                return Committed(claimed[1])
            last = yield from self.last_record()
            if last is None:
                raise StoreError(f"stream {self.stream!r} has no files to replace.")
            record = yield from self._record(last, attempt, None, None, adds, gone, False)
            guards = self._deletion_puts(gone, record)
            items = [self._log_put(record), *self._claim_puts(attempt, record), *guards]
            try:
                yield from transact(items)
                return Committed(record.seq)
            except ConditionFailed as failure:
                if any(isinstance(i, Put) and i in guards for i in (items[f] for f in failure.failed)):
                    mine = yield from self.claim(attempt)
                    return Committed(mine[1]) if mine is not None and mine[0] == "commit" else None
                yield from self._check_claim(attempt, None)
            except OutcomeUnknown:
                unknown += 1
                if unknown > self.patience:
                    raise

    def _record(
        self,
        last: Record | None,
        attempt: str,
        source: SourceEntry | None,
        schema: StreamSchema | None,
        adds: Sequence[FileEntry],
        dels: Sequence[Deletion],
        was_quarantined: bool,
    ) -> Steps[Record]:
        """The record that would follow ``last``."""
        seq = 1 if last is None else last.seq + 1
        changed = None
        if schema is not None:
            held = None if last is None else (yield from self.schema_at(last))
            if held is None or last is None:
                merged = schema
            elif last.totals.first is None and held.key_type is not schema.key_type:
                # An empty source, or one in quarantine, says nothing of the keys of a stream without a point.
                merged = replace(held, key_type=schema.key_type).merged_with(schema)
            else:
                merged = held.merged_with(schema)
            changed = None if merged is held else merged
        before = Totals() if last is None else last.totals
        times = [
            t for t in (before.first, before.last, *(f.t_min for f in adds), *(f.t_max for f in adds)) if t is not None
        ]
        totals = Totals(
            files=before.files + len(adds) - len(dels),
            rows=before.rows + sum(f.rows for f in adds) - sum(d.rows for d in dels),
            bytes=before.bytes + sum(f.bytes for f in adds) - sum(d.bytes for d in dels),
            hash=shifted_hash(before.hash, [f.path for f in adds], [d.path for d in dels]),
            first=min(times, default=None),
            last=max(times, default=None),
            sources=before.sources + (source is not None and source.quarantined is None and not source.resumed),
            quarantined=before.quarantined + (source is not None and source.quarantined is not None) - was_quarantined,
            rejected=before.rejected + (source.rejected - source.resumed if source else 0),
            dropped=before.dropped + (source.dropped if source else 0),
        )
        return Record(
            seq=seq,
            at=max(self.clock(), 0 if last is None else last.at),  # a clock that was set back does not show
            attempt=attempt,
            source=None if source is None else source.id,
            adds=tuple(replace(file, seq=seq, ordinal=i) for i, file in enumerate(adds)),
            dels=tuple(dels),
            totals=totals,
            schema_seq=seq if changed is not None or last is None else last.schema_seq,
            schema=changed,
            floor=None if last is None else last.floor,
        )

    def _log_put(self, record: Record) -> Put:
        body = dump_record(record)
        if len(body) > MAX_RECORD:
            raise IngestError(
                f"the commit to stream {self.stream!r} lists {len(record.adds)} files in {len(body)} bytes, more than "
                f"the {MAX_RECORD} of one log record: split the input into parts of fewer days."
            )
        return Put(self.partition("LOG"), log_key(record.seq), body, When.ABSENT)

    def _source_puts(self, source: SourceEntry, record: Record, again: bool) -> list[Put]:
        number = 1 if source.quarantined is None else 0
        body = dump_source(source, record.seq, record.attempt)
        when = When.EQUAL if again else When.ABSENT  # again: it was quarantined, number 0
        return [Put(self.partition("SRC"), source.id, body, when, 0, number)]

    def _claim_puts(self, attempt: str, record: Record) -> list[Put]:
        body = dump({"by": "commit", "seq": record.seq, "source": record.source})
        return [Put(self.partition("CLAIM"), attempt, body, When.ABSENT)]

    def _stream_puts(self, record: Record) -> list[Put]:
        return [Put(STREAMS, self.stream, dump({"stream": self.stream}))] if record.seq == 1 else []

    def _deletion_puts(self, dels: Iterable[Deletion], record: Record) -> list[Put]:
        body = dump({"seq": record.seq, "at": record.at})
        return [Put(self.partition("DEL"), gone.path, body, When.ABSENT) for gone in dels]

    # Claims: an attempt's files belong either to its commit or to the orphan sweep

    def claim(self, attempt: str) -> Steps[tuple[str, int, str | None] | None]:
        """Who has claimed an attempt's files: ('commit', seq, source), ('sweep', 0, None), or nobody yet."""
        body = yield from get(self.partition("CLAIM"), attempt)
        if body is None:
            return None
        data = load(body, f"claim {attempt} of stream {self.stream!r}")
        return str(data["by"]), int(data["seq"]), data["source"]

    def claim_for_sweep(self, attempt: str) -> Steps[bool]:
        """Claim an attempt's files as orphans; only when True may they be deleted, for then no commit can come."""
        check_attempt(attempt)
        body = dump({"by": "sweep", "seq": 0, "source": None})
        for _ in range(self.patience + 1):
            held = yield from self.claim(attempt)
            if held is not None:
                return held[0] == "sweep"
            try:
                yield from transact([Put(self.partition("CLAIM"), attempt, body, When.ABSENT)])
                return True
            except (ConditionFailed, OutcomeUnknown):
                continue  # the claim that is there now tells
        return False  # not known, so nothing is deleted

    def _check_claim(self, attempt: str, source_id: str | None) -> Steps[None]:
        """Whether a refused commit may be tried again; raises when the attempt's files are no longer its own."""
        held = yield from self.claim(attempt)
        if held is None:
            return
        by, _, source = held
        if by == "sweep":
            raise AttemptSwept(
                f"the files of attempt {attempt} of stream {self.stream!r} were collected as orphans before they were "
                "committed: ingest the input again."
            )
        if source != source_id:
            raise StoreError(f"attempt id {attempt} was used for another commit of {self.stream!r}: use a new one.")

    # The day index: a cache of the log up to a watermark

    def watermark(self) -> Steps[int]:
        """How far the day index has been applied: every record up to it is in the index whole."""
        body = yield from get(self.partition("WM"), "WM")
        return 0 if body is None else int(load(body, f"watermark of stream {self.stream!r}")["seq"])

    def catch_up(self) -> Steps[int]:
        """Apply the log to the day index as far as it goes; returns the watermark reached.

        Several may do this at once: each row of record n is written on the condition that the watermark is below
        n, so a slow one can never put an old version of a row over a newer one.
        """
        while True:
            mark = yield from self.watermark()
            tail = yield from self.records_after(mark)
            if not tail:
                return mark
            try:
                for record in tail:
                    yield from self.apply(record)
            except ConditionFailed:
                continue  # somebody else was faster: go on from where they are

    def apply(self, record: Record) -> Steps[None]:
        """Write the rows of one record, then advance the watermark to it (with the last rows, if they fit)."""
        *early, last = in_batches((yield from self._rows(record)), self.most - 1)
        for puts in early:
            yield from transact([*puts, *self._mark_check(record)])
        yield from transact([*last, self._mark_put(record)])

    def _mark_check(self, record: Record) -> list[Check]:
        return [Check(self.partition("WM"), "WM", When.BELOW, record.seq)]

    def _mark_put(self, record: Record) -> Put:
        body = dump({"seq": record.seq})
        return Put(self.partition("WM"), "WM", body, When.BELOW, record.seq, record.seq)

    def _rows(self, record: Record) -> Steps[list[Put]]:
        """The index rows of a record: the same for everybody who applies it."""
        puts: list[Put] = []
        for day, (adds, dels) in by_day(record).items():
            partition = self.partition(day_rows.partition_of(day))
            before = yield from query(
                partition, day_rows.row_key(day, 0, 0), day_rows.row_key(day, record.seq, 0), last=True
            )
            totals = (day_rows.totals_of(before[-1][1]) if before else day_rows.DayTotals()).shifted(adds, dels)
            for file in adds:
                puts.append(Put(partition, day_rows.row_key(day, file.seq, file.ordinal), day_rows.pack(file, totals)))
            if not adds:
                key = day_rows.marker_key(day, record.seq)
                puts.append(Put(partition, key, day_rows.pack_marker(day, record.seq, totals)))
            for gone in dels:
                key = day_rows.row_key(day, gone.seq, gone.ordinal)
                body = yield from get(partition, key)
                if body is None:
                    raise IncompleteResult(
                        f"the day index of stream {self.stream!r} lacks {gone.path!r}, which commit {record.seq} "
                        "replaces: run `dataflow verify`."
                    )
                puts.append(Put(partition, key, day_rows.deleted(body, record.seq)))
        return puts

    def index_rows(self, first: int, last: int) -> Steps[Files]:
        """The rows of the day index for the days ``first`` to ``last``, in the order (day, seq, ordinal)."""
        parts: list[tuple[bytes, bytes]] = []
        day = first
        while day <= last:
            partition, low = day_rows.partition_of(day), day_name(day)
            while day <= last and day_rows.partition_of(day) == partition:
                day += 1
            high = day_name(day - 1) + "#~"
            parts.append((yield from scan(self.partition(partition), low, high, day_rows.HEAD_SIZE)))
        files = Files.of(parts)
        if not files.ordered():
            raise damaged(f"day index of stream {self.stream!r}", "its rows are not in order")
        return files


def in_batches(puts: Sequence[Put], most: int) -> list[list[Put]]:
    """The puts in batches for one transaction each, in their order; at least one batch, which may be empty."""
    batches: list[list[Put]] = [[]]
    size = 0
    for put in puts:
        size += len(put.body)
        if len(batches[-1]) >= most or (size > MAX_TRANSACTION and batches[-1]):
            batches.append([])
            size = len(put.body)
        batches[-1].append(put)
    return batches


def by_day(record: Record) -> dict[int, tuple[list[FileEntry], list[Deletion]]]:
    """A record's changes for each day it touches."""
    days: dict[int, tuple[list[FileEntry], list[Deletion]]] = defaultdict(lambda: ([], []))
    for file in record.adds:
        days[file.day][0].append(file)
    for gone in record.dels:
        days[gone.day][1].append(gone)
    return dict(sorted(days.items()))


def day_range(first: int, last: int, since: int | None, until: int | None) -> tuple[int, int]:
    """The days that hold event times of [since, until), cut to those of the times ``first`` to ``last``."""
    low = first if since is None else max(first, since)
    high = last if until is None else min(last, until - 1)
    return low // DAY, high // DAY if low <= high else low // DAY - 1
