"""The protocol with one rule broken each; the simulator must catch every mutant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from runtime.catalogue.day_rows import DayFiles
from runtime.catalogue.index import Mark, Node, in_batches
from runtime.catalogue.items.changes import StreamChange
from runtime.catalogue.items.entries import AlreadyIngested, Committed, Deletion, FileEntry, Record, SourceEntry
from runtime.catalogue.items.file_lists import list_key
from runtime.catalogue.items.item_bytes import hash_of, log_key
from runtime.catalogue.items.schema import StreamSchema
from runtime.catalogue.items.seal import open_json
from runtime.catalogue.key_value import Check, OutcomeUnknown, Put, Steps, WriteCondition, query, transact
from runtime.catalogue.log import Head
from runtime.catalogue.protocol import StreamSteps
from runtime.catalogue.snapshot import ReadSteps, Snapshot
from runtime.catalogue.sources import FIRST, Place
from tests.simulator.world import Variant


class ListBeforeLog(StreamSteps):
    """The list of sources is read before the log."""

    def commit(
        self, schema: StreamSchema, source: SourceEntry, files: Sequence[FileEntry], attempt: str, **how: Any
    ) -> Steps[Committed | AlreadyIngested]:
        outer, early = self, super().place

        class Early(StreamSteps):
            found: Place | None = None

            def last_record(self) -> Steps[tuple[Record | None, Head | None]]:
                self.found = yield from early(source.id)
                return (yield from super().last_record())

            def place(self, source_id: str) -> Steps[Place | None]:
                return self.found
                yield

            def source_puts(self, *given: Any) -> list[Put]:
                return outer.source_puts(*given)

        steps = Early(self.stream, self.most, self.clock)
        steps.patience, steps.room = self.patience, self.room
        return (yield from steps.commit(schema, source, files, attempt, **how))


class NoSource(ListBeforeLog):
    def source_puts(self, *given: Any) -> list[Put]:
        return [replace(put, when=WriteCondition.ALWAYS) for put in super().source_puts(*given)]


class NoLink(StreamSteps):
    def source_puts(self, source: SourceEntry, *given: Any) -> list[Put]:
        return [put for put in super().source_puts(source, *given) if put.sort in (FIRST, source.id)]


class NoClaim(StreamSteps):
    def _claim_puts(self, attempt: str, record: Record) -> list[Put]:
        return [replace(put, when=WriteCondition.ALWAYS) for put in super()._claim_puts(attempt, record)]


class SweepWithoutClaim(StreamSteps):
    def claim_for_sweep(self, attempt: str) -> Steps[bool]:
        yield from self.claim(attempt)
        return True


class ListsAfterCommit(StreamSteps):
    """The lists of a commit's files are written when the record is there."""

    def committed(self, change: StreamChange) -> Steps[Committed | AlreadyIngested]:
        later: list[bytes] = []

        class Late(type(self)):  # type: ignore[misc]
            def write_lists(
                self, attempt: str, source_id: str | None, lists: Sequence[bytes], _: object
            ) -> Steps[None]:
                later[:] = lists
                return
                yield

        steps = Late(self.stream, self.most, self.clock)
        steps.patience, steps.room = self.patience, self.room
        done = yield from StreamSteps.committed(steps, change)
        for payload in later:
            key = list_key(change.attempt, hash_of(payload))
            yield from transact([self.put("FILES", key, payload)])
        return done


class ListsUnclaimed(StreamSteps):
    """The lists are written whoever has claimed the attempt."""

    def write_lists(self, attempt: str, source_id: str | None, lists: Sequence[bytes], written: Any) -> Steps[None]:
        puts = [self.put("FILES", list_key(attempt, hash_of(payload)), payload) for payload in lists]
        for batch in in_batches([put for put in puts if not written.get(put.sort)], self.most):
            if batch:
                yield from transact(batch)
                written |= {put.sort: True for put in batch}


class ListsForgotten(StreamSteps):
    """Lists whose writing has an unknown outcome are taken as not written."""

    def abandon(self, attempt: str, written: Mapping[str, bool]) -> Steps[None]:
        yield from super().abandon(attempt, {key: True for key, done in written.items() if done})


class ListsKept(StreamSteps):
    """A sweep leaves the lists as they are."""

    def _empty_lists(self, attempt: str) -> Steps[None]:
        return
        yield


class ListsLeft(StreamSteps):
    """A commit that came second leaves its lists."""

    def abandon(self, attempt: str, written: object) -> Steps[None]:
        return
        yield


class ListsEmptied(StreamSteps):
    """The lists of a commit whose outcome is unknown are emptied without a claim."""

    def write_lists(self, attempt: str, source_id: str | None, lists: Sequence[bytes], written: Any) -> Steps[None]:
        try:
            yield from super().write_lists(attempt, source_id, lists, written)
        except OutcomeUnknown:
            yield from self._empty_lists(attempt)


class NoDeletionGuard(StreamSteps):
    def _deletion_puts(self, dels: Iterable[Deletion], record: Record, held: object) -> list[Put]:
        return []

    def write_intents(self, *given: object) -> Steps[None]:
        return
        yield


class LogOverwritten(StreamSteps):
    def _log_put(self, record: Record) -> Put:
        return replace(super()._log_put(record), when=WriteCondition.ALWAYS)

    def _head_puts(self, record: Record, last: Record | None, head: Head | None) -> list[Put]:
        return [replace(put, when=WriteCondition.ALWAYS) for put in super()._head_puts(record, last, head)]


class GapIgnored(StreamSteps):
    def records_after(self, seq: int) -> Steps[list[Record]]:
        found = yield from query(self.partition("LOG"), low=log_key(seq + 1))
        return (yield from self.loaded(found))


class MarkEarly(StreamSteps):
    def apply(self, record: Record, years: Node | None) -> Steps[Node | None]:
        puts, years = yield from self._changes(record, years)
        yield from transact([self._mark_put(record, years)])
        after = [Check(self.partition("WM"), "WM", WriteCondition.BELOW, record.seq + 1)]
        for i in range(0, len(puts), self.most - 1):
            yield from transact([*puts[i : i + self.most - 1], *after])
        return years


class NoMarkCondition(StreamSteps):
    def apply(self, record: Record, years: Node | None) -> Steps[Node | None]:
        puts, years = yield from self._changes(record, years)
        for i in range(0, len(puts), self.most):
            yield from transact(puts[i : i + self.most])
        yield from transact([self._mark_put(record, years)])
        return years


class NoHead(StreamSteps):
    def _head_puts(self, record: Record, last: Record | None, head: Head | None) -> list[Put]:
        return super()._head_puts(record, last, head) if last is None else []


class HeadAfterLog(ReadSteps):
    """The heads are read when the log has been."""

    def snapshot(self, since: int | None = None, until: int | None = None) -> Steps[Snapshot | None]:
        outer = self.steps

        class Late(type(outer)):  # type: ignore[misc]
            def beside(self) -> Steps[None]:
                return None
                yield

            def check_heads(self, last: Record, *_: object) -> Steps[None]:
                beside = yield from outer.beside()
                if beside is not None:
                    self.check_head(*beside, last)

        return (yield from ReadSteps(Late(self.stream, outer.most)).snapshot(since, until))


class NoDirectory(StreamSteps):
    """The directory's entries are written in place, without the commit that they are of."""

    def node(self, prefix: str, seq: int) -> Steps[Node]:
        return (yield from super().node(prefix, 0))

    def _changes(self, record: Record, years: Node | None) -> Steps[tuple[list[Put], Node | None]]:
        puts, years = yield from super()._changes(record, years)
        partition, was = self.partition("DIR"), log_key(record.seq)
        return [
            self.put("DIR", put.sort.replace(was, log_key(0)), open_json(partition, put.sort, 0, put.body, ""))
            if put.partition == partition
            else put
            for put in puts
        ], years


class LiveRead(ReadSteps):
    def as_of(self, found: DayFiles, mark: int) -> DayFiles:
        return found

    def check_days(self, index: DayFiles, mark: int, written: object) -> None:
        pass

    def check_all(self, files: DayFiles, totals: object) -> None:
        pass

    def overlay(self, index: DayFiles, mark: int, tail: Sequence[tuple[Record, tuple[int, int]]]) -> DayFiles:
        return index.where((index.heads["del_seq"] == 0) & (index.heads["marker"] == 0))


class NoOverlay(ReadSteps):
    def overlay(self, index: DayFiles, mark: int, tail: Sequence[tuple[Record, tuple[int, int]]]) -> DayFiles:
        return super().overlay(index, mark, [])

    def check_all(self, files: DayFiles, totals: object) -> None:
        pass


class MarkReadLast(ReadSteps):
    def snapshot(self, since: int | None = None, until: int | None = None) -> Steps[Snapshot | None]:
        """The real read, but the watermark it is given is read after the log and the index."""
        outer = self

        class Late(StreamSteps):
            late = 0

            def mark(self) -> Steps[Mark | None]:
                there = yield from outer.steps.mark()
                return None if there is None else Mark(0, {})

            def index_rows(self, days: Mapping[int, int] | None, first: int, last: int) -> Steps[DayFiles]:
                rows = yield from outer.steps.index_rows(None, first, last)
                mark = yield from outer.steps.mark()
                self.late = 0 if mark is None else mark.seq
                return rows

        late = Late(self.stream, self.steps.most)

        class LateReads(ReadSteps):
            def as_of(self, found: DayFiles, mark: int) -> DayFiles:
                return super().as_of(found, late.late)

            def check_days(self, index: DayFiles, mark: int, written: object) -> None:
                pass

            def check_all(self, files: DayFiles, totals: object) -> None:
                pass

            def overlay(self, index: DayFiles, mark: int, tail: Sequence[tuple[Record, tuple[int, int]]]) -> DayFiles:
                return super().overlay(index, late.late, [(r, days) for r, days in tail if r.seq > late.late])

        return (yield from LateReads(late).snapshot(since, until))


MUTANTS = {
    "delete on unknown outcome": Variant(delete_on_unknown=True),
    "no SRC": Variant(steps=NoSource),
    "list of sources read before the log": Variant(steps=ListBeforeLog),
    "list of sources not linked": Variant(steps=NoLink),
    "no CLAIM": Variant(steps=NoClaim),
    "sweep without claim": Variant(steps=SweepWithoutClaim),
    "lists written after the commit": Variant(steps=ListsAfterCommit),
    "lists written without a claim": Variant(steps=ListsUnclaimed),
    "lists of an unknown outcome forgotten": Variant(steps=ListsForgotten),
    "lists not emptied by the sweep": Variant(steps=ListsKept),
    "lists of a second commit left": Variant(steps=ListsLeft),
    "lists emptied on an unknown outcome": Variant(steps=ListsEmptied),
    "no DEL guard": Variant(steps=NoDeletionGuard),
    "log overwritten": Variant(steps=LogOverwritten),
    "gap ignored": Variant(steps=GapIgnored),
    "watermark advanced early": Variant(steps=MarkEarly),
    "no WM condition": Variant(steps=NoMarkCondition),
    "live read": Variant(reads=LiveRead),
    "no overlay": Variant(reads=NoOverlay),
    "watermark read last": Variant(reads=MarkReadLast),
    "head not written": Variant(steps=NoHead),
    "heads read after the log": Variant(reads=HeadAfterLog),
    "head noted before the commit": Variant(head_first=True),
    "directory written in place": Variant(steps=NoDirectory),
}
