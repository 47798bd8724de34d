"""Columns as plain Python describes them; samples of large streams."""

from __future__ import annotations

import tempfile
from collections import Counter
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.types import Type
from runtime import Store
from runtime.errors import QueryError
from runtime.points import describe_points, point_scan
from tests.runtime.points.test_point_scan import DAY, START, Row, bounds, model, sources, write

pytestmark = pytest.mark.usefixtures("plain_files")


def described(rows: list[Row], name: str, most: int = 100_000) -> dict[str, Any]:
    """A column by plain means; rows hold no nulls."""
    values = [row[name] for row in rows if name in row]
    counts = Counter(values)
    many = len(counts) > most
    top = [] if many else sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:3]
    return {
        "values": len(values),
        "nulls": len(rows) - len(values),
        "distinct": None if many else len(counts),
        "min": min(values, default=None),
        "max": max(values, default=None),
        "top": top,
    }


def found_of(column: describe_points.ColumnSummary) -> dict[str, Any]:
    least, greatest = column.bounds.to_list() or (None, None)
    return {
        "values": column.values,
        "nulls": column.nulls,
        "distinct": column.distinct,
        "min": least,
        "max": greatest,
        "top": list(zip(column.top.to_list(), column.times, strict=True)),
    }


@settings(max_examples=max(8, settings().max_examples // 2))
@given(
    sources, st.sampled_from(["keep", "latest"]), bounds, st.sampled_from([2, 100_000]), st.sampled_from([4, 1 << 20])
)
def test_all_columns(given: list[list[Row]], policy: str, since: int | None, most: int, cells: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), given, duplicates=policy)
        with (
            Store(folder) as store,
            patch.multiple(describe_points, _FEWEST=1, _MOST=most),
            patch.object(point_scan, "BATCH_CELLS", cells),
        ):
            summary = store.describe("s", since=since)
    rows = [row for row in model(given, policy, None) if since is None or row["t"] >= since]
    assert (summary.rows, summary.whole) == (len(rows), True)
    assert summary.days == summary.all_days == len({row["t"] // DAY for row in rows})
    present = list(
        dict.fromkeys(name for source in given for row in source for name, v in row.items() if v is not None)
    )
    assert {column.name for column in summary.columns} == {"k", "t", *present}
    for column in summary.columns:
        assert found_of(column) == described(rows, column.name, most)


def test_its_json(tmp_path: Path) -> None:
    rows = [{"k": "a", "t": START, "big": 2**53 + 1, "s": "x", "v#string": "y"}, {"k": "b", "t": START + 1, "big": 5}]
    write(tmp_path, [rows])
    with Store(tmp_path) as store:
        summary = store.describe("s").to_dict()
    columns = summary.pop("columns")
    assert summary == {"stream": "s", "snapshot": 1, "rows": 2, "listed": 2, "days": 1, "all_days": 1, "whole": True}
    assert isinstance(columns, list)
    assert [column["name"] for column in columns] == ["k", "t", "big", "s", "v#string"]
    assert columns[2] == {
        "name": "big", "type": "int64", "values": 2, "nulls": 0, "distinct": 2, "more_than": None,
        "min": 5, "max": str(2**53 + 1), "top": [{"value": 5, "count": 1}, {"value": str(2**53 + 1), "count": 1}],
    }  # fmt: skip
    assert columns[1]["min"] == "2023-12-09T00:00:00.000000Z"


def test_a_sample_is_spread_over_the_days_and_says_so(tmp_path: Path) -> None:
    rows = [{"k": f"k{n % 3}", "t": START + day * DAY + n, "v": day} for day in range(16) for n in range(10)]
    write(tmp_path, [rows])
    with Store(tmp_path) as store:
        summary = store.describe("s", rows=40)
        assert (summary.rows, summary.listed, summary.days, summary.all_days, summary.whole) == (40, 160, 4, 16, False)
        days = summary.columns[2].top.to_list()
        assert (summary.columns[2].distinct, sorted(days)) == (4, [0, 4, 8])
        one = store.describe("s", rows=1)
        assert (one.days, one.whole) == (1, False)
        assert 1 <= one.rows <= 10
        assert store.describe("s", rows=160).whole


def test_a_sample_of_a_file_of_many_days_is_spread_over_keys_and_days(tmp_path: Path) -> None:
    rows = [{"k": f"k{n}", "t": START + day * DAY + n, "v": day} for day in range(20) for n in range(10)]
    write(tmp_path, [rows[::2], rows[1::2]])
    with Store(tmp_path) as store:
        store.compact(progress=False)
        assert len(store.files("s")) == 1
        summary = store.describe("s", rows=50)
        assert (summary.rows, summary.listed, summary.whole) == (50, 200, False)
        keys, days = summary.columns[0], summary.columns[2]
        assert keys.distinct == 10
        assert days.distinct is not None
        assert days.distinct >= 15


def test_a_stream_without_points(tmp_path: Path) -> None:
    write(tmp_path, [[{"k": "a", "t": START, "v": 1}]])
    with Store(tmp_path) as store:
        summary = store.describe("s", since=START + DAY)
        assert (summary.rows, summary.whole, [c.type for c in summary.columns]) == (
            0, True, [Type.STRING, Type.TIME, Type.INT],
        )  # fmt: skip
        assert summary.to_dict()["columns"][2]["min"] is None  # type: ignore[index]
        with pytest.raises(QueryError, match="no stream"):
            store.describe("x")
