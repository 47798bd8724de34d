"""A topic in memory, and a consumer of it with the methods of confluent_kafka that a feed uses."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any


class KafkaException(Exception):
    """What the library raises."""


class KafkaError:
    """An error in place of a message."""

    _PARTITION_EOF, _AUTO_OFFSET_RESET, OFFSET_OUT_OF_RANGE, UNKNOWN_TOPIC_OR_PART, _TRANSPORT, _STATE = (
        -191,
        -140,
        1,
        3,
        -195,
        -172,
    )

    def __init__(self, code: int, text: str) -> None:
        self._code, self._text = code, text

    def code(self) -> int:
        return self._code

    def str(self) -> str:
        return self._text

    def fatal(self) -> bool:
        return False


@dataclass
class TopicPartition:
    """A place in a topic."""

    topic: str
    partition: int
    offset: int = -1001


LIBRARY = SimpleNamespace(
    KafkaException=KafkaException, KafkaError=KafkaError, TopicPartition=TopicPartition, OFFSET_BEGINNING=-2
)


@dataclass
class Message:
    """A message, or an error in its place."""

    partition_: int
    offset_: int
    value_: bytes | None = None
    key_: bytes | None = None
    time: int = 0
    error_: KafkaError | None = None

    def error(self) -> KafkaError | None:
        return self.error_

    def partition(self) -> int:
        return self.partition_

    def offset(self) -> int:
        return self.offset_

    def value(self) -> bytes | None:
        return self.value_

    def key(self) -> bytes | None:
        return self.key_

    def timestamp(self) -> tuple[int, int]:
        return (1, self.time) if self.time else (0, -1)


@dataclass
class Topic:
    """Messages by partition; those before ``low`` are no longer kept."""

    messages: list[list[Message]]
    low: list[int] = field(default_factory=list)
    is_away: bool = False

    @classmethod
    def of(cls, partitions: int) -> Topic:
        return cls([[] for _ in range(partitions)], [0] * partitions)

    def produce(self, partition: int, value: str | bytes | None, key: bytes | None = None, time: int = 0) -> None:
        data, offset = value.encode() if isinstance(value, str) else value, len(self.messages[partition])
        self.messages[partition].append(Message(partition, offset, data, key, time))


class Consumer:
    """Reads a topic from the places that are assigned."""

    def __init__(self, topic: Topic) -> None:
        self.topic = topic
        self.at: dict[int, int] = {}
        self.read: set[int] = set()
        self.is_ready = True
        """Whether partitions can be sought in once they were read."""

        self.now = 0.0
        """A clock by which taking messages takes a second."""

        self.on_assign: Callable[[Any, Any], object] | None = None
        self.on_revoke: Callable[[Any, Any], object] | None = None

    def list_topics(self, name: str, timeout: float) -> Any:
        if self.topic.is_away:
            raise KafkaException(KafkaError(KafkaError._TRANSPORT, "Broker transport failure"))
        found = SimpleNamespace(error=None, partitions=dict.fromkeys(range(len(self.topic.messages))))
        return SimpleNamespace(topics={"t": found})

    def get_watermark_offsets(self, place: TopicPartition, timeout: float) -> tuple[int, int]:
        return self.topic.low[place.partition], len(self.topic.messages[place.partition])

    def subscribe(self, topics: Sequence[str], on_assign: Any, on_revoke: Any) -> None:
        self.on_assign, self.on_revoke = on_assign, on_revoke

    def share(self, *partitions: int) -> None:
        """The group gives these partitions to this consumer, and takes the others."""
        gone = [TopicPartition("t", p) for p in self.at if p not in partitions]
        assert self.on_assign is not None
        assert self.on_revoke is not None
        self.on_revoke(self, gone)
        self.on_assign(self, [TopicPartition("t", p) for p in partitions])

    def assign(self, places: Sequence[TopicPartition]) -> None:
        self.at = {}
        self.incremental_assign(places)

    def incremental_assign(self, places: Sequence[TopicPartition]) -> None:
        for place in places:
            self._go_to(place)

    def seek(self, place: TopicPartition) -> None:
        """Fails where nothing was read of the partition, as librdkafka's does."""
        if place.partition not in self.read:
            raise KafkaException(KafkaError(KafkaError._STATE, "Erroneous state"))
        self._go_to(place)

    def _go_to(self, place: TopicPartition) -> None:
        first = place.offset == LIBRARY.OFFSET_BEGINNING
        self.at[place.partition] = self.topic.low[place.partition] if first else place.offset

    def consume(self, most: int, timeout: float) -> list[Message]:
        self.now += 1.0
        if self.topic.is_away:
            return [Message(-1, -1, error_=KafkaError(KafkaError._TRANSPORT, "connection refused"))]
        found: list[Message] = []
        for partition, at in self.at.items():
            if not self.topic.low[partition] <= at <= len(self.topic.messages[partition]):
                error = KafkaError(KafkaError._AUTO_OFFSET_RESET, "out of range")
                return [Message(partition, at, error_=error)]
            new = self.topic.messages[partition][at : at + most]
            self.read |= {partition} if self.is_ready else set()
            self.at[partition] += len(new)
            found += new
        return found

    def close(self) -> None:
        self.at = {}
