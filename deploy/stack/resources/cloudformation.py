"""Types for resources, grants and functions, and CloudFormation's references between them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Value = Any
"""A JSON value: a text, or a reference that CloudFormation resolves."""

KEEP = "RetainExceptOnCreate"
"""The deletion policy of retained resources."""


@dataclass(frozen=True)
class Grant:
    """Actions that a role may do on resources. ``when``: a condition in IAM's form."""

    actions: tuple[str, ...]
    resources: tuple[Value, ...]
    when: Mapping[str, Any] = field(default_factory=dict)

    def statement(self, effect: str = "Allow", **more: Any) -> dict[str, Any]:
        """The grant as a statement of a policy."""
        condition = {"Condition": dict(self.when)} if self.when else {}
        return {"Effect": effect, **more, "Action": list(self.actions), "Resource": list(self.resources), **condition}


@dataclass(frozen=True)
class Resource:
    """One resource of the template.

    ``keep``: it holds data, or data is useless without it, so no update and no removal of the stack deletes it.
    ``skips``: checkov checks that do not apply, each with the reason.
    """

    type: str
    properties: Mapping[str, Value]
    keep: bool = False
    after: tuple[str, ...] = ()
    skips: Mapping[str, str] = field(default_factory=dict)

    def json(self) -> dict[str, Any]:
        """The resource as CloudFormation reads it."""
        found: dict[str, Any] = {"Type": self.type, "Properties": dict(self.properties)}
        if self.keep:
            # Resources of a failed first deployment are empty, and would block the next.
            found |= {"DeletionPolicy": KEEP, "UpdateReplacePolicy": "Retain"}
        if self.after:
            found["DependsOn"] = list(self.after)
        if self.skips:
            found["Metadata"] = {"checkov": {"skip": [{"id": i, "comment": why} for i, why in self.skips.items()]}}
        return found


@dataclass(frozen=True)
class FunctionResource:
    """A function of Lambda, its role's grants and its environment.

    ``repeats``: it invokes itself on purpose, which Lambda otherwise stops after 16 times.
    """

    name: str
    does: str
    memory: int
    timeout: int
    concurrency: int
    grants: tuple[Grant, ...]
    environment: Mapping[str, Value] = field(default_factory=dict)
    repeats: bool = False


def sub(text: str) -> Value:
    """A text with ``${...}`` in it."""
    return {"Fn::Sub": text}


def ref(name: str) -> Value:
    """The resource itself: its name, ARN or URL, as its type has it."""
    return {"Ref": name}


def arn(name: str) -> Value:
    """The ARN of a resource of this template."""
    return {"Fn::GetAtt": [name, "Arn"]}


def policy(statements: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """A policy document."""
    return {"Version": "2012-10-17", "Statement": [dict(s) for s in statements]}


def logical(kind: str, name: str) -> str:
    """A logical id from a kind and a name: readable for plain names, unique for all."""
    plain = re.fullmatch(r"[a-wyz][a-z0-9]*", name)
    return kind + (name.capitalize() if plain else f"X{name.encode().hex()}")
