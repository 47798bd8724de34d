"""A sweep killed at random moments, beside ingests: nothing that is needed goes, and the next one does the rest."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import dataflow as df
from runtime import Store
from runtime.catalogue import AttemptSwept
from runtime.upkeep.sweep_plan import SweepRules
from tests.runtime.upkeep.stores import ingest, listed, live, orphans, replaced

KILLS = 12
AT_ONCE = SweepRules(grace=0, orphan_age=0)
"""With these an ingest that runs beside a sweep is protected by its claim alone."""

SCRIPT = """
import sys
from runtime import Store
from tests.runtime.upkeep.test_sweep_kill import AT_ONCE
store = Store(sys.argv[1])
store.catalogue.streams()
print("ready", flush=True)
for _ in range(3):
    store.sweep(allow_many=True, rules=AT_ONCE)
"""


def test_kill_at_random_moments(tmp_path: Path) -> None:
    rng = random.Random(7)
    store = Store(tmp_path / "store", create=True)
    for number in range(3):
        ingest(store, number)
    killed = swept = 0
    longest = 0.4
    number = 3
    while killed < KILLS and number < 10 * KILLS:
        gone = store.files("s")[:2]
        replaced(store, gone)
        left = set(orphans(store, 8)) | {file.path for file in gone}
        process = subprocess.Popen(
            [sys.executable, "-c", SCRIPT, store.url], stdout=subprocess.PIPE, cwd=Path(df.__file__).parents[1]
        )
        assert process.stdout is not None
        process.stdout.readline()
        begun = time.monotonic()
        # It is swept from under itself until it is faster.
        while True:
            with suppress(AttemptSwept):
                ingest(store, number)
                break
        try:
            process.wait(rng.uniform(0, longest))
            longest = min(longest, 1.5 * (time.monotonic() - begun))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            killed += 1
        process.wait()
        process.stdout.close()
        swept += len(left - listed(store))
        report = store.verify()
        assert report.ok, str(report)
        assert live(store) <= listed(store)
        number += 1
    assert killed >= KILLS // 2
    assert swept
    rows = store.query(df.stream("s").group_by("v").agg(n=df.count()), progress=False)["n"]
    assert rows == [2] * number
    store.sweep(allow_many=True, rules=AT_ONCE)
    assert listed(store) == live(store)
