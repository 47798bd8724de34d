"""The answer of a followed metric beside that of a streaming peer: `python -m tests.benchmarks.live_peers`.

A fleet's batches are recorded once, late points included, and replayed as fast as possible: count and mean by firmware
and minute of event time. The expected rows are worked out by NumPy, in integers, from the recorded values.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from runtime import Store
from runtime.live import applied
from tests.benchmarks.live import METRICS, batch

_SECOND = 1_000_000
_FIRST = 1_709_251_200 * _SECOND  # 2024-03-01
Row = tuple[str, int, int, float]


def record(folder: Path, seconds: int, rate: int, devices: int, late: float) -> None:
    """Write a batch of each second as a Parquet file."""
    rng = np.random.default_rng(1)
    for number in range(seconds):
        points = batch(rng, devices, rate, _FIRST + (number + 1) * _SECOND, late)
        pq.write_table(points, folder / f"{number:06}.parquet")


def expected(folder: Path) -> list[Row]:
    """The rows by firmware and minute (since 1970), from sums of whole tenths."""
    table = pq.read_table(folder)
    firmware = table["firmware"].to_numpy(zero_copy_only=False).astype(str)
    minute = table["ts"].cast("int64").to_numpy() // (60 * _SECOND)
    tenths = np.rint(table["temp"].to_numpy() * 10).astype(np.int64)
    names, code = np.unique(firmware, return_inverse=True)
    groups, place = np.unique(code * 2**32 + minute, return_inverse=True)
    count, total = np.bincount(place), np.zeros(len(groups), np.int64)
    np.add.at(total, place, tenths)
    keys = zip(groups.tolist(), count.tolist(), total.tolist(), strict=True)
    return [(str(names[key >> 32]), key & (2**32 - 1), n, sums / 10 / n) for key, n, sums in keys]


def wrong(found: Sequence[Row], exact: Sequence[Row]) -> int:
    """How many rows are missing, too many or different: counts exactly, means to one part in 10**9."""
    times = Counter(row[:2] for row in found)
    rows = {row[:2]: row[2:] for row in found}
    bad = sum(number - 1 for number in times.values()) + len(rows.keys() - {row[:2] for row in exact})
    for *key, n, mean in exact:
        got = rows.get((str(key[0]), int(key[1])))
        bad += got is None or got[0] != n or abs(got[1] - mean) > 1e-9 * abs(mean)
    return bad


def ours(folder: Path, store: Path) -> None:
    """Ingest the batches and follow after each of them, in one process; print rows and cost as JSON."""
    begun, cpu = time.perf_counter(), time.process_time()
    rows: list[dict[str, object]] = []
    changes, panes = [], Counter[str]()
    with Store(store, create=True) as opened:
        files = iter(sorted(folder.glob("*.parquet")))
        opened.ingest("s", next(files), key="device", time="ts", progress=False)
        for change in opened.follow(METRICS["means"], every="1ms", lateness="10m", until_idle="1ms"):
            changes.append(change)
            panes[change.pane] += 1
            if change.more:
                continue
            rows, changes = applied(rows, changes), []
            if (file := next(files, None)) is not None:
                opened.ingest("s", file, key="device", time="ts", progress=False)
    found = [
        [row["firmware"], int(datetime.fromisoformat(str(row["minute"])).timestamp()) // 60, row["n"], row["mean"]]
        for row in rows
    ]
    cost = {"seconds": time.perf_counter() - begun, "cpu": time.process_time() - cpu, "late": panes["late"]}
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"rows": found, "rss": rss, **cost}))


def main(arguments: Sequence[str] | None = None) -> int:
    """Replay and print; 1 if an answer of antfold is wrong."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.live_peers", description=__doc__)
    parser.add_argument("--devices", type=int, default=1_000_000, help="of the fleet (1,000,000)")
    parser.add_argument("--rate", type=int, default=17_000, help="points of a batch, a second of event time (17,000)")
    parser.add_argument("--seconds", type=int, default=60, help="batches (60)")
    parser.add_argument("--late", type=float, default=0.01, help="share of points up to an hour late (0.01)")
    parser.add_argument("--lateness", type=float, default=600, help="seconds for which the peer waits (600)")
    parser.add_argument("--peer-python", help="a Python in whose environment `pip install bytewax pyarrow` was run")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as work:
        folder = Path(work) / "recorded"
        folder.mkdir()
        record(folder, options.seconds, options.rate, options.devices, options.late)
        exact, events = expected(folder), options.seconds * options.rate
        code = "import sys; from pathlib import Path; from tests.benchmarks import live_peers as p; "
        own = [sys.executable, "-c", code + "p.ours(Path(sys.argv[1]), Path(sys.argv[2]))"]
        runs = {"antfold": [*own, str(folder), str(Path(work) / "store")]}
        if options.peer_python:
            program = str(Path(__file__).with_name("live_bytewax.py"))
            runs["bytewax"] = [options.peer_python, program, str(folder), str(options.lateness)]
        else:
            print("bytewax is skipped: name an environment with `pip install bytewax pyarrow` by --peer-python")
        bad = {}
        for name, command in runs.items():
            got = json.loads(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout)
            bad[name] = wrong([(f, m, n, mean) for f, m, n, mean in got["rows"]], exact)
            print(
                f"{name}: {bad[name]} of {len(exact)} rows wrong; {events / got['seconds']:,.0f} events a second, "
                f"{events / got['cpu']:,.0f} a second of CPU ({got['cpu'] / got['seconds']:.2f} cores), "
                f"{got['rss']:.0f} MB; late: {got['late']}"
            )
    return 1 if bad["antfold"] else 0


if __name__ == "__main__":
    sys.exit(main())
