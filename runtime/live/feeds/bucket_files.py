"""The objects of a bucket of S3 below a prefix."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import IO, Any
from urllib.parse import parse_qsl

from operators.nearest import meant
from runtime.aws.access import Access
from runtime.aws.client import CREDENTIALS, Client, ServiceFault
from runtime.aws.retry import Budget, Fault
from runtime.errors import IngestError
from runtime.ingest.inputs.inputs import FileInput
from runtime.live.feeds.file_place import FoundFile, PlaceAway, Unreadable, is_unfinished
from runtime.objects.object_versions import read_version
from runtime.storage.locations.s3 import ACCESS, is_bucket

_STEP = 8 << 20
"""Bytes of a request; a smaller object is read by one."""

_PATIENCE = Budget(seconds=10.0)
"""For one request; then others have their turn, and it is tried again at another look."""


@dataclass(frozen=True)
class BucketPrefix:
    """What ``s3://bucket/prefix?region=NAME`` names: the objects whose keys begin with ``prefix``, which is empty or
    ends in a slash."""

    bucket: str
    prefix: str
    access: Access

    @classmethod
    def of(cls, source: str) -> BucketPrefix:
        """From its address; IngestError for a wrong one."""
        place, _, query = source.removeprefix("s3://").partition("?")
        bucket, _, prefix = place.partition("/")
        if not is_bucket(bucket) or "*" in prefix or "//" in place:
            raise IngestError(
                f"{source}: s3://BUCKET/PREFIX names the objects below a prefix, without patterns: their names are all "
                "that begin with PREFIX/."
            )
        pairs = parse_qsl(query, keep_blank_values=True)
        for name, value in pairs:
            if name not in ACCESS or not value:
                raise IngestError(
                    f"{source}: there is no {name}={value}; {meant(name, ACCESS, 'known')} are {', '.join(ACCESS)}."
                )
        if len(dict(pairs)) < len(pairs):
            raise IngestError(f"{source}: an option is given twice.")
        prefix = prefix.rstrip("/")
        return cls(bucket, f"{prefix}/" if prefix else "", Access(**dict(pairs)))

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.prefix}"


class BucketFiles:
    """A ``FilePlace``: objects are identified by their key, and versions of them by ETag and size.

    A look asks once for each 1,000 keys; an object is read from S3 only in the version that was listed.
    """

    is_atomic, again = True, 60.0

    def __init__(self, place: BucketPrefix, client: Client) -> None:
        self.name, self._place, self._client = str(place), place, client
        self._window: tuple[FoundFile, int, bytes] | None = None
        """The last bytes that were read, and where they begin."""

        self._copy: IO[bytes] | None = None

    def check(self) -> None:
        """ServiceFault unless it can be listed, IngestError if it is an object."""
        key = self._place.prefix.rstrip("/")
        page = self._list(Prefix=key, MaxKeys=1)
        if key and [entry["Key"] for entry in page.get("Contents", ())] == [key]:
            raise IngestError(
                f"s3://{self._place.bucket}/{key} is an object: watch a prefix, below which objects are, or ingest a "
                "copy of it once."
            )

    def listed(self) -> Iterator[Sequence[FoundFile]]:
        """See ``FilePlace``; a page of 1,000 keys at a time."""
        self._drop_copy()
        token: dict[str, str] = {}
        while True:
            try:
                page = self._list(Prefix=self._place.prefix, **token)
            except ServiceFault as error:
                if error.code == "NoSuchBucket":
                    raise IngestError(str(error)) from None
                raise PlaceAway(str(error)) from None
            yield [self._found(entry) for entry in page.get("Contents", ()) if self._is_meant(entry)]
            if not page.get("IsTruncated"):
                return
            token = {"ContinuationToken": page["NextContinuationToken"]}

    def seen(self, found: FoundFile) -> FoundFile | None:
        """See ``FilePlace``: whatever is read must be of the version that was listed."""
        return found

    def read(self, found: FoundFile, at: int, size: int) -> bytes:
        """See ``FilePlace``."""
        end = min(at + size, found.size)
        if at >= end:
            return b""
        kept = self._window
        if kept is None or kept[0] != found or at < kept[1] or end > kept[1] + len(kept[2]):
            self._window = kept = None  # its memory is free before more is read
            until = max(end, min(at + _STEP, found.size))
            self._window = kept = found, at, self._version_of(found, at, until - at)
        return kept[2][at - kept[1] : end - kept[1]]

    def whole(self, found: FoundFile) -> FileInput:
        """See ``FilePlace``: a copy on this machine."""
        self._drop_copy()
        self._copy = copy = tempfile.NamedTemporaryFile(prefix="antfold-")  # noqa: SIM115
        for at in range(0, found.size, _STEP):
            copy.write(self.read(found, at, _STEP))
        copy.flush()
        return FileInput(Path(copy.name), found.path)

    def close(self) -> None:
        """See ``FilePlace``."""
        self._drop_copy()
        self._client.close()

    def _drop_copy(self) -> None:
        if self._copy is not None:
            self._copy.close()

    def _list(self, **asked: Any) -> Any:
        return self._client.call(f"list {self.name}", lambda s3: s3.list_objects_v2(Bucket=self._place.bucket, **asked))

    def _is_meant(self, entry: Any) -> bool:
        """Whether an object is a file: not a folder's mark, and finished."""
        below = str(entry["Key"]).removeprefix(self._place.prefix)
        return entry["Size"] > 0 and not any(is_unfinished(part) for part in below.split("/"))

    def _found(self, entry: Any) -> FoundFile:
        key, size = str(entry["Key"]), int(entry["Size"])
        etag = str(entry["ETag"]).strip('"')
        # The path is that of the bucket, for prefixes of it must not change what an object is called.
        return FoundFile(_digest(key), f"s3://{self._place.bucket}/{key}", (etag, size), size)

    def _version_of(self, found: FoundFile, at: int, length: int) -> bytes:
        key = found.path.removeprefix(f"s3://{self._place.bucket}/")
        etag = found.version[0]  # type: ignore[index]
        try:
            return read_version(self._client, self._place.bucket, key, etag, at, length)
        except ServiceFault as error:
            if error.fault in (Fault.MISSING, Fault.REFUSED):  # it was deleted, or replaced: the next look finds out
                raise FileNotFoundError from None
            # Rights, an archive or a key of its own: others can be read.
            if error.fault is Fault.FINAL and error.code and error.code not in CREDENTIALS:
                raise Unreadable(str(error).rstrip(".")) from None
            raise PlaceAway(str(error)) from None


def _digest(text: str) -> bytes:
    return blake2b(text.encode(), digest_size=16).digest()


def open_bucket(source: str) -> BucketFiles:
    """The objects that ``source`` names; ServiceFault if they cannot be listed."""
    place = BucketPrefix.of(source)
    files = BucketFiles(place, Client("s3", place.access, _PATIENCE))
    files.check()
    return files
