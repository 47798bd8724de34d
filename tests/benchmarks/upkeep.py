"""What a store costs that nothing has compacted yet, and what it costs afterwards: `python -m tests.benchmarks.upkeep`.

- `small-files`: many files of few rows; before and after a compaction, beside the same rows ingested at once.
- `late-fleet`: a simulated fleet with late points, as its files were ingested, beside the same rows in order.
- `catalogue`: the plan of one day in a catalogue of very many files, whose entries are made up.

Compared is the CPU of the process, as the least of some runs. All answers must agree, or the run stops.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import dataflow as df
from dataflow.language.stream import Stream
from deploy.simulator.devices import DeviceFleet
from deploy.simulator.telemetry_files import write_fleet
from operators.types import Type
from runtime import Store
from runtime.catalogue import DAY, FileEntry, SourceEntry, SqliteCatalogue, StreamSchema, file_path, new_attempt

FIRST = 19_000
A_DAY = 1_000
"""Files of a day, and of a commit, in the catalogue."""

_points = df.stream("telemetry")
SMALL = {"small files": df.stream("s").group_by("status").agg(n=df.count(), total=df.sum("temp"))}
UNORDERED: dict[str, Stream] = {
    "quantile by status": _points.group_by("status").agg(q=df.quantile("temp", 0.95)),
    "distinct devices by status": _points.group_by("status").agg(n=df.count_distinct("device")),
    "approximate distinct": _points.group_by("status").agg(n=df.approx_distinct("device")),
    "mean, count, max by device": _points.group_by("device").agg(
        mean=df.mean("temp"), n=df.count(), most=df.max("temp")
    ),
    "mean by hour": _points.group_by(hour=df.time().truncate("1h")).agg(mean=df.mean("temp")),
    "mean by device and hour": _points.group_by("device", hour=df.time().truncate("1h")).agg(mean=df.mean("temp")),
    "temp > 20: mean and count by status": _points.filter(df.col("temp") > 20)
    .group_by("status")
    .agg(mean=df.mean("temp"), n=df.count()),
}
ORDERED: dict[str, Stream] = {
    "up-time by firmware": _points.state_duration(df.col("status") == "up", hold="5m", name="up")
    .group_by("firmware")
    .agg(up=df.share_of_time(df.col("up"))),
    "last by device": _points.group_by("device").agg(last=df.last("temp")),
    "sessions by device": _points.sessionize("10m", n=df.count()).group_by("device").agg(sessions=df.count()),
}
"""In these, the order of points matters."""

Figures = list[dict[str, object]]


def compared(stores: Mapping[str, Store], metrics: Mapping[str, Stream], runs: int) -> Figures:
    """CPU seconds of each metric in each store, by name of the store; the stores take turns."""
    out: Figures = []
    for name, metric in metrics.items():
        least, answers = dict.fromkeys(stores, float("inf")), set()
        for _ in range(runs + 1):  # the first run compiles
            for where, store in stores.items():
                begin = time.process_time()
                answers.add(store.query(metric, workers=2, progress=False).proof.result)
                least[where] = min(least[where], time.process_time() - begin)
        if len(answers) > 1:
            raise AssertionError(f"{name}: the answers differ")
        out.append({"question": name, **least})
    return out


def exported(store: Store, stream: str, to: Path, key: str, ts: str) -> Store:
    """A store with the same points, ingested at once and in order."""
    file = to / "all.parquet"
    store.export(stream, file, progress=False)
    once = Store(to / "once", create=True)
    once.ingest(stream, file, key=key, time=ts, progress=False, compact=False)
    return once


def size(store: Store, stream: str) -> dict[str, object]:
    """Files and bytes of a stream."""
    files = store.files(stream)
    return {"files": len(files), "bytes": sum(file.bytes for file in files)}


def small_files(folder: Path, a: argparse.Namespace) -> Figures:
    """See the module."""
    (folder / "in").mkdir()
    paths, rows = [], 20
    for number in range(a.files):
        lines = [
            {"device": f"d{(number + n) % 500}", "ts": (FIRST * DAY + (number * rows + n) * 3_000_000) // 1000,
             "status": ["up", "down", "idle"][(number + n) % 3], "temp": (number * 7 + n) % 300 / 10}
            for n in range(rows)
        ]  # fmt: skip
        paths.append(folder / "in" / f"{number:06d}.ndjson")
        paths[-1].write_text("".join(json.dumps(line) + "\n" for line in lines))
    small, out = Store(folder / "small", create=True), []
    small.ingest("s", *paths, key="device", time="ts", unit="ms", progress=False, compact=False)
    once = exported(small, "s", folder, "device", "ts")
    before = compared({"as ingested": small, "at once": once}, SMALL, a.runs)
    out.append({**before[0], "small": size(small, "s"), "once": size(once, "s")})
    small.compact("s", progress=False)
    after = compared({"compacted": small, "at once": once}, SMALL, a.runs)
    out.append({**after[0], "small": size(small, "s"), "once": size(once, "s")})
    return out


def collected(files: Sequence[Path], number: int, folder: Path) -> Sequence[Path]:
    """The gzipped files as so many, of about as many each; 0: as they are."""
    if not number:
        return files
    out = []
    for i in range(number):
        out.append(folder / f"collected-{i}.ndjson.gz")
        out[-1].write_bytes(
            b"".join(f.read_bytes() for f in files[i * len(files) // number : (i + 1) * len(files) // number])
        )
    return out


def late_fleet(folder: Path, a: argparse.Namespace) -> Figures:
    """See the module."""
    write_fleet(DeviceFleet(a.devices, 7, 3), folder / "fleet", lambda *_: None)
    late = Store(folder / "late", create=True)
    files = collected(sorted((folder / "fleet").glob("*.ndjson.gz")), a.sources, folder)
    late.ingest("telemetry", *files, key="device", time="ts", unit="ms", progress=False, compact=False)
    once = exported(late, "telemetry", folder, "device", "ts")
    found = compared({"as ingested": late, "in order": once}, {**UNORDERED, **ORDERED}, a.runs)
    found.append({"late": {**size(late, "telemetry"), "sources": len(files)}, "once": size(once, "telemetry")})
    return found


def catalogue(folder: Path, a: argparse.Namespace) -> Figures:
    """See the module."""
    schema = StreamSchema("k", Type.STRING, "t", {"v": Type.FLOAT}, "keep", None, None, None, {}, 0)
    with SqliteCatalogue(folder / "catalogue.sqlite") as made:
        for number in range(a.entries // A_DAY):
            attempt, day = new_attempt(), FIRST + number
            entries = [
                FileEntry(
                    file_path("s", day, attempt, n), day, 20, 500, day * DAY + n * 80_000_000,
                    day * DAY + n * 80_000_000 + 1_000, hashlib.sha256(f"{number} {n}".encode()).hexdigest(), 3,
                    nulls={"v": 0}, footer="0" * 32,
                )
                for n in range(A_DAY)
            ]  # fmt: skip
            source = SourceEntry(hashlib.sha256(str(number).encode()).hexdigest(), str(number), 1)
            made.commit("s", schema, source, entries, attempt)
        day, found = FIRST + a.entries // A_DAY // 2, []
        for _ in range(a.runs):
            begin = time.perf_counter()
            files = len(made.snapshot("s", day * DAY, (day + 1) * DAY).files)
            found.append(time.perf_counter() - begin)
    return [{"question": "plan of one day", "seconds": min(found), "files": files, "of": a.entries}]


PARTS: dict[str, Callable[[Path, argparse.Namespace], Figures]] = {
    "small-files": small_files,
    "late-fleet": late_fleet,
    "catalogue": catalogue,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)} (default: all)")
    parser.add_argument("--files", type=int, default=20_000, help="of small-files, of 20 rows each (20000)")
    parser.add_argument("--devices", type=int, default=700, help="of late-fleet, for 7 days (700)")
    parser.add_argument("--sources", type=int, default=0, help="of late-fleet: its files as so many (0: as they are)")
    parser.add_argument("--entries", type=int, default=1_000_000, help="of catalogue (1000000)")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--work", type=Path, help="where the stores are made (the system's temporary folder)")
    a = parser.parse_args(arguments)
    for part in a.parts or PARTS:
        with tempfile.TemporaryDirectory(dir=a.work) as folder:
            for figures in PARTS[part](Path(folder), a):
                print(part, json.dumps(figures), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
