"""Reconcile: lost events are enqueued again, in bounded runs, and nothing is committed twice."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest

from deploy.handlers import reconcile
from deploy.handlers.ingest import handler as ingest_handler
from deploy.handlers.logs import Invocation
from deploy.handlers.reconcile import Reconciler, handler, since_of
from operators.errors import DataflowError
from runtime.aws.access import Access
from runtime.aws.client import Client, ServiceFault
from runtime.store import Store
from tests.deploy.handlers.deployed import Context, Lines, T, batch, event, failures, land, numbers, records
from tests.runtime.faults import Faults

ALL = {"since": "all"}


@pytest.fixture(autouse=True)
def _old_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reconcile, "SETTLED", timedelta(seconds=-5))


def waiting() -> list[str]:
    """The bodies of the messages in the queue, which are taken out of it."""
    sqs = boto3.client("sqs")
    (url,) = sqs.list_queues()["QueueUrls"]
    found: list[str] = []
    while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        found += [m["Body"] for m in messages]
        for m in messages:
            sqs.delete_message(QueueUrl=url, ReceiptHandle=m["ReceiptHandle"])
    return found


def reconciler(left: Context | None = None, **options: Any) -> Reconciler:
    import os

    store = Store.shared(os.environ["ANTFOLD_STORE"])
    return Reconciler(Invocation(left), store, Client("s3", Access()), Client("sqs", Access()), **options)


def test_a_lost_event(deployed: Store, lines: Callable[[], Lines]) -> None:
    landed = [land(f"in/s/2024/03/0{i} +%ü/x", records(i)) for i in range(1, 5)]
    land("in/unknown/a", records(9))
    land("in/s/", b"")
    assert failures(ingest_handler(batch(event(landed[0]), event(landed[2])), Context())) == []
    assert failures(ingest_handler(batch(event(land("in/s/bad", b"\0")), received=2), Context())) == []
    lines()
    reply = handler(ALL, Context())
    assert reply == {
        "listed": 7, "enqueued": 2, "known": 2, "quarantined": 1, "young": 0, "older": 0, "unknown": 1, "after": None,
    }  # fmt: skip
    assert lines().metric("ObjectsEnqueued") == 2
    assert handler(ALL, Context())["enqueued"] == 2  # not ingested yet, so once more: that does no harm
    bodies = waiting()
    assert len(bodies) == 4
    assert failures(ingest_handler(batch(*bodies), Context())) == []
    assert numbers() == Counter([1, 2, 3, 4])
    assert handler(ALL, Context())["enqueued"] == 0
    assert handler(ALL | {"quarantined": True}, Context())["enqueued"] == 1


def test_recent_and_settled(deployed: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    land("in/s/a", records(1))
    assert handler({}, Context())["enqueued"] == 1
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    assert handler({"since": later}, Context())["older"] == 1
    monkeypatch.setattr(reconcile, "SETTLED", timedelta(minutes=15))
    assert handler(ALL, Context())["young"] == 1
    assert len(waiting()) == 1
    now = datetime(2024, 3, 5, tzinfo=UTC)
    assert since_of({}, now) == datetime(2024, 3, 3, tzinfo=UTC)
    assert since_of({"since": "2024-03-01"}) == datetime(2024, 3, 1, tzinfo=UTC)
    with pytest.raises(DataflowError, match="'yesterday' is not a time"):
        handler({"since": "yesterday"}, Context())
    with pytest.raises(DataflowError, match="not built yet"):
        handler({"compact": True}, Context())


def test_in_many_runs(deployed: Store) -> None:
    """A run ends when its time does, and the next goes on behind it; together they find all."""
    for i in range(25):
        land(f"in/s/{i:02}", records(i))
    after, runs, enqueued = "", 0, 0
    while True:
        counts, rest = reconciler(Context(1), page=10).run_from(since_of(ALL), after, False)
        enqueued, runs = enqueued + counts["ObjectsEnqueued"], runs + 1
        if rest is None:
            break
        after = rest
    assert (runs, enqueued) == (3, 25)
    counts, rest = reconciler(page=10).run_from(since_of(ALL), "", False)
    assert (counts["ObjectsListed"], rest) == (25, None)
    bodies = waiting()
    assert len(bodies) == 50
    assert failures(ingest_handler(batch(*bodies), Context())) == []
    assert numbers() == Counter(range(25))


def test_the_rest_is_for_another_invocation(deployed: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[str, dict[str, Any]]] = []

    class Lambda:
        def invoke(self, FunctionName: str, InvocationType: str, Payload: bytes) -> None:  # noqa: N803
            assert InvocationType == "Event"
            sent.append((FunctionName, json.loads(Payload)))

    real = Client.call

    def call(client: Client, what: str, attempt: Callable[[Any], Any]) -> Any:
        return attempt(Lambda()) if client.service == "lambda" else real(client, what, attempt)

    monkeypatch.setattr(Client, "call", call)
    monkeypatch.setattr(reconcile, "PAGE", 2)
    for i in range(4):
        land(f"in/s/{i}", records(i))
    reply = handler(ALL | {"quarantined": True}, Context(1))
    assert sent == [(Context.invoked_function_arn, {"since": "all", "quarantined": True, "after": "in/s/1"})]
    assert reply["after"] == "in/s/1"
    assert handler(sent[0][1], Context(1))["after"] is None


def test_a_caller_that_goes_on_itself(deployed: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is given the event to go on with; the counts are those of the pass so far."""
    monkeypatch.setattr(reconcile, "PAGE", 2)
    monkeypatch.setattr(reconcile, "_invoke_again", None)  # it would fail
    for i in range(5):
        land(f"in/s/{i}", records(i))
    reply = handler(ALL | {"alone": True}, Context(1))
    assert (reply["after"], reply["listed"]) == ("in/s/1", 2)
    reply = handler(reply["next"], Context(1))
    assert (reply["after"], reply["listed"], reply["enqueued"]) == ("in/s/3", 4, 4)
    reply = handler(reply["next"], Context(1))
    assert (reply["after"], reply["listed"], reply["enqueued"], "next" in reply) == (None, 5, 5, False)


def test_when_the_queue_fails(deployed: Store) -> None:
    """What it takes in part is sent in part again; what it never takes fails the run, for the next one to find."""
    for i in range(12):
        land(f"in/s/{i:02}", records(i))
    one = reconciler()
    faults = Faults(one.sqs)
    faults.lose("SendMessageBatch", 1)
    counts, _ = one.run_from(since_of(ALL), "", False)
    assert counts["ObjectsEnqueued"] == 12
    assert len(faults.waits) == 1

    one = reconciler()
    one.sqs.sleep = lambda _: None
    real = one.sqs.boto.send_message_batch
    sizes: list[int] = []

    def partly(QueueUrl: str, Entries: list[dict[str, str]]) -> Any:  # noqa: N803
        sizes.append(len(Entries))
        reply = real(QueueUrl=QueueUrl, Entries=Entries[:7])
        return {
            **reply,
            "Failed": [{"Id": e["Id"], "SenderFault": False, "Code": "InternalError"} for e in Entries[7:]],
        }

    one.sqs.boto.send_message_batch = partly
    one.run_from(since_of(ALL), "", False)
    assert sizes == [10, 3, 2]
    one.sqs.boto.send_message_batch = lambda **_: {"Failed": [], "Successful": []}
    with pytest.raises(ServiceFault, match="refused 10 messages"):
        one.run_from(since_of(ALL), "", False)


def test_rows_that_were_ahead_of_the_clock_come_again(deployed: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """An object that was ingested while the clock was behind is enqueued when it is right, for just those rows."""
    from runtime.ingest import resume
    from runtime.ingest.columns import event_times

    landed = land("in/s/a", records(1, 2_000_000, 3))
    for latest, found, enqueued in ((T + 10, [1, 3], 0), (T + 20, [1, 3], 0), (T + 3_000_000, [1, 3, 2_000_000], 1)):
        for module in (event_times, resume):
            monkeypatch.setattr(module, "latest_time", lambda latest=latest: latest * 1000)
        if latest == T + 10:
            assert failures(ingest_handler(batch(event(landed)), Context())) == []
        assert handler(ALL, Context())["enqueued"] == enqueued
        assert failures(ingest_handler(batch(*waiting()), Context())) == []
        assert numbers() == Counter(found)
    assert handler(ALL, Context())["enqueued"] == 0
    assert deployed.catalogue.snapshot("s").rejected == 0
