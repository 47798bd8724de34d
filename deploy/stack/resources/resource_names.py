"""Names of buckets, table and functions, known before creation so that policies can refer to them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from urllib.parse import quote

from deploy.stack.resources.cloudformation import Value, sub
from runtime.aws.access import Access

STORE = "store"
"""The prefix of the deployment's store in the data bucket."""

LANDING = "landing"
"""The prefix of the landing bucket with a folder per stream."""

TENANTS = "tenants"

LIVE = "live"
"""The alias through which functions are called."""


@dataclass(frozen=True)
class ResourceNames:
    """The names of a deployment. Bucket names are global, so they contain the account and the region."""

    name: str

    def bucket(self, kind: str) -> str:
        """The name of the ``data``, ``landing`` or ``artifacts`` bucket, for ``Fn::Sub``."""
        return f"{self.name}-{kind}-${{AWS::AccountId}}-${{AWS::Region}}"

    def bucket_arn(self, kind: str, path: str = "") -> Value:
        """The ARN of a bucket, or of objects in it (``path`` may end in a star)."""
        return sub(f"arn:${{AWS::Partition}}:s3:::{self.bucket(kind)}" + (f"/{path}" if path else ""))

    def store_arn(self, path: str) -> Value:
        """The ARN of objects of the store."""
        return self.bucket_arn("data", f"{STORE}/{path}")

    def arn(self, service: str, rest: str) -> Value:
        """An ARN in this account and region."""
        return sub(f"arn:${{AWS::Partition}}:{service}:${{AWS::Region}}:${{AWS::AccountId}}:{rest}")

    def function(self, kind: str) -> str:
        """The name of a function, for its own settings and metrics; callers use its alias."""
        return f"{self.name}-{kind}"

    def function_arn(self, kind: str) -> Value:
        """The ARN of a function."""
        return self.arn("lambda", f"function:{self.function(kind)}")

    def live_name(self, kind: str) -> str:
        """The name by which a function is called: that of its alias."""
        return f"{self.function(kind)}:{LIVE}"

    def alias_arn(self, kind: str) -> Value:
        """The ARN by which a function is called."""
        return self.arn("lambda", f"function:{self.live_name(kind)}")

    @property
    def queue(self) -> str:
        """The queue of new objects for ingest."""
        return f"{self.name}-ingest"

    @property
    def dead(self) -> str:
        """The dead-letter queue of ingest."""
        return f"{self.name}-dead"

    @property
    def missed(self) -> str:
        """The queue of runs that the scheduler could not start."""
        return f"{self.name}-missed"

    @property
    def delivery_log(self) -> str:
        """The log group of all streams' Firehoses."""
        return f"/aws/kinesisfirehose/{self.name}"

    def alarm(self, what: str) -> str:
        """The name of an alarm."""
        return f"{self.name}-{what}"

    @property
    def waiting(self) -> str:
        """The alarm on the age of the oldest message of the queue, which reconcile asks."""
        return self.alarm("waiting")

    @property
    def table(self) -> str:
        """The catalogue's table; not the default table of stores, which may exist, too."""
        return f"{self.name}-catalogue"

    @property
    def table_arn(self) -> Value:
        """The ARN of the catalogue's table."""
        return self.arn("dynamodb", f"table/{self.table}")

    @property
    def owner(self) -> str:
        """The prefix of the store's partition keys in the table, for ``Fn::Sub``."""
        return f"{self.bucket('data')}/{STORE}|"

    @property
    def store_url(self) -> Value:
        """The store's URL."""
        return sub(f"s3://{self.bucket('data')}/{STORE}?table={self.table}")

    def delivery(self, stream: str) -> str:
        """The Firehose of a stream."""
        return f"{self.name}-{stream}"

    def alias(self, kind: str = "") -> str:
        """The alias of the data key, or of another kind of key."""
        return f"alias/{self.name}" + (f"-{kind}" if kind else "")


def errors_command(function: str, since: str) -> str:
    """The command that shows why a function failed: in its own lines, or in Lambda's if it died of time or memory."""
    return f"aws logs tail /aws/lambda/{function} --since {since} --filter-pattern '?error ?timed ?timeout'"


def reached(store: str, access: Access) -> str:
    """The URL of a deployment's store, with profile, region and endpoint if given."""
    return store + "".join(f"&{k}={quote(v, safe=':/')}" for k, v in asdict(access).items() if v)
