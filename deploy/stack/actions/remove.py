"""Removes a deployment: everything that runs; data only if the caller asks for that, too."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from deploy.stack.actions.artifacts import placed
from deploy.stack.actions.change_sets import STUCK, UNMADE, Change, DeployError, Proposal, Stack, Step
from deploy.stack.resources import template
from deploy.stack.resources.resource_names import ResourceNames
from deploy.stack.resources.storage import KEYS
from deploy.stack.settings import TAG
from runtime.aws.access import Access
from runtime.aws.client import Client, ServiceFault
from runtime.aws.retry import Fault

_DAYS = 30  # that KMS waits before it deletes a key
_TABLE_SECONDS = 300.0


@dataclass
class Removal:
    """Removes the deployment ``name``; ``tell`` is called with each phase, ``step`` with each resource. ``role``: under
    which CloudFormation works; None: that of the last change."""

    name: str
    access: Access
    tell: Callable[[str], None] = lambda _: None
    step: Step = lambda *_: None
    role: str | None = None

    def __post_init__(self) -> None:
        self.stack = Stack(self.name, self.access, role=self.role)

    def proposed(self) -> tuple[Change, ...]:
        """What ``stop`` would remove; removes nothing."""
        seen = self.stack.seen()
        if seen is None or seen.status in STUCK:
            return tuple(
                Change("Remove", name, type_, "") for name, type_, _ in (self.stack.resources() if seen else ())
            )
        proposal = self._propose()
        if proposal.changes:
            self.stack.withdraw(proposal)
        return proposal.changes

    def stop(self) -> list[str]:
        """Remove what runs, and the code bucket; returns what remains, as phrases."""
        seen = self.stack.seen()
        if seen is None:
            raise DeployError(f"there is no stack {self.name} in this account and region: check the name and --region")
        if seen.status in STUCK or seen.status == UNMADE:
            self.tell("removing the incomplete stack")
            self.stack.remove(self.step)
        else:
            proposal = self._propose()
            if proposal.changes:
                self.tell("removing what runs")
                self.stack.carry_out(proposal, self.step)
        self._remove_code()
        return self._left()

    def delete(self) -> list[str]:
        """Remove everything, with the data; returns what remains, as phrases. Repeatable after an interruption."""
        found = self.stack.seen() is not None
        if found:
            self.tell("removing the stack")
            self.stack.remove(self.step)
        for kind in ("landing", "data"):
            bucket = placed(self.name, kind, self.access)
            self.tell(f"emptying {bucket.name}")
            found |= bucket.remove(lambda n: self.step(f"{n:,} objects", "DELETED"))
        self.tell("deleting the table")
        found |= self._delete_table()
        keys = [key for kind in ("", "signing") if (key := self._delete_key(kind))]
        self._remove_code()
        if not found and not keys:
            raise DeployError(f"nothing of {self.name} exists in this account and region: check the name and --region")
        return [
            f"the key {key}, which KMS deletes in {_DAYS} days (aws kms cancel-key-deletion prevents it)"
            for key in keys
        ]

    def _propose(self) -> Proposal:
        rest = template.kept(self.stack.template())
        seen = self.stack.seen()
        tags = {} if seen is None else {k: v for k, v in seen.tags.items() if not k.startswith("aws:")}
        return self.stack.propose({"TemplateBody": template.text(rest)}, {}, {**tags, TAG: self.name})

    def _remove_code(self) -> None:
        self.tell("removing the code bucket")
        placed(self.name, "artifacts", self.access).remove()

    def _left(self) -> list[str]:
        seen = self.stack.seen()
        if seen is None:
            return []
        kinds = {
            "AWS::S3::Bucket": "the bucket",
            "AWS::DynamoDB::Table": "the table",
            "AWS::KMS::Key": "the key",
        }
        held = [f"{kinds[type_]} {physical}" for _, type_, physical in self.stack.resources() if type_ in kinds]
        return [f"the stack {self.name} with:", *held]

    def _delete_table(self) -> bool:
        """Whether the table existed."""
        table = ResourceNames(self.name).table
        client = Client("dynamodb", self.access)
        what = f"delete the table {table}"
        try:
            client.call(what, lambda db: db.update_table(TableName=table, DeletionProtectionEnabled=False))
            self._until_active(client, table)
            client.call(what, lambda db: db.delete_table(TableName=table))
        except ServiceFault as error:
            if error.code != "ResourceNotFoundException":
                raise
            return False
        return True

    def _until_active(self, client: Client, table: str) -> None:
        end = time.monotonic() + _TABLE_SECONDS
        while time.monotonic() < end:
            reply = client.call(f"look at the table {table}", lambda db: db.describe_table(TableName=table))
            if reply["Table"]["TableStatus"] == "ACTIVE":
                return
            client.sleep(1.0)
        raise DeployError(f"the table {table} cannot be deleted yet after {_TABLE_SECONDS:.0f} s: try again later")

    def _delete_key(self, kind: str) -> str | None:
        """Schedule the deletion of the key behind an alias; returns its id, None if there is none."""
        alias = ResourceNames(self.name).alias(kind)
        client = Client("kms", self.access)
        try:
            found = client.call(f"find the key {alias}", lambda kms: kms.describe_key(KeyId=alias))["KeyMetadata"]
            if found.get("Description") not in KEYS:
                return None  # another key that happens to have this alias
            client.call(f"delete {alias}", lambda kms: kms.delete_alias(AliasName=alias))
            if found["KeyState"] != "PendingDeletion":
                client.call(
                    f"delete the key {alias}",
                    lambda kms: kms.schedule_key_deletion(KeyId=found["KeyId"], PendingWindowInDays=_DAYS),
                )
        except ServiceFault as error:
            if error.code != "NotFoundException" and error.fault is not Fault.MISSING:
                raise
            return None
        return str(found["KeyId"])
