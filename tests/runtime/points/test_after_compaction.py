"""Points are the same before and after a compaction: exports byte by byte, the first ones, descriptions."""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runtime import Store
from runtime.catalogue.items.entries import DAY, SEQ
from runtime.points import point_scan
from tests.runtime.compacted import Row, compacted
from tests.runtime.published.histories import POLICIES, START, points

RULES: list[Callable[[Row], Any]] = [lambda row: 0, lambda row: row[0], lambda row: row[1] // DAY]


def seen(store: Store, rng: random.Random) -> list[Any]:
    """What a user sees of the points."""
    out: list[Any] = []
    since = rng.choice([None, START + 2 * DAY + 7])
    until = rng.choice([None, START + 5 * DAY - 3])
    for range_ in ((None, None, None), (since, until, None), (None, until, "d2")):
        text = io.BytesIO()
        report = store.export("s", text, *range_, format="csv", progress=False)
        out += [text.getvalue(), report.rows, report.columns]
        if range_[0] is None and range_[1] is None:
            out.append(report.merged)
    out.append(store.head("s", 7).to_dict()["rows"])
    out.append(store.head("s", 5, since=START + 3 * DAY).to_dict()["rows"])
    out.append(store.head("s", 5, key="d1").to_dict()["rows"])
    summary = store.describe("s").to_dict()
    out.append([summary[name] for name in ("rows", "listed", "whole", "columns")])
    (stream,) = store.streams()
    return [*out, stream.rows, stream.first_time, stream.last_time, stream.schema]


@pytest.mark.parametrize("seed", [*range(5), *(pytest.param(n, marks=pytest.mark.nightly) for n in range(5, 10))])
def test_points_are_as_before(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    duplicates, id = POLICIES[seed % len(POLICIES)]
    with Store(tmp_path / "store", create=True) as store:
        for number in range(8):
            store.ingest(
                "s", points(rng, number), key="device", time="ts", unit="us", duplicates=duplicates, id=id,
                progress=False,
            )  # fmt: skip
        for _ in range(3):
            before = seen(store, random.Random(seed))
            files = list(store.files("s"))
            chosen = files if rng.random() < 0.4 else rng.sample(files, rng.randrange(1, len(files) + 1))
            compacted(store, chosen, rng.choice(RULES))
            assert seen(store, random.Random(seed)) == before
            assert SEQ.encode() not in before[0]
            report = store.verify()
            assert report.ok, report.problems


def test_small_shards_and_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Store(tmp_path / "store", create=True) as store:
        rng = random.Random(3)
        for number in range(6):
            store.ingest("s", points(rng, number), key="device", time="ts", unit="us", progress=False)
        before = seen(store, random.Random(3))
        compacted(store, list(store.files("s")))
        for name, value in (("BATCH_CELLS", 12), ("SHARD_CELLS", 20), ("LEAST_ROWS", 2)):
            monkeypatch.setattr(point_scan, name, value)
        assert seen(store, random.Random(3)) == before


def test_a_sample_of_files_of_several_days_is_spread(tmp_path: Path) -> None:
    with Store(tmp_path / "store", create=True) as store:
        for begin in (0, 10, 20, 30):
            rows = [(f"d{k}", START + (begin + d) * DAY + k, begin) for d in range(8) for k in range(40)]
            names = ("device", "ts", "of")
            table = {name: [row[i] for row in rows] for i, name in enumerate(names)}
            store.ingest("s", table, key="device", time="ts", unit="us", progress=False)
        files = list(store.files("s"))
        for begin in (0, 10, 20, 30):
            compacted(store, [f for f in files if begin <= f.day - START // DAY < begin + 10])
        assert len(list(store.files("s"))) == 4
        summary = store.describe("s", rows=320)
        assert (summary.whole, summary.days, summary.all_days) == (False, 32, 32)
        assert summary.rows == 320
        of = next(c for c in summary.columns if c.name == "of")
        assert of.distinct == 4
