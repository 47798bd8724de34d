"""The rows before a day that suffice for a plan (``Plan.carried``), found by one pass over all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.states.strings import Words
from operators.types import Type
from runtime.catalogue import FileEntry, StreamSchema
from runtime.columns import Column, Dictionary, Points
from runtime.helpers import Helpers
from runtime.pointfile import PointFile, borrowed
from runtime.query.scan.scan_spec import ScanSpec
from runtime.query.scan.scanning import Scan
from runtime.query.stages.keys import Keys
from runtime.query.stages.row_batch import RowBatch

_HASHES = 1 << 64
_EVER = 2**62
_NONE = -(2**63)
_WIDE = 2**62


@dataclass
class _Last:
    """Of each slot, the last value of a column that is not null, and its time (``_NONE``: there is none)."""

    time: NDArray[np.int64]
    values: NDArray[Any]


class LastRows:
    """The last row of each key, and the last ones in which each of ``columns`` is not null, of the files added so far.

    Rows from ``until`` on do not count. Repeats are resolved as in any scan. The files of one call of ``add`` must not
    overlap in time with those of others, nor share UTC days with them, and later calls must bring later files.
    ``plain``: columns to look for values in that are not plain (``Plan.plain``).
    """

    def __init__(
        self,
        schema: StreamSchema,
        columns: Sequence[str],
        open_file: Callable[[FileEntry], PointFile],
        workers: int,
        until: int = _EVER,
        plain: Sequence[str] = (),
    ) -> None:
        self._schema = schema
        shards = 1 << (max(1, workers).bit_length() - 1)
        edges = [_HASHES * n // shards for n in range(shards + 1)]
        self._shards = [_Shard(schema, columns, open_file, (lo, hi), until, plain) for lo, hi in pairwise(edges)]

    @property
    def rows(self) -> int:
        """At most so many rows suffice."""
        return sum(shard.rows for shard in self._shards)

    @property
    def plain(self) -> bool:
        """Whether all values in the ``plain`` columns were so."""
        return all(shard.plain for shard in self._shards)

    def add(self, files: Sequence[FileEntry]) -> None:
        """Take the rows of these files into account."""
        if not files:
            return
        if len(self._shards) == 1:
            self._shards[0].add(files)
            return
        with Helpers(len(self._shards), "antfold-carry") as pool:
            list(pool.map(lambda shard: shard.add(files), self._shards))

    def points(self) -> Points:
        """The rows: each has its true time, and only the values for which it is there."""
        words = Words()
        parts = [shard.points(words) for shard in self._shards]
        kinds = {n: c.type for n, c in parts[0].columns.items()}
        texts = Dictionary.of(words.strings)
        columns = {
            n: Column(
                kind,
                np.concatenate([p.columns[n].values for p in parts]),
                np.concatenate([p.columns[n].valid for p in parts]),
                texts if kind is Type.STRING else None,
            )
            for n, kind in kinds.items()
        }
        key_kind = self._schema.key_type
        keys = np.concatenate([p.key.values for p in parts])
        key = Column(key_kind, keys, None, texts if key_kind is Type.STRING else None)
        return Points(key, np.concatenate([p.time for p in parts]), columns)


class _Shard:
    """A shard of the keys."""

    def __init__(
        self,
        schema: StreamSchema,
        columns: Sequence[str],
        open_file: Callable[[FileEntry], PointFile],
        shard: tuple[int, int],
        until: int,
        plain: Sequence[str],
    ) -> None:
        self._open = open_file
        self._words = Words()
        self._keys = Keys(schema.key_type, self._words)
        self._kinds = {c: schema.columns[c] for c in columns}
        self._plain = plain
        self.plain = True
        self._spec = ScanSpec(
            columns=self._kinds, shard=shard, since=-_EVER, until=until, skip_before=False, times=True,
            duplicates=schema.duplicates, id_column=schema.id, all_columns=schema.columns,
        )  # fmt: skip
        self._seen = np.full(0, _NONE, np.int64)
        self._last = {c: _Last(self._seen.copy(), np.zeros(0, k.dtype)) for c, k in self._kinds.items()}

    @property
    def rows(self) -> int:
        return sum(int(np.count_nonzero(t != _NONE)) for t in (self._seen, *(c.time for c in self._last.values())))

    def add(self, files: Sequence[FileEntry]) -> None:
        with borrowed() as buffers:
            for batch in Scan(self._spec, self._keys, self._words, self._open, buffers).chunks(files):
                self._take(batch)

    def _take(self, batch: RowBatch) -> None:
        self._reserve(len(self._keys))
        run_slot, ends = batch.run_slot, np.cumsum(batch.run_len) - 1
        starts = ends - batch.run_len + 1
        if len(batch.time) and int(batch.time.max()) >= self._spec.until:
            # A scan leaves out whole blocks only.
            before = np.add.reduceat(batch.time < self._spec.until, starts, dtype=np.int64)
            run_slot, starts, before = run_slot[before > 0], starts[before > 0], before[before > 0]
            ends = starts + before - 1
        self._seen[run_slot] = batch.time[ends]
        for name, last in self._last.items():
            values, valid = batch.columns[name]
            at, there = ends, np.ones(len(ends), np.bool_)
            if len(valid) > 1:
                given = np.flatnonzero(valid)
                if not len(given):
                    continue
                place = np.searchsorted(given, ends, side="right") - 1
                at = given[np.maximum(place, 0)]
                there = (place >= 0) & (at >= starts)
            elif not valid[0]:
                continue
            if name in self._plain:
                self.plain = self.plain and _are_plain(values, valid)
            slots, at = run_slot[there], at[there]
            last.time[slots] = batch.time[at]
            last.values[slots] = values[at] if len(values) > 1 else values[0]

    def _reserve(self, slots: int) -> None:
        if slots <= len(self._seen):
            return
        more = max(1024, 2 * slots) - len(self._seen)
        none = np.full(more, _NONE, np.int64)
        self._seen = np.concatenate([self._seen, none])
        for last in self._last.values():
            last.time = np.concatenate([last.time, none])
            last.values = np.concatenate([last.values, np.zeros(more, last.values.dtype)])

    def points(self, words: Words) -> Points:
        """The shard's rows; strings are numbered as in ``words``, which gets those that are missing."""
        keys: NDArray[Any] = self._keys.values
        # After that: it numbers the keys' texts.
        codes = words.codes(self._words.strings)
        times = [self._seen, *(last.time for last in self._last.values())]
        slots = [np.flatnonzero(t != _NONE) for t in times]
        slot, time = np.concatenate(slots), np.concatenate([t[s] for t, s in zip(times, slots, strict=True)])
        order = np.lexsort((time, slot))
        new = np.ones(len(order), np.bool_)
        new[1:] = (np.diff(slot[order]) != 0) | (np.diff(time[order]) != 0)
        row_of = np.zeros(len(order), np.int64)
        row_of[order] = np.cumsum(new) - 1
        first = order[new]
        edges = np.cumsum([len(s) for s in slots])
        columns: dict[str, Column] = {}
        for j, (name, last) in enumerate(self._last.items()):
            kind, mine = self._kinds[name], slots[j + 1]
            at = row_of[edges[j] : edges[j + 1]]
            values = np.zeros(len(first), kind.dtype)
            found = last.values[mine]
            values[at] = codes[found] if kind is Type.STRING else found
            valid = np.zeros(len(first), np.bool_)
            valid[at] = True
            columns[name] = Column(kind, values, valid)
        key: NDArray[Any] = keys[slot[first]]
        if self._keys.kind is Type.STRING:
            key = codes[key]
        return Points(Column(self._keys.kind, key), time[first], columns)


def _are_plain(values: NDArray[Any], valid: NDArray[Any]) -> bool:
    """Whether none is -0.0 nor, of integers, 2**62 or more, of either sign."""
    floats = values.dtype.kind == "f"
    odd = (values == 0) & np.signbit(values) if floats else (values >= _WIDE) | (values <= -_WIDE)
    return not np.any(odd & (valid != 0))
