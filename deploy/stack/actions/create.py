"""Deploys: the code into its bucket, the template into a change set, the change set into a stack."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

from deploy.stack.actions.artifacts import CODE, ArtifactBucket, placed, region
from deploy.stack.actions.change_sets import INLINE, UNMADE, Change, DeployError, Proposal, Seen, Stack, Step
from deploy.stack.actions.preflight import check_concurrency, with_former_keys
from deploy.stack.actions.renewal import renew_kernels
from deploy.stack.actions.rollback import Rollback, RolledBack, source, stored_name
from deploy.stack.actions.watch import Watch
from deploy.stack.resources import template
from deploy.stack.resources.function_resources import BUCKET_PARAMETER, BUNDLE_PARAMETER
from deploy.stack.resources.marks import tags
from deploy.stack.resources.versions import Deployed
from deploy.stack.settings import StackSettings
from runtime.aws.access import Access
from runtime.aws.client import ServiceFault


@dataclass
class Deployment:
    """Deploys settings to an account. ``tell`` is called with each phase; ``notes`` are what the user must know."""

    settings: StackSettings
    access: Access
    tell: Callable[[str], None] = lambda _: None
    notes: list[str] = field(default_factory=list)

    before: Deployed | None = field(init=False, default=None)
    previous: Mapping[str, Any] | None = field(init=False, default=None)
    first: Mapping[str, Any] = field(init=False, default_factory=dict)
    parameters: Mapping[str, str] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.access = replace(self.access, region=self.access.region or self.settings.region)
        self.access = replace(self.access, region=region(self.access))
        self.stack = Stack(self.settings.name, self.access, role=self.settings.service_role)

    @property
    def share(self) -> float:
        """The share of calls that a new version gets first; 0: all at once."""
        return self.settings.shift_share if self.settings.shift_minutes else 0.0

    @property
    def shifts(self) -> list[str]:
        """The functions, by logical id, of which the first update gives a new version a share of the calls."""
        return sorted(title for title, routed in Deployed(self.first).routed.items() if routed.following)

    def propose(self, bundle: Path | None = None, dry: bool = False) -> Proposal:
        """Build the code (or use ``bundle``), upload it, and create a change set. ``dry``: upload nothing.

        It is the first of two if ``shifts`` names functions; it has no changes if an interrupted update is continued.
        """
        seen = self.stack.ready()
        check_concurrency(self.settings, self.access)
        self.before = self.stack.deployed()
        if self.before is not None:
            self._keep_keys(self.before)
        bucket = self._bucket(dry)
        with tempfile.TemporaryDirectory(prefix="antfold-deploy-") as folder:
            code = (bundle or self._build(Path(folder) / "bundle.zip")).read_bytes()
        key = f"{CODE}/{sha256(code).hexdigest()}.zip"
        if not dry:
            self.tell("uploading the code")
            bucket.put(key, code)
        self.bucket, self.parameters = bucket, {BUCKET_PARAMETER: bucket.name, BUNDLE_PARAMETER: key}
        self.previous = self._previous(dry)
        self.first = self._template(self.share, self.before)
        if dry and len(template.text(self.first).encode()) > INLINE and not bucket.exists():
            return self._first(seen)
        self.tell("creating a change set")
        return self._propose(self.first)

    def _template(self, share: float, before: Deployed | None) -> dict[str, Any]:
        return template.template(self.settings, self.parameters[BUNDLE_PARAMETER], before, share, self.previous)

    def _propose(self, found: Mapping[str, Any]) -> Proposal:
        body = source(template.text(found), self.bucket)
        return self.stack.propose(body, self.parameters, tags(self.settings))

    def _previous(self, dry: bool) -> Mapping[str, Any] | None:
        """What a rollback restores: what is deployed now; after an interrupted update what that one replaced."""
        # Of a release without aliases there is no way back: it knows sources of objects by other ids, and would ingest
        # again what came since.
        if self.before is None or not self.before.runs or not self.before.routed:
            return None
        self.previous = self.before.previous
        same = self.parameters == self.before.parameters
        body = template.text(self.before.template)
        if self.before.shifting or (same and template.text(self._template(self.share, self.before)) == body):
            return self.previous
        if not dry:
            self.bucket.put(stored_name(body), body.encode())
        return {"template": stored_name(body), "parameters": dict(self.before.parameters)}

    def _bucket(self, dry: bool) -> ArtifactBucket:
        given = self.settings.artifacts_bucket
        bucket = ArtifactBucket(given, self.access) if given else placed(self.settings.name, "artifacts", self.access)
        if given and not bucket.exists():
            raise DeployError(f"the artifacts_bucket {given} does not exist: create it, or remove the setting")
        if not given and not dry:
            bucket.make(tags(self.settings))
        return bucket

    def _keep_keys(self, before: Deployed) -> None:
        """Older objects stay readable when the key is another one."""
        self.settings, added = with_former_keys(self.settings, before.template)
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
        made = self.first["Resources"]
        return Proposal("", True, tuple(Change("Add", name, made[name]["Type"], "") for name in sorted(made)))

    def carry_out(self, proposal: Proposal, step: Step) -> Seen:
        """Execute a proposal."""
        return self.stack.carry_out(proposal, step)

    def renew_kernels(self) -> list[str]:
        """Give published queries kernels of this release, if the code changes; sentences on those without."""
        if self.before is None or self.before.parameters.get(BUNDLE_PARAMETER) == self.parameters[BUNDLE_PARAMETER]:
            return []
        seen = self.stack.seen()
        self.tell("making kernels for published queries")
        return [] if seen is None else renew_kernels(seen.outputs, self.settings.architecture, self.access)

    def watch(self) -> Watch:
        """A watch over the alarms, to be made before the first update: what rings already is not held against it."""
        watch = Watch(self.stack, self.access)
        names = watch.names() if self.before is not None and not self.before.shifting else []
        before = frozenset(names) if names else None
        return replace(watch, ignored=frozenset(alarm.name for alarm in watch.ringing(names)), before=before)

    def shift(self, watch: Watch, report: Callable[[float, int], None], step: Step) -> Seen:
        """Watch the alarms for ``shift_minutes``, then let the new versions have all calls.

        If an alarm rings, or the second update fails, what ran before is restored, and RolledBack says why.
        """
        alarm = watch.quiet_for(60.0 * self.settings.shift_minutes, report)
        if alarm is not None:
            raise self._taken_back(str(alarm), step)
        self.tell("all calls to the new version")
        try:
            return self.stack.carry_out(self._propose(self._template(0.0, self.stack.deployed())), step)
        except DeployError as error:
            raise self._taken_back(str(error), step) from error

    def _taken_back(self, why: str, step: Step) -> RolledBack:
        """The error to raise after the update was taken back."""
        name = self.settings.name
        self.tell("taking the update back")
        try:
            rollback = Rollback(name, self.access)
            rollback.stack.carry_out(rollback.propose(), step)
        except (DeployError, ServiceFault) as error:
            return RolledBack(
                f"the update of {name} failed: {why}; and it could not be taken back: {error}. "
                f"Run `dataflow deploy --rollback`"
            )
        return RolledBack(f"the update of {name} was taken back, and what ran before has all calls again: {why}")

    def _build(self, out: Path) -> Path:
        from deploy.bundle import build
        from deploy.bundle.making import PYTHON

        self.tell("building the code")
        if not build(out, self.settings.architecture).bytecode:
            self.tell(f"no python{PYTHON} here to compile bytecode: cold starts take about 200 ms longer")
        return out
