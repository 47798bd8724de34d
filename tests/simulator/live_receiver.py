"""Receives the changes of an answer over a connection that loses some of them, or receipts; what deliveries keep."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from runtime.live.sinks.sink import Delivery, SinkUnavailable
from runtime.objects.object_store import FileMissing, ObjectInfo
from tests.simulator.world import Violation


class StepObjects:
    """The objects of a store, in memory; ``pause`` before and after each write is where a process may die."""

    def __init__(self, held: dict[str, bytes], pause: Callable[[], None]) -> None:
        self._held, self._pause = held, pause

    def put(self, path: str, data: bytes) -> None:
        self._pause()
        assert self._held.get(path, data) == data, f"{path} is written again with other content"
        self._held[path] = data
        self._pause()

    def read(self, path: str, offset: int, length: int) -> bytes:
        self._pause()
        if path not in self._held:
            raise FileMissing(f"{path} is missing")
        return self._held[path][offset : offset + length]

    def size(self, path: str) -> int:
        if path not in self._held:
            raise FileMissing(f"{path} is missing")
        return len(self._held[path])

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        self._pause()
        return iter([ObjectInfo(p, len(data), 0) for p, data in sorted(self._held.items()) if p.startswith(prefix)])

    def delete(self, path: str) -> None:
        self._pause()
        self._held.pop(path, None)
        self._pause()


@dataclass
class Receiver:
    """Keeps each event once, by its id, and applies the changes in the order in which they came."""

    events: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    rows: list[Mapping[str, Any]] = field(default_factory=list)
    answers: list[tuple[int, list[Mapping[str, Any]]]] = field(default_factory=list)
    """The rows after all changes of a snapshot, by its number."""

    repeated: int = 0
    _last: tuple[str, int, int] = ("", 0, 0)
    _waiting: list[Mapping[str, Any]] = field(default_factory=list)

    def take(self, event: Mapping[str, Any]) -> None:
        """An event has come, perhaps again."""
        id = event["id"]
        if id in self.events:
            self.repeated += 1
            if self.events[id] != event:
                raise Violation(f"{id} is another event than before: {event}, not {self.events[id]}")
            return
        _, epoch, delivery, number = id.split("/")
        known, before, last = self._last
        here = int(delivery), int(number)
        if (epoch != known and known) or here not in ((before, last + 1), (before + 1, 1)):
            raise Violation(f"{id} follows {self._last}")
        self._last = (epoch, *here)
        self.events[id] = event
        self._waiting.append(event)
        if not event["more"]:
            self._apply()

    def _apply(self) -> None:
        changes, self._waiting = self._waiting, []
        snapshot = changes[-1]["snapshot"]
        if {change["snapshot"] for change in changes} != {snapshot}:
            raise Violation(f"changes of several snapshots are mixed: {changes}")
        gone = {change["left"]: change["old"] for change in changes if change["left"] is not None}
        if any(place >= len(self.rows) or self.rows[place] != old for place, old in gone.items()):
            raise Violation(f"changes of commit {snapshot} are not of the rows that are there: {self.rows}, {gone}")
        self.rows = [row for place, row in enumerate(self.rows) if place not in gone]
        for change in sorted((c for c in changes if c["place"] is not None), key=lambda c: c["place"]):
            self.rows.insert(change["place"], change["new"])
        self.answers.append((snapshot, list(self.rows)))


@dataclass
class LossySink:
    """The connection to a receiver: what is sent may come in part, or not at all, and the receipt may be lost."""

    receiver: Receiver
    random: random.Random
    pause: Callable[[], None]
    fails: float

    def position(self) -> Any:
        return None

    def deliver(self, delivery: Delivery) -> None:
        self.pause()
        fails = self.random.random() < self.fails
        count = self.random.randint(0, len(delivery.events)) if fails else len(delivery.events)
        for event in delivery.events[:count]:
            self.receiver.take(event)
        self.pause()
        if fails:
            raise SinkUnavailable("the connection was lost")

    def close(self) -> None:
        """Nothing to close."""
