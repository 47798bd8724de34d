"""Carry snapshots in a store: a cache of point files that nothing depends on.

`carry/STREAM/FAMILY/DAY-CONTENT` is the head of the snapshot of the rows before DAY, whose files have the sum CONTENT
(``FileEntry.content_hash``), for the streams' form and the columns that FAMILY is a digest of. It lists the snapshot's
point files, which have names that begin with its own. So late data, an undo or another schema make a snapshot not
found, while a compaction, which keeps the sum, does not.

A head begins with a checksum and its path, and has the SHA-256 of each point file: what is damaged or misplaced is not
used. As for cached states, checksums detect damage, not forgery by those who may write below ``carry/``.
"""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from operators.distinct_values import distinct
from runtime.catalogue import FileEntry, StreamSchema, new_attempt
from runtime.catalogue.items.entries import DAY
from runtime.columns import Points
from runtime.errors import StoreError
from runtime.objects import ObjectStore
from runtime.objects.object_store import ObjectInfo
from runtime.pointfile import encode, footer_digest, sort_points

_FORM = 3
"""Version of the snapshots: changes whenever their meaning does."""

_MAGIC = b"ANTCARR1"
_NUMBER = 10**9
"""Offset of days in names, so that names sort like days."""

_SPAN = 365
"""Days that a point file of a snapshot covers, at most."""

_FEW = 2
"""Snapshots kept per span of days, of which each is twice as long and as old as the next."""

MOST, MOST_BYTES = 64, 256 << 20
"""The most snapshots of a stream, and the most bytes in them."""

_LARGEST = 1 << 20
_GRACE = 3_600_000_000
"""Microseconds after which a point file without a head is not one that is being written."""


@dataclass(frozen=True)
class Kept:
    """A snapshot of the rows before ``day``. Without files, reading it would not be faster than the rows."""

    day: int
    files: tuple[FileEntry, ...]
    rows_before: int
    """Rows of the files that it replaces."""

    @property
    def rows(self) -> int:
        """Its rows."""
        return sum(f.rows for f in self.files)


def family(schema: StreamSchema, columns: Sequence[str], floor: int | None, plain: Sequence[str] = ()) -> str:
    """A digest of what the meaning of a snapshot depends on, besides the rows. ``plain``: columns in which values that
    are not plain (``Plan.plain``) would make it useless."""
    types = dict(schema.columns) if schema.duplicates == "exact" else {c: schema.columns[c] for c in columns}
    # Unless no row had one so far.
    types |= {c: k for c, k in schema.columns.items() if c == schema.id}
    form = [schema.key, schema.key_type, schema.time, sorted(types.items()), schema.duplicates, schema.id]
    # Recovery of a catalogue may change the order of files, and so which of two rows of one time comes last.
    order = schema.unordered
    text = json.dumps([_FORM, form, order, sorted(columns), floor, sorted(plain)], separators=(",", ":"), default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:40]


class CarryShelf:
    """The snapshots of one stream and family. StoreError where the store cannot be listed."""

    def __init__(self, objects: ObjectStore, stream: str, family: str) -> None:
        self._objects = objects
        self._stream = f"carry/{stream}/"
        self._family = f"{self._stream}{family}/"
        self._heads = {o.path for o in objects.list(self._family) if _day(o.path) is not None}

    def __contains__(self, known: tuple[int, str]) -> bool:
        return self._path(*known) in self._heads

    def days(self) -> list[int]:
        """The days of which there are snapshots, the latest first; they may be of other rows."""
        return sorted({d for p in self._heads if (d := _day(p)) is not None}, reverse=True)

    def _path(self, day: int, content: str) -> str:
        return f"{self._family}{day + _NUMBER}-{content}"

    def get(self, day: int, content: str) -> Kept | None:
        """The snapshot of the rows before ``day``; None if there is none, or if it cannot be read or is damaged."""
        path = self._path(day, content)
        if path not in self._heads:
            return None
        try:
            size = self._objects.size(path)
            head = _head(path, self._objects.read(path, 0, size) if size <= _LARGEST else b"")
            files = tuple(FileEntry(**f) for f in head["files"])
            rows_before = int(head["rows_before"])
        except (StoreError, ValueError, KeyError, TypeError):
            return None
        if all(self._intact(f, path, day) for f in files):
            return Kept(day, files, rows_before)
        return None

    def _intact(self, file: FileEntry, head: str, day: int) -> bool:
        if not file.path.startswith(f"{head}.") or file.t_max >= day * DAY:
            return False
        try:
            if file.bytes != self._objects.size(file.path):
                return False
            data = self._objects.read(file.path, 0, file.bytes)
        except StoreError:
            return False
        return hashlib.sha256(data).hexdigest() == file.sha256

    def may_write(self) -> bool:
        """Whether the store takes snapshots: to find out is cheaper than to make one in vain."""
        try:
            self._objects.put(f"{self._stream}writable", b"")
        except StoreError:
            return False
        return True

    def put(self, day: int, content: str, points: Points | None, schema: StreamSchema, rows_before: int) -> Kept | None:
        """Keep a snapshot (None: one that would not pay); None if the store does not allow it."""
        path = self._path(day, content)
        attempt = new_attempt()
        files: list[FileEntry] = []
        try:
            for part in [] if points is None else _by_span(points, day):
                name = f"{path}.{attempt}-{len(files)}.points"
                files.append(self._write(part, schema, name, len(files)))
            body = json.dumps({"path": path, "files": [asdict(f) for f in files], "rows_before": rows_before}).encode()
            if path in self._heads:
                # The old one is damaged, or this would not be made.
                self._objects.delete(path)
            self._objects.put(path, _MAGIC + hashlib.sha256(body).digest() + body)
        except StoreError:
            self._delete([f.path for f in files])
            return None
        self._heads.add(path)
        return Kept(day, tuple(files), rows_before)

    def _write(self, points: Points, schema: StreamSchema, path: str, number: int) -> FileEntry:
        first, last = int(points.time.min()), int(points.time.max())
        day = first // DAY
        data = encode(points, key=schema.key, time=schema.time, day=day, days=last // DAY - day + 1)
        self._objects.put(path, data)
        keys = points.key.values
        return FileEntry(
            path=path, day=day, rows=len(points), bytes=len(data), t_min=first, t_max=last,
            sha256=hashlib.sha256(data).hexdigest(), keys=1 + int(np.count_nonzero(keys[1:] != keys[:-1])),
            nulls={n: c.nulls for n, c in points.columns.items()}, ordinal=number, footer=footer_digest(data),
        )  # fmt: skip

    def tidy(self) -> None:
        """Delete what is beyond the limits, and files that no head lists."""
        try:
            listed = list(self._objects.list(self._stream))
            of: dict[str, list[ObjectInfo]] = defaultdict(list)
            heads = {o.path: o for o in listed if _day(o.path) is not None}
            for o in listed:
                of[o.path.partition(".")[0] if o.path.endswith(".points") else o.path].append(o)
            gone = _superseded(list(heads.values()))
            size = 0
            for n, head in enumerate(sorted(heads.values(), key=lambda o: (o.modified, o.path), reverse=True), 1):
                size += sum(o.size for o in of[head.path])
                if n > MOST or size > MOST_BYTES:
                    gone.add(head.path)
            newest = max((o.modified for o in listed), default=0)
            for path, parts in of.items():
                if path in gone:
                    # The head first: without it, nothing leads to the files.
                    self._delete(sorted((o.path for o in parts), key=lambda p: p != path))
                elif path not in heads and path != f"{self._stream}writable":
                    self._delete([o.path for o in parts if o.modified < newest - _GRACE])
            self._heads -= gone
        except StoreError:
            # Without permission to delete, the bucket's lifecycle rules do it.
            return

    def _delete(self, paths: Sequence[str]) -> None:
        try:
            for path in paths:
                self._objects.delete(path)
        except StoreError:
            return


def _day(path: str) -> int | None:
    """The day in the path of a head; None for other objects."""
    number, dash, content = path.rpartition("/")[2].partition("-")
    return int(number) - _NUMBER if dash and number.isdecimal() and "." not in content else None


def _head(path: str, data: bytes) -> Mapping[str, Any]:
    """The head that was written at ``path``; ValueError if it is another one or damaged."""
    body = data[40:]
    if data[:8] != _MAGIC or hashlib.sha256(body).digest() != data[8:40]:
        raise ValueError("damaged")
    head = json.loads(body)
    if not isinstance(head, dict) or head.get("path") != path:
        raise ValueError("misplaced")
    return head


def _superseded(heads: Sequence[ObjectInfo]) -> set[str]:
    """Of each family, all but the latest few of each span of days."""
    by_age: dict[tuple[str, int], list[tuple[int, int, str]]] = defaultdict(list)
    newest: dict[str, int] = {}
    for o in heads:
        place, day = o.path.rpartition("/")[0], _day(o.path) or 0
        newest[place] = max(day, newest.get(place, day))
    for o in heads:
        place, day = o.path.rpartition("/")[0], _day(o.path) or 0
        by_age[place, (newest[place] - day).bit_length()].append((day, o.modified, o.path))
    return {path for same in by_age.values() for _, _, path in sorted(same, reverse=True)[_FEW:]}


def _by_span(points: Points, day: int) -> list[Points]:
    """The points in parts that a point file may hold, one after the other in time; each in the order of a file."""
    number = (day * DAY - 1 - points.time) // (_SPAN * DAY)
    parts = [sort_points(points.take(np.flatnonzero(number == n))) for n in distinct(number)[::-1].tolist()]
    return [
        Points(p.key, p.time, {n: c for n, c in p.columns.items() if c.valid is None or c.valid.any()}) for p in parts
    ]
