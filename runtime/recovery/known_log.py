"""What a log that was found has of a stream, beside the attempts that only point files name.

A compaction that the log does not name is used, or left out, before its inputs are: a row is never in neither. It is
left out if the log shows that it cannot have been committed (another commit has replaced one of its inputs, or its rows
are not those of the log's files), and if it makes no difference: its inputs are files of the log, and are there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from runtime.catalogue import FileEntry
from runtime.catalogue.items.commit_order import Order
from runtime.catalogue.items.compaction_origin import short_name
from runtime.catalogue.items.entries import SEQ, Record, attempt_of, commit_of, order_of
from runtime.catalogue.repair.audit import live_files
from runtime.objects import ObjectStore
from runtime.pointfile import PointFile
from runtime.recovery.compactions import FoundCompaction, rows_by_order


class KnownLog:
    """The live files of a stream at the end of its log, which of them are there, and which rows they have."""

    def __init__(self, objects: ObjectStore, stream: str, records: Sequence[Record]) -> None:
        self._objects, self._records = objects, records
        self.length = len(records)
        self.there = {info.path for info in objects.list(f"data/{stream}/")}
        live = live_files(records).values()
        self.raw = {order_of(f.seq, f.ordinal): f for f in live if not f.compacted}
        self.compacted = {short_name(f.path): f for f in live if f.compacted}
        paths = {f.path for f in live}
        self._dead = {short_name(f.path) for r in records for f in r.adds if f.path not in paths}
        self._rows: dict[str, Counter[int]] = {}

    def rows(self, file: FileEntry) -> Counter[int] | None:
        """How many rows a file has of each commit order; None if it is not there."""
        if not file.compacted:
            return Counter({order_of(file.seq, file.ordinal): file.rows})
        if file.path not in self._rows and file.path in self.there:
            self._rows[file.path] = rows_by_order(_opened(self._objects, file.path))
        return self._rows.get(file.path)

    def orders(self) -> set[int]:
        """The commit orders of the rows in its files that are there."""
        found = [self.rows(f) for f in (*self.raw.values(), *self.compacted.values()) if f.path in self.there]
        return {order for rows in found for order in rows or ()}

    def fits(self, order: Order | None) -> bool:
        """Whether an attempt that began after these commits can follow the log."""
        return all(
            self._records[order.seq - back - 1].attempt.startswith(name)
            for back, name in enumerate(order.attempts if order is not None else ())
            if order is not None and 0 < order.seq - back <= self.length
        )

    def inputs(self, c: FoundCompaction) -> list[FileEntry]:
        """The files of the log that a compaction replaced."""
        named = [self.compacted[name] for name in c.inputs | c.gone if name in self.compacted]
        return named + [f for order, f in self.raw.items() if order in c.rows or short_name(f.path) in c.gone]

    def follows(self, c: FoundCompaction, others: Mapping[str, FoundCompaction]) -> bool:
        """Whether a compaction can follow the log: each of its inputs is live, or of an attempt beyond the log.
        ``others`` are those that do, by the names of their files."""
        if not self.fits(c.attempt.order) or (c.inputs | c.gone) & self._dead:
            return False
        known: set[int] = set(self.raw)
        for name in c.inputs:
            file, other = self.compacted.get(name), others.get(name)
            rows = self.rows(file) if file is not None else other.rows if other is not None else None
            if rows is None:
                return True  # it is gone, so a commit has replaced it
            known |= rows.keys()
        return all(commit_of(order) > self.length or order in known for order in c.rows)


def same_store(objects: ObjectStore, stream: str, records: Sequence[Record]) -> bool:
    """Whether a log is of this store, though none of its files is there: files name its attempts, or hold its rows."""
    sizes = {order_of(f.seq, f.ordinal): f.rows for r in records for f in r.adds if not f.compacted}
    for info in objects.list(f"data/{stream}/"):
        if attempt_of(info.path) is None:
            continue
        file = _opened(objects, info.path)
        order = Order.parse((file.origin or {}).get("order"))
        if order is None:
            continue
        known = [(order.seq - n, name) for n, name in enumerate(order.attempts) if 0 < order.seq - n <= len(records)]
        if known:
            return all(records[seq - 1].attempt.startswith(name) for seq, name in known)
        rows = rows_by_order(file) if SEQ in file.schema else {}
        if any(commit_of(o) <= len(records) for o in rows):
            return all(n <= sizes.get(o, 0) for o, n in rows.items() if commit_of(o) <= len(records))
    return False


def _opened(objects: ObjectStore, path: str) -> PointFile:
    size = objects.size(path)
    return PointFile.open(lambda at, n: objects.read(path, at, n), size, path)
