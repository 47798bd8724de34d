"""A prepared query on a fleet: its tasks answered, merged and proven as everywhere else."""

from __future__ import annotations

from collections.abc import Sequence

from runtime.fleet.fleet import Fleet, answers
from runtime.objects import ObjectStore
from runtime.progress import Progress
from runtime.query.execute import Prepared, conclude
from runtime.query.task import Partial, Task
from runtime.result import Result

_BYTES = 128 << 20
"""Bytes of point files for one worker: a few seconds of its network."""

_MOST = 3_000


def fleet_workers(prepared: Prepared) -> int:
    """How many workers a query is worth, by the bytes of its files."""
    return max(1, min(_MOST, -(-sum(f.bytes for f in prepared.files) // _BYTES)))


def execute_on(
    fleet: Fleet,
    prepared: Prepared,
    tasks: Sequence[Task],
    objects: ObjectStore,
    progress: Progress,
    allow_partial: bool,
) -> Result:
    """The result, the same to the bit as that of threads; ``TaskFailed`` or ``QueryTimeout`` name what is missing."""
    total = sum(f.bytes for f in prepared.files)
    bar = progress.start(f"query {prepared.plan.stream}", total, "bytes")
    share = total // max(1, len(tasks))

    def answered(partial: Partial) -> None:
        bar.advance(share, rows=sum(partial.coverage.rows.values()))

    try:
        found = answers(fleet, tasks, objects, allow_partial, answered)
    finally:
        bar.finish()
    return conclude(prepared, found.tasks, list(found.partials.values()), found.failed)
