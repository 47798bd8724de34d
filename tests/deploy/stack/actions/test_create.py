"""Deployments: under which role, with which tags, what is told of keys, and a first look at a large template."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from deploy.stack.actions.artifacts import ArtifactBucket
from deploy.stack.actions.change_sets import INLINE, Stack
from deploy.stack.actions.create import Deployment
from deploy.stack.actions.remove import Removal
from deploy.stack.resources.template import template, text
from deploy.stack.settings import StackSettings, StreamSettings
from runtime.aws.access import Access
from tests.deploy.stack.fake_aws import Aws, install, refused

ROLE = "arn:aws:iam::111122223333:role/cloudformation"
OTHER = "arn:aws:kms:eu-west-1:111122223333:key/0ab1"
TAGS = {"team": "fleet", "antfold": "antfold"}


def absent(**_: object) -> Any:
    raise refused("404", "Not Found", 404)


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Aws:
    """An account with a deployment of the default settings."""
    found = install(monkeypatch)
    made = {"CreationTime": datetime(2024, 3, 1, tzinfo=UTC), "Outputs": []}
    tags = [{"Key": k, "Value": v} for k, v in {**TAGS, "aws:cloudformation:stack-name": "antfold"}.items()]
    described = {"StackStatus": "UPDATE_COMPLETE", "Tags": tags, **made}
    change = {"Action": "Modify", "LogicalResourceId": "Key", "ResourceType": "AWS::KMS::Key"}
    found.answers = {
        "describe_stacks": lambda StackName: {"Stacks": [described]},  # noqa: N803
        "get_template": lambda StackName: {"TemplateBody": text(template(StackSettings()))},  # noqa: N803
        "get_account_settings": lambda: {
            "AccountLimit": {"ConcurrentExecutions": 1_000, "UnreservedConcurrentExecutions": 1_000}
        },
        "get_function_concurrency": lambda **_: {},
        "get_caller_identity": lambda: {"Account": "111122223333"},
        "create_change_set": lambda **_: {},
        "describe_change_set": lambda **_: {"Status": "CREATE_COMPLETE", "Changes": [{"ResourceChange": change}]},
        "delete_change_set": lambda **_: {},
        "delete_stack": lambda **_: {},
        **dict.fromkeys(("head_bucket", "put_object", "put_bucket_tagging"), lambda **_: {}),
        "head_object": absent,
    }
    for module in ("artifacts", "create"):
        monkeypatch.setattr(f"deploy.stack.actions.{module}.region", lambda _: "eu-west-1")
    monkeypatch.setattr(ArtifactBucket, "url", lambda self, key: f"https://x.amazonaws.com/{key}")
    return found


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    path = tmp_path / "bundle.zip"
    path.write_bytes(b"code")
    return path


def test_role_and_tags(aws: Aws, bundle: Path) -> None:
    """Of the change set, and of the deletion of a stack that was not wanted."""
    deployment = Deployment(StackSettings(service_role=ROLE, tags={"team": "fleet"}), Access())
    proposal = deployment.propose(bundle)
    given = dict(aws.calls)["create_change_set"]
    assert given["RoleARN"] == ROLE
    assert {t["Key"]: t["Value"] for t in given["Tags"]} == TAGS
    assert deployment.notes == []
    Stack("antfold", Access(), role=ROLE).withdraw(type(proposal)("p", True, ()))
    assert dict(aws.calls)["delete_stack"] == {"StackName": "antfold", "RoleARN": ROLE}
    Deployment(StackSettings(), Access()).propose(bundle)
    assert "RoleARN" not in aws.calls[-2][1]


def test_removal_keeps_the_tags_of_what_stays(aws: Aws) -> None:
    assert Removal("antfold", Access(), role=ROLE).proposed()
    given = dict(aws.calls)["create_change_set"]
    assert given["RoleARN"] == ROLE
    assert {t["Key"]: t["Value"] for t in given["Tags"]} == TAGS


def test_another_key_is_told_and_kept(aws: Aws, bundle: Path) -> None:
    deployment = Deployment(StackSettings(kms_key=OTHER), Access())
    deployment.propose(bundle)
    (note,) = deployment.notes
    assert f"the key is now {OTHER}" in note
    assert 'former_kms_keys = ["created"]' in note
    name = dict(aws.calls)["create_change_set"]["TemplateURL"].removeprefix("https://x.amazonaws.com/")
    (body,) = {given["Body"].decode() for what, given in aws.calls if what == "put_object" and given["Key"] == name}
    assert '"Key":{"DeletionPolicy"' in body
    assert OTHER in body


def test_a_first_look_at_a_large_template(aws: Aws, bundle: Path) -> None:
    """CloudFormation reads it from a bucket that is not there yet: nothing is created to show it."""

    def no_stack(StackName: str) -> Any:  # noqa: N803
        raise refused("ValidationError", f"Stack with id {StackName} does not exist")

    aws.answers |= {"describe_stacks": no_stack, "head_bucket": absent}
    many = StackSettings(streams={f"stream{i}": StreamSettings("k", "t") for i in range(8)})
    assert len(text(template(many))) > INLINE
    deployment = Deployment(many, Access())
    proposal = deployment.propose(bundle, dry=True)
    expected = sorted(template(many, deployment.parameters["Bundle"])["Resources"])
    assert [(c.action, c.name) for c in proposal.changes] == [("Add", name) for name in expected]
    deployment.stack.withdraw(proposal)
    assert not {"create_change_set", "delete_change_set", "delete_stack", "put_object"} & set(aws.named())


def test_the_bucket_of_the_code_has_tags(aws: Aws, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ArtifactBucket, "exists", lambda _: False)
    monkeypatch.setattr(ArtifactBucket, "_partition", lambda _: "arn:aws:")
    sent: list[tuple[str, Any]] = []

    def call(self: ArtifactBucket, verb: str, attempt: Any) -> Any:
        return sent.append((verb, attempt))

    class Meta:
        region_name = "eu-west-1"

    class Boto:
        meta = Meta

    bucket = ArtifactBucket("b", Access(), "111122223333")
    monkeypatch.setattr(type(bucket._client), "boto", Boto, raising=False)
    monkeypatch.setattr(ArtifactBucket, "_call", call)
    bucket.make(TAGS)
    (tag,) = [attempt for verb, attempt in sent if verb == "tag"]
    tag(aws.client("s3"))
    assert aws.calls[-1] == (
        "put_bucket_tagging",
        {
            "Bucket": "b", "ExpectedBucketOwner": "111122223333",
            "Tagging": {"TagSet": [{"Key": k, "Value": v} for k, v in TAGS.items()]},
        },
    )  # fmt: skip
