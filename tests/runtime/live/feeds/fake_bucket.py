"""A bucket in memory, with the methods of boto3's client that a feed uses, and watches of it that are killed."""

from __future__ import annotations

import hashlib
import io
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError

from runtime import Store
from runtime.aws.access import Access
from runtime.aws.client import Client
from runtime.aws.retry import Budget
from runtime.ingest.report import SourceReport
from runtime.live.feeds import bucket_files
from runtime.live.feeds.feed import Piece
from tests.runtime.live.feeds.watched import Watch


class Killed(BaseException):
    """SIGKILL."""


@dataclass
class Steps:
    """The steps of a process, before and after each of which it can be killed."""

    left: int | None = None

    def step(self) -> None:
        if self.left is not None:
            if not self.left:
                raise Killed
            self.left -= 1


def refused(status: int, code: str) -> ClientError:
    said = {"Error": {"Code": code, "Message": "injected"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(said, "Any")  # type: ignore[arg-type]


@dataclass
class FakeBucket:
    """Objects by key; ``before_get`` is called with the key before each read."""

    objects: dict[str, bytes] = field(default_factory=dict)
    steps: Steps = field(default_factory=Steps)
    sent: Counter[str] = field(default_factory=Counter)
    page: int = 1_000
    failure: Exception | None = None
    denied: set[str] = field(default_factory=set)
    before_get: Callable[[str], object] = lambda key: None
    watches: list[Watch] = field(default_factory=list)

    def _asked(self, operation: str) -> None:
        self.steps.step()
        self.sent[operation] += 1
        if self.failure is not None:
            raise self.failure

    def list_objects_v2(self, Bucket: str, Prefix: str, MaxKeys: int = 1_000, ContinuationToken: str = "") -> Any:  # noqa: N803
        self._asked("list")
        keys = sorted(key for key in self.objects if key.startswith(Prefix) and key > ContinuationToken)
        found = keys[: min(MaxKeys, self.page)]
        entries = [{"Key": key, "Size": len(self.objects[key]), "ETag": f'"{self.etag(key)}"'} for key in found]
        more = {"IsTruncated": True, "NextContinuationToken": found[-1]} if len(found) < len(keys) else {}
        return {"Contents": entries, **more}

    def get_object(self, Bucket: str, Key: str, Range: str, IfMatch: str) -> Any:  # noqa: N803
        self._asked("get")
        self.before_get(Key)
        if Key in self.denied:
            raise refused(403, "AccessDenied")
        if Key not in self.objects:
            raise refused(404, "NoSuchKey")
        if IfMatch != f'"{self.etag(Key)}"':
            raise refused(412, "PreconditionFailed")
        first, _, last = Range.removeprefix("bytes=").partition("-")
        return {"Body": io.BytesIO(self.objects[Key][int(first) : int(last) + 1])}

    def etag(self, key: str) -> str:
        return hashlib.md5(self.objects[key]).hexdigest()

    def close(self) -> None:
        """Nothing is open."""


AWAY = EndpointConnectionError(endpoint_url="https://s3.local")


@contextmanager
def served(bucket: FakeBucket) -> Iterator[None]:
    """Feeds of buckets read this one."""

    def client(service: str, access: Access, budget: Budget) -> Client:
        made = Client(service, access, Budget(seconds=0.0))
        made._client = bucket
        return made

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bucket_files, "Client", client)
        yield
    for watch in bucket.watches:
        watch.feed.close()


def watched(store: Store, bucket: FakeBucket, **options: Any) -> Watch:
    """A watch of ``s3://lake/in``, whose commits and notes are steps, too."""
    watch = Watch(store, "s3://lake/in", **options)
    take, step, note = watch.watcher.take, bucket.steps.step, store.catalogue.put_alias

    def taken(piece: Piece) -> SourceReport:
        step()
        report = take(piece)
        step()
        return report

    def noted(stream: str, alias: str, source_id: str) -> None:
        step()
        note(stream, alias, source_id)
        step()

    watch.watcher.take = taken
    bucket.watches.append(watch)
    noted_in = watch.feed._noted
    assert noted_in is not None
    noted_in.note = lambda found, source: noted(noted_in.stream, noted_in._alias(found), source)  # type: ignore[method-assign]
    return watch
