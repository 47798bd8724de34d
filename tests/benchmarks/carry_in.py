"""What the past costs a query for the last of many days: `python -m tests.benchmarks.carry_in`.

Metrics that need what was reported before the range are asked for the last day of a stream of many days, ingested day
by day, and of one that has only that day, of which each key's first row reports every column. Compared is the CPU of
the process, in the second run and later, as the least of some runs: other processes share the caches of this machine.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

import dataflow as df
from dataflow.language.stream import Stream
from runtime import Result, Store
from runtime.query.carry import carrying

DAY = 86_400_000_000
FIRST = 19_700
BAR = 2.0
"""Times the work of that day alone."""

_points = df.stream("s")
_up = df.col("status") == "up"


def _state(hold: str | None) -> Stream:
    return _points.state_duration("status", hold=hold).group_by("firmware").agg(
        up=df.share_of_time(_up), unknown=df.unknown_time(), devices=df.count_distinct("device")
    )  # fmt: skip


METRICS: dict[str, Stream] = {
    "up-time by firmware, held for ever": _state(None),
    "up-time by firmware, held for 5 minutes": _state("5m"),
    "heartbeat of 5 minutes": _points.heartbeat("5m").group_by("device").agg(alive=df.duration(df.col("alive"))),
    "alive and up": (_points.heartbeat("5m") & _points.state_duration(_up, hold="5m"))
    .group_by("device")
    .agg(up=df.share_of_time(df.col("state"))),
    "repairs": _points.state_duration("status", hold="5m").group_by("device").agg(mttr=df.mttr(_up)),
    "mean by firmware": _points.held("firmware").group_by("firmware").agg(temp=df.mean("temp")),
    "growth of a counter": _points.group_by("device").agg(energy=df.increase("energy")),
}


@dataclass(frozen=True, slots=True)
class Cost:
    """CPU milliseconds of a metric over the last day.

    ``alone``: in a store of that day; ``first``: in the store of all days, with the snapshot that the run makes;
    ``later``: with it; ``start``: without snapshots. ``late``: the run after a late point of ten days ago, and ``once
    more`` the next. ``carried``: whether the later runs read a snapshot.
    """

    metric: str
    alone: float
    first: float
    later: float
    late: float
    once_more: float
    start: float
    carried: bool

    @property
    def ratio(self) -> float:
        """Times the work of the day alone."""
        return max(self.later, self.once_more) / self.alone


def day_of(number: int, rows: int, keys: int, everything: bool) -> dict[str, Any]:
    """The points of a day: a status that changes now and then, a firmware that few points report, a counter."""
    rng = np.random.default_rng(number)
    key = rng.integers(0, keys, rows)
    if everything:
        key[:keys] = np.arange(keys)
    at = (FIRST + number) * DAY + np.sort(rng.integers(0, DAY, rows))
    firmware = np.array(["1.4", "2.0", None], object)[np.where(rng.random(rows) < 0.01, rng.integers(0, 2, rows), 2)]
    if everything:
        firmware[:keys] = "2.0"
    return {
        "device": np.char.add("d", key.astype(str)),
        "ts": at,
        "status": np.array(["up", "up", "degraded", "down"])[rng.integers(0, 4, rows)],
        "firmware": firmware,
        "temp": np.round(rng.normal(20, 5, rows), 1) + 0.0,
        "energy": number * rows + np.arange(rows),
    }


def store_of(folder: Path, days: Sequence[int], rows: int, last: int, keys: int) -> Store:
    """A store into which these days were ingested, one after the other, the last one with so many rows."""
    store = Store(folder, create=True)
    for number in days:
        table = day_of(number, last if number == days[-1] else rows, keys, everything=number == days[0])
        store.ingest("s", table, key="device", time="ts", unit="us", progress=False)
    return store


def measured(store: Store, metric: Stream, day: int, runs: int, snapshots: bool = True) -> tuple[float, Result]:
    """The least CPU milliseconds of some runs of the metric over a day, and its answer."""
    least, carrying.LEAST = carrying.LEAST, carrying.LEAST if snapshots else 1 << 62
    try:
        found = []
        for _ in range(runs):
            begin = time.process_time()
            result = store.query(
                metric, since=(FIRST + day) * DAY, until=(FIRST + day + 1) * DAY, workers=1, progress=False
            )
            found.append((time.process_time() - begin) * 1000)
    finally:
        carrying.LEAST = least
    return min(found), result


def late_point(store: Store, day: int) -> None:
    """A point of ten days ago, so that the snapshots since then are of other rows."""
    at = (FIRST + day - 10) * DAY + 12 * 3_600_000_000 + time.time_ns() // 1000 % 1_000_000_000
    point = {"device": ["d1"], "ts": [at], "status": ["down"]}
    store.ingest("s", point, unit="us", progress=False, compact=False)


def costs(folder: Path, days: int, rows: int, last_rows: int, keys: int, runs: int) -> list[Cost]:
    """The cost of each metric; AssertionError if an answer depends on a snapshot."""
    last = days - 1
    alone = store_of(folder / "alone", [last], rows, last_rows, keys)
    all_days = store_of(folder / "all", range(days), rows, last_rows, keys)
    found = []
    for name, metric in METRICS.items():
        measured(alone, metric, last, 2)  # compiles
        one, _ = measured(alone, metric, last, runs)
        start, plain = measured(all_days, metric, last, 2, snapshots=False)
        first, _ = measured(all_days, metric, last, 1)
        later, result = measured(all_days, metric, last, runs)
        assert result.proof.result == plain.proof.result, name
        late_point(all_days, last)
        late, _ = measured(all_days, metric, last, 1)
        once_more, result = measured(all_days, metric, last, runs)
        assert result.proof.result == measured(all_days, metric, last, 1, snapshots=False)[1].proof.result, name
        found.append(Cost(name, one, first, later, late, once_more, start, result.proof.carried is not None))
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 1 if the bar was missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=int, default=400)
    parser.add_argument("--rows", type=int, default=50_000, help="points a day (50000)")
    parser.add_argument("--last", type=int, help="points of the last day (as of the others)")
    parser.add_argument("--keys", type=int, default=50)
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--work", type=Path, help="where the stores are made (the system's temporary folder)")
    parser.add_argument("--report", type=Path, help="write JSON here, too")
    a = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(dir=a.work) as folder:
        found = costs(Path(folder), a.days, a.rows, a.last or a.rows, a.keys, a.runs)
    print(f"{a.days:,} days of {a.rows:,} points of {a.keys:,} keys; CPU ms of the last day, of {a.last or a.rows:,}")
    print(f"{'':40}{'alone':>8}{'later':>8}{'ratio':>7}{'first':>9}{'late':>8}{'later':>8}{'start':>9}  snapshot")
    for c in found:
        print(
            f"{c.metric:40}{c.alone:8.1f}{c.later:8.1f}{c.ratio:7.2f}{c.first:9.1f}{c.late:8.1f}{c.once_more:8.1f}"
            f"{c.start:9.1f}  {'yes' if c.carried else 'no'}"
        )
    if a.report is not None:
        a.report.write_text(json.dumps([{**asdict(c), "ratio": c.ratio} for c in found], indent=1))
    return int(any(c.ratio > BAR for c in found))


if __name__ == "__main__":
    sys.exit(main())
