"""Reads the rows of a few keys in files of which all keys are known."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.errors import Portable
from operators.states.strings import Words
from operators.types import Type
from runtime.catalogue import FileEntry
from runtime.pointfile import Block, Buffers, PointFile
from runtime.query.scan.gathered_rows import Gathered
from runtime.query.scan.scan_spec import ScanSpec, merged_columns
from runtime.query.scan.scanning import FilePart, Scan
from runtime.query.stages.keys import Keys
from runtime.query.stages.row_batch import VALID, RowBatch, Values


class SharedHash(Portable, Exception):
    """Two keys have the same hash."""


@dataclass
class _KeysOfFile(FilePart):
    """Of a file the keys that are wanted, by their numbers in it; ``slots`` are theirs."""

    numbers: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))


NEW = "$new"
"""The column that says whether a row is of a new file."""


def before(batch: RowBatch) -> RowBatch:
    """The rows of a batch that are of no new file."""
    values, _ = batch.columns[NEW]
    kept = np.broadcast_to(values == 0, batch.rows)
    ends = np.concatenate([np.zeros(1, np.int64), np.cumsum(kept)])
    at = np.cumsum(batch.run_len)
    lengths = ends[at] - ends[at - batch.run_len]
    there = lengths > 0

    def some(array: NDArray[Any]) -> NDArray[Any]:
        return array[kept] if len(array) > 1 else array

    columns = {name: (some(found), some(valid)) for name, (found, valid) in batch.columns.items()}
    return RowBatch(batch.run_slot[there], lengths[there], batch.time[kept], columns)


class SomeKeys(Scan):
    """The rows of the ``keys``, with the column ``NEW``, and duplicates among them; the files with paths in ``new`` are
    new. No text in the files shares its hash with one of the keys; of integers that is checked (``SharedHash``)."""

    def __init__(
        self,
        spec: ScanSpec,
        keys: Keys,
        words: Words,
        open_file: Callable[[FileEntry], PointFile],
        buffers: Buffers,
        new: frozenset[str],
    ) -> None:
        super().__init__(spec, keys, words, open_file, buffers)
        hashes = keys.hashes.view(np.uint64)
        self._by_hash = np.argsort(hashes).astype(np.int32)
        self._hashes = hashes[self._by_hash]
        self._new = new
        self._every = np.ones(len(keys), np.bool_)

    def group(self, group: Sequence[FileEntry]) -> Iterator[RowBatch]:
        """See Scan."""
        parts = [p for p in map(self._part, group) if p is not None]
        if parts:
            yield from self._merged(parts, self._every)

    def _room(self, rows: int) -> int:
        """Of few sizes, so that arrays are used again: what is not filled costs nothing."""
        return 1 << rows.bit_length()

    def _named(self) -> dict[str, Type]:
        return {**merged_columns(self.spec), NEW: Type.BOOL}

    def _resolved(self, gathered: Gathered) -> list[RowBatch]:
        merged = gathered.merged()
        return [] if merged is None else [merged]

    def resolved(self, merged: RowBatch) -> tuple[RowBatch, int]:
        """See Scan."""
        return super().resolved(replace(merged, columns={n: c for n, c in merged.columns.items() if n != NEW}))

    def _column(self, p: FilePart, block: Block, name: str, kind: Type) -> Values:
        if name == NEW:
            return np.array([p.entry.path in self._new], np.uint8), VALID
        return super()._column(p, block, name, kind)

    def _part(self, entry: FileEntry) -> _KeysOfFile | None:
        file = self._open(entry)
        key_lo, key_hi, row_lo, row_hi = file.key_span(*self.spec.shard)
        theirs = file.key_hashes(key_lo, key_hi)
        at = np.minimum(np.searchsorted(theirs, self._hashes), max(0, len(theirs) - 1))
        there = theirs[at] == self._hashes if len(theirs) else np.zeros(len(at), np.bool_)
        if not there.any():
            return None
        if self.keys.kind is Type.INT:
            known = self.keys.values[self._by_hash[there]]
            if (file.key_column(key_lo, key_hi).values[at[there]] != known).any():
                raise SharedHash
        return _KeysOfFile(entry, file, key_lo, row_lo, row_hi, self._by_hash[there], numbers=key_lo + at[there])

    def _in_range(self, p: FilePart) -> tuple[int, int, NDArray[np.bool_]]:
        assert isinstance(p, _KeysOfFile)
        lo, hi, wanted = super()._in_range(p)
        first = p.file.blocks["first_key"][lo:hi].astype(np.int64)
        end = first + p.file.blocks["runs"][lo:hi]
        return lo, hi, wanted & (np.searchsorted(p.numbers, end) > np.searchsorted(p.numbers, first))

    def _having(self, of: NDArray[np.bool_]) -> None:
        """All: ``_in_range`` leaves out the other blocks."""

    def _chunk(self, p: FilePart, block: Block, number: int, columns: Mapping[str, Type]) -> RowBatch:
        """The rows of the wanted keys in a block."""
        assert isinstance(p, _KeysOfFile)
        lo, hi = np.searchsorted(p.numbers, [block.first_key, block.first_key + len(block.run_lengths)])
        runs = p.numbers[lo:hi] - block.first_key
        lengths = block.run_lengths[runs]
        starts = np.cumsum(block.run_lengths)[runs] - lengths
        rows = np.repeat(starts - (np.cumsum(lengths) - lengths), lengths) + np.arange(int(lengths.sum()))

        def some(array: NDArray[Any]) -> NDArray[Any]:
            return array[rows] if len(array) > 1 else array

        out: dict[str, Values] = {}
        for name, kind in columns.items():
            values, valid = self._column(p, block, name, kind)
            out[name] = some(values), some(valid)
        return RowBatch(p.slots[lo:hi], lengths, block.time[rows], out)
