"""A topic of Kafka, of one record a message, by librdkafka (the extra ``kafka``).

Partitions are assigned, and their offsets kept in the store's own commits, not in those of a consumer group: only so is
a message's record there exactly once, whatever is killed. With a group, Kafka shares the partitions among the watchers
of that group; where each partition goes on is still read from the commits.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from operators.nearest import meant
from runtime.errors import IngestError
from runtime.ingest.inputs.inputs import BytesInput
from runtime.live.chains import SourceChain
from runtime.live.feeds.feed import MOST_BYTES, Piece
from runtime.live.feeds.message_records import on_one_line, with_columns

MESSAGE_FIELDS = ("key", "timestamp", "partition", "offset")
"""What of a message itself can become a column of its record; timestamps are milliseconds."""

_MESSAGES = 10_000
"""Messages taken at once."""

_NEW_PARTITIONS = 60.0
"""Seconds from one look for new partitions to the next."""

_PATIENCE = 10.0
"""Seconds to wait for an answer about the topic."""

_SETTINGS = {
    "enable.auto.commit": False,
    "enable.auto.offset.store": False,
    "auto.offset.reset": "error",
    "queued.max.messages.kbytes": MOST_BYTES >> 10,
}


@dataclass(frozen=True)
class KafkaTopic:
    """What ``kafka://broker:9092,other:9092/topic?key=device&group=loaders`` names: ``columns`` are names of columns by
    field of a message (``MESSAGE_FIELDS``)."""

    brokers: str
    topic: str
    group: str | None
    columns: Mapping[str, str]

    @classmethod
    def of(cls, source: str) -> KafkaTopic:
        """From its address; IngestError for a wrong one."""
        parts = urlsplit(source)
        topic = parts.path.strip("/")
        if not parts.netloc or not topic or "/" in topic or "@" in parts.netloc:
            raise IngestError(
                f"kafka://BROKER:9092/TOPIC names a topic, got {source!r}; user and password are in the connection's "
                "settings (--connection FILE)."
            )
        given = dict(parse_qsl(parts.query, keep_blank_values=True))
        known = (*MESSAGE_FIELDS, "group")
        for name, value in given.items():
            if name not in known or not value:
                raise IngestError(
                    f"{source}: there is no {name}={value}; {meant(name, known, 'known')} are {', '.join(known)}."
                )
        return cls(parts.netloc, topic, given.pop("group", None), given)


@dataclass
class _Partition:
    """A partition: the messages that wait are behind ``next``, its first offset that is not committed (None: the first
    that there is)."""

    id: int
    chain: SourceChain
    number: int = 0
    next: int | None = None
    waiting: list[tuple[int, bytes | None]] = field(default_factory=list)

    def reload(self) -> None:
        """Go on after what is committed."""
        reached = self.chain.reached()
        self.number = reached.number
        self.next = None if reached.position is None else int(reached.position["offset"])
        self.waiting.clear()


class KafkaFeed:
    """The messages of a topic. With ``skips``, those that are there at the first look are left out.

    ``consumer`` is a ``confluent_kafka.Consumer`` or has the methods of one; ``library`` that package; ``is_json``:
    records are JSON objects, else lines.
    """

    ended = is_behind = False
    stopping: Callable[[], bool] = staticmethod(lambda: False)

    def __init__(
        self,
        consumer: Any,
        library: Any,
        topic: KafkaTopic,
        chain_of: Callable[[str], SourceChain],
        *,
        is_json: bool = True,
        skips: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._consumer, self._library, self._topic, self._chain_of = consumer, library, topic, chain_of
        self._is_json, self._skips, self._clock = is_json, skips, clock
        self._partitions: dict[int, _Partition] = {}
        self._left_out: list[Piece] = []
        self._looked: float | None = None
        self._said: str | None = None
        self._trouble: str | None = None
        if topic.group is not None:
            consumer.subscribe([topic.topic], on_assign=self._assigned, on_revoke=self._revoked)

    def pieces(self, seconds: float) -> Iterator[Piece]:
        """See ``Feed``."""
        until = self._clock() + seconds
        self._find_partitions()
        size = 0
        try:
            while (left := until - self._clock()) > 0 and size < MOST_BYTES and not self.stopping():
                for message in self._consumer.consume(_MESSAGES, timeout=min(left, 0.5)):
                    size += self._take(message)
        except self._library.KafkaException as error:
            raise self._unasked(error) from None
        while self._left_out:
            yield self._left_out.pop()
        if size:
            self._said = None
        if self._trouble is not None and self._trouble != self._said:  # it is said once, until messages come again
            self._said = self._trouble
            name = f"kafka://{self._topic.brokers}/{self._topic.topic}"
            yield Piece(BytesInput(Path(name), name, data=b""), error=f"{self._trouble}; it is tried again")
        self._trouble = None
        for partition in list(self._partitions.values()):
            if partition.waiting:
                yield self._piece(partition)

    def committed(self, piece: Piece) -> None:
        """See ``Feed``."""
        partition = piece.acknowledges
        if not isinstance(partition, _Partition) or piece.position is None:
            return
        offset = int(piece.position["offset"])
        partition.number, partition.next = piece.number, offset
        partition.waiting = [message for message in partition.waiting if message[0] >= offset]

    def taken(self, piece: Piece) -> None:
        """See ``Feed``."""
        partition = piece.acknowledges
        assert isinstance(partition, _Partition)
        partition.reload()
        if self._partitions.get(partition.id) is not partition:
            return
        try:
            self._consumer.seek(self._place(partition))
        except self._library.KafkaException:  # nothing was read of it yet: all begin anew behind what is committed
            for other in self._partitions.values():
                other.waiting.clear()
            self._consumer.assign([self._place(other) for other in self._partitions.values()])

    def close(self) -> None:
        """See ``Feed``."""
        self._consumer.close()

    # ---- partitions

    def _find_partitions(self) -> None:
        """Assign the partitions that are new, unless a group shares them."""
        if self._topic.group is not None or (
            self._looked is not None and self._clock() - self._looked < _NEW_PARTITIONS
        ):
            return
        try:
            new = [self._begun(id) for id in self._ids() if id not in self._partitions]
        except self._library.KafkaException as error:
            if self._looked is None:
                raise self._unasked(error) from None
            return
        self._partitions.update((partition.id, partition) for partition in new)
        if new:
            self._consumer.incremental_assign([self._place(partition) for partition in new])
        self._skips, self._looked = False, self._clock()

    def _unasked(self, error: Exception) -> IngestError:
        return IngestError(f"{self._topic.brokers} cannot be asked for topic {self._topic.topic}: {_said(error)}.")

    def _ids(self) -> Sequence[int]:
        found = self._consumer.list_topics(self._topic.topic, timeout=_PATIENCE).topics.get(self._topic.topic)
        if found is None or found.error is not None or not found.partitions:
            said = "" if found is None or found.error is None else f" ({found.error.str()})"
            raise IngestError(f"there is no topic {self._topic.topic} at {self._topic.brokers}{said}.")
        return sorted(found.partitions)

    def _begun(self, id: int) -> _Partition:
        """A partition that is read from now on. IngestError if what was not read of it is gone."""
        partition = _Partition(id, self._chain_of(str(id)))
        partition.reload()
        low, high = self._consumer.get_watermark_offsets(
            self._library.TopicPartition(self._topic.topic, id), timeout=_PATIENCE
        )
        if partition.next is None and self._skips:
            self._left_out.append(self._piece_of(partition, [], high))
            partition.next = high
        elif partition.next is not None and partition.next < low:
            raise self._lost(partition, low)
        return partition

    def _place(self, partition: _Partition) -> Any:
        offset = self._library.OFFSET_BEGINNING if partition.next is None else partition.next
        return self._library.TopicPartition(self._topic.topic, partition.id, offset)

    def _assigned(self, consumer: Any, places: Sequence[Any]) -> None:
        """The group gave these partitions to this process."""
        self._partitions = {place.partition: self._begun(place.partition) for place in places}
        self._skips = False  # what comes later is new, and read from its beginning
        consumer.assign([self._place(partition) for partition in self._partitions.values()])

    def _revoked(self, consumer: Any, places: Sequence[Any]) -> None:
        """The group gave these partitions to other processes: what waits of them is theirs."""
        for place in places:
            self._partitions.pop(place.partition, None)

    def _lost(self, partition: _Partition, low: int) -> IngestError:
        of = f"partition {partition.id} of {self._topic.topic}"
        return IngestError(
            f"{of}: the messages {partition.next:,} to {low - 1:,}, which were not read yet, are no longer there (the "
            "topic keeps them for too short a time). To go on without them, watch it under another --watch-name with "
            "--from beginning: what was read will count twice unless the stream has an id or exact duplicates."
        )

    # ---- messages

    def _take(self, message: Any) -> int:
        """Let a message wait for its commit; its bytes."""
        error = message.error()
        if error is not None:
            self._note(error, message)
            return 0
        partition = self._partitions.get(message.partition())
        if partition is None or (partition.next is not None and message.offset() < partition.next):
            return 0
        if partition.waiting and message.offset() <= partition.waiting[-1][0]:
            return 0
        record = self._record(message)
        partition.waiting.append((message.offset(), record))
        return 0 if record is None else len(record)

    def _note(self, error: Any, message: Any) -> None:
        """Raise IngestError for an error that does not pass; remember any other."""
        code, of = error.code(), self._library.KafkaError
        partition = self._partitions.get(message.partition())
        if code == of._PARTITION_EOF:
            return
        if partition is not None and code in (of.OFFSET_OUT_OF_RANGE, of._AUTO_OFFSET_RESET):
            place = self._library.TopicPartition(self._topic.topic, partition.id)
            low, high = self._consumer.get_watermark_offsets(place, timeout=_PATIENCE)
            if partition.next is not None and partition.next < low:
                raise self._lost(partition, low)
            raise IngestError(
                f"partition {partition.id} of {self._topic.topic} ends at message {high:,}, but {partition.next:,} were"
                " read: it was deleted and created anew, or is another one. Watch it under another --watch-name."
            )
        if code == of.UNKNOWN_TOPIC_OR_PART or error.fatal():
            raise IngestError(f"topic {self._topic.topic} at {self._topic.brokers}: {error.str()}.")
        self._trouble = f"topic {self._topic.topic} at {self._topic.brokers}: {error.str()}"

    def trouble(self, error: Any) -> None:
        """An error of the connection, which librdkafka mends by itself."""
        self._trouble = f"{self._topic.brokers}: {error.str()}"

    def _record(self, message: Any) -> bytes | None:
        """The record on one line; None for a message without value, which says that a key was deleted."""
        value: bytes | None = message.value()
        if value is None or not self._is_json:
            return value
        names = {name: of for of, name in self._topic.columns.items()}
        return with_columns(on_one_line(value), names, lambda name: _field(message, names[name]))

    def _piece(self, partition: _Partition) -> Piece:
        return self._piece_of(partition, partition.waiting, partition.waiting[-1][0] + 1)

    def _piece_of(self, partition: _Partition, messages: Sequence[tuple[int, bytes | None]], offset: int) -> Piece:
        """The messages as the next source of the partition, which then goes on at ``offset``."""
        number = partition.number + 1
        first = messages[0][0] if messages else offset
        name = f"{self._topic.topic}[{partition.id}] {first}..{offset - 1}"
        records = [record for _, record in messages if record is not None]
        data = b"".join(b"%s\n" % record for record in records)
        given = BytesInput(Path(name), name, identity=partition.chain.identity(number), data=data)
        position = partition.chain.position(offset=offset)
        return Piece(given, partition.chain, number, position, acknowledges=partition)


def _field(message: Any, of: str) -> object:
    """A field of a message; None if it has none."""
    if of == "key":
        key = message.key()
        try:
            return key.decode() if isinstance(key, bytes) else key
        except UnicodeDecodeError:
            return None
    if of == "timestamp":
        kind, milliseconds = message.timestamp()
        return milliseconds if kind else None
    return message.partition() if of == "partition" else message.offset()


def open_kafka(
    source: str,
    connection: Mapping[str, str],
    chains: Callable[[str], Callable[[str], SourceChain]],
    *,
    is_json: bool,
    skips: bool,
) -> KafkaFeed:
    """The topic that ``source`` names, by the settings of ``connection`` (those of librdkafka); ``chains`` gives those
    of a feed by the name that it has by itself."""
    topic = KafkaTopic.of(source)
    try:
        import confluent_kafka
    except ImportError:
        raise IngestError("Kafka needs confluent-kafka: pip install 'antfold[kafka]'.") from None
    if topic.columns and not is_json:
        raise IngestError(f"{source}: fields of messages become columns of JSON records only.")
    feeds: list[KafkaFeed] = []

    def troubled(error: Any) -> None:
        for feed in feeds:
            feed.trouble(error)

    settings = {
        "bootstrap.servers": topic.brokers, "group.id": topic.group or "antfold", **_SETTINGS, **connection,
        "error_cb": troubled, "logger": logging.getLogger("antfold.kafka"),
    }  # fmt: skip
    logging.getLogger("antfold.kafka").addHandler(logging.NullHandler())
    logging.getLogger("antfold.kafka").propagate = False
    try:
        consumer = confluent_kafka.Consumer(settings)
        cluster = consumer.cluster_id(timeout=_PATIENCE)
    except confluent_kafka.KafkaException as error:
        raise IngestError(f"{topic.brokers} cannot be asked for topic {topic.topic}: {_said(error)}.") from None
    chain_of = chains(f"kafka {cluster or topic.brokers} {topic.topic}")
    feeds.append(KafkaFeed(consumer, confluent_kafka, topic, chain_of, is_json=is_json, skips=skips))
    return feeds[0]


def _said(error: Exception) -> str:
    """What a KafkaException says."""
    inner = error.args[0] if error.args else error
    return str(inner.str()) if hasattr(inner, "str") else str(inner)
