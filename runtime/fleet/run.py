"""A prepared query on a fleet: its tasks answered, merged and proven as everywhere else."""

from __future__ import annotations

from collections.abc import Sequence

from runtime.fleet.cost import Cost, Load
from runtime.fleet.fleet import Fleet, answers
from runtime.fleet.outcomes import Outcome
from runtime.objects import ObjectStore
from runtime.progress import Progress
from runtime.query.execute import Prepared, conclude
from runtime.query.task import Task
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

    def answered(outcome: Outcome) -> None:
        rows = {} if outcome.partial is None else outcome.partial.coverage.rows
        bar.advance(share * max(1, len(outcome.tasks)), rows=sum(rows.values()))

    try:
        found = answers(fleet, tasks, objects, allow_partial, answered)
    finally:
        bar.finish()
    result = conclude(prepared, found.tasks, list(found.partials.values()), found.failed)
    result.cost = Cost.of(found.counts.used, found.counts.begun)
    return result


def load_of(tasks: Sequence[Task]) -> Load:
    """The work of the tasks, for estimates."""
    files = {f.path: f for task in tasks for f in task.files}.values()
    opened = sum(len(task.files) for task in tasks)
    return Load(sum(f.rows for f in files), sum(f.bytes for f in files), len(tasks), opened)
