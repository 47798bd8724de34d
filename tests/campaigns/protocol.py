"""The catalogue's protocol in the simulator, with upkeep and without, under both kinds of schedules."""

from __future__ import annotations

from tests.campaigns import Report
from tests.simulator import test_simulator, test_upkeep

SHORT = 10_000
"""Seeds below it are those of CI."""


def run(budget: int, seed: int) -> Report:
    """As many runs of each of the four kinds, from ``SHORT + seed`` on; a failure names its seed."""
    report = Report()
    for number in range(SHORT + seed, SHORT + seed + budget):
        for what, play in (("upkeep", test_upkeep.play), ("ingest", test_simulator.play)):
            for mode in ("priority", "uniform"):
                report.count(f"{what}, {mode} schedule")
                try:
                    play(number, mode)
                except AssertionError as error:
                    report.failures.append(f"{what}: {error}")
    return report
