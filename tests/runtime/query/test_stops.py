"""A kernel that stops within a row because a table is full resumes that row correctly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import dataflow as df
from operators.states import groups
from runtime import Store

DAY = 86_400_000_000


def test_what_remembers_rows_sees_each_once(tmp_path: Path) -> None:
    """One interval over many more days than a group table holds at first."""
    store = Store(tmp_path, create=True)
    points = {"device": ["a"] * 3, "ts": [0, DAY, 300 * DAY], "status": ["up", "down", "up"], "n": [1, 2, 3]}
    store.ingest("s", points, key="device", time="ts", unit="us")
    metric = (
        df.stream("s")
        .state_duration("status")
        .with_columns(before=df.col("status").previous(), sum=df.col("n").cumulative_sum())
        .group_by("status", "before", "sum", day=df.time().truncate("1d"))
        .agg(time=df.known_time())
        .group_by("status", "before", "sum")
        .agg(days=df.count())
    )
    assert store.query(metric).to_dict()["rows"] == [["down", "up", 3, 299], ["up", None, 1, 1], ["up", "down", 6, 1]]


def test_no_row_is_lost_when_carries_have_moved(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As after 2**28 rows of one task."""
    rng = np.random.default_rng(3)
    n = 300_000
    store = Store(tmp_path, create=True)
    points = {"device": ["a"] * n, "ts": np.arange(n), "x": rng.normal(size=n), "k": rng.integers(0, 5, n)}
    store.ingest("s", points, key="device", time="ts", unit="us")
    metric = df.stream("s").group_by("k").agg(n=df.count(), s=df.sum("x"), v=df.variance("x"), t=df.increase("x"))
    expected = store.query(metric).to_dict()["rows"]
    monkeypatch.setattr(groups, "SETTLE_EVERY", 1000)
    assert store.query(metric).to_dict()["rows"] == expected
