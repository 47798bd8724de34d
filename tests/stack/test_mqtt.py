"""Topics of a real MQTT broker that are watched, while it stops, is killed, and starts again."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

import dataflow as df
from runtime import Store
from runtime.errors import IngestError
from tests.stack import servers
from tests.stack.watching_process import numbers_in, watching
from tests.waiting import until

pytestmark = pytest.mark.stack


class Broker:
    """mosquitto, which can be stopped and started again."""

    def __init__(self, folder: Path) -> None:
        (self.port,), self._folder, self._held = servers.free_ports(1), folder, ExitStack()
        self.start()

    def start(self, abruptly: bool = False) -> None:
        self._held.enter_context(servers.mosquitto(self._folder, self.port, abruptly))

    def stop(self) -> None:
        self._held.close()

    def subscriptions(self, to: str) -> int:
        """How often somebody subscribed to topics that begin so, since it was started."""
        log = (self._folder / "log").read_text(errors="replace")
        return sum(line.split()[-1].startswith(to) for line in log.splitlines() if line.strip())

    def forget(self) -> None:
        """Lose the sessions; while it is stopped."""
        (self._folder / "mosquitto.db").unlink()


@pytest.fixture
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    started = Broker(tmp_path_factory.mktemp("mosquitto"))
    yield started
    started.stop()


class Publisher:
    """Publishes numbered messages, each until the broker has it; the number is the time in seconds."""

    def __init__(self, broker: Broker) -> None:
        mqtt = pytest.importorskip("paho.mqtt.client")
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        self._client.max_inflight_messages_set(500)
        self._client.reconnect_delay_set(1, 1)
        self._client.connect("127.0.0.1", broker.port)
        self._client.loop_start()
        self.count = 0

    def send(self, count: int, seconds: float = 60) -> None:
        end = time.monotonic() + seconds
        while not self._client.is_connected() and time.monotonic() < end:
            time.sleep(0.05)
        sent = [
            self._client.publish(f"site/d{n % 7}/temp", json.dumps({"t": n, "n": n}), qos=1)
            for n in range(self.count, self.count + count)
        ]
        self.count += count
        for one in sent:
            one.wait_for_publish(seconds)
            assert one.is_published()

    def close(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


@pytest.fixture
def publisher(broker: Broker) -> Iterator[Publisher]:
    made = Publisher(broker)
    yield made
    made.close()


def watch(folder: Path, broker: Broker, *more: str, group: str = "") -> subprocess.Popen[bytes]:
    source = f"mqtt://127.0.0.1:{broker.port}/site/+k/+metric" + (f"?group={group}" if group else "")
    return watching(folder, source, "--id", "n", *more)


def settled(process: subprocess.Popen[bytes], folder: Path) -> None:
    assert process.wait(600) == 0, (folder / "log").read_text()[-3000:]


def subscribed(folder: Path, broker: Broker) -> None:
    """A watcher was there once, so that the broker keeps what comes."""
    settled(watch(folder, broker, "--until-idle", "300ms"), folder)


@pytest.mark.parametrize("times", [1, pytest.param(3, marks=pytest.mark.nightly)])
@pytest.mark.parametrize("abruptly", [False, True], ids=["stopped", "killed"])
def test_a_broker_that_is_started_again(
    tmp_path: Path, broker: Broker, publisher: Publisher, abruptly: bool, times: int
) -> None:
    subscribed(tmp_path, broker)
    if abruptly:
        broker.stop()
        broker.start(abruptly=True)
    before = broker.subscriptions("site/")
    process = watch(tmp_path, broker, "--until-idle", "5s")
    until(lambda: broker.subscriptions("site/") > before)  # one that begins while nobody is there ends at once
    for _ in range(times):
        publisher.send(300)
        time.sleep(2)  # what it has taken is on the disk
        broker.stop()
        time.sleep(1)
        broker.start(abruptly)
    publisher.send(300)
    settled(process, tmp_path)
    assert numbers_in(tmp_path) == list(range(publisher.count))
    assert "Traceback" not in (tmp_path / "log").read_text()


def test_a_broker_that_lost_its_sessions(tmp_path: Path, broker: Broker, publisher: Publisher) -> None:
    subscribed(tmp_path, broker)
    publisher.send(10)
    settled(watch(tmp_path, broker, "--until-idle", "1s"), tmp_path)
    broker.stop()
    broker.forget()
    broker.start()
    process = watch(tmp_path, broker)
    assert process.wait(60) == 1
    assert "no longer keeps this watcher's session" in (tmp_path / "log").read_text()
    settled(watch(tmp_path, broker, "--watch-name", "anew", "--until-idle", "1s"), tmp_path)


def test_watchers_of_a_group(tmp_path: Path, broker: Broker, publisher: Publisher) -> None:
    subscribed(tmp_path, broker)  # makes the stream, under a subscription of its own
    both = [
        watch(tmp_path, broker, "--watch-name", name, "--until-idle", "5s", group="loaders") for name in ("one", "two")
    ]
    # Until then the broker keeps nothing for the group.
    until(lambda: broker.subscriptions("$share/loaders/") == 2)
    publisher.send(2_000)
    for process in both:
        settled(process, tmp_path)
    assert numbers_in(tmp_path) == list(range(2_000))


def test_two_of_one_name(tmp_path: Path, broker: Broker) -> None:
    first = watch(tmp_path, broker)
    until(lambda: broker.subscriptions("site/") == 1)
    second = watch(tmp_path, broker)
    assert first.wait(60) == 1
    assert "another watcher of this name has taken over" in (tmp_path / "log").read_text()
    second.send_signal(signal.SIGTERM)
    settled(second, tmp_path)


def test_values_and_retained_messages(tmp_path: Path, broker: Broker, publisher: Publisher) -> None:
    for n, value in enumerate(("21.5", "true", '"up"')):
        publisher._client.publish(f"site/d{n}/temp", value, qos=1, retain=True).wait_for_publish(20)
    source = f"mqtt://127.0.0.1:{broker.port}/site/+k/+metric?value=reading&received=t"
    options: dict[str, Any] = {"key": "k", "time": "t", "every": "200ms", "until_idle": "1s"}
    with Store(tmp_path / "store", create=True) as store:
        assert [store.watch("s", source, **options).rows for _ in range(2)] == [3, 0]  # retained messages come once
        found = store.query(df.stream("s").select("reading", "metric"), progress=False)
        assert sorted(map(str, found["metric"])) == ["temp"] * 3
        assert store.watch("other", source, start="end", **options).rows == 0


def test_nobody_is_there(tmp_path: Path) -> None:
    (port,) = servers.free_ports(1)
    with Store(tmp_path / "store", create=True) as store, pytest.raises(IngestError, match="cannot be reached"):
        store.watch("s", f"mqtt://127.0.0.1:{port}/t", key="k", time="t", unit="s")
