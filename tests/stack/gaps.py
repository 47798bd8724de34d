"""Corrects ministack's differences from AWS on the way to boto3; the code under test knows nothing of it."""

from __future__ import annotations

import json
import urllib.request
from typing import Any

import pytest

import runtime.aws.client


def mend(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have every client of ours read ministack's replies as AWS would have sent them."""
    make = runtime.aws.client._make

    def mended(*arguments: Any) -> Any:
        client = make(*arguments)
        # 1.4.21 leaves the empty result out, without which boto3 finds no answer in the reply.
        client.meta.events.register("before-parse.cloudformation.DeleteChangeSet", _with_result)
        client.meta.events.register("provide-client-params.cloudformation.CreateChangeSet", _without_unknown)
        return client

    monkeypatch.setattr(runtime.aws.client, "_make", mended)


def _without_unknown(params: dict[str, Any], **_: object) -> dict[str, Any]:
    """The same request without what it does not know: log streams (their names stand for references to them), and
    alarms of several metrics."""
    given = dict(params)
    if "TemplateURL" in given:
        with urllib.request.urlopen(given.pop("TemplateURL")) as reply:
            given["TemplateBody"] = reply.read().decode()
    whole = json.loads(given["TemplateBody"])
    resources = whole["Resources"]
    streams = {n: r for n, r in resources.items() if r["Type"] == "AWS::Logs::LogStream"}
    sums = {n for n, r in resources.items() if r["Type"] == "AWS::CloudWatch::Alarm" and "Metrics" in r["Properties"]}
    whole["Resources"] = {n: r for n, r in resources.items() if n not in {*streams, *sums}}
    body = json.dumps(whole)
    for name, resource in streams.items():
        body = body.replace(json.dumps({"Ref": name}), json.dumps(resource["Properties"]["LogStreamName"]))
    return {**given, "TemplateBody": body}


def _with_result(response_dict: dict[str, Any], **_: object) -> None:
    if response_dict["status_code"] == 200 and b"DeleteChangeSetResult" not in response_dict["body"]:
        response_dict["body"] = response_dict["body"].replace(
            b"<ResponseMetadata>", b"<DeleteChangeSetResult/><ResponseMetadata>"
        )
