"""The cache of partial states in a store: immutable objects that nothing depends on.

``cache/QUERY/FAMILY/DAY-CONTENT`` is the state of the files of CONTENT, up to the day DAY, for one query with one set
of parameters and one version of everything else (FAMILY). A missing, damaged or foreign state is recomputed; a state
that cannot be written is not cached.

An object begins with its path, so that a misplaced one counts as damaged. Checksums detect damage, not forgery: a
process that may write below ``cache/`` can forge results of published queries (but cannot run code or make a reader
access memory out of bounds: ``runtime.query.merge.state_form``). Give that permission to workers only.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import zstandard

from runtime.catalogue import FileEntry
from runtime.errors import FormatError, StoreError
from runtime.objects import ObjectStore
from runtime.objects.object_store import ObjectInfo

LARGEST = 32 << 20
"""Maximum bytes of a cached object; larger states are not cached."""

LARGEST_STATE = 256 << 20
"""Maximum bytes of a state before compression."""

MOST = 512 << 20
"""Maximum cached bytes per query; the oldest objects are deleted."""

MOST_OBJECTS = 10_000
"""Maximum cached objects per query, which every run lists."""

_KEPT = 2
"""Cache entries kept per equivalence class."""

_NUMBER = 10**9
"""Offset of days in names, so that names sort like days."""


@dataclass(frozen=True)
class CachedObject:
    """One cached object."""

    path: str
    day: int
    content: str
    size: int
    modified: int

    @classmethod
    def of(cls, info: ObjectInfo) -> CachedObject | None:
        """Parse its name; None for other objects."""
        number, dash, content = info.path.rpartition("/")[2].partition("-")
        if not dash or not number.isdecimal():
            return None
        return cls(info.path, int(number) - _NUMBER, content, info.size, info.modified)


def contents(groups: Iterable[Sequence[FileEntry]]) -> list[str]:
    """For every prefix of the groups, a digest of its files and their grouping."""
    out, chain = [], b""
    for group in groups:
        h = hashlib.sha256(chain)
        for f in group:
            h.update(f"{f.path}\0{f.sha256}\0{f.rows}\n".encode())
        chain = h.digest()
        out.append(chain.hex())
    return out


class Shelf:
    """The cached objects of one family; ``query`` and ``family`` are digests."""

    def __init__(self, objects: ObjectStore, query: str, family: str) -> None:
        self._objects = objects
        self._query = f"cache/{query}/"
        self._family = f"{self._query}{family}/"
        self._found = {k.content: k for k in self._listed(self._family)}

    def __contains__(self, content: str) -> bool:
        return content in self._found

    def get(self, content: str) -> bytes | None:
        """The cached state of these files; None if it cannot be read."""
        kept = self._found[content]
        if kept.size > LARGEST:
            return None
        try:
            data = _unpacked(self._objects.read(kept.path, 0, kept.size))
            head = _head(kept.path)
            return data[len(head) :] if data.startswith(head) else None
        except (StoreError, FormatError):
            return None

    def put(self, day: int, content: str, state: bytes) -> None:
        """Cache a state, if it is not too large and the store allows it."""
        path = f"{self._family}{day + _NUMBER}-{content}"
        state = _head(path) + state
        if len(state) > LARGEST_STATE:
            return
        data = zstandard.ZstdCompressor(level=3, write_checksum=True).compress(state)
        if len(data) > LARGEST:
            return
        try:
            if content in self._found:
                # The old one was unusable, or this would not be recomputed.
                self._objects.delete(path)
            self._objects.put(path, data)
        except StoreError:
            # The result does not depend on it: a store may be read-only.
            return

    def tidy(self, thin: bool) -> None:
        """Delete superseded objects (``thin``: more and more for older days), and the oldest beyond the limits."""
        listed = self._listed(self._query)
        mine = [k for k in listed if k.path.startswith(self._family)]
        gone = superseded(mine, thin)
        past = set(gone)
        gone += overfull([k for k in listed if k not in past])
        try:
            for k in gone:
                self._objects.delete(k.path)
        except StoreError:
            # Without permission to delete, the bucket's lifecycle rules do it.
            return

    def _listed(self, prefix: str) -> list[CachedObject]:
        try:
            return [k for k in map(CachedObject.of, self._objects.list(prefix)) if k is not None]
        except StoreError:
            return []


def superseded(kept: Sequence[CachedObject], thin: bool) -> list[CachedObject]:
    """All but the latest two of every day; with ``thin`` of every span of days twice as long and as old as the next."""
    by_age: dict[int, list[CachedObject]] = defaultdict(list)
    newest = max((k.day for k in kept), default=0)
    for k in kept:
        by_age[(newest - k.day).bit_length() if thin else k.day].append(k)
    order = (sorted(same, key=lambda k: (k.day, k.modified, k.path), reverse=True) for same in by_age.values())
    return [k for same in order for k in same[_KEPT:]]


def overfull(kept: Sequence[CachedObject]) -> list[CachedObject]:
    """The oldest objects beyond ``MOST`` bytes or ``MOST_OBJECTS``."""
    out, size = [], 0
    for n, k in enumerate(sorted(kept, key=lambda k: (k.modified, k.path), reverse=True), 1):
        size += k.size
        if size > MOST or n > MOST_OBJECTS:
            out.append(k)
    return out


def _head(path: str) -> bytes:
    return f"{path}\n".encode()


def _unpacked(data: bytes) -> bytes:
    try:
        size = zstandard.frame_content_size(data)
        if not 0 <= size <= LARGEST_STATE:
            raise FormatError("a cached state does not say its size, or is too large")
        return zstandard.ZstdDecompressor().decompress(data)
    except zstandard.ZstdError as error:
        raise FormatError(f"a cached state is damaged: {error}") from None
