"""Rows before a row: drawdowns, rows further back, numbers of rows, and looks that begin anew."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import dataflow as df
from operators.errors import DataflowError
from runtime import Store

POINTS = df.stream("s")
X = df.col("x")
START = datetime(2024, 3, 1, tzinfo=UTC)


def asked(folder: Path, metric: df.Stream, minutes: list[int], **columns: list[Any]) -> list[tuple[Any, ...]]:
    store = Store(folder / "store")
    times = [START + timedelta(minutes=m) for m in minutes]
    store.ingest("s", {"k": ["a"] * len(times), "t": times, **columns}, key="k", time="t", progress=False)
    assert repr(df.from_json(metric.to_json())) == repr(metric)
    return [*store.query(metric)]


def test_the_largest_drawdown(tmp_path: Path) -> None:
    """From 12 to 6."""
    drop = 1 - X / X.cumulative_max()
    rows = asked(
        tmp_path, POINTS.with_columns(drop=drop).agg(most=df.max("drop")), [*range(6)], x=[10, 12, 9, 11, 6, 8]
    )
    assert rows == [(0.5,)]


def test_rows_further_back(tmp_path: Path) -> None:
    metric = POINTS.select(three=X.previous(3), first=X.first(), least=X.cumulative_min(), n=X.row_number())
    rows = asked(tmp_path, metric, [*range(5)], x=[None, 7, 5, None, 6])
    assert [[*row[1:-1]] for row in rows] == [
        [None, None, None, None],
        [None, 7, 7, 1],
        [None, 7, 5, 2],
        [None, 7, 5, None],
        [7, 7, 5, 3],
    ]


def test_looks_that_begin_anew(tmp_path: Path) -> None:
    """By a column, and by a session."""
    visit = df.session("10m")
    metric = POINTS.select(
        by_trip=X.cumulative_sum(within="trip"),
        before=X.previous(within="trip"),
        visit=visit,
        step=X.row_number(within=visit),
        held=X.last(within=visit),
    )
    rows = asked(tmp_path, metric, [0, 5, 30, 31, 50], x=[1, 2, 3, 4, None], trip=["p", "p", "p", "q", "q"])
    assert [[*row[1:-1]] for row in rows] == [
        [1, None, 1, 1, 1],
        [3, 1, 1, 2, 2],
        [6, 2, 2, 1, 3],
        [4, None, 2, 2, 4],
        [4, 4, 3, None, None],
    ]


def test_looks_see_what_lies_before_the_range(tmp_path: Path) -> None:
    metric = POINTS.select(three=X.previous(3), most=X.cumulative_max(), n=X.row_number())
    store = Store(tmp_path / "store")
    times = [START + timedelta(days=d) for d in range(5)]
    store.ingest("s", {"k": ["a"] * 5, "t": times, "x": [9, 1, 2, 3, 4]}, key="k", time="t", progress=False)
    (row,) = store.query(metric, since="2024-03-05")
    assert [*row[1:-1]] == [1, 9, 5]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: X.previous(0), "previous takes 1 to 1000 rows, got 0"),
        (lambda: X.previous(True), "previous takes 1 to 1000 rows, got True"),
        (lambda: X.first(within=3), "first: within is a column or an expression, got 3"),
    ],
)
def test_errors(wrong: Any, said: str) -> None:
    with pytest.raises(DataflowError, match=said):
        wrong()


def test_what_has_no_order(tmp_path: Path) -> None:
    with pytest.raises(DataflowError, match=r"step 2 \(select\): cumulative_max cannot take string"):
        asked(tmp_path, POINTS.select(most=df.col("trip").cumulative_max()), [0], trip=["p"])
