"""Feeds of the campaign ``feeds`` behind brokers: MQTT, Kinesis, Kafka; brokers are started again, connections cut."""

from __future__ import annotations

import json
import logging
import os
import random
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.campaigns.feeds_lines import KEYS, Feed
from tests.stack import servers
from tests.stack.watching_process import watching
from tests.waiting import until

_BLOCK = 500
_MESSAGES = 5_000
"""Messages that a client has under way at most."""


def message(n: int) -> bytes:
    """The numbered message ``n``, whose number is its time in seconds; the broker has its key."""
    return json.dumps({"t": n, "n": n}).encode()


class Proxy:
    """A proxy before a server on a loopback port; see ``soak_proxy``."""

    def __init__(self, folder: Path, target: int, port: int | None = None) -> None:
        self.port = port or servers.free_ports(1)[0]
        command = [sys.executable, "-m", "tests.campaigns.soak_proxy", str(self.port), str(target)]
        log = folder / f"proxy-{self.port}.log"
        with log.open("wb") as out:
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=out)
        servers.await_port(self._process, self.port, log)

    def disturb(self, mode: str, seconds: float) -> None:
        """Disturb for a while."""
        self._say(mode)
        time.sleep(seconds)
        self._say("pass")

    def _say(self, mode: str) -> None:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{mode}\n".encode())
        self._process.stdin.flush()

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(30)


_QUIET = logging.getLogger("tests.campaigns.feeds")
_QUIET.addHandler(logging.NullHandler())
_QUIET.propagate = False


def _make_bucket(endpoint: str, name: str) -> None:
    import boto3
    from botocore.config import Config

    boto3.client(
        "s3", endpoint_url=endpoint, aws_access_key_id=servers.KEY, aws_secret_access_key=servers.SECRET,
        region_name=servers.REGION, config=Config(s3={"addressing_style": "path"}),
    ).create_bucket(Bucket=name)  # fmt: skip


class Broker(Feed):
    """A feed behind a broker, whose servers and proxies are held until its end."""

    def __init__(self, folder: Path, rng: random.Random) -> None:
        super().__init__(folder, rng)
        self.held = ExitStack()

    def __exit__(self, *_: object) -> None:
        self.held.close()

    def folder_of(self, name: str) -> Path:
        """A new folder for a server."""
        folder = self.folder / name
        folder.mkdir()
        return folder


class Mqtt(Broker):
    """mosquitto, which keeps its sessions while it is started again; messages of QoS 1 under an id."""

    _taken = 0
    """Messages that the broker has."""

    def __enter__(self) -> Feed:
        (self.port,), self._server, self._data = servers.free_ports(1), ExitStack(), self.folder_of("mosquitto")
        self.held.callback(lambda: self._server.close())
        self._server.enter_context(servers.mosquitto(self._data, self.port))
        mqtt = pytest.importorskip("paho.mqtt.client")
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, client_id="publisher", clean_session=False)
        self._client.max_inflight_messages_set(_MESSAGES)
        self._client.reconnect_delay_set(1, 1)
        self._client.on_publish = self._published
        self._client.connect("127.0.0.1", self.port)
        self._client.loop_start()
        self.held.callback(self._client.loop_stop)
        self.held.callback(self._client.disconnect)
        self.begun()
        if self.watch("--until-idle", "300ms").wait(60):  # from now on the broker keeps what comes
            self.failures.append(self.log())
        return self

    def watch(self, *more: str) -> subprocess.Popen[bytes]:
        return watching(self.folder, f"mqtt://127.0.0.1:{self.port}/site/+k/temp", "--id", "n", *more)

    def _published(self, *_: object) -> None:
        self._taken += 1

    def send(self, count: int) -> None:
        for n in range(self.count, self.count + count):  # what is published while nobody is there waits in the client
            self._client.publish(f"site/k{n % KEYS}/temp", message(n), qos=1)
        self.count += count
        until(lambda: self._taken >= self.count)

    def disturb(self) -> str:
        self._server.close()
        time.sleep(self.rng.uniform(0, 0.5))
        self._server.enter_context(servers.mosquitto(self._data, self.port))
        return "broker stopped and started"


class Kinesis(Broker):
    """A stream of ministack, behind a proxy that ends, freezes and throttles the requests of who watches."""

    SHARDS = 3

    def __enter__(self) -> Feed:
        endpoint = self.held.enter_context(servers.ministack(self.folder_of("ministack")))
        before = dict(os.environ)
        self.held.callback(lambda: (os.environ.clear(), os.environ.update(before)))
        os.environ.update(servers.environment(endpoint))
        import boto3

        self._client = boto3.client("kinesis")
        self._client.create_stream(StreamName="numbers", ShardCount=self.SHARDS)
        self._client.get_waiter("stream_exists").wait(StreamName="numbers")
        self._proxy = Proxy(self.folder, int(endpoint.rpartition(":")[2]))
        self.held.callback(self._proxy.close)
        os.environ["AWS_ENDPOINT_URL"] = f"http://127.0.0.1:{self._proxy.port}"  # of who watches
        return self

    def watch(self, *more: str) -> subprocess.Popen[bytes]:
        return watching(self.folder, "kinesis://numbers?key=k", *more)

    def send(self, count: int) -> None:
        end = self.count + count
        while self.count < end:
            upto = min(end, self.count + _BLOCK)
            blocks = [{"Data": message(n), "PartitionKey": f"k{n % KEYS}"} for n in range(self.count, upto)]
            if self._client.put_records(StreamName="numbers", Records=blocks)["FailedRecordCount"]:
                self.failures.append("records were not taken")
            self.count = upto

    def disturb(self) -> str:
        mode = self.rng.choice(["cut", "freeze", "throttle"])
        self._proxy.disturb(mode, self.rng.uniform(0.1, 1.5))
        return {"cut": "connections cut", "freeze": "requests frozen", "throttle": "requests throttled"}[mode]


class Kafka(Broker):
    """Tansu, whose data is in S3: it is killed and started again; a proxy before it ends and freezes connections."""

    PARTITIONS = 3

    def __enter__(self) -> Feed:
        self._s3 = self.held.enter_context(servers.seaweed(self.folder_of("weed"))), "tansu"
        _make_bucket(*self._s3)
        self._ports, self._data, self._server = servers.free_ports(2), self.folder_of("tansu"), ExitStack()
        self.held.callback(lambda: self._server.close())
        self._start()
        self._proxy = Proxy(self.folder, self._ports[0], self._ports[1])
        self.held.callback(self._proxy.close)
        self._address = f"127.0.0.1:{self._ports[1]}"
        admin = pytest.importorskip("confluent_kafka.admin")
        client = admin.AdminClient({"bootstrap.servers": self._address})
        client.create_topics([admin.NewTopic("numbers", self.PARTITIONS, 1)])["numbers"].result(30)
        self._producer = pytest.importorskip("confluent_kafka").Producer(
            {
                "bootstrap.servers": self._address, "enable.idempotence": True, "message.timeout.ms": 120_000,
                "linger.ms": 50, "queue.buffering.max.messages": 1_000_000, "logger": _QUIET,
            }
        )  # fmt: skip
        return self

    def _start(self) -> None:
        self._server.enter_context(servers.kafka(self._data, self._ports[0], advertised=self._ports[1], s3=self._s3))

    def watch(self, *more: str) -> subprocess.Popen[bytes]:
        return watching(self.folder, f"kafka://{self._address}/numbers?key=k", *more)

    def send(self, count: int) -> None:
        lost: list[object] = []

        def delivered(error: object, _: object) -> None:
            if error is not None:
                lost.append(error)

        for n in range(self.count, self.count + count):
            self._producer.produce("numbers", message(n), key=b"k%d" % (n % KEYS), on_delivery=delivered)
            self._producer.poll(0)
        self.count += count
        if self._producer.flush(120) or lost:
            self.failures.append(f"the broker did not take {len(lost)} messages: {lost[:1]}")

    def disturb(self) -> str:
        if self.rng.random() < 0.5:
            self._proxy.disturb(mode := self.rng.choice(["cut", "freeze"]), self.rng.uniform(0.1, 1.5))
            return {"cut": "connections cut", "freeze": "connections frozen"}[mode]
        self._server.close()
        time.sleep(self.rng.uniform(0, 0.5))
        self._start()
        return "broker killed and started"
