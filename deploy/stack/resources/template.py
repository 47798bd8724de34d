"""The CloudFormation template of a deployment, built from all resources."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from deploy.stack.resources import alarms, function_resources, ingest_resources, storage, versions
from deploy.stack.resources.cloudformation import KEEP, Resource, Value, arn, logical, ref
from deploy.stack.resources.marks import marked
from deploy.stack.resources.resource_names import LIVE, ResourceNames
from deploy.stack.resources.storage import KEYS_OF, keys_of
from deploy.stack.settings import StackSettings


def table(settings: StackSettings) -> dict[str, Resource]:
    """Every resource of a deployment, by logical id, but the versions and aliases of functions; without tags."""
    return (
        storage.storage(settings)
        | ingest_resources.flow(settings)
        | function_resources.resources(settings)
        | alarms.watch(settings)
    )


def template(
    settings: StackSettings,
    bundle: str = "",
    before: versions.Deployed | None = None,
    share: float = 0.0,
    previous: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """The template; its parameters are the bucket and the key of the functions' code.

    ``bundle`` is that key, ``before`` what is deployed, ``share`` that of the calls which changed functions get first
    (see ``versions.versioned``), and ``previous`` what a rollback restores.
    """
    resources = marked(settings, versions.versioned(table(settings), bundle, before, share))
    note = {} if previous is None else {versions.NOTE: {"previous": previous}}
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": f"antfold ({settings.name}): telemetry to point files, and queries over them.",
        "Metadata": {KEYS_OF: keys_of(settings), **note},
        "Parameters": {
            function_resources.BUCKET_PARAMETER: {
                "Type": "String",
                "Description": "The bucket of the functions' code.",
            },
            function_resources.BUNDLE_PARAMETER: {
                "Type": "String",
                "Description": "The functions' code in it, by its SHA-256.",
            },
        },
        "Resources": {name: resource.json() for name, resource in resources.items()},
        "Outputs": {name: {"Value": value} for name, value in _outputs(settings).items()},
    }


def _outputs(settings: StackSettings) -> dict[str, Value]:
    places = ResourceNames(settings.name)
    outputs = {
        "Store": places.store_url,
        "DataBucket": ref("DataBucket"),
        "LandingBucket": ref("LandingBucket"),
        "SigningKey": arn("SigningKey"),
        "Worker": {"Fn::Join": [":", [ref("Worker"), LIVE]]},
        "QueryUrl": {"Fn::GetAtt": ["QueryUrl", "FunctionUrl"]},
        "Alerts": ref("Alerts"),
    }
    outputs |= {logical("Delivery", name): ref(logical("Delivery", name)) for name in sorted(settings.streams)}
    roles = {name: logical("Tenant", name) for name in sorted(settings.tenants)}
    return outputs | {role: arn(role) for role in roles.values()}


def kept(whole: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a deployed template that stays when the deployment is removed without its data.

    The retained resources without references to others, so that the next deployment finds them.
    """
    resources = {n: dict(r) for n, r in whole["Resources"].items() if r.get("DeletionPolicy") == KEEP}
    for resource in resources.values():
        resource.pop("DependsOn", None)
        resource["Properties"] = {k: v for k, v in resource["Properties"].items() if k != "NotificationConfiguration"}
    outputs = {name: value for name, value in whole.get("Outputs", {}).items() if _names(value) <= set(resources)}
    # There is no way back to what ran.
    said = {name: value for name, value in whole.get("Metadata", {}).items() if name != versions.NOTE}
    return {
        "AWSTemplateFormatVersion": whole["AWSTemplateFormatVersion"],
        "Description": whole["Description"],
        **({"Metadata": said} if said else {}),
        "Resources": resources,
        "Outputs": outputs,
    }


def _names(value: object) -> set[str]:
    """The resources that a value refers to."""
    if isinstance(value, dict):
        if set(value) == {"Ref"}:
            return {str(value["Ref"])}
        if set(value) == {"Fn::GetAtt"}:
            return {str(value["Fn::GetAtt"][0])}
        return {name for part in value.values() for name in _names(part)}
    return {name for part in value for name in _names(part)} if isinstance(value, list) else set()


def text(value: Mapping[str, Any], indent: int | None = None) -> str:
    """A template as canonical JSON."""
    separators = (",", ":") if indent is None else None
    return json.dumps(value, indent=indent, separators=separators, sort_keys=True) + ("\n" if indent else "")
