"""Objects in an S3 bucket, below a prefix; in S3 or a compatible service."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Container, Iterator, Sequence
from contextlib import closing
from functools import partial
from typing import Any, TypeVar

from operators import forking
from runtime.aws.access import Access
from runtime.aws.client import Client, ServiceFault
from runtime.aws.retry import Budget, Fault
from runtime.errors import StoreError
from runtime.objects.object_store import MAX_PATH, FileMissing, ObjectInfo, check_path, check_range

MAX_PREFIX = 1023 - MAX_PATH  # bytes: a key of S3 has at most 1,024, one of them the '/' between prefix and path
MAX_PUT = 5 << 30

GAP = 1 << 20
"""Bytes that S3 sends in about the time to first byte of another request (some 15 ms at 78 MB/s)."""

_TOTAL = re.compile(r"bytes \d+-\d+/(\d+)")
T = TypeVar("T")


class S3Objects:
    """An ``ObjectStore`` in ``bucket``, which must exist, below ``prefix`` (may be empty).

    A put requires that the name is free (``If-None-Match: *``) and sends the SHA-256 of the bytes, which S3 verifies
    and stores. S3 shows an object whole or not at all, and reads see every acknowledged put.
    """

    at_once = 16
    gap = GAP

    def __init__(
        self, bucket: str, prefix: str = "", access: Access | None = None, budget: Budget | None = None
    ) -> None:
        if prefix and len(check_path(prefix)) > MAX_PREFIX:
            raise StoreError(f"prefix {prefix!r} is longer than {MAX_PREFIX} characters: choose a shorter one.")
        self.bucket = bucket
        self.prefix = prefix
        self.where = f"s3://{bucket}/{prefix}".rstrip("/")
        self.client = Client("s3", access or Access(), budget)
        self._before = f"{prefix}/" if prefix else ""
        self.gets = self.bytes_read = 0
        self._counting = forking.lock()

    def put(self, path: str, data: bytes) -> None:
        """Create the object, durably; see ``ObjectStore.put``."""
        key = self._key(path)
        if len(data) > MAX_PUT:
            raise StoreError(
                f"cannot write {path!r} in {self.where}: {len(data)} bytes are more than S3 accepts in one request."
            )
        digest = base64.b64encode(hashlib.sha256(data).digest()).decode()

        def attempt(s3: Any) -> None:
            reply = s3.put_object(Bucket=self.bucket, Key=key, Body=data, IfNoneMatch="*", ChecksumSHA256=digest)
            if reply.get("ChecksumSHA256", digest) != digest:
                raise self._lost(f"write {path!r}", "the SHA-256 changed on the way")

        try:
            self._call(f"write {path!r}", attempt)
        except ServiceFault as error:
            if error.fault is not Fault.REFUSED:
                raise
            # Already there: from an earlier request whose reply was lost, or from another writer.
            self._check_same(path, data, digest)

    def read(self, path: str, offset: int, length: int) -> bytes:
        """Exactly ``length`` bytes from ``offset``; see ``ObjectStore.read``."""
        check_range(path, offset, length)
        key = self._key(path)
        if length == 0:
            self.size(path)
            return b""
        what = f"read {path!r}"

        def attempt(s3: Any) -> bytes:
            span = f"bytes={offset}-{offset + length - 1}"
            # S3 sends the SHA-256 with a whole object, and boto3 then compares it.
            reply = s3.get_object(Bucket=self.bucket, Key=key, Range=span, ChecksumMode="ENABLED")
            with closing(reply["Body"]) as body:
                data: bytes = body.read()
            with self._counting:
                self.gets += 1
                self.bytes_read += len(data)
            found = _TOTAL.fullmatch(reply.get("ContentRange", ""))
            if found is None:  # a server may ignore the range and send all
                size, data = len(data), data[offset : offset + length]
            else:
                size = int(found[1])
            if size < offset + length:
                raise self._short(path, offset, length, size)
            if len(data) != length:
                raise self._lost(what, f"{len(data)} bytes arrived instead of {length}")
            return data

        try:
            return self._call(what, attempt)
        except ServiceFault as error:
            if error.code in ("InvalidRange", "416"):
                raise self._short(path, offset, length, self.size(path)) from error
            raise self._missing(error, path) from error

    def read_into(self, path: str, offset: int, into: memoryview) -> None:
        """Fill ``into``; see ``ObjectStore.read_into``."""
        into[:] = self.read(path, offset, len(into))

    def size(self, path: str) -> int:
        """The object's size in bytes."""
        return int(self._head(path)["ContentLength"])

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """The objects whose path starts with ``prefix``, in the order of their paths."""
        folder = prefix.rpartition("/")[0]
        if folder:
            check_path(folder)
        found: list[ObjectInfo] = []
        token: dict[str, str] = {}
        while True:
            page = self._page(prefix, token)
            for entry in page.get("Contents", ()):
                path = str(entry["Key"]).removeprefix(self._before)
                if not _foreign(path):
                    modified = round(entry["LastModified"].timestamp() * 1_000_000)
                    found.append(ObjectInfo(path, int(entry["Size"]), modified))
            if not page.get("IsTruncated"):
                break
            token = {"ContinuationToken": page["NextContinuationToken"]}
        # S3 lists in key order; directory buckets and some compatible services do not.
        yield from sorted(found, key=lambda info: info.path)

    def delete(self, path: str, versions: bool = False) -> None:
        """Remove the object if it is there; without ``versions`` a bucket that keeps versions keeps this one."""
        key = self._key(path)
        try:
            if versions:
                self._delete_versions(path, key)
            else:
                self._call(f"delete {path!r}", lambda s3: s3.delete_object(Bucket=self.bucket, Key=key))
        except ServiceFault as error:
            if error.fault is not Fault.MISSING:
                raise

    def discard_temporary(self, before: int, dry_run: bool = False) -> Sequence[ObjectInfo]:
        """Nothing: S3 shows an object whole or not at all."""
        return ()

    def discard_deleted(self, prefix: str, dry_run: bool = False, but: Container[str] = ()) -> Sequence[ObjectInfo]:
        """Remove all versions of deleted objects below ``prefix``; see ``ObjectStore.discard_deleted``."""
        versions = list(self._versions(prefix))
        deleted = {path for path, entry in versions if entry.get("IsLatest") and "Size" not in entry}
        deleted = {path for path in deleted if path not in but}
        sizes = dict.fromkeys(sorted(deleted), 0)
        for path, entry in versions:
            if path in deleted:
                sizes[path] += int(entry.get("Size", 0))
        for path in () if dry_run else sizes:
            self.delete(path, versions=True)
        return [ObjectInfo(path, size, 0) for path, size in sizes.items()]

    def close(self) -> None:
        """Close the connections; they open again when used."""
        self.client.close()

    def _key(self, path: str) -> str:
        return self._before + check_path(path)

    def _call(self, what: str, attempt: Callable[[Any], T]) -> T:
        return self.client.call(f"{what} in {self.where}", attempt)

    def _delete_versions(self, path: str, key: str) -> None:
        """Delete every version and delete marker of one key."""
        what, more = f"delete the versions of {path!r}", True
        while more:
            # From the start each time: of the keys that begin with this one, its own versions are listed first.
            page = self._call(what, lambda s3: s3.list_object_versions(Bucket=self.bucket, Prefix=key))
            listed = [*page.get("Versions", ()), *page.get("DeleteMarkers", ())]
            found = [entry["VersionId"] for entry in listed if entry["Key"] == key]
            for version in found:
                self._call(what, partial(self._delete_version, key, version))
            more = bool(found) and bool(page.get("IsTruncated"))

    def _versions(self, prefix: str) -> Iterator[tuple[str, Any]]:
        """The versions and delete markers (which have no size) of the objects below a prefix, with their paths."""
        token: dict[str, str] = {}
        while True:

            def attempt(s3: Any, token: dict[str, str] = token) -> Any:
                return s3.list_object_versions(Bucket=self.bucket, Prefix=self._before + prefix, **token)

            page = self._call(f"list the versions of {prefix!r}", attempt)
            for entry in (*page.get("Versions", ()), *page.get("DeleteMarkers", ())):
                path = str(entry["Key"]).removeprefix(self._before)
                if not _foreign(path):
                    yield path, entry
            if not page.get("IsTruncated"):
                return
            token = {"KeyMarker": page["NextKeyMarker"], "VersionIdMarker": page["NextVersionIdMarker"]}

    def _delete_version(self, key: str, version: str, s3: Any) -> None:
        s3.delete_object(Bucket=self.bucket, Key=key, VersionId=version)

    def _page(self, prefix: str, token: dict[str, str]) -> Any:
        return self._call(
            f"list {prefix or '.'!r}",
            lambda s3: s3.list_objects_v2(Bucket=self.bucket, Prefix=self._before + prefix, **token),
        )

    def _head(self, path: str) -> Any:
        key = self._key(path)
        try:
            return self._call(
                f"read {path!r}", lambda s3: s3.head_object(Bucket=self.bucket, Key=key, ChecksumMode="ENABLED")
            )
        except ServiceFault as error:
            raise self._missing(error, path) from error

    def _check_same(self, path: str, data: bytes, digest: str) -> None:
        """Accept an object that is already there if it is identical."""
        head = self._head(path)
        same = int(head["ContentLength"]) == len(data)
        if same:
            said = head.get("ChecksumSHA256")
            same = said == digest if said else self.read(path, 0, len(data)) == data
        if not same:
            raise StoreError(
                f"object {path!r} in {self.where} already exists with other content: objects never change."
            )

    def _missing(self, error: ServiceFault, path: str) -> StoreError:
        if error.fault is not Fault.MISSING:
            return error
        return FileMissing(f"{path!r} is missing in {self.where}: restore it from a backup, or run `dataflow verify`.")

    def _short(self, path: str, offset: int, length: int, size: int) -> StoreError:
        return StoreError(
            f"cannot read {length} bytes at {offset} of {path!r} in {self.where}: the object has {size} bytes; "
            "it is not what the catalogue says."
        )

    def _lost(self, what: str, why: str) -> ServiceFault:
        return ServiceFault(Fault.LOST, f"cannot {what} in {self.where}: {why}; check the network and any proxy.")


def _foreign(path: str) -> bool:
    """Whether ``put`` cannot have created this object."""
    try:
        check_path(path)
    except StoreError:
        return True
    return False
