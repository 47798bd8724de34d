"""Corrects ministack's differences from AWS on the way to boto3; the code under test knows nothing of it."""

from __future__ import annotations

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
        return client

    monkeypatch.setattr(runtime.aws.client, "_make", mended)


def _with_result(response_dict: dict[str, Any], **_: object) -> None:
    if response_dict["status_code"] == 200 and b"DeleteChangeSetResult" not in response_dict["body"]:
        response_dict["body"] = response_dict["body"].replace(
            b"<ResponseMetadata>", b"<DeleteChangeSetResult/><ResponseMetadata>"
        )
