"""Queue messages: the objects they name, and the message that names an object."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote_plus, unquote_plus

from runtime.errors import FormatError


@dataclass(frozen=True)
class Landed:
    """One version of an object; ``size`` in bytes and ``etag`` (without quotes), if known."""

    bucket: str
    key: str
    size: int | None = None
    etag: str = ""
    version: str = ""

    @property
    def name(self) -> str:
        """Its URL, for messages."""
        return f"s3://{self.bucket}/{self.key}"

    @property
    def identity(self) -> str:
        """SHA-256 of bucket, key and ETag: an alias of its source, known before it is read (``object_sources.py``)."""
        return hashlib.sha256(json.dumps([self.bucket, self.key, self.etag]).encode()).hexdigest()


def landed(body: str) -> tuple[Landed, ...]:
    """The objects that a message names, in S3's form or EventBridge's; none for a test event or a deletion.

    FormatError for a message that is neither.
    """
    try:
        notice = json.loads(body)
        if notice.get("Event") == "s3:TestEvent":
            return ()
        if notice.get("source") == "aws.s3":
            return (_of_event_bridge(notice["detail"]),) if notice["detail-type"] == "Object Created" else ()
        return tuple(_of_s3(record["s3"]) for record in notice["Records"] if _created(record))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise FormatError(
            f"a message that is not an S3 event ({type(error).__name__}: {error}): check what else writes to the queue."
        ) from error


def _created(record: Mapping[str, Any]) -> bool:
    return str(record["eventName"]).removeprefix("s3:").startswith("ObjectCreated:")


def _of_s3(notice: Mapping[str, Any]) -> Landed:
    held = notice["object"]
    # S3 form-encodes keys: a blank is '+'.
    return _landed(notice["bucket"]["name"], unquote_plus(held["key"]), held, "eTag", "versionId")


def _of_event_bridge(notice: Mapping[str, Any]) -> Landed:
    held = notice["object"]
    return _landed(notice["bucket"]["name"], held["key"], held, "etag", "version-id")  # not encoded here


def _landed(bucket: Any, key: Any, held: Mapping[str, Any], etag: str, version: str) -> Landed:
    if not isinstance(bucket, str) or not isinstance(key, str) or not bucket or not key:
        raise TypeError("a bucket and a key are texts")
    size = held.get("size")
    return Landed(
        bucket,
        key,
        None if size is None else int(size),
        str(held.get(etag) or "").strip('"'),
        "" if held.get(version) in (None, "null") else str(held[version]),  # "null": written before versioning
    )


def message(found: Landed) -> str:
    """The message that names an object, in S3's form."""
    held: dict[str, Any] = {"key": quote_plus(found.key, safe="/"), "eTag": found.etag}
    if found.size is not None:
        held["size"] = found.size
    record = {
        "eventSource": "antfold:reconcile",
        "eventName": "ObjectCreated:Reconciled",
        "s3": {"bucket": {"name": found.bucket}, "object": held},
    }
    return json.dumps({"Records": [record]}, separators=(",", ":"))
