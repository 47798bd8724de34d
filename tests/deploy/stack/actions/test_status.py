"""What `dataflow status` says of what needs attention: why, and the command that mends it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import pytest

from deploy.cli import main
from deploy.commands.deploy import ago
from deploy.stack.actions import attention, status
from deploy.stack.actions.attention import AlarmStatus, FunctionState
from deploy.stack.actions.status import rejected_until
from runtime.aws.access import Access
from runtime.catalogue import Committed
from runtime.store import Store
from tests.deploy.stack.actions.conftest import STREAM, Fleet, event

ROW = b'{"k":"a","t":1700000000000}\n'


def whole(fleet: Fleet, capsys: pytest.CaptureFixture[str], code: int) -> tuple[dict[str, Any], str]:
    """The status as JSON and as text."""
    assert main(["status", "--name", "fleet", "--json"]) == code
    found = json.loads(capsys.readouterr().out)
    assert main(["status", "--name", "fleet"]) == code
    return found, capsys.readouterr().out


def test_nothing_needs_attention(fleet: Fleet, capsys: pytest.CaptureFixture[str]) -> None:
    fleet.store.ingest("s", BytesIO(ROW), progress=False, **STREAM)
    found, said = whole(fleet, capsys, 0)
    assert (found["ok"], found["attention"]) == (True, [])
    assert "attention" not in said
    (stream,) = found["streams"]
    assert (stream["rejected_last_day"], stream["dismissed"]) == (0, 0)
    assert 0 <= stream["age"] < 60


def test_quarantine_and_dead_letters(
    fleet: Fleet, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    # moto's stack has no queues, as it has no other parts of a deployment.
    resources = [("Alerts", "AWS::SNS::Topic", "t"), ("Queue", "AWS::SQS::Queue", "q")]
    monkeypatch.setattr("deploy.stack.actions.status.Stack.resources", lambda _: resources)
    fleet.store.ingest("s", BytesIO(ROW + b"{]\n" * 3), progress=False, **STREAM)
    for n in range(5):
        fleet.set_aside(fleet.land(f"p{n}", ROW), f"reason {n // 2}")
    found = fleet.land("dead", ROW)
    fleet.bury(event(found), "hello")
    said, text = whole(fleet, capsys, 1)
    quarantine = next(one for one in said["attention"] if one["kind"] == "quarantine")
    assert quarantine["what"] == "5 sources of s in quarantine"
    assert [why.partition(" (last: ")[0] for why in quarantine["why"]] == [
        "1 x reason 2",
        "2 x reason 1",
        "2 x reason 0",
    ]
    assert "landing/s/p4, 20" in quarantine["why"][0]
    assert quarantine["mend"] == (
        "dataflow quarantine list 's3://lake/store?table=fleet-catalogue' --stream s; then retry or dismiss them"
    )
    dead = next(one for one in said["attention"] if one["kind"] == "dead letters")
    assert dead["what"].startswith("2 dead letters")
    assert dead["why"][-1] == found.name
    assert "which is no S3 event" in dead["why"][0]
    assert said["streams"][0]["rejected_last_day"] == 3
    for line in (quarantine["what"], f"    -> {quarantine['mend']}", f"    {found.name}"):
        assert line in text
    assert len(fleet.waiting("dead")) == 2  # a look changes nothing
    fleet.store.dismiss(fleet.store.quarantined())
    said, text = whole(fleet, capsys, 1)
    assert [one["kind"] for one in said["attention"]] == ["dead letters"]
    assert (said["streams"][0]["quarantined"], said["streams"][0]["dismissed"]) == (5, 5)
    assert "dismissed" in text


def test_a_stack_that_was_rolled_back() -> None:
    (one,) = attention.of_stack("fleet", "UPDATE_ROLLBACK_COMPLETE", "Ingest (AWS::Lambda::Function): no memory")
    assert one.why == ("Ingest (AWS::Lambda::Function): no memory",)
    assert "correct the cause, then dataflow deploy" in one.mend
    (one,) = attention.of_stack("fleet", "ROLLBACK_COMPLETE", "")
    assert one.mend == "dataflow destroy --name fleet, then dataflow deploy"
    assert list(attention.of_stack("fleet", "UPDATE_COMPLETE", "")) == []


def test_the_reason_is_that_of_the_last_change(monkeypatch: pytest.MonkeyPatch) -> None:
    from deploy.stack.actions.change_sets import Stack
    from tests.deploy.stack.fake_aws import install

    def line(number: int, of: str, state: str, why: str = "") -> dict[str, Any]:
        kind = "AWS::CloudFormation::Stack" if of == "fleet" else "AWS::Lambda::Function"
        return {
            "EventId": str(number), "LogicalResourceId": of, "ResourceType": kind, "ResourceStatus": state,
            "ResourceStatusReason": why,
        }  # fmt: skip

    events = [
        line(1, "fleet", "CREATE_IN_PROGRESS"), line(2, "Query", "CREATE_FAILED", "an old fault"),
        line(3, "fleet", "UPDATE_IN_PROGRESS"), line(4, "Query", "UPDATE_FAILED", "too much memory."),
        line(5, "Ingest", "UPDATE_FAILED", "Resource update cancelled"),
        line(6, "fleet", "UPDATE_ROLLBACK_IN_PROGRESS"),
    ]  # fmt: skip
    aws = install(monkeypatch)
    aws.answers["describe_stack_events"] = lambda **_: {"StackEvents": events[::-1]}
    assert Stack("fleet", Access()).last_failure() == "Query (AWS::Lambda::Function): too much memory"


def test_functions() -> None:
    found = [
        FunctionState("a", "Active", "Successful"), FunctionState("b", "Inactive"), FunctionState("c", ""),
        FunctionState("d", "Failed", "Failed", ("no role",)), FunctionState("e", "Active", "Failed", ("bad zip",)),
        FunctionState("f", "Pending"),
    ]  # fmt: skip
    said = list(attention.of_functions(found))
    assert [one.what for one in said] == [
        "the function d: Failed", "the function e: its update is Failed", "the function f: Pending",
    ]  # fmt: skip
    assert [one.mend for one in said] == ["dataflow deploy", "dataflow deploy", "wait a minute"]
    assert said[0].why == ("no role",)


def test_alarms() -> None:
    found = {
        "fleet-Dead-X": AlarmStatus("DeadLettersAlarm", "ALARM", "Ingest failed.", "1 > 0.", "2024-03-01 00:00:00"),
        "fleet-New-X": AlarmStatus("SomethingNew", "ALARM", "Do this."),
        "fleet-Ok-X": AlarmStatus("QuarantineAlarm", "OK"),
    }
    dead, new = attention.of_alarms("fleet", "s3://b/store", found)
    assert dead.why == ("Ingest failed.", "1 > 0 (since 2024-03-01 00:00:00)")
    assert dead.mend == "dataflow redrive --name fleet --list"
    assert (new.why, new.mend) == (("Do this.",), "as its description says")
    logged = AlarmStatus("IngestErrorsAlarm", "ALARM")
    (one,) = attention.of_alarms("fleet", "", {"a": logged})
    assert one.mend == "aws logs tail /aws/lambda/fleet-ingest --since 1d --filter-pattern '?error ?timed ?timeout'"


def test_every_alarm_of_the_template_has_a_way_out() -> None:
    """A command, or a description that says what to do."""
    from deploy.stack.resources.alarms import watch
    from deploy.stack.settings import parse

    settings = parse('[deployment]\nname = "fleet"\n\n[streams.s]\nkey = "k"\ntime = "t"\nunit = "ms"\n')
    for logical, resource in watch(settings).items():
        if resource.type == "AWS::CloudWatch::Alarm":
            says = str(resource.properties["AlarmDescription"])
            (one,) = attention.of_alarms("fleet", "s3://b/store", {logical: AlarmStatus(logical, "ALARM", says)})
            assert one.why[0] == says
            assert one.mend


def test_reasons_of_several_lines_are_one_line() -> None:
    one = attention.Attention("alarm", "a", ("x\n\x1b[2J",), "m")
    assert str(one).split("\n") == ["a", r"    x\n\x1b[2J", "    -> m"]


@pytest.mark.parametrize("commits", [0, 1, 2, 7, 16])
def test_rejects_as_of_a_moment(aws: None, commits: int) -> None:
    """As a search of all commits has it, for every moment."""
    now = [10]
    store = Store("s3://lake/x?table=rejects", create=True)
    catalogue: Any = store.catalogue
    catalogue._clock = lambda: now[0]
    from runtime.testing.contracts.catalogue_contract import SCHEMA, source

    for n in range(commits):
        now[0] += n % 3
        entry = source(str(n), rejected=n)
        assert isinstance(catalogue.commit("s", SCHEMA, entry, [], f"a{n}"), Committed)
    records = list(catalogue.records("s")) if commits else []
    for moment in range(8, now[0] + 2):
        expected = [record.totals.rejected for record in records if record.at <= moment]
        assert rejected_until(catalogue, "s", commits, moment) == (expected[-1] if expected else 0)


def test_the_age_of_the_oldest_message(monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.deploy.stack.fake_aws import install, refused

    aws = install(monkeypatch)
    points = [{"Timestamp": datetime(2024, 3, 1, 0, n, tzinfo=UTC), "Maximum": 60.0 * n} for n in (2, 5, 3)]
    aws.answers["get_metric_statistics"] = lambda **_: {"Datapoints": points}
    assert attention.age_of_oldest("q", Access(), 1_709_251_800.0) == 300
    points.clear()
    assert attention.age_of_oldest("q", Access(), 1_709_251_800.0) is None

    def denied(**_: object) -> None:
        raise refused("AccessDenied", "no", 403)

    aws.answers["get_metric_statistics"] = denied
    assert attention.age_of_oldest("q", Access(), 1_709_251_800.0) is None


def test_ages() -> None:
    assert [ago(n) for n in (0, 119, 120, 7_200, 172_800)] == ["0 s", "119 s", "2 min", "2 h", "2 days"]
    assert status.DAY == 86_400 * 10**6
