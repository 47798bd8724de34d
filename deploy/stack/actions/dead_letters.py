"""Dead letters of a deployment: what they name, why they are there, and moving them back to ingest's queue.

A message is sent to the queue before it is deleted here, so it is never lost. If that is interrupted, it is in both,
which is harmless: an object is committed once. Messages that were received and not deleted are there again after
``HELD`` seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

from deploy.handlers.events import Landed, landed
from deploy.stack.actions.deployed import DeployedParts
from deploy.stack.actions.landed_objects import FAILED, INGESTED, UNDECLARED, LandedObjects, ObjectState
from deploy.stack.actions.queues import DeployedQueue, QueuedMessage, existing
from deploy.stack.resources.resource_names import ResourceNames
from operators.nearest import meant
from runtime.display.text_tables import iso
from runtime.errors import FormatError, QueryError

HELD = 120
"""Seconds for which received messages are invisible to others; those of one batch are done within this."""

_WAIT = 1  # seconds: with any wait SQS asks all of its servers
_AT_ONCE = 10
FOREIGN = "no event"
"""The state of a message that names no object in a way that ingest knows."""

MOVED, DELETED, LEFT, LISTED = "moved", "deleted", "left", "listed"
"""What was done with a dead letter."""


@dataclass(frozen=True)
class DeadLetter:
    """A dead letter: its objects, their state as one, and what was done with it."""

    message: QueuedMessage
    objects: tuple[Landed, ...]
    state: ObjectState
    done: str = LISTED

    @property
    def names(self) -> tuple[str, ...]:
        """The URLs of its objects."""
        return tuple(found.name for found in self.objects)

    def to_dict(self) -> dict[str, Any]:
        """The JSON form; the time is ISO-8601."""
        return {
            "message_id": self.message.id,
            "objects": list(self.names),
            "received": self.message.received,
            "sent": iso(int(self.message.sent * 1e6)),
            "state": self.state.state,
            "reason": self.state.why,
            "done": self.done,
        }


@dataclass(frozen=True)
class RedriveReport:
    """The dead letters that were seen, and how many others were invisible: received by somebody within ``HELD`` s."""

    letters: tuple[DeadLetter, ...]
    in_flight: int = 0

    def count(self, done: str) -> int:
        """How many letters this was done with."""
        return sum(letter.done == done for letter in self.letters)

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        counts = {done: self.count(done) for done in (MOVED, DELETED, LEFT)}
        return {"dead_letters": [letter.to_dict() for letter in self.letters], **counts, "in_flight": self.in_flight}


@dataclass(frozen=True)
class ChosenLetters:
    """Which dead letters are meant: of these ``objects`` (URLs, keys or their last parts) and whose reason contains
    ``reason``; none given: all."""

    objects: Sequence[str] = ()
    reason: str = ""

    def fits(self, letter: DeadLetter) -> bool:
        """Whether a letter is meant."""
        named = not self.objects or any(_is_named(text, found) for text in self.objects for found in letter.objects)
        return named and self.reason in letter.state.why

    def check(self, letters: Sequence[DeadLetter]) -> None:
        """QueryError for an object that no letter names."""
        every = [found for letter in letters for found in letter.objects]
        for text in self.objects:
            if not any(_is_named(text, found) for found in every):
                names = sorted({name for f in every for name in (f.name, f.key.rpartition("/")[2])})
                hint = meant(text, names, "`dataflow redrive --list` lists them")
                raise QueryError(f"no dead letter names {text!r}; {hint}")


def _is_named(text: str, found: Landed) -> bool:
    return text in (found.name, found.key, found.key.rpartition("/")[2])


@dataclass
class Redrive:
    """Looks at the dead letters of a deployment, and moves them back."""

    parts: DeployedParts
    step: Callable[[DeadLetter], None] = lambda _: None
    _held: dict[str, DeadLetter] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = ResourceNames(self.parts.name)
        self._dead = DeployedQueue(names.dead, self.parts.access)
        self._queue = DeployedQueue(names.queue, self.parts.access)
        self._objects = LandedObjects(self.parts)

    def listed(self, chosen: ChosenLetters = ChosenLetters()) -> RedriveReport:
        """The dead letters, which stay where they are."""
        return self._run(chosen, moving=False)

    def moved(self, chosen: ChosenLetters = ChosenLetters()) -> RedriveReport:
        """Move the chosen ones back to ingest's queue, and delete those of objects that are ingested meanwhile.

        Those that ingest can only fail on again (of no declared stream, or no events) are left.
        """
        return self._run(chosen, moving=True)

    def _run(self, chosen: ChosenLetters, moving: bool) -> RedriveReport:
        existing(self.parts.name, (self._dead, self._queue))
        letters: dict[str, DeadLetter] = {}
        seen: list[DeadLetter] = []
        # Names are checked before anything is moved, which takes a look at all of them.
        if moving and chosen.objects:
            chosen.check(self.listed().letters)
        try:
            for batch in self._batches():
                seen += batch
                fitting = [letter for letter in batch if chosen.fits(letter)]
                done = self._settled(fitting) if moving else fitting
                letters |= {letter.message.id: letter for letter in done}
                for letter in done:
                    self.step(letter)
        finally:
            self._dead.release([letter.message for letter in self._held.values()])
            self._held.clear()
        if not moving:
            chosen.check(seen)
        return RedriveReport(tuple(letters.values()), self._dead.counts().in_flight if not letters else 0)

    def _batches(self) -> Iterator[list[DeadLetter]]:
        """All dead letters, batch by batch; each once, until it is done with or held by this process."""
        with ThreadPoolExecutor(_AT_ONCE, "redrive") as pool:
            while found := self._dead.received(HELD, _WAIT):
                new = [m for m in found if m.id not in self._held]
                for message in found:  # seen again: only the newest handle works
                    if message.id in self._held:
                        self._held[message.id] = replace(self._held[message.id], message=message)
                if not new:
                    return
                batch = list(pool.map(self._letter, new))
                self._held |= {letter.message.id: letter for letter in batch}
                yield batch

    def _letter(self, message: QueuedMessage) -> DeadLetter:
        try:
            objects = landed(message.body)
        except FormatError as error:
            return DeadLetter(message, (), ObjectState(FOREIGN, str(error)))
        states = [self._objects.state(found, message.sent) for found in objects]
        undone = [state for state in states if state.state != INGESTED]
        nothing = ObjectState(INGESTED, "it names no object")
        return DeadLetter(message, objects, undone[0] if undone else states[0] if states else nothing)

    def _settled(self, letters: Sequence[DeadLetter]) -> list[DeadLetter]:
        """The letters, moved, deleted or left."""
        done = []
        for letter in letters:
            what = {INGESTED: DELETED, UNDECLARED: LEFT, FOREIGN: LEFT}.get(letter.state.state, MOVED)
            done.append(replace(letter, done=what))
        self._queue.send([letter.message.body for letter in done if letter.done == MOVED])
        gone = [letter for letter in done if letter.done != LEFT]
        self._dead.delete([letter.message for letter in gone])
        for letter in gone:
            del self._held[letter.message.id]
        return done


__all__ = [
    "DELETED",
    "FAILED",
    "HELD",
    "LEFT",
    "LISTED",
    "MOVED",
    "ChosenLetters",
    "DeadLetter",
    "Redrive",
    "RedriveReport",
]
