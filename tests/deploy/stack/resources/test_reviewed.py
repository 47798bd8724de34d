"""What reviews of the template ask: tags, boundary, reservations, no wildcard, and cfn-lint, in all its forms."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cfnlint.api import lint
from cfnlint.schema.manager import PROVIDER_SCHEMA_MANAGER

from deploy.stack.actions.preflight import UNRESERVED
from deploy.stack.resources.marks import TAGGED
from deploy.stack.resources.template import template, text
from deploy.stack.resources.versions import VERSION
from deploy.stack.settings import CREATED, StackSettings, load, parse
from tests.deploy.stack.resources.test_grants import DELIVERING, findings
from tests.deploy.stack.resources.test_template import shifting

GOLDEN = Path(__file__).resolve().parents[2] / "golden"
WHOLE, LOW = load(GOLDEN / "antfold.toml"), load(GOLDEN / "low_quota.toml")
OTHER = "arn:aws:kms:eu-west-1:111122223333:key/0ab3"
PLAIN = {
    "whole": WHOLE,
    "low quota": LOW,
    "no streams": StackSettings(),
    "own key": replace(WHOLE, kms_key=OTHER, former_kms_keys=()),
    "another key": replace(WHOLE, kms_key=OTHER, former_kms_keys=(CREATED,)),
    "delivering": DELIVERING,
    "nothing marked": replace(WHOLE, tags={}, permissions_boundary=None),
}
SHIFTING = {
    "shifting": (WHOLE, WHOLE),
    "shifting, low quota": (LOW, LOW),
    "shifting to another key": (WHOLE, PLAIN["another key"]),
    "shifting to a boundary": (PLAIN["nothing marked"], WHOLE),
}
"""Settings before and after an update that is under way: versions, alarms and grants are there twice."""

Form = tuple[StackSettings, dict[str, Any]]
FORMS: dict[str, Form] = {
    **{name: (settings, template(settings)) for name, settings in PLAIN.items()},
    **{name: (after, shifting(after, before)) for name, (before, after) in SHIFTING.items()},
}
"""Settings, and the template of them."""


@pytest.fixture(params=FORMS, scope="module")
def form(request: pytest.FixtureRequest) -> Form:
    return FORMS[request.param]


def resources(whole: dict[str, Any]) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = json.loads(text(whole))["Resources"]
    return found


def can_have_tags(type_: str) -> bool:
    """As CloudFormation's schema of the type says."""
    schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema("us-east-1", type_).schema
    return "Tags" in schema["properties"]


def test_what_is_there_while_an_update_shifts() -> None:
    """A new version of each function beside the live one, and alarms on it."""
    plain, both = resources(FORMS["whole"][1]), resources(FORMS["shifting"][1])
    assert len(both) == len(plain) + 16
    more = [r["Type"] for name, r in both.items() if name not in plain]
    assert more.count("AWS::CloudWatch::Alarm") == 9
    assert [r["Type"] for r in both.values()].count(VERSION) == 2 * 7


def test_all_that_can_have_tags_has_them(form: Form) -> None:
    settings, whole = form
    for name, resource in resources(whole).items():
        found = resource["Properties"].get("Tags")
        assert (found is not None) == can_have_tags(resource["Type"]) == (resource["Type"] in TAGGED), name
        if found is not None:
            assert {t["Key"]: t["Value"] for t in found} == {**settings.tags, "antfold": settings.name}


def test_a_type_without_tags_here_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.stack.resources.marks.TAGGED", TAGGED - {"AWS::SQS::Queue"})
    bare = [
        r["Type"]
        for r in resources(template(WHOLE)).values()
        if can_have_tags(r["Type"]) and "Tags" not in r["Properties"]
    ]
    assert set(bare) == {"AWS::SQS::Queue"}


def test_every_role_is_bounded(form: Form) -> None:
    settings, whole = form
    roles = [r["Properties"] for r in resources(whole).values() if r["Type"] == "AWS::IAM::Role"]
    assert len(roles) >= 6
    assert {role.get("PermissionsBoundary") for role in roles} == {settings.permissions_boundary}


def test_no_wildcard(form: Form) -> None:
    """But for the exceptions that test_grants.py gives reasons for."""
    settings, whole = form
    if settings.name == "small":  # the rules know the streams of the whole file
        assert [f for f in findings(whole) if "wild" in f] == []
    else:
        assert findings(whole) == []


def test_reservations(form: Form) -> None:
    """Within what a new account has; the queue starts no more of ingest than that, and two at least, as AWS asks."""
    settings, whole = form
    found = resources(whole)
    reserved = {
        n: r["Properties"].get("ReservedConcurrentExecutions")
        for n, r in found.items()
        if r["Type"] == "AWS::Lambda::Function"
    }
    at_once = found["IngestSource"]["Properties"]["ScalingConfig"]["MaximumConcurrency"]
    assert 2 <= at_once <= 1_000
    if settings.reserve:
        assert None not in reserved.values()
        assert sum(v for v in reserved.values() if v) <= 1_000 - UNRESERVED
        assert at_once <= (reserved["Ingest"] or 0)
        assert "ANTFOLD_WORKERS" not in text(whole)
    else:
        assert set(reserved.values()) == {None}
        variables = found["Query"]["Properties"]["Environment"]["Variables"]
        assert variables["ANTFOLD_WORKERS"] == str(settings.worker_concurrency)


def test_what_roles_may_do_with_former_keys() -> None:
    """Decrypt, and nothing else; only those that may decrypt at all, and never Firehose, which reads nothing back."""
    found = resources(FORMS["another key"][1])
    former = {"Fn::GetAtt": ["Key", "Arn"]}
    readers = set()
    for name, resource in found.items():
        for policy in resource["Properties"].get("Policies", ()) if resource["Type"] == "AWS::IAM::Role" else ():
            for statement in policy["PolicyDocument"]["Statement"]:
                if former in statement["Resource"]:
                    assert statement["Action"] == ["kms:Decrypt"]
                    readers.add(name)
    roles = {n: json.dumps(r) for n, r in found.items() if r["Type"] == "AWS::IAM::Role"}
    reading = {name for name, role in roles.items() if OTHER in role and "kms:Decrypt" in role}
    assert readers == reading - {"FirehoseRole"}
    assert {"WorkerRole", "IngestRole", "QueryRole", "ReconcileRole", "TenantAcme"} <= readers


def test_names_within_limits() -> None:
    """Of alarms and logs, for the longest names."""
    text_ = f'[deployment]\nname = "{"n" * 24}"\n[streams.{"s" * 39}]\nkey = "k"\ntime = "t"\nsilent_minutes = 60\n'
    found = [r["Properties"] for r in resources(template(parse(text_))).values()]
    assert max(len(p["AlarmName"]) for p in found if "AlarmName" in p) <= 255
    assert max(len(p["LogGroupName"]) for p in found if isinstance(p.get("LogGroupName"), str)) <= 512


def linted(whole: dict[str, Any]) -> list[str]:
    """What cfn-lint has to say by itself: errors and warnings, for us-east-1."""
    return [f"{m.rule.id} {m.message}" for m in lint(text(whole, 2)) if m.rule.id[0] in "EW"]


@pytest.mark.parametrize("name", ["no streams", "another key", "delivering", "shifting to another key"])
def test_cfn_lint(name: str) -> None:
    """CI runs it, and checkov, on the golden ones."""
    assert linted(FORMS[name][1]) == []


def test_cfn_lint_finds_mistakes() -> None:
    whole = template(StackSettings())
    whole["Resources"]["Worker"]["Properties"]["Runtime"] = "python3.6"
    assert any("python3.6" in found for found in linted(whole))
