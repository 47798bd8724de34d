"""What tasks will open, read and compute: counted by the functions that plan their reads, before anything is run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import ceil

from operators.errors import DataflowError
from runtime.catalogue import FileEntry
from runtime.catalogue.items.entries import stream_of
from runtime.helpers import Helpers
from runtime.objects import ObjectStore
from runtime.pointfile import PointFile
from runtime.pointfile.reading.planned_reads import tail_bytes
from runtime.query.plan.prepare import Prepared
from runtime.query.scan.batches import GAPS
from runtime.query.scan.expected_reads import first_time, is_outside, reads_after_opening
from runtime.query.scan.joined_batches import FEW, is_small
from runtime.query.scan.scan_spec import ScanSpec
from runtime.query.scan.scanning import scan_order
from runtime.query.task.coverage import HASHES
from runtime.query.task.task import Task, scan_specs
from runtime.result.work import Load, TaskWork
from runtime.storage.open_files import opened_ahead

SAMPLE = 16
"""Of so many large files the directory is read; the others count as the one of the most similar size does."""


def expected_load(prepared: Prepared, tasks: Sequence[Task], objects: ObjectStore, gap: int, kernels: int = 0) -> Load:
    """The work of the tasks on workers whose store has this ``gap``: exact where large files are few and not merged.

    Opens up to ``SAMPLE`` files that are too large to be read whole.
    """
    large = {f.path: f for task in tasks for f in task.files if tail_bytes(f.bytes, gap) < f.bytes}
    counts = _ExpectedReads(prepared, list(large.values()), objects, gap)
    return Load(tuple(counts.of(task) for task in tasks), len(prepared.files), kernels)


class _ExpectedReads:
    def __init__(self, prepared: Prepared, large: list[FileEntry], objects: ObjectStore, gap: int) -> None:
        self._prepared, self._gap = prepared, gap
        self._known = _directories(large, objects, gap)
        self._merged: dict[int, tuple[Sequence[FileEntry], frozenset[str]]] = {}
        self._read: dict[tuple[str, tuple[int, int], bool], tuple[int, int]] = {}

    def of(self, task: Task) -> TaskWork:
        """The work of one task."""
        specs = scan_specs(task, self._prepared.schemas, self._prepared.plan)
        share = (task.shard[1] - task.shard[0]) / HASHES
        merged = self._merged_in(task, specs)
        joined = sum(map(is_small, task.files))
        points = reads = 0.0
        read_bytes = 0.0
        for f in task.files:
            spec = specs[task.stream if len(specs) == 1 else stream_of(f.path)]
            if is_outside(f, spec):
                continue
            points += f.rows * _overlap(f, spec) * share
            if tail_bytes(f.bytes, self._gap) < f.bytes:
                count, size = self._reads_of(f, spec, f.path in merged, share)
                reads += count
                read_bytes += size
        return TaskWork(
            points=points,
            opened=len(task.files),
            ahead=len(opened_ahead(task.files, self._gap)),
            joined=joined if joined >= FEW else 0,
            opened_bytes=sum(tail_bytes(f.bytes, self._gap) for f in task.files),
            reads=round(reads),
            read_bytes=read_bytes,
        )

    def _merged_in(self, task: Task, specs: Mapping[str, ScanSpec]) -> frozenset[str]:
        """The paths of files whose rows are merged; found once for tasks over the same files."""
        known = self._merged.get(id(task.files))
        if known is None:
            found: set[str] = set()
            for name, spec in specs.items():
                files = task.files if len(specs) == 1 else [f for f in task.files if stream_of(f.path) == name]
                resolves = spec.duplicates != "keep" or spec.id_column is not None
                for group in scan_order(files, spec.id_column):
                    if (len(group) > 1 and (resolves or not spec.any_order)) or (
                        resolves and any(f.repeats for f in group)
                    ):
                        found.update(f.path for f in group)
            known = self._merged[id(task.files)] = task.files, frozenset(found)
        return known[1]

    def _reads_of(self, f: FileEntry, spec: ScanSpec, merged: bool, share: float) -> tuple[float, float]:
        """GETs of a large file after it is opened, and their bytes."""
        file = self._known.get(f.path)
        if file is not None:
            return _counted(reads_after_opening(f, file[1], spec, merged))
        part = _overlap(f, spec) * share
        if not self._known:  # none can be opened: as if all columns were read
            return ceil(f.bytes * part / (GAPS * self._gap)), f.bytes * part
        like, file = min(self._known.values(), key=lambda k: abs(k[0].bytes - f.bytes)), None
        whole = replace(spec, since=like[0].t_min, until=like[0].t_max + 1, skip_before=False)
        key = (like[0].path, spec.shard, merged)
        if key not in self._read:
            self._read[key] = _counted(reads_after_opening(like[0], like[1], whole, merged))
        count, size = self._read[key]
        return max(1.0 if count else 0.0, count * _overlap(f, spec)), size * f.bytes / like[0].bytes * _overlap(f, spec)


def _counted(reads: Sequence[int]) -> tuple[int, int]:
    return len(reads), sum(reads)


def _overlap(f: FileEntry, spec: ScanSpec) -> float:
    """The part of a file's time that is in the range, as if its rows were evenly spread."""
    begin = max(f.t_min, first_time(spec)) if spec.skip_before else f.t_min
    return (min(f.t_max + 1, spec.until) - begin) / (f.t_max + 1 - f.t_min)


def _directories(large: list[FileEntry], objects: ObjectStore, gap: int) -> dict[str, tuple[FileEntry, PointFile]]:
    """Some of the files, spread over all of them, opened; those that cannot be are left out."""
    chosen = [large[len(large) * i // min(SAMPLE, len(large))] for i in range(min(SAMPLE, len(large)))]

    def opened(f: FileEntry) -> PointFile | None:
        try:
            return PointFile.open(lambda at, length: objects.read(f.path, at, length), f.bytes, f.path, gap)
        except DataflowError:
            return None

    if objects.at_once < 2 or len(chosen) < 2:
        found = list(map(opened, chosen))
    else:
        with Helpers(min(objects.at_once, len(chosen)), "antfold-count") as pool:
            found = list(pool.map(opened, chosen))
    return {f.path: (f, file) for f, file in zip(chosen, found, strict=True) if file is not None}
