"""The first points in the order of time, against sorting all of them."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.types import Type
from runtime import Store
from runtime.errors import QueryError
from runtime.points import head_points
from tests.runtime.points.test_point_scan import START, Row, bounds, keys, model, sources, write


@settings(max_examples=max(8, settings().max_examples // 2))
@given(sources, bounds, st.none() | keys, st.integers(1, 12), st.sampled_from([0, 2, 32]))
def test_the_first_points(given: list[list[Row]], since: int | None, key: str | None, rows: int, few: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), given)
        with Store(folder) as store, patch.object(head_points, "_FEW", few):
            found = store.head("s", rows, since, key)
    points = [dict(zip(found.columns, row, strict=True)) for row in found]
    points = [{n: v for n, v in row.items() if v is not None} for row in points]
    wanted = [r for r in model(given, "keep", None) if (since is None or r["t"] >= since) and key in (None, r["k"])]
    expected = sorted(wanted, key=lambda r: (r["t"], r["k"]))[:rows]
    assert [(r["t"], r["k"]) for r in points] == [(r["t"], r["k"]) for r in expected]
    assert [sorted((n, repr(v)) for n, v in r.items()) for r in points] == [
        sorted((n, repr(v)) for n, v in r.items()) for r in expected
    ]


def test_few_files_are_read(tmp_path: Path) -> None:
    """Those of the first day that has enough points."""
    rows: list[dict[str, Any]] = [
        {"k": "a", "t": START + n * 86_400_000_000 + m, "v": m} for n in range(9) for m in range(3)
    ]
    write(tmp_path, [rows])
    with Store(tmp_path) as store:
        assert list(store.head("s", 4)["v"]) == [0, 1, 2, 0]
        before = store.objects.gets
        store.head("s", 3, since=START + 5 * 86_400_000_000)
        assert store.objects.gets - before <= 2


def test_a_stream_without_such_points(tmp_path: Path) -> None:
    write(tmp_path, [[{"k": "a", "t": START, "v": 1, "s": "x"}]])
    with Store(tmp_path) as store:
        found = store.head("s", since=START + 1)
        assert (len(found), found.types) == (0, {"k": Type.STRING, "t": Type.TIME, "v": Type.INT, "s": Type.STRING})
        assert "0 rows" in found.to_text()
        assert store.head("s", key="b").to_dict()["rows"] == []
        with pytest.raises(QueryError, match="no stream"):
            store.head("x")
