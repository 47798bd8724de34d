"""The protocol of upkeep with one rule broken each; the simulator must catch every mutant."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Any

from runtime.catalogue.items.changes import StreamChange
from runtime.catalogue.items.entries import AlreadyIngested, Committed, Deletion, Record, Totals
from runtime.catalogue.key_value import OutcomeUnknown, Put, Steps, WriteCondition
from runtime.catalogue.protocol import StreamSteps
from runtime.catalogue.sources import Place
from tests.simulator.mutants import LiveRead, LogOverwritten, NoMarkCondition, SweepWithoutClaim
from tests.simulator.world import Variant


class NoDeletionGuard(StreamSteps):
    def _deletion_puts(self, *given: object) -> list[Put]:
        return []

    def write_intents(self, *given: object) -> Steps[None]:
        return
        yield


class GuardsOverwritten(StreamSteps):
    """A guard is written whoever has written it before."""

    def _guard_put(self, path: str, payload: bytes, held: dict[str, int]) -> Put:
        return replace(super()._guard_put(path, payload, held), when=WriteCondition.ALWAYS)


class NoIntents(StreamSteps):
    """A commit that replaces more files than a transaction holds writes no guards before it."""

    def write_intents(self, *given: object) -> Steps[None]:
        return
        yield


class IntentsAfterCommit(StreamSteps):
    def committed(self, change: StreamChange) -> Steps[Committed | AlreadyIngested]:
        later: list[Any] = []

        class Late(type(self)):  # type: ignore[misc]
            def write_intents(self, *given: object) -> Steps[None]:
                later[:] = given
                return
                yield

        steps = Late(self.stream, self.most, self.clock)
        steps.patience, steps.room = self.patience, self.room
        done = yield from StreamSteps.committed(steps, change)
        if later:
            yield from StreamSteps.write_intents(self, *later)
        return done


class IntentsUnconfirmed(StreamSteps):
    """Intents whose writing has an unknown outcome are taken as written."""

    def write_intents(
        self, attempt: str, source_id: str | None, dels: Sequence[Deletion], written: Any, held: Any
    ) -> Steps[None]:
        try:
            yield from super().write_intents(attempt, source_id, dels, written, held)
        except OutcomeUnknown:
            written |= {path: True for path, done in written.items() if not done}


class IntentsCount(StreamSteps):
    """An intent counts whether or not its attempt was committed."""

    def is_free(self, path: str, attempt: str, held: dict[str, int]) -> Steps[bool]:
        found = yield from self.guard(path)
        if found is not None and found[2] not in (None, attempt):
            return False
        return (yield from super().is_free(path, attempt, held))


class TakenUnclaimed(StreamSteps):
    """An intent is taken over if its attempt is not committed yet."""

    def _can_never_commit(self, attempt: str) -> Steps[bool]:
        claim = yield from self.claim(attempt)
        return claim is None or claim[0] == "sweep"


class TakenFromCommitted(StreamSteps):
    """An intent is taken over even if its attempt was committed."""

    def _can_never_commit(self, attempt: str) -> Steps[bool]:
        yield from super()._can_never_commit(attempt)
        return True


class SourceLeft(StreamSteps):
    """A source that is taken back is not marked."""

    def undone_puts(self, taken: Iterable[Place], record: Record) -> list[Put]:
        return []


class AlwaysAgain(StreamSteps):
    """A source that was taken back is added by whoever offers it."""

    def _known(self, change: StreamChange, *given: Any) -> Steps[Committed | AlreadyIngested | None]:
        return (yield from super()._known(replace(change, again=True), *given))


class TimesOfSnapshot(StreamSteps):
    """What others committed since the snapshot does not count for the first and last time."""

    def _times(self, last: Record | None, change: StreamChange) -> Steps[list[int]]:
        if change.left is not None and last is not None:
            change = replace(change, left=replace(change.left, seq=last.seq))
        return (yield from super()._times(last, change))


class LaterSource(StreamSteps):
    """A source is taken back though its commit is none of the snapshot's."""

    def _taken(self, change: StreamChange, *given: Any) -> Steps[list[Place]]:
        late = None if change.left is None else replace(change.left, seq=1 << 40)
        return (yield from super()._taken(replace(change, left=late), *given))


class TakenTwice(StreamSteps):
    """A source is taken back though it was already."""

    def _taken(self, change: StreamChange, last: Record | None, place: Place | None) -> Steps[list[Place]]:
        taken = []
        for source_id in change.undone:
            found = yield from self.place(source_id)
            if found is not None and found.sort == source_id != change.source_id:
                taken.append(found)
        return taken


class FloorFalls(StreamSteps):
    def _floor(self, held: int | None, day: int) -> int:
        return day


class FloorIgnored(StreamSteps):
    """Points of a source are committed though the floor was raised above them."""

    def _check_floor(self, change: StreamChange, floor: int | None) -> None:
        pass


class AddedBelowFloor(StreamSteps):
    """A floor is raised by a snapshot, whatever was added below it since."""

    def _check_added(self, change: StreamChange, record: Record) -> None:
        pass


class KeysIgnored(StreamSteps):
    """Keys that were erased while a source was read are committed with it."""

    def committed(self, change: StreamChange) -> Steps[Committed | AlreadyIngested]:
        return (yield from super().committed(replace(change, known=None)))


class KeysAdded(StreamSteps):
    """A key is erased from the files of a snapshot, whatever was added since."""

    def _check_keys(self, change: StreamChange) -> None:
        pass


class ErasedWithLater(StreamSteps):
    """A stream is erased though files were added since the snapshot."""

    def _begun(self, totals: Totals, seq: int) -> Totals:
        return super()._begun(replace(totals, files=0), seq)


class SourcesKept(StreamSteps):
    """The sources of a stream that was erased stay known."""

    def _begun(self, totals: Totals, seq: int) -> Totals:
        return replace(super()._begun(totals, seq), begun=0)


MUTANTS = {
    "no DEL guard": Variant(steps=NoDeletionGuard),
    "guards overwritten": Variant(steps=GuardsOverwritten),
    "no intents": Variant(steps=NoIntents),
    "intents written after the commit": Variant(steps=IntentsAfterCommit),
    "intents of an unknown outcome taken as written": Variant(steps=IntentsUnconfirmed),
    "intents counted without a commit": Variant(steps=IntentsCount),
    "intents taken over without a claim": Variant(steps=TakenUnclaimed),
    "intents of a commit taken over": Variant(steps=TakenFromCommitted),
    "source left as it was": Variant(steps=SourceLeft),
    "source that was taken back added unasked": Variant(steps=AlwaysAgain),
    "source of a later commit taken back": Variant(steps=LaterSource),
    "source taken back twice": Variant(steps=TakenTwice),
    "times of the snapshot": Variant(steps=TimesOfSnapshot),
    "floor that falls": Variant(steps=FloorFalls),
    "floor ignored by a source": Variant(steps=FloorIgnored),
    "points added below a floor": Variant(steps=AddedBelowFloor),
    "erased keys ignored": Variant(steps=KeysIgnored),
    "keys added since the snapshot": Variant(steps=KeysAdded),
    "stream erased with later files": Variant(steps=ErasedWithLater),
    "sources of an erased stream stay": Variant(steps=SourcesKept),
    "collection without grace": Variant(grace=0),
    "live read": Variant(reads=LiveRead),
    "sweep without claim": Variant(steps=SweepWithoutClaim),
    "log overwritten": Variant(steps=LogOverwritten),
    "no WM condition": Variant(steps=NoMarkCondition),
}
