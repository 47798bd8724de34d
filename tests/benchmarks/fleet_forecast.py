"""Forecasts of fleet queries beside what a stand-in for S3 and Lambda with set latencies takes and bills.

For each store (10 small files, 10 large ones, 10,000 small ones) and workers that are warm or new, the same latencies
are given to the model of ``explain --fleet`` and to the stand-in (``tests/simulator/stand_in.py``), which really waits.
Printed are seconds and dollars of both, and their ratio; exit code 1 if one is off by more than 30 %.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import dataflow as df
from dataflow.language.stream import Stream
from runtime import Store
from runtime.fleet.fleet_query import fleet_load, fleet_tasks
from runtime.fleet.simulation.model import Scenario, forecast
from runtime.query.plan.prepare import Request, prepare
from runtime.result.estimate import estimate
from runtime.result.speeds import Speeds
from tests.simulator.stand_in import SET, measured, of_large_files, of_small_files

METRIC = df.stream("s").group_by("status").agg(n=df.count(), t=df.sum("temp"))
BOUND = 0.3


@dataclass(frozen=True)
class Compared:
    """One query: forecast by the model, estimated for a budget, and measured."""

    store: str
    warm: bool
    tasks: int
    gets: int
    gets_billed: int
    seconds: float
    seconds_taken: float
    dollars: float
    dollars_budget: float
    dollars_billed: float

    @property
    def ratios(self) -> tuple[float, float, float]:
        """Forecast by measured: seconds, dollars of the forecast, dollars of the budget's estimate."""
        return (
            self.seconds / self.seconds_taken,
            self.dollars / self.dollars_billed,
            self.dollars_budget / self.dollars_billed,
        )

    @property
    def holds(self) -> bool:
        """Whether GETs are equal, and nothing else is off by more than the bound."""
        return self.gets == self.gets_billed and all(abs(r - 1) <= BOUND for r in self.ratios)

    def __str__(self) -> str:
        seconds, dollars, budget = self.ratios
        return (
            f"{self.store:>13} {'warm' if self.warm else 'cold'} {self.tasks:>4} tasks {self.gets:>7,} GETs "
            f"({self.gets_billed:,} billed)  {self.seconds:7.2f} s forecast {self.seconds_taken:7.2f} s measured "
            f"({seconds:.2f})  ${self.dollars:.6f} forecast ${self.dollars_billed:.6f} billed ({dollars:.2f}, budget "
            f"{budget:.2f}){'' if self.holds else '  OFF'}"
        )


def compared(name: str, store: Store, workers: int | None, warm: bool, speeds: Speeds, metric: Stream) -> Compared:
    """Forecast, run and compare one query."""
    prepared = prepare(store.catalogue, Request(metric.steps, {}, None, None))
    prepared.compiled.ready()
    tasks = fleet_tasks(prepared, store.url, workers)
    # Workers of the stand-in compile for themselves: they fetch no kernels.
    load = replace(fleet_load(prepared, tasks, store.objects), kernels=0)
    found = forecast(Scenario(load, 1_000 if warm else 0, speeds=speeds))
    guess = estimate(load, 0, Scenario(load, 0).worker, speeds)
    took = measured(store, metric, workers, warm, speeds)
    return Compared(
        name, warm, len(tasks), load.gets, took.cost.gets, found.seconds, took.seconds, found.dollars, guess.dollars,
        took.cost.dollars,
    )  # fmt: skip


STORES: dict[str, tuple[Callable[[Path], Store], int]] = {
    "10 small": (lambda folder: of_small_files(folder, 10), 8),
    "10 large": (lambda folder: of_large_files(folder, 10, 200_000), 4),
    "10,000 small": (lambda folder: of_small_files(folder, 10_000), 8),
}
"""How each store is made, and by how many workers it is read."""


def compare_all(work: Path, only: list[str], runs: int, speeds: Speeds) -> Iterator[Compared]:
    """Every store, warm and cold, so many times."""
    for name in only:
        make, workers = STORES[name]
        folder = work / name.replace(" ", "-").replace(",", "")
        store = Store(folder) if folder.exists() else make(folder)
        store.query(METRIC, progress=False)  # kernels are compiled before anything is measured
        for warm in (True, False):
            for _ in range(runs):
                yield compared(name, store, workers, warm, speeds, METRIC)


def main(arguments: list[str] | None = None) -> int:
    """Run the comparison; 1 where a forecast is off."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.fleet_forecast", description=__doc__)
    parser.add_argument("--only", action="append", choices=list(STORES), help="one store; repeatable")
    parser.add_argument("--runs", type=int, default=3, help="runs of each (default 3)")
    parser.add_argument("--first-byte", type=float, default=SET.first_byte, help="seconds to the first byte of a GET")
    parser.add_argument("--report", type=Path, help="write the report as JSON to this file")
    parser.add_argument("--work", type=Path, help="where to keep the stores (default: a temporary folder)")
    options = parser.parse_args(arguments)
    speeds = replace(SET, first_byte=options.first_byte)
    done = []
    with tempfile.TemporaryDirectory(prefix="antfold-forecast-") as temporary:
        for one in compare_all(options.work or Path(temporary), options.only or list(STORES), options.runs, speeds):
            print(one, flush=True)
            done.append(one)
    if options.report:
        options.report.write_text(json.dumps([asdict(one) for one in done], indent=2) + "\n", encoding="utf-8")
    return 0 if all(one.holds for one in done) else 1


if __name__ == "__main__":
    sys.exit(main())
