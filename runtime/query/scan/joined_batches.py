"""Reads many small files as one batch of rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.errors import DataflowError
from operators.kernels.texts import same_texts
from operators.states.strings import Words
from operators.types import Type
from runtime.catalogue import FileEntry
from runtime.columns import Column
from runtime.pointfile import Block, Buffers
from runtime.pointfile.order import take_words
from runtime.pointfile.reading.joined_files import SMALL_BYTES, SMALL_ROWS, JoinedFiles, SmallFile
from runtime.query.scan.scan_spec import ScanSpec, widened
from runtime.query.stages.keys import Keys
from runtime.query.stages.row_batch import RowBatch, Values
from runtime.query.stages.runner import missing_column
from runtime.query.task.coverage import HASHES

OpenSmall = Callable[[FileEntry], SmallFile | None]
"""Opens a small file; None if it has to be opened as others are."""

FEW, AT_ONCE = 4, 512
"""Fewer files are opened one by one; of more, so many are joined."""


def is_small(entry: FileEntry) -> bool:
    """Whether a file as it was ingested is small enough to be joined with others."""
    fits = entry.bytes <= SMALL_BYTES and entry.rows <= SMALL_ROWS
    return fits and bool(entry.footer) and not entry.compacted and not entry.repeats


@dataclass(frozen=True)
class JoinedBatch:
    """The rows of some files (None: there are none to read), valid until the next ones are read; the rows of each file
    in the task's shard, by path; and how many of them are out of range."""

    batch: RowBatch | None
    rows: list[tuple[str, int]]
    skipped: int


class Joiner:
    """Joins small files; rows before ``since`` may be skipped if the spec says so."""

    def __init__(
        self, spec: ScanSpec, since: int, keys: Keys, words: Words, buffers: Buffers, open_small: OpenSmall
    ) -> None:
        self._spec, self._since, self._keys, self._words = spec, since, keys, words
        self._buffers, self._open = buffers, open_small

    def alike(self, files: Sequence[FileEntry]) -> Iterator[tuple[list[FileEntry], list[SmallFile] | None]]:
        """The files in order, in parts of one shape; None with those that cannot be joined."""
        for at in range(0, len(files), AT_ONCE):
            opened = [(f, self._open(f)) for f in files[at : at + AT_ONCE]]
            for shape, part in groupby(opened, key=lambda o: None if o[1] is None else o[1].shape):
                listed = list(part)
                small = None if shape is None else [s for _, s in listed if s is not None]
                yield [f for f, _ in listed], small

    def joined(
        self, entries: Sequence[FileEntry], files: Sequence[SmallFile], columns: Mapping[str, Type], times: bool
    ) -> JoinedBatch | None:
        """Their rows, file by file; None if something is wrong with one of them."""
        try:
            return self._joined(entries, files, columns, times)
        except (ValueError, DataflowError):
            return None

    def _joined(
        self, entries: Sequence[FileEntry], small: Sequence[SmallFile], columns: Mapping[str, Type], times: bool
    ) -> JoinedBatch | None:
        spec, files = self._spec, JoinedFiles(small, self._buffers)
        lo, hi = spec.shard
        mine = np.ones(len(files.hashes), np.bool_)
        if (lo, hi) != (0, HASHES):
            mine = (files.hashes >= np.uint64(lo)) & (files.hashes <= np.uint64(hi - 1))
        first_run = np.cumsum(files.keys_of) - files.keys_of
        rows = np.add.reduceat(np.where(mine, files.run_lengths, 0), first_run)
        wanted = files.t_min < spec.until
        if spec.skip_before:
            wanted &= files.t_max >= self._since
        counts = [(e.path, n) for e, n in zip(entries, rows.tolist(), strict=True)]
        skipped = int(rows[~wanted].sum())
        runs = np.flatnonzero(mine & np.repeat(wanted, files.keys_of))
        if not len(runs):
            return JoinedBatch(None, counts, skipped)
        inside = files.t_min[wanted].min() >= spec.since and files.t_max[wanted].max() < spec.until
        present = [c for c in columns if c in files.schema]
        codes = {c: self._words.codes(files.strings(c)) for c in present if columns[c] is Type.STRING}
        block = files.decoded(present, times or not inside, codes)
        slots = self._slots(files, runs)
        if slots is None:
            return None
        index = None
        if len(runs) < len(files.run_lengths):
            chosen = np.zeros(len(files.run_lengths), np.bool_)
            chosen[runs] = True
            index = np.flatnonzero(np.repeat(chosen, files.run_lengths))
        out = {name: self._column(name, kind, block, files, index) for name, kind in columns.items()}
        time = _at(block.time, index) if len(block.time) else files.t_min[wanted][:1].copy()
        size = block.rows if index is None else len(index)
        return JoinedBatch(RowBatch(slots, files.run_lengths[runs], time, out, size), counts, skipped)

    def _column(
        self, name: str, kind: Type, block: Block, files: JoinedFiles, index: NDArray[np.intp] | None
    ) -> Values:
        if name not in block.columns:
            return missing_column(kind)
        values, valid = block.columns[name]
        if kind is Type.FLOAT and files.schema[name] is Type.INT:
            values = widened(values, name, files.name)
        return _at(values, index), _at(valid, index)

    def _slots(self, files: JoinedFiles, runs: NDArray[np.intp]) -> NDArray[np.int32] | None:
        """The slots of these runs' keys; None if two keys share a hash."""
        if files.key_type is not Type.STRING:
            return self._keys.slots(Column(Type.INT, files.keys.values[runs]))
        words = files.keys.words
        assert words is not None
        _, first, which = np.unique(files.hashes[runs], return_index=True, return_inverse=True)
        offsets, blob = np.array(words.offsets), np.frombuffer(bytearray(words.blob or b" "), np.uint8)
        if not same_texts(offsets, blob, runs[first[which]], offsets, blob, runs):
            return None
        distinct = Column(Type.STRING, np.arange(len(first), dtype=np.int32), None, take_words(words, runs[first]))
        return self._keys.slots(distinct, files.hashes[runs[first]])[which]


def _at(array: NDArray[Any], index: NDArray[np.intp] | None) -> NDArray[Any]:
    return array if index is None or len(array) == 1 else array[index]
