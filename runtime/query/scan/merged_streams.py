"""Reads the rows of several streams as those of one: by key and time, at equal times in the order of the inputs.

Each stream is read by a scan of its own, with its own columns and policy for duplicates. Where the order of a key's
rows does not matter, its batches are passed on as they are; else they are gathered and merged.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from dataflow.plan.inputs import Input
from dataflow.typed.hidden_columns import INPUT, ORDER
from operators.states.strings import Words
from operators.types import Type
from runtime.catalogue import FileEntry
from runtime.catalogue.items.entries import stream_of
from runtime.pointfile import Buffers, PointFile
from runtime.query.scan.gathered_rows import Gathered
from runtime.query.scan.joined_batches import AT_ONCE, OpenSmall
from runtime.query.scan.merge_rows import FEWEST, windows
from runtime.query.scan.scan_spec import ScanSpec, dtype_of
from runtime.query.scan.scanning import Scan
from runtime.query.stages.keys import Keys
from runtime.query.stages.row_batch import VALID, RowBatch
from runtime.query.stages.runner import missing_column
from runtime.query.task.coverage import Coverage


@dataclass(frozen=True)
class MergedSpec:
    """What to read: the ``inputs`` in merging order, the spec of each stream by name, and the ``columns`` of the merged
    rows. ``any_order``: the rows of a key may come in any order."""

    inputs: Sequence[Input]
    streams: Mapping[str, ScanSpec]
    columns: Mapping[str, Type]
    any_order: bool


class MergedScan:
    """Iterates over the row batches of one task over several streams, as ``Scan`` does for one."""

    def __init__(
        self,
        spec: MergedSpec,
        keys: Keys,
        words: Words,
        open_file: Callable[[FileEntry], PointFile],
        buffers: tuple[Buffers, Buffers],
        open_small: OpenSmall | None = None,
    ) -> None:
        self.spec, self.coverage, self._keys = spec, Coverage(), keys
        # One for what a stream's scan yields, one for what is gathered of that.
        self._buffers = buffers[1]
        self._scan_of: Callable[[ScanSpec], Scan] = partial(
            Scan, keys=keys, words=words, open_file=open_file, buffers=buffers[0], open_small=open_small
        )
        self._scans = {name: self._scan_of(of) for name, of in spec.streams.items()}
        for scan in self._scans.values():
            scan.coverage = self.coverage
        self._uses = {
            name: [(rank, i) for rank, i in enumerate(spec.inputs) if i.stream == name] for name in spec.streams
        }

    def stretches(
        self, groups: Sequence[Sequence[FileEntry]], stops: Collection[int] = ()
    ) -> Iterator[list[Sequence[FileEntry]]]:
        """The groups of ``scan_order`` in stretches to ``read``; one ends after each number of groups in ``stops``."""
        stretch: list[Sequence[FileEntry]] = []
        files = rows = 0
        for n, group in enumerate(groups):
            more = sum(f.rows for f in group)
            if stretch and (n in stops or files + len(group) > AT_ONCE or rows + more > FEWEST):
                yield stretch
                stretch, files, rows = [], 0, 0
            stretch.append(group)
            files, rows = files + len(group), rows + more
        if stretch:
            yield stretch

    def read(self, stretch: Sequence[Sequence[FileEntry]]) -> Iterator[RowBatch]:
        """The rows of a stretch in this shard before ``until``; a key's rows in order, unless any will do."""
        files: dict[str, list[FileEntry]] = {}
        for f in (f for group in stretch for f in group):
            files.setdefault(stream_of(f.path), []).append(f)
        uses = sum(len(self._uses[name]) for name in files)
        if self.spec.any_order or uses == 1:
            for name, of in files.items():
                for batch in self._scans[name].chunks(of):
                    for _, use in self._uses[name]:
                        yield self._renamed(batch, use)
            return
        rows = {f.path: self._scans[name].rows_of(f) for name, of in files.items() for f in of}
        spans = windows([(f, rows[f.path]) for of in files.values() for f in of])
        if len(spans) > 1:
            # The files are covered once, whichever windows their rows are in.
            for name, of in files.items():
                self._scans[name].cover(of)
        for span in spans:
            merged = self._merged(files, rows, span if len(spans) > 1 else None)
            if merged is not None:
                yield merged

    def _merged(
        self, files: Mapping[str, Sequence[FileEntry]], rows: Mapping[str, int], span: tuple[int, int] | None
    ) -> RowBatch | None:
        """The rows of the files, at most so many of each, in a span [lo, hi) if given, in one batch."""
        inside = {
            name: [f for f in of if span is None or (f.t_min < span[1] and f.t_max >= span[0])]
            for name, of in files.items()
        }
        most = sum(rows[f.path] * len(self._uses[name]) for name, of in inside.items() for f in of)
        gathered = Gathered({n: _dtype(n, kind) for n, kind in self.spec.columns.items()}, False, most, self._buffers)
        for name, of in inside.items():
            scan = self._scans[name]
            if span is not None:
                spec = self.spec.streams[name]
                lo = max(span[0], spec.since) if spec.skip_before else span[0]
                scan = self._scan_of(replace(spec, since=lo, until=min(span[1], spec.until), skip_before=True))
            for batch in scan.chunks(of):
                every = np.ones(len(self._keys), np.bool_)
                for rank, use in self._uses[name]:
                    gathered.add(self._renamed(batch, use), every, span, rank=rank)
            if span is not None:
                self.coverage.dropped += scan.coverage.dropped
        return gathered.in_place()

    def _renamed(self, batch: RowBatch, use: Input) -> RowBatch:
        """A stream's batch as rows of one input: the columns of the merged rows."""
        own = {merged: name for merged, name, _ in use.columns}
        columns = {
            name: (np.array([use.number], np.uint8), VALID)
            if name == INPUT
            else batch.columns[own[name]]
            if name in own
            else missing_column(kind)
            for name, kind in self.spec.columns.items()
        }
        if not self.spec.any_order:
            columns[ORDER] = (np.arange(batch.rows, dtype=np.int32), VALID)
        return RowBatch(batch.run_slot, batch.run_len, batch.time, columns, batch.size, batch.bridged)


def _dtype(name: str, kind: Type) -> np.dtype[np.generic]:
    return np.dtype(np.uint8) if name == INPUT else dtype_of(kind)
