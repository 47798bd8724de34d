"""Ingest beside DuckDB's load into one sorted Parquet file: `python -m tests.benchmarks.ingest`.

The telemetry of a simulated fleet (late, repeated and missing reports) as several files, gzipped or not, in JSON lines
or CSV. Each round runs whole processes in turn: antfold with one core and with all, DuckDB with all. What the two
stored is compared before anything is timed.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import duckdb

import dataflow as df
from runtime import Store

_OURS = """
import sys
from runtime import Store
with Store(sys.argv[1], create=True) as store:
    store.ingest("s", *sys.argv[2:], key="device", time="ts", unit="ms", progress=False)
"""
_THEIRS = """
import sys, duckdb
read, target = sys.argv[1:]
duckdb.sql("set enable_progress_bar = false")
duckdb.sql(f"copy (from {read} order by device, ts) to '{target}' (format parquet, compression zstd)")
"""
_TYPES = "{device: 'VARCHAR', ts: 'BIGINT', status: 'VARCHAR', temp: 'DOUBLE', firmware: 'VARCHAR'}"


def write_files(folder: Path, devices: int, days: int, files: int, form: str, packed: bool) -> list[str]:
    """The fleet's telemetry in so many files of about the same size."""
    fleet = folder / "fleet"
    command = (
        sys.executable,
        "-m",
        "deploy",
        "simulate",
        "--devices",
        str(devices),
        "--days",
        str(days),
        "--seed",
        "3",
    )
    subprocess.run([*command, str(fleet)], stdout=subprocess.PIPE, check=True)
    found = sorted(fleet.glob("*.gz"))
    paths = [folder / f"points-{i}.{form}{'.gz' if packed else ''}" for i in range(files)]
    for i, path in enumerate(paths):
        with gzip.open(path, "wb") if packed else path.open("wb") as out:
            if form == "csv":
                out.write(b"device,ts,status,temp,firmware\n")
            for part in found[i * len(found) // files : (i + 1) * len(found) // files]:
                with gzip.open(part) as lines:
                    if form == "csv":
                        out.writelines(_as_csv(lines))
                    else:
                        shutil.copyfileobj(lines, out)
    shutil.rmtree(fleet)
    return [str(path) for path in paths]


def _as_csv(lines: Iterator[bytes]) -> Iterator[bytes]:
    for line in lines:
        r = json.loads(line)
        temp = "" if r.get("temp") is None else r["temp"]
        yield f"{r['device']},{r['ts']},{r.get('status') or ''},{temp},{r.get('firmware') or ''}\n".encode()


def their_read(paths: Sequence[str], form: str) -> str:
    """DuckDB's expression that reads the files, with declared types."""
    if form == "csv":
        return f"read_csv({list(paths)}, columns = {_TYPES})"
    return f"read_json({list(paths)}, format = 'newline_delimited', columns = {_TYPES})"


def seconds(script: str, *arguments: str, cores: int) -> float:
    """The wall time of a process on so many cores."""
    mine = sorted(os.sched_getaffinity(0))[:cores]
    started = time.perf_counter()
    command = (sys.executable, "-c", f"import os; os.sched_setaffinity(0, {mine}){script}", *arguments)
    subprocess.run(command, check=True)
    return time.perf_counter() - started


def check_same(store: Path, parquet: Path) -> int:
    """Assert that both hold the same points; how many there are."""
    device, temp = df.col("device"), df.col("temp")
    metric = df.stream("s").agg(n=df.count(), devices=df.count_distinct(device), t=df.count(temp), warm=df.sum(temp))
    with Store(store) as opened:
        ((n, devices, t, warm),) = opened.query(metric, progress=False)
    sql = f"select count(*), count(distinct device), count(temp), fsum(temp) from read_parquet('{parquet}')"
    theirs = duckdb.sql(sql).fetchall()[0]
    if (n, devices, t) != theirs[:3] or abs(warm - theirs[3]) > 1e-9 * abs(warm):
        raise SystemExit(f"the two differ: {(n, devices, t, warm)} and {theirs}")
    return int(n)


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.ingest", description=__doc__)
    parser.add_argument("--devices", type=int, default=1500, help="of the fleet (1500)")
    parser.add_argument("--days", type=int, default=7, help="of telemetry (7)")
    parser.add_argument("--files", type=int, default=7, help="in which it lies (7)")
    parser.add_argument("--form", choices=("ndjson", "csv"), default="ndjson", help="of the files")
    parser.add_argument("--plain", action="store_true", help="not gzipped")
    parser.add_argument("--runs", type=int, default=3, help="rounds (3)")
    parser.add_argument("--work", type=Path, help="folder for the data (default: the system's)")
    options = parser.parse_args(arguments)
    all_cores = len(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory(dir=options.work) as temporary:
        folder = Path(temporary)
        paths = write_files(folder, options.devices, options.days, options.files, options.form, not options.plain)
        read = their_read(paths, options.form)
        ways = {
            "antfold, 1 core": lambda to: seconds(_OURS, str(to), *paths, cores=1),
            f"antfold, {all_cores} cores": lambda to: seconds(_OURS, str(to), *paths, cores=all_cores),
            f"DuckDB, {all_cores} cores": lambda to: seconds(_THEIRS, read, str(to), cores=all_cores),
        }
        rounds: list[list[float]] = []
        for number in range(options.runs + 1):  # the first compiles, and is compared
            row = []
            for at, way in enumerate(ways.values()):
                target = folder / f"{number}-{at}"
                row.append(way(target))
            if number:
                rounds.append(row)
                print("  ".join(f"{name} {s:.2f} s" for name, s in zip(ways, row, strict=True)), flush=True)
            else:
                n = check_same(folder / "0-1", folder / "0-2")
                print(
                    f"{n:,} points in {len(paths)} files of {sum(map(os.path.getsize, paths)) / 1e6:,.0f} MB",
                    flush=True,
                )
            for at in range(len(ways)):
                target = folder / f"{number}-{at}"
                shutil.rmtree(target) if target.is_dir() else target.unlink()
        print(f"all cores / one core: {statistics.median(r[0] / r[1] for r in rounds):.2f} x")
        print(f"DuckDB / antfold:     {statistics.median(r[2] / r[1] for r in rounds):.2f} x")
    return 0


if __name__ == "__main__":
    sys.exit(main())
