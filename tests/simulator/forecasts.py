"""Times and costs of simulated fleets (``runtime.fleet.simulation.model``): the table of deploy/INTERNALS.md."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from functools import cache

from runtime.fleet.fleet import Fleet
from runtime.fleet.rules import Rules
from runtime.fleet.simulation.model import Account, Faults, Forecast, Scenario, forecast, modelled_fleet
from runtime.result.cost import Worker
from runtime.result.work import Load

WORKER = Worker(1_769, "arm64")
STORY = Faults(failed=0.2, straggling=0.05, duplicated=0.01, truncated=0.01, throttled=0.5)
SEEDS = 3


@dataclass(frozen=True)
class Case:
    """A row of the table: points of 2 bytes in files of up to 128 MB, on so many workers."""

    points: int
    workers: int
    warm: bool
    note: str = ""
    account: Account = field(default_factory=Account)
    faults: Faults = field(default_factory=Faults)

    @property
    def scenario(self) -> Scenario:
        """The case as the model takes it."""
        size = 2 * self.points
        opened = max(self.workers, size // 128_000_000)
        load = Load.even(self.points, size, self.workers, opened)
        return Scenario(load, self.workers if self.warm else 0, WORKER, self.account, self.faults)

    @property
    def fleet(self) -> Fleet:
        """A fleet that gives an attempt up sooner where some are never answered."""
        fleet = modelled_fleet(self.scenario)
        return replace(fleet, rules=Rules(attempt_seconds=70.0)) if self.faults.silent else fleet

    def forecast(self) -> Forecast:
        """Its runs under the seeds 0 to 2."""
        return _forecast(self)


@cache
def _forecast(case: Case) -> Forecast:
    return forecast(case.scenario, SEEDS, case.fleet)


ONE_PREFIX, AS_IT_COMES = replace(Account(), prefixes=1), replace(Account(), concurrency=1_000)
CASES = {
    "10^10 warm": Case(10**10, 200, True),
    "10^10 cold": Case(10**10, 200, False),
    "10^11 warm": Case(10**11, 2_000, True),
    "10^11 warm, one prefix": Case(10**11, 2_000, True, "one S3 prefix", ONE_PREFIX),
    "10^11 cold": Case(10**11, 3_000, False),
    "10^11 cold, new account": Case(10**11, 3_000, False, "a new account: 1,000 at once", AS_IT_COMES),
    "10^11 warm, faults": Case(10**11, 2_000, True, "the fault scenario, on both levels", faults=STORY),
    "10^12 warm": Case(10**12, 3_000, True),
    "10^12 cold": Case(10**12, 3_000, False),
    "10^12 warm, faults": Case(10**12, 3_000, True, "the fault scenario, on both levels", faults=STORY),
}


def table(without: Collection[str] = ()) -> Iterator[str]:
    """The lines of the table, or of a part of it."""
    yield "| points | workers | | seconds | at worst | dollars | new workers | throttled | repeats | answered |"
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for name, case in CASES.items():
        if name in without:
            continue
        found = case.forecast()
        most = {name: max(run.seen[name] for run in found.runs) for name in ("new workers", "throttled")}
        power = len(str(case.points)) - 1
        how = ("warm" if case.warm else "cold") + (f"; {case.note}" if case.note else "")
        yield (
            f"| 10^{power} | {case.workers:,} | {how} | {found.seconds:.1f} | {found.worst:.1f} "
            f"| {found.dollars:.3f} | "
            f"{most['new workers']:,} | {most['throttled']:,} | {max(run.repeats for run in found.runs):,} | "
            f"{sum(run.error is None for run in found.runs)} of {SEEDS} |"
        )
