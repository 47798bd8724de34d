"""Trailing windows across batches and files, with long windows and many rows; their kept states."""

from __future__ import annotations

import math
import random
import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dataflow as df
from dataflow.metrics.bind import StreamColumns, bind
from operators.errors import DataflowError
from operators.states.strings import Words
from operators.types import Type
from runtime import Store
from runtime.columns import Column
from runtime.query.stages import trailing_rows
from runtime.query.stages.keys import Keys
from runtime.query.stages.pipeline import Pipeline
from runtime.query.stages.row_batch import VALID, RowBatch
from runtime.query.stages.task_context import TaskContext
from runtime.query.task.task import Compiled

S = df.stream("s")
MINUTE, DAY = 60_000_000, 86_400_000_000

Rows = list[tuple[str, int, float]]


def store_of(folder: Path, parts: list[Rows]) -> Store:
    """A store with these points, (key, time, x), each part from a source of its own."""
    store = Store(folder / "store", create=True)
    for part in parts:
        k, t, x = zip(*part, strict=True)
        store.ingest("s", {"k": k, "t": t, "x": x}, key="k", time="t", unit="us", progress=False)
    return store


def sums(rows: Rows, length: int) -> list[tuple[str, float]]:
    """The sum of each row's window, rows by key and time."""
    ordered = sorted(rows, key=lambda row: row[:2])
    out = []
    for k, t, _ in ordered:
        inside = [x for key, at, x in ordered if key == k and t - length < at <= t]
        out.append((k, math.fsum(inside)))
    return out


def test_rows_of_one_time_in_several_files(tmp_path: Path) -> None:
    # One time in three sources, as the last of a day, and as the first and only one of the next.
    parts: list[Rows] = [
        [("a", DAY - 1, 1.0), ("a", DAY - 1, 2.0), ("b", 0, 5.0)],
        [("a", DAY - 1, 4.0), ("a", DAY, 8.0)],
        [("a", DAY, 16.0), ("a", DAY - 1, 32.0), ("b", 3 * DAY, 7.0)],
    ]
    store = store_of(tmp_path, parts)
    metric = S.select(
        one=df.sum("x").trailing("1us"), two=df.sum("x").trailing("2us"), rows=df.count().trailing(rows=2)
    )
    for workers in (1, 2):
        found = [(row[0], *row[1:4]) for row in store.query(metric, workers=workers)]
        assert found == [
            ("a", 39.0, 39.0, 1), ("a", 39.0, 39.0, 2), ("a", 39.0, 39.0, 2), ("a", 39.0, 39.0, 2),
            ("a", 24.0, 63.0, 2), ("a", 24.0, 63.0, 2), ("b", 5.0, 5.0, 1), ("b", 7.0, 7.0, 2),
        ]  # fmt: skip


@pytest.mark.parametrize("batch", [1, 100])
def test_many_files_of_many_keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, batch: int) -> None:
    monkeypatch.setattr(trailing_rows, "_BATCH", batch)
    r = random.Random(1)
    rows = [(r.choice("abcde"), r.randrange(6 * 24) * 60 * MINUTE, round(r.gauss(0, 9), 2)) for _ in range(600)]
    store = store_of(tmp_path, [rows[i::7] for i in range(7)])
    for hours in (1, 5, 100):
        metric = S.select(sum=df.sum("x").trailing(f"{hours}h"))
        assert [row[:2] for row in store.query(metric)] == sums(rows, hours * 60 * MINUTE)
    since = 3 * DAY + 7
    metric = S.select(sum=df.sum("x").trailing("5h"))
    after = [pair for pair, row in zip(sums(rows, 300 * MINUTE), sorted(rows, key=lambda x: x[:2]), strict=True)
             if row[1] >= since]  # fmt: skip
    assert [row[:2] for row in store.query(metric, since)] == after


def test_long_windows_of_aggregates_that_are_computed_anew(tmp_path: Path) -> None:
    r = random.Random(2)
    xs = [round(r.gauss(20, 9), 3) for _ in range(3_000)]
    store = store_of(tmp_path, [[("a", i * MINUTE, x) for i, x in enumerate(xs)]])
    metric = S.select(
        median=df.median("x").trailing("1500m"),
        kinds=df.count_distinct("x").trailing("1500m"),
        spread=df.stddev("x").trailing(rows=700),
    )
    found = [row[1:4] for row in store.query(metric, 2_000 * MINUTE)]
    for i in (2_000, 2_345, 2_999):
        window = sorted(xs[i - 1_499 : i + 1])
        median, kinds, spread = found[i - 2_000]
        assert kinds == len(set(window))
        assert isinstance(median, float)
        # Beyond 1,024 different values quantiles are those of bins.
        assert abs(median - window[749]) <= 0.005 * abs(window[749])
        assert spread == pytest.approx(statistics.stdev(xs[i - 699 : i + 1]), rel=1e-14)


def test_an_overflow_names_the_row(tmp_path: Path) -> None:
    store = Store(tmp_path / "store", create=True)
    store.ingest("s", {"k": ["a"] * 3, "t": [1, 2, 3], "x": [2**62] * 3}, key="k", time="t", unit="s", progress=False)
    assert [row[1] for row in store.query(S.select(sum=df.sum("x").trailing("1s")))] == [2**62] * 3
    message = r"step 2 \(select\): sum\(x\) of a window for key 'a' at 1970-01-01T00:00:02.* 64-bit integer range"
    with pytest.raises(DataflowError, match=message):
        store.query(S.select(sum=df.sum("x").trailing("2s")))


# ---- what is kept


def pipeline_of(metric: df.Stream, keys: int) -> tuple[Pipeline, Any]:
    plan = bind(metric.steps, StreamColumns("k", Type.INT, "t", {"x": Type.FLOAT}))
    words = Words()
    known = Keys(Type.INT, words)
    slots = known.slots(Column(Type.INT, np.arange(keys)))
    return Pipeline(plan, Compiled(plan).kernels, TaskContext(words, known, 0, 2**60)), slots


def test_rows_that_are_all_alike() -> None:
    """Constant columns are one value for all rows, but what kernels read in every row has an entry for each."""
    metric = S.filter(df.col("x").is_null()).agg(n=df.max(df.count().trailing("10us")), rows=df.count())
    for _ in range(20):
        pipeline, slots = pipeline_of(metric, 1)
        pipeline = Pipeline(pipeline.plan, Compiled(pipeline.plan).kernels, replace(pipeline.context, since=5, first=0))
        nothing = {"x": (np.zeros(1), np.zeros(1, np.uint8))}
        for t in (1, 5, 5, 5, 5):
            pipeline.push(RowBatch(slots, np.array([1]), np.array([t]), nothing))
        groups, _ = pipeline.finish()
        assert groups is not None
        assert [groups.states[0]["best"][0], groups.states[1]["n"][0]] == [5, 4]


def test_memory_is_that_of_the_rows_of_a_window(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trailing_rows, "_BATCH", 1)
    pipeline, slots = pipeline_of(S.agg(n=df.max(df.sum("x").trailing("10us"))), 3)
    runner = pipeline.runners[0]
    for at in range(0, 3_000, 20):
        batch = RowBatch(slots, np.full(3, 20), np.tile(np.arange(at, at + 20), 3), {"x": (np.ones(60), VALID)})
        pipeline.push(batch)
        assert isinstance(runner, trailing_rows.TrailingRunner)
        assert runner._kept is not None
        assert runner._kept.batch.rows <= 3 * 12
    groups, _ = pipeline.finish()
    assert groups is not None


def test_a_saved_state_goes_on_and_a_forged_one_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    # Every push is worked out at once, but for the rows at its last time, which the next push goes on with.
    monkeypatch.setattr(trailing_rows, "_BATCH", 1)
    rows = df.count()
    metric = S.agg(
        most=df.max(df.sum("x").trailing("10us")),
        by_time=df.sum(rows.trailing("10us")),
        by_rows=df.sum(rows.trailing(rows=3)),
    )
    whole, slots = pipeline_of(metric, 1)

    def part(lo: int, hi: int) -> RowBatch:
        x = (np.arange(lo, hi) % 7 * 0.1, VALID)
        return RowBatch(slots, np.array([hi - lo]), np.arange(lo, hi) // 2, {"x": x})

    whole.push(part(0, 99))
    first, _ = pipeline_of(metric, 1)
    first.push(part(0, 51))
    saved = {name: array.copy() for name, array in first.saved().items()}
    second, _ = pipeline_of(metric, 1)
    second.restore(saved)
    second.push(part(51, 60))
    second.push(part(60, 99))

    written = first.runners[-1].groups
    assert written is not None
    before = written.export([])
    (after, _), (expected, _) = second.finish(), whole.finish()
    assert after is not None
    assert expected is not None
    most, *totals = zip(before.states, after.states, strict=True)
    assert max(part["best"][0] for part in most) == expected.states[0]["best"][0]
    for j, total in enumerate(totals, 1):
        assert sum(part["low"][0] for part in total) == expected.states[j]["low"][0]
        assert sum(part["n"][0] for part in total) == 99
    name = "stage.0."
    for change in (
        {"run_slot": np.array([7], np.int32)},
        {"run_slot": saved[f"{name}run_slot"].astype(np.int64)},
        {"run_len": saved[f"{name}run_len"] + 1},
        {"done": saved[f"{name}run_len"] + 1},
        {"time": saved[f"{name}time"][1:]},
        {"column.x.values": saved[f"{name}column.x.values"][1:]},
        {"column.x.valid": np.ones(2, np.uint8)},
        {"column.x.values": np.ones((len(saved[f"{name}time"]), 1))},
    ):
        forged, _ = pipeline_of(metric, 1)
        with pytest.raises(ValueError, match=r"malformed|out of range"):
            forged.restore(saved | {name + n: array for n, array in change.items()})
