"""Reads the cells of one task: every file's rows of one range of key hashes, day by day, in order per key."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.states.strings import Words
from operators.types import Type
from runtime.catalogue import FileEntry
from runtime.errors import QueryError
from runtime.pointfile import Block, Buffers, Changes, PointFile
from runtime.query.scan.across_files import CellRows, resolve
from runtime.query.stages.keys import Keys
from runtime.query.stages.row_batch import RowBatch, Values
from runtime.query.stages.runner import missing_column
from runtime.query.task.coverage import Coverage

_DAY = 86_400_000_000
_EXACT = 2**53

_MANY = 4
"""Keys in several files are merged separately if they are fewer than one in this many; else all keys are merged."""

_TOGETHER = 1 << 18
"""Rows decoded in one call, unless a block has more: the GIL changes hands once per call."""

_BATCH, _GAPS = 4 << 20, 16
"""Bytes fetched together: an amount that stays in the CPU cache until it is decoded, or, where reads wait, this many
times the store's ``gap`` (16 MB from S3)."""


def scan_order(files: Sequence[FileEntry], id_column: str | None) -> list[tuple[FileEntry, ...]]:
    """``files`` in groups, in reading order: by day, then by disjoint spans of time.

    The rows of a group are merged; in a stream with an id column, all files of a day form one group.
    """
    out: list[tuple[FileEntry, ...]] = []
    ordered = sorted(files, key=lambda f: (f.day, f.seq, f.ordinal))
    for _, of_day in groupby(ordered, key=lambda f: f.day):
        day = list(of_day)
        if id_column is not None:
            out.append(tuple(day))
            continue
        groups: list[list[FileEntry]] = []
        end = None
        for f in sorted(day, key=lambda f: (f.t_min, f.seq, f.ordinal)):
            if end is None or f.t_min > end:
                groups.append([f])
                end = f.t_max
            else:
                groups[-1].append(f)
                end = max(end, f.t_max)
        out += [tuple(sorted(g, key=lambda f: (f.seq, f.ordinal))) for g in groups]
    return out


@dataclass
class _Part:
    """One file's share of the task."""

    entry: FileEntry
    file: PointFile
    key_lo: int
    row_lo: int
    row_hi: int
    slots: NDArray[np.int32]
    maps: dict[str, NDArray[np.int32]] = field(default_factory=dict)


@dataclass(frozen=True)
class Elision:
    """Rows that repeat the row before them, at most ``hold`` microseconds later, may be skipped, but only where the
    ``reported`` columns are not null."""

    hold: int
    reported: tuple[str, ...]


@dataclass(frozen=True)
class ScanSpec:
    """What to read: columns with the types the query wants, the shard [lo, hi) of key hashes, and the range.

    Rows before ``since`` are skipped by whole blocks if ``skip_before`` is set; rows from ``until`` on always are.
    Without ``times``, the times of blocks entirely inside the range are not read. ``elision``: the rows that kernels do
    not need.
    """

    columns: Mapping[str, Type]
    shard: tuple[int, int]
    since: int
    until: int
    skip_before: bool
    times: bool
    duplicates: str
    id_column: str | None
    all_columns: Mapping[str, Type]
    elision: Elision | None = None


class Scan:
    """Iterates over the row batches of one task."""

    def __init__(
        self,
        spec: ScanSpec,
        keys: Keys,
        words: Words,
        open_file: Callable[[FileEntry], PointFile],
        buffers: Buffers,
    ) -> None:
        self.spec, self.keys, self.words, self._open = spec, keys, words, open_file
        self.coverage = Coverage()
        self._buffers = buffers

    def chunks(self, files: Sequence[FileEntry]) -> Iterator[RowBatch]:
        """All rows of ``files`` in this shard before ``until``; a key's rows in (time, seq) order."""
        for group in scan_order(files, self.spec.id_column):
            yield from self.group(group)

    def group(self, group: Sequence[FileEntry]) -> Iterator[RowBatch]:
        """The rows of one group of ``scan_order``, as in ``chunks``; a scan has no state between groups."""
        parts = [p for p in (self._part(f) for f in group) if p is not None]
        self.coverage.skipped += sum(map(self._rows_out_of_range, parts))
        # The rows of a key that is in only one file are already in order.
        shared = np.zeros(len(self.keys), np.bool_)
        if len(parts) > 1:
            shared = np.bincount(np.concatenate([p.slots for p in parts]), minlength=len(self.keys)) > 1
        if self.spec.id_column is not None and self.spec.duplicates == "latest":
            # Rows of one time may be merged only after repeats by id are gone: never at ingest.
            shared[:] = True
        few = np.count_nonzero(shared) * _MANY < sum(len(p.slots) for p in parts)
        if few:
            for p in parts:
                for chunk in self._blocks(p, self.spec.columns, self.spec.times):
                    yield from _without(chunk, shared)
        if shared.any():
            yield from self._merged(parts, shared if few else np.ones(len(self.keys), np.bool_))

    def _part(self, entry: FileEntry) -> _Part | None:
        file = self._open(entry)
        key_lo, key_hi, row_lo, row_hi = file.key_span(*self.spec.shard)
        self.coverage.read(entry.path, self.spec.shard, row_hi - row_lo)
        if row_hi == row_lo:
            return None
        if entry.t_min >= self.spec.until or (self.spec.skip_before and entry.t_max < self.spec.since):
            self.coverage.skipped += row_hi - row_lo
            return None
        slots = self.keys.slots(file.key_column(key_lo, key_hi), file.key_hashes(key_lo, key_hi))
        return _Part(entry, file, key_lo, row_lo, row_hi, slots)

    def _in_range(self, p: _Part) -> tuple[int, int, NDArray[np.bool_]]:
        """The part's blocks [lo, hi), and which of them may contain rows of the range."""
        spec, blocks = self.spec, p.file.blocks
        lo = int(np.searchsorted(blocks["row_start"], p.row_lo, side="right")) - 1
        hi = int(np.searchsorted(blocks["row_start"], p.row_hi, side="left"))
        wanted = blocks["t_min"][lo:hi] < spec.until
        if spec.skip_before:
            wanted &= blocks["t_max"][lo:hi] >= spec.since
        return lo, hi, wanted

    def _rows_out_of_range(self, p: _Part) -> int:
        """The part's rows in blocks that are ruled out; independent of the other parts, so that halves add up."""
        lo, hi, wanted = self._in_range(p)
        starts = p.file.blocks["row_start"][lo:hi]
        ends = np.minimum(starts + p.file.blocks["rows"][lo:hi], p.row_hi)
        return int((ends - np.maximum(starts, p.row_lo))[~wanted].sum())

    def _code_map(self, part: _Part, column: str) -> NDArray[np.int32]:
        found = part.maps.get(column)
        if found is None:
            found = part.maps[column] = self.words.codes(part.file.dictionary(column).strings)
        return found

    def _blocks(
        self, p: _Part, columns: Mapping[str, Type], times: bool, having: NDArray[np.bool_] | None = None
    ) -> Iterator[RowBatch]:
        """The part's rows, block by block; the arrays are valid until the next block is requested.

        With ``having``, a flag per slot, only blocks that contain a marked key.
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
        present = [c for c in columns if c in file.schema]
        maps = {c: self._code_map(p, c) for c in present if columns[c] is Type.STRING}
        named = [*present, *([file.time_name] if file.time_name not in present else [])]
        ends = np.cumsum(np.sum([file.chunk_bytes(c)[lo:hi] for c in named], axis=0))
        # All blocks of a batch between the first and the last needed are fetched: few keys use small batches.
        most = max(_BATCH, _GAPS * file.gap) if having is None else _BATCH
        seams = np.flatnonzero(np.diff(ends // most))
        for first, last in pairwise([lo, *(lo + 1 + seams).tolist(), hi]):
            chosen = [b for b in range(first, last) if wanted[b - lo]]
            if not chosen:
                continue
            inside = blocks["t_min"][chosen].min() >= spec.since and blocks["t_max"][chosen].max() < spec.until
            loaded = file.load(present, chosen[0], chosen[-1] + 1, time=times or not inside, buffers=self._buffers)
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

    def _repetitive(self, p: _Part, present: Sequence[str], candidates: list[int]) -> set[int]:
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

    def _changed(self, p: _Part, changes: Changes, columns: Mapping[str, Type]) -> RowBatch:
        out = {n: changes.columns[n] if n in changes.columns else missing_column(k) for n, k in columns.items()}
        slots = p.slots[changes.run_key - p.key_lo]
        return RowBatch(slots, changes.run_lengths, changes.time, out, len(changes.time), changes.bridged)

    def _chunk(self, p: _Part, block: Block, number: int, columns: Mapping[str, Type]) -> RowBatch:
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
            if name in block.columns:
                values, valid = block.columns[name]
                values = values[a:b] if len(values) > 1 else values
                if kind is Type.FLOAT and p.file.schema[name] is Type.INT:
                    values = _widened(values, name, p.entry.path)
                valid = valid[a:b] if len(valid) > 1 else valid
                out[name] = (values, valid)
            else:
                out[name] = missing_column(kind)
        return RowBatch(p.slots[at : at + len(lengths)], lengths, time, out, b - a)

    def _merged(self, parts: list[_Part], of: NDArray[np.bool_]) -> Iterator[RowBatch]:
        """The rows of the marked keys in all parts, merge-sorted by (key, time, seq), duplicates resolved."""
        spec = self.spec
        columns = dict(spec.columns)
        if spec.duplicates == "exact":
            # Rows are duplicates only if all columns agree, requested or not.
            columns = {**spec.all_columns, **columns}
        # Unless no row had one so far.
        id_column = spec.id_column if spec.id_column in spec.all_columns else None
        if id_column is not None:
            columns.setdefault(id_column, spec.all_columns[id_column])
        slots: list[NDArray[np.int32]] = []
        times: list[NDArray[np.int64]] = []
        gathered: dict[str, list[Values]] = {name: [] for name in columns}
        for p in parts:
            for chunk in self._blocks(p, columns, True, of):
                runs = np.flatnonzero(of[chunk.run_slot])
                lengths = chunk.run_len[runs]
                starts = (np.cumsum(chunk.run_len) - chunk.run_len)[runs]
                mine = np.repeat(starts - (np.cumsum(lengths) - lengths), lengths) + np.arange(int(lengths.sum()))
                slots.append(np.repeat(chunk.run_slot[runs], lengths))
                times.append(chunk.time[mine])
                for name, (values, valid) in chunk.columns.items():
                    part = values[mine] if len(values) > 1 else _whole(values, len(mine), values.dtype)
                    flags = valid[mine] if len(valid) > 1 else _whole(valid, len(mine), np.uint8)
                    gathered[name].append((part.astype(_want(columns[name]), copy=False), flags))
        if not times:
            return
        slot, time = np.concatenate(slots), np.concatenate(times)
        day = int(parts[0].entry.day) * _DAY
        # Slot and microsecond of the day fit into one word; a stable sort preserves seq among ties.
        order = np.argsort((slot.astype(np.int64) << 37) | (time - day), kind="stable")
        sorted_columns = {
            name: (np.concatenate([v for v, _ in got])[order], np.concatenate([k for _, k in got])[order])
            for name, got in gathered.items()
        }
        rows, dropped = resolve(CellRows(slot[order], time[order], sorted_columns), spec.duplicates, id_column)
        self.coverage.dropped += dropped
        edges = np.flatnonzero(np.diff(rows.slot, prepend=np.int32(-1), append=np.int32(-1)))
        yield RowBatch(
            rows.slot[edges[:-1]],
            np.diff(edges).astype(np.int64),
            np.ascontiguousarray(rows.time),
            {name: rows.columns[name] for name in spec.columns},
        )


def _without(chunk: RowBatch, marked: NDArray[np.bool_]) -> Iterator[RowBatch]:
    """The chunk without the runs of marked keys, in as many pieces as remain."""
    gone = marked[chunk.run_slot]
    if not gone.any():
        yield chunk
        return
    ends = np.cumsum(chunk.run_len)
    edges = np.flatnonzero(np.diff(gone.astype(np.int8), prepend=np.int8(1), append=np.int8(1)))
    for a, b in edges.reshape(-1, 2).tolist():
        lo, hi = int(ends[a - 1]) if a else 0, int(ends[b - 1])
        columns = {
            n: (v[lo:hi] if len(v) > 1 else v, k[lo:hi] if len(k) > 1 else k) for n, (v, k) in chunk.columns.items()
        }
        time = chunk.time[lo:hi] if len(chunk.time) > 1 else chunk.time
        bridged = chunk.bridged[lo:hi] if len(chunk.bridged) > 1 else chunk.bridged
        yield RowBatch(chunk.run_slot[a:b], chunk.run_len[a:b], time, columns, hi - lo, bridged)


def _widened(values: NDArray[Any], name: str, path: str) -> NDArray[np.float64]:
    """Integers from a file written before its column became float64, as floats; QueryError if one is not exact."""
    if len(values) and (values.max() > _EXACT or values.min() < -_EXACT):
        raise QueryError(
            f"column {name} became float64 after {path} was written, which has integers beyond 2**53 that no float64 "
            "represents exactly; ingest that source into a separate stream"
        )
    return values.astype(np.float64)


def _want(kind: Type) -> np.dtype[Any]:
    return np.dtype({Type.FLOAT: np.float64, Type.BOOL: np.uint8, Type.STRING: np.int32}.get(kind, np.int64))


def _whole(a: NDArray[Any], n: int, dtype: object) -> NDArray[Any]:
    """One entry per row, in an array of its own."""
    out = np.empty(n, dtype)  # type: ignore[call-overload]
    out[:] = a
    return out  # type: ignore[no-any-return]
