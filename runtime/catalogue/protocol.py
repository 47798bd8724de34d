"""The catalogue's commit protocol, step by step; CATALOGUE.md is its specification.

Every method is a generator of table requests (see ``key_value.py``), so that the same code serves every table and the
simulator. Each rule of the protocol is a small method; tests break them one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from runtime.catalogue.claims import ClaimSteps
from runtime.catalogue.index import IndexSteps, Mark
from runtime.catalogue.items.commit_order import Order
from runtime.catalogue.items.entries import (
    AlreadyIngested,
    Committed,
    Deletion,
    FileEntry,
    Record,
    SourceEntry,
    Totals,
    check_attempt,
    shifted_hash,
)
from runtime.catalogue.items.file_lists import MAX_ITEM, check_count, fitted
from runtime.catalogue.items.item_bytes import dump, dump_record, hash_of, log_key
from runtime.catalogue.items.schema import StreamSchema
from runtime.catalogue.items.stream_names import count_puts, counted
from runtime.catalogue.key_value import ConditionFailed, OutcomeUnknown, Put, PutHead, Steps, WriteCondition, transact
from runtime.catalogue.log import STREAMS, Head, head_payload
from runtime.catalogue.sources import FIRST, SourceSteps
from runtime.errors import StoreError

MAX_REFUSED = 10_000
"""How often a commit may lose a race; more refusals mean damage."""


class StreamSteps(SourceSteps, IndexSteps, ClaimSteps):
    """The protocol for one stream; ``most`` is the table's limit of items in one transaction.

    The record of a commit has at most ``room`` bytes; if it would have more, its files are listed in items of their
    own, which are written before it.
    """

    def __init__(self, stream: str, most: int, clock: Callable[[], int] | None = None) -> None:
        super().__init__(stream, most, clock)
        self.room = MAX_ITEM

    # Commit

    def commit(
        self, schema: StreamSchema, source: SourceEntry, files: Sequence[FileEntry], attempt: str
    ) -> Steps[Committed | AlreadyIngested]:
        """Add the files of one source, once: one transaction of LOG + HEAD + SRC + CLAIM, all or nothing."""
        check_attempt(attempt)
        source.checked()
        check_count(self.stream, files)
        for file in files:
            file.checked(self.stream, attempt)
        written: dict[str, bool] = {}
        unknown = 0
        for _ in range(MAX_REFUSED):
            last, head = yield from self.last_record()
            place = yield from self.place(source.id)  # after the log: later additions make this commit fail
            known = place is not None and place.sort == source.id
            if place is not None and known:
                entry, seq, winner = self.entry_of(place)
                if winner == attempt:
                    return Committed(seq)  # ours: the reply to an earlier request was lost
                if entry.quarantined is None or source.quarantined is not None:
                    yield from self.abandon(attempt, written)
                    return AlreadyIngested(entry)
            whole = yield from self._record(last, attempt, source, schema, files, (), known)
            record, lists = fitted(self.stream, whole, self.room)
            items = [
                self._log_put(record),
                *self._head_puts(record, last, head),
                *self.source_puts(source, record, place, self._is_sealed(last, head)),
                *self._claim_puts(attempt, record),
                *(yield from self._first_puts(record)),
            ]
            try:
                yield from self.write_lists(attempt, source.id, lists, written)
                yield from transact(items)
                return Committed(record.seq)
            except ConditionFailed as failure:
                yield from self.check_claim(attempt, source.id)
                if last is None:
                    yield from self._check_begun([items[at] for at in failure.failed])
            except OutcomeUnknown:
                unknown += 1
                if unknown > self.patience:
                    raise
        raise self.damaged("log", "commits to it are refused")

    def replace_files(
        self, dels: Sequence[FileEntry], adds: Sequence[FileEntry], attempt: str
    ) -> Steps[Committed | None]:
        """Replace live files by others with the same rows: LOG + HEAD + CLAIM + DEL per replaced file.

        None when another commit has replaced one of them already; this attempt's files are orphans then.
        """
        check_attempt(attempt)
        check_count(self.stream, adds)
        for file in adds:
            file.checked(self.stream, attempt)
        if len(dels) + 3 > self.most:
            raise StoreError(f"one commit can replace at most {self.most - 3} files, not {len(dels)}: use several.")
        gone = [Deletion.of(file) for file in dels]
        written: dict[str, bool] = {}
        unknown = 0
        for _ in range(MAX_REFUSED):
            claimed = yield from self.claim(attempt)
            if claimed is not None and claimed[0] == "commit":
                return Committed(claimed[1])
            last, head = yield from self.last_record()
            if last is None:
                raise StoreError(f"stream {self.stream!r} has no files to replace.")
            whole = yield from self._record(last, attempt, None, None, adds, gone, False)
            record, lists = fitted(self.stream, whole, self.room)
            guards = self._deletion_puts(gone, record)
            commit = [self._log_put(record), *self._head_puts(record, last, head)]
            items = [*commit, *self._claim_puts(attempt, record), *guards]
            try:
                yield from self.write_lists(attempt, None, lists, written)
                yield from transact(items)
                return Committed(record.seq)
            except ConditionFailed as failure:
                if any(isinstance(i, Put) and i in guards for i in (items[f] for f in failure.failed)):
                    mine = yield from self.claim(attempt)
                    if mine is not None and mine[0] == "commit":
                        return Committed(mine[1])
                    yield from self.abandon(attempt, written)
                    return None
                yield from self.check_claim(attempt, None)
            except OutcomeUnknown:
                unknown += 1
                if unknown > self.patience:
                    raise
        raise self.damaged("log", "commits to it are refused")

    def note_head(self) -> Steps[None]:
        """Record the stream's last commit beside the table; to be done after each commit."""
        head = yield from self.head()
        if head is not None:
            yield PutHead(self.stream, head.seq, head.hash)

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
                # An empty or quarantined source does not determine the key type of a stream without points.
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
            sources=before.sources + (source is not None and source.quarantined is None),
            quarantined=before.quarantined + (source is not None and source.quarantined is not None) - was_quarantined,
            rejected=before.rejected + (source.rejected - source.resumed if source else 0),
            dropped=before.dropped + (source.dropped if source else 0),
            reach=max([before.reach, *(file.days - 1 for file in adds)]),
        )
        return Record(
            seq=seq,
            at=max(self.clock(), 0 if last is None else last.at),  # a clock that was set back has no effect
            attempt=attempt,
            source=None if source is None else source.id,
            adds=tuple(replace(file, seq=seq, ordinal=i) for i, file in enumerate(adds)),
            dels=tuple(dels),
            totals=totals,
            schema_seq=seq if changed is not None or last is None else last.schema_seq,
            schema=changed,
            floor=None if last is None else last.floor,
            before=None if last is None else last.hash,
        )

    def _log_put(self, record: Record) -> Put:
        return self.put("LOG", log_key(record.seq), dump_record(record), WriteCondition.ABSENT)

    def _head_puts(self, record: Record, last: Record | None, head: Head | None) -> list[Put]:
        """The head that names the record, on condition that the head is unchanged since it was read.

        A new stream is sealed from the start; one of an earlier version after ``sealing``.
        """
        before = head.order if head is not None and head.recent else None
        if before is None:
            before = Order() if last is None else Order(last.seq - 1).followed_by(last.attempt)
        recent = before.followed_by(record.attempt).attempts
        new = Head(record.seq, hash_of(dump_record(record)), self._is_sealed(last, head), recent)
        when = WriteCondition.ABSENT if head is None else WriteCondition.EQUAL
        bound = 0 if head is None else head.number
        return [self.put("HEAD", "HEAD", head_payload(new), when, bound, new.number)]

    def _is_sealed(self, last: Record | None, head: Head | None) -> bool:
        """Whether the stream is sealed and its list of sources linked; a new stream is."""
        return last is None if head is None else head.sealed

    def _check_begun(self, failed: Iterable[Put]) -> Steps[None]:
        """Raise if a first commit was refused because of items that only a first commit writes, but there is no log."""
        places = {(put.partition, put.sort) for put in failed}
        first = {(STREAMS, self.stream), (self.partition("WM"), "WM"), (self.partition("SRC"), FIRST)}
        if places & first:
            last, _ = yield from self.last_record()
            if last is None:
                raise self.damaged("log", "it is missing")

    def _claim_puts(self, attempt: str, record: Record) -> list[Put]:
        payload = dump({"by": "commit", "seq": record.seq, "source": record.source})
        return [self.put("CLAIM", attempt, payload, WriteCondition.ABSENT)]

    def _first_puts(self, record: Record) -> Steps[list[Put]]:
        """The items that only the first commit writes: the stream's name and count, and the initial watermark."""
        if record.seq > 1:
            return []
        mark = self.put("WM", "WM", Mark(0, {}).payload(), WriteCondition.ABSENT)
        count, *names = count_puts((yield from counted()), [self.stream])
        return [mark, count, *(replace(name, when=WriteCondition.ABSENT) for name in names)]

    def _deletion_puts(self, dels: Iterable[Deletion], record: Record) -> list[Put]:
        payload = dump({"seq": record.seq, "at": record.at})
        return [self.put("DEL", gone.path, payload, WriteCondition.ABSENT) for gone in dels]
