"""Errors of numbers that do not fit name the step, what was computed, and the row or the group."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

import dataflow as df
from operators.errors import CardinalityExceeded, InexactDecimal, OverflowExceeded
from tests.laws.memory import run_in_memory
from tests.reference.strategies import BASE, KEY, TIME

P, N, T = df.stream("s"), df.col("n"), df.col("temp")
BIG = 2**62


def asked(metric: df.Stream, tasks: int = 1) -> Any:
    values = [("a", 1), ("b", 3), ("b", BIG), ("b", BIG - 1), ("c", -5)]
    points = [
        {KEY: key, TIME: BASE + i * 60_000_000, "n": n, "temp": n + 0.5, "status": f"s{i}"}
        for i, (key, n) in enumerate(values)
    ]
    graph = json.loads(metric.to_json())
    return run_in_memory(graph, points, since=0, until=2**60, tasks=tasks)


AT = "2024-03-30T22:02:00.000000Z"
"""The time of the first row with a number that is large."""

EXPRESSIONS = [
    (P.select(x=N * 4), f"step 2 (select): n * 4 for key 'b' at {AT}: an integer result does not fit in 64 bits"),
    (P.filter((N + N) * 2 > 3), f"step 2 (filter): n + n for key 'b' at {AT}"),
    (P.with_columns(x=N * 2).group_by("status").agg(y=df.sum(df.col("x") - -BIG)), "n * 2 for key 'b'"),
    (P.select(x=-N.cumulative_sum() * 3), "-n.cumulative_sum() * 3 for key 'b'"),
    (P.select(x=(N * 3).cumulative_sum()), "n * 3 for key 'b'"),
    (P.select(x=N.decimal(2) + 1), "n.decimal(2, 'exact') for key 'b'"),
    (P.agg(x=df.histogram(T * 1e300, width=1.0)), "temp * 1e+300 for key "),
    (P.agg(x=df.sum(df.when(N > 5).then(N * 9).otherwise(0))), f"n * 9 for key 'b' at {AT}"),
    (
        P.group_by("device", c=df.col("status") == "s1").agg(m=df.max("n")).with_columns(x=df.col("m") * 2),
        "step 3 (with_columns): m * 2 for device='b', c=False: an integer result",
    ),
    (
        P.group_by(KEY, "status").agg(m=df.max("n")).group_by(KEY).agg(t=df.sum(df.col("m") * 3)),
        "m * 3 for device='b', status='s2'",
    ),
]


@pytest.mark.parametrize("tasks", [1, 3])
@pytest.mark.parametrize(("metric", "text"), EXPRESSIONS, ids=lambda v: "" if isinstance(v, df.Stream) else v[:40])
def test_expressions(metric: df.Stream, text: str, tasks: int) -> None:
    with pytest.raises(OverflowExceeded, match=re.escape(text)):
        asked(metric, tasks)


SUMS = [
    (P.group_by(KEY).agg(n=df.count(), total=df.sum("n")), "step 2 (group_by): total = sum(n) for device='b': a sum"),
    (P.agg(total=df.sum(N + 1)), "total = sum(n + 1): a sum exceeds the 64-bit integer range"),
    (P.window("1d", total=df.sum("n")), "for key 'b' at 2024-03-30T00:00:00"),
    (
        P.sessionize("1h", total=df.sum("n")),
        "step 2 (sessionize): total = sum(n) for key 'b' at 2024-03-30T22:01:00",
    ),
    (
        P.group_by(KEY, "status").agg(m=df.max("n")).group_by(KEY).agg(t=df.sum("m")),
        "step 3 (group_by): t = sum(m) for device='b': a sum",
    ),
]


@pytest.mark.parametrize("tasks", [1, 3])
@pytest.mark.parametrize(("metric", "text"), SUMS, ids=lambda v: "" if isinstance(v, df.Stream) else v[:40])
def test_sums(metric: df.Stream, text: str, tasks: int) -> None:
    with pytest.raises(OverflowExceeded, match=re.escape(text)):
        asked(metric, tasks)


def test_decimals_and_bounds() -> None:
    with pytest.raises(InexactDecimal, match=r"temp.decimal\(0, 'exact'\) for key 'a' at 2024-03-30"):
        asked(P.select(x=T.decimal(0)))
    with pytest.raises(CardinalityExceeded, match=r"t = top_k\(status\) for device='b': top_k: a group has 3"):
        asked(P.group_by(KEY).agg(t=df.top_k("status", cap=2)))
