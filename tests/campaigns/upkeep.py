"""Queries on a fleet that fails, while upkeep and ingests run: the same bits, or a named error."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from tests.campaigns import Report
from tests.simulator.kept_fleet import KeptFleet, based, small

FAILURES = 5
"""After so many a campaign ends."""


def run(budget: int, seed: int) -> Report:
    """``budget`` runs of ``KeptFleet``, from the seed ``seed`` on; a failure names its own."""
    report = Report()
    with tempfile.TemporaryDirectory(prefix="antfold-upkeep-") as name:
        folder = Path(name)
        with small():
            base = based(folder / "base")
        for number in range(seed, seed + budget):
            own = folder / str(number)
            own.mkdir()
            try:
                for event, count in KeptFleet(base, own, number).play().items():
                    report.seen[event] = report.seen.get(event, 0) + count
            except Exception as error:
                report.failures.append(f"seed {number}: {type(error).__name__}: {error}")
            report.count("runs of two queries")
            shutil.rmtree(own)
            if len(report.failures) == FAILURES:
                break
    return report
