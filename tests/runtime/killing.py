"""A process of a test that is killed at a random moment."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import dataflow as df


class Killing:
    """Runs scripts, and kills them with SIGKILL some time after they print their first line.

    The time is drawn from 0 to ``longest`` seconds, which becomes shorter as scripts end before it. ``killed`` counts
    those that were killed.
    """

    def __init__(self, rng: random.Random, longest: float) -> None:
        self._rng, self._longest = rng, longest
        self.killed = 0

    def run(self, script: str, *arguments: str, meanwhile: Callable[[], object] = lambda: None) -> None:
        """Run a script of Python to its end or until it is killed; ``meanwhile`` is called once it has begun."""
        process = subprocess.Popen(
            [sys.executable, "-c", script, *arguments], stdout=subprocess.PIPE, cwd=Path(df.__file__).parents[1]
        )
        assert process.stdout is not None
        process.stdout.readline()
        begun = time.monotonic()
        meanwhile()
        try:
            process.wait(self._rng.uniform(0, self._longest))
            self._longest = min(self._longest, 1.5 * (time.monotonic() - begun))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            self.killed += 1
        process.wait()
        process.stdout.close()
