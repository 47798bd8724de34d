"""Dead letters: why they are there, and that none is ever lost, whatever interrupts their way back."""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any

import boto3
import pytest

from deploy.handlers.events import Landed
from deploy.stack.actions import dead_letters
from deploy.stack.actions.change_sets import DeployError
from deploy.stack.actions.dead_letters import ChosenLetters, Redrive
from deploy.stack.actions.deployed import DeployedParts
from deploy.stack.actions.queues import DeployedQueue
from runtime.aws.access import Access
from runtime.aws.client import ServiceFault
from runtime.aws.retry import Fault
from runtime.errors import QueryError
from runtime.ingest import StreamInput
from tests.deploy.stack.actions.conftest import LANDING, STREAM, Fleet, event

ROW = b'{"k":"a","t":1700000000000}\n'


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dead_letters, "_WAIT", 0)


@pytest.fixture
def buried(fleet: Fleet) -> dict[str, str]:
    """One dead letter of each kind; their bodies."""
    found = {name: fleet.land(name, ROW + name.encode()) for name in ("taken", "poison", "failed", "quiet", "begun")}
    given = StreamInput(BytesIO(ROW), found["taken"].name, identity=found["taken"].identity)
    fleet.store.ingest("s", given, progress=False, **STREAM)
    fleet.set_aside(found["poison"], "it is damaged")
    found["gone"] = Landed(LANDING, "landing/s/gone", 5, "e")
    found["replaced"] = Landed(LANDING, "landing/s/failed", 5, "other")
    found["undeclared"] = fleet.land("x", ROW, "S")
    fleet.log(
        {
            "event": "failed",
            "level": "error",
            "object": found["failed"].name,
            "error": "StoreError",
            "message": "first",
        },
        {"event": "failed", "level": "error", "object": found["failed"].name, "error": "StoreError", "message": "last"},
        {"event": "failed", "level": "error", "object": "s3://other", "error": "StoreError", "message": "other"},
        {"event": "begins", "level": "info", "object": found["begun"].name},
    )
    bodies = {name: event(one) for name, one in found.items()} | {"foreign": "hello"}
    fleet.bury(*bodies.values())
    return bodies


def reasons(report: Any) -> dict[str, str]:
    return {letter.message.body: letter.state.why for letter in report.letters}


def test_each_has_its_reason(fleet: Fleet, buried: dict[str, str]) -> None:
    report = Redrive(fleet.parts).listed()
    found = reasons(report)
    assert found[buried["taken"]] == "ingested meanwhile"
    assert found[buried["poison"]] == "in quarantine: it is damaged"
    assert found[buried["failed"]] == "StoreError: last"
    assert "its log has no line of it: out of time or memory, perhaps; see the log" in found[buried["quiet"]]
    assert "ingest began it and never said how it ended (begins)" in found[buried["begun"]]
    assert found[buried["gone"]] == "the object was deleted or replaced since: its replacement has its own event"
    assert found[buried["replaced"]] == found[buried["gone"]]
    assert "the stream S is not declared; did you mean 's'? There are s: add [streams.S]" in found[buried["undeclared"]]
    assert "a message that is not an S3 event" in found[buried["foreign"]]
    assert fleet.waiting("dead") == sorted(buried.values())  # all are there, and visible, as before
    assert fleet.waiting("ingest") == []
    one = next(letter for letter in report.letters if letter.message.body == buried["failed"]).to_dict()
    assert (one["objects"], one["received"], one["done"]) == ([f"s3://{LANDING}/landing/s/failed"], 1, "listed")


def test_moved_deleted_or_left(fleet: Fleet, buried: dict[str, str]) -> None:
    report = Redrive(fleet.parts).moved()
    done = {letter.message.body: letter.done for letter in report.letters}
    left = {buried["undeclared"], buried["foreign"]}
    assert {body for body, what in done.items() if what == "left"} == left
    assert [body for body, what in done.items() if what == "deleted"] == [buried["taken"]]
    moved = set(buried.values()) - left - {buried["taken"]}
    assert fleet.waiting("ingest") == sorted(moved)
    assert fleet.waiting("dead") == sorted(left)
    assert (report.count("moved"), report.count("deleted"), report.count("left")) == (len(moved), 1, 2)


def test_only_those_that_are_chosen(fleet: Fleet, buried: dict[str, str]) -> None:
    Redrive(fleet.parts).moved(ChosenLetters(reason="StoreError"))
    assert fleet.waiting("ingest") == [buried["failed"]]
    Redrive(fleet.parts).moved(ChosenLetters(("quiet", f"s3://{LANDING}/landing/s/begun")))
    assert fleet.waiting("ingest") == sorted(buried[name] for name in ("failed", "quiet", "begun"))
    assert len(fleet.waiting("dead")) == len(buried) - 3
    for act in (Redrive(fleet.parts).moved, Redrive(fleet.parts).listed):
        with pytest.raises(QueryError, match=r"no dead letter names 'poisn'; did you mean 'poison'\?"):
            act(ChosenLetters(("poisn", "taken")))
    assert len(fleet.waiting("dead")) == len(buried) - 3


@pytest.mark.parametrize("many", [1, 10, 25])
def test_more_than_a_batch(fleet: Fleet, many: int) -> None:
    bodies = [event(fleet.land(str(n), ROW)) for n in range(many)]
    fleet.bury(*bodies)
    assert len(Redrive(fleet.parts).listed().letters) == many
    assert Redrive(fleet.parts).moved().count("moved") == many
    assert (fleet.waiting("ingest"), fleet.waiting("dead")) == (sorted(bodies), [])


@pytest.mark.parametrize("method", ["send", "delete"])
def test_what_is_interrupted_loses_nothing(fleet: Fleet, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    """A message that was not sent stays; one that was sent and not deleted is in both, for an object counts once."""
    bodies = [event(fleet.land(str(n), ROW)) for n in range(3)]
    fleet.bury(*bodies)

    def broken(*_: object) -> None:
        raise ServiceFault(Fault.FINAL, "the line is cut.")

    with monkeypatch.context() as patch:
        patch.setattr(DeployedQueue, method, broken)
        with pytest.raises(ServiceFault, match="the line is cut"):
            Redrive(fleet.parts).moved()
    assert fleet.waiting("dead") == sorted(bodies)
    assert fleet.waiting("ingest") == ([] if method == "send" else sorted(bodies))
    assert Redrive(fleet.parts).moved().count("moved") == 3
    assert fleet.waiting("dead") == []


def test_a_killed_redrive_leaves_messages_that_reappear(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    fleet.bury(event(fleet.land("a", ROW)))
    assert len(DeployedQueue("fleet-dead", Access()).received(dead_letters.HELD)) == 1  # and is killed
    report = Redrive(fleet.parts).moved()
    assert (report.letters, report.in_flight) == ((), 1)
    assert 10 < dead_letters.HELD <= 600


def test_what_may_not_be_read_is_said(fleet: Fleet, monkeypatch: pytest.MonkeyPatch) -> None:
    from botocore.exceptions import ClientError

    from deploy.stack.actions import landed_objects

    fleet.bury(event(fleet.land("a", ROW)))

    def denied(**_: object) -> None:
        said = {"Code": "AccessDeniedException", "Message": "no"}
        raise ClientError({"Error": said, "ResponseMetadata": {"HTTPStatusCode": 400}}, "FilterLogEvents")  # type: ignore[typeddict-item]

    objects = landed_objects.LandedObjects(fleet.parts)
    monkeypatch.setattr(objects._logs.boto, "filter_log_events", denied)
    monkeypatch.setattr(dead_letters, "LandedObjects", lambda _: objects)
    (letter,) = Redrive(fleet.parts).listed().letters
    assert letter.state.why.startswith(
        "this identity may not search its log; see the log /aws/lambda/fleet-ingest: aws"
    )


def test_no_such_deployment(fleet: Fleet) -> None:
    with pytest.raises(DeployError, match="there is no queue other-dead in this account and region"):
        Redrive(DeployedParts("other", Access())).listed()
    boto3.client("sqs").create_queue(QueueName="other-dead")
    with pytest.raises(DeployError, match="there is no queue other-ingest"):
        Redrive(DeployedParts("other", Access())).moved()


def test_the_streams_that_ingest_was_given(monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.deploy.stack.fake_aws import install, refused

    aws = install(monkeypatch)
    held: dict[str, Any] = {"Environment": {"Variables": {"ANTFOLD_STREAMS": json.dumps({"s": STREAM})}}}
    aws.answers["get_function_configuration"] = lambda **_: held
    parts = DeployedParts("fleet", Access())
    assert parts.streams() == {"s": STREAM}
    held["Environment"] = {"Error": {"ErrorCode": "AccessDeniedException"}}  # no kms:Decrypt
    assert parts.streams() is None

    def denied(**_: object) -> None:
        raise refused("AccessDeniedException", "no", 403)

    aws.answers["get_function_configuration"] = denied
    assert parts.streams() is None
