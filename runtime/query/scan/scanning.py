"""Reads the cells of one task: every file's rows of one range of key hashes, in order of time per key."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.states.strings import Words
from operators.types import Type
from runtime.catalogue import FileEntry
from runtime.catalogue.items.entries import SEQ
from runtime.pointfile import Block, Buffers, Changes, PointFile
from runtime.query.scan.across_files import CellRows, resolve
from runtime.query.scan.batches import batches, in_range
from runtime.query.scan.expected_reads import first_time, is_outside
from runtime.query.scan.gathered_rows import Gathered
from runtime.query.scan.joined_batches import AT_ONCE, FEW, JoinedBatch, Joiner, OpenSmall, is_small
from runtime.query.scan.merge_rows import commit_orders, windows
from runtime.query.scan.scan_spec import ScanSpec, dtype_of, merged_columns, widened
from runtime.query.stages.keys import Keys
from runtime.query.stages.row_batch import RowBatch, Values
from runtime.query.stages.runner import missing_column
from runtime.query.task.coverage import Coverage

_MANY = 4
"""Keys in several files are merged separately if they are fewer than one in this many; else all keys are merged."""

_PIECES = 8
"""Pieces of a chunk that are passed on as they are: each costs some 10 microseconds. More are copied into one."""

_TOGETHER = 1 << 18
"""Rows decoded in one call, unless a block has more: the GIL changes hands once per call."""


def scan_order(files: Sequence[FileEntry], id_column: str | None) -> list[tuple[FileEntry, ...]]:
    """``files`` in groups, in reading order: each group ends before the next one begins.

    The files of a group overlap in time, directly or through others; in a stream with an id column, they share UTC
    days. The rows of a group are merged.
    """
    by_day = id_column is not None
    groups: list[list[FileEntry]] = []
    end = None
    for f in sorted(files, key=lambda f: (f.day if by_day else f.t_min, f.seq, f.ordinal)):
        first, last = (f.day, f.day + f.days - 1) if by_day else (f.t_min, f.t_max)
        if end is None or first > end:
            groups.append([f])
            end = last
        else:
            groups[-1].append(f)
            end = max(end, last)
    return [tuple(sorted(g, key=lambda f: (f.seq, f.ordinal))) for g in groups]


@dataclass
class FilePart:
    """One file's share of the task."""

    entry: FileEntry
    file: PointFile
    key_lo: int
    row_lo: int
    row_hi: int
    slots: NDArray[np.int32]
    maps: dict[str, NDArray[np.int32]] = field(default_factory=dict)


class Scan:
    """Iterates over the row batches of one task."""

    def __init__(
        self,
        spec: ScanSpec,
        keys: Keys,
        words: Words,
        open_file: Callable[[FileEntry], PointFile],
        buffers: Buffers,
        open_small: OpenSmall | None = None,
    ) -> None:
        self.spec, self.keys, self.words, self._open = spec, keys, words, open_file
        self.coverage = Coverage()
        self._buffers = buffers
        self._resolves = spec.duplicates != "keep" or spec.id_column is not None
        # Unless no row had one so far.
        self._id = spec.id_column if spec.id_column in spec.all_columns else None
        self._since = first_time(spec)
        self._joiner = None
        if open_small is not None:
            self._joiner = Joiner(spec, self._since, keys, words, buffers, open_small)

    def chunks(self, files: Sequence[FileEntry]) -> Iterator[RowBatch]:
        """All rows of ``files`` in this shard before ``until``; a key's rows in (time, seq) order."""
        for stretch in self.stretches(scan_order(files, self.spec.id_column)):
            yield from self.read(stretch)

    def rows_of(self, entry: FileEntry) -> int:
        """At most so many rows of a file are in this shard."""
        if is_small(entry):
            return entry.rows
        _, _, first, end = self._open(entry).key_span(*self.spec.shard)
        return end - first

    def cover(self, files: Sequence[FileEntry]) -> None:
        """Count the rows of ``files`` in this shard as read, or as ruled out, without reading them."""
        for p in map(self._part, files):
            if p is not None:
                self.coverage.skipped += self._rows_out_of_range(p)

    def stretches(
        self, groups: Sequence[Sequence[FileEntry]], stops: Collection[int] = ()
    ) -> Iterator[list[Sequence[FileEntry]]]:
        """The groups in stretches to ``read``: small files that need no merging are read together.

        A stretch ends after each number of groups in ``stops``.
        """
        stretch: list[Sequence[FileEntry]] = []
        files = 0
        for n, group in enumerate(groups):
            alone = not self._needs_no_merge(group)
            if stretch and (alone or n in stops or files + len(group) > AT_ONCE):
                yield stretch
                stretch, files = [], 0
            if alone:
                yield [group]
            else:
                stretch.append(group)
                files += len(group)
        if stretch:
            yield stretch

    def _needs_no_merge(self, group: Sequence[FileEntry]) -> bool:
        """Whether these are small files whose rows may be read one file after the other."""
        if self._joiner is None or not all(map(is_small, group)):
            return False
        if self._resolves:
            by_id = self.spec.id_column is not None and self.spec.duplicates == "latest"
            return len(group) == 1 and not by_id
        return len(group) == 1 or self.spec.any_order

    def read(self, stretch: Sequence[Sequence[FileEntry]]) -> Iterator[RowBatch]:
        """The rows of a stretch, as in ``chunks``."""
        files = [f for group in stretch for f in group]
        if self._joiner is None or len(files) < FEW or not self._needs_no_merge(stretch[0]):
            for group in stretch:
                yield from self.group(group)
            return
        for some, alike in self._joiner.alike(files):
            found = None if alike is None else self._joiner.joined(some, alike, self.spec.columns, self.spec.times)
            if found is None:
                # One by one; what is wrong with a file is then said of it.
                for f in some:
                    yield from self.group((f,))
            else:
                self._cover(found)
                if found.batch is not None:
                    yield found.batch

    def _cover(self, found: JoinedBatch) -> None:
        for path, rows in found.rows:
            self.coverage.read(path, self.spec.shard, rows)
        self.coverage.skipped += found.skipped

    def group(self, group: Sequence[FileEntry]) -> Iterator[RowBatch]:
        """The rows of one group of ``scan_order``, as in ``chunks``; a scan has no state between groups."""
        if self._joiner is not None and len(group) >= FEW and all(map(is_small, group)):
            found = self._merged_small(group, self._joiner)
            if found is not None:
                yield from found
                return
        parts = [p for p in (self._part(f) for f in group) if p is not None]
        self.coverage.skipped += sum(map(self._rows_out_of_range, parts))
        if self.spec.any_order and not self._resolves:
            for p in parts:
                yield from self._blocks(p, self.spec.columns, self.spec.times)
            return
        shared = self._shared(parts)
        few = np.count_nonzero(shared) * _MANY < sum(len(p.slots) for p in parts)
        if few:
            for p in parts:
                for chunk in self._blocks(p, self.spec.columns, self.spec.times):
                    yield from without_keys(chunk, shared)
        if shared.any():
            yield from self._merged(parts, shared if few else np.ones(len(self.keys), np.bool_))

    def _shared(self, parts: Sequence[FilePart]) -> NDArray[np.bool_]:
        """For each slot, whether the rows of its key have to be merged, or searched for repeats."""
        shared = np.zeros(len(self.keys), np.bool_)
        if self.spec.id_column is not None and self.spec.duplicates == "latest":
            # Rows of one time may be merged only after repeats by id are gone: never at ingest.
            shared[:] = True
            return shared
        # The rows of a key that is in only one file are already in order.
        if len(parts) > 1:
            shared = np.bincount(np.concatenate([p.slots for p in parts]), minlength=len(self.keys)) > 1
        if self._resolves:
            for p in parts:
                if p.entry.repeats:
                    shared[p.slots] = True
        return shared

    def _part(self, entry: FileEntry) -> FilePart | None:
        file = self._open(entry)
        key_lo, key_hi, row_lo, row_hi = file.key_span(*self.spec.shard)
        self.coverage.read(entry.path, self.spec.shard, row_hi - row_lo)
        if row_hi == row_lo:
            return None
        if is_outside(entry, self.spec):
            self.coverage.skipped += row_hi - row_lo
            return None
        slots = self.keys.slots(file.key_column(key_lo, key_hi), file.key_hashes(key_lo, key_hi))
        return FilePart(entry, file, key_lo, row_lo, row_hi, slots)

    def _in_range(self, p: FilePart) -> tuple[int, int, NDArray[np.bool_]]:
        """The part's blocks [lo, hi), and which of them may contain rows of the range."""
        return in_range(p.file, (p.row_lo, p.row_hi), self.spec, self._since)

    def _rows_out_of_range(self, p: FilePart) -> int:
        """The part's rows in blocks that are ruled out; independent of the other parts, so that halves add up."""
        lo, hi, wanted = self._in_range(p)
        starts = p.file.blocks["row_start"][lo:hi]
        ends = np.minimum(starts + p.file.blocks["rows"][lo:hi], p.row_hi)
        return int((ends - np.maximum(starts, p.row_lo))[~wanted].sum())

    def _code_map(self, part: FilePart, column: str) -> NDArray[np.int32]:
        found = part.maps.get(column)
        if found is None:
            found = part.maps[column] = self.words.codes(part.file.dictionary(column).strings)
        return found

    def _blocks(
        self,
        p: FilePart,
        columns: Mapping[str, Type],
        times: bool,
        having: NDArray[np.bool_] | None = None,
        span: tuple[int, int] | None = None,
    ) -> Iterator[RowBatch]:
        """The part's rows, block by block; the arrays are valid until the next block is requested.

        With ``having``, a flag per slot, only blocks that contain a marked key; with ``span``, only blocks that may
        contain a time from its first to before its second.
        """
        file, spec = p.file, self.spec
        blocks = file.blocks
        counts = blocks["rows"]
        lo, hi, wanted = self._in_range(p)
        if having is not None:
            marked = np.concatenate([[0], np.cumsum(having[p.slots])])
            first = np.clip(blocks["first_key"][lo:hi] - p.key_lo, 0, len(p.slots))
            last = np.clip(blocks["first_key"][lo:hi] + blocks["runs"][lo:hi] - p.key_lo, 0, len(p.slots))
            wanted &= marked[last] > marked[first]
        if span is not None:
            wanted &= (blocks["t_min"][lo:hi] < span[1]) & (blocks["t_max"][lo:hi] >= span[0])
        present = [c for c in columns if c in file.schema]
        maps = {c: self._code_map(p, c) for c in present if columns[c] is Type.STRING}
        for batch in batches(file, present, spec, times, lo, wanted, having is None):
            chosen, last = batch.chosen, batch.end
            loaded = file.load(present, chosen[0], chosen[-1] + 1, time=batch.time, buffers=self._buffers)
            whole = chosen if having is None else []
            few = self._repetitive(p, present, whole) if loaded.time else set()
            at = 0
            while at < len(chosen):
                b = chosen[at]
                if b in few:
                    assert spec.elision is not None
                    end = next(e for e in range(b + 1, last + 1) if e not in few)
                    done, changes = loaded.changes(b, end, present, spec.elision.hold, self._buffers, maps)
                    yield self._changed(p, changes, columns)
                    at += done - b
                    continue
                end = at + 1
                rows = int(counts[b])
                while end < len(chosen) and chosen[end] == b + end - at and chosen[end] not in few:
                    rows += int(counts[chosen[end]])
                    if rows > _TOGETHER:
                        break
                    end += 1
                block = loaded.rows(b, b + end - at, present, self._buffers, maps)
                yield self._chunk(p, block, b, columns)
                at = end

    def _repetitive(self, p: FilePart, present: Sequence[str], candidates: list[int]) -> set[int]:
        """Blocks of which only the rows that change a value are decoded."""
        spec, blocks = self.spec, p.file.blocks
        if spec.elision is None or not candidates:
            return set()
        if any(p.file.schema[c] is not spec.columns[c] for c in present):
            # A widened column must be checked value by value.
            return set()
        if any(c not in present for c in spec.elision.reported):
            return set()
        good = p.file.has_changes(present, spec.elision.reported)[candidates]
        good &= blocks["t_max"][candidates] < spec.until
        start = blocks["row_start"][candidates]
        good &= (start >= p.row_lo) & (start + blocks["rows"][candidates] <= p.row_hi)
        return set(np.array(candidates)[good].tolist())

    def _changed(self, p: FilePart, changes: Changes, columns: Mapping[str, Type]) -> RowBatch:
        out = {n: changes.columns[n] if n in changes.columns else missing_column(k) for n, k in columns.items()}
        slots = p.slots[changes.run_key - p.key_lo]
        return RowBatch(slots, changes.run_lengths, changes.time, out, len(changes.time), changes.bridged)

    def _chunk(self, p: FilePart, block: Block, number: int, columns: Mapping[str, Type]) -> RowBatch:
        """The rows of a block that belong to the shard, whose edges fall between keys."""
        start = block.row_start
        a, b = max(start, p.row_lo) - start, min(start + block.rows, p.row_hi) - start
        lengths, time, first_key = block.run_lengths, block.time, block.first_key
        if (a, b) != (0, block.rows):
            ends = np.cumsum(lengths)
            r0, r1 = int(np.searchsorted(ends, a, side="right")), int(np.searchsorted(ends, b, side="left")) + 1
            lengths, time, first_key = lengths[r0:r1], time[a:b], first_key + r0
        if len(block.time) == 0:
            time = np.array([p.file.blocks["t_min"][number]], np.int64)
        at = first_key - p.key_lo
        out: dict[str, Values] = {}
        for name, kind in columns.items():
            values, valid = self._column(p, block, name, kind)
            out[name] = (values[a:b] if len(values) > 1 else values, valid[a:b] if len(valid) > 1 else valid)
        return RowBatch(p.slots[at : at + len(lengths)], lengths, time, out, b - a)

    def _column(self, p: FilePart, block: Block, name: str, kind: Type) -> Values:
        """A column of a block in the type that is wanted."""
        if name not in block.columns:
            return missing_column(kind)
        values, valid = block.columns[name]
        if kind is Type.FLOAT and p.file.schema[name] is Type.INT:
            values = widened(values, name, p.entry.path)
        return values, valid

    def _merged_small(self, group: Sequence[FileEntry], joiner: Joiner) -> list[RowBatch] | None:
        """The rows of small files as they were ingested, merged; None if they have to be opened one by one."""
        columns = merged_columns(self.spec)
        dtypes = {name: dtype_of(kind) for name, kind in columns.items()}
        gathered = Gathered(dtypes, False, sum(f.rows for f in group), self._buffers)
        done: list[JoinedBatch] = []
        for some, alike in joiner.alike(sorted(group, key=lambda f: (f.seq, f.ordinal))):
            found = None if alike is None else joiner.joined(some, alike, columns, True)
            if found is None:
                return None
            if found.batch is not None:
                gathered.add(found.batch, np.ones(len(self.keys), np.bool_))
            done.append(found)
        for found in done:
            self._cover(found)
        return self._resolved(gathered)

    def _having(self, of: NDArray[np.bool_]) -> NDArray[np.bool_] | None:
        """The keys, by slot, that a block must have one of to be read where these are merged."""
        return of

    def _room(self, rows: int) -> int:
        """Room for how many rows is made, where at most so many are merged."""
        return rows

    def _named(self) -> dict[str, Type]:
        """The columns to read where rows of several files are merged."""
        return merged_columns(self.spec)

    def _resolved(self, gathered: Gathered) -> list[RowBatch]:
        """The gathered rows in order, duplicates resolved, as one batch; none without rows."""
        merged = gathered.merged()
        if merged is None:
            return []
        batch, dropped = self.resolved(merged)
        self.coverage.dropped += dropped
        return [batch]

    def resolved(self, merged: RowBatch) -> tuple[RowBatch, int]:
        """Rows in order, with their duplicates resolved, and how many rows were dropped."""
        if not self._resolves:
            return merged, 0
        rows, dropped = resolve(_in_full(merged), self.spec.duplicates, self._id)
        edges = np.flatnonzero(np.diff(rows.slot, prepend=np.int32(-1), append=np.int32(-1)))
        batch = RowBatch(
            rows.slot[edges[:-1]],
            np.diff(edges).astype(np.int64),
            np.ascontiguousarray(rows.time),
            {name: rows.columns[name] for name in self.spec.columns},
        )
        return batch, dropped

    def _merged(self, parts: Sequence[FilePart], of: NDArray[np.bool_]) -> Iterator[RowBatch]:
        """The rows of the marked keys in all parts, merged by (key, time, ``$seq``), duplicates resolved."""
        columns = self._named()
        in_order, orders = commit_orders([(p.entry, p.file) for p in parts])
        parts = [parts[i] for i in in_order]
        dtypes = {name: dtype_of(kind) for name, kind in columns.items()}
        named = columns if orders is None else {**columns, SEQ: Type.INT}
        for lo, hi in windows([(p.entry, p.row_hi - p.row_lo) for p in parts]):
            inside = [n for n, p in enumerate(parts) if p.entry.t_max >= lo and p.entry.t_min < hi]
            room = self._room(sum(parts[n].row_hi - parts[n].row_lo for n in inside))
            found = Gathered(dtypes, orders is not None, room, self._buffers)
            for n in inside:
                p = parts[n]
                cut = None if lo <= p.entry.t_min and p.entry.t_max < hi else (lo, hi)
                for chunk in self._blocks(p, named, True, self._having(of), cut):
                    found.add(chunk, of, cut, None if orders is None else orders[n])
            yield from self._resolved(found)


def _in_full(batch: RowBatch) -> CellRows:
    """The rows of a batch, with an entry of each column for every row."""
    n = batch.rows
    columns = {name: (_entries(values, n), _entries(valid, n)) for name, (values, valid) in batch.columns.items()}
    return CellRows(np.repeat(batch.run_slot, batch.run_len), batch.time, columns)


def _entries(array: NDArray[Any], rows: int) -> NDArray[Any]:
    return array if len(array) == rows else np.full(rows, array[0], array.dtype)


def without_keys(chunk: RowBatch, marked: NDArray[np.bool_]) -> Iterator[RowBatch]:
    """The chunk without the runs of marked keys, in the pieces that remain; if these are many, as a copy in one."""
    gone = marked[chunk.run_slot]
    if not gone.any():
        yield chunk
        return
    edges = np.flatnonzero(np.diff(gone.astype(np.int8), prepend=np.int8(1), append=np.int8(1)))
    if len(edges) > 2 * _PIECES:
        kept = np.repeat(~gone, chunk.run_len)

        def some(array: NDArray[Any]) -> NDArray[Any]:
            return array[kept] if len(array) > 1 else array

        all_columns = {n: (some(v), some(k)) for n, (v, k) in chunk.columns.items()}
        slots, lengths = chunk.run_slot[~gone], chunk.run_len[~gone]
        yield RowBatch(slots, lengths, some(chunk.time), all_columns, int(lengths.sum()), some(chunk.bridged))
        return
    ends = np.cumsum(chunk.run_len)
    for a, b in edges.reshape(-1, 2).tolist():
        lo, hi = int(ends[a - 1]) if a else 0, int(ends[b - 1])
        columns = {
            n: (v[lo:hi] if len(v) > 1 else v, k[lo:hi] if len(k) > 1 else k) for n, (v, k) in chunk.columns.items()
        }
        time = chunk.time[lo:hi] if len(chunk.time) > 1 else chunk.time
        bridged = chunk.bridged[lo:hi] if len(chunk.bridged) > 1 else chunk.bridged
        yield RowBatch(chunk.run_slot[a:b], chunk.run_len[a:b], time, columns, hi - lo, bridged)
