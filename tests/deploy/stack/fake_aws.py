"""A fake of boto3's clients: replies from a table of functions, and records every call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from botocore.exceptions import ClientError

import runtime.aws.client


def refused(code: str, message: str, status: int = 400) -> ClientError:
    return ClientError(
        {"Error": {"Code": code, "Message": message}, "ResponseMetadata": {"HTTPStatusCode": status}}, "x"
    )


@dataclass
class Aws:
    """``answers``: by method, what a call with these arguments gives back (or raises)."""

    answers: dict[str, Callable[..., Any]] = field(default_factory=dict)
    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def client(self, service: str, *_: object) -> Any:
        return _Client(self)

    def named(self) -> list[str]:
        return [name for name, _ in self.calls]


@dataclass
class _Client:
    aws: Aws

    def __getattr__(self, method: str) -> Callable[..., Any]:
        def call(**arguments: Any) -> Any:
            self.aws.calls.append((method, arguments))
            return self.aws.answers[method](**arguments)

        return call


def install(monkeypatch: pytest.MonkeyPatch) -> Aws:
    aws = Aws()
    monkeypatch.setattr(runtime.aws.client, "_make", aws.client)
    return aws
