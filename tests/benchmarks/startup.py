"""Wall time of whole `dataflow query` processes on the demo's store: `python -m tests.benchmarks.startup`.

Once with the kernel in the cache, and with metrics never seen before. Each run has its own, empty kernel cache.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

# Structures that differ, not only their literals: the longer the sum, the newer the kernel.
_NEW_SHAPES = """import dataflow as df

points = df.stream("telemetry")
temp = df.col("temp")
"""


@dataclass(frozen=True, slots=True)
class Wait:
    """Seconds of one kind of process, one per run: by the clock, and of its own threads together."""

    what: str
    seconds: tuple[float, ...]
    cpu: tuple[float, ...]

    def __str__(self) -> str:
        ordered = sorted(self.seconds)
        return (
            f"{self.what}: median {statistics.median(ordered):.3f} s "
            f"({ordered[0]:.3f} to {ordered[-1]:.3f}, {len(ordered)} runs), CPU {statistics.median(self.cpu):.3f} s"
        )


def measure(folder: Path, runs: int) -> list[Wait]:
    """Make the demo's store in `folder` and time processes on it."""
    environment = os.environ | {"NUMBA_CACHE_DIR": str(folder / "kernels"), "XDG_CACHE_HOME": str(folder / "cache")}
    store = folder / "store"
    shapes = folder / "shapes.py"
    lines = [f"new_{n} = points.agg(mean=df.mean({' + '.join(['temp'] * (n + 2))}))" for n in range(runs)]
    shapes.write_text(_NEW_SHAPES + "\n".join(lines) + "\n", encoding="utf-8")

    def process(*arguments: str) -> tuple[float, float]:
        before, started = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
        subprocess.run([sys.executable, *arguments], env=environment, stdout=subprocess.PIPE, check=True)
        seconds, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
        return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    def wait(what: str, *commands: tuple[str, ...]) -> Wait:
        seconds, cpu = zip(*(process(*command) for command in commands), strict=True)
        return Wait(what, seconds, cpu)

    process("-m", "deploy", "demo", str(store))
    known = ("-m", "deploy", "query", str(store), f"{store / 'metrics.py'}:uptime", "--format", "json")
    new = [("-m", "deploy", "query", str(store), f"{shapes}:new_{n}", "--format", "json") for n in range(runs)]
    return [
        wait("an empty interpreter", *[("-c", "pass")] * runs),
        wait("import dataflow", *[("-c", "import dataflow")] * runs),
        wait("import runtime", *[("-c", "import runtime")] * runs),
        wait("dataflow query, the first one after the demo", known),
        wait("dataflow query, known shape", *[known] * runs),
        wait("dataflow query, new shape", *new),
    ]


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, and write the report."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.startup", description=__doc__)
    parser.add_argument("--runs", type=int, default=7, help="processes of each kind (default 7)")
    parser.add_argument("--report", type=Path, help="write the report as JSON to this file")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="antfold-startup-") as folder:
        waits = measure(Path(folder), options.runs)
    for wait in waits:
        print(wait)
    if options.report:
        options.report.write_text(json.dumps([asdict(wait) for wait in waits], indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
