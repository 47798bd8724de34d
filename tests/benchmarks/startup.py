"""What a person waits for: `python -m tests.benchmarks.startup`.

Wall time of whole `dataflow query` processes on the demo's store: of a known shape (its kernel is in the cache) and of
shapes never seen before. The kernels' cache is a folder of this run's own, so nothing is known beforehand.
"""

from __future__ import annotations

import argparse
import json
import os
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
    """Seconds of wall time of one kind of process, one per run."""

    what: str
    seconds: tuple[float, ...]

    def __str__(self) -> str:
        ordered = sorted(self.seconds)
        return (
            f"{self.what}: median {statistics.median(ordered):.3f} s "
            f"({ordered[0]:.3f} to {ordered[-1]:.3f}, {len(ordered)} runs)"
        )


def measure(folder: Path, runs: int) -> list[Wait]:
    """Make the demo's store in `folder` and time processes on it."""
    environment = os.environ | {"NUMBA_CACHE_DIR": str(folder / "kernels"), "XDG_CACHE_HOME": str(folder / "cache")}
    store = folder / "store"
    shapes = folder / "shapes.py"
    lines = [f"new_{n} = points.agg(mean=df.mean({' + '.join(['temp'] * (n + 2))}))" for n in range(runs)]
    shapes.write_text(_NEW_SHAPES + "\n".join(lines) + "\n", encoding="utf-8")

    def process(*arguments: str) -> float:
        started = time.perf_counter()
        subprocess.run([sys.executable, *arguments], env=environment, stdout=subprocess.PIPE, check=True)
        return time.perf_counter() - started

    process("-m", "deploy", "demo", str(store))
    known = ("-m", "deploy", "query", str(store), f"{store / 'metrics.py'}:uptime", "--format", "json")
    first = process(*known)
    return [
        Wait("an empty interpreter", tuple(process("-c", "pass") for _ in range(runs))),
        Wait("import dataflow", tuple(process("-c", "import dataflow") for _ in range(runs))),
        Wait("import runtime", tuple(process("-c", "import runtime") for _ in range(runs))),
        Wait("dataflow query, the first one after the demo", (first,)),
        Wait("dataflow query, known shape", tuple(process(*known) for _ in range(runs))),
        Wait(
            "dataflow query, new shape",
            tuple(
                process("-m", "deploy", "query", str(store), f"{shapes}:new_{n}", "--format", "json")
                for n in range(runs)
            ),
        ),
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
