"""Shifts to a new version: watched, finished, or taken back with the reason; on a fake of AWS that keeps one stack."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from deploy.stack.actions import artifacts, create, rollback
from deploy.stack.actions.change_sets import DeployError
from deploy.stack.actions.create import Deployment
from deploy.stack.actions.rollback import Rollback, RolledBack
from deploy.stack.actions.watch import PAUSE, Watch
from deploy.stack.resources.versions import Deployed
from deploy.stack.settings import StackSettings, StreamSettings
from runtime.aws.access import Access
from tests.deploy.stack.fake_aws import Aws, install, refused

SETTINGS = StackSettings(name="fleet", region="eu-west-1")
ACCESS = Access(region="eu-west-1")


class Cloud:
    """One stack, its bucket and alarms. ``failing`` is called with each template that is applied."""

    def __init__(self, aws: Aws) -> None:
        self.template: dict[str, Any] | None = None
        self.parameters: dict[str, str] = {}
        self.proposed: tuple[dict[str, Any], dict[str, str]] | None = None
        self.objects: dict[str, bytes] = {}
        self.applied: list[dict[str, Any]] = []
        self.failing: Callable[[dict[str, Any]], bool] = lambda _: False
        self.alarms: dict[str, str] = {}
        self.status = "CREATE_COMPLETE"
        self.events: list[dict[str, Any]] = []
        aws.answers = {
            name: getattr(self, name)
            for name in dir(self)
            if not name.startswith("_") and callable(getattr(self, name))
        }
        aws.answers |= dict.fromkeys(("delete_change_set", "head_bucket"), lambda **_: {})
        aws.answers["get_function_concurrency"] = lambda **_: {}
        aws.answers["get_caller_identity"] = lambda: {"Account": "111122223333"}
        aws.answers["get_account_settings"] = lambda: {"AccountLimit": {"ConcurrentExecutions": 1_000}}

    def describe_stacks(self, **_: str) -> Any:
        if self.template is None:
            raise refused("ValidationError", "Stack with id fleet does not exist")
        parameters = [{"ParameterKey": k, "ParameterValue": v} for k, v in self.parameters.items()]
        made = {"CreationTime": datetime(2024, 3, 1, tzinfo=UTC), "Tags": [{"Key": "antfold", "Value": "fleet"}]}
        return {"Stacks": [{"StackStatus": self.status, "Parameters": parameters, **made}]}

    def get_template(self, **_: str) -> Any:
        return {"TemplateBody": self.template}

    def create_change_set(self, **given: Any) -> Any:
        body = given.get("TemplateBody") or self.objects[given["TemplateURL"].partition(".com/")[2]].decode()
        self.proposed = json.loads(body), {p["ParameterKey"]: p["ParameterValue"] for p in given["Parameters"]}
        return {}

    def describe_change_set(self, **_: Any) -> Any:
        assert self.proposed is not None
        template, parameters = self.proposed
        same = template["Resources"] == (self.template or {}).get("Resources") and parameters == self.parameters
        change = {"Action": "Modify", "LogicalResourceId": "x", "ResourceType": "y"}
        reason = {"Status": "FAILED", "StatusReason": "The submitted information didn't contain changes."}
        return reason if same else {"Status": "CREATE_COMPLETE", "Changes": [{"ResourceChange": change}]}

    def execute_change_set(self, **_: Any) -> Any:
        assert self.proposed is not None
        self.applied.append(self.proposed[0])
        if self.failing(self.proposed[0]):
            self.status = "UPDATE_ROLLBACK_COMPLETE"
            failed = {"ResourceType": "AWS::Lambda::Alias", "ResourceStatus": "UPDATE_FAILED"}
            number = str(len(self.events) + 1)
            self.events.insert(
                0, {"EventId": number, "LogicalResourceId": "QueryLive", "ResourceStatusReason": "no.", **failed}
            )
            return {}
        self.status = "UPDATE_COMPLETE"
        self.template, self.parameters = self.proposed
        return {}

    def describe_stack_events(self, **_: Any) -> Any:
        return {"StackEvents": self.events}

    def list_stack_resources(self, **_: Any) -> Any:
        resources = (self.template or {})["Resources"]
        found = [
            {"LogicalResourceId": n, "ResourceType": r["Type"], "PhysicalResourceId": n, "ResourceStatus": "x"}
            for n, r in resources.items()
        ]
        return {"StackResourceSummaries": found}

    def describe_alarms(self, AlarmNames: list[str]) -> Any:  # noqa: N803
        assert len(AlarmNames) <= 100
        said = {"AlarmDescription": "Look at it.", "StateReason": "1 > 0."}
        return {"MetricAlarms": [{"AlarmName": n, "StateValue": self.alarms.get(n, "OK"), **said} for n in AlarmNames]}

    def head_object(self, Key: str, **_: Any) -> Any:  # noqa: N803
        if Key not in self.objects:
            raise refused("404", "Not Found", 404)
        return {}

    def put_object(self, Key: str, Body: bytes, **_: Any) -> Any:  # noqa: N803
        self.objects[Key] = Body
        return {}

    def get_object(self, Key: str, **_: Any) -> Any:  # noqa: N803
        if Key not in self.objects:
            raise refused("NoSuchKey", "Not Found", 404)
        return {"Body": io.BytesIO(self.objects[Key])}


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Cloud:
    for module in (artifacts, create, rollback):
        monkeypatch.setattr(module, "region", lambda _: "eu-west-1")
    monkeypatch.setattr(artifacts.ArtifactBucket, "url", lambda self, key: f"https://x.amazonaws.com/{key}")
    return Cloud(install(monkeypatch))


@pytest.fixture
def deploy(cloud: Cloud, tmp_path: Path) -> Callable[..., Deployment]:
    def deploy(code: str, settings: StackSettings = SETTINGS) -> Deployment:
        bundle = tmp_path / "code.zip"
        bundle.write_text(code)
        deployment = Deployment(settings, ACCESS)
        proposal = deployment.propose(bundle)
        if proposal.changes:
            deployment.carry_out(proposal, lambda *_: None)
        return deployment

    return deploy


def quiet(deployment: Deployment, during: Callable[[float], None] = lambda _: None) -> list[float]:
    """Shift with a clock of its own; the times left at each look."""
    now, left = [0.0], []
    watch = deployment.watch()
    watch.clock, watch.sleep = lambda: now[0], lambda s: now.__setitem__(0, now[0] + s)

    def report(seconds: float, alarms: int) -> None:
        assert alarms > 5
        left.append(seconds)
        during(seconds)

    deployment.shift(watch, report, lambda *_: None)
    return left


def test_an_update_is_watched_for_its_time(cloud: Cloud, deploy: Callable[..., Deployment]) -> None:
    assert deploy("one").shifts == []
    second = deploy("two")
    assert second.shifts == ["Compact", "Ingest", "Query", "Reconcile", "Retain", "Sweep", "Worker"]
    shifting = cloud.template
    left = quiet(second)
    assert (left[0], left[-1], len(left)) == (600.0, 0.0, 600 / PAUSE + 1)
    assert cloud.applied[-1] == cloud.template != shifting
    assert not Deployed(cloud.template or {}).shifting
    assert deploy("two").shifts == []
    assert len(cloud.applied) == 3


def test_an_alarm_takes_it_back(cloud: Cloud, deploy: Callable[..., Deployment]) -> None:
    deploy("one")
    before, parameters = cloud.template, cloud.parameters
    second = deploy("two")

    def ring(left: float) -> None:
        if left < 300:
            cloud.alarms["QueryErrorsAlarm"] = "ALARM"

    with pytest.raises(RolledBack) as raised:
        quiet(second, ring)
    assert str(raised.value) == (
        "the update of fleet was taken back, and what ran before has all calls again: the alarm QueryErrorsAlarm rings "
        "(1 > 0). Look at it."
    )
    assert cloud.template is not None
    assert before is not None
    assert Deployed(cloud.template).routed == Deployed(before).routed
    assert cloud.parameters == parameters
    assert not Deployed(cloud.template).shifting


def test_a_new_alarm_of_the_update_counts(cloud: Cloud, deploy: Callable[..., Deployment]) -> None:
    deploy("one")
    second = deploy("two")
    cloud.alarms["WorkerShiftAlarm"] = "ALARM"
    with pytest.raises(RolledBack, match="the alarm WorkerShiftAlarm rings"):
        second.shift(Watch(second.stack, ACCESS), lambda *_: None, lambda *_: None)


def test_an_alarm_of_a_new_stream_may_ring(cloud: Cloud, deploy: Callable[..., Deployment], tmp_path: Path) -> None:
    """It has no points yet: the update that makes its Firehose must not be taken back for that."""
    deploy("one")
    (tmp_path / "code.zip").write_text("two")
    silent = StreamSettings("k", "t", silent_minutes=60)
    second = Deployment(replace(SETTINGS, streams={"new": silent}), ACCESS)
    proposal = second.propose(tmp_path / "code.zip")
    now = [0.0]
    watch = replace(second.watch(), clock=lambda: now[0], sleep=lambda s: now.__setitem__(0, now[0] + s))
    second.carry_out(proposal, lambda *_: None)
    assert cloud.template is not None
    (name,) = [n for n in cloud.template["Resources"] if n.startswith("Silent")]
    cloud.alarms[name] = "ALARM"
    second.shift(watch, lambda *_: None, lambda *_: None)
    assert not Deployed(cloud.template).shifting


def test_what_rang_before_does_not_count(cloud: Cloud, deploy: Callable[..., Deployment], tmp_path: Path) -> None:
    deploy("one")
    cloud.alarms["WaitingAlarm"] = "ALARM"
    second = Deployment(SETTINGS, ACCESS)
    (tmp_path / "two").write_text("two")
    proposal = second.propose(tmp_path / "two")
    watch = second.watch()
    assert watch.ignored == {"WaitingAlarm"}
    second.carry_out(proposal, lambda *_: None)
    watch.clock, watch.sleep = iter([0.0, 700.0]).__next__, lambda _: None
    second.shift(watch, lambda *_: None, lambda *_: None)
    assert not Deployed(cloud.template or {}).shifting


def test_a_second_step_that_fails_takes_it_back(cloud: Cloud, deploy: Callable[..., Deployment]) -> None:
    deploy("one")
    before = cloud.template
    second = deploy("two")
    calls: list[int] = []
    cloud.failing = lambda _: not calls and not calls.append(1)  # type: ignore[func-returns-value]
    with pytest.raises(
        RolledBack, match=r"was taken back, .*: the stack fleet could not be changed .*QueryLive .*: no"
    ):
        quiet(second)
    assert Deployed(cloud.template or {}).routed == Deployed(before or {}).routed


def test_a_rollback_that_fails_says_both(cloud: Cloud, deploy: Callable[..., Deployment]) -> None:
    deploy("one")
    second = deploy("two")
    cloud.alarms["QueryErrorsAlarm"] = "ALARM"
    cloud.failing = lambda _: True
    with pytest.raises(RolledBack, match=r"QueryErrorsAlarm rings .* could not be taken back: .*QueryLive.*--rollback"):
        second.shift(Watch(second.stack, ACCESS), lambda *_: None, lambda *_: None)


def test_an_interrupted_update_is_finished_or_taken_back(cloud: Cloud, deploy: Callable[..., Deployment]) -> None:
    deploy("one")
    before = cloud.template
    deploy("two")  # and no more
    shifting = cloud.template
    again = deploy("two")
    assert len(cloud.applied) == 2
    assert again.shifts == ["Compact", "Ingest", "Query", "Reconcile", "Retain", "Sweep", "Worker"]
    assert again.watch().ignored == frozenset()  # the alarms of now are those of the update
    cloud.template = shifting
    back = Rollback("fleet", ACCESS)
    back.stack.carry_out(back.propose())
    assert Deployed(cloud.template or {}).routed == Deployed(before or {}).routed
    cloud.template = shifting
    quiet(again)
    assert not Deployed(cloud.template or {}).shifting


def test_back_once_and_no_further(cloud: Cloud, deploy: Callable[..., Deployment]) -> None:
    deploy("one")
    with pytest.raises(DeployError, match="fleet has no earlier deployment to go back to"):
        Rollback("fleet", ACCESS).propose()
    before = cloud.template
    quiet(deploy("two"))
    deploy("two")  # nothing changes, so it is no update to take back
    back = Rollback("fleet", ACCESS)
    back.stack.carry_out(back.propose())
    assert Deployed(cloud.template or {}).routed == Deployed(before or {}).routed
    with pytest.raises(DeployError, match="fleet has no earlier deployment"):
        Rollback("fleet", ACCESS).propose()


def test_an_altered_template_is_not_applied(cloud: Cloud, deploy: Callable[..., Deployment]) -> None:
    deploy("one")
    quiet(deploy("two"))
    assert cloud.template is not None
    name = (Deployed(cloud.template, cloud.parameters).previous or {})["template"]
    cloud.objects[name] += b" "
    with pytest.raises(DeployError, match=r"was altered: its SHA-256 is not the one in its name"):
        Rollback("fleet", ACCESS).propose()
    del cloud.objects[name]
    with pytest.raises(DeployError, match="is not in the bucket fleet-artifacts-111122223333-eu-west-1 any more"):
        Rollback("fleet", ACCESS).propose()


def test_no_stack(cloud: Cloud) -> None:
    with pytest.raises(DeployError, match="there is no stack fleet"):
        Rollback("fleet", ACCESS).propose()
    assert cloud.applied == []


def test_at_once(cloud: Cloud, deploy: Callable[..., Deployment]) -> None:
    at_once = StackSettings(name="fleet", region="eu-west-1", shift_minutes=0)
    deploy("one", at_once)
    assert deploy("two", at_once).shifts == []
    assert not Deployed(cloud.template or {}).shifting
    assert len(cloud.applied) == 2


def test_another_update_after_an_interruption_goes_back_to_what_ran(
    cloud: Cloud, deploy: Callable[..., Deployment]
) -> None:
    """Not to the update that was never finished."""
    deploy("one")
    before, parameters = cloud.template, cloud.parameters
    deploy("two")
    third = deploy("three")
    cloud.alarms["QueryErrorsAlarm"] = "ALARM"
    with pytest.raises(RolledBack, match="was taken back"):
        third.shift(Watch(third.stack, ACCESS), lambda *_: None, lambda *_: None)
    assert Deployed(cloud.template or {}).routed == Deployed(before or {}).routed
    assert cloud.parameters == parameters
