"""Versions and aliases in the template: of each change one, everything called through aliases, and the way back."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deploy.stack.actions.preflight import with_former_keys
from deploy.stack.resources.cloudformation import Grant
from deploy.stack.resources.former_template import VersionGone, former_template
from deploy.stack.resources.grants import Grants
from deploy.stack.resources.storage import deployed_keys
from deploy.stack.resources.template import kept, template, text
from deploy.stack.resources.versions import ALIAS, FUNCTION, NOTE, VERSION, Deployed, Routed
from deploy.stack.settings import CREATED, load

SETTINGS = load(Path(__file__).resolve().parents[2] / "golden" / "antfold.toml")
BEFORE = {"template": "templates/x.json", "parameters": {}}


def of_type(found: dict[str, Any], type_: str) -> set[str]:
    return {name for name, r in found["Resources"].items() if r["Type"] == type_}


TITLES = of_type(template(SETTINGS), FUNCTION)


def update(before: dict[str, Any], bundle: str, share: float, **changed: Any) -> dict[str, Any]:
    return template(replace(SETTINGS, **changed), bundle, Deployed(before), share, BEFORE)


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if "Ref" in value:
            yield value["Ref"]
        if "Fn::GetAtt" in value:
            yield value["Fn::GetAtt"][0]
        for part in value.values():
            yield from references(part)
    elif isinstance(value, list):
        for part in value:
            yield from references(part)


def whole(found: dict[str, Any]) -> None:
    """Every reference is to something, and no alias has a version that is not its function's."""
    known = {*found["Resources"], *found["Parameters"]}
    assert {r for r in references(found) if not r.startswith("AWS::")} <= known
    deployed = Deployed(found)
    for title, routed in deployed.routed.items():
        assert {routed.live, routed.following} - {None} <= set(deployed.versions(title))
        assert len(deployed.versions(title)) <= 2


def test_the_first_deployment_shifts_nothing() -> None:
    for share in (0.0, 0.1):
        found = template(SETTINGS, "one", None, share)
        whole(found)
        routed = Deployed(found).routed
        assert set(routed) == TITLES
        assert all(routed[t] == Routed(*Deployed(found).versions(t)) for t in TITLES)
        assert NOTE not in found["Metadata"]


def test_an_update_shifts_a_share_and_then_all() -> None:
    one = template(SETTINGS, "one")
    two = update(one, "two", 0.1)
    three = update(two, "two", 0.0)
    for found in (two, three):
        whole(found)
    old, shifting, new = (Deployed(t).routed for t in (one, two, three))
    for title in TITLES:
        assert (shifting[title].live, shifting[title].share) == (old[title].live, 0.1)
        assert shifting[title].following == new[title].live != old[title].live
        assert set(Deployed(three).versions(title)) == {old[title].live, new[title].live}  # the newest two
    assert (Deployed(one).shifting, Deployed(two).shifting, Deployed(three).shifting) == (False, True, False)
    assert of_type(two, "AWS::CloudWatch::Alarm") - of_type(one, "AWS::CloudWatch::Alarm") == {
        *(f"{title}ShiftAlarm" for title in TITLES), "IngestFailingShiftAlarm", "WorkerCalledShiftAlarm",
    }  # fmt: skip
    assert of_type(three, "AWS::CloudWatch::Alarm") == of_type(one, "AWS::CloudWatch::Alarm")
    # Again, or continued after an interruption: the same templates.
    assert text(update(three, "two", 0.1)) == text(three)
    assert text(update(two, "two", 0.1)) == text(two)
    # The next one drops the oldest.
    four = update(three, "three", 0.1)
    whole(four)
    assert not {v.live for v in old.values()} & set(four["Resources"])


def test_another_update_after_an_interruption() -> None:
    one = template(SETTINGS, "one")
    other = update(update(one, "two", 0.1), "three", 0.1)
    whole(other)
    assert {r.live for r in Deployed(other).routed.values()} == {r.live for r in Deployed(one).routed.values()}
    back = update(update(one, "two", 0.1), "one", 0.1)
    whole(back)
    assert Deployed(back).routed == Deployed(one).routed
    assert not Deployed(back).shifting


def test_only_what_changes_gets_a_version() -> None:
    """CloudFormation refuses to publish a version of an unchanged function."""
    one = template(SETTINGS, "one")
    first = Deployed(one).routed

    def changed(**settings: Any) -> set[str]:
        later = Deployed(update(one, "one", 0.0, **settings)).routed
        return {title for title in TITLES if later[title].live != first[title].live}

    assert changed() == set()
    assert changed(worker_concurrency=7, ingest_concurrency=3, query_concurrency=4) == set()
    assert changed(log_days=7, landing_days=3, alert_email="b@example.com", shift_minutes=3) == set()
    assert changed(query_memory=2048) == {"Query"}
    # The query function calls one version of the worker, so it changes with it.
    assert changed(worker_timeout=200) == {"Worker", "Query"}
    assert changed(architecture="arm64") == TITLES


def test_one_version_of_the_query_function_calls_one_of_the_worker() -> None:
    two = update(template(SETTINGS, "one"), "two", 0.1)
    routed = Deployed(two).routed["Worker"]
    variables = two["Resources"]["Query"]["Properties"]["Environment"]["Variables"]
    assert variables["ANTFOLD_WORKER"] == {"Ref": routed.following}
    for action in ("lambda:InvokeFunction", "lambda:GetFunctionConfiguration"):
        (statement,) = [s for s in statements(two, "QueryRole") if action in s["Action"]]
        # The version before, which queries under way use, and the new one.
        assert {"Ref": routed.live} in statement["Resource"]
        assert {"Ref": routed.following} in statement["Resource"]


def statements(found: dict[str, Any], role: str) -> list[dict[str, Any]]:
    policies = found["Resources"][role]["Properties"]["Policies"]
    return [s for p in policies for s in p["PolicyDocument"]["Statement"]]


def test_everything_is_called_through_an_alias_or_by_version() -> None:
    """Grants, schedules, event sources, URLs and variables: none names a function itself."""
    found = template(SETTINGS, "one")
    bare = re.compile(rf"(:function:|^){SETTINGS.name}-({'|'.join(TITLES).lower()})$")

    def check(value: Any, where: str) -> None:
        if isinstance(value, dict):
            assert value.get("Ref") not in TITLES, where
            assert value.get("Fn::GetAtt", [""])[0] not in TITLES, where
            for part in value.values():
                check(part, where)
        elif isinstance(value, list):
            for part in value:
                check(part, where)
        elif isinstance(value, str):
            assert not bare.search(value), where

    for name, resource in found["Resources"].items():
        properties = resource["Properties"]
        match resource["Type"]:
            case "AWS::Lambda::Url":
                assert properties["Qualifier"] == "live"
            case "AWS::IAM::Role" | "AWS::Lambda::EventSourceMapping":
                check(properties, name)
            case "AWS::Scheduler::Schedule":
                check(properties["Target"], name)
            case "AWS::Lambda::Function":
                check(properties["Environment"], name)


def test_grants_of_the_version_before_stay_while_it_does(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        own = Grants.ingest
        more = Grant(("sns:Publish",), ({"Ref": "Alerts"}, {"Ref": "Gone"}))
        patch.setattr(Grants, "ingest", lambda self: (*own(self), more))
        one = template(SETTINGS, "one")
    publish = {"Effect": "Allow", "Action": ["sns:Publish"], "Resource": [{"Ref": "Alerts"}]}
    steps = [update(one, "two", 0.1)]
    steps += [update(steps[-1], "two", 0.0), update(update(steps[-1], "two", 0.0), "two", 0.0, log_days=7)]
    for step in steps:
        whole(step)
        assert statements(step, "IngestRole")[-1] == publish
        assert [p["PolicyName"] for p in step["Resources"]["QueryRole"]["Properties"]["Policies"]] == ["grants"]
    later = update(steps[-1], "three", 0.1)
    assert [p["PolicyName"] for p in later["Resources"]["IngestRole"]["Properties"]["Policies"]] == ["grants"]


def test_a_deployment_without_aliases_gets_them() -> None:
    """All calls go to the first version at once; what runs meanwhile keeps its grants."""
    one = json.loads(text(template(SETTINGS, "one")))
    bare = copy.deepcopy(one)
    for name in of_type(one, VERSION) | of_type(one, ALIAS):
        del bare["Resources"][name]
    role = bare["Resources"]["QueryRole"]["Properties"]
    plain = {
        "Effect": "Allow",
        "Action": ["lambda:InvokeFunction"],
        "Resource": [{"Fn::Sub": "arn:x:function:fleet-worker"}],
    }
    role["Policies"] = [{"PolicyName": "grants", "PolicyDocument": {"Statement": [plain]}}]
    found = update(bare, "two", 0.1)
    whole(found)
    assert not Deployed(found).shifting
    assert statements(found, "QueryRole")[-1] == plain
    # The way back is the template of that time.
    assert former_template(bare, Deployed(found)) == bare


def test_the_way_back() -> None:
    one = update(template(SETTINGS, "zero"), "one", 0.0)
    two = update(one, "two", 0.1, log_days=7)
    three = update(two, "two", 0.0, log_days=7)
    for now in (two, three):
        back = former_template(one, Deployed(now))
        whole(back)
        assert Deployed(back).routed == Deployed(one).routed
        assert Deployed(back).previous is None
        # Nothing is published: each version exists. Those that ran until now remain for their calls under way.
        assert of_type(back, VERSION) == of_type(now, VERSION)
        query = next(s for s in statements(back, "QueryRole") if "lambda:InvokeFunction" in s["Action"])
        assert {v for v in references(query["Resource"])} >= set(Deployed(now).versions("Worker"))
        others = lambda t: {n: r for n, r in t["Resources"].items() if r["Type"] != VERSION and n != "QueryRole"}  # noqa: E731
        assert others(back) == others(one)
        # And the next update works from there.
        whole(update(back, "three", 0.1))
        whole(update(back, "two", 0.1))
    gone = former_template(one, Deployed(two))
    with pytest.raises(VersionGone, match="Version"):
        former_template(one, Deployed(update(three, "three", 0.0)))
    assert text(gone) == text(former_template(one, Deployed(two)))


def test_nothing_of_it_stays_after_a_removal() -> None:
    rest = kept(json.loads(text(update(template(SETTINGS, "one"), "two", 0.1))))
    assert not {r["Type"] for r in rest["Resources"].values()} & {VERSION, ALIAS, FUNCTION}
    assert not Deployed(rest).runs
    assert text(template(SETTINGS, "two", Deployed(rest), 0.1)) == text(template(SETTINGS, "two"))


A_KEY, ANOTHER = (f"arn:aws:kms:eu-west-1:111122223333:key/{name}" for name in ("aaaa", "bbbb"))


@pytest.mark.parametrize(("one", "two"), [(A_KEY, ANOTHER), (A_KEY, None), (None, ANOTHER)])
def test_a_way_back_keeps_what_was_written_under_another_key_readable(one: str | None, two: str | None) -> None:
    plain = replace(SETTINGS, former_kms_keys=())
    before = template(replace(plain, kms_key=one), "one")
    settings, _ = with_former_keys(replace(plain, kms_key=two), before)
    after = template(settings, "two", Deployed(before), 0.1, BEFORE)
    back = former_template(before, Deployed(after))
    assert deployed_keys(back) == (one or CREATED, two or CREATED)
    assert ("Key" in back["Resources"]) == (None in (one, two))
    reads = {"Fn::GetAtt": ["Key", "Arn"]} if two is None else two
    for name in ("WorkerRole", "IngestRole", "QueryRole", "SweepRole"):
        (policy, *_) = back["Resources"][name]["Properties"]["Policies"]
        decrypts = [s for s in policy["PolicyDocument"]["Statement"] if "kms:Decrypt" in s["Action"]]
        assert any(reads in s["Resource"] for s in decrypts), name


def test_no_way_back_to_a_release_without_aliases() -> None:
    """And its schedules may start the functions themselves until they are changed."""
    old = template(SETTINGS, "one")
    gone = (VERSION, ALIAS)
    old["Resources"] = {name: r for name, r in old["Resources"].items() if r["Type"] not in gone}
    assert Deployed(old).runs
    assert Deployed(old).routed == {}
    role = old["Resources"]["SchedulerRole"]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"][0]
    role["Resource"] = ["arn:aws:lambda:eu-west-1:111122223333:function:fleet-query"]
    new = template(SETTINGS, "two", Deployed(old), 0.1)
    granted = json.dumps(new["Resources"]["SchedulerRole"])
    assert 'function:fleet-query"' in granted
    assert "function:fleet-query:live" in granted
