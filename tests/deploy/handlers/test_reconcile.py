"""Reconcile: lost events are enqueued again, in bounded runs, and nothing is committed twice."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest

from deploy.handlers import reconcile, waiting
from deploy.handlers.ingest import handler as ingest_handler
from deploy.handlers.logs import Invocation
from deploy.handlers.reconcile import Reconciler, handler, since_of
from deploy.handlers.waiting import QueueWatch
from deploy.passes import Pass, iso, moment, passes
from operators.errors import DataflowError
from runtime.aws.access import Access
from runtime.aws.client import Client, ServiceFault
from runtime.store import Store
from tests.deploy.handlers.deployed import Context, Lines, T, batch, event, failures, land, numbers, records
from tests.runtime.faults import Faults

ALL = {"since": "all"}


@pytest.fixture(autouse=True)
def _old_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "SETTLED", timedelta(seconds=-5))
    monkeypatch.setattr(waiting, "_LAG", timedelta(0))


def messages() -> list[str]:
    """The bodies of the messages in the queue, which are taken out of it."""
    sqs = boto3.client("sqs")
    (url,) = sqs.list_queues(QueueNamePrefix="arrivals")["QueueUrls"]
    found: list[str] = []
    while received := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
        found += [m["Body"] for m in received]
        for m in received:
            sqs.delete_message(QueueUrl=url, ReceiptHandle=m["ReceiptHandle"])
    return found


def reconciler(left: Context | None = None, **options: Any) -> Reconciler:
    import os

    store = Store.shared(os.environ["ANTFOLD_STORE"])
    run, sqs = Invocation(left), Client("sqs", Access())
    watch = QueueWatch(run, sqs, Client("cloudwatch", Access()), os.environ["ANTFOLD_QUEUE"], "waiting")
    return Reconciler(run, store, Client("s3", Access()), sqs, watch, **options)


def test_a_lost_event(deployed: Store, lines: Callable[[], Lines]) -> None:
    landed = [land(f"in/s/2024/03/0{i} +%ü/x", records(i)) for i in range(1, 5)]
    land("in/unknown/a", records(9))
    land("in/s/", b"")
    assert failures(ingest_handler(batch(event(landed[0]), event(landed[2])), Context())) == []
    assert failures(ingest_handler(batch(event(land("in/s/bad", b"\0")), received=2), Context())) == []
    lines()
    reply = handler(ALL, Context())
    assert reply == {
        "listed": 7, "enqueued": 2, "queued": 0, "known": 2, "quarantined": 1, "young": 0, "older": 0, "unknown": 1,
        "after": None, "complete": True, "since": "0001-01-01T00:00:00.000000Z",
    }  # fmt: skip
    assert lines().metric("ObjectsEnqueued") == 2
    again = handler(ALL, Context())  # they wait already
    assert (again["enqueued"], again["queued"], again["complete"]) == (0, 2, False)
    assert [line["queued"] for line in lines().of("nothing enqueued")] == [2]
    bodies = messages()
    assert len(bodies) == 2
    assert failures(ingest_handler(batch(*bodies), Context())) == []
    assert numbers() == Counter([1, 2, 3, 4])
    assert handler(ALL, Context())["enqueued"] == 0
    assert handler(ALL | {"quarantined": True}, Context())["enqueued"] == 1


def test_recent_and_settled(deployed: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    land("in/s/a", records(1))
    later = (datetime.now(UTC) + timedelta(hours=1)).isoformat()
    assert handler({"since": later}, Context())["older"] == 1
    monkeypatch.setattr(waiting, "SETTLED", timedelta(minutes=15))
    assert handler(ALL, Context())["young"] == 1
    assert messages() == []
    assert since_of("2024-03-01") == datetime(2024, 3, 1, tzinfo=UTC)
    assert moment(iso(since_of("all"))) == since_of("all")
    with pytest.raises(DataflowError, match="'yesterday' is not a time"):
        handler({"since": "yesterday"}, Context())


def test_after_thirty_days(deployed: Store) -> None:
    """An object that arrived while nothing was deployed, or while functions were stopped, is found."""
    assert failures(ingest_handler(batch(event(land("in/s/a", records(1)))), Context())) == []
    assert handler({}, Context())["complete"]
    land("in/s/b", records(2))
    then = datetime.now(UTC) + timedelta(days=30)
    one = reconciler(clock=lambda: then)
    found, after = one.run_from(one.begun(), "", False)
    assert (found.counts["known"], found.counts["enqueued"], found.counts["older"], after) == (1, 1, 0, None)
    assert found.oldest is not None
    assert found.oldest.object == "s3://landing/in/s/b"
    assert failures(ingest_handler(batch(*messages()), Context())) == []
    assert numbers() == Counter([1, 2])


def test_an_alarm_that_rings(deployed: Store, lines: Callable[[], Lines]) -> None:
    """Messages are old, so that of any object may wait: nothing is enqueued, and the next pass covers the same."""
    land("in/s/a", records(1))
    boto3.client("sqs").send_message(QueueUrl=reconciler().watch.queue, MessageBody="{}")
    boto3.client("cloudwatch").set_alarm_state(AlarmName="waiting", StateValue="ALARM", StateReason="old")
    reply = handler({}, Context())
    assert (reply["enqueued"], reply["queued"], reply["complete"]) == (0, 1, False)
    (line,) = lines().of("nothing enqueued")
    assert (line["level"], line["queued"], line["oldest"]) == ("warning", 1, "s3://landing/in/s/a")
    note = passes(deployed.catalogue, "s3://landing/in")
    assert (note.complete, note.enqueued) == (None, None)
    assert note.last is not None
    assert note.last.counts["queued"] == 1
    boto3.client("cloudwatch").set_alarm_state(AlarmName="waiting", StateValue="OK", StateReason="new")
    one = reconciler(clock=lambda: datetime.now(UTC) + timedelta(hours=1))
    found, _ = one.run_from(one.begun(), "", False)
    assert (found.counts["enqueued"], found.is_complete) == (1, True)


def test_in_many_runs(deployed: Store) -> None:
    """A run ends when its time does, and the next goes on behind it; together they find all."""
    for i in range(25):
        land(f"in/s/{i:02}", records(i))
    after, runs = "", 0
    found = reconciler().begun()
    while True:
        found, rest = reconciler(Context(1), page=10).run_from(found, after, False)
        runs += 1
        assert (found.ended is None) == (rest is not None)
        if rest is None:
            break
        after = rest
    assert (runs, found.counts["enqueued"], found.counts["listed"]) == (3, 25, 25)
    bodies = messages()
    assert len(bodies) == 25
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
    ((function, rest),) = sent
    assert (function, rest["quarantined"], rest["after"]) == (Context.invoked_function_arn, True, "in/s/1")
    assert (reply["after"], reply["complete"]) == ("in/s/1", False)
    assert passes(deployed.catalogue, "s3://landing/in").complete is None
    reply = handler(rest, Context(1))
    assert (reply["after"], reply["complete"], reply["enqueued"]) == (None, True, 4)
    complete = passes(deployed.catalogue, "s3://landing/in").complete
    assert complete is not None
    assert complete.begun == Pass.from_dict(rest["pass"]).begun


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
    begun = one.begun()
    found, _ = one.run_from(begun, "", False)
    assert found.counts["enqueued"] == 12
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
    one.run_from(begun, "", False)
    assert sizes == [10, 3, 2]
    one.sqs.boto.send_message_batch = lambda **_: {"Failed": [], "Successful": []}
    with pytest.raises(ServiceFault, match="refused 10 messages"):
        one.run_from(begun, "", False)


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
        assert failures(ingest_handler(batch(*messages()), Context())) == []
        assert numbers() == Counter(found)
    assert handler(ALL, Context())["enqueued"] == 0
    assert deployed.catalogue.snapshot("s").rejected == 0
