"""Resources of others stay untouched: stacks, keys and buckets with a deployment's names."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from deploy.stack.actions.artifacts import placed
from deploy.stack.actions.change_sets import DeployError, Stack
from deploy.stack.actions.remove import Removal
from deploy.stack.resources.resource_names import ResourceNames
from deploy.stack.resources.storage import KEYS
from deploy.stack.settings import StackSettings
from runtime.aws.access import Access
from runtime.storage.locations import TABLE
from tests.deploy.stack.fake_aws import Aws, install, refused


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Aws:
    found = install(monkeypatch)
    found.answers = {"get_caller_identity": lambda: {"Account": "111122223333"}, "delete_alias": lambda **_: {}}
    monkeypatch.setattr("deploy.stack.actions.artifacts.region", lambda _: "eu-west-1")
    return found


@pytest.mark.parametrize("act", [Stack.ready, Stack.seen])
def test_a_stack_of_something_else(aws: Aws, act: Any) -> None:
    described = {"StackStatus": "CREATE_COMPLETE", "CreationTime": datetime(2024, 3, 1, tzinfo=UTC), "Tags": []}
    aws.answers["describe_stacks"] = lambda StackName: {"Stacks": [described]}  # noqa: N803
    with pytest.raises(DeployError, match="the stack production is of something else"):
        act(Stack("production", Access()))
    for remove in (Removal.delete, Removal.stop, Removal.proposed):
        with pytest.raises(DeployError, match="is of something else"):
            remove(Removal("production", Access()))
    assert set(aws.named()) == {"describe_stacks"}


@pytest.mark.parametrize(("text", "goes"), [("of our accounting", False), (KEYS[0], True)])
def test_a_key_of_that_name(aws: Aws, text: str, goes: bool) -> None:
    """A user's own key (kms_key) may be called as ours would be."""
    described = {"KeyId": "k", "KeyState": "Enabled", "Description": text}
    aws.answers |= {"describe_key": lambda **_: {"KeyMetadata": described}, "schedule_key_deletion": lambda **_: {}}
    assert Removal("antfold", Access())._delete_key("") == ("k" if goes else None)
    assert ("schedule_key_deletion" in aws.named()) == ("delete_alias" in aws.named()) == goes


def test_a_bucket_of_that_name(aws: Aws) -> None:
    """Anybody may have made it, for anybody can tell what it will be called."""

    def refuse(**_: str) -> None:
        raise refused("403", "Forbidden", 403)

    aws.answers["head_bucket"] = refuse
    bucket = placed("antfold", "artifacts", Access())
    for act in (bucket.make, bucket.remove):
        with pytest.raises(DeployError, match=r"antfold-artifacts-111122223333-eu-west-1 is another account's"):
            act()
    aws.answers |= dict.fromkeys(
        ("head_bucket", "head_object", "put_object", "delete_bucket", "delete_objects"), lambda **_: {}
    )
    left = [{"Versions": [{"Key": "a", "VersionId": "1"}]}, {}]
    aws.answers["list_object_versions"] = lambda **_: left.pop(0)
    del aws.calls[:]
    bucket.put("code/a", b"a")
    aws.answers["head_object"] = refuse
    bucket.remove()
    assert len(aws.calls) >= 6
    assert {given["ExpectedBucketOwner"] for _, given in aws.calls} == {"111122223333"}


def test_the_table_of_stores_without_a_name_for_theirs() -> None:
    assert ResourceNames(StackSettings().name).table != TABLE
