"""Tests that depend on what is drawn or on timing, run with fresh seeds, time zones and string hashes."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from tests.campaigns import Report

ROOT = Path(__file__).resolve().parents[2]

DRAWN = (
    "tests/runtime/test_provenance_laws.py",  # a row of an answer is explained
    "tests/runtime/ingest/test_kill.py",  # a process is killed before it ends by itself
    "tests/runtime/fleet/test_relay.py::test_a_worker_that_never_answers_ends_its_relay_in_time",
)
"""Those in which luck decides: what they must meet is drawn anew each time, or a matter of timing."""

SEEDED = (
    "tests/laws/test_flow_mutants.py",  # an example distinguishes a mutant from the engine
    "tests/laws/test_timeline_mutants.py",
    "tests/laws/test_aggregates.py::test_mutants",  # a case breaks a law
    "tests/simulator/test_simulator.py",  # each kind of event happens, each mutant is found
    "tests/runtime/fleet/test_simulated.py",
    "tests/runtime/fleet/test_two_levels.py",
)
"""Those that must meet something too, but draw from seeds of their own, the same every time. Only the zone and the
hashes of strings differ: every 25th run includes them."""

ZONES = ("UTC", "America/St_Johns", "Asia/Kathmandu", "Pacific/Apia", "Australia/Lord_Howe")

_COUNTED = re.compile(r"(\d+) (passed|failed|error)")


def run(budget: int, seed: int) -> Report:
    """Run them ``budget`` times, with the seeds from ``seed`` on."""
    report = Report()
    for number in range(seed, seed + budget):
        once(DRAWN if (number - seed) % 25 else DRAWN + SEEDED, number, report)
    return report


def once(tests: tuple[str, ...], number: int, report: Report) -> None:
    """Run ``tests`` with the seed ``number``, in a process of its own, as on a machine where ``CI`` is not set."""
    environment = {k: v for k, v in os.environ.items() if k not in ("CI", "HYPOTHESIS_PROFILE")}
    environment |= {"TZ": ZONES[number % len(ZONES)], "PYTHONHASHSEED": str(number % 2**32)}
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-n", "0", "-m", "", f"--hypothesis-seed={number}", *tests],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    for n, what in _COUNTED.findall(ran.stdout.splitlines()[-1] if ran.stdout else ""):
        report.count(f"tests that {what}", int(n))
    if ran.returncode:
        failed = [line for line in ran.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
        report.failures += [f"seed {number}: {line}" for line in failed or [ran.stderr[-300:]]]
