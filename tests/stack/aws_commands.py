"""Commands of version 2 of the AWS CLI, as far as the operations page has them: made with boto3.

They are read by botocore's own description of the services, so options that do not exist, or are missing, are errors.
"""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Iterator, Sequence
from typing import Any

import boto3
import botocore.session
import jmespath
from botocore import xform_name
from botocore.waiter import create_waiter_with_client

_SECONDS = {"s": 1, "m": 60, "h": 3_600, "d": 86_400, "w": 604_800}
_EVERYWHERE = {"--query": str, "--output": str, "--cli-read-timeout": int, "--cli-binary-format": str}


class NotACommand(Exception):
    """The AWS CLI would refuse this."""


def aws(words: Sequence[str]) -> str:
    """Run ``aws`` with these words; what it prints."""
    service, action, *rest = words
    if (service, action) == ("logs", "tail"):
        return "".join(f"{line}\n" for line in _tail(rest))
    call = _Call(service, action, rest)
    return call.printed(call.made())


def read(words: Sequence[str]) -> str:
    """Read a command, and do nothing; ``NotACommand`` if it is none."""
    _Call(words[0], words[1], words[2:])
    return ""


class _Call:
    """One command, read."""

    def __init__(self, service: str, action: str, rest: Sequence[str]) -> None:
        self.service, self.waiter, self.out = service, "", ""
        given = list(rest)
        session = botocore.session.get_session()
        if service not in session.get_available_services():
            raise NotACommand(f"there is no service {service}")
        model = session.get_service_model(service)
        operations = {xform_name(name, "-"): name for name in model.operation_names}
        if action == "wait":
            self.waits = session.get_waiter_model(service)
            named = {xform_name(name, "-"): name for name in self.waits.waiter_names}
            if not given or given[0] not in named:
                raise NotACommand(f"aws {service} wait waits for {sorted(named)}")
            self.waiter = named[given.pop(0)]
            action = xform_name(self.waits.get_waiter(self.waiter).operation, "-")
        if action not in operations:
            raise NotACommand(f"aws {service} has no {action}")
        self.operation = model.operation_model(operations[action])
        self.shape = self.operation.input_shape
        self.everywhere: dict[str, Any] = {}
        self.parameters = self._read(given)

    def _read(self, words: list[str]) -> dict[str, Any]:
        members = {f"--{xform_name(name, '-')}": name for name in self.shape.members}
        binary = "--cli-binary-format" in words
        found: dict[str, Any] = {}
        while words:
            word = words.pop(0)
            positive = word.replace("--no-", "--", 1)
            if word in _EVERYWHERE:
                self.everywhere[word] = _EVERYWHERE[word](words.pop(0))
            elif word in members or (positive in members and self._of(members[positive]).type_name == "boolean"):
                name = members.get(word) or members[positive]
                shape = self._of(name)
                if shape.type_name == "boolean":
                    found[name] = word in members
                elif shape.type_name == "list":
                    listed = []
                    while words and not words[0].startswith("--"):
                        listed.append(_value(shape.member, words.pop(0), binary))
                    found[name] = listed
                else:
                    found[name] = _value(shape, words.pop(0), binary)
            elif not word.startswith("--") and self.operation.has_streaming_output and not self.out:
                self.out = word
            else:
                raise NotACommand(f"aws {self.service} {self.operation.name}: unknown option {word}")
        if missing := set(self.shape.required_members) - set(found):
            raise NotACommand(f"aws {self.service} {self.operation.name} needs {sorted(missing)}")
        if self.operation.has_streaming_output and not self.out:
            raise NotACommand(f"aws {self.service} {self.operation.name} needs the name of a file")
        return found

    def _of(self, name: str) -> Any:
        return self.shape.members[name]

    def made(self) -> dict[str, Any]:
        """The reply to the call; of a waiter, nothing."""
        client = boto3.client(self.service)
        if self.waiter:
            waiter = create_waiter_with_client(self.waiter, self.waits, client)
            waiter.wait(**self.parameters, WaiterConfig={"Delay": 0, "MaxAttempts": 100})
            return {}
        reply: dict[str, Any] = getattr(client, xform_name(self.operation.name))(**self.parameters)
        del reply["ResponseMetadata"]
        return reply

    def printed(self, reply: dict[str, Any]) -> str:
        """As the CLI prints it: a file on standard output first."""
        before = ""
        if self.out:
            assert self.out == "/dev/stdout"
            (name,) = [n for n, m in self.operation.output_shape.members.items() if m.type_name == "blob"]
            before = reply.pop(name).read().decode()
        asked = self.everywhere.get("--query")
        found: Any = jmespath.search(asked, reply) if asked else reply
        if found in ({}, None):
            return before
        if self.everywhere.get("--output") == "text":
            values = list(found.values()) if isinstance(found, dict) else found if isinstance(found, list) else [found]
            assert all(isinstance(value, (str, int)) for value in values)
            return before + "\t".join(map(str, values)) + "\n"
        return before + json.dumps(found, indent=4, default=str) + "\n"


def _value(shape: Any, text: str, binary: bool = False) -> Any:
    """A value of an option: plain, as JSON, or in the CLI's shorthand of structures (``A=b,C=d``)."""
    kind = shape.type_name
    if kind == "structure":
        if text.startswith("{"):
            return json.loads(text)
        pairs = dict(part.split("=", 1) for part in text.split(","))
        if unknown := set(pairs) - set(shape.members):
            raise NotACommand(f"{shape.name} has no {sorted(unknown)}")
        if missing := set(shape.required_members) - set(pairs):
            raise NotACommand(f"{shape.name} needs {sorted(missing)}")
        return {name: _value(shape.members[name], value) for name, value in pairs.items()}
    if kind == "boolean":
        return {"true": True, "false": False}[text]
    if kind in ("integer", "long"):
        return int(text)
    if kind == "blob":
        return text.encode() if binary else base64.b64decode(text, validate=True)
    if kind not in ("string", "timestamp"):
        raise NotACommand(f"a {kind} is not read here")
    if kind == "string" and shape.enum and text not in shape.enum:
        raise NotACommand(f"{text} is none of {shape.enum}")
    return text


def _tail(words: list[str]) -> Iterator[str]:
    """The lines of ``aws logs tail``. CloudWatch's patterns are read here, because stand-ins read them differently."""
    group, *rest = words
    known = {"--since": "10m", "--filter-pattern": ""}
    streams: list[str] = []
    while rest:
        word = rest.pop(0)
        if word == "--log-stream-names":
            while rest and not rest[0].startswith("--"):
                streams.append(rest.pop(0))
        elif word in known:
            known[word] = rest.pop(0)
        else:
            raise NotACommand(f"aws logs tail: unknown option {word}")
    span = re.fullmatch(r"(\d+)([smhdw])", known["--since"])
    if span is None:
        raise NotACommand(f"--since {known['--since']}")
    terms = known["--filter-pattern"].split()
    if any(re.search(r"[^\w?]", term) for term in terms):
        raise NotACommand(f"--filter-pattern {terms}: terms with other letters are in double quotes")
    some, all_of = [t[1:] for t in terms if t.startswith("?")], [t for t in terms if not t.startswith("?")]
    assert not (some and all_of)  # CloudWatch ignores the optional ones then
    named = {"logStreamNames": streams} if streams else {}
    since = int((time.time() - int(span[1]) * _SECONDS[span[2]]) * 1000)
    for page in (
        boto3.client("logs").get_paginator("filter_log_events").paginate(logGroupName=group, startTime=since, **named)
    ):
        for event in page["events"]:
            text = event["message"]
            if all(term in text for term in all_of) and (not some or any(term in text for term in some)):
                yield f"{event['timestamp']} {event['logStreamName']} {text.rstrip()}"
