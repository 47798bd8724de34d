"""Change sets and stacks, against replies as CloudFormation documents them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from deploy.stack.actions.change_sets import Change, DeployError, Proposal, Stack
from runtime.aws.access import Access
from tests.deploy.stack.fake_aws import Aws, install, refused

TEMPLATE = {"TemplateBody": "{}"}


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Aws:
    found = install(monkeypatch)
    found.answers = {
        "create_change_set": lambda **_: {},
        "delete_change_set": lambda **_: {},
        "delete_stack": lambda **_: {},
        "execute_change_set": lambda **_: {},
        "describe_stack_events": lambda **_: {"StackEvents": []},
    }
    return found


@pytest.fixture
def stack() -> Stack:
    return Stack("fleet", Access(), seconds=0.3, pause=0.01)


def statuses(*given: str | None) -> Any:
    """Successive replies of ``describe_stacks``, the last repeated; None: no such stack."""
    left = list(given)

    def describe(StackName: str) -> Any:  # noqa: N803
        status = left.pop(0) if len(left) > 1 else left[0]
        if status is None:
            raise refused("ValidationError", f"Stack with id {StackName} does not exist")
        made = {"CreationTime": datetime(2024, 3, 1, tzinfo=UTC), "Tags": [{"Key": "antfold", "Value": StackName}]}
        return {"Stacks": [{"StackStatus": status, **made}]}

    return describe


def change_set(*pages: Any, status: str = "CREATE_COMPLETE", reason: str = "") -> Any:
    def describe(StackName: str, ChangeSetName: str, NextToken: str = "0") -> Any:  # noqa: N803
        number = int(NextToken)
        more = {"NextToken": str(number + 1)} if number + 1 < len(pages) else {}
        changes = pages[number] if pages else []
        return {"Status": status, "StatusReason": reason, "Changes": changes, **more}

    return describe


def add(name: str) -> Any:
    return {"ResourceChange": {"Action": "Add", "LogicalResourceId": name, "ResourceType": "AWS::S3::Bucket"}}


def event(number: int, name: str, status: str, reason: str = "") -> Any:
    return {
        "EventId": str(number),
        "LogicalResourceId": name,
        "ResourceType": "AWS::X",
        "ResourceStatus": status,
        "ResourceStatusReason": reason,
    }


@pytest.mark.parametrize(
    ("status", "kind"),
    [(None, "CREATE"), ("REVIEW_IN_PROGRESS", "CREATE"), ("CREATE_COMPLETE", "UPDATE"),
     ("UPDATE_ROLLBACK_COMPLETE", "UPDATE")],
)  # fmt: skip
def test_a_stack_is_made_or_changed(aws: Aws, stack: Stack, status: str | None, kind: str) -> None:
    aws.answers |= {"describe_stacks": statuses(status), "describe_change_set": change_set([add("a")], [add("b")])}
    proposal = stack.propose(TEMPLATE, {"Bundle": "k"}, {"antfold": "fleet"})
    assert [c.name for c in proposal.changes] == ["a", "b"]  # all pages
    assert proposal.changes[0] == Change("Add", "a", "AWS::S3::Bucket", "")
    given = dict(aws.calls)["create_change_set"]
    assert given["ChangeSetType"] == kind
    assert given["Parameters"] == [{"ParameterKey": "Bundle", "ParameterValue": "k"}]
    assert given["Capabilities"] == ["CAPABILITY_IAM"]
    stack.withdraw(proposal)
    assert ("delete_stack" in aws.named()) == (kind == "CREATE")  # else there would be a stack of nothing


@pytest.mark.parametrize(
    "reason", ["The submitted information didn't contain changes.", "No updates are to be performed."]
)
def test_no_changes(aws: Aws, stack: Stack, reason: str) -> None:
    aws.answers |= {
        "describe_stacks": statuses("UPDATE_COMPLETE"),
        "describe_change_set": change_set(status="FAILED", reason=reason),
    }
    assert stack.propose(TEMPLATE, {}, {}).changes == ()
    assert "delete_change_set" in aws.named()
    assert "delete_stack" not in aws.named()


def test_a_template_that_is_refused(aws: Aws, stack: Stack) -> None:
    aws.answers |= {
        "describe_stacks": statuses(None),
        "describe_change_set": change_set(status="FAILED", reason="Bucket names are lower case"),
    }
    with pytest.raises(DeployError, match="rejects the template of fleet: Bucket names are lower case"):
        stack.propose(TEMPLATE, {}, {})
    assert aws.named()[-2:] == ["delete_change_set", "delete_stack"]


def test_the_first_failure_is_told(aws: Aws, stack: Stack) -> None:
    """Not what failed with it, nor what failed in an earlier attempt; events come the newest first."""
    old = [event(1, "Old", "CREATE_FAILED", "long ago"), event(2, "fleet", "CREATE_COMPLETE")]
    new = [
        event(3, "Key", "CREATE_COMPLETE"),
        event(4, "Table", "CREATE_FAILED", "Resource creation cancelled"),
        event(5, "Worker", "CREATE_FAILED", "no such bundle."),
        event(6, "Query", "CREATE_FAILED", "role is gone"),
    ]
    shown = [old]

    def events(StackName: str, NextToken: str = "") -> Any:  # noqa: N803
        latest = [e for part in shown for e in part][::-1]
        return {"StackEvents": latest[1:]} if NextToken else {"StackEvents": latest[:1], "NextToken": "more"}

    def execute(**_: object) -> Any:
        shown.append(new)
        return {}

    aws.answers |= {
        "describe_stacks": statuses("UPDATE_IN_PROGRESS", "UPDATE_ROLLBACK_COMPLETE"),
        "describe_stack_events": events,
        "execute_change_set": execute,
    }
    seen: list[tuple[str, str]] = []
    with pytest.raises(DeployError, match=r"UPDATE_ROLLBACK_COMPLETE: Worker \(AWS::X\): no such bundle$"):
        stack.carry_out(Proposal("p", False, ()), lambda name, status: seen.append((name, status)))
    assert [name for name, _ in seen] == ["Key", "Table", "Worker", "Query"]  # each once, in their order


def test_it_waits_for_the_cleaning_up(aws: Aws, stack: Stack) -> None:
    aws.answers["describe_stacks"] = statuses("UPDATE_COMPLETE_CLEANUP_IN_PROGRESS", "UPDATE_COMPLETE")
    assert stack.carry_out(Proposal("p", False, ())).status == "UPDATE_COMPLETE"


def test_a_stack_that_takes_too_long(aws: Aws, stack: Stack) -> None:
    aws.answers["describe_stacks"] = statuses("CREATE_IN_PROGRESS")
    with pytest.raises(DeployError, match="is not ready after 0 s; AWS continues without this command"):
        stack.carry_out(Proposal("p", True, ()))


@pytest.mark.parametrize(
    ("status", "says"),
    [
        (
            "ROLLBACK_COMPLETE",
            r"which no update can leave \(Key \(AWS::X\): denied\): run `dataflow destroy --name fleet`",
        ),
        ("DELETE_FAILED", "which no update can leave"),
        ("UPDATE_IN_PROGRESS", "is being changed"),
        (
            "UPDATE_ROLLBACK_FAILED",
            r"\(Key \(AWS::X\): denied\): mend the cause, then run `aws cloudformation continue-up",
        ),
    ],
)
def test_a_stack_that_cannot_be_changed(aws: Aws, stack: Stack, status: str, says: str) -> None:
    aws.answers |= {
        "describe_stacks": statuses(status),
        "describe_stack_events": lambda **_: {"StackEvents": [event(1, "Key", "CREATE_FAILED", "denied")]},
    }
    with pytest.raises(DeployError, match=says):
        stack.propose(TEMPLATE, {}, {})
    assert "create_change_set" not in aws.named()


def test_removing(aws: Aws, stack: Stack) -> None:
    aws.answers["describe_stacks"] = statuses("DELETE_IN_PROGRESS", None)
    stack.remove()
    aws.answers["describe_stacks"] = statuses("DELETE_FAILED")
    with pytest.raises(DeployError, match="could not be removed and is DELETE_FAILED: see its events"):
        stack.remove()


def test_a_denied_look_is_no_missing_stack(aws: Aws, stack: Stack) -> None:
    def denied(**_: object) -> Any:
        raise refused("AccessDenied", "not for you", 403)

    aws.answers["describe_stacks"] = denied
    with pytest.raises(Exception, match="permission denied"):
        stack.seen()
