"""Drill-down is the same after a compaction, and names exactly the files that hold the rows then."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dataflow as df
from operators.types import Type
from runtime import Store
from runtime.catalogue.items.entries import DAY, SEQ
from runtime.columns import Column, Dictionary
from runtime.pointfile import hash_keys
from runtime.provenance.files_of_keys import files_with
from tests.runtime.compacted import Row, compacted, rows_of
from tests.runtime.published.histories import METRICS, START, day, ingest, points

RULES: list[Callable[[Row], Any]] = [lambda row: 0, lambda row: row[0], lambda row: row[1] // DAY]
POINTS = df.stream("s").filter(df.col("temp") > 10).group_by("firmware").agg(n=df.count())


def behind(store: Store, metric: df.Stream, row: int) -> tuple[Any, ...]:
    found = store.query(metric, progress=False).explain(row)
    assert SEQ not in found.rows.columns
    return found.row, found.rows.to_dict()["rows"], found.total, found.keys


@pytest.mark.parametrize("seed", range(4))
def test_the_rows_behind_a_number_are_the_same(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    metrics = [POINTS, METRICS["uptime"], METRICS["sessions"], METRICS["ends"]]
    with Store(tmp_path / "store", create=True) as store:
        for number in range(7):
            store.ingest("s", points(rng, number), key="device", time="ts", unit="us", progress=False)
        for _ in range(2):
            before = [behind(store, metric, 0) for metric in metrics]
            files = list(store.files("s"))
            compacted(store, rng.sample(files, rng.randrange(1, len(files) + 1)), rng.choice(RULES))
            assert [behind(store, metric, 0) for metric in metrics] == before
            found = store.query(POINTS, progress=False).explain(0, limit=10_000)
            rows = set(zip(found.rows["device"], found.rows["ts"], strict=True))
            holding = {f.path for f in store.files("s") if rows & {(row[0], row[1]) for row in rows_of(store, f)[0]}}
            assert set(found.files) == holding


def test_a_file_with_a_keys_points_between_the_ranges_only(tmp_path: Path) -> None:
    with Store(tmp_path / "store", create=True) as store:
        ingest(store, *(day(n) for n in range(5)))
        (file,) = compacted(store, list(store.files("s")))
        times = {row[1] for row in rows_of(store, file)[0] if row[0] == "d1"}
        keys = Column(Type.STRING, np.zeros(1, np.int32), None, Dictionary.of(["d1"]))
        assert len(hash_keys(keys)) == 1

        def found(*ranges: tuple[int, int]) -> bool:
            first, last = (np.array([r[i] for r in ranges], np.int64) for i in (0, 1))
            number = np.zeros(len(ranges), np.intp)
            return files_with(store.open_file, [file], keys, number, (first, last)) == (file.path,)

        a, *_, b = sorted(times)
        assert found((a, b))
        assert not found((a - 5, a - 1), (b + 1, b + 5))
        assert found((a - 5, a), (b + 1, b + 5))
        assert found((b + 1, b + 5), (a - 5, a - 1), (a - 9, b))
        rng = random.Random(1)
        for _ in range(60):
            ends = [
                sorted(rng.choice([START, a - 3, b + 3, *times]) + rng.randrange(-2, 3) for _ in "ab") for _ in range(3)
            ]
            ranges = [(lo, min(hi, lo + rng.choice([0, 2, DAY]))) for lo, hi in ends]
            assert found(*ranges) == any(lo <= t <= hi for lo, hi in ranges for t in times)
