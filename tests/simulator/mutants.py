"""The protocol with one rule broken each: the simulator must tell every one of them from the real one."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from runtime.catalogue.entries import Deletion, Record, SourceEntry
from runtime.catalogue.rows import Files
from runtime.catalogue.snapshot import ReadSteps, Snapshot
from runtime.catalogue.steps import StreamSteps
from runtime.catalogue.table import Check, Put, Steps, When, query, transact
from runtime.catalogue.wire import load_record, log_key
from tests.simulator.world import Variant


class NoSource(StreamSteps):
    def _source_puts(self, source: SourceEntry, record: Record, again: bool) -> list[Put]:
        return [replace(put, when=When.ALWAYS) for put in super()._source_puts(source, record, again)]


class NoClaim(StreamSteps):
    def _claim_puts(self, attempt: str, record: Record) -> list[Put]:
        return [replace(put, when=When.ALWAYS) for put in super()._claim_puts(attempt, record)]


class SweepWithoutClaim(StreamSteps):
    def claim_for_sweep(self, attempt: str) -> Steps[bool]:
        yield from self.claim(attempt)
        return True


class NoDeletionGuard(StreamSteps):
    def _deletion_puts(self, dels: Iterable[Deletion], record: Record) -> list[Put]:
        return []


class LogOverwritten(StreamSteps):
    def _log_put(self, record: Record) -> Put:
        return replace(super()._log_put(record), when=When.ALWAYS)


class GapIgnored(StreamSteps):
    def records_after(self, seq: int) -> Steps[list[Record]]:
        found = yield from query(self.partition("LOG"), low=log_key(seq + 1))
        return [load_record(body, self.stream, sort) for sort, body in found]


class MarkEarly(StreamSteps):
    def apply(self, record: Record) -> Steps[None]:
        puts = yield from self._rows(record)
        yield from transact([self._mark_put(record)])
        after = [Check(self.partition("WM"), "WM", When.BELOW, record.seq + 1)]
        for i in range(0, len(puts), self.most - 1):
            yield from transact([*puts[i : i + self.most - 1], *after])


class NoMarkCondition(StreamSteps):
    def apply(self, record: Record) -> Steps[None]:
        puts = yield from self._rows(record)
        for i in range(0, len(puts), self.most):
            yield from transact(puts[i : i + self.most])
        yield from transact([self._mark_put(record)])


class LiveRead(ReadSteps):
    def as_of(self, found: Files, mark: int) -> Files:
        return found

    def check_days(self, index: Files, mark: int) -> None:
        pass

    def check_all(self, files: Files, totals: object) -> None:
        pass

    def overlay(self, index: Files, mark: int, tail: Sequence[tuple[Record, tuple[int, int]]]) -> Files:
        return index.where((index.heads["del_seq"] == 0) & (index.heads["marker"] == 0))


class NoOverlay(ReadSteps):
    def overlay(self, index: Files, mark: int, tail: Sequence[tuple[Record, tuple[int, int]]]) -> Files:
        return super().overlay(index, mark, [])

    def check_all(self, files: Files, totals: object) -> None:
        pass


class MarkReadLast(ReadSteps):
    def snapshot(self, since: int | None = None, until: int | None = None) -> Steps[Snapshot | None]:
        """The real read, but the watermark it is given is read after the log and the index."""
        outer = self

        class Late(StreamSteps):
            mark = 0

            def watermark(self) -> Steps[int]:
                return 0
                yield

            def index_rows(self, first: int, last: int) -> Steps[Files]:
                rows = yield from outer.steps.index_rows(first, last)
                self.mark = yield from outer.steps.watermark()
                return rows

        late = Late(self.stream, self.steps.most)

        class LateReads(ReadSteps):
            def as_of(self, found: Files, mark: int) -> Files:
                return super().as_of(found, late.mark)

            def check_days(self, index: Files, mark: int) -> None:
                pass

            def check_all(self, files: Files, totals: object) -> None:
                pass

            def overlay(self, index: Files, mark: int, tail: Sequence[tuple[Record, tuple[int, int]]]) -> Files:
                return super().overlay(index, late.mark, [(r, days) for r, days in tail if r.seq > late.mark])

        return (yield from LateReads(late).snapshot(since, until))


MUTANTS = {
    "delete on unknown outcome": Variant(delete_on_unknown=True),
    "no SRC": Variant(steps=NoSource),
    "no CLAIM": Variant(steps=NoClaim),
    "sweep without claim": Variant(steps=SweepWithoutClaim),
    "no DEL guard": Variant(steps=NoDeletionGuard),
    "log overwritten": Variant(steps=LogOverwritten),
    "gap ignored": Variant(steps=GapIgnored),
    "watermark advanced early": Variant(steps=MarkEarly),
    "no WM condition": Variant(steps=NoMarkCondition),
    "live read": Variant(reads=LiveRead),
    "no overlay": Variant(reads=NoOverlay),
    "watermark read last": Variant(reads=MarkReadLast),
}
