"""The template that takes a deployment back to what ran before."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from deploy.stack.resources.cloudformation import Value, ref
from deploy.stack.resources.versions import FUNCTION, NOTE, VERSION, Deployed
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
    found.get("Metadata", {}).pop(NOTE, None)
    if not found.get("Metadata"):
        found.pop("Metadata", None)
    return found


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
