"""``.next(...)`` of points: its text, its JSON, and the errors of wrong uses."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

import dataflow as df
from dataflow.metrics.bind import StreamColumns, bind
from dataflow.metrics.json_form import JsonFormError
from operators.errors import DataflowError
from operators.types import Type

P = df.stream("s")
STREAM = StreamColumns("k", Type.STRING, "t", {"x": Type.FLOAT, "c": Type.STRING})
X = df.col("x")


def test_text_and_json() -> None:
    metric = P.with_columns(a=X.next(), b=X.next(3, within="c"), c=X.next(order="x", per="c"))
    found = [column["expr"] for column in json.loads(metric.to_json())["steps"][1]["columns"]]
    assert found[:2] == [
        {"fn": "next", "args": [{"col": "x"}]},
        {"fn": "next", "args": [{"col": "x"}, {"col": "c"}], "rows": 3},
    ]
    assert found[2]["over"] == "next"
    assert eval(repr(metric), {"df": df}).to_json() == metric.to_json()
    assert df.from_json(metric.to_json()).to_json() == metric.to_json()


def test_a_parameter() -> None:
    metric = P.with_columns(a=X.next(df.param("rows", 2)))
    assert df.from_json(metric.to_json()).to_json() == metric.to_json()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rows": 0}, "takes 1 to 1000 rows, got 0"),
        ({"rows": 1001}, "takes 1 to 1000 rows, got 1001"),
        ({"args": []}, "next takes 1 arguments, got 0"),
        ({"hold": 1}, "unknown field 'hold'"),
    ],
)
def test_wrong_json(change: dict[str, object], message: str) -> None:
    graph = json.loads(P.with_columns(a=X.next()).to_json())
    graph["steps"][1]["columns"][0]["expr"] |= change
    with pytest.raises(JsonFormError, match=message):
        df.from_json(json.dumps(graph))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: X.next(0), "next takes 1 to 1000 rows, got 0"),
        (lambda: X.next(within=3), "within is a column or an expression, got 3"),
        (lambda: X.next(within="c", order="x"), "on a finished table, give order= and per="),
    ],
)
def test_wrong_calls(wrong: Callable[[], object], message: str) -> None:
    with pytest.raises(DataflowError, match=message):
        wrong()


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        (P.group_by("c").agg(n=df.count()).with_columns(m=df.col("n").next()), r"write for example .next\(order='day'"),
        (
            P.state_duration("c").with_columns(m=df.col("c").next()),
            r"step 3 \(with_columns\): next takes values of later points, and here the rows are intervals",
        ),
        (P.sessionize("5m").filter(df.col("count").next() > 3), "here the rows are sessions"),
        (P.with_columns(m=df.lit(None).next()), "next of null has no type"),
        (
            df.union(P.filter(X.next() > 1), df.stream("s")),
            "next cannot stand in a timeline that is combined with others, nor in the other rows of a union",
        ),
        (P.with_columns(m=df.col("y").next()), "there is no column 'y'"),
    ],
)
def test_wrong_places(metric: df.Stream, message: str) -> None:
    with pytest.raises(DataflowError, match=message):
        bind(metric.steps, STREAM)


def test_only_what_is_needed_looks_ahead() -> None:
    looking = P.with_columns(a=X.next())
    assert bind(looking.steps, STREAM).ahead == 1
    assert bind(looking.filter(df.col("c") == "a").steps, STREAM).ahead == 1
    assert bind(P.with_columns(a=X.previous()).steps, STREAM).ahead == 0


@pytest.mark.parametrize("of", [P.filter(X.next() > 1), P.with_columns(a=X.next(3))])
def test_no_row_is_final(of: df.Stream) -> None:
    from dataflow.plan.row_times import row_times

    hours = {"h": df.time().truncate("1h")}
    assert row_times(P.group_by(**hours).agg(n=df.count()).steps).ahead == 0
    assert row_times(of.group_by(**hours).agg(n=df.count()).steps).ahead is None
