"""An ingest killed at any moment: the store opens, verifies, and the repeated ingest completes it, once."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np

import dataflow as df
from runtime import Store
from tests.runtime.killing import Killing

KILLS, LEAST = 10, 4
"""Processes that are begun, and how many of them are killed at least."""

ROWS = 3_000
DAY = 86_400_000_000

SCRIPT = """
import sys
from runtime import Store
print("ready", flush=True)
Store(sys.argv[1], create=True).ingest("s", sys.argv[2], key="device", time="ts", unit="us")
"""


def source(folder: Path, number: int) -> Path:
    rng = np.random.default_rng(number)
    path = folder / f"source-{number}.ndjson"
    times = 19_800 * DAY + rng.integers(0, 3 * DAY, ROWS)
    lines = [f'{{"device":"d{i % 7}","ts":{t},"n":{number}}}' for i, t in enumerate(times.tolist())]
    path.write_text("\n".join(lines))
    return path


def test_kill_at_random_moments(tmp_path: Path) -> None:
    store, killing = tmp_path / "store", Killing(random.Random(5), longest=0.5)
    number = 0
    # How many are killed depends on the machine's pace: until enough are.
    while number < KILLS or (killing.killed < LEAST and number < 20 * KILLS):
        killing.run(SCRIPT, str(store), str(source(tmp_path, number)))
        with Store(store, create=True) as opened:
            report = opened.verify()
            assert report.ok, str(report)
        number += 1
    assert killing.killed >= LEAST
    with Store(store, create=True) as opened:
        for n in range(number):
            opened.ingest("s", str(tmp_path / f"source-{n}.ndjson"), key="device", time="ts", unit="us")
        result = opened.query(df.stream("s").group_by("n").agg(rows=df.count()).sort("n"))
        assert [tuple(row) for row in result] == [(n, ROWS) for n in range(number)]
        assert opened.verify().ok
