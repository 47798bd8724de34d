"""Runs a metric: snapshot, tasks, executor, merge, proof, result."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

from dataflow.calendars import known_time
from dataflow.graph import Source, Step
from dataflow.json_form import to_dict
from dataflow.plan import Plan
from dataflow.zones import TZDATA_VERSION
from operators.errors import DataflowError
from operators.types import Type
from runtime.catalogue import Catalogue, FileEntry, Snapshot, StreamSchema, set_hash
from runtime.catalogue.snapshot import unknown_stream
from runtime.columns import Column
from runtime.errors import FormatError, IncompleteResult, QueryError
from runtime.pointfile import PointFile
from runtime.progress import Progress
from runtime.proof import Proof, check_coverage, digest, merged_files
from runtime.query import wire
from runtime.query.coverage import WHOLE, Coverage
from runtime.query.form import checked
from runtime.query.merge import Merging, merged
from runtime.query.notes import order_notes, sparse_notes, taken_out
from runtime.query.task import Compiled, Partial, Saving, Task, compiled_for, request_digest, run, summed
from runtime.result import PartialResult, Result

_SMALL = 250_000
"""Rows below which a task is not worth splitting."""

_UNEVEN = 1.1
"""How much more rows than its share the largest slice of time may have, before keys are split instead."""

_HASHES = 1 << 64

_DIGEST = 64
"""Characters of a task's digest."""


@dataclass(frozen=True)
class Request:
    """A metric and how it is asked for. Times are microseconds UTC; None means the stream's own extent."""

    steps: tuple[Step, ...]
    params: Mapping[str, object]
    since: int | None
    until: int | None


@dataclass(frozen=True)
class Prepared:
    """All that is decided before anything is read."""

    graph: dict[str, Any]
    params: dict[str, Any]
    compiled: Compiled
    snapshot: Snapshot
    schema: StreamSchema
    files: tuple[FileEntry, ...]
    since: int
    until: int
    clipped: bool
    history: int | None
    plan_digest: str
    beginning: int
    """The time before which the stream has no points, or none any more."""

    @property
    def plan(self) -> Plan:
        """The metric bound to the stream."""
        return self.compiled.plan


def now_micros() -> int:
    """The present, in microseconds UTC."""
    return int(datetime.now(UTC).timestamp() * 1_000_000)


def prepare(catalogue: Catalogue, request: Request) -> Prepared:
    """Validate the metric, take a snapshot and choose the files."""
    source = request.steps[0]
    assert isinstance(source, Source)
    schema = catalogue.schema(source.name)
    if schema is None:
        raise unknown_stream(source.name, catalogue.streams())
    graph, params = to_dict(request.steps), dict(request.params)
    compiled = compiled_for(schema, graph, params)
    plan = compiled.plan
    # Only rows that need nothing before them can do with the files of their own range.
    alone = plan.history == 0 and not plan.held_columns
    snapshot = catalogue.snapshot(source.name, request.since if alone else None, request.until)
    if snapshot.schema != schema:
        schema = snapshot.schema
        compiled = compiled_for(schema, graph, params)
        plan = compiled.plan
    for name, t in (("since", request.since), ("until", request.until)):
        if t is not None:
            known_time(t, name)
    since, until, clipped = _range(snapshot, request)
    if snapshot.floor is not None and since < snapshot.floor * 86_400_000_000:
        raise QueryError(f"stream {source.name}: the data before {_iso(snapshot.floor * 86_400_000_000)} was retired")
    return _prepared(graph, params, compiled, snapshot, schema, (since, until, clipped))


def prepare_again(asked: Prepared, steps: tuple[Step, ...], params: Mapping[str, object]) -> Prepared:
    """Another metric over the same files and the same range, which must need no more of the past than the first."""
    graph, given = to_dict(steps), dict(params)
    span = (asked.since, asked.until, asked.clipped)
    return _prepared(graph, given, compiled_for(asked.schema, graph, given), asked.snapshot, asked.schema, span)


def _prepared(
    graph: dict[str, Any],
    params: dict[str, Any],
    compiled: Compiled,
    snapshot: Snapshot,
    schema: StreamSchema,
    span: tuple[int, int, bool],
) -> Prepared:
    since, until, clipped = span
    files, history = _files(compiled.plan, snapshot, since, until)
    text = json.dumps([graph, params, since, until], sort_keys=True, separators=(",", ":"), default=str)
    plan_digest, beginning = digest(text.encode()), _beginning(snapshot)
    return Prepared(
        graph, params, compiled, snapshot, schema, files, since, until, clipped, history, plan_digest, beginning
    )


def _beginning(snapshot: Snapshot) -> int:
    first = 0 if snapshot.first_time is None else snapshot.first_time
    return first if snapshot.floor is None else max(first, snapshot.floor * 86_400_000_000)


def _iso(micros: int) -> str:
    return datetime.fromtimestamp(micros // 1_000_000, UTC).isoformat()


def _range(snapshot: Snapshot, request: Request) -> tuple[int, int, bool]:
    first = 0 if snapshot.first_time is None else snapshot.first_time
    last = first if snapshot.last_time is None else snapshot.last_time + 1
    since = first if request.since is None else request.since
    until = last if request.until is None else request.until
    if request.since is not None and request.until is not None and since > until:
        raise QueryError(f"since {_iso(since)} is after until {_iso(until)}")
    # A fleet that fell silent was not up: a given end is honoured, but nobody knows the future.
    present = now_micros()
    clipped = request.until is not None and until > max(present, last)
    if clipped:
        until = max(present, last)
    return since, max(since, until), clipped


def _files(plan: Plan, snapshot: Snapshot, since: int, until: int) -> tuple[tuple[FileEntry, ...], int | None]:
    """The files to read, and how far before ``since`` rows matter (None: from the start)."""
    candidates = [f for f in snapshot.files if f.t_min < until]
    if plan.history is None:
        return tuple(candidates), None
    near = [f for f in candidates if f.t_max >= since - plan.history]
    # A time that is stored may be null to a query all the same: ``dataflow.calendars.YEARS``.
    times = any(snapshot.schema.columns[c] is Type.TIME for c in plan.held_columns)
    if not times and all(f.nulls.get(c, 1) == 0 for f in near for c in plan.held_columns):
        # Every first row reports all held columns itself, so nothing earlier can matter.
        return tuple(near), plan.history
    return tuple(candidates), None


def make_tasks(prepared: Prepared, store_url: str, workers: int) -> list[Task]:
    """Tasks over slices of time and shards of keys that cover every row of the planned files once."""
    files, plan = prepared.files, prepared.plan
    rows = sum(f.rows for f in files)
    # One task a worker: hashes spread the keys evenly, and more tasks than that were measured to cost more than the
    # better balance brings (20 million points on two threads: 0.15 s with 2 tasks, 0.21 with 4, 0.25 with 8).
    wanted = max(1, min(-(-rows // _SMALL), workers)) if workers > 1 else 1
    # By shard first: a key's whole history in one task needs no state at the seams of time.
    parts = _slices(files, wanted) if plan.sliceable else [files]
    slices = len(parts)
    # A power of two: writers let blocks end at such shards' edges, so that no block is decoded twice.
    shards = 1 << (max(1, -(-wanted // slices)) - 1).bit_length()
    out = []
    for i, part in enumerate(parts):
        for j in range(shards):
            shard = (_HASHES * j // shards, _HASHES * (j + 1) // shards)
            out.append(
                Task(
                    id=f"{i}.{j}",
                    store=store_url,
                    stream=plan.stream,
                    graph=prepared.graph,
                    params=prepared.params,
                    schema=prepared.schema.to_dict(),
                    files=part,
                    shard=shard,
                    since=prepared.since,
                    until=prepared.until,
                    history=prepared.history,
                    beginning=prepared.beginning,
                )
            )
    return out


def _slices(files: tuple[FileEntry, ...], wanted: int) -> list[tuple[FileEntry, ...]]:
    """The files in up to ``wanted`` slices of whole days of about as many rows each; in one if that cannot be."""
    total, at = sum(f.rows for f in files), 0
    parts: list[list[FileEntry]] = [[] for _ in range(wanted)]
    for _, day in groupby(sorted(files, key=lambda f: (f.day, f.seq, f.ordinal)), key=lambda f: f.day):
        listed = list(day)
        rows = sum(f.rows for f in listed)
        # A day belongs to the slice in which its middle lies.
        parts[min((2 * at + rows) * wanted // (2 * max(total, 1)), wanted - 1)] += listed
        at += rows
    largest = max(sum(f.rows for f in part) for part in parts)
    even = largest * wanted <= total * _UNEVEN
    return [tuple(part) for part in parts if part] if files and even else [files]


OpenFile = Callable[[FileEntry], PointFile]


def payload_of(task: Task) -> bytes:
    """The task as bytes, after its digest."""
    return task.request_digest.encode() + task.to_bytes()


def run_payload(payload: bytes) -> bytes:
    """Run a task given as bytes (``payload_of``), for executors whose workers are other processes; the partial state
    as bytes. FormatError for bytes that were changed on their way."""
    from runtime.store import Store

    digest, data = payload[:_DIGEST].decode("ascii", "replace"), payload[_DIGEST:]
    try:
        found = request_digest(json.loads(data))
    except (ValueError, RecursionError):
        found = ""
    if found != digest or not found:
        raise FormatError("a task was changed on its way to a worker: ask again")
    task = Task.from_bytes(data)
    store = Store.shared(task.store)
    with store.opened.ahead(task.files):
        return wire.pack(run(task, store.open_file), digest)


def _unpacked(reply: object, task: Task) -> Partial:
    if not isinstance(reply, bytes):
        raise FormatError(f"the reply of task {task.id} is not bytes: the executor gave a {type(reply).__name__}")
    return wire.unpack(reply, task.id, task.request_digest)


@contextmanager
def _submitter(
    executor: Executor | None, workers: int, run_here: Callable[[Task], Partial], last: Task
) -> Iterator[Callable[[Task], tuple[Future[Any], Callable[[Any], Partial]]]]:
    """A function that starts a task, ``last`` after all others, and the way to read its outcome."""
    if executor is not None:
        # Bytes both ways: what a worker is told and what it answers are data, whoever runs it.
        yield lambda t: (executor.submit(run_payload, payload_of(t)), lambda reply: _unpacked(reply, t))
        return
    pool = ThreadPoolExecutor(max(1, workers - 1), thread_name_prefix="antfold")

    def start(t: Task) -> tuple[Future[Any], Callable[[Any], Partial]]:
        if t is not last:
            return pool.submit(run_here, t), lambda partial: partial
        # The caller would only wait: it is one of the workers, too.
        future: Future[Any] = Future()
        try:
            future.set_result(run_here(t))
        except DataflowError as error:
            future.set_exception(error)
        return future, lambda partial: partial

    try:
        yield start
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def execute(
    prepared: Prepared,
    tasks: Sequence[Task],
    open_file: OpenFile,
    *,
    executor: Executor | None,
    workers: int,
    progress: Progress,
    allow_partial: bool,
) -> Result:
    """Run the tasks, merge what comes back, check that it is whole, and finish."""
    partials, failed = answered(
        prepared, tasks, open_file, executor=executor, workers=workers, progress=progress, allow_partial=allow_partial
    )
    return conclude(prepared, tasks, partials, failed)


def answered(
    prepared: Prepared,
    tasks: Sequence[Task],
    open_file: OpenFile,
    *,
    executor: Executor | None,
    workers: int,
    progress: Progress,
    allow_partial: bool,
    saving: Mapping[str, Saving] | None = None,
) -> tuple[list[Partial], dict[str, DataflowError]]:
    """What the tasks (one at least) come to, and which failed; ``saving``: of those run here, by id."""
    # Compiled here, where it fails once and for all, and found by whoever runs a task.
    compiled = prepared.compiled.ready()

    def run_here(task: Task) -> Partial:
        return run(task, open_file, compiled, None if saving is None else saving[task.id])

    partials: dict[str, Partial] = {}
    failed: dict[str, DataflowError] = {}
    total = sum(f.bytes for f in prepared.files)
    bar = progress.start(f"query {prepared.plan.stream}", total, "bytes")
    share = total // max(1, len(tasks))
    try:
        with _submitter(executor, workers, run_here, tasks[-1]) as submit:
            pending = {}
            for t in tasks:
                future, read = submit(t)
                pending[future] = (t, read)
            try:
                while pending:
                    done, _ = wait(pending, return_when=FIRST_COMPLETED)
                    for future in done:
                        task, read = pending.pop(future)
                        try:
                            partial = read(future.result())
                        except DataflowError as error:
                            if not allow_partial:
                                raise
                            failed[task.id] = error
                            continue
                        if partial.task in partials:
                            raise QueryError(f"task {partial.task} answered twice")
                        partials[partial.task] = partial
                        bar.advance(share, rows=sum(partial.coverage.rows.values()))
            finally:
                for future in pending:
                    future.cancel()
    finally:
        bar.finish()
    return [partials[t.id] for t in tasks if t.id in partials], failed


def conclude(
    prepared: Prepared,
    tasks: Sequence[object],
    partials: Sequence[Partial],
    failed: Mapping[str, DataflowError],
    files_cached: int = 0,
) -> Result:
    """The result of tasks that were answered (and of some that failed): merged, checked to be whole, finished.

    Of the tasks only their number counts: a partial state may be that of several. ``files_cached``: of how many files
    the partial states were kept from earlier runs.
    """
    total = Coverage()
    for p in partials:
        total.add(p.coverage)
    covered = total.rows
    if not failed:
        check_coverage(prepared.files, covered, prepared.plan.stream)
        if part := next((path for path, ranges in total.cells.items() if ranges != WHOLE), None):
            raise IncompleteResult(f"stream {prepared.plan.stream}: not all keys of {part} were read; ask again")
    merging = Merging()
    with checked(prepared.plan, partials):
        table, partial_windows = taken_out(merged(prepared.plan, partials, prepared.until, merging))
        columns = table.result_columns()
    sparse = sparse_notes(prepared.plan, summed(p.tally for p in partials))
    notes = (*partial_windows, *sparse, *order_notes(prepared.snapshot.schema))
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
    snapshot = prepared.snapshot
    whole = merged_files(prepared.files, covered)
    return Proof(
        stream=prepared.plan.stream,
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
        duplicates_at_ingest=snapshot.dropped,
        rejected=snapshot.rejected,
        quarantined=snapshot.quarantined,
        retention_floor=snapshot.floor,
        times_outside=sum(p.coverage.times_outside for p in partials) + times_outside,
        tzdata=TZDATA_VERSION,
        tasks=len(tasks),
        kernels=digest(*sorted({k.encode() for p in partials for k in p.kernels})),
        result=_result_digest(columns),
        catalogue="checked" if snapshot.checked else "unchecked",
        files_unchecked=sum(not f.footer for f in prepared.files),
        notes=notes,
    )


def _result_digest(columns: Mapping[str, Column]) -> str:
    parts: list[bytes] = []
    for name, c in columns.items():
        valid = b"" if c.valid is None else c.valid.tobytes()
        text = b"" if c.words is None else c.words.blob + c.words.offsets.tobytes()
        parts += [name.encode(), c.type.encode(), c.values.tobytes(), valid, text]
    return digest(*parts)


def default_workers() -> int:
    """As many threads as this process may use cores."""
    if hasattr(os, "sched_getaffinity"):
        return max(1, len(os.sched_getaffinity(0)))
    return os.cpu_count() or 1
