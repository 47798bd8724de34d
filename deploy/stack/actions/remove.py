"""Removes a deployment: everything that runs; data only if the caller asks for that, too."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from deploy.stack.actions.artifacts import placed
from deploy.stack.actions.change_sets import STUCK, TAG, UNMADE, Change, DeployError, Proposal, Stack, Step
from deploy.stack.resources import template
from deploy.stack.resources.resource_names import ResourceNames
from deploy.stack.resources.storage import KEYS
from runtime.aws.access import Access
from runtime.aws.client import Client, ServiceFault
from runtime.aws.retry import Fault

_DAYS = 30  # that KMS waits before a key is gone for good
_TABLE_SECONDS = 300.0


@dataclass
class Removal:
    """Removes the deployment ``name``; ``tell`` hears what is begun, ``step`` of every resource."""

    name: str
    access: Access
    tell: Callable[[str], None] = lambda _: None
    step: Step = lambda *_: None

    def __post_init__(self) -> None:
        self.stack = Stack(self.name, self.access)

    def proposed(self) -> tuple[Change, ...]:
        """What ``stop`` would remove; nothing is."""
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
        """Remove all but what holds data, and the code's bucket; what is left, as phrases."""
        seen = self.stack.seen()
        if seen is None:
            raise DeployError(f"there is no stack {self.name} in this account and region: check the name and --region")
        if seen.status in STUCK or seen.status == UNMADE:
            self.tell("removing what was never whole")
            self.stack.remove(self.step)
        else:
            proposal = self._propose()
            if proposal.changes:
                self.tell("removing what runs")
                self.stack.carry_out(proposal, self.step)
        self._remove_code()
        return self._left()

    def delete(self) -> list[str]:
        """Remove everything, with the data; what is left, as phrases. May be repeated when it was cut short."""
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
            raise DeployError(
                f"there is nothing of {self.name} in this account and region: check the name and --region"
            )
        return [
            f"the key {key}, which KMS deletes in {_DAYS} days (aws kms cancel-key-deletion keeps it)" for key in keys
        ]

    def _propose(self) -> Proposal:
        rest = template.kept(self.stack.template())
        return self.stack.propose({"TemplateBody": template.text(rest)}, {}, {TAG: self.name})

    def _remove_code(self) -> None:
        self.tell("removing the code's bucket")
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
        return [f"the stack {self.name}, of which there are left:", *held]

    def _delete_table(self) -> bool:
        """Whether there was one."""
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
        raise DeployError(f"the table {table} is not ready to be deleted after {_TABLE_SECONDS:.0f} s: repeat later")

    def _delete_key(self, kind: str) -> str | None:
        """Have KMS delete the key behind an alias; its id, None if there is none."""
        alias = ResourceNames(self.name).alias(kind)
        client = Client("kms", self.access)
        try:
            found = client.call(f"find the key {alias}", lambda kms: kms.describe_key(KeyId=alias))["KeyMetadata"]
            if found.get("Description") not in KEYS:
                return None  # somebody's own, which happens to be called so
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
