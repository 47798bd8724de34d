"""Versions of the functions, and the alias of each through which it is called.

A version freezes the code and the settings of a function. Its logical id ends in their hash, so each change publishes
one. The deployed template says which versions there are: a template is made from the settings and from the deployed
one, and keeps the version that ran before beside the new one.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from deploy.stack.resources.cloudformation import Resource, Value, ref
from deploy.stack.resources.resource_names import LIVE
from deploy.stack.resources.shift_alarms import shift_alarms

FUNCTION, VERSION, ALIAS = "AWS::Lambda::Function", "AWS::Lambda::Version", "AWS::Lambda::Alias"

NOTE = "antfold"
"""The key of a template's metadata under which ``previous`` is."""

_UNVERSIONED = ("FunctionName", "ReservedConcurrentExecutions", "RecursiveLoop", "Tags")
"""Settings of a function that no version contains: a change of them publishes none. CloudFormation refuses to publish
a version of an unchanged function."""

_VERSION, _LIVE = "Version", LIVE.capitalize()


def version_of(title: str) -> Value:
    """The ARN of the version of a function that the template publishes; within a list, of all versions that it keeps.

    A version that calls another function through this calls one fixed version of it for as long as it exists.
    """
    return ref(f"{title}{_VERSION}")


def function_of(alias: str) -> str:
    """The logical id of the function that an alias, by its own, is of."""
    return alias.removesuffix(_LIVE)


def alias_of(title: str) -> str:
    """The logical id of the alias of a function, whose reference is the ARN to call."""
    return f"{title}{_LIVE}"


@dataclass(frozen=True)
class Routed:
    """The versions behind an alias, by logical id: ``live``, and ``following``, which gets ``share`` of the calls."""

    live: str
    following: str | None = None
    share: float = 0.0


@dataclass(frozen=True)
class Deployed:
    """A deployed template and its parameters: its versions and aliases, by the logical id of their function."""

    template: Mapping[str, Any]
    parameters: Mapping[str, str] = field(default_factory=dict)

    @property
    def resources(self) -> Mapping[str, Any]:
        """Its resources."""
        found: Mapping[str, Any] = self.template.get("Resources", {})
        return found

    @property
    def runs(self) -> bool:
        """Whether it has functions; not after ``dataflow destroy``."""
        return any(r["Type"] == FUNCTION for r in self.resources.values())

    @property
    def routed(self) -> dict[str, Routed]:
        """Where each alias leads."""
        found = {}
        for resource in self.resources.values():
            if resource["Type"] == ALIAS:
                properties = resource["Properties"]
                live, routed = properties["FunctionVersion"]["Fn::GetAtt"][0], Routed("")
                for weight in properties.get("RoutingConfig", {}).get("AdditionalVersionWeights", ()):
                    routed = Routed("", weight["FunctionVersion"]["Fn::GetAtt"][0], float(weight["FunctionWeight"]))
                found[str(properties["FunctionName"]["Ref"])] = replace(routed, live=live)
        return found

    @property
    def shifting(self) -> bool:
        """Whether an update was begun and is neither finished nor taken back."""
        return any(routed.following for routed in self.routed.values())

    def versions(self, title: str) -> list[str]:
        """The versions of a function."""
        return [
            name
            for name, resource in self.resources.items()
            if resource["Type"] == VERSION and resource["Properties"]["FunctionName"] == ref(title)
        ]

    @property
    def previous(self) -> Mapping[str, Any] | None:
        """What the last deployment replaced: ``template``, its name in the bucket of the code, and ``parameters``."""
        found: Mapping[str, Any] | None = self.template.get("Metadata", {}).get(NOTE, {}).get("previous")
        return found


def versioned(
    found: Mapping[str, Resource], bundle: str = "", before: Deployed | None = None, share: float = 0.0
) -> dict[str, Resource]:
    """The resources with versions and aliases. ``bundle`` names the code, ``before`` is what is deployed.

    With a ``share`` above 0, functions that change keep the version that is live and give the new one that share of
    their calls; with 0, and where nothing is live yet, the new version gets all calls.
    """
    done, out = before or Deployed({}), dict(found)
    routed = done.routed
    newest: dict[str, str] = {}
    kept: dict[str, list[str]] = {}
    titles = [name for name, resource in found.items() if resource.type == FUNCTION]
    # A function that names a version of another is made after that one, because its own hash contains the name.
    for title in sorted(titles, key=lambda t: _names_versions(found[t].properties)):
        out[title] = replace(found[title], properties=_filled(found[title].properties, newest, {}))
        new = newest[title] = f"{title}{_VERSION}{_hash(out[title].properties, bundle)}"
        old = routed.get(title)
        if old is None:
            kept[title], goes = [new], Routed(new)
        elif old.live == new:
            kept[title] = [new, *(v for v in done.versions(title) if v not in (new, old.following))]
            goes = Routed(new)
        else:
            kept[title], goes = [new, old.live], Routed(old.live, new, share) if share else Routed(new)
        for name in kept[title]:
            out[name] = Resource(VERSION, {"FunctionName": ref(title)})
        out[alias_of(title)] = _alias(title, goes)
        if goes.following:
            name = str(found[title].properties["FunctionName"])
            out |= shift_alarms(title, name, _number(goes.following))
    every = {f"{title}{_VERSION}": names for title, names in kept.items()}
    for name, resource in out.items():
        if resource.type != FUNCTION:
            out[name] = replace(resource, properties=_filled(resource.properties, newest, every))
    if done.runs and not routed:
        # The schedules of a release without aliases start the functions themselves, until they are changed.
        out["SchedulerRole"] = _with_former(out["SchedulerRole"], done.resources["SchedulerRole"], ["grants"], set(out))
    for title in titles:
        changed = title in done.resources and (title not in routed or routed[title].live != newest[title])
        name = out[title].properties["Role"]["Fn::GetAtt"][0]
        if name in done.resources:
            sources = ["former"] if not changed else ["grants"]
            if changed and title in routed and routed[title].following:
                sources.append("former")  # of the version that is still live
            out[name] = _with_former(out[name], done.resources[name], sources, set(out))
    return out


def _names_versions(value: Value) -> bool:
    if isinstance(value, Mapping):
        named = value.get("Ref")
        return (isinstance(named, str) and named.endswith(_VERSION)) or any(map(_names_versions, value.values()))
    return isinstance(value, list | tuple) and any(map(_names_versions, value))


def _filled(value: Value, newest: Mapping[str, str], every: Mapping[str, list[str]]) -> Value:
    """The value with references to versions: the newest one, in lists every one."""
    if isinstance(value, Mapping):
        if set(value) == {"Ref"} and (title := str(value["Ref"]).removesuffix(_VERSION)) in newest:
            return ref(newest[title]) if str(value["Ref"]).endswith(_VERSION) else dict(value)
        return {name: _filled(part, newest, every) for name, part in value.items()}
    if isinstance(value, list | tuple):
        out: list[Value] = []
        for part in value:
            named = every.get(part["Ref"]) if isinstance(part, Mapping) and set(part) == {"Ref"} else None
            out += [ref(name) for name in named] if named is not None else [_filled(part, newest, every)]
        return out
    return value


def _hash(properties: Mapping[str, Value], bundle: str) -> str:
    said = {name: value for name, value in properties.items() if name not in _UNVERSIONED}
    said["Code"] = bundle
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]


def _alias(title: str, goes: Routed) -> Resource:
    properties = {"FunctionName": ref(title), "Name": LIVE, "FunctionVersion": _number(goes.live)}
    if goes.following:
        weight = {"FunctionVersion": _number(goes.following), "FunctionWeight": goes.share}
        properties["RoutingConfig"] = {"AdditionalVersionWeights": [weight]}
    return Resource(ALIAS, properties)


def _number(version: str) -> Value:
    return {"Fn::GetAtt": [version, "Version"]}


def _with_former(role: Resource, deployed: Mapping[str, Any], sources: list[str], known: set[str]) -> Resource:
    """The role with the grants that only the version before needs, for as long as that one is kept; they are in the
    policies ``sources`` of the deployed role.

    All versions of a function have one role. What runs while the role changes must not be denied anything.
    """
    policies = {p["PolicyName"]: p["PolicyDocument"]["Statement"] for p in deployed["Properties"]["Policies"]}
    (own,) = role.properties["Policies"]
    current = own["PolicyDocument"]["Statement"]
    before = [statement for source in sources for statement in policies.get(source, [])]
    former = [s for s in (_only(s, known, current) for s in before) if s is not None]
    if not former:
        return role
    document = {"Version": own["PolicyDocument"]["Version"], "Statement": former}
    more = {"PolicyName": "former", "PolicyDocument": document}
    return replace(role, properties={**role.properties, "Policies": [own, more]})


def _only(statement: Mapping[str, Any], known: set[str], current: list[Any]) -> dict[str, Any] | None:
    """The part of a statement that ``current`` ones do not grant, on resources that exist."""
    rest = {k: v for k, v in statement.items() if k != "Resource"}
    granted = [r for s in current if {k: v for k, v in s.items() if k != "Resource"} == rest for r in s["Resource"]]
    resources = [r for r in statement["Resource"] if r not in granted and set(_references(r)) <= known]
    return {**rest, "Resource": resources} if resources else None


def _references(value: Value) -> Iterator[str]:
    """The resources of the template that a value names with ``Ref`` or ``Fn::GetAtt``."""
    if isinstance(value, Mapping):
        if isinstance(named := value.get("Ref"), str) and not named.startswith("AWS::"):
            yield named
        if "Fn::GetAtt" in value:
            yield str(value["Fn::GetAtt"][0])
        for part in value.values():
            yield from _references(part)
    elif isinstance(value, list | tuple):
        for part in value:
            yield from _references(part)
