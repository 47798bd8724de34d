"""A topic of a real broker that is watched, by several processes, and changes that are delivered to one.

Tansu neither deletes records nor says that an offset is out of range: what is said of messages that are gone, and of a
topic that was created anew, the laws of `tests/runtime/live/feeds/test_kafka_feed.py` alone show.
"""

from __future__ import annotations

import json
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import dataflow as df
from runtime import Store
from runtime.errors import IngestError
from tests.stack import servers
from tests.stack.watching_process import numbers_in, watching

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with servers.kafka(tmp_path_factory.mktemp("kafka")) as address:
        yield address


@pytest.fixture
def topic(broker: str) -> str:
    """A new topic of three partitions."""
    admin = pytest.importorskip("confluent_kafka.admin")
    name = f"t{random.SystemRandom().randrange(10**9)}"
    client = admin.AdminClient({"bootstrap.servers": broker})  # it must live until the answer is there
    client.create_topics([admin.NewTopic(name, 3, 1)])[name].result(20)
    return name


class Producer:
    """Writes numbered messages; the number is the time in seconds."""

    def __init__(self, broker: str, topic: str) -> None:
        self._producer = pytest.importorskip("confluent_kafka").Producer(
            {"bootstrap.servers": broker, "enable.idempotence": True}
        )
        self._topic, self.count = topic, 0

    def send(self, count: int) -> None:
        for n in range(self.count, self.count + count):
            self._producer.produce(self._topic, json.dumps({"t": n, "n": n}).encode(), key=b"k%d" % (n % 7))
            self._producer.poll(0)
        self.count += count
        self._producer.flush(30)


def watch(folder: Path, broker: str, topic: str, *more: str, group: str = "") -> subprocess.Popen[bytes]:
    return watching(folder, f"kafka://{broker}/{topic}?key=k" + (f"&group={group}" if group else ""), *more)


def test_two_watchers_beside_each_other(tmp_path: Path, broker: str, topic: str) -> None:
    producer = Producer(broker, topic)
    both = [watch(tmp_path, broker, topic, "--until-idle", "4s") for _ in range(2)]
    for _ in range(20):
        producer.send(100)
        time.sleep(0.2)
    for process in both:
        assert process.wait(120) == 0, (tmp_path / "log").read_text()
    assert numbers_in(tmp_path) == list(range(producer.count))


@pytest.mark.nightly
def test_two_watchers_of_one_group(tmp_path: Path, broker: str, topic: str) -> None:
    """This broker takes half a minute until it shares a topic among a group."""
    producer = Producer(broker, topic)
    producer.send(3_000)
    both = [watch(tmp_path, broker, topic, "--until-idle", "45s", group="loaders") for _ in range(2)]
    time.sleep(40)
    producer.send(3_000)
    for process in both:
        assert process.wait(120) == 0, (tmp_path / "log").read_text()
    assert numbers_in(tmp_path) == list(range(producer.count))


def test_a_watcher_that_is_asked_to_stop(tmp_path: Path, broker: str, topic: str) -> None:
    producer = Producer(broker, topic)
    process = watch(tmp_path, broker, topic)
    producer.send(100)
    end = time.monotonic() + 60
    while "points" not in (tmp_path / "log").read_text() and time.monotonic() < end:
        time.sleep(0.1)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0, (tmp_path / "log").read_text()
    assert "Traceback" not in (tmp_path / "log").read_text()


def test_there_is_no_such_topic(tmp_path: Path, broker: str) -> None:
    with Store(tmp_path / "store", create=True) as store, pytest.raises(IngestError, match="there is no topic nothing"):
        store.watch("s", f"kafka://{broker}/nothing", key="k", time="t", unit="s", until_idle="1s")


def test_changes_are_delivered_to_a_topic(tmp_path: Path, broker: str, topic: str) -> None:
    by_minute = df.stream("p").group_by(m=df.time().truncate("1m")).agg(n=df.count())
    with Store(tmp_path / "store", create=True) as store:
        for n in range(3):
            store.ingest("p", {"k": ["a"], "t": [60 * n]}, key="k", time="t", unit="s", progress=False)
            count = store.deliver(by_minute, f"kafka://{broker}/{topic}", name="n", every="20ms", until_idle="100ms")
            assert count == 1
    consumer = pytest.importorskip("confluent_kafka").Consumer(
        {"bootstrap.servers": broker, "group.id": "g", "auto.offset.reset": "earliest"}
    )
    library = pytest.importorskip("confluent_kafka")
    consumer.assign([library.TopicPartition(topic, n, library.OFFSET_BEGINNING) for n in range(3)])
    found: dict[str, Any] = {}
    end = time.monotonic() + 60
    while len(found) < 5 and time.monotonic() < end:
        for message in consumer.consume(10, timeout=0.5):
            found[message.key().decode()] = json.loads(message.value())
    consumer.close()
    assert sorted("/".join(id.split("/")[2:]) for id in found) == ["1/1", "2/1", "2/2", "3/1", "3/2"]
    assert all(event["id"] == key for key, event in found.items())
