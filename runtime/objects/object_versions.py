"""A part of one version of an object in S3."""

from __future__ import annotations

from contextlib import closing
from typing import Any

from runtime.aws.client import Client, ServiceFault
from runtime.aws.retry import Fault


def read_version(client: Client, bucket: str, key: str, etag: str, at: int, length: int, **version: str) -> bytes:
    """``length`` bytes of the object from ``at``, if it has this ETag; a ``version`` is named by ``VersionId``.

    A request whose reply is lost or truncated is sent again. ``ServiceFault`` else: missing if the object is gone,
    refused if it was replaced.
    """
    name, span = f"s3://{bucket}/{key}", f"bytes={at}-{at + length - 1}"

    def attempt(s3: Any) -> bytes:
        reply = s3.get_object(Bucket=bucket, Key=key, Range=span, IfMatch=f'"{etag}"', **version)
        with closing(reply["Body"]) as body:
            data: bytes = body.read()
        if len(data) != length:
            raise ServiceFault(
                Fault.LOST, f"cannot read {name}: received {len(data)} bytes instead of {length}; try again."
            )
        return data

    return client.call(f"read {name}", attempt)
