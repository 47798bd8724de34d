"""Sinks: what comes to them, once or under the same id; those that are away, refuse, or were changed."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.errors import QueryError
from runtime.live.sinks.file_sink import FileSink, OutputSink
from runtime.live.sinks.kafka_sink import KafkaSink, open_kafka_sink
from runtime.live.sinks.opened_sink import open_sink
from runtime.live.sinks.sink import Delivery, SinkUnavailable
from runtime.live.sinks.webhook_sink import WebhookSink

EVENTS = tuple({"id": f"n/1/{i}", "new": {"k": "ä\n", "n": i}} for i in range(3))


# ---- parts


@given(st.lists(st.text(max_size=20), max_size=30), st.integers(1, 5), st.integers(1, 200))
def test_parts_are_all_events_in_order(texts: list[str], most: int, most_bytes: int) -> None:
    delivery = Delivery("d", tuple({"id": str(i), "t": t} for i, t in enumerate(texts)))
    parts = list(delivery.parts(most, most_bytes))
    assert [e for _, events in parts for e in events] == list(delivery.events)
    assert [name for name, _ in parts] == [f"d/{n}" for n in range(1, len(parts) + 1)]
    for _, events in parts:
        size = sum(len(json.dumps(e, ensure_ascii=False, separators=(",", ":")).encode()) + 1 for e in events)
        assert 0 < len(events) <= most
        assert len(events) == 1 or size <= most_bytes


# ---- files


@pytest.mark.parametrize("is_again", [False, True])
def test_a_last_line_without_its_end_gets_one(tmp_path: Path, is_again: bool) -> None:
    path = tmp_path / "out"
    path.write_bytes(b'{"x": 1}')
    sink = FileSink(str(path))
    begin = sink.position()
    if is_again:
        path.write_bytes(path.read_bytes() + b"\n" + Delivery("n/1", EVENTS).lines()[:7])
    sink.deliver(Delivery("n/1", EVENTS, begin, is_again))
    sink.close()
    assert path.read_bytes() == b'{"x": 1}\n' + Delivery("n/1", EVENTS).lines()


def test_what_another_wrote_meanwhile_is_not_overwritten(tmp_path: Path) -> None:
    sink = FileSink(str(tmp_path / "out"))
    begin = sink.position()
    (tmp_path / "out").write_text("more\n")
    with pytest.raises(QueryError, match="is not as it was left: it had 0 bytes, and something else changed it"):
        sink.deliver(Delivery("n/1", EVENTS, begin))
    sink.close()
    assert (tmp_path / "out").read_text() == "more\n"


def test_a_file_is_appended_to(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_text("before\n")
    for name in ("n/1", "n/2"):
        sink = FileSink(str(path))
        sink.deliver(Delivery(name, EVENTS, sink.position()))
        sink.close()
    lines = path.read_text().splitlines()
    assert lines[0] == "before"
    assert [json.loads(line) for line in lines[1:]] == [*EVENTS, *EVENTS]


@pytest.mark.parametrize("written", [0, 1, 40, 10**6])
def test_what_was_interrupted_is_written_anew(tmp_path: Path, written: int) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"before\n" + Delivery("n/1", EVENTS).lines()[:written])
    sink = FileSink(str(path))
    sink.deliver(Delivery("n/1", EVENTS, len(b"before\n"), is_again=True))
    sink.close()
    assert path.read_bytes() == b"before\n" + Delivery("n/1", EVENTS).lines()


@pytest.mark.parametrize("there", [b"befo", b"before\nother", b"before\n" + Delivery("", EVENTS).lines() + b"more\n"])
def test_a_file_that_was_changed(tmp_path: Path, there: bytes) -> None:
    path = tmp_path / "out"
    path.write_bytes(there)
    sink = FileSink(str(path))
    with pytest.raises(QueryError, match="is not as it was left: it had 7 bytes"):
        sink.deliver(Delivery("n/1", EVENTS, 7, is_again=True))
    sink.close()
    assert path.read_bytes() == there


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no /dev/full here")
def test_a_full_disk() -> None:
    sink = FileSink("/dev/full")
    with pytest.raises(QueryError, match="/dev/full cannot be written: No space left on device; it goes on"):
        sink.deliver(Delivery("n/1", EVENTS, 0))
    sink.close()


def test_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    OutputSink().deliver(Delivery("n/1", EVENTS))
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == list(EVENTS)


# ---- webhooks


class Hook(BaseHTTPRequestHandler):
    """Answers with the next of ``answers``, then with 204, and keeps what came."""

    answers: list[int]
    after: str | None
    came: list[tuple[dict[str, str], bytes]]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.came.append(({name.lower(): value for name, value in self.headers.items()}, body))
        code = self.answers.pop(0) if self.answers else 204
        self.send_response(code)
        if code == 301:
            self.send_header("location", "/elsewhere")
        if self.after is not None:
            self.send_header("retry-after", self.after)
        self.end_headers()

    def log_message(self, *given: object) -> None:
        """Nothing is printed."""


@pytest.fixture
def hook() -> Iterator[Any]:
    kind: Any = type("OneHook", (Hook,), {"answers": [], "after": None, "came": []})
    server = HTTPServer(("127.0.0.1", 0), kind)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    kind.url = f"http://127.0.0.1:{server.server_port}/hook"
    yield kind
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_webhook_is_signed(hook: Any) -> None:
    key = b"0123456789abcdef"
    secret = f"whsec_{base64.b64encode(key).decode()}"
    sink = open_sink(hook.url, {"secret": secret, "authorization": "Bearer x"})
    sink.deliver(Delivery("n/1", EVENTS))
    ((headers, body),) = hook.came
    assert json.loads(body) == {"id": "n/1/1", "events": list(EVENTS)}
    assert (headers["webhook-id"], headers["content-type"], headers["authorization"]) == (
        "n/1/1", "application/json", "Bearer x",
    )  # fmt: skip
    signed = f"n/1/1.{headers['webhook-timestamp']}.".encode() + body
    assert headers["webhook-signature"] == f"v1,{base64.b64encode(hmac.digest(key, signed, hashlib.sha256)).decode()}"


def test_the_same_request_again(hook: Any) -> None:
    sink = WebhookSink(hook.url, {}, clock=lambda: 1.0)
    for _ in range(2):
        sink.deliver(Delivery("n/1", EVENTS))
    first, again = hook.came
    assert first == again
    assert "webhook-signature" not in first[0]


def test_many_events_are_several_requests(hook: Any) -> None:
    events = tuple({"id": f"n/1/{i}", "text": "x" * 1000} for i in range(700))
    WebhookSink(hook.url, {}).deliver(Delivery("n/1", events))
    bodies = [json.loads(body) for _, body in hook.came]
    assert [e for body in bodies for e in body["events"]] == list(events)
    assert [body["id"] for body in bodies] == ["n/1/1", "n/1/2", "n/1/3"]
    assert max(len(body) for _, body in hook.came) < 300_000


@pytest.mark.parametrize("code", [408, 425, 429, 500, 503])
def test_one_that_answers_later(hook: Any, code: int) -> None:
    hook.answers.append(code)
    sink = WebhookSink(hook.url, {})
    with pytest.raises(SinkUnavailable, match=f"answers with {code}"):
        sink.deliver(Delivery("n/1", EVENTS))
    sink.deliver(Delivery("n/1", EVENTS, is_again=True))
    assert len(hook.came) == 2


@pytest.mark.parametrize(
    ("after", "seconds"),
    [
        (None, 0),
        ("120", 120),
        ("0", 0),
        ("-5", 0),
        ("soon", 0),
        ("1" * 400, 3600),
        ("Thu, 01 Jan 1970 00:01:40 GMT", 90),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
        ("Thu, 01 Jan 2970 00:00:00 GMT", 3600),
    ],
)
def test_one_that_says_when(hook: Any, after: str | None, seconds: float) -> None:
    hook.answers.append(503)
    hook.after = after
    with pytest.raises(SinkUnavailable) as raised:
        WebhookSink(hook.url, {}, clock=lambda: 10.0).deliver(Delivery("n/1", EVENTS))
    assert raised.value.seconds == seconds


@pytest.mark.parametrize("code", [301, 400, 404, 410])
def test_one_that_refuses(hook: Any, code: int) -> None:
    hook.answers.append(code)
    with pytest.raises(QueryError, match=f"answers with {code}: nothing is lost") as raised:
        WebhookSink(hook.url, {}).deliver(Delivery("n/1", EVENTS))
    assert not isinstance(raised.value, SinkUnavailable)
    assert len(hook.came) == 1


def test_nobody_answers() -> None:
    with pytest.raises(SinkUnavailable, match="does not answer: Connection refused"):
        WebhookSink("http://127.0.0.1:9/x", {}).deliver(Delivery("n/1", EVENTS))


# ---- Kafka


class Producer:
    """A producer of a topic in memory, with the methods of confluent_kafka that the sink uses."""

    def __init__(self) -> None:
        self.messages: list[tuple[str, str, Any]] = []
        self.wrong: list[Any] = []
        self.left = self.full = 0
        self._calls: list[Any] = []

    def produce(self, topic: str, value: bytes, key: str, on_delivery: Any) -> None:
        if self.full:
            self.full -= 1
            raise BufferError
        self.messages.append((topic, key, json.loads(value)))
        self._calls.append(on_delivery)

    def poll(self, seconds: float) -> None:
        calls, self._calls = self._calls, []
        for call in calls:
            call(self.wrong.pop(0) if self.wrong else None, None)

    def flush(self, seconds: float) -> int:
        self.poll(0)
        return self.left

    def purge(self) -> None:
        self.left = 0


def test_a_message_for_each_event() -> None:
    producer = Producer()
    producer.full = 2
    KafkaSink(producer, "t").deliver(Delivery("n/1", EVENTS))
    assert producer.messages == [("t", e["id"], e) for e in EVENTS]


def test_a_topic_that_is_away_or_refuses() -> None:
    producer = Producer()
    sink = KafkaSink(producer, "t")
    producer.left = 1
    with pytest.raises(SinkUnavailable, match="topic t does not answer"):
        sink.deliver(Delivery("n/1", EVENTS))
    for is_fatal in (False, True):
        producer.wrong = [SimpleNamespace(fatal=lambda is_fatal=is_fatal: is_fatal, str=lambda: "said")]
        with pytest.raises(QueryError, match="topic t: said") as raised:
            sink.deliver(Delivery("n/1", EVENTS))
        assert isinstance(raised.value, SinkUnavailable) != is_fatal


def test_an_event_that_a_topic_does_not_take() -> None:
    library = pytest.importorskip("confluent_kafka")
    sink = open_kafka_sink("kafka://127.0.0.1:9/t", {"message.max.bytes": "2000"})
    with pytest.raises(QueryError, match=r"topic t does not take event n/1/0: .*[Ss]ize too large"):
        sink.deliver(Delivery("n/1", ({"id": "n/1/0", "text": "x" * 5000},)))
    assert library.KafkaError.MSG_SIZE_TOO_LARGE


def test_settings_of_a_producer() -> None:
    with pytest.raises(QueryError, match="No such configuration property"):
        open_kafka_sink("kafka://127.0.0.1:9/t", {"nothing.like.it": "1"})
