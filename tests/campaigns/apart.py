"""Runs a campaign in its own process, with bounds checks in every loop: if the process dies, that is a failure."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from tests.campaigns import Report

_PROGRAM = """
import importlib, json, sys
from tests.campaigns import Report
report = Report()
module, budget, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
importlib.import_module(module).attack(report, budget, seed)
print(json.dumps([report.tried, report.failures]))
"""

LARGE = 500
"""Tries from which on loops check bounds: then all of them are compiled anew."""

PORTION = 250
"""Tries of one process."""


class Hangs(BaseException):
    """No ``Exception``: nothing in between may catch it."""


@contextmanager
def at_most(seconds: int) -> Iterator[None]:
    """Raise ``Hangs`` in what takes longer, on the main thread."""

    def ring(*_: object) -> None:
        raise Hangs(f"still running after {seconds} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def run_apart(module: str, budget: int, seed: int) -> Report:
    """The report of ``attack(report, budget, seed)`` of a module, in portions of a process each."""
    report = Report()
    environment = os.environ | ({"NUMBA_BOUNDSCHECK": "1"} if budget >= LARGE else {})
    for number, at in enumerate(range(0, budget, PORTION)):
        portion = [str(min(PORTION, budget - at)), str(1_000 * seed + number)]
        command = [sys.executable, "-c", _PROGRAM, module, *portion]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            said = done.stderr.strip()[-1_500:]
            report.failures.append(f"portion {' '.join(portion)} ended with status {done.returncode}: {said}")
            continue
        tried, failures = json.loads(done.stdout.splitlines()[-1])
        for kind, examples in tried.items():
            report.count(kind, examples)
        report.failures += failures
    return report
