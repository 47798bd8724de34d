"""From partial states to a result: merge, completeness check, finish, proof."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from dataflow.times.zones import TZDATA_VERSION
from operators.errors import DataflowError
from runtime.catalogue import set_hash
from runtime.catalogue.items.entries import stream_of
from runtime.columns import Column
from runtime.errors import IncompleteResult
from runtime.query.merge.merging import Merging, merged
from runtime.query.merge.sliding_windows import Range
from runtime.query.merge.spilling import Spill
from runtime.query.merge.state_form import checked
from runtime.query.plan.notes import floor_notes, order_notes, sparse_notes, taken_out, twin_notes
from runtime.query.plan.prepare import Prepared
from runtime.query.stages.overflow import memory_of
from runtime.query.task.coverage import WHOLE, Coverage
from runtime.query.task.partial import Partial, summed
from runtime.released_memory import TRIMMER, freed
from runtime.result.proof import Proof, StreamProof, check_coverage, digest, merged_files
from runtime.result.result import PartialResult, Result


def conclude(
    prepared: Prepared,
    tasks: Sequence[object],
    partials: Sequence[Partial],
    failed: Mapping[str, DataflowError],
    files_cached: int = 0,
    spent: bool = False,
    spill: Spill | None = None,
) -> Result:
    """The result of the finished tasks (some may have failed): merged, checked for completeness, finished.

    Only the number of tasks matters: a partial state may cover several. ``files_cached``: the number of files whose
    states come from the cache. ``spent``: the partial states are not used afterwards. ``spill``:
    where tasks put groups.
    """
    total = Coverage()
    for p in partials:
        total.add(p.coverage)
    covered = total.rows
    if not failed:
        check_coverage(prepared.files, covered, prepared.names)
        if part := next((path for path, ranges in total.cells.items() if ranges != WHOLE), None):
            raise IncompleteResult(f"stream {prepared.names}: not all keys of {part} were read; repeat the query")
    merging, of = Merging(), Range(prepared.since, prepared.until, prepared.beginning)
    with memory_of(prepared.plan.stages[-1].step), checked(prepared.plan, partials):
        table, partial_windows = taken_out(merged(prepared.plan, partials, of, merging, spent, spill))
        size = table.nbytes
        columns = table.result_columns(spent=True)
    freed(size)
    TRIMMER.worked()
    sparse = sparse_notes(prepared.plan, summed(p.tally for p in partials))
    notes = (
        *partial_windows,
        *floor_notes(prepared),
        *sparse,
        *order_notes(prepared),
        *twin_notes(prepared),
    )
    proof = _proof(prepared, tasks, partials, covered, columns, files_cached, merging.times_outside, notes)
    if failed:
        return PartialResult(columns, proof, tuple(f"task {i}: {e}" for i, e in sorted(failed.items())))
    return Result(columns, proof)


def _proof(
    prepared: Prepared,
    tasks: Sequence[object],
    partials: Sequence[Partial],
    covered: Mapping[str, int],
    columns: Mapping[str, Column],
    files_cached: int,
    times_outside: int,
    notes: tuple[str, ...],
) -> Proof:
    snapshots = [read.snapshot for read in prepared.streams]
    snapshot = snapshots[0]
    floors = [s.floor for s in snapshots if s.floor is not None]
    whole = merged_files(prepared.files, covered)
    return Proof(
        stream=prepared.names,
        snapshot=snapshot.seq,
        since=prepared.since,
        until=prepared.until,
        until_clipped=prepared.clipped,
        plan=prepared.plan_digest,
        files_planned=len(prepared.files),
        files_merged=len(whole),
        files_hash_planned=set_hash(f.path for f in prepared.files),
        files_hash_merged=set_hash(whole),
        files_cached=files_cached,
        rows_catalogued=sum(f.rows for f in prepared.files),
        rows_scanned=sum(covered.values()),
        rows_ruled_out=sum(p.coverage.skipped for p in partials),
        duplicates=sum(p.coverage.dropped for p in partials),
        duplicates_at_ingest=sum(s.dropped for s in snapshots),
        rejected=sum(s.rejected for s in snapshots),
        quarantined=sum(s.quarantined for s in snapshots),
        retention_floor=max(floors, default=None),
        times_outside=sum(p.coverage.times_outside for p in partials) + times_outside,
        tzdata=TZDATA_VERSION,
        tasks=len(tasks),
        kernels=digest(*sorted({k.encode() for p in partials for k in p.kernels})),
        result=_result_digest(columns),
        catalogue="checked" if all(s.checked for s in snapshots) else "unchecked",
        files_unchecked=sum(not f.footer for f in prepared.files),
        notes=notes,
        carried=None if prepared.carried is None else str(prepared.carried),
        dismissed=sum(s.dismissed for s in snapshots),
        streams=_streams(prepared, covered),
    )


def _streams(prepared: Prepared, covered: Mapping[str, int]) -> tuple[StreamProof, ...]:
    """What was read of each of several streams."""
    out = []
    for read in prepared.several:
        s = read.snapshot
        files = [f for f in prepared.files if stream_of(f.path) == s.stream]
        rows = sum(f.rows for f in files)
        scanned = sum(covered.get(f.path, 0) for f in files)
        out.append(StreamProof(s.stream, s.seq, len(files), rows, scanned, s.first_time, s.last_time, s.floor))
    return tuple(out)


def _result_digest(columns: Mapping[str, Column]) -> str:
    def parts() -> Iterator[bytes | memoryview]:
        for name, c in columns.items():
            yield name.encode()
            yield c.type.encode()
            yield _bytes(c.values)
            yield b"" if c.valid is None else _bytes(c.valid)
            yield b"" if c.words is None else c.words.blob + c.words.offsets.tobytes()

    return digest(*parts())


def _bytes(values: NDArray[np.generic]) -> memoryview:
    """The bytes of an array, without a copy."""
    return np.ascontiguousarray(values).view(np.uint8).data if len(values) else memoryview(b"")
