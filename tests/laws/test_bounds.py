"""Numeric promises: exact sums, errors of estimates, sizes of states, ranges that add up."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import dataflow as df
from operators.aggregates import REGISTRY
from operators.aggregates.distinct import ERROR
from operators.contract import Aggregate
from operators.errors import CardinalityExceeded
from operators.kernels.sums.windowed_sums import UNSET
from operators.laws.check import Bench
from operators.laws.rows import LawRows
from operators.states.aggregate_states import AggregateStates
from operators.states.strings import Words
from operators.types import Type
from runtime.testing.oracle.strategies import BASE, KEY, TIME, Case, cases
from tests.laws.memory import run_in_memory

P = df.stream("s")
FLOATS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(-100, 100),
    st.sampled_from([1e300, -1e300, 5e-324, 1.0, -1.0, 0.1, 2.0**53]),
)


def asked(metric: df.Stream, points: list[dict[str, Any]], since: int = 0, until: int = 2**60, **options: Any) -> Any:
    return run_in_memory(json.loads(metric.to_json()), points, since=since, until=until, **options)


def temps(values: list[float], keys: str = "a") -> list[dict[str, Any]]:
    return [{KEY: keys[i % len(keys)], TIME: BASE + i, "temp": v} for i, v in enumerate(values)]


GROUPED, UNGROUPED = P.group_by("device").agg(s=df.sum("temp")), P.agg(s=df.sum("temp"))


def fsum(values: list[float]) -> float | None:
    try:
        return math.fsum(values)
    except OverflowError:
        # On its way fsum has left the range of floats, which the sum itself need not do.
        return None


@given(st.lists(FLOATS, max_size=20), st.integers(1, 3))
def test_sums_are_those_of_fsum(values: list[float], tasks: int) -> None:
    for metric, parts in ((UNGROUPED, {"": values}), (GROUPED, {k: values[i::3] for i, k in enumerate("abc")})):
        rows = asked(metric, temps(values, "abc"), tasks=tasks)
        for row in rows:
            mine = parts[row.get(KEY, "")]
            expected = fsum(mine)
            assert row["s"] == expected or (expected is None and mine) or (row["s"] is None and not mine)
            assert row["s"] is None or expected is None or math.copysign(1, row["s"]) == math.copysign(1, expected)


def state_of(name: str, kind: Type, inputs: dict[str, Any], cases: int = 1) -> tuple[Bench, Any]:
    """The state of rows of one case."""
    bench = Bench(REGISTRY[name, kind])
    n = len(next(iter(inputs.values())))
    rows = LawRows(cases, np.zeros(n, np.int64), np.zeros(n, np.int64), inputs, [])
    return bench, bench.fold(rows, np.random.default_rng(0))


def answer_of(bench: Bench, state: Any) -> Any:
    groups, words = bench._groups(1), Words()
    groups.merge(state, words.codes)
    return groups.cells.finish(np.zeros(1, np.intp), words)[0][0][0]


@pytest.mark.parametrize("distinct", [1, 100, 4_000, 50_000, 1_000_000])
def test_approx_distinct_within_its_error(distinct: int) -> None:
    errors = []
    for seed in range(5):
        hashes = np.random.default_rng(seed).integers(-(2**63), 2**63 - 1, distinct)
        bench, state = state_of(
            "approx_distinct", Type.INT, {"hash": np.concatenate([hashes, hashes[: distinct // 2]])}
        )
        errors.append(answer_of(bench, state) / distinct - 1)
    # A standard error: of five, none beyond three of it, and their root mean square not beyond twice.
    assert max(map(abs, errors)) <= 3 * ERROR
    assert math.sqrt(sum(e * e for e in errors) / 5) <= 2 * ERROR


def test_approx_distinct_of_numbers_in_a_row() -> None:
    # Through the engine's own hash, which must spread what lies close together.
    points = [{KEY: "a", TIME: BASE + i, "n": i, "status": f"s{i}", "temp": i / 8} for i in range(20_000)]
    (row,) = asked(P.agg(**{c: df.approx_distinct(c) for c in ("n", "status", "temp")}), points)
    assert all(abs(row[c] / 20_000 - 1) <= 3 * ERROR for c in ("n", "status", "temp"))


def test_more_values_than_the_cap() -> None:
    points = [{KEY: k, TIME: BASE + i, "n": i // 2} for i, k in enumerate("ab" * 20)]
    (row,) = asked(P.agg(t=df.top_k("n", 1, cap=20)), points)
    assert row["t"] == [{"value": 0, "count": 2}]
    with pytest.raises(CardinalityExceeded, match="20 distinct values, more than cap=19"):
        asked(P.agg(t=df.top_k("n", 1, cap=19)), points, tasks=2)


WIDER = {
    ("slope", Type.FLOAT): 1 + 2 + 2 + 12 + 12,
    ("correlation", Type.INT): 2 + 2 + 1 + 8 + 8 + 8,
    ("correlation", Type.FLOAT): 1 + 2 + 2 + 12 + 12 + 12,
    ("skewness", Type.INT): 2 + 1 + 8 + 18,
    ("skewness", Type.FLOAT): 1 + 2 + 12 + 18,
    ("kurtosis", Type.INT): 2 + 1 + 8 + 18 + 22,
    ("kurtosis", Type.FLOAT): 1 + 2 + 12 + 18 + 22,
}
"""The words of states of several exact sums: the count, the sums of values, windows for squares, products and so on."""

SIZED = [(k, op) for k, op in REGISTRY.items() if isinstance(op, Aggregate) and op.tally is None]


@pytest.mark.parametrize(("key", "op"), SIZED, ids=lambda v: "-".join(map(str, v)) if isinstance(v, tuple) else "")
def test_states_have_one_size(key: tuple[str, Type | None], op: Aggregate) -> None:
    def size(capacity: int) -> int:
        return sum(a.nbytes for a in AggregateStates([op], capacity).arguments(0) if len(a) == capacity)

    a_group = (size(3000) - size(2000)) / 1000
    assert a_group == int(a_group)
    if key in WIDER:
        assert a_group == 8 * WIDER[key]
    else:
        # The largest is slope of integers: sums of two columns, two windows of 64 bytes, and the count.
        assert a_group <= 8 * 21
    rng = np.random.default_rng(1)
    bench, few, many = Bench(op), {}, {}
    for out, n in ((few, 1), (many, 3000)):
        inputs = {
            "value": rng.integers(0, 2, n) if key[1] is Type.BOOL else np.round(rng.normal(20, 8, n), 1),
            "other": rng.integers(1, 9, n), "cond": rng.integers(0, 2, n) > 0, "flag": rng.integers(0, 2, n) > 0,
            "time": np.arange(n), "tie": np.zeros(n, np.int64), "duration": rng.integers(0, 9, n),
            "known": np.ones(n, np.int64), "hash": np.arange(n),
        }  # fmt: skip
        if key[1] is not Type.FLOAT:
            inputs["value"] = inputs["value"].astype(np.int64)
        rows = LawRows(1, np.zeros(n, np.int64), np.zeros(n, np.int64), inputs, ["a"] * 100)
        out |= {name: a.nbytes for name, a in bench.fold(rows, rng).states[0].items()}
    assert few == many


def test_windows_start_empty() -> None:
    rows = AggregateStates([REGISTRY["integral", Type.FLOAT]], 8).argument(0, "area", "rows")
    assert rows.shape == (8, 10)
    assert (rows[:, 0] == UNSET).all()


ADDED = P.agg(
    n=df.increase("n"), ok=df.count(where=df.col("ok").changed()), edges=df.transitions("status"),
    firmware=df.transitions("firmware"),
)  # fmt: skip
TIMES = P.state_duration("status", hold="10m").agg(
    up=df.duration(df.col("status") == "up"), known=df.known_time(), unknown=df.unknown_time()
)


def edges(found: list[dict[str, Any]]) -> dict[tuple[str, str], int]:
    return {(e["from"], e["to"]): e["count"] for e in found}


@given(case=cases(integers=[0, 1, 2, 3, 10, 50]), share=st.integers(0, 100))
def test_ranges_add_up(case: Case, share: int) -> None:
    seam = case.since + (case.until - case.since) * share // 100
    ranges = ((case.since, case.until), (case.since, seam), (seam, case.until))
    (whole,), (left,), (right,) = (asked(ADDED, case.points, since=a, until=b) for a, b in ranges)
    for name in ("n", "ok"):
        assert (whole[name] or 0) == (left[name] or 0) + (right[name] or 0)
    for name in ("edges", "firmware"):
        both = [edges(left[name]), edges(right[name])]
        assert edges(whole[name]) == {e: sum(b.get(e, 0) for b in both) for e in both[0] | both[1]}
    (whole,), (left,), (right,) = (asked(TIMES, case.points, since=a, until=b) for a, b in ranges)
    assert whole["up"] == left["up"] + right["up"]
    assert whole["known"] == left["known"] + right["known"]
