"""The cache of partial states in a store: immutable objects that nothing depends on.

``cache/QUERY/FAMILY/FIRST-LAST-CONTENT`` is the state of the rows of CONTENT, which lie in the days from FIRST to LAST,
for one query with one set of parameters and one version of everything else (FAMILY). CONTENT is a sum over the files
(``FileEntry.content_hash``) that a compaction does not change: a state is found by its rows, in whichever files they
lie. A missing, damaged or foreign state is recomputed; a state that cannot be written is not cached.

An object begins with its path, so that a misplaced one counts as damaged. Checksums detect damage, not forgery: a
process that may write below ``cache/`` can forge results of published queries (but cannot run code or make a reader
access memory out of bounds: ``runtime.query.merge.state_form``). Give that permission to workers only.
"""

from __future__ import annotations

import hashlib
import re
from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
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

MOST_IN_ALL = 1 << 30
"""Maximum cached bytes of all queries together."""

GRACE = 3_600_000_000
"""Microseconds after its last use for writing that the cache of a superseded query stays."""

_KEPT = 2
"""Cache entries kept per equivalence class."""

_MODULUS = 1 << 256
_CONTENT = re.compile("[0-9a-f]{64}")

_NUMBER = 10**9
"""Offset of days in names, so that names sort like days."""


@dataclass(frozen=True)
class CachedObject:
    """One cached object; ``first`` and ``day`` are the first and the last day of its rows."""

    path: str
    first: int
    day: int
    content: str
    size: int
    modified: int

    @classmethod
    def of(cls, info: ObjectInfo) -> CachedObject | None:
        """Parse its name; None for other objects."""
        *days, content = info.path.rpartition("/")[2].split("-")
        if len(days) not in (1, 2) or not all(day.isdecimal() for day in days):
            return None
        # Names of earlier versions have one day.
        return cls(info.path, int(days[0]) - _NUMBER, int(days[-1]) - _NUMBER, content, info.size, info.modified)


def contents(groups: Iterable[Sequence[FileEntry]], unordered: bool = False) -> list[str]:
    """For every prefix of the groups, what identifies its rows: a sum that does not change when files are compacted.

    ``unordered``: the commit order was unknown once (``StreamSchema.unordered``), and another recovery may find another
    one, so the sum is of these files in this order.
    """
    out, total = [], 0
    for group in groups:
        for f in group:
            total += _in_order(f) if unordered else f.content_hash
        total %= _MODULUS
        out.append(_named(total))
    return out


def _in_order(file: FileEntry) -> int:
    return int.from_bytes(hashlib.sha256(f"{file.path} {file.seq} {file.ordinal}".encode()).digest(), "big")


def _named(total: int) -> str:
    return f"{total:064x}"


def named_in_cache(query: str) -> str:
    """How a published query of this digest is named below ``cache/``."""
    return query[:40]


class Shelf:
    """The cached objects of one family; ``query`` and ``family`` are digests."""

    def __init__(self, objects: ObjectStore, query: str, family: str) -> None:
        self._objects = objects
        self._query = f"cache/{query}/"
        self.folder = f"{self._query}{family}/"
        """The prefix of their paths."""

        self._found = {k.content: k for k in self._listed(self.folder)}

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

    def tiles(self, first: int, last: int) -> dict[str, list[str]]:
        """Cached states of days that follow each other, from ``first`` to at most ``last``: the content of all of them
        together, and of each.

        A state of several days goes before those of single days, then a newer one before an older one.
        """
        inside = [k for k in self._found.values() if first <= k.first and k.day <= last]
        out: dict[str, list[str]] = {}
        total, end, chosen = 0, first - 1, list[str]()
        for k in sorted(inside, key=lambda k: (k.first, -k.day, -k.modified, k.path)):
            if k.first > end and _CONTENT.fullmatch(k.content):
                total = (total + int(k.content, 16)) % _MODULUS
                end = k.day
                chosen = [*chosen, k.content]
                out[_named(total)] = chosen
        return out

    def put(self, first: int, day: int, content: str, state: bytes) -> None:
        """Cache a state of rows of these days, if it is not too large and the store allows it."""
        path = f"{self.folder}{first + _NUMBER}-{day + _NUMBER}-{content}"
        state = _head(path) + state
        if len(state) > LARGEST_STATE:
            return
        data = zstandard.ZstdCompressor(level=3, write_checksum=True).compress(state)
        if len(data) > LARGEST:
            return
        try:
            if content in self._found:
                # The old one was unusable, or this would not be recomputed.
                self._objects.delete(self._found[content].path)
            self._objects.put(path, data)
        except StoreError:
            # The result does not depend on it: a store may be read-only.
            return

    def tidy(self, thin: bool) -> None:
        """Delete superseded objects (``thin``: more and more for older days), and the oldest beyond the limits."""
        listed = self._listed(self._query)
        mine = [k for k in listed if k.path.startswith(self.folder)]
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
    """All but the latest two of every first day; with ``thin`` of every span of days twice as long and as old as the
    next."""
    by_age: dict[int, list[CachedObject]] = defaultdict(list)
    newest = max((k.day for k in kept), default=0)
    for k in kept:
        by_age[(newest - k.day).bit_length() if thin else k.first].append(k)
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


def tidy_all(objects: ObjectStore, current: Collection[str]) -> list[str]:
    """Delete the states of queries that are not ``current`` (digests) an hour after the last one was written, then the
    oldest beyond ``MOST_IN_ALL``; returns their paths.

    The newest object is the clock, so that no other one is trusted. Safe beside readers: a state that is gone is
    recomputed, and then stays for an hour.
    """
    try:
        listed = list(objects.list("cache/"))
    except StoreError:
        return []
    names = {named_in_cache(digest) for digest in current}
    last: dict[str, int] = defaultdict(int)
    for o in listed:
        last[_query_of(o)] = max(last[_query_of(o)], o.modified)
    newest = max(last.values(), default=0)
    size, gone = 0, []
    for o in sorted(listed, key=lambda o: (o.modified, o.path), reverse=True):
        query = _query_of(o)
        is_past = query not in names and last[query] < newest - GRACE
        size += 0 if is_past else o.size
        if is_past or size > MOST_IN_ALL:
            gone.append(o.path)
    try:
        for path in gone:
            objects.delete(path)
    except StoreError:
        # Without permission to delete, the bucket's lifecycle rules do it.
        return []
    return gone


def _query_of(info: ObjectInfo) -> str:
    return info.path.split("/")[1]


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
