"""Aggregates beside rows: exact sums, and the same bits however many rows are computed at once."""

from __future__ import annotations

import random
from fractions import Fraction

import pytest

import dataflow as df
from dataflow.metrics.bind import StreamColumns, bind
from operators.types import Type
from runtime import Store
from runtime.query.kernel_store import kernel_files
from runtime.query.merge import beside

ROWS = 150
DRAW = random.Random(7)
VALUES = [DRAW.choice([0.1, -0.1, 1e16, -1e16, 1e-9, 3.25, None, 1e300, -1e300]) for _ in range(ROWS)]
PART = df.col("i") % 3
METRIC = (
    df.stream("s")
    .group_by("i")
    .agg(x=df.sum("x"), n=df.sum("n"))
    .select(
        part=PART,
        running=df.sum("x").over(order="i"),
        of_part=df.sum("x").over(PART, order="i"),
        down=df.mean("x").over(PART, order="i", descending=True),
        seven=df.sum("x").over(order="i", rows=7),
        sixty=df.variance("x").over(PART, order="i", rows=60),
        middle=df.median("n").over(PART, order="i"),
        eleven=df.median("n").over(order="i", rows=11),
        distinct=df.count_distinct("n").over(PART, order="n"),
        whole=df.stddev("x").over(PART),
    )
)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    found = Store(tmp_path_factory.mktemp("beside"))
    numbers = [DRAW.randrange(50) for _ in range(ROWS)]
    columns = {"k": ["a"] * ROWS, "t": range(ROWS), "i": range(ROWS), "x": VALUES, "n": numbers}
    found.ingest("s", {name: list(of) for name, of in columns.items()}, key="k", time="t", unit="s", progress=False)
    return found


def rounded(values: list[float | None]) -> float | None:
    """The exact sum, rounded once; null of no values, and beyond the largest float."""
    known = [Fraction(v) for v in values if v is not None]
    try:
        return float(sum(known)) if known else None
    except OverflowError:
        return None


def test_sums_up_to_each_row_are_exact(store: Store) -> None:
    result = store.query(METRIC, progress=False)
    assert result["running"] == [rounded(VALUES[: i + 1]) for i in range(ROWS)]
    assert result["of_part"] == [rounded(VALUES[i % 3 : i + 1 : 3]) for i in range(ROWS)]
    assert result["seven"] == [rounded(VALUES[max(0, i - 6) : i + 1]) for i in range(ROWS)]


@pytest.mark.parametrize("block", [2, 7, 64])
def test_any_number_of_rows_at_once(store: Store, monkeypatch: pytest.MonkeyPatch, block: int) -> None:
    whole = store.query(METRIC, progress=False)
    monkeypatch.setattr(beside, "_BLOCK", block)
    monkeypatch.setattr(beside, "_SMALL_BLOCK", block)
    parts = store.query(METRIC, progress=False)
    assert {name: parts[name] for name in parts.columns} == {name: whole[name] for name in whole.columns}


def test_workers_without_a_compiler_can_merge() -> None:
    """The kernels of aggregates beside rows are among those that a store publishes."""
    plan = bind(METRIC.steps, StreamColumns("k", Type.STRING, "t", {"i": Type.INT, "x": Type.FLOAT, "n": Type.INT}))
    tasks, all_ = ({f.digest for f in kernel_files(plan, after)} for after in (False, True))
    # The rows that are made of them, and sums, means, variances, medians and sets of distinct values.
    assert len(all_ - tasks) >= 6


def test_of_no_rows(store: Store) -> None:
    none = df.stream("s").filter(df.col("n") < 0).group_by("i").agg(n=df.sum("n"))
    metric = none.with_columns(
        running=df.sum("n").over(order="i"),
        whole=df.sum("n").over("i"),
        share=df.col("n").share(),
        rank=df.col("n").rank(),
        part=df.col("n").ntile(2),
        next=df.col("n").next(order="i"),
    )
    assert len(store.query(metric, progress=False)) == 0
    assert len(store.query(none.top(2, by="n"), progress=False)) == 0
    assert len(store.query(none.pivot("i", values=[1], of="n"), progress=False)) == 0
