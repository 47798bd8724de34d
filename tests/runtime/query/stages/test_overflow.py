"""Overflow errors name the step, the expression, and the row or group."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

import dataflow as df
from operators.errors import CardinalityExceeded, InexactDecimal, OverflowExceeded
from runtime.testing.oracle.strategies import BASE, KEY, TIME
from tests.laws.memory import run_in_memory

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
    (P.agg(x=df.histogram(T * 1e300, width=1.0)), "x = histogram(temp * 1e+300, width=1.0) for key "),
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


WIDE = P.with_columns(x=T * 1e16)
BIN = "the number of a value's bin does not fit in 64 bits; take a larger width, or filter the rows"
IN_AGGREGATES = [
    # 0.01 times 2^63 is some 9.2e16: one value beyond is an error, for a histogram without it would be a wrong number.
    (
        WIDE.group_by("status", KEY).agg(n=df.count(), x=df.histogram("x", width=0.001)),
        "step 3 (group_by): x = histogram(temp * 1e+16, width=0.001) for key 'a' at 2024-03-30T22:00:00.000000Z "
        f"in the group status='s0', device='a': {BIN}",
    ),
    (WIDE.agg(x=df.histogram("x", width=0.001)), "x = histogram(temp * 1e+16, width=0.001) for key 'a' at 2024-"),
    (
        WIDE.window("1d", h=df.histogram("x", width=0.001)),
        "step 3 (window): h = histogram(temp * 1e+16, ",
    ),
    (
        P.group_by(by=N > 3).agg(up=df.increase((N - BIG) * 2 + 1), n=df.count()),
        f"step 2 (group_by): (n - {BIG}) * 2 for key 'c' at 2024-03-30T22:04:00.000000Z in the group by=False: an",
    ),
    (
        P.with_columns(x=df.when(df.col("status") == "s1").then(-BIG - BIG).otherwise(N))
        .group_by(KEY, late=df.col("status") > "s1")
        .agg(up=df.increase("x"), n=df.count()),
        "step 3 (group_by): up = increase(when(status == 's1').then(-9223372036854775808).otherwise(n)) for key 'b' at "
        f"{AT} in the group device='b', late=True: an integer result does not fit in 64 bits",
    ),
    (
        P.with_columns(x=df.when(df.col("status") == "s1").then(-BIG - BIG).otherwise(N)).agg(r=df.rate("x")),
        "r = rate(when(",
    ),
    (
        P.group_by(KEY)
        .agg(m=df.max("temp"))
        .group_by(late=df.col("device") > "b")
        .agg(h=df.histogram(df.col("m") * 1e16, width=0.001)),
        "step 3 (group_by): h = histogram(m * 1e+16, width=0.001) for device='a' in the group late=False: the number",
    ),
    (P.group_by(KEY).agg(s=df.sum(N * 4)), f"step 2 (group_by): n * 4 for key 'b' at {AT} in the group device='b': an"),
]


@pytest.mark.parametrize("tasks", [1, 3])
@pytest.mark.parametrize(("metric", "text"), IN_AGGREGATES, ids=lambda v: "" if isinstance(v, df.Stream) else v[:40])
def test_in_aggregates(metric: df.Stream, text: str, tasks: int) -> None:
    with pytest.raises(OverflowExceeded, match=re.escape(text)):
        asked(metric, tasks)


def test_bins_up_to_the_last() -> None:
    # Where the number fits in 64 bits, the value is counted.
    few = P.filter(N < 10)
    (row,) = asked(few.agg(x=df.histogram(T * 1e16, width=0.01)))
    assert [b["count"] for b in row["x"]] == [1, 1, 1]
    with pytest.raises(OverflowExceeded):
        asked(few.agg(x=df.histogram(T * 1e17, width=0.01)))


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
