"""What changed in an answer, delivered to a sink under the same ids however often the process is killed.

A delivery is kept in the store before it is begun, with the answer that it leads to: the next process delivers the same
events again, and then what has changed since. Its events are deleted once it is delivered: they have old rows, perhaps
of a key that was erased.
"""

from __future__ import annotations

import json
import re
import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import zstandard

from runtime.catalogue import Catalogue
from runtime.errors import FormatError, QueryError
from runtime.live.alerts import AlertWatch
from runtime.live.following import Follower
from runtime.live.row_changes import CurrentAnswer
from runtime.live.sinks.sink import Delivery, Event, EventSink, SinkUnavailable
from runtime.objects.object_store import FileMissing, ObjectInfo, ObjectStore

FOLDER = "deliveries"

_STATE, _EVENTS = ".json.zst", ".events.zst"

_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,99}")

_TRIES = 10
"""How often a single look is begun again because files were replaced while they were read."""

_LONGEST = 60.0
"""The most seconds between two tries of a delivery."""

State = Mapping[str, Any]


def checked_name(name: str) -> str:
    """The name under which something is delivered; QueryError for one that cannot be."""
    if not isinstance(name, str) or _NAME.fullmatch(name) is None:
        raise QueryError(f"a name for deliveries has letters, digits, '.', '_' and '-', at most 100, got {name!r}")
    return name


@dataclass
class KeptDeliveries:
    """The last delivery under a ``name``, of the query with this digest, and where its follower was; one process has it
    at a time.

    An id has an ``epoch``, drawn when there is nothing under this name, so that no id is given twice, also after a
    recovery or an erasure.
    """

    objects: ObjectStore
    catalogue: Catalogue
    name: str
    query: str
    process: str = field(default_factory=lambda: secrets.token_hex(8))
    epoch: str = field(default_factory=lambda: secrets.token_hex(4))
    _number: int = 0
    _path: str = ""

    def take(self) -> tuple[State | None, Sequence[Event]]:
        """The last state, if there is one, and the events that led to it, unless they were delivered; from now on it is
        this process's."""
        while True:
            noted = (self.catalogue.note(self._note) or {}).get("path")
            try:
                state = self._begin(str(noted))
            except FileMissing:  # another process has just kept what comes after it
                continue
            # Until here, another process may have kept, and delivered, what comes after this state.
            if self._change(is_new=True).get("path") == noted:
                break
        if state is not None and self._path != noted:  # nobody else begins after another one
            self._change(path=self._path)
        events = self._events_path
        if any(info.path == events for info in self._objects()):
            with suppress(FileMissing):  # the other process has just delivered them
                return state, self._read(events)
        return state, ()

    def _begin(self, path: str) -> State | None:
        """Go on after the state at this path; None if there is none."""
        states = [info.path for info in self._objects() if info.path.endswith(_STATE)]
        if path not in states:  # nothing yet; it went with an erased key; or the catalogue is another than it was
            path = max(states, default="")
        if not path:
            return None
        state: State = self._read(path)
        if state["query"] != self.query:
            raise QueryError(
                f"another metric, or with another range, alert, sink or parameters, is delivered as {self.name!r}: "
                "deliver this one under another name"
            )
        _, self.epoch, number = state["id"].split("/")
        self._number, self._path = int(number), path
        return state

    def _objects(self) -> list[ObjectInfo]:
        return list(self.objects.list(f"{FOLDER}/{self.name}/"))

    def _read(self, path: str) -> Any:
        data = self.objects.read(path, 0, self.objects.size(path))
        try:
            return json.loads(zstandard.ZstdDecompressor().decompress(data))
        except (zstandard.ZstdError, ValueError) as error:
            raise FormatError(
                f"{path} is damaged ({error}): delete {FOLDER}/{self.name}, and all is delivered anew"
            ) from None

    def _write(self, path: str, content: Any) -> None:
        data = json.dumps(content, ensure_ascii=False).encode()
        self.objects.put(path, zstandard.ZstdCompressor(write_checksum=True).compress(data))

    def next_id(self) -> str:
        """The id of the next delivery."""
        return f"{self.name}/{self.epoch}/{self._number + 1}"

    def keep(self, state: State, events: Sequence[Event]) -> None:
        """Keep the state that ``events`` lead to, before their delivery is begun."""
        number = self._number + 1
        begin = f"{FOLDER}/{self.name}/{number:012}-"
        path = f"{begin}{self.epoch}-{self.process}{_STATE}"
        if events:
            self._write(path.removesuffix(_STATE) + _EVENTS, events)
        self._write(path, {**state, "query": self.query})
        self._change(path=path)
        self._number, self._path = number, path
        for info in self._objects():
            if info.path < begin:  # not what a process has kept since that took over
                self.objects.delete(info.path)

    def note_delivered(self) -> None:
        """The events that were kept last are delivered."""
        self.objects.delete(self._events_path)

    @property
    def _events_path(self) -> str:
        return self._path.removesuffix(_STATE) + _EVENTS

    @property
    def _note(self) -> str:
        return f"deliveries of {self.name}"

    def _change(self, is_new: bool = False, **fields: str) -> Mapping[str, Any]:
        """Note ``fields``, and this process; what was noted before."""
        before: Mapping[str, Any] = {}

        def changed(held: Mapping[str, Any] | None) -> Mapping[str, Any]:
            nonlocal before
            if not is_new and (held is None or held["process"] != self.process):
                raise QueryError(f"another process delivers as {self.name!r} now")
            before = held or {}
            return {**(held or {}), "process": self.process, **fields}

        self.catalogue.change_note(self._note, changed)
        return before


@dataclass
class Deliverer:
    """Delivers what changes in the answers of ``follower`` to ``sink``: each change of a row, or the edges of
    ``alerts``. Without ``kept`` it begins anew each time."""

    follower: Follower
    sink: EventSink
    kept: KeptDeliveries | None = None
    alerts: AlertWatch | None = None
    _waiting: Delivery | None = None
    _number: int = 0

    def __post_init__(self) -> None:
        if self.kept is None:
            return
        state, events = self.kept.take()
        if state is not None:
            self.follower.restore(state["follower"])
            if self.alerts is not None:
                self.alerts.rows = state["alerts"]
            if events:
                self._waiting = Delivery(state["id"], tuple(events), state["position"], is_again=True)

    @property
    def is_waiting(self) -> bool:
        """Whether a delivery was begun, and perhaps not taken."""
        return self._waiting is not None

    def step(self, is_last: bool = False) -> Delivery | None:
        """Deliver what waits, or else what has changed; None if nothing has, or the follower's trigger does not fire
        (with ``is_last``, whether it fires or not). ``SinkUnavailable``: it is delivered by the next step."""
        if self._waiting is None:
            answer = self.follower.step(is_last)
            if answer is None or not self._prepare(answer):
                return None
        waiting = self._waiting
        assert waiting is not None
        try:
            self.sink.deliver(waiting)
        except SinkUnavailable:
            self._waiting = Delivery(waiting.id, waiting.events, waiting.position, is_again=True)
            raise
        if self.kept is not None:
            self.kept.note_delivered()
        self._waiting = None
        return waiting

    def _prepare(self, answer: CurrentAnswer) -> bool:
        """Let the events of an answer wait; whether there are any."""
        before = None if self.alerts is None else json.dumps(self.alerts.rows)
        events = (
            [json.loads(change.to_json()) for change in answer.changes]
            if self.alerts is None
            else self.alerts.edges(answer, self.follower.names)
        )
        self._number += 1
        id = str(self._number) if self.kept is None else self.kept.next_id()
        events = [{"id": f"{id}/{n}", **event} for n, event in enumerate(events, 1)]
        is_changed = self.alerts is not None and json.dumps(self.alerts.rows) != before
        position = self.sink.position()
        if self.kept is not None and (events or is_changed):
            alerts = None if self.alerts is None else self.alerts.rows
            state = {"follower": self.follower.state(), "alerts": alerts, "id": id, "position": position}
            self.kept.keep(state, events)
        if events:
            self._waiting = Delivery(id, tuple(events), position)
        return bool(events)


def deliver_once(deliverer: Deliverer) -> list[Delivery]:
    """Deliver what waits, and then what one look finds, whether the trigger fires or not. ``SinkUnavailable`` at once:
    what was not taken is kept, and comes first the next time."""
    steps = [deliverer.step()] if deliverer.is_waiting else []
    for _ in range(_TRIES):
        steps.append(deliverer.step(is_last=True))
        if not deliverer.follower.is_behind:
            return [step for step in steps if step is not None]
    raise QueryError(f"files were replaced while they were read, {_TRIES} times: nothing is lost, look again")


def deliver(
    deliverer: Deliverer,
    every: float,
    idle: float | None,
    stop: threading.Event,
    on_delivery: Callable[[Delivery], object] | None,
    on_trouble: Callable[[str], object] | None,
    clock: Callable[[], float],
) -> int:
    """Deliver until ``stop`` is set, or nothing came for ``idle`` seconds, and then what waits; the number of
    deliveries."""
    last, count, pause = clock(), 0, every
    said: str | None = None
    while not stop.is_set():
        begun, seen, is_last = clock(), deliverer.follower.looked, False
        try:
            delivery = deliverer.step()
            is_new = delivery is not None or deliverer.follower.looked != seen
            if idle is not None and not is_new and clock() - last >= idle:
                is_last, delivery = True, deliverer.step(is_last=True)
        except SinkUnavailable as error:
            if on_trouble is not None and str(error) != said:  # said once, until it works again
                said = str(error)
                on_trouble(f"{error}; it is tried again")
            stop.wait(max(pause, error.seconds))
            pause, last = min(2 * pause, _LONGEST), clock()
            continue
        pause = every
        if delivery is not None:
            count, said = count + 1, None
            if on_delivery is not None:
                on_delivery(delivery)
        if is_new:
            last = clock()
        if is_last and not deliverer.follower.is_behind:
            break
        stop.wait(max(0.0, begun + every - clock()))
    return count
