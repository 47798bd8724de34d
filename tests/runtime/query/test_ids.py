"""Streams with an id column that no point has yet."""

from __future__ import annotations

from pathlib import Path

import pytest

import dataflow as df
from runtime import Store

DAY = 86_400


@pytest.mark.parametrize("duplicates", ["keep", "exact", "latest"])
def test_an_id_that_no_point_has(tmp_path: Path, duplicates: str) -> None:
    """Points of one key in two files are merged, and the id is looked for in both."""
    with Store(tmp_path, create=True) as store:
        for at in (1, 2):
            store.ingest(
                "s", {"k": ["a", "a"], "t": [20_000 * DAY + at, 20_000 * DAY + 3], "v": [at, at]},
                key="k", time="t", unit="s", duplicates=duplicates, id="event", progress=False,
            )  # fmt: skip
        metric = df.stream("s").group_by("k").agg(n=df.count(), last=df.last("v"))
        store.publish(metric, "points")
        rows = 3 if duplicates == "latest" else 4
        for _ in range(2):
            assert store.query("points", progress=False).to_dict()["rows"] == [["a", rows, 2]]
        assert store.query(metric, progress=False).to_dict()["rows"] == [["a", rows, 2]]
