"""One commit of any kind, step by step: a record of the log and what is written with it, in one transaction.

Every method is a generator of table requests (see ``key_value.py``). Each rule of the protocol is a small method; tests
break them one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace

from runtime.catalogue.claims import AttemptSwept
from runtime.catalogue.deletions import DeletionSteps, FloorRaised, KeysErased, Superseded
from runtime.catalogue.index import IndexSteps, Mark
from runtime.catalogue.items.changes import StreamChange
from runtime.catalogue.items.commit_order import Order
from runtime.catalogue.items.entries import (
    DAY,
    AlreadyIngested,
    Committed,
    Deletion,
    Record,
    Totals,
    check_attempt,
    day_name,
    shifted_hash,
)
from runtime.catalogue.items.file_lists import MAX_ITEM, check_count, fitted
from runtime.catalogue.items.item_bytes import dump, dump_record, hash_of, log_key
from runtime.catalogue.items.schema import StreamSchema
from runtime.catalogue.items.stream_names import count_puts, counted
from runtime.catalogue.key_value import ConditionFailed, OutcomeUnknown, Put, PutHead, Steps, WriteCondition, transact
from runtime.catalogue.log import STREAMS, Head, head_payload
from runtime.catalogue.sources import FIRST, Place, SourceSteps, is_dismissed, state_of
from runtime.errors import StoreError

MAX_REFUSED = 10_000
"""How often a commit may lose a race; more refusals mean damage."""


class CommitSteps(SourceSteps, IndexSteps, DeletionSteps):
    """Commits to one stream; ``most`` is the table's limit of items in one transaction.

    The record of a commit has at most ``room`` bytes; if it would have more, its files are listed in items of their
    own, which are written before it.
    """

    def __init__(self, stream: str, most: int, clock: Callable[[], int] | None = None) -> None:
        super().__init__(stream, most, clock)
        self.room = MAX_ITEM

    def committed(self, change: StreamChange) -> Steps[Committed | AlreadyIngested]:
        """Make a change, once: one transaction of LOG + HEAD + CLAIM, of SRC, ERASED and DEL as far as it has any.

        ``Superseded`` if another commit has changed what this one is based on; ``AttemptSwept``.
        """
        check_attempt(change.attempt)
        change.checked(self.stream)
        check_count(self.stream, change.adds)
        for file in change.adds:
            file.checked(self.stream, change.attempt)
        written: dict[str, bool] = {}
        try:
            done = yield from self._repeated(change, written)
        except (Superseded, AttemptSwept):  # who claimed it may have died before its lists were emptied
            yield from self.abandon(change.attempt, written)
            raise
        if isinstance(done, AlreadyIngested):
            yield from self.abandon(change.attempt, written)
        return done

    def _repeated(self, change: StreamChange, written: dict[str, bool]) -> Steps[Committed | AlreadyIngested]:
        """Try until it is committed, or can never be; ``written``: the lists and intents that may be there."""
        attempt, source_id = change.attempt, change.source_id
        dels = [Deletion.of(file) for file in change.dels]
        held: dict[str, int] = {}
        unknown = 0
        for _ in range(MAX_REFUSED):
            last, head = yield from self.last_record()
            place = None  # read after the log, so later changes of the list make this commit fail
            if change.source is not None:
                place = yield from self.place(change.source.id)
            done = yield from self._known(change, last, place, unknown)
            if done is not None:
                return done
            taken = yield from self._taken(change, last, place)
            settled = yield from self._settling(change, last)
            whole = yield from self._record(last, change, dels, place, taken, settled)
            record, lists = fitted(self.stream, whole, self.room)
            items = [
                self._log_put(record),
                *self._head_puts(record, last, head),
                *self._claim_puts(attempt, record),
                *self._list_puts(change, record, place, taken, self._is_sealed(last, head)),
                *self.settled_puts(settled, record),
                *self._erased_puts(record),
                *(yield from self._first_puts(record)),
            ]
            early = bool(dels) and (bool(lists) or len(items) + len(dels) > self.most)
            guards = [] if early else self._deletion_puts(dels, record, held)
            items += guards
            try:
                if early:  # before the lists: they lead to those of an attempt that has no files
                    yield from self.write_intents(attempt, source_id, dels, written, held)
                yield from self.write_lists(attempt, source_id, lists, written)
                yield from transact(items)
                return Committed(record.seq)
            except ConditionFailed as failure:
                if (yield from self.is_claimed(attempt, source_id)):
                    continue  # it happened, and is found
                refused = [items[at] for at in failure.failed]
                if last is None:
                    yield from self._check_begun(refused)
                for put in guards:
                    if put in refused and not (yield from self.is_free(put.sort, attempt, held)):
                        raise self.superseded(put.sort) from failure
            except OutcomeUnknown:
                unknown += 1
                if unknown > self.patience:
                    raise
        raise self.damaged("log", "commits to it are refused")

    def _known(
        self, change: StreamChange, last: Record | None, place: Place | None, unknown: int
    ) -> Steps[Committed | AlreadyIngested | None]:
        """What is already settled: this attempt's own commit, whose reply was lost, or another one of its source."""
        source = change.source
        if source is None:
            claim = yield from self.claim(change.attempt)
            if claim is not None and claim[0] == "commit":
                return Committed(claim[1])
            if last is None:
                raise StoreError(f"there is no stream {self.stream!r} to be changed.")
            return None
        if place is None or place.sort != source.id:
            return None
        entry, seq, winner = self.entry_of(place)
        if winner == change.attempt:
            return Committed(seq)  # ours: the reply to an earlier request was lost
        if unknown:  # ours may have been taken back since, and another one come after it
            claim = yield from self.claim(change.attempt)
            if claim is not None and claim[0] == "commit":
                return Committed(claim[1])
        state = state_of(entry, seq, Totals() if last is None else last.totals)
        if state == "sources":
            free = source.id in change.undone
        elif state == "quarantined":
            # Another reason, or the outcome of a retry, replaces the former one. What is dismissed stays so.
            told = bool(entry.retried) or source.quarantined != entry.quarantined
            free = source.quarantined is None or (told and not entry.dismissed)
        else:
            free = state == "forgotten" or change.again
        return None if free else AlreadyIngested(entry)

    def _taken(self, change: StreamChange, last: Record | None, place: Place | None) -> Steps[list[Place]]:
        """The items of the sources that it takes back, without that of its own source."""
        taken: list[Place] = []
        for source_id in change.undone:
            found = place if change.source_id == source_id else (yield from self.place(source_id))
            if last is None or found is None or found.sort != source_id:
                raise StoreError(f"stream {self.stream!r} has no source {source_id}, so it cannot be taken back.")
            entry, seq, _ = self.entry_of(found)
            if state_of(entry, seq, last.totals) not in ("sources", "quarantined"):
                raise Superseded(f"source {source_id} of stream {self.stream!r} was taken back already.")
            if change.left is not None and seq > change.left.seq:
                raise Superseded(f"source {source_id} of stream {self.stream!r} was ingested meanwhile: repeat.")
            if change.source_id != source_id:
                taken.append(found)
        return taken

    def _settling(self, change: StreamChange, last: Record | None) -> Steps[list[Place]]:
        """The items of the sources that it dismisses, or that are to be taken again."""
        found: list[Place] = []
        for source_id in (*change.dismissed, *change.retried):
            place = yield from self.place(source_id)
            if last is None or place is None or place.sort != source_id:
                raise StoreError(f"stream {self.stream!r} has no source {source_id}, so it is not in quarantine.")
            entry, seq, _ = self.entry_of(place)
            again = source_id in change.dismissed and entry.dismissed
            if again or state_of(entry, seq, last.totals) != "quarantined":
                raise Superseded(f"source {source_id} of stream {self.stream!r} was taken or dismissed meanwhile.")
            found.append(place)
        return found

    def note_head(self) -> Steps[None]:
        """Record the stream's last commit beside the table; to be done after each commit."""
        head = yield from self.head()
        if head is not None:
            yield PutHead(self.stream, head.seq, head.hash)

    # The record

    def _record(
        self,
        last: Record | None,
        change: StreamChange,
        dels: Sequence[Deletion],
        place: Place | None,
        taken: Sequence[Place],
        settled: Sequence[Place],
    ) -> Steps[Record]:
        """The record that would follow ``last``."""
        seq = 1 if last is None else last.seq + 1
        changed = yield from self._schema(last, change.schema)
        before = Totals() if last is None else last.totals
        times = yield from self._times(last, change)
        adds = change.adds
        totals = replace(
            before,
            files=before.files + len(adds) - len(dels),
            rows=before.rows + sum(f.rows for f in adds) - sum(d.rows for d in dels),
            bytes=before.bytes + sum(f.bytes for f in adds) - sum(d.bytes for d in dels),
            hash=shifted_hash(before.hash, [f.path for f in adds], [d.path for d in dels]),
            first=min(times, default=None),
            last=max(times, default=None),
            reach=max([before.reach, *(file.days - 1 for file in adds)]),
            erased=before.erased + len(change.erased),
            **self._counts(before, change, place, taken, settled),
        )
        floor = None if last is None else last.floor
        if change.whole:
            totals, floor = self._begun(totals, seq), None
        elif change.floor is not None:
            floor = self._floor(floor, change.floor)
        self._check_floor(change, floor)
        if change.known is not None and change.known != before.erased:
            raise KeysErased(f"keys of stream {self.stream!r} were erased while this source was read: ingest it again.")
        return Record(
            seq=seq,
            at=max(self.clock(), 0 if last is None else last.at),  # a clock that was set back has no effect
            attempt=change.attempt,
            source=change.source_id,
            adds=tuple(replace(file, seq=seq, ordinal=i) for i, file in enumerate(adds)),
            dels=tuple(dels),
            totals=totals,
            schema_seq=seq if changed is not None or last is None else last.schema_seq,
            schema=changed,
            floor=floor,
            before=None if last is None else last.hash,
            undone=tuple(sorted(change.undone)),
            erased=tuple(sorted(change.erased)),
            dismissed=tuple(sorted(change.dismissed)),
            retried=tuple(sorted(change.retried)),
        )

    def _schema(self, last: Record | None, schema: StreamSchema | None) -> Steps[StreamSchema | None]:
        """The stream's schema after the change, if it differs from that before it."""
        if schema is None or last is None or last.schema_seq <= last.totals.begun:
            return schema
        held = yield from self.schema_at(last)
        if last.totals.first is None and held.key_type is not schema.key_type:
            # An empty or quarantined source does not determine the key type of a stream without points.
            merged = replace(held, key_type=schema.key_type).merged_with(schema)
        else:
            merged = held.merged_with(schema)
        return None if merged is held else merged

    def _times(self, last: Record | None, change: StreamChange) -> Steps[list[int]]:
        """The first and last times before the change, and those of its files."""
        before = (None, None) if last is None else (last.totals.first, last.totals.last)
        files = list(change.adds)
        if change.left is not None and last is not None:
            before = change.left.first, change.left.last
            for record in (yield from self.records_after(change.left.seq)):
                if record.seq > last.seq:
                    break
                self._check_added(change, record)
                if record.takes_away:
                    raise Superseded(f"another commit has removed points of stream {self.stream!r}: repeat.")
                if record.source is not None and record.adds:
                    self._check_keys(change)
                    files += record.adds
        return [t for t in (*before, *(t for f in files for t in (f.t_min, f.t_max))) if t is not None]

    def _check_added(self, change: StreamChange, record: Record) -> None:
        """Raise if points below the floor that is raised were added since the snapshot, or it was raised further."""
        if change.floor is None:
            return
        if any(f.t_min < change.floor * DAY for f in record.adds):
            raise Superseded(f"points that a floor retires were added to stream {self.stream!r} meanwhile: repeat.")
        if record.floor is not None and record.floor > change.floor:
            raise Superseded(f"the floor of stream {self.stream!r} was raised further meanwhile: repeat.")

    def _check_keys(self, change: StreamChange) -> None:
        """Raise if points were added since the snapshot: they may be of a key that is to be gone, all of it."""
        if change.erased:
            raise Superseded(f"points were added to stream {self.stream!r} since it was searched for a key: repeat.")

    def _counts(
        self,
        before: Totals,
        change: StreamChange,
        place: Place | None,
        taken: Sequence[Place],
        settled: Sequence[Place],
    ) -> Mapping[str, int]:
        """The counts of sources and of their rejected and dropped rows after the change."""
        names = ("sources", "quarantined", "undone", "forgotten", "rejected", "dropped", "dismissed")
        counts = {name: int(getattr(before, name)) for name in names}
        own = [place] if place is not None and place.sort == change.source_id else []
        for item in (*taken, *own):
            entry, seq, _ = self.entry_of(item)
            counts[state_of(entry, seq, before)] -= 1
            counts["dismissed"] -= is_dismissed(entry, seq, before)
            counts["undone"] += item not in own
            if item.sort in change.undone:
                counts["rejected"] -= entry.rejected - entry.resumed
                counts["dropped"] -= entry.dropped
        source = change.source
        if source is not None:
            counts["sources" if source.quarantined is None else "quarantined"] += 1
            counts["rejected"] += source.rejected - source.resumed
            counts["dropped"] += source.dropped
        were = sum(is_dismissed(*self.entry_of(item)[:2], before) for item in settled)
        counts["dismissed"] += len(change.dismissed) - were
        # Rows that waited were rejected by a source that may have been taken back before the one that has them.
        return counts | {"rejected": max(counts["rejected"], 0)}

    def _begun(self, totals: Totals, seq: int) -> Totals:
        """The totals of a stream whose points are all erased: it begins anew."""
        if totals.files:
            raise Superseded(f"files were added to stream {self.stream!r}: repeat.")
        known = totals.sources + totals.quarantined + totals.undone + totals.forgotten
        return Totals(forgotten=known, begun=seq, erased=totals.erased)

    def _floor(self, held: int | None, day: int) -> int:
        """The floor after it was raised to ``day``."""
        if held is not None and held > day:
            raise StoreError(f"stream {self.stream!r} keeps the points from {day_name(held)} on: a floor never falls.")
        return day

    def _check_floor(self, change: StreamChange, floor: int | None) -> None:
        """Raise if a source has points below the floor: it was raised while the source was read."""
        if change.source is not None and floor is not None and any(f.t_min < floor * DAY for f in change.adds):
            raise FloorRaised(
                f"the points of stream {self.stream!r} before {day_name(floor)} were retired while this source was "
                "read: ingest it again."
            )

    # What is written with it

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

    def _list_puts(
        self, change: StreamChange, record: Record, place: Place | None, taken: Sequence[Place], linked: bool
    ) -> list[Put]:
        """The changes of the list of sources."""
        if change.source is None:
            return self.undone_puts(taken, record)
        return self.source_puts(change.source, record, place, linked, taken)

    def _erased_puts(self, record: Record) -> list[Put]:
        """The keys that it erases, by digest; each is an item of its own, so that none changes."""
        payload = dump({"at": record.at})
        keys = [erased_key(digest, record.seq) for digest in record.erased]
        return [self.put("ERASED", key, payload, WriteCondition.ABSENT) for key in keys]

    def _first_puts(self, record: Record) -> Steps[list[Put]]:
        """The items that only the first commit writes: the stream's name and count, and the initial watermark."""
        if record.seq > 1:
            return []
        mark = self.put("WM", "WM", Mark(0, {}).payload(), WriteCondition.ABSENT)
        count, *names = count_puts((yield from counted()), [self.stream])
        return [mark, count, *(replace(name, when=WriteCondition.ABSENT) for name in names)]


def erased_key(digest: str, seq: int) -> str:
    """The sort key of the item of a key that commit ``seq`` erased."""
    return f"{digest}#{seq:012d}"
