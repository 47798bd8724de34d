"""Deploys: the code into its bucket, the template into a change set, the change set into a stack."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path

from deploy.stack.actions.artifacts import CODE, ArtifactBucket, placed, region
from deploy.stack.actions.change_sets import INLINE, TAG, DeployError, Proposal, Seen, Stack, Step
from deploy.stack.resources import template
from deploy.stack.resources.function_resources import BUCKET_PARAMETER, BUNDLE_PARAMETER, functions
from deploy.stack.settings import StackSettings
from runtime.aws.access import Access
from runtime.aws.client import Client

_UNRESERVED = 100
"""Concurrent executions that AWS keeps for functions without a reservation."""


@dataclass
class Deployment:
    """Deploys settings to an account. ``tell`` is called with each phase."""

    settings: StackSettings
    access: Access
    tell: Callable[[str], None] = lambda _: None

    def __post_init__(self) -> None:
        self.access = replace(self.access, region=self.access.region or self.settings.region)
        self.access = replace(self.access, region=region(self.access))
        self.stack = Stack(self.settings.name, self.access)

    def propose(self, bundle: Path | None = None, dry: bool = False) -> Proposal:
        """Build the code (or use ``bundle``), upload it, and create a change set. ``dry``: upload nothing."""
        self.stack.ready()
        self._check_concurrency()
        bucket = self._bucket(dry)
        with tempfile.TemporaryDirectory(prefix="antfold-deploy-") as folder:
            code = (bundle or self._build(Path(folder) / "bundle.zip")).read_bytes()
        key = f"{CODE}/{sha256(code).hexdigest()}.zip"
        if not dry:
            self.tell("uploading the code")
            bucket.put(key, code)
        source = self._source(bucket, dry)
        self.tell("creating a change set")
        parameters = {BUCKET_PARAMETER: bucket.name, BUNDLE_PARAMETER: key}
        return self.stack.propose(source, parameters, {TAG: self.settings.name})

    def _bucket(self, dry: bool) -> ArtifactBucket:
        given = self.settings.artifacts_bucket
        bucket = ArtifactBucket(given, self.access) if given else placed(self.settings.name, "artifacts", self.access)
        if given and not bucket.exists():
            raise DeployError(f"the artifacts_bucket {given} does not exist: create it, or remove the setting")
        if not given and not dry:
            bucket.make()
        return bucket

    def _source(self, bucket: ArtifactBucket, dry: bool) -> dict[str, str]:
        """The template, or the URL of a large one in the bucket."""
        body = template.text(template.template(self.settings))
        if len(body.encode()) <= INLINE:
            return {"TemplateBody": body}
        if dry and not bucket.exists():
            raise DeployError(
                f"the template has {len(body.encode()):,} bytes: over {INLINE:,} CloudFormation reads it from "
                f"{bucket.name}, which the first deployment creates; there is nothing to compare with yet"
            )
        name = f"templates/{sha256(body.encode()).hexdigest()}.json"
        bucket.put(name, body.encode())
        return {"TemplateURL": bucket.url(name)}

    def carry_out(self, proposal: Proposal, step: Step) -> Seen:
        """Execute a proposal."""
        return self.stack.carry_out(proposal, step)

    def _build(self, out: Path) -> Path:
        from deploy.bundle import build
        from deploy.bundle.making import PYTHON

        self.tell("building the code")
        if not build(out, self.settings.architecture).bytecode:
            self.tell(f"no python{PYTHON} here to compile bytecode: cold starts take about 200 ms longer")
        return out

    def _check_concurrency(self) -> None:
        """Raises, before anything is created, if the account's limit is too low for the reservations."""
        client = Client("lambda", self.access)
        limits = client.call("read the account's limits", lambda aws: aws.get_account_settings())["AccountLimit"]
        limit = int(limits["ConcurrentExecutions"])
        wanted = sum(f.concurrency for f in functions(self.settings))
        fitting = limit - _UNRESERVED - (wanted - self.settings.worker_concurrency)
        if fitting < self.settings.worker_concurrency:
            less = f"set worker_concurrency to {fitting:,} or less, or " if fitting >= 2 else ""
            raise DeployError(
                f"the functions would reserve {wanted:,} concurrent executions; this account's limit is {limit:,} in "
                f"{self.access.region}, of which AWS keeps {_UNRESERVED} free: {less}request a higher limit (Service "
                "Quotas, AWS Lambda, concurrent executions)"
            )
