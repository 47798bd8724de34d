"""The template that takes a deployment back to what ran before."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from deploy.stack.resources.cloudformation import Value, arn, ref
from deploy.stack.resources.storage import KEYS_OF, deployed_keys
from deploy.stack.resources.versions import FUNCTION, NOTE, VERSION, Deployed
from deploy.stack.settings import CREATED
from operators.errors import Portable


class VersionGone(Portable, ValueError):
    """A version that the former template needs was deleted: its logical id."""


def former_template(former: Mapping[str, Any], deployed: Deployed) -> dict[str, Any]:
    """The template ``former``, changed so that it can replace the deployed one.

    The aliases lead to the versions of that time again, which still exist: nothing is published anew. The versions that
    run now stay beside them, so that their calls under way can end. Versions of even earlier times, which the deployed
    template does not have, are left out. Raises VersionGone if a version is missing.
    """
    found: dict[str, Any] = json.loads(json.dumps(former))
    resources, then = found["Resources"], Deployed(former)
    live = {routed.live for routed in then.routed.values()}
    there = {name for name, r in deployed.resources.items() if r["Type"] == VERSION}
    if missing := sorted(live - there):
        raise VersionGone(missing[0])
    for name in [n for n, r in resources.items() if r["Type"] == VERSION and n not in live]:
        del resources[name]
    now: dict[str, list[str]] = {}
    for title, resource in list(resources.items()):
        if resource["Type"] == FUNCTION and title in then.routed:
            now[title] = [v for v in deployed.versions(title) if v not in live]
            resources |= {name: dict(deployed.resources[name]) for name in now[title]}
    beside = {then.routed[title].live: names for title, names in now.items()}
    for resource in resources.values():
        if resource["Type"] == "AWS::IAM::Role":
            resource["Properties"] = _widened(resource["Properties"], beside, set(resources))
    _keep_keys(found, former, deployed.template)
    found.get("Metadata", {}).pop(NOTE, None)
    if not found.get("Metadata"):
        found.pop("Metadata", None)
    return found


def _keep_keys(found: dict[str, Any], former: Mapping[str, Any], deployed: Mapping[str, Any]) -> None:
    """What was written meanwhile under a key that the former template does not know stays readable."""
    keys = [key for key in deployed_keys(deployed) if key not in deployed_keys(former)]
    if not keys:
        return
    now, *before = deployed_keys(former)
    found["Metadata"] = {**found.get("Metadata", {}), KEYS_OF: {"now": now, "former": [*before, *keys]}}
    arns = [arn("Key") if key == CREATED else key for key in keys]
    if CREATED in keys:
        made = ("Key", "KeyAlias")
        found["Resources"] |= {
            name: dict(deployed["Resources"][name]) for name in made if name in deployed["Resources"]
        }
    for role in found["Resources"].values():
        if role["Type"] == "AWS::IAM::Role":
            for policy in role["Properties"].get("Policies", ()):
                for statement in policy["PolicyDocument"]["Statement"]:
                    if "kms:Decrypt" in statement["Action"]:
                        statement["Resource"] = [*statement["Resource"], *arns]


def _widened(value: Value, beside: Mapping[str, list[str]], known: set[str]) -> Value:
    """The value whose lists of versions contain those beside a live one, and none that is left out."""
    if isinstance(value, Mapping):
        return {name: _widened(part, beside, known) for name, part in value.items()}
    if not isinstance(value, list):
        return value
    out: list[Value] = []
    for part in value:
        named = part.get("Ref") if isinstance(part, Mapping) and set(part) == {"Ref"} else None
        if named is None:
            out.append(_widened(part, beside, known))
        elif named in known or str(named).startswith("AWS::"):
            out += [part, *(ref(name) for name in beside.get(named, ()))]
    return out
