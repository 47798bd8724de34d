"""Runs a prepared query on a fleet; merge and proof are those of every query."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import ceil
from typing import Any

from runtime.aws.kms import Signer
from runtime.catalogue import FileEntry
from runtime.errors import QueryError
from runtime.fleet.fleet import Fleet, answers
from runtime.fleet.message_versions import release
from runtime.fleet.messages import stored_bytes
from runtime.fleet.outcomes import Outcome
from runtime.objects import ObjectStore
from runtime.objects.s3_objects import GAP
from runtime.progress import Progress
from runtime.query.kernel_store import kernel_digests, kernel_files, publish
from runtime.query.merge.conclude import conclude
from runtime.query.plan.expected_work import expected_load
from runtime.query.plan.prepare import Prepared
from runtime.query.scan.joined_batches import is_small
from runtime.query.task.task import Task
from runtime.result.cost import Cost
from runtime.result.estimate import estimate
from runtime.result.result import Result
from runtime.result.speeds import Speeds
from runtime.result.work import Load

_SECONDS = 1.5
"""Seconds of opening and downloading per worker: those of its network for some 128 MB."""

_MOST = 3_000

MOST_ANSWERS = 32 << 20
"""Bytes of the answers of metrics that travel with the tasks of another: each worker reads and indexes them."""

_SPEEDS = Speeds()


def file_seconds(file: FileEntry) -> float:
    """Seconds that a worker needs to open a file beside others, and to download it."""
    own = _SPEEDS.get + (_SPEEDS.joined if is_small(file) else _SPEEDS.file)
    return max(_SPEEDS.wait / _SPEEDS.at_once, own) + file.bytes / _SPEEDS.stream


def file_weight(file: FileEntry) -> int:
    """Microseconds of a worker for a file, to split work evenly."""
    return round(1e6 * (file_seconds(file) + file.rows / _SPEEDS.points))


def fleet_tasks(prepared: Prepared, store_url: str, workers: int | None) -> list[Task]:
    """The tasks of a query for so many workers (None: as many as its files are worth)."""
    from runtime.query.plan.make_tasks import make_tasks

    return make_tasks(prepared, store_url, workers or fleet_workers(prepared), file_weight)


def fleet_workers(prepared: Prepared) -> int:
    """How many workers a query should use: by the bytes of its files and, where workers share the files out among them,
    by how long it takes to open these."""
    if prepared.plan.sliceable:
        seconds = sum(map(file_seconds, prepared.files))
    else:
        seconds = sum(f.bytes for f in prepared.files) / _SPEEDS.stream
    return max(1, min(_MOST, ceil(seconds / _SECONDS)))


def execute_on(
    fleet: Fleet,
    prepared: Prepared,
    tasks: Sequence[Task],
    objects: ObjectStore,
    progress: Progress,
    allow_partial: bool,
    signer: Signer | None = None,
) -> Result:
    """The result, bit for bit the same as on threads; ``TaskFailed`` or ``QueryTimeout`` name what is missing.

    ``signer`` signs the workers' kernels.
    """
    total = sum(f.bytes for f in prepared.files)
    target = fleet.target() if callable(fleet.target) else fleet.target
    # Published before the first invocation.
    kernels = () if target is None else publish(objects, prepared.compiled, target, signer, after=False)
    # Answers of other kernels must not be merged with these.
    extra: dict[str, Any] = {"digests": list(kernel_digests(prepared.plan)), "release": release()}
    if kernels:
        extra["kernels"] = [k.to_dict() for k in kernels]
    bar = progress.start(f"query {prepared.names}", total, "bytes")
    share = total // max(1, len(tasks))

    def answered(outcome: Outcome) -> None:
        rows = {} if outcome.partial is None else outcome.partial.coverage.rows
        bar.advance(share * max(1, len(outcome.tasks)), rows=sum(rows.values()))

    try:
        found = answers(fleet, tasks, objects, allow_partial, answered, extra)
    finally:
        bar.finish()
    result = conclude(prepared, found.tasks, list(found.partials.values()), found.failed)
    result.cost = Cost.of(found.counts.used, found.counts.begun)
    return result


def fleet_load(prepared: Prepared, tasks: Sequence[Task], objects: ObjectStore) -> Load:
    """The work of a query's tasks on workers that read from S3."""
    load = expected_load(prepared, tasks, objects, GAP, len(kernel_files(prepared.plan, after=False)))
    # A task that is too long for a request is one GET more.
    work = tuple(
        replace(w, reads=w.reads + 1, read_bytes=w.read_bytes + size) if (size := stored_bytes(t)) else w
        for t, w in zip(tasks, load.work, strict=True)
    )
    return replace(load, work=work)


def check_answers(prepared: Prepared) -> None:
    """QueryError if the answers that the metric looks up are too long to travel."""
    tables = (step.get("table", {}) for step in prepared.task_graph["steps"])
    size = sum(len(table["packed"]) for table in tables if "packed" in table)
    if size > MOST_ANSWERS:
        raise QueryError(
            f"the answers that this metric looks up (join, over) are of {size:,} bytes, and its workers take "
            f"{MOST_ANSWERS:,}: run it without a fleet, or group them by less"
        )


def check_budget(
    fleet: Fleet, prepared: Prepared, tasks: Sequence[Task], objects: ObjectStore, budget: float | None
) -> None:
    """Raise ``BudgetExceeded`` if the tasks are estimated to cost more dollars than ``budget``."""
    if budget is not None:
        load = fleet_load(prepared, tasks, objects)
        estimate(load, fleet.batches(len(tasks)), fleet.worker).within(budget)
