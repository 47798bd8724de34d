"""An answer that is followed while a fleet reports: `python -m tests.benchmarks.live`.

One process ingests what a fleet reports, a batch a second, with late points; another follows a metric. Measured are the
seconds from a commit to the change that has it, and the CPU and memory of both. At the end the followed answer must be
that of a query, to the digest.
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
from pathlib import Path

import numpy as np
import pyarrow as pa

import dataflow as df
from runtime import Store

POINTS = df.stream("s")
METRICS = {
    "uptime": POINTS.state_duration("status", hold="5m")
    .group_by("firmware")
    .agg(uptime=df.share_of_time(df.col("status") == "up"), known=df.known_time()),
    "means": POINTS.group_by("firmware", minute=df.time().truncate("1m")).agg(n=df.count(), mean=df.mean("temp")),
}
_SECOND = 1_000_000


def batch(rng: np.random.Generator, devices: int, rows: int, now: int, late: float) -> pa.Table:
    """What ``rows`` drawn devices reported within the second before ``now`` (microseconds), some up to an hour late."""
    device = rng.integers(0, devices, rows)
    times = now - rng.integers(0, _SECOND, rows)
    times -= np.where(rng.random(rows) < late, rng.integers(0, 3600 * _SECOND, rows), 0)
    names = pa.array(np.char.add("d", device.astype(str)))
    return pa.table(
        {
            "device": names,
            "ts": pa.array(times, pa.timestamp("us", "UTC")),
            "status": pa.array(np.where(rng.random(rows) < 0.95, "up", "down")),
            "temp": pa.array(np.round(rng.normal(20, 3, rows), 1)),
            "firmware": pa.array(np.char.add("1.", (device % 12).astype(str))),
        }
    )


def write(store: Path, devices: int, rate: int, seconds: float, late: float) -> None:
    """Ingest a batch a second, or as many as fit; print what it took as JSON."""
    rng, begun, number = np.random.default_rng(1), time.time(), 0
    cpu = time.process_time()
    with Store(store) as opened:
        while (now := time.time()) < begun + seconds:
            points = batch(rng, devices, rate, int(now * _SECOND), late)
            opened.ingest("s", points, key="device", time="ts", progress=False)
            number += 1
            time.sleep(max(0.0, begun + number - time.time()))
    took = time.time() - begun
    print(json.dumps({"batches": number, "seconds": took, "cpu": time.process_time() - cpu, "rss": _rss()}))


def follow(store: Path, metric: str) -> None:
    """Follow the metric until nothing comes for five seconds; print delays and cost as JSON."""
    delays: list[float] = []
    memory: list[float] = []
    cpu, begun, last = 0.0, 0.0, 0
    with Store(store) as opened:
        at = {record.seq: record.at for record in opened.catalogue.records("s")}
        for change in opened.follow(METRICS[metric], every="100ms", until_idle="5s"):
            if change.more:
                continue
            now, seq = time.time(), change.snapshot
            assert isinstance(seq, int)
            at.update((r.seq, r.at) for r in opened.catalogue.records("s", last))
            if not last:  # the first answer is not timed: it reads what there was
                cpu, begun = time.process_time(), now
                print("ready", flush=True)
            else:
                delays += [now - at[n] / _SECOND for n in range(last + 1, seq + 1) if n in at]
            last, proof = seq, change.proof
            memory.append(_memory())
        took, spent = time.time() - begun - 5, time.process_time() - cpu
        same = opened.query(METRICS[metric], progress=False).proof.to_dict()["result"]
    cost = {"cpu": spent, "seconds": took, "rss": max(memory), "equal": same == proof}
    print(json.dumps({"delays": delays, "memory": memory, **cost}), flush=True)


def _memory() -> float:
    """Megabytes of this process in memory now; where the system does not say that, the most so far."""
    statm = Path("/proc/self/statm")
    return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6 if statm.exists() else _rss()


def _rss() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.live", description=__doc__)
    parser.add_argument("--devices", type=int, default=1_000_000, help="of the fleet (1,000,000)")
    parser.add_argument("--rate", type=int, default=17_000, help="points a second (17,000)")
    parser.add_argument("--seconds", type=float, default=600, help="for which it reports (600)")
    parser.add_argument("--late", type=float, default=0.01, help="share of points up to an hour late (0.01)")
    parser.add_argument("--metric", choices=METRICS, default="uptime", help="that is followed")
    parser.add_argument("--work", type=Path, help="folder for the store (default: the system's)")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(dir=options.work) as folder:
        store = Path(folder) / "store"
        rng, before = np.random.default_rng(0), int(time.time() * _SECOND) - 60 * _SECOND
        with Store(store, create=True) as opened:  # every device has reported once, within the minute before
            first = batch(rng, options.devices, options.devices, before, 0.0)
            opened.ingest("s", first, key="device", time="ts", progress=False)
        code = "from pathlib import Path; from tests.benchmarks import live; "
        run = [sys.executable, "-c"]
        follower = subprocess.Popen(
            [*run, f"{code}live.follow(Path({str(store)!r}), {options.metric!r})"], stdout=subprocess.PIPE, text=True
        )
        assert follower.stdout is not None
        assert follower.stdout.readline() == "ready\n"
        call = f"live.write(Path({str(store)!r}), {options.devices}, {options.rate}, {options.seconds}, {options.late})"
        written = json.loads(subprocess.run([*run, code + call], stdout=subprocess.PIPE, check=True).stdout)
        found = json.loads(follower.communicate()[0])
    delays, cores = found["delays"], os.cpu_count()
    longest = max(delays, default=0.0)
    cuts = statistics.quantiles(delays, n=100, method="inclusive") if len(delays) > 1 else [0.0] * 99
    print(
        f"{options.metric}: {options.devices:,} devices, {written['batches'] * options.rate / written['seconds']:,.0f} "
        f"points a second for {written['seconds']:.0f} s in {written['batches']} commits, {options.late:.0%} late"
    )
    print(f"from commit to change: median {cuts[49]:.2f} s, 99 % within {cuts[98]:.2f} s, at most {longest:.2f} s")
    for name, cost in (("follower", found), ("ingest", written)):
        share = cost["cpu"] / cost["seconds"] / (cores or 1)
        print(f"{name}: {cost['cpu']:.1f} s of CPU ({share:.0%} of {cores} cores), {cost['rss']:.0f} MB")
    memory = found["memory"]
    at = [memory[len(memory) * n // 6] for n in range(1, 6)] + memory[-1:]
    print(f"the follower's memory after each sixth of its looks: {', '.join(f'{mb:.0f}' for mb in at)} MB")
    print("the answer is that of a query" if found["equal"] else "THE ANSWER IS NOT THAT OF A QUERY")
    return 0 if found["equal"] and cuts[98] <= 2 else 1


if __name__ == "__main__":
    sys.exit(main())
