"""Watching, watermarks and deliveries with one rule broken each; the simulator must catch every mutant."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import pytest

from runtime.live import following
from runtime.live.deliveries import Deliverer, KeptDeliveries
from runtime.live.feeds import kafka_feed
from runtime.live.feeds.feed import Piece
from runtime.live.feeds.kafka_feed import KafkaFeed
from runtime.live.following import Follower
from runtime.live.sinks.sink import Delivery
from runtime.live.stream_watermark import StreamWatermark
from tests.simulator.live_world import LiveWorld
from tests.simulator.upkeep_model import Unit
from tests.simulator.world import FIRST_DAY

Plant = Callable[[pytest.MonkeyPatch], object]
DAY = 86_400_000_000


# ---- what is read


def _kept_outside(patch: pytest.MonkeyPatch, is_early: bool) -> None:
    """Where a partition goes on is what was acknowledged to its broker, not what the commits say."""
    at: dict[tuple[int, int], int] = {}  # by world and partition
    reload = kafka_feed._Partition.reload

    def world(partition: Any) -> int:
        return id(partition.chain.catalogue.world)

    def reloaded(self: Any) -> None:
        reload(self)
        if self.number:
            self.next = at.get((world(self), self.id), self.next if is_early else None)

    def acknowledge(partition: Any, offset: int) -> None:
        at[world(partition), partition.id] = offset

    if is_early:
        made = KafkaFeed._piece_of

        def acknowledged(self: KafkaFeed, partition: Any, messages: Any, offset: int) -> Piece:
            acknowledge(partition, offset)
            return made(self, partition, messages, offset)

        patch.setattr(KafkaFeed, "_piece_of", acknowledged)
    else:
        committed = KafkaFeed.committed

        def later(self: KafkaFeed, piece: Piece) -> None:
            committed(self, piece)
            if piece.position is not None and piece.acknowledges is not None:
                piece.chain.catalogue.order(piece.chain.stream)  # type: ignore[union-attr]
                acknowledge(piece.acknowledges, int(piece.position["offset"]))

        patch.setattr(KafkaFeed, "committed", later)
    patch.setattr(kafka_feed._Partition, "reload", reloaded)


def _any_message(self: KafkaFeed, message: Any) -> int:
    """Messages that come again are records again."""
    if message.error() is not None:
        self._note(message.error(), message)
        return 0
    partition = self._partitions.get(message.partition())
    if partition is None:
        return 0
    partition.waiting.append((message.offset(), self._record(message)))
    return 1


def _numbers_of_their_own(patch: pytest.MonkeyPatch) -> None:
    """A source is named by its watcher and number, so that each of two watchers commits the next one."""
    piece_of = KafkaFeed._piece_of

    def own(self: KafkaFeed, *given: Any) -> Piece:
        piece = piece_of(self, *given)
        object.__setattr__(piece.given, "identity", f"{abs(hash((id(self), piece.number))):064x}"[-64:])
        return piece

    patch.setattr(KafkaFeed, "_piece_of", own)


def _late_dropped(self: LiveWorld, attempt: str, data: bytes, of: Any = LiveWorld.units_of) -> list[Unit]:
    """A record of a day before that of another one in its piece does not count."""
    units = of(self, attempt, data)
    return [unit for unit in units if unit.day == max(unit.day for unit in units)]


# ---- watermarks


def _of_the_newest(self: StreamWatermark, record: Any, positions: Any, count: Any = StreamWatermark._count) -> None:
    count(self, record, positions)
    if self.newest:
        self.mark = max(self.newest.values())


def _backwards(self: StreamWatermark, record: Any, positions: Any, count: Any = StreamWatermark._count) -> None:
    count(self, record, positions)
    if self.newest:
        self.mark = min(self.newest.values())


def _by_clock(self: StreamWatermark, record: Any, positions: Any, count: Any = StreamWatermark._count) -> None:
    """A day passes in so many steps."""
    count(self, record, positions)
    if self.mark is not None:
        self.mark = (FIRST_DAY + record.at // 100) * DAY


def _never_idle(self: StreamWatermark, record: Any, positions: Any, count: Any = StreamWatermark._count) -> None:
    idle = record.source is not None and (positions.get(record.source) or {}).get("idle")
    if idle:
        self.seq, self._hash = record.seq, record.hash
    else:
        count(self, record, positions)


def _idle_for_ever(self: StreamWatermark, record: Any, positions: Any, count: Any = StreamWatermark._count) -> None:
    gone = self.__dict__.setdefault("gone", set())
    position = positions.get(record.source) or {}
    if position.get("idle"):
        gone.add(position["partition"])
    count(self, record, positions)
    for partition in gone:
        self.newest.pop(partition, None)


def _begun_beyond(self: StreamWatermark, seq: int, begin: Any = StreamWatermark._begin) -> None:
    begin(self, 1 << 60)


# ---- followers and deliveries


def _forgotten(self: KeptDeliveries, take: Any = KeptDeliveries.take) -> Any:
    state, _ = take(self)
    return state, ()


def _named_anew(self: Deliverer, begin: Any = Deliverer.__post_init__) -> None:
    begin(self)
    if self._waiting is not None and self.kept is not None:
        id = f"{self.kept.name}/{self.kept.process[-8:]}/{self.kept._number}"
        events = tuple({**event, "id": f"{id}/{n}"} for n, event in enumerate(self._waiting.events, 1))
        self._waiting = Delivery(id, events, None, is_again=True)


def _done_first(self: Deliverer, is_last: bool = False, step: Any = Deliverer.step) -> Any:
    """What is to be delivered is noted as delivered before it is."""
    deliver = self.sink.deliver

    def noted(delivery: Delivery) -> None:
        if self.kept is not None:
            self.kept.note_delivered()
        deliver(delivery)

    self.sink.deliver = noted  # type: ignore[method-assign]
    try:
        return step(self, is_last)
    finally:
        self.sink.deliver = deliver  # type: ignore[method-assign]


def _kept_after(patch: pytest.MonkeyPatch) -> None:
    """A delivery is kept once it was taken, not before."""
    keep, done = KeptDeliveries.keep, KeptDeliveries.note_delivered

    def later(self: KeptDeliveries, state: Any, events: Any) -> None:
        self.__dict__["later"] = (state, events)

    def now(self: KeptDeliveries) -> None:
        if later := self.__dict__.pop("later", None):
            keep(self, *later)
        done(self)

    patch.setattr(KeptDeliveries, "keep", later)
    patch.setattr(KeptDeliveries, "note_delivered", now)


def _unasked(self: KeptDeliveries, is_new: bool = False, change: Any = KeptDeliveries._change, **fields: str) -> Any:
    """A process goes on delivering although another one has taken over."""
    return change(self, True, **fields)


def _read_before(self: KeptDeliveries) -> Any:
    """What was kept is read, and then the delivery is taken over."""
    noted = (self.catalogue.note(self._note) or {}).get("path")
    state = self._begin(str(noted))
    self._change(is_new=True)
    events = self._events_path
    return state, self._read(events) if any(info.path == events for info in self._objects()) else ()


def _without_on_time(self: Follower, state: Any = Follower.state) -> dict[str, object]:
    return {**state(self), "on_time": []}


def _from_the_beginning(self: Follower, state: Mapping[str, Any]) -> None:
    """A follower that is begun again forgets which rows it has emitted."""


def _retried_anew(self: Deliverer, is_last: bool = False, step: Any = Deliverer.step) -> Any:
    """What the sink did not take is not tried again."""
    try:
        return step(self, is_last)
    except following.QueryError:
        self._waiting = None
        raise


def _set(of: Any, name: str, broken: Any) -> Plant:
    return lambda patch: patch.setattr(of, name, broken)


MUTANTS: dict[str, Plant] = {
    "acknowledged before the commit": lambda patch: _kept_outside(patch, True),
    "position outside of the commit": lambda patch: _kept_outside(patch, False),
    "a commit without its position": _set(LiveWorld, "noted_position", lambda self, piece: None),
    "what another committed counts as mine": _set(KafkaFeed, "taken", KafkaFeed.committed),
    "sources named by their watcher": _numbers_of_their_own,
    "messages that come again count again": _set(KafkaFeed, "_take", _any_message),
    "a late record dropped": _set(LiveWorld, "units_of", _late_dropped),
    "watermark of the newest partition": _set(StreamWatermark, "_count", _of_the_newest),
    "watermark that goes back": _set(StreamWatermark, "_count", _backwards),
    "watermark by the clock": _set(StreamWatermark, "_count", _by_clock),
    "idle partitions waited for": _set(StreamWatermark, "_count", _never_idle),
    "idle partitions never waited for again": _set(StreamWatermark, "_count", _idle_for_ever),
    "watermark of a later commit": _set(StreamWatermark, "_begin", _begun_beyond),
    "on time twice": _set(following, "LATE", following.ON_TIME),
    "on time again after a restart": _set(Follower, "state", _without_on_time),
    "a follower that begins anew": _set(Follower, "restore", _from_the_beginning),
    "a delivery forgotten after a crash": _set(KeptDeliveries, "take", _forgotten),
    "a delivery with a new id": _set(Deliverer, "__post_init__", _named_anew),
    "a delivery done before it is taken": _set(Deliverer, "step", _done_first),
    "a delivery not tried again": _set(Deliverer, "step", _retried_anew),
    "a delivery kept after it was taken": _kept_after,
    "two processes deliver under one name": _set(KeptDeliveries, "_change", _unasked),
    "taken over after reading": _set(KeptDeliveries, "take", _read_before),
}
