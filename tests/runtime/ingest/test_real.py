"""Row counts of the recorded data, and memory of a long stream."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from operators.types import Type
from tests.runtime.ingest import memory
from tests.runtime.ingest.lake import Lake

REPOSITORY = Path(__file__).resolve().parents[3]


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in gzip.decompress(path.read_bytes()).splitlines()]


def test_mesh(lake: Lake, shared_data: Path) -> None:
    report = lake.ingest(str(shared_data / "mesh-heartbeats-*.ndjson.gz"), key="node", time="ts", unit=None)
    assert (report.committed, report.rejected, len(report.sources)) == (553_480, 0, 4)
    assert lake.columns() == {"hw_model": Type.STRING, "snr": Type.FLOAT, "hops": Type.INT, "role": Type.STRING}
    files = lake.catalogue.snapshot("s").files
    assert sum(f.rows for f in files) == 553_480
    assert sum(f.rows - f.nulls.get("hw_model", f.rows) for f in files) == 553_480 - 12_455


def test_mesh_repeats_within_a_file(lake: Lake, shared_data: Path) -> None:
    path = shared_data / "mesh-heartbeats-1.ndjson.gz"
    report = lake.ingest(path, key="node", time="ts", unit="iso", duplicates="exact")
    records = read(path)
    distinct = {json.dumps(r, sort_keys=True) for r in records}
    assert report.committed == len(distinct)
    assert report.dropped == len(records) - len(distinct) > 0


def test_clicks(lake: Lake, shared_data: Path) -> None:
    path = shared_data / "clicks.ndjson.gz"
    report = lake.ingest(path, key="user_id", time="ts", unit="s")
    assert (report.committed, report.rejected) == (100_003, 0)
    found = [(r["k"], r["t"], r["session_id"], r["step"], r["city"]) for r in lake.rows()]
    assert (
        found
        == sorted(  # stable: of equal key and time, in the order of the file
            ((r["user_id"], r["ts"] * 10**6, r["session_id"], r["step"], r["city"]) for r in read(path)),
            key=lambda r: r[:2],
        )
    )


def test_retail(lake: Lake, shared_data: Path) -> None:
    path = shared_data / "retail.csv.gz"
    assert lake.ingest(path, key="invoice", time="ts", unit=None).committed == 541_909
    assert lake.columns()["quantity"] is Type.INT
    assert lake.columns()["unit_price"] is Type.FLOAT
    report = lake.ingest(path, key="customer", time="ts", unit=None, stream="customers")
    assert (report.committed, report.rejected) == (541_909 - 135_080, 135_080)
    report = lake.ingest(path, key="customer", time="ts", unit=None, missing_key="none", stream="all")
    assert (report.committed, report.rejected) == (541_909, 0)


@pytest.mark.skipif(sys.platform == "win32", reason="no getrusage")
def test_memory_does_not_grow_with_the_input(tmp_path: Path) -> None:
    peaks = []
    for rows in (150_000, 1_500_000):
        folder = tmp_path / str(rows)
        folder.mkdir()
        run = subprocess.run(
            [sys.executable, "-m", memory.__name__, str(folder), str(rows), "50000"],
            cwd=REPOSITORY,
            capture_output=True,
            check=True,
            text=True,
        )
        peaks.append(int(run.stdout))
    assert peaks[1] < peaks[0] + (40 << 20)
    assert peaks[1] < 500_000_000
