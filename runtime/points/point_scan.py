"""Reads the points of a stream as queries see them, a batch at a time."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from operators.distinct_values import distinct
from operators.states.strings import Words
from operators.types import Type
from runtime.catalogue import FileEntry, Snapshot
from runtime.catalogue.items.entries import DAY, day_name
from runtime.columns import Column, Dictionary
from runtime.errors import IncompleteResult, QueryError
from runtime.pointfile import borrowed, hash_keys
from runtime.query.scan.scan_spec import ScanSpec
from runtime.query.scan.scanning import Scan, scan_order
from runtime.query.stages.keys import Keys
from runtime.query.stages.row_batch import RowBatch, Values
from runtime.storage.open_files import OpenedFiles
from runtime.storage.open_store import OpenStore

BATCH_CELLS = 1 << 20
"""Values of a batch, at most, unless it has a single row."""

SHARD_CELLS, LEAST_ROWS = 1 << 25, 1 << 16
"""Values that are merged together, at most; and the rows for which this is not divided further."""

Group = tuple[FileEntry, ...]

_EVER = 1 << 62
_HASHES = 1 << 64


@dataclass(frozen=True)
class PointRange:
    """Which points: those of [since, until) (microseconds UTC; None: without end), and of one key, if given."""

    since: int | None = None
    until: int | None = None
    key: str | int | None = None


@dataclass
class PointCounts:
    """What was read so far: ``rows`` passed on, ``outside`` of the range or of other keys, ``merged`` duplicates."""

    rows: int = 0
    outside: int = 0
    merged: int = 0


class PointScan:
    """The points of a stream as of one commit.

    ``batches`` gives columns by name: the key, the event time (``Type.TIME``), then the value columns in the schema's
    order, null where a point has none. Days follow each other; within a day keys are in the order of their hashes, and
    each key's points in the order of time, then of commit: in whichever files they lie. Repeats are resolved by the
    stream's policy across files. Memory is bounded, but for one key's points of one day, and for files that share
    several days, which are few or small. ``QueryError`` for an unknown stream, a key of another type, or a range with
    an end before the floor.
    """

    def __init__(self, store: OpenStore, stream: str, wanted: PointRange, snapshot: Snapshot | None = None) -> None:
        if wanted.since is not None and wanted.until is not None and wanted.since > wanted.until:
            raise QueryError("since is after until")
        self._store = store
        self._opened = OpenedFiles(store.objects)
        self.snapshot = snapshot or store.catalogue.snapshot(stream, wanted.since, wanted.until)
        _check_floor(self.snapshot, wanted)
        schema = self.snapshot.schema
        self.types: dict[str, Type] = {schema.key: schema.key_type, schema.time: Type.TIME, **schema.columns}
        self.counts = PointCounts()
        self._key = None if wanted.key is None else _typed_key(wanted.key, schema.key, schema.key_type)
        self._low = -_EVER if wanted.since is None else wanted.since
        self._high = _EVER if wanted.until is None else wanted.until

    def narrowed(self, wanted: PointRange) -> PointScan:
        """The points of a range within this one, as of the same commit."""
        found = PointScan(self._store, self.snapshot.stream, wanted, self.snapshot)
        found._opened = self._opened
        return found

    def no_points(self) -> dict[str, Column]:
        """A batch without rows."""
        return {name: Column(type_, np.zeros(0, type_.dtype)) for name, type_ in self.types.items()}

    @property
    def files(self) -> list[FileEntry]:
        """The files that may have such points."""
        low = self._low
        if self.snapshot.schema.id is not None:
            # Which of the points with one id counts depends on the whole day.
            low = low // DAY * DAY
        return [f for f in self.snapshot.points if f.t_min < self._high and f.t_max >= low]

    def groups(self) -> list[Group]:
        """The files in reading order; those of one group are read together."""
        return scan_order(self.files, self.snapshot.schema.id)

    def days_covered(self, group: Group) -> range:
        """The UTC days of the range from the first to the last point of a group."""
        low, high = max(min(f.t_min for f in group), self._low), min(max(f.t_max for f in group), self._high - 1)
        return range(low // DAY, high // DAY + 1)

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[dict[str, Column]]:
        """All points, with these value columns (None: all); ``counts`` says what was read at the end.

        ``IncompleteResult`` if not every row that the catalogue lists was read.
        """
        with self._opened.ahead(sorted(self.files, key=lambda file: file.t_min)):
            for run in files_by_days(self.files):
                many = len(self.days_covered(run)) > 1
                held: list[dict[str, Column]] = []
                for shard in self._shards(run, 2 + len(self.snapshot.schema.columns if columns is None else columns)):
                    found = self._of_shard(run, shard, columns)
                    if len(run) == 1 and not many:
                        yield from found
                    elif many:
                        held += found
                    else:
                        yield from self._in_order(list(found))
                yield from self._in_order(held)
                self._opened.close(run)

    def group(self, group: Group, columns: Sequence[str] | None = None) -> Iterator[dict[str, Column]]:
        """The points of one group, with these value columns (None: all of them), in any order of keys and days."""
        width = 2 + len(self.snapshot.schema.columns if columns is None else columns)
        for shard in self._shards(group, width):
            yield from self._of_shard(group, shard, columns)

    def close(self, group: Group) -> None:
        """Release the files of a group."""
        self._opened.close(group)

    def _of_shard(
        self, group: Group, shard: tuple[int, int], columns: Sequence[str] | None = None
    ) -> Iterator[dict[str, Column]]:
        names = list(self.snapshot.schema.columns) if columns is None else list(columns)
        return self._shard(group, shard, names, max(1, BATCH_CELLS // (2 + len(names))))

    def _in_order(self, batches: Sequence[Mapping[str, Column]]) -> Iterator[dict[str, Column]]:
        """The points of some batches by day, then by the hash of the key; of each key and day as they come."""
        if not batches:
            return
        found = joined(batches)
        key, time = found[self.snapshot.schema.key], found[self.snapshot.schema.time].values.astype(np.int64)
        order = np.lexsort((_ranks(key), time // DAY))
        size = max(1, BATCH_CELLS // len(found))
        for at in range(0, len(order), size):
            index = order[at : at + size]
            yield {name: _own(column.take(index)) for name, column in found.items()}

    def _shards(self, group: Group, width: int) -> list[tuple[int, int]]:
        """Ranges of key hashes whose points, of so many columns, are read together."""
        rows = sum(file.rows for file in group)
        if self._key is not None:
            at = int(hash_keys(self._key)[0])
            shards = [(at, at + 1)]
        else:
            count = -(-rows // max(LEAST_ROWS, SHARD_CELLS // width))
            edges = [_HASHES * i // count for i in range(count + 1)]
            shards = list(pairwise(edges))
        return shards

    def _shard(
        self, group: Group, shard: tuple[int, int], names: Sequence[str], size: int
    ) -> Iterator[dict[str, Column]]:
        """The points of a range of key hashes; dictionaries last as long, so that they stay small."""
        schema = self.snapshot.schema
        words = Words()
        keys = Keys(schema.key_type, words)
        spec = ScanSpec(
            columns={name: schema.columns[name] for name in names},
            shard=shard,
            since=self._low,
            until=self._high,
            skip_before=True,
            times=True,
            duplicates=schema.duplicates,
            id_column=schema.id,
            all_columns=schema.columns,
        )
        read = passed = 0
        with borrowed() as buffers:
            scan = Scan(spec, keys, words, self._opened, buffers, self._opened.small)
            for batch in scan.group(group):
                rows = self._rows(batch, keys)
                read, passed = read + batch.rows, passed + len(rows)
                keys_of_slots = keys.values
                for at in range(0, len(rows), size):
                    yield self._columns(batch, rows[at : at + size], keys_of_slots, words)
        coverage = scan.coverage
        if read + coverage.skipped + coverage.dropped != sum(coverage.rows.values()):
            raise IncompleteResult(
                f"of the rows of {group[0].path} and the files read with it, {sum(coverage.rows.values()):,}, only "
                f"{read:,} came: run `dataflow verify` on the store."
            )
        self.counts.rows += passed
        self.counts.outside += read - passed + coverage.skipped
        self.counts.merged += coverage.dropped

    def _rows(self, batch: RowBatch, keys: Keys) -> NDArray[np.int64]:
        """The rows of a batch that are wanted."""
        wanted = (batch.time >= self._low) & (batch.time < self._high)
        if self._key is not None:
            mine = np.array([self._is_mine(v, keys) for v in keys.values.tolist()], np.bool_)
            wanted &= np.repeat(mine[batch.run_slot], batch.run_len)
        return np.flatnonzero(wanted)

    def _is_mine(self, value: int, keys: Keys) -> bool:
        assert self._key is not None
        known = keys.words.strings[value] if keys.kind is Type.STRING else value
        return known == self._key.to_list()[0]

    def _columns(
        self, batch: RowBatch, rows: NDArray[np.int64], keys_of_slots: NDArray[np.int64], words: Words
    ) -> dict[str, Column]:
        """These rows of a batch, in arrays of their own."""
        schema = self.snapshot.schema
        slots = batch.run_slot[np.searchsorted(np.cumsum(batch.run_len), rows, "right")]
        out = {
            schema.key: _column(schema.key_type, keys_of_slots[slots], None, words),
            schema.time: Column(Type.TIME, batch.time[rows]),
        }
        for name, values in batch.columns.items():
            out[name] = _of_rows(schema.columns[name], values, rows, words)
        return out


def files_by_days(files: Sequence[FileEntry]) -> list[Group]:
    """The files in runs of days that no file crosses, in order; mostly of a single day."""
    runs: list[list[FileEntry]] = []
    end = None
    for f in sorted(files, key=lambda f: (f.day, f.seq, f.ordinal)):
        if end is None or f.day > end:
            runs.append([])
            end = f.day
        runs[-1].append(f)
        end = max(end, f.day + f.days - 1)
    return [tuple(run) for run in runs]


def _ranks(key: Column) -> NDArray[np.int64]:
    """For each row the place of its key among all keys: by hash, then by the key."""
    distinct, number = np.unique(key.values, return_inverse=True)
    keys = Column(key.type, distinct, None, key.words)
    hashes, values = hash_keys(keys), keys.to_list()
    order = sorted(range(len(distinct)), key=lambda i: (int(hashes[i]), values[i]))
    places = np.empty(len(order), np.int64)
    places[order] = np.arange(len(order))
    return places[number]


def _own(column: Column) -> Column:
    """The column with a dictionary of just the strings that occur in it."""
    if column.words is None:
        return column
    known = column.values if column.valid is None else column.values[column.valid]
    occurs = distinct(known.astype(np.int64))
    strings = column.words.strings
    places = np.zeros(max(1, len(strings)), np.int32)
    places[occurs] = np.arange(len(occurs))
    words = Dictionary.of([strings[code] for code in occurs.tolist()])
    return Column(column.type, places[column.values.astype(np.int64)], column.valid, words)


def _check_floor(snapshot: Snapshot, wanted: PointRange) -> None:
    """QueryError if the range is of points that are retired."""
    floor = snapshot.floor
    ends = [end for end in (wanted.since, wanted.until) if end is not None]
    if floor is not None and min(ends, default=floor * DAY) < floor * DAY:
        raise QueryError(
            f"the points of {snapshot.stream} before {day_name(floor)} are retired: ask from that day on, or without "
            "a beginning for all that are left"
        )


def _typed_key(key: str | int, name: str, type_: Type) -> Column:
    if type_ is Type.STRING:
        return Column(Type.STRING, np.zeros(1, np.int32), None, Dictionary.of([str(key)]))
    try:
        number = int(key)
        return Column(Type.INT, np.array([number], np.int64))
    except (ValueError, OverflowError):
        raise QueryError(f"{key!r} is not a key of this stream: its keys ({name}) are int64") from None


def _of_rows(type_: Type, values: Values, rows: NDArray[np.int64], words: Words) -> Column:
    data, valid = values
    flags = (valid[rows] if len(valid) > 1 else np.repeat(valid, len(rows))).astype(np.bool_)
    data = data[rows] if len(data) > 1 else np.repeat(data, len(rows))
    return _column(type_, data, None if flags.all() else flags, words)


def _column(type_: Type, data: NDArray[np.generic], valid: NDArray[np.bool_] | None, words: Words) -> Column:
    """A column, with a dictionary of just the strings that occur in it."""
    if not type_.is_text:
        return Column(type_, data.astype(type_.dtype, copy=False), valid)
    codes = data.astype(np.int64) if valid is None else np.where(valid, data, 0).astype(np.int64)
    occurs = np.zeros(max(1, len(words)), np.bool_)
    occurs[codes if valid is None else codes[valid]] = True
    places = (np.cumsum(occurs) - 1).astype(np.int32)
    strings = [words.strings[code] for code in np.flatnonzero(occurs).tolist()]
    return Column(type_, np.maximum(places[codes], 0), valid, Dictionary.of(strings))


def joined(batches: Sequence[Mapping[str, Column]]) -> dict[str, Column]:
    """The rows of some batches, at least one, as one."""
    return {name: _joined([batch[name] for batch in batches]) for name in batches[0]}


def _joined(parts: Sequence[Column]) -> Column:
    type_ = parts[0].type
    valid = np.concatenate([np.ones(len(p), np.bool_) if p.valid is None else p.valid for p in parts])
    words = None
    values = [part.values for part in parts]
    if type_.is_text:
        known: dict[str, int] = {}
        for at, part in enumerate(parts):
            strings = [] if part.words is None else part.words.strings
            codes = np.array([known.setdefault(text, len(known)) for text in strings] or [0], np.int32)
            values[at] = codes[part.values.astype(np.int64)]
        words = Dictionary.of(list(known))
    return Column(type_, np.concatenate(values), None if valid.all() else valid, words)
