"""Runs a prepared query on a fleet; merge and proof are those of every query."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from runtime.aws.kms import Signer
from runtime.fleet.fleet import Fleet, answers
from runtime.fleet.message_versions import release
from runtime.fleet.outcomes import Outcome
from runtime.objects import ObjectStore
from runtime.progress import Progress
from runtime.query.kernel_store import kernel_digests, publish
from runtime.query.merge.conclude import conclude
from runtime.query.plan.prepare import Prepared
from runtime.query.task.task import Task
from runtime.result.cost import Cost, Load, estimate
from runtime.result.result import Result

_BYTES = 128 << 20
"""Bytes of point files per worker: a few seconds of its network."""

_MOST = 3_000


def fleet_workers(prepared: Prepared) -> int:
    """How many workers a query should use, by the bytes of its files."""
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
    bar = progress.start(f"query {prepared.plan.stream}", total, "bytes")
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


def check_budget(fleet: Fleet, tasks: Sequence[Task], budget: float | None) -> None:
    """Raise ``BudgetExceeded`` if the tasks are estimated to cost more dollars than ``budget``."""
    if budget is not None:
        estimate(load_of(tasks), fleet.batches(len(tasks)), fleet.worker).within(budget)


def forecast_text(tasks: Sequence[Task], fleet: int, warm: bool) -> str:
    """The simulated time and cost of the tasks on ``fleet`` Lambda workers, as text."""
    from runtime.fleet.simulation.model import Account, Scenario, forecast

    scenario = Scenario(load_of(tasks), fleet if warm else 0, account=Account(concurrency=max(1_000, fleet)))
    found = forecast(scenario)
    repeats = max(run.repeats for run in found.runs)
    new = max(run.seen["new workers"] for run in found.runs)
    size = f"{scenario.worker.architecture}, {scenario.worker.memory:,} MB"
    return (
        f"fleet  {'warm' if warm else 'cold'}, {len(tasks):,} tasks ({size}), simulated {len(found.runs)} times: "
        f"{found.seconds:.2g} s (at worst {found.worst:.2g}), ${found.dollars:.2g}, {new:,} new workers, "
        f"{max(run.seen['throttled'] for run in found.runs):,} throttled, {repeats:,} repeats"
    )


def load_of(tasks: Sequence[Task]) -> Load:
    """The work of the tasks, for estimates."""
    files = {f.path: f for task in tasks for f in task.files}.values()
    opened = sum(len(task.files) for task in tasks)
    return Load(sum(f.rows for f in files), sum(f.bytes for f in files), len(tasks), opened)
