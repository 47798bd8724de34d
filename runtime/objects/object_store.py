"""The `ObjectStore` protocol, and which names objects may have."""

from __future__ import annotations

import re
from collections.abc import Container, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from runtime.errors import StoreError

MAX_PATH = 900  # S3 allows 1,024 bytes for prefix and path together

_PART = re.compile(r"[A-Za-z0-9_=+,@-][A-Za-z0-9._=+,@-]{0,199}")


class FileMissing(StoreError):
    """An object that should be there is not."""


@dataclass(frozen=True)
class ObjectInfo:
    """One object: its path, its size in bytes, and when it was written (microseconds UTC, the store's clock)."""

    path: str
    size: int
    modified: int


class ObjectStore(Protocol):
    """Immutable objects by path; every method is safe to call from several threads and processes at once.

    Paths are relative and '/'-separated (see ``check_path``). All errors are ``StoreError``.
    """

    at_once: int
    """How many concurrent reads pay off, whatever the number of cores: 1 where reads do not wait."""

    gap: int
    """Ranges of an object are coalesced where the gap between them is at most this many bytes."""

    gets: int
    bytes_read: int
    """Billed reads so far: GETs of S3, and their bytes; 0 in a folder."""

    def put(self, path: str, data: bytes) -> None:
        """Create the object; durable on return.

        Never overwrites: an identical existing object is fine (a repeated request), a different one raises
        ``StoreError``. No reader ever sees part of an object.
        """
        ...

    def read(self, path: str, offset: int, length: int) -> bytes:
        """Exactly ``length`` bytes from ``offset``; ``FileMissing`` without the object, ``StoreError`` when short."""
        ...

    def read_into(self, path: str, offset: int, into: memoryview) -> None:
        """Fill ``into`` (writable bytes) with the bytes from ``offset`` on; errors as ``read``."""
        ...

    def size(self, path: str) -> int:
        """The object's size in bytes; ``FileMissing`` without the object."""
        ...

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        """The objects whose path starts with ``prefix`` (any string, as in S3), in the order of their paths."""
        ...

    def delete(self, path: str, versions: bool = False) -> None:
        """Remove the object, if it exists; durable on return.

        ``versions``: also what a store that keeps versions has of it, so that it cannot be brought back.
        """
        ...

    def discard_temporary(self, before: int, dry_run: bool = False) -> Sequence[ObjectInfo]:
        """Remove temporary files that interrupted puts left, last written before ``before`` (microseconds UTC).

        Returns those removed, or, with ``dry_run``, those that would be. None where a put leaves nothing behind.
        """
        ...

    def discard_deleted(self, prefix: str, dry_run: bool = False, but: Container[str] = ()) -> Sequence[ObjectInfo]:
        """Remove what a store that keeps versions still has of deleted objects whose path starts with ``prefix``, all
        ``but`` these.

        Returns those removed (the size is that of all versions together), or, with ``dry_run``, those that would be.
        None where a deleted object is gone.
        """
        ...

    def close(self) -> None:
        """Release open resources; they are reopened on use."""
        ...


def check_path(path: str) -> str:
    """The path itself if it is a valid object path, else ``StoreError``.

    Valid: parts of letters, digits and ``._=+,@-`` (none starting with a dot, at most 200 characters each),
    joined by '/', at most ``MAX_PATH`` characters in all.
    """
    if not isinstance(path, str) or not path or len(path) > MAX_PATH:
        raise StoreError(
            f"object path {str(path)[:80]!r} is empty or longer than {MAX_PATH} characters: choose a shorter name."
        )
    for part in path.split("/"):
        if not _PART.fullmatch(part):
            raise StoreError(
                f"object path {path!r}: the part {part!r} is not allowed; use letters, digits and ._=+,@- without "
                "a leading dot, at most 200 characters, and '/' between the parts."
            )
    return path


def check_range(path: str, offset: int, length: int) -> None:
    """Raise ``StoreError`` for a negative offset or length."""
    if offset < 0 or length < 0:
        raise StoreError(f"cannot read {length} bytes at {offset} of {path!r}: neither may be negative.")
