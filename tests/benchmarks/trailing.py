"""Trailing windows beside DuckDB's: `python -m tests.benchmarks.trailing`.

The same points in a store and in sorted Parquet. For each aggregate of the hour up to each point of a device, the
number of points where it is above a limit and the greatest one: in SQL a window with `RANGE`. The engines take turns in
rounds and are compared by the CPU seconds of this process, and by wall time.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

import dataflow as df
from runtime import Store
from tests.benchmarks.data import Shape, Telemetry, draw

BAR = 5.0
"""Times DuckDB's speed, of a sum."""

HOUR_MS = 3_600_000


@dataclass(frozen=True)
class Asked:
    """One aggregate: in the language, in SQL, and the limit; whether the answers are equal or near."""

    agg: df.Agg
    sql: str
    limit: float


ASKED = {
    "sum": Asked(df.sum("temp"), "sum(temp)", 1200.0),
    "mean": Asked(df.mean("temp"), "avg(temp)", 20.0),
    "count": Asked(df.count(), "count(*)", 59.0),
    "max": Asked(df.max("temp"), "max(temp)", 25.0),
    "median": Asked(df.median("temp"), "quantile_disc(temp, 0.5)", 20.0),
    "count_distinct": Asked(df.count_distinct("temp"), "count(DISTINCT temp)", 30.0),
}


@dataclass(frozen=True, slots=True)
class Timed:
    """CPU and wall seconds of each round, ours and DuckDB's."""

    name: str
    rows: int
    ours: tuple[tuple[float, float], ...]
    theirs: tuple[tuple[float, float], ...]

    def ratio(self, which: int) -> float:
        """DuckDB's time divided by ours, of CPU (0) or wall (1): the middle round."""
        return median(t[which] / o[which] for o, t in zip(self.ours, self.theirs, strict=True))

    def __str__(self) -> str:
        ours, theirs = (median(t[0] for t in times) / self.rows * 1e9 for times in (self.ours, self.theirs))
        return (
            f"{self.name}: {ours:.0f} ns of CPU a row, DuckDB {theirs:.0f}: {self.ratio(0):.1f} times its speed "
            f"({self.ratio(1):.1f} by wall time)"
        )


def timed(work: Callable[[], Any]) -> tuple[Any, tuple[float, float]]:
    """The answer, and the CPU and wall seconds."""
    wall, cpu = time.perf_counter(), time.process_time()
    found = work()
    return found, (time.process_time() - cpu, time.perf_counter() - wall)


def measure(telemetry: Telemetry, folder: Path, rounds: int, names: Sequence[str]) -> Iterator[Timed]:
    """Every aggregate, ours and DuckDB's in turns; the answers are compared."""
    store = Store(str(folder / "store"), create=True)
    store.ingest("telemetry", telemetry.to_arrow(), key="device", time="ts", unit="us", progress=False)
    path = folder / "telemetry.parquet"
    table = telemetry.to_arrow()
    # Milliseconds as integers: the fastest form there.
    millis = pa.array(telemetry.ts // 1_000)
    pq.write_table(table.set_column(table.column_names.index("ts"), "ts", millis), path, compression="zstd")
    db = duckdb.connect()
    for name in names:
        asked = ASKED[name]
        over = asked.agg.trailing("1h")
        metric = df.stream("telemetry").agg(n=df.count(where=over > asked.limit), most=df.max(over))
        sql = (
            f"SELECT count(*) FILTER (v > {asked.limit}), max(v) FROM (SELECT {asked.sql} OVER (PARTITION BY device "
            f"ORDER BY ts RANGE BETWEEN {HOUR_MS - 1} PRECEDING AND CURRENT ROW) AS v FROM '{path}')"
        )
        ours, theirs = [], []
        # The first round compiles.
        for turn in range(rounds + 1):
            mine, spent = timed(lambda metric=metric: store.query(metric))  # type: ignore[misc]
            other, spent_there = timed(lambda sql=sql: db.execute(sql).fetchone())  # type: ignore[misc]
            n, most = mine["n"][0], mine["most"][0]
            # DuckDB's sums are rounded at every addition: a few are on the other side of the limit.
            if abs(n - other[0]) > 1e-3 * telemetry.rows or abs(most - other[1]) > 1e-9 * abs(most):
                raise SystemExit(f"{name}: the answers differ: {(n, most)} and {other}")
            if turn:
                ours.append(spent)
                theirs.append(spent_there)
        yield Timed(name, telemetry.rows, tuple(ours), tuple(theirs))


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 1 where the bar is missed."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.trailing", description=__doc__)
    parser.add_argument("--points", type=int, default=10_000_000)
    parser.add_argument("--runs", type=int, default=3, help="rounds (default 3)")
    parser.add_argument("--only", choices=ASKED, action="append", help="just this aggregate; repeatable")
    parser.add_argument("--work", type=Path, help="folder for the data")
    parser.add_argument("--report", type=Path, help="write the figures as JSON to this file")
    options = parser.parse_args(arguments)
    found = []
    with tempfile.TemporaryDirectory(dir=options.work) as folder:
        for one in measure(draw(Shape(options.points)), Path(folder), options.runs, options.only or list(ASKED)):
            print(one, flush=True)
            found.append(one)
    if options.report:
        figures = [asdict(t) | {"ratio": t.ratio(0)} for t in found]
        options.report.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    return 1 if any(t.ratio(0) < BAR for t in found if t.name == "sum") else 0


if __name__ == "__main__":
    sys.exit(main())
