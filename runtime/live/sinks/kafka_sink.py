"""A topic of Kafka, by librdkafka (the extra ``kafka``): a message for each event, with its id as key."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from runtime.errors import QueryError
from runtime.live.feeds.kafka_feed import KafkaTopic
from runtime.live.sinks.sink import Delivery, SinkUnavailable, as_json

_PATIENCE = 30.0


class KafkaSink:
    """A topic, which a ``confluent_kafka.Producer`` (or what has its methods) writes to; ``refuses`` is the error of a
    message that it does not take at all."""

    def __init__(self, producer: Any, topic: str, refuses: type[Exception] = ValueError) -> None:
        self._producer, self._topic, self._refuses = producer, topic, refuses

    def position(self) -> Any:
        """See ``EventSink``."""
        return None

    def deliver(self, delivery: Delivery) -> None:
        """See ``EventSink``."""
        wrong: list[Any] = []

        def answered(error: Any, message: object) -> None:
            if error is not None:
                wrong.append(error)

        for event in delivery.events:
            while True:
                try:
                    self._producer.produce(self._topic, as_json(event), key=str(event["id"]), on_delivery=answered)
                    break
                except BufferError:
                    self._producer.poll(0.1)
                except self._refuses as error:
                    said = error.args[0].str() if hasattr(error.args[0], "str") else str(error)
                    raise QueryError(f"topic {self._topic} does not take event {event['id']}: {said}") from None
            self._producer.poll(0)
        if self._producer.flush(_PATIENCE):
            self._producer.purge()
            self._producer.poll(0)
            raise SinkUnavailable(f"topic {self._topic} does not answer")
        if wrong:
            if wrong[0].fatal():
                raise QueryError(f"topic {self._topic}: {wrong[0].str()}")
            raise SinkUnavailable(f"topic {self._topic}: {wrong[0].str()}")

    def close(self) -> None:
        """See ``EventSink``."""
        self._producer.flush(_PATIENCE)


def open_kafka_sink(address: str, settings: Mapping[str, str]) -> KafkaSink:
    """The topic that ``address`` names, by these settings of librdkafka."""
    topic = KafkaTopic.of(address)
    if topic.group is not None or topic.columns:
        raise QueryError(f"{address}: a topic that is written to has neither a group nor columns")
    try:
        import confluent_kafka
    except ImportError:
        raise QueryError("Kafka needs confluent-kafka: pip install 'antfold[kafka]'") from None
    quiet = logging.getLogger("antfold.kafka")
    quiet.addHandler(logging.NullHandler())
    quiet.propagate = False
    try:
        producer = confluent_kafka.Producer(
            {"bootstrap.servers": topic.brokers, "enable.idempotence": True, "message.timeout.ms": 25_000,
             **settings, "logger": quiet}
        )  # fmt: skip
    except confluent_kafka.KafkaException as error:
        raise QueryError(f"{address}: {error.args[0].str()}") from None
    return KafkaSink(producer, topic.topic, confluent_kafka.KafkaException)
