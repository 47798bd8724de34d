"""A sweep killed at random moments, beside ingests: nothing that is needed goes, and the next one does the rest."""

from __future__ import annotations

import random
from contextlib import suppress
from pathlib import Path

import dataflow as df
from runtime import Store
from runtime.catalogue import AttemptSwept
from runtime.upkeep.sweep_plan import SweepRules
from tests.runtime.killing import Killing
from tests.runtime.upkeep.stores import ingest, listed, live, orphans, replaced

KILLS = 6
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
    killing = Killing(random.Random(7), longest=0.4)
    store = Store(tmp_path / "store", create=True)
    for number in range(3):
        ingest(store, number)
    swept, number = 0, 3

    def ingested() -> None:
        """It is swept from under itself until it is faster."""
        while True:
            with suppress(AttemptSwept):
                ingest(store, number)
                return

    while (killing.killed < KILLS or not swept) and number < 10 * KILLS:
        gone = store.files("s")[:2]
        replaced(store, gone)
        left = set(orphans(store, 8)) | {file.path for file in gone}
        killing.run(SCRIPT, store.url, meanwhile=ingested)
        swept += len(left - listed(store))
        report = store.verify()
        assert report.ok, str(report)
        assert live(store) <= listed(store)
        number += 1
    assert killing.killed >= KILLS // 2
    assert swept
    rows = store.query(df.stream("s").group_by("v").agg(n=df.count()), progress=False)["n"]
    assert rows == [2] * number
    store.sweep(allow_many=True, rules=AT_ONCE)
    assert listed(store) == live(store)
