"""One version of an object in the landing bucket, read in pieces."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from deploy.handlers.events import Landed
from runtime.aws.client import Client, ServiceFault
from runtime.aws.retry import Fault
from runtime.errors import IngestError
from runtime.objects.object_versions import read_version

PIECE = 8 << 20
"""Bytes per request: enough to amortise the wait for the first byte."""


class ObjectGone(IngestError):
    """The object, or this version of it, no longer exists."""


def looked_up(client: Client, found: Landed) -> Landed:
    """The object with its size and ETag, which some events omit."""
    if found.etag and found.size is not None:
        return found

    def attempt(s3: Any) -> Any:
        return s3.head_object(Bucket=found.bucket, Key=found.key, **_version(found))

    try:
        head = client.call(f"read {found.name}", attempt)
    except ServiceFault as error:
        raise _gone(found, error) from error
    return replace(found, size=int(head["ContentLength"]), etag=str(head["ETag"]).strip('"'))


class LandedFile:
    """An open binary file over the object; every request asks for the version that the event names.

    A request whose reply is lost or truncated is sent again. ``ObjectGone`` if the object was deleted or replaced.
    """

    def __init__(self, client: Client, found: Landed) -> None:
        self._client = client
        self._found = found
        self._at = 0
        self._piece = memoryview(b"")

    def read(self, size: int, /) -> bytes:
        """Up to ``size`` bytes; none at the end."""
        if not self._piece:
            self._piece = memoryview(self._next())
        data = bytes(self._piece[:size])
        self._piece = self._piece[len(data) :]
        return data

    def _next(self) -> bytes:
        found = self._found
        assert found.size is not None
        length = min(PIECE, found.size - self._at)
        if length <= 0:
            return b""
        try:
            data = read_version(
                self._client, found.bucket, found.key, str(found.etag), self._at, length, **_version(found)
            )
        except ServiceFault as error:
            raise _gone(found, error) from error
        self._at += length
        return data


def _version(found: Landed) -> dict[str, str]:
    return {"VersionId": found.version} if found.version else {}


def _gone(found: Landed, error: ServiceFault) -> Exception:
    if error.fault is Fault.MISSING:
        return ObjectGone(f"{found.name} was deleted before it was ingested: upload it again.")
    if error.fault is Fault.REFUSED:
        return ObjectGone(
            f"{found.name} was replaced before it was ingested: its replacement is another source; enable "
            "versioning of the landing bucket, or write every object once."
        )
    return error
