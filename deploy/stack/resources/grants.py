"""IAM grants of every role; nothing else grants anything."""

from __future__ import annotations

from deploy.stack.resources.cloudformation import Grant, Value, arn, ref, sub
from deploy.stack.resources.resource_names import LANDING, STORE, TENANTS, ResourceNames
from deploy.stack.resources.storage import former_keys, key
from deploy.stack.resources.versions import version_of
from deploy.stack.settings import StackSettings
from runtime.catalogue.store_notes import NOTE
from runtime.live.deliveries import FOLDER
from runtime.schedules.scheduled_run import ALERTS


class Grants:
    """The grants of one deployment, by role."""

    def __init__(self, settings: StackSettings) -> None:
        self.places = ResourceNames(settings.name)
        self.key = key(settings)
        self.former = former_keys(settings)
        self.deliver_to = sorted({s.deliver for s in settings.schedules if s.deliver is not None})
        """Where schedules deliver changes: ``ALERTS``, and the ARNs of topics."""

    def with_former(self, grants: tuple[Grant, ...]) -> tuple[Grant, ...]:
        """The grants of a role; if it may decrypt, also what older objects are encrypted with."""
        reads = any("kms:Decrypt" in grant.actions and self.key in grant.resources for grant in grants)
        return (*grants, Grant(("kms:Decrypt",), self.former)) if reads and self.former else grants

    def worker(self) -> tuple[Grant, ...]:
        """Reads points and kernels, writes large partial states; no access to the catalogue."""
        return (
            self._read("data/*", "carry/*", "kernels/*", "spill/*"),
            self._write("spill/*"),
            self._seal(),
            self._verify(),
        )

    def ingest(self) -> tuple[Grant, ...]:
        """Reads the landing bucket, adds points and commits; deletes nothing."""
        return (
            Grant(("s3:GetObject", "s3:GetObjectVersion"), (self.places.bucket_arn("landing", f"{LANDING}/*"),)),
            self._look("landing"),
            self._list("data", f"{STORE}/data/*"),  # whether a store without a catalogue has points
            self._read("data/*", "rejects/*"),  # to compare, when a PUT finds an existing object
            self._write("data/*", "rejects/*"),
            self._catalogue("dynamodb:GetItem", "dynamodb:Query"),
            self._commit(),
            self._receive(),
            self._seal(),
        )

    def query(self) -> tuple[Grant, ...]:
        """Reads the store, writes results and partial states, invokes workers and relays; where a schedule delivers
        changes, also keeps its deliveries and how far they came."""
        return (
            self._read("*"),
            self._look("data"),
            self._write("spill/*", "results/*", "cache/*", "carry/*"),
            self._catalogue("dynamodb:GetItem", "dynamodb:Query"),
            # As a coordinator it calls the worker's version that was published with it, as a relay of a query from
            # elsewhere also the alias; another relay is called through its alias.
            Grant(
                ("lambda:InvokeFunction",),
                (self.places.alias_arn("worker"), version_of("Worker"), self.places.alias_arn("query")),
            ),
            # The kernels needed depend on the worker's machine.
            Grant(("lambda:GetFunctionConfiguration",), (self.places.alias_arn("worker"), version_of("Worker"))),
            Grant(("sns:Publish",), (ref("Alerts"), *(topic for topic in self.deliver_to if topic != ALERTS))),
            self._seal(),
            self._verify(),
            *(self._deliveries() if self.deliver_to else ()),
        )

    def _deliveries(self) -> tuple[Grant, ...]:
        """Kept deliveries are deleted once they are delivered; how far they came is noted in a partition of
        the catalogue that has notes only."""
        return (
            self._write(f"{FOLDER}/*"),
            Grant(("s3:DeleteObject",), (self.places.store_arn(f"{FOLDER}/*"),)),
            self._commit("dynamodb:PutItem", partition=NOTE),
        )

    def reconcile(self) -> tuple[Grant, ...]:
        """Compares the landing bucket with the catalogue, and enqueues missing objects that do not wait already."""
        return (
            self._list("landing", f"{LANDING}/*"),
            self._catalogue("dynamodb:GetItem", "dynamodb:Query"),
            self._commit(),  # how far it came
            Grant(("sqs:SendMessage",), (arn("Queue"),)),
            Grant(("sqs:GetQueueAttributes",), (arn("Queue"), arn("DeadLetters"))),
            Grant(("cloudwatch:DescribeAlarms",), (self.places.arn("cloudwatch", f"alarm:{self.places.waiting}"),)),
            Grant(("lambda:InvokeFunction",), (self.places.alias_arn("reconcile"),)),  # itself, for the rest
            Grant(("kms:Decrypt",), (self.key,)),
        )

    def compact(self) -> tuple[Grant, ...]:
        """Rewrites points into fewer files; the sweep deletes the replaced ones."""
        return (
            self._read("data/*"),
            self._write("data/*"),
            self._catalogue("dynamodb:GetItem", "dynamodb:Query"),
            self._commit(),
            Grant(("lambda:InvokeFunction",), (self.places.alias_arn("compact"),)),  # itself, for the rest
            self._seal(),
        )

    def retain(self) -> tuple[Grant, ...]:
        """Writes what is left of files that a floor crosses, and last values; the sweep deletes the replaced ones."""
        return (
            self._read("data/*", "retention/*"),
            self._list("data", f"{STORE}/retention/*"),
            self._write("data/*"),
            self._catalogue("dynamodb:GetItem", "dynamodb:Query"),
            self._commit(),
            Grant(("lambda:InvokeFunction",), (self.places.alias_arn("retain"),)),  # itself, for the rest
            self._seal(),
        )

    def sweep(self) -> tuple[Grant, ...]:
        """Deletes what nothing needs any more, of what was erased all versions: the only role that deletes.

        After an erasure it also deletes the states of queries that may have begun before it; which these are is known
        from the published queries.
        """
        deletes = ("data/*", "rejects/*", "cache/*", "carry/*")
        return (
            Grant(
                ("s3:DeleteObject", "s3:DeleteObjectVersion"), tuple(self.places.store_arn(path) for path in deletes)
            ),
            self._list("data", *(f"{STORE}/{path}" for path in (*deletes, "queries/*", "results/*", "deliveries/*"))),
            Grant(
                ("s3:ListBucketVersions",),
                (self.places.bucket_arn("data"),),
                {"StringLike": {"s3:prefix": [f"{STORE}/{path}" for path in deletes]}},
            ),
            self._read("data/*", "queries/*"),
            self._catalogue("dynamodb:GetItem", "dynamodb:Query"),
            self._commit("dynamodb:PutItem"),  # the claims of what was never committed
            Grant(("kms:Decrypt",), (self.key,)),
        )

    def delivery(self) -> tuple[Grant, ...]:
        """Firehose: writes to the landing bucket, with the grants that its documentation requires."""
        return (
            Grant(
                ("s3:PutObject", "s3:AbortMultipartUpload", "s3:GetObject"),
                tuple(self.places.bucket_arn("landing", f"{place}/*") for place in (LANDING, "errors")),
            ),
            Grant(("s3:GetBucketLocation", "s3:ListBucketMultipartUploads"), (self.places.bucket_arn("landing"),)),
            self._look("landing"),
            self._seal(),
            Grant(
                ("logs:PutLogEvents",), (self.places.arn("logs", f"log-group:{self.places.delivery_log}:log-stream:*"),)
            ),
        )

    def scheduler(self) -> tuple[Grant, ...]:
        """EventBridge Scheduler: invokes the scheduled functions, and keeps what it could not."""
        scheduled = ("query", "reconcile", "compact", "retain", "sweep")
        return (
            Grant(("lambda:InvokeFunction",), tuple(map(self.places.alias_arn, scheduled))),
            Grant(("sqs:SendMessage",), (arn("MissedSchedules"),)),
        )

    def tenant(self, name: str) -> tuple[Grant, ...]:
        """One tenant: reads its own prefix and its own part of the catalogue."""
        place = f"{TENANTS}/{name}"
        return (
            Grant(("s3:GetObject",), (self.places.bucket_arn("data", f"{place}/*"),)),
            self._list("data", f"{place}/*"),
            self._catalogue("dynamodb:GetItem", "dynamodb:Query", owner=f"{self.places.bucket('data')}/{place}|"),
            Grant(("kms:Decrypt",), (self.key,)),
        )

    def logs(self, function: str) -> Grant:
        """A function writes its own log."""
        return Grant(("logs:CreateLogStream", "logs:PutLogEvents"), (self._log_group(function),))

    def _log_group(self, function: str) -> Value:
        return self.places.arn("logs", f"log-group:/aws/lambda/{self.places.function(function)}:*")

    def _read(self, *paths: str) -> Grant:
        return Grant(("s3:GetObject",), tuple(self.places.store_arn(path) for path in paths))

    def _write(self, *paths: str) -> Grant:
        return Grant(("s3:PutObject",), tuple(self.places.store_arn(path) for path in paths))

    def _look(self, bucket: str) -> Grant:
        """Lets S3 report a missing object as missing, not as denied: that needs permission to list, by any prefix."""
        return Grant(("s3:ListBucket",), (self.places.bucket_arn(bucket),))

    def _list(self, bucket: str, *prefixes: str) -> Grant:
        return Grant(
            ("s3:ListBucket",), (self.places.bucket_arn(bucket),), {"StringLike": {"s3:prefix": list(prefixes)}}
        )

    def _catalogue(self, *actions: str, owner: str | None = None) -> Grant:
        """Reads of one store's items; ``ForAllValues`` is true for no values, so ``Null`` requires some."""
        return Grant(actions, (self.places.table_arn,), self._owned(owner))

    def _commit(self, *actions: str, partition: str = "*") -> Grant:
        """Writes to the catalogue, in transactions only; commits check items, too."""
        together = {"StringEquals": {"dynamodb:EnclosingOperation": "TransactWriteItems"}}
        asked = actions or ("dynamodb:PutItem", "dynamodb:ConditionCheckItem")
        return Grant(asked, (self.places.table_arn,), self._owned(partition=partition) | together)

    def _owned(self, owner: str | None = None, partition: str = "*") -> dict[str, Value]:
        return {
            "ForAllValues:StringLike": {"dynamodb:LeadingKeys": [sub(f"{owner or self.places.owner}{partition}")]},
            "Null": {"dynamodb:LeadingKeys": "false"},
        }

    def _receive(self) -> Grant:
        """Lambda takes messages; the function says when one that failed is delivered again."""
        actions = ("ReceiveMessage", "DeleteMessage", "GetQueueAttributes", "ChangeMessageVisibility")
        return Grant(tuple(f"sqs:{action}" for action in actions), (arn("Queue"),))

    def _seal(self) -> Grant:
        return Grant(("kms:Decrypt", "kms:GenerateDataKey"), (self.key,))

    def _verify(self) -> Grant:
        return Grant(("kms:VerifyMac",), (arn("SigningKey"),))
