"""A message that failed is delivered again in seconds and minutes."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any, cast

import boto3
import pytest

from deploy.handlers.ingest import handler
from deploy.handlers.logs import Invocation
from deploy.handlers.retries import LONGEST, Retries, wait_after
from runtime.aws.access import Access
from runtime.aws.client import Client, ServiceFault
from runtime.aws.retry import Fault
from runtime.store import Store
from tests.deploy.handlers.deployed import Context, Lines, event, failures, land, records


def test_waits() -> None:
    """Five receipts take less than the 15 minutes after which a message counts as old."""
    assert [wait_after(n) for n in (0, 1, 2, 3, 4, 5)] == [30, 30, 60, 120, 240, 480]
    assert wait_after(10**9) == LONGEST
    assert sum(map(wait_after, range(1, 5))) < 900


def asked(answer: Any = None) -> tuple[Any, list[Any]]:
    calls: list[Any] = []

    def change(**given: Any) -> Any:
        calls.append(given)
        if isinstance(answer, Exception):
            raise answer
        return answer or {}

    aws = SimpleNamespace(change_message_visibility_batch=change)
    return SimpleNamespace(call=lambda what, attempt: attempt(aws)), calls


def record(n: int, received: str = "1") -> dict[str, Any]:
    return {"messageId": f"m{n}", "receiptHandle": f"r{n}", "attributes": {"ApproximateReceiveCount": received}}


def test_ten_at_a_time_by_their_receipts() -> None:
    sqs, calls = asked()
    Retries(Invocation(), cast(Any, sqs), "queue").soon([record(n, str(n + 1)) for n in range(12)])
    assert [len(call["Entries"]) for call in calls] == [10, 2]
    first = [(e["ReceiptHandle"], e["VisibilityTimeout"]) for e in calls[0]["Entries"]][:3]
    assert first == [("r0", 30), ("r1", 60), ("r2", 120)]
    Retries(Invocation(), cast(Any, sqs), None).soon([record(1)])
    Retries(Invocation(), cast(Any, sqs), "queue").soon([])
    assert len(calls) == 2


@pytest.mark.parametrize(
    "answer", [ServiceFault(Fault.REFUSED, "denied"), {"Failed": [{"Id": "0", "Code": "InternalError"}]}]
)
def test_what_cannot_be_set_waits_longer(answer: Any, lines: Callable[[], Lines]) -> None:
    sqs, calls = asked(answer)
    Retries(Invocation(), cast(Any, sqs), "queue").soon([record(1)])
    assert len(calls) == 1
    assert [line["level"] for line in lines().of("retry not set")] == ["warning"]


def test_in_the_queue(deployed: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the one that failed; the other's time-out stays as it is, and Lambda deletes it."""
    sqs = boto3.client("sqs")
    url = sqs.get_queue_url(QueueName="arrivals")["QueueUrl"]
    for body in (event(land("in/s/a", records(1))), event(land("in/s/b", b"\0"))):
        sqs.send_message(QueueUrl=url, MessageBody=body)
    received = sqs.receive_message(
        QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=1800, AttributeNames=["ApproximateReceiveCount"]
    )["Messages"]
    given = [
        {"messageId": m["MessageId"], "receiptHandle": m["ReceiptHandle"], "body": m["Body"],
         "attributes": m["Attributes"]}
        for m in received
    ]  # fmt: skip
    changed: list[Any] = []
    real = Client.call

    def call(client: Client, what: str, attempt: Callable[[Any], Any]) -> Any:
        if client.service == "sqs":
            changed.append(what)
        return real(client, what, attempt)

    monkeypatch.setattr(Client, "call", call)
    failed = failures(handler({"Records": given}, Context()))
    assert len(failed) == len(changed) == 1
    monkeypatch.undo()
    assert Client("sqs", Access()).service == "sqs"
    sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=given[1]["receiptHandle"], VisibilityTimeout=0)
    (again,) = sqs.receive_message(QueueUrl=url, AttributeNames=["ApproximateReceiveCount"])["Messages"]
    assert again["Attributes"]["ApproximateReceiveCount"] == "2"
