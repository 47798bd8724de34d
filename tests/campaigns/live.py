"""Watchers, followers and deliveries in the simulator, under both kinds of schedules."""

from __future__ import annotations

from tests.campaigns import Report
from tests.simulator import test_live

SHORT = 10_000
"""Seeds below it are those of CI."""

FAILURES = 5
"""After so many a campaign ends."""


def run(budget: int, seed: int) -> Report:
    """``budget`` runs, half of each kind, from ``SHORT + seed`` on; a failure names its seed."""
    report = Report()
    for number in range(SHORT + seed, SHORT + seed + (budget + 1) // 2):
        for mode in ("priority", "uniform"):
            report.count(f"{mode} schedule")
            try:
                for event, count in test_live.play(number, mode).items():
                    report.seen[event] = report.seen.get(event, 0) + count
            except AssertionError as error:
                report.failures.append(str(error))
        if len(report.failures) >= FAILURES:
            break
    return report
