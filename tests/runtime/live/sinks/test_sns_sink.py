"""Topics of SNS: ids, batches of which a part fails, order in FIFO topics, sizes; moto."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.aws.access import Access
from runtime.aws.client import Client
from runtime.aws.retry import Budget
from runtime.errors import QueryError
from runtime.live.sinks import sns_sink
from runtime.live.sinks.opened_sink import open_sink
from runtime.live.sinks.sink import Delivery, SinkUnavailable, as_json
from runtime.live.sinks.sns_sink import SnsSink

ARN = "arn:aws:sns:eu-west-1:123456789012:t"


def events(count: int, size: int = 5) -> tuple[dict[str, Any], ...]:
    return tuple({"id": f"n/e/1/{i}", "new": {"k": "ä\n\x07", "text": "x" * size}} for i in range(1, count + 1))


class Topic:
    """A topic in memory, with the method of boto3 that the sink uses: as documented, of at most ten messages and
    262,144 bytes; ``refused`` are those that the next requests do not take, with the reason."""

    def __init__(self) -> None:
        self.requests: list[list[dict[str, Any]]] = []
        self.taken: list[dict[str, Any]] = []
        self.refused: list[dict[str, dict[str, Any]]] = []
        self.errors: list[Exception] = []

    def publish_batch(self, TopicArn: str, PublishBatchRequestEntries: list[dict[str, Any]]) -> Any:  # noqa: N803
        if self.errors:
            raise self.errors.pop(0)
        batch = PublishBatchRequestEntries
        assert TopicArn == ARN or TopicArn == f"{ARN}.fifo"
        assert 0 < len(batch) <= 10
        assert sum(_size(entry) for entry in batch) <= 262_144
        assert len({entry["Id"] for entry in batch}) == len(batch)
        self.requests.append(batch)
        refused = self.refused.pop(0) if self.refused else {}
        failed = [{"Id": e["Id"], **refused[id_of(e)]} for e in batch if id_of(e) in refused]
        good = [e for e in batch if id_of(e) not in refused]
        self.taken += good
        return {"Successful": [{"Id": e["Id"]} for e in good], "Failed": failed}


def id_of(entry: dict[str, Any]) -> str:
    return str(entry["MessageAttributes"]["id"]["StringValue"])


def _size(entry: dict[str, Any]) -> int:
    """As SNS counts: the message, and names, types and values of its attributes."""
    attributes = entry["MessageAttributes"].items()
    return len(entry["Message"].encode()) + sum(
        len(name) + len(a["DataType"]) + len(a["StringValue"]) for name, a in attributes
    )


def sink(topic: Topic, arn: str = ARN) -> SnsSink:
    client = Client("sns", Access(), Budget(seconds=0))
    client._client = topic
    return SnsSink(arn, client)


def test_a_message_for_each_event() -> None:
    topic = Topic()
    sink(topic).deliver(Delivery("n/e/1", events(23)))
    assert [len(batch) for batch in topic.requests] == [10, 10, 3]
    assert [(id_of(e), json.loads(e["Message"])) for e in topic.taken] == [(e["id"], e) for e in events(23)]
    assert "MessageGroupId" not in topic.taken[0]


def test_large_events_are_several_requests() -> None:
    topic = Topic()
    sink(topic).deliver(Delivery("n/e/1", events(9, 60_000)))
    assert [len(batch) for batch in topic.requests] == [4, 4, 1]
    assert [id_of(e) for e in topic.taken] == [e["id"] for e in events(9)]


@pytest.mark.parametrize("more", [0, 1])
def test_the_largest_event(more: int) -> None:
    topic = Topic()
    one = events(1)[0]
    room = 262_144 - len(as_json(one)) - len("id") - len("String") - len(one["id"])
    (large,) = events(1, 5 + room + more)
    delivery = Delivery("n/e/1", ({**one, "id": "n/e/1/0"}, large))
    if more:
        with pytest.raises(QueryError, match=r"does not take event n/e/1/1: it has 262,145 bytes, a message of SNS at"):
            sink(topic).deliver(delivery)
        assert topic.taken == []  # nothing of a delivery that cannot be whole
    else:
        sink(topic).deliver(delivery)
        assert [len(e) for e in topic.requests] == [1, 1]


def test_a_fifo_topic_has_the_order() -> None:
    topic = Topic()
    topic.refused = [{}, {"n/e/1/2": {"SenderFault": False, "Code": "InternalError"}}]
    one = sink(topic, f"{ARN}.fifo")
    with pytest.raises(SinkUnavailable, match="n/e/1/2: InternalError"):
        one.deliver(Delivery("n/e/1", events(4)))
    one.deliver(Delivery("n/e/1", events(4), is_again=True))
    assert [id_of(e) for e in topic.taken] == [e["id"] for e in events(4)]
    assert {e["MessageGroupId"] for e in topic.taken} == {"n"}
    assert [e["MessageDeduplicationId"] for e in topic.taken] == [
        hashlib.sha256(e["id"].encode()).hexdigest() for e in events(4)
    ]


def test_only_what_failed_is_sent_again() -> None:
    topic = Topic()
    away = {"SenderFault": False, "Code": "Throttled", "Message": "slower"}
    topic.refused = [{"n/e/1/3": away, "n/e/1/7": away}, {"n/e/1/7": away}]
    one = sink(topic)
    for _ in range(2):
        with pytest.raises(SinkUnavailable, match=r"t does not take event n/e/1/[37]: Throttled slower"):
            one.deliver(Delivery("n/e/1", events(8)))
    one.deliver(Delivery("n/e/1", events(8), is_again=True))
    assert [[id_of(e)[-1] for e in batch] for batch in topic.requests] == [list("12345678"), ["3", "7"], ["7"]]
    assert sorted(id_of(e) for e in topic.taken) == [e["id"] for e in events(8)]
    one.deliver(Delivery("n/e/2", events(1)))  # another delivery
    assert len(topic.taken) == 9


def test_another_process_sends_all_again() -> None:
    topic = Topic()
    for _ in range(2):
        sink(topic).deliver(Delivery("n/e/1", events(2)))
    assert topic.requests[0] == topic.requests[1]


def test_an_event_that_a_topic_refuses() -> None:
    topic = Topic()
    topic.refused = [{"n/e/1/2": {"SenderFault": True, "Code": "InvalidParameter", "Message": "why"}}]
    with pytest.raises(QueryError, match=r"t does not take event n/e/1/2: InvalidParameter why") as raised:
        sink(topic).deliver(Delivery("n/e/1", events(3)))
    assert not isinstance(raised.value, SinkUnavailable)


@pytest.mark.parametrize(
    ("status", "code", "is_away"),
    [(500, "InternalError", True), (400, "Throttling", True), (404, "NotFound", False), (403, "AccessDenied", False)],
)
def test_a_topic_that_is_away_or_refuses(status: int, code: str, is_away: bool) -> None:
    errors = pytest.importorskip("botocore.exceptions")
    topic = Topic()
    answer = {"Error": {"Code": code, "Message": "said"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    topic.errors = [errors.ClientError(answer, "PublishBatch")]
    with pytest.raises(QueryError, match=f"cannot publish to {ARN}") as raised:
        sink(topic).deliver(Delivery("n/e/1", events(1)))
    assert isinstance(raised.value, SinkUnavailable) == is_away
    assert ("nothing is lost" in str(raised.value)) != is_away


@given(
    st.lists(st.sampled_from([1, 1, 1, 30_000, 150_000]), min_size=1, max_size=30),
    st.lists(st.tuples(st.sets(st.integers(1, 30)), st.booleans()), max_size=6),
    st.sampled_from(["", ".fifo"]),
)
def test_all_come_whatever_fails(sizes: list[int], failures: list[tuple[set[int], bool]], ending: str) -> None:
    """Requests of which some entries fail, and processes that end after that."""
    topic = Topic()
    away = {"SenderFault": False, "Code": "InternalError"}
    topic.refused = [{f"n/e/1/{n}": away for n in failed} for failed, _ in failures]
    restarts = iter([is_killed for _, is_killed in failures])
    delivery = Delivery("n/e/1", tuple({"id": f"n/e/1/{n}", "x": "x" * s} for n, s in enumerate(sizes, 1)))
    one = sink(topic, ARN + ending)
    while True:
        try:
            one.deliver(delivery)
            break
        except SinkUnavailable:
            if next(restarts, False):
                one = sink(topic, ARN + ending)
    first: dict[str, str] = {}
    for entry in topic.taken:
        assert first.setdefault(id_of(entry), entry["Message"]) == entry["Message"]
    assert {id: json.loads(text) for id, text in first.items()} == {e["id"]: e for e in delivery.events}
    assert not ending or list(first) == [e["id"] for e in delivery.events]


# ---- moto


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    moto = pytest.importorskip("moto")
    for name, value in (("ACCESS_KEY_ID", "x"), ("SECRET_ACCESS_KEY", "x"), ("DEFAULT_REGION", "eu-west-1")):
        monkeypatch.setenv(f"AWS_{name}", value)
    with moto.mock_aws():
        yield pytest.importorskip("boto3")


@pytest.mark.parametrize("ending", ["", ".fifo"])
@pytest.mark.parametrize("is_arn", [False, True])
def test_what_comes_to_a_queue(aws: Any, ending: str, is_arn: bool) -> None:
    fifo = {"FifoQueue": "true"} if ending else {}
    queue = aws.client("sqs").create_queue(QueueName=f"q{ending}", Attributes=fifo)["QueueUrl"]
    arn = aws.client("sns").create_topic(
        Name=f"t{ending}", Attributes={"FifoTopic": "true"} if ending else {}
    )["TopicArn"]  # fmt: skip
    aws.client("sns").subscribe(
        TopicArn=arn, Protocol="sqs", Endpoint=f"arn:aws:sqs:eu-west-1:123456789012:q{ending}",
    )  # fmt: skip
    opened = open_sink(f"sns://{arn if is_arn else f't{ending}'}", {})
    for again in (False, True):
        opened.deliver(Delivery("n/e/1", events(12), is_again=again))
    opened.close()
    found = []
    while some := aws.client("sqs").receive_message(QueueUrl=queue, MaxNumberOfMessages=10).get("Messages"):
        found += [json.loads(message["Body"]) for message in some]
        for message in some:
            aws.client("sqs").delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
    came = [(one["MessageAttributes"]["id"]["Value"], json.loads(one["Message"])) for one in found]
    wanted = [(e["id"], e) for e in events(12)]
    assert {id for id, _ in came} == {id for id, _ in wanted}
    assert all(one in wanted for one in came)


def test_a_topic_that_is_not_there(aws: Any) -> None:
    with pytest.raises(QueryError, match=r"cannot publish to arn:aws:sns:eu-west-1:123456789012:nothing \(sns\): NotF"):
        open_sink("sns://nothing", {}).deliver(Delivery("n/e/1", events(1)))


@pytest.mark.parametrize(
    ("address", "settings", "said"),
    [
        ("sns://", {}, "names no topic of SNS: give sns://arn:aws:sns:REGION:ACCOUNT:TOPIC, or sns://TOPIC"),
        ("sns://arn:aws:sqs:eu-west-1:123456789012:t", {}, "names no topic of SNS"),
        ("sns://a/b", {}, "names no topic of SNS"),
        ("sns://t", {"regoin": "x"}, "no setting regoin of a topic of SNS; did you mean 'region'"),
        ("sns://t", {"profile": "nowhere-at-all"}, "check ~/.aws/config and the name"),
    ],
)
def test_mistakes(aws: Any, address: str, settings: dict[str, str], said: str) -> None:
    with pytest.raises(QueryError, match=said):
        open_sink(address, settings)


# ---- mutants


MUTANTS = {
    "the id is not that of the event": lambda patch: patch.setattr(
        SnsSink, "_entry", lambda self, id, message, of=SnsSink._entry: of(self, id[:-1], message)
    ),
    "a batch has eleven": lambda patch: patch.setattr(sns_sink, "_MESSAGES", 11),
    "a batch is too large": lambda patch: patch.setattr(sns_sink, "_BYTES", 320_000),
    "what failed counts as taken": lambda patch: patch.setattr(
        SnsSink, "deliver", lambda self, delivery, of=SnsSink.deliver: _forgiving(self, delivery, of)
    ),
    "a fifo topic gets several at once": lambda patch: patch.setattr(sns_sink, "_FIFO", ".none"),
}


def _forgiving(self: Any, delivery: Delivery, deliver: Any) -> None:
    try:
        deliver(self, delivery)
    except SinkUnavailable:
        self._taken |= {str(event["id"]) for event in delivery.events}
        raise


@pytest.mark.parametrize("mutant", MUTANTS)
def test_mutants(monkeypatch: pytest.MonkeyPatch, mutant: str) -> None:
    MUTANTS[mutant](monkeypatch)
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        _laws()


def _laws() -> None:
    test_a_message_for_each_event()
    test_large_events_are_several_requests()
    test_a_fifo_topic_has_the_order()
    test_only_what_failed_is_sent_again()
