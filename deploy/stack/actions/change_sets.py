"""Creates, updates and removes CloudFormation stacks through change sets, which show changes in advance."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from deploy.stack.resources.versions import Deployed
from deploy.stack.settings import TAG
from operators.errors import DataflowError
from runtime.aws.access import Access
from runtime.aws.client import Client, ServiceFault

PATIENCE = 3_600.0
"""Seconds to wait for a stack."""

INLINE = 51_200
"""Bytes of the largest template that CloudFormation accepts without a bucket."""

UNMADE = "REVIEW_IN_PROGRESS"
STUCK = ("ROLLBACK_COMPLETE", "ROLLBACK_FAILED", "CREATE_FAILED", "DELETE_FAILED")
"""States of a stack that was never fully created, or cannot be deleted."""

_SAME = ("didn't contain changes", "No updates are to be performed")


class DeployError(DataflowError):
    """A stack that cannot be created, updated or removed."""


@dataclass(frozen=True)
class Change:
    """What a change set does to one resource. ``replaces``: whether it is replaced ("True", "Conditional")."""

    action: str
    name: str
    type: str
    replaces: str


@dataclass(frozen=True)
class Seen:
    """A stack's status, outputs, time of the last change (ISO-8601), parameters and tags."""

    status: str
    outputs: Mapping[str, str]
    changed: str
    parameters: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)


Step = Callable[[str, str], None]
"""Called with (name, status) for every resource that reached a status."""


class Stack:
    """The stack of one name in one account and region. ``role``: under which CloudFormation works; None: that of the
    last change, or the caller's."""

    def __init__(
        self, name: str, access: Access, seconds: float = PATIENCE, pause: float = 2.0, role: str | None = None
    ) -> None:
        self.name = name
        self._role = {} if role is None else {"RoleARN": role}
        self._client = Client("cloudformation", access)
        self._seconds = seconds
        self._pause = pause

    def seen(self) -> Seen | None:
        """The stack's state; None if there is none. ``DeployError`` if it is not a deployment."""
        try:
            reply = self._call("look at", lambda aws: aws.describe_stacks(StackName=self.name))
        except ServiceFault as error:
            if "does not exist" in str(error):
                return None
            raise
        found = reply["Stacks"][0]
        if found["StackStatus"] == "DELETE_COMPLETE":
            return None
        if found["StackStatus"] != UNMADE and all(tag["Key"] != TAG for tag in found.get("Tags", ())):
            raise DeployError(
                f"the stack {self.name} is not a deployment (it has no tag {TAG}): choose another name, or add the "
                "tag if it is one"
            )
        outputs = {o["OutputKey"]: str(o["OutputValue"]) for o in found.get("Outputs", ())}
        changed = found.get("LastUpdatedTime") or found["CreationTime"]
        parameters = {p["ParameterKey"]: str(p["ParameterValue"]) for p in found.get("Parameters", ())}
        tags = {tag["Key"]: str(tag["Value"]) for tag in found.get("Tags", ())}
        return Seen(str(found["StackStatus"]), outputs, changed.isoformat(), parameters, tags)

    def template(self) -> dict[str, Any]:
        """The deployed template."""
        reply = self._call("read the template of", lambda aws: aws.get_template(StackName=self.name))
        body = reply["TemplateBody"]
        found: dict[str, Any] = json.loads(body) if isinstance(body, str) else dict(body)
        return found

    def deployed(self) -> Deployed | None:
        """The deployed template with its parameters; None if the stack was never created."""
        seen = self.seen()
        if seen is None or seen.status == UNMADE or seen.status in STUCK:
            return None
        return Deployed(self.template(), seen.parameters)

    def resources(self) -> list[tuple[str, str, str]]:
        """The logical id, type and physical id of each existing resource."""
        pages = self._pages("list the resources of", "list_stack_resources")
        return [
            (str(r["LogicalResourceId"]), str(r["ResourceType"]), str(r.get("PhysicalResourceId", "")))
            for page in pages
            for r in page["StackResourceSummaries"]
            if r["ResourceStatus"] != "DELETE_COMPLETE"
        ]

    def ready(self) -> Seen | None:
        """The stack, if it can be updated now (None: if it can be created); else ``DeployError``."""
        seen = self.seen()
        if seen is None or seen.status == UNMADE:
            return seen
        if seen.status in STUCK:
            raise DeployError(
                f"the stack {self.name} is in {seen.status}, which no update can leave "
                f"({self.first_failure() or 'see its events'}): run `dataflow destroy --name {self.name}`, then "
                "deploy again"
            )
        if seen.status == "UPDATE_ROLLBACK_FAILED":
            raise DeployError(
                f"the stack {self.name} is in {seen.status} ({self.first_failure() or 'see its events'}): mend the "
                f"cause, then run `aws cloudformation continue-update-rollback --stack-name {self.name}`"
            )
        if seen.status.endswith("_IN_PROGRESS"):
            raise DeployError(f"the stack {self.name} is being changed ({seen.status}): wait until it is done")
        return seen

    def propose(self, template: Mapping[str, str], parameters: Mapping[str, str], tags: Mapping[str, str]) -> Proposal:
        """Create a change set for a template; ``template`` has a ``TemplateBody`` or a ``TemplateURL``."""
        seen = self.ready()
        new = seen is None or seen.status == UNMADE
        name = f"antfold-{time.time_ns()}"
        self._call(
            "make a change set for",
            lambda aws: aws.create_change_set(
                StackName=self.name,
                ChangeSetName=name,
                ChangeSetType="CREATE" if new else "UPDATE",
                Capabilities=["CAPABILITY_IAM"],
                Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in parameters.items()],
                Tags=[{"Key": k, "Value": v} for k, v in tags.items()],
                **self._role,
                **template,
            ),
        )
        status, reason = self._proposed(name)
        if status == "FAILED" and not any(text in reason for text in _SAME):
            self.withdraw(Proposal(name, new, ()))
            raise DeployError(f"CloudFormation rejects the template of {self.name}: {reason}")
        proposal = Proposal(name, new, tuple(self._changes(name)) if status != "FAILED" else ())
        if not proposal.changes:
            self.withdraw(proposal)
        return proposal

    def _proposed(self, name: str) -> tuple[str, str]:
        for _ in self._waiting("the change set"):
            reply = self._call(
                "look at a change set of", lambda aws: aws.describe_change_set(StackName=self.name, ChangeSetName=name)
            )
            if reply["Status"] in ("CREATE_COMPLETE", "FAILED"):
                return str(reply["Status"]), str(reply.get("StatusReason", ""))
        raise AssertionError

    def _changes(self, name: str) -> Iterator[Change]:
        for page in self._pages("look at a change set of", "describe_change_set", ChangeSetName=name):
            for entry in page.get("Changes", ()):
                change = entry["ResourceChange"]
                yield Change(
                    str(change["Action"]),
                    str(change["LogicalResourceId"]),
                    str(change["ResourceType"]),
                    str(change.get("Replacement", "")),
                )

    def withdraw(self, proposal: Proposal) -> None:
        """Delete a change set, and its stack if that was never created; nothing if there is none."""
        if not proposal.name:
            return
        self._call(
            "take back a change set of",
            lambda aws: aws.delete_change_set(StackName=self.name, ChangeSetName=proposal.name),
        )
        if proposal.new:
            self._call("take back", self._delete)

    def carry_out(self, proposal: Proposal, step: Step = lambda *_: None) -> Seen:
        """Execute a change set and wait for it; ``DeployError`` names the resource that failed first."""
        begun = self._newest_event()
        self._call("change", lambda aws: aws.execute_change_set(StackName=self.name, ChangeSetName=proposal.name))
        seen = self._settled(begun, step)
        if seen is None or seen.status not in ("CREATE_COMPLETE", "UPDATE_COMPLETE"):
            status = "gone" if seen is None else seen.status
            why = self.first_failure(begun) or "see its events"
            raise DeployError(f"the stack {self.name} could not be changed and is {status}: {why}")
        return seen

    def remove(self, step: Step = lambda *_: None) -> None:
        """Delete the stack and wait for it; resources that its template retains stay."""
        begun = self._newest_event()
        self._call("remove", self._delete)
        seen = self._settled(begun, step)
        if seen is not None:
            raise DeployError(
                f"the stack {self.name} could not be removed and is {seen.status}: "
                f"{self.first_failure(begun) or 'see its events'}"
            )

    def _delete(self, aws: Any) -> Any:
        return aws.delete_stack(StackName=self.name, **self._role)

    def _settled(self, begun: str, step: Step) -> Seen | None:
        """The stack once nothing is under way any more, telling ``step`` of every event since."""
        reported: set[str] = set()
        for _ in self._waiting("the stack"):
            seen = self.seen()
            for event in reversed(self._events(begun) if seen else []):
                if event["EventId"] not in reported and event["LogicalResourceId"] != self.name:
                    reported.add(event["EventId"])
                    step(str(event["LogicalResourceId"]), str(event["ResourceStatus"]))
            # While "cleaning up", an update is done for users of the stack, but the next change must wait.
            if seen is None or not seen.status.endswith("_IN_PROGRESS"):
                return seen
        raise AssertionError

    def first_failure(self, after: str = "") -> str:
        """The first resource that failed after an event, and why; empty if none did."""
        for event in reversed(self._events(after)):
            if str(event["ResourceStatus"]).endswith("_FAILED") and "cancelled" not in event.get(
                "ResourceStatusReason", ""
            ):
                reason = str(event.get("ResourceStatusReason", "no reason is given")).rstrip(".")
                return f"{event['LogicalResourceId']} ({event['ResourceType']}): {reason}"
        return ""

    def last_failure(self) -> str:
        """The resource whose failure had the stack rolled back last, and why; empty if that is not known."""
        events = self._events("")
        # The events of a change begin with the stack's own first status of it.
        begun = ("CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS", "DELETE_IN_PROGRESS")
        start = next(
            (e for e in events if e["ResourceType"] == "AWS::CloudFormation::Stack" and e["ResourceStatus"] in begun),
            None,
        )
        return self.first_failure("" if start is None else str(start["EventId"]))

    def _newest_event(self) -> str:
        events = self._events("")
        return str(events[0]["EventId"]) if events else ""

    def _events(self, after: str) -> list[dict[str, Any]]:
        """The events after one, newest first."""
        found: list[dict[str, Any]] = []
        try:
            for page in self._pages("read the events of", "describe_stack_events"):
                for event in page["StackEvents"]:
                    if event["EventId"] == after:
                        return found
                    found.append(event)
        except ServiceFault as error:
            if "does not exist" not in str(error):
                raise
        return found

    def _pages(self, verb: str, method: str, **given: str) -> Iterator[Any]:
        """The replies of a paginated request."""
        while True:
            reply = self._call(verb, partial(_send, method, {"StackName": self.name, **given}))
            yield reply
            if not reply.get("NextToken"):
                return
            given["NextToken"] = reply["NextToken"]

    def _waiting(self, what: str) -> Iterator[None]:
        end = time.monotonic() + self._seconds
        pause = min(0.2, self._pause)
        while time.monotonic() < end:
            yield
            self._client.sleep(pause)
            pause = min(self._pause, 1.5 * pause)
        raise DeployError(
            f"{what} {self.name} is not ready after {self._seconds:,.0f} s; AWS continues without this command: "
            "see `dataflow status`"
        )

    def _call(self, verb: str, attempt: Callable[[Any], Any]) -> Any:
        return self._client.call(f"{verb} the stack {self.name}", attempt)


def _send(method: str, arguments: Mapping[str, str], aws: Any) -> Any:
    return getattr(aws, method)(**arguments)


@dataclass(frozen=True)
class Proposal:
    """A change set: its name ("": there is none yet), whether the stack is new, and the changes."""

    name: str
    new: bool
    changes: tuple[Change, ...]
