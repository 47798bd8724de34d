"""Deploys: the code into its bucket, the template into a change set, the change set into a stack."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path

from deploy.stack.actions.artifacts import CODE, ArtifactBucket, placed, region
from deploy.stack.actions.change_sets import INLINE, UNMADE, Change, DeployError, Proposal, Seen, Stack, Step
from deploy.stack.actions.preflight import check_concurrency, with_former_keys
from deploy.stack.resources import template
from deploy.stack.resources.function_resources import BUCKET_PARAMETER, BUNDLE_PARAMETER
from deploy.stack.resources.marks import tags
from deploy.stack.settings import StackSettings
from runtime.aws.access import Access


@dataclass
class Deployment:
    """Deploys settings to an account. ``tell`` is called with each phase; ``notes`` are what the user must know."""

    settings: StackSettings
    access: Access
    tell: Callable[[str], None] = lambda _: None
    notes: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.access = replace(self.access, region=self.access.region or self.settings.region)
        self.access = replace(self.access, region=region(self.access))
        self.stack = Stack(self.settings.name, self.access, role=self.settings.service_role)

    def propose(self, bundle: Path | None = None, dry: bool = False) -> Proposal:
        """Build the code (or use ``bundle``), upload it, and create a change set. ``dry``: upload nothing."""
        seen = self.stack.ready()
        check_concurrency(self.settings, self.access)
        if seen is not None and seen.status != UNMADE:
            self._keep_keys()
        bucket = self._bucket(dry)
        with tempfile.TemporaryDirectory(prefix="antfold-deploy-") as folder:
            code = (bundle or self._build(Path(folder) / "bundle.zip")).read_bytes()
        key = f"{CODE}/{sha256(code).hexdigest()}.zip"
        if not dry:
            self.tell("uploading the code")
            bucket.put(key, code)
        body = template.text(template.template(self.settings))
        if dry and len(body.encode()) > INLINE and not bucket.exists():
            return self._first(seen)
        source = self._source(bucket, body)
        self.tell("creating a change set")
        parameters = {BUCKET_PARAMETER: bucket.name, BUNDLE_PARAMETER: key}
        return self.stack.propose(source, parameters, tags(self.settings))

    def _bucket(self, dry: bool) -> ArtifactBucket:
        given = self.settings.artifacts_bucket
        bucket = ArtifactBucket(given, self.access) if given else placed(self.settings.name, "artifacts", self.access)
        if given and not bucket.exists():
            raise DeployError(f"the artifacts_bucket {given} does not exist: create it, or remove the setting")
        if not given and not dry:
            bucket.make(tags(self.settings))
        return bucket

    def _keep_keys(self) -> None:
        """Older objects stay readable when the key is another one."""
        self.settings, added = with_former_keys(self.settings, self.stack.template())
        if added:
            now = self.settings.kms_key or "the deployment's own"
            self.notes.append(
                f"the key is now {now}; what was written under {' and '.join(added)} stays encrypted with it and "
                "readable, as long as that key exists: keep "
                f"former_kms_keys = {json.dumps(list(self.settings.former_kms_keys))} in the file, to see it there"
            )

    def _first(self, seen: Seen | None) -> Proposal:
        """What a first deployment would create, without CloudFormation, which reads a large template from a bucket."""
        if seen is not None and seen.status != UNMADE:
            raise DeployError("the bucket of the code is gone, so changes cannot be shown: deploy without --dry-run")
        made = template.table(self.settings)
        return Proposal("", True, tuple(Change("Add", name, made[name].type, "") for name in sorted(made)))

    def _source(self, bucket: ArtifactBucket, body: str) -> dict[str, str]:
        """The template, or the URL of a large one in the bucket."""
        if len(body.encode()) <= INLINE:
            return {"TemplateBody": body}
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
