"""Takes a deployment back to what ran before its last update."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from deploy.stack.actions.artifacts import ArtifactBucket, region
from deploy.stack.actions.change_sets import INLINE, DeployError, Proposal, Stack
from deploy.stack.resources import template
from deploy.stack.resources.former_template import VersionGone, former_template
from deploy.stack.resources.function_resources import BUCKET_PARAMETER
from deploy.stack.settings import TAG
from runtime.aws.access import Access

TEMPLATES = "templates"
"""The prefix of templates in the bucket of the code, each named by its SHA-256."""


class RolledBack(DeployError):
    """An update that was taken back because of an alarm, or because a step of it failed."""


def stored_name(body: str) -> str:
    """The name of a template in the bucket of the code."""
    return f"{TEMPLATES}/{sha256(body.encode()).hexdigest()}.json"


def source(body: str, bucket: ArtifactBucket) -> dict[str, str]:
    """The template as CloudFormation takes it: itself, or the URL of a large one, which is written to the bucket."""
    if len(body.encode()) <= INLINE:
        return {"TemplateBody": body}
    bucket.put(stored_name(body), body.encode())
    return {"TemplateURL": bucket.url(stored_name(body))}


@dataclass
class Rollback:
    """Takes the deployment ``name`` back. The deployed template names the one that it replaced."""

    name: str
    access: Access

    def __post_init__(self) -> None:
        self.access = Access(self.access.profile, region(self.access), self.access.endpoint)
        self.stack = Stack(self.name, self.access)

    def propose(self) -> Proposal:
        """A change set that restores the code, the settings and all other resources of before, at once."""
        seen = self.stack.ready()
        if seen is None:
            raise DeployError(f"there is no stack {self.name} in this account and region: check the name and --region")
        deployed = self.stack.deployed()
        previous = None if deployed is None else deployed.previous
        if deployed is None or previous is None:
            raise DeployError(
                f"{self.name} has no earlier deployment to go back to (only the last update can be taken back): "
                "install the release to go back to, and run `dataflow deploy`"
            )
        parameters = {str(k): str(v) for k, v in previous["parameters"].items()}
        bucket = ArtifactBucket(deployed.parameters[BUCKET_PARAMETER], self.access)
        former = self._read(bucket, str(previous["template"]))
        try:
            found = former_template(former, deployed)
        except VersionGone as error:
            raise DeployError(
                f"{self.name} cannot go back: its version {error} was deleted; install the release to go back to, and "
                "run `dataflow deploy`"
            ) from None
        return self.stack.propose(source(template.text(found), bucket), parameters, {TAG: self.name, **seen.tags})

    def _read(self, bucket: ArtifactBucket, path: str) -> Mapping[str, Any]:
        body = bucket.get(path).decode("utf-8", "replace")
        if stored_name(body) != path:
            raise DeployError(f"{path} in {bucket.name} was altered: its SHA-256 is not the one in its name")
        found: Mapping[str, Any] = json.loads(body)
        return found
