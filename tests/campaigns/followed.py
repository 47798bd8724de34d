"""Answers that are followed while a store changes, with data and kernels: each beside the whole query."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.campaigns import Report
from tests.simulator import test_followed_history

SHORT = 10_000
"""Seeds below it are those of CI."""

FAILURES = 5
"""After so many a campaign ends."""


def run(budget: int, seed: int) -> Report:
    """``budget`` histories, from the seed ``SHORT + seed`` on; a failure names its own."""
    report = Report()
    with tempfile.TemporaryDirectory(prefix="antfold-followed-") as name:
        for number in range(SHORT + seed, SHORT + seed + budget):
            report.count("histories")
            try:
                for event, count in test_followed_history.play(Path(name), number).items():
                    report.seen[event] = report.seen.get(event, 0) + count
            except AssertionError as error:
                report.failures.append(str(error))
                if len(report.failures) == FAILURES:
                    break
    return report
