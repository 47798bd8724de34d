"""A prepared query on a fleet: its tasks answered, merged and proven as everywhere else."""

from __future__ import annotations

from collections.abc import Sequence

from runtime.fleet.fleet import Fleet, answers
from runtime.kernels import publish
from runtime.objects import ObjectStore
from runtime.progress import Progress
from runtime.query.execute import Prepared, conclude
from runtime.query.task import Partial, Task
from runtime.result import Result
from runtime.signing import Signer

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
    signer: Signer | None = None,
) -> Result:
    """The result, the same to the bit as that of threads; ``TaskFailed`` or ``QueryTimeout`` name what is missing.

    ``signer`` signs the kernels that the workers are given.
    """
    total = sum(f.bytes for f in prepared.files)
    target = fleet.target() if callable(fleet.target) else fleet.target
    # There before anyone asks for them.
    kernels = () if target is None else publish(objects, prepared.compiled, target, signer, after=False)
    bar = progress.start(f"query {prepared.plan.stream}", total, "bytes")
    share = total // max(1, len(tasks))

    def answered(partial: Partial) -> None:
        bar.advance(share, rows=sum(partial.coverage.rows.values()))

    try:
        found = answers(fleet, tasks, objects, allow_partial, answered, kernels)
    finally:
        bar.finish()
    return conclude(prepared, found.tasks, list(found.partials.values()), found.failed)
