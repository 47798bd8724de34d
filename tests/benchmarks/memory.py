"""The most memory that a process has for large results and many groups: `python -m tests.benchmarks.memory`.

- `csv`, `json`, `parquet`: all rows of a store (5 columns), written to a file.
- `groups`: a set, a median and a histogram for each of very many keys; `groups in memory`: the same without a place on
  disk for groups.

Each runs in a process of its own, over the whole of a store that another one has made; what is measured is the largest
resident set of that process, Python and compiled kernels included. The kernels are compiled before, by the same over a
small store, so that the compiler's memory does not count.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

import dataflow as df
from runtime import Result, Store
from runtime.query.merge import spilling
from tests.runtime.ingest.memory import peak

BARS = {"csv": 600, "json": 600, "parquet": 600, "groups": 1000}
"""Megabytes, of results that are written and of groups."""

PIECE = 500_000
"""Rows of an ingest."""

FIRST = 1_709_251_200
STREAM = df.stream("s")
ROWS = STREAM.select("device", "status", "temp", "boots", time=df.time())
GROUPS = STREAM.group_by("boots").agg(
    states=df.count_distinct("status"), median=df.median("temp"), spread=df.histogram("temp", width=5)
)


def _written(result: Result, form: str, path: Path) -> None:
    write: dict[str, Callable[[Path], object]] = {
        "csv": result.to_csv, "json": result.to_json, "parquet": result.to_parquet,
    }  # fmt: skip
    write[form](path)


def _rows(form: str) -> Callable[[Store, Path], int]:
    def run(store: Store, out: Path) -> int:
        result = store.query(ROWS, workers=2, progress=False)
        _written(result, form, out)
        return len(result)

    return run


def _grouped(store: Store, out: Path) -> int:
    return len(store.query(GROUPS, workers=2, progress=False))


def _grouped_in_memory(store: Store, out: Path) -> int:
    spilling.MOST = 1 << 62
    return _grouped(store, out)


CASES: dict[str, Callable[[Store, Path], int]] = {
    "csv": _rows("csv"),
    "json": _rows("json"),
    "parquet": _rows("parquet"),
    "groups": _grouped,
    "groups in memory": _grouped_in_memory,
}


@dataclass(frozen=True, slots=True)
class Peak:
    """The most memory of a case in megabytes, its rows in the result, and its seconds by the clock."""

    case: str
    megabytes: float
    rows: int
    seconds: float

    @property
    def missed(self) -> bool:
        """Whether it is above its bar, if there is one for it."""
        return self.megabytes > BARS.get(self.case, float("inf"))


def store_of(folder: Path, rows: int, groups: int) -> Store:
    """A store of so many rows of 10,000 devices, of which ``boots`` has ``groups`` values."""
    store = Store(folder, create=True)
    for first in range(0, rows, PIECE):
        n = np.arange(first, min(first + PIECE, rows))
        rng = np.random.default_rng(first)
        table = {
            "device": np.char.add("device-", (n % 10_000).astype(str)),
            "ts": (FIRST + n // 100) * 1_000_000 + n % 100,
            "status": np.array(["up", "up", "degraded", "down"])[rng.integers(0, 4, len(n))],
            "temp": np.round(rng.normal(20, 5, len(n)), 1) + 0.0,
            "boots": n * 7919 % groups,
        }
        store.ingest("s", table, key="device", time="ts", unit="us", progress=False, compact=False)
    return store


def measured(case: str, store: Path, out: Path) -> Peak:
    """A case, in a process of its own."""
    command = [sys.executable, "-m", __spec__.name, "--one", case, str(store), str(out)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ))
    if done.returncode:
        raise RuntimeError(f"{case}: {done.stderr[-2_000:]}")
    return Peak(**json.loads(done.stdout))


def one(case: str, store: str, out: str) -> Peak:
    """A case, in this process."""
    begin = time.perf_counter()
    with Store(store) as opened:
        rows = CASES[case](opened, Path(out))
    return Peak(case, round(peak() / 1e6, 1), rows, round(time.perf_counter() - begin, 2))


def peaks(folder: Path, rows: int, groups: int, cases: Sequence[str]) -> Iterator[Peak]:
    """Every case, one after the other."""
    small, large = folder / "small", folder / "large"
    store_of(small, 1_000, 10).close()
    store_of(large, rows, groups).close()
    for case in cases:
        for store in (small, large):
            found = measured(case, store, folder / "out")
        yield found


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 1 if a bar was missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("cases", nargs="*", metavar="CASE", help=f"{', '.join(CASES)} (default: all)")
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--groups", type=int, default=1_000_000)
    parser.add_argument("--work", type=Path, help="where the stores are made (the system's temporary folder)")
    parser.add_argument("--report", type=Path, help="write JSON here, too")
    parser.add_argument("--one", nargs=3, metavar=("CASE", "STORE", "OUT"), help=argparse.SUPPRESS)
    a = parser.parse_args(arguments)
    if a.one is not None:
        print(json.dumps(asdict(one(*a.one))))
        return 0
    with tempfile.TemporaryDirectory(dir=a.work) as folder:
        found = []
        for p in peaks(Path(folder), a.rows, a.groups, a.cases or list(CASES)):
            found.append(p)
            print(f"{p.case:20}{p.megabytes:8.0f} MB{p.rows:12,} rows{p.seconds:8.1f} s", flush=True)
    if a.report is not None:
        a.report.write_text(json.dumps([asdict(p) for p in found], indent=1))
    return int(any(p.missed for p in found))


if __name__ == "__main__":
    sys.exit(main())
