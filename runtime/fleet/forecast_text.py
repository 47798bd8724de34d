"""The simulated time and cost of a query on a fleet, and where the time goes, as text."""

from __future__ import annotations

from collections.abc import Callable

from runtime.fleet.fleet_query import fleet_load, fleet_tasks
from runtime.fleet.simulation.model import Account, Scenario, forecast, modelled_fleet
from runtime.objects import ObjectStore
from runtime.progress import count_of
from runtime.query.plan.prepare import Prepared
from runtime.result.estimate import estimate
from runtime.result.largest_parts import most_of_the_time


def forecast_text(
    prepared: Prepared, store_url: str, objects: ObjectStore, fleet: int, warm: bool, left: Callable[[], int]
) -> str:
    """What a query takes on ``fleet`` Lambda workers; ``left``: how many files there would be after compaction."""
    tasks = fleet_tasks(prepared, store_url, fleet)
    load = fleet_load(prepared, tasks, objects)
    scenario = Scenario(load, fleet if warm else 0, account=Account(concurrency=max(1_000, fleet)))
    found = forecast(scenario)
    repeats = max(run.repeats for run in found.runs)
    new = max(run.seen["new workers"] for run in found.runs)
    size = f"{scenario.worker.architecture}, {scenario.worker.memory:,} MB"
    guess = estimate(load, modelled_fleet(scenario).batches(len(tasks)), scenario.worker, new=not warm)
    again = f", opened {load.opened:,} times in all" if load.opened > load.files else ""
    return (
        f"fleet  {'warm' if warm else 'cold'}, {len(tasks):,} tasks ({size}), simulated {len(found.runs)} times: "
        f"{found.seconds:.2g} s (at worst {found.worst:.2g}), ${found.dollars:.2g}, {new:,} new workers, "
        f"{max(run.seen['throttled'] for run in found.runs):,} throttled, {repeats:,} repeats\n"
        f"  {guess.gets:,} GETs of {load.bytes:,} bytes: {count_of(load.files, 'file')}{again}\n"
        f"  {most_of_the_time(guess.parts, load, left)}"
    )
