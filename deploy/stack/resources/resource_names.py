"""Names of buckets, table and functions, known before creation so that policies can refer to them."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from urllib.parse import quote

from deploy.stack.resources.cloudformation import Value, sub
from runtime.aws.access import Access

STORE = "store"
"""The prefix of the deployment's store in the data bucket."""

LANDING = "landing"
"""The prefix in the landing bucket below which each stream's objects arrive."""

TENANTS = "tenants"


@dataclass(frozen=True)
class ResourceNames:
    """The names of a deployment. S3's are of the whole world, so they carry the account and the region."""

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
        """The name of a function."""
        return f"{self.name}-{kind}"

    def function_arn(self, kind: str) -> Value:
        """The ARN of a function."""
        return self.arn("lambda", f"function:{self.function(kind)}")

    @property
    def queue(self) -> str:
        """Where the news of arrived objects waits for ingest."""
        return f"{self.name}-ingest"

    @property
    def dead(self) -> str:
        """Where news goes that ingest failed on too often."""
        return f"{self.name}-dead"

    @property
    def table(self) -> str:
        """The catalogue's table. It is not that of stores which are made without naming one: they may be there, too."""
        return f"{self.name}-catalogue"

    @property
    def table_arn(self) -> Value:
        """The ARN of the catalogue's table."""
        return self.arn("dynamodb", f"table/{self.table}")

    @property
    def owner(self) -> str:
        """How partitions of the deployment's store in the table begin, for ``Fn::Sub``."""
        return f"{self.bucket('data')}/{STORE}|"

    @property
    def store_url(self) -> Value:
        """The store's URL."""
        return sub(f"s3://{self.bucket('data')}/{STORE}?table={self.table}")

    def delivery(self, stream: str) -> str:
        """The Firehose that takes points of a stream."""
        return f"{self.name}-{stream}"

    def alias(self, kind: str = "") -> str:
        """The alias of the key of the data, or of another kind of key."""
        return f"alias/{self.name}" + (f"-{kind}" if kind else "")


def reached(store: str, access: Access) -> str:
    """The URL of a deployment's store, with how it is reached where that is not left to the AWS configuration."""
    return store + "".join(f"&{k}={quote(v, safe=':/')}" for k, v in asdict(access).items() if v)
