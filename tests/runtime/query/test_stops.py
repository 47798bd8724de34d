"""Kernels that stop within a row because a table is full go on with that row as if they had not."""

from __future__ import annotations

from pathlib import Path

import dataflow as df
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
