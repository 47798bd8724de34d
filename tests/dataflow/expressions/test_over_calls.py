"""``over``: the untyped node, its text, its JSON in both directions, and what is wrong with a call."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

import dataflow as df
from dataflow.binding.parameters import params_in

CODE = {"df": df, "datetime": datetime, "timedelta": timedelta, "UTC": UTC}
GROUPED = df.stream("s").group_by("site", "h").agg(n=df.count())


@pytest.mark.parametrize(
    "text",
    [
        'df.sum("n").over()',
        'df.sum("n").over("site", "h")',
        'df.sum("n").over("site", order="h")',
        'df.mean("n").over("site", order="h", rows=3)',
        'df.count().over("site", order=["n", "h"], descending=[True, False])',
        'df.sum("n").over(df.col("n").abs(), order=df.col("n") + 1, descending=True)',
        'df.sum("n", where=df.col("n") > 1).over("site") / 2',
        'df.quantile("n", q=0.5).over("site")',
        'df.sum(df.max("n").over("site")).over()',
    ],
)
def test_text_and_json(text: str) -> None:
    metric = GROUPED.with_columns(x=eval(text, CODE))
    assert f"x={text}" in repr(metric)
    read = df.from_json(metric.to_json())
    assert repr(read) == repr(metric)
    assert read.to_json() == metric.to_json()


def test_the_json_form() -> None:
    metric = GROUPED.with_columns(x=df.sum("n").over("site", order=["h"], rows=3))
    (column,) = json.loads(metric.to_json())["steps"][-1]["columns"]
    assert column["expr"] == {
        "over": {"fn": "sum", "args": [{"col": "n"}], "where": None},
        "per": [{"col": "site"}],
        "order": [{"col": "h"}],
        "rows": 3,
    }


def test_parameters_within_are_found() -> None:
    within = df.sum(df.col("n") * df.param("a", 2), where=df.col("n") > df.param("b", 1))
    metric = GROUPED.with_columns(x=within.over(df.col("n") % df.param("c", 3), order=df.col("n") % df.param("d", 4)))
    assert params_in(metric.steps) == {"a", "b", "c", "d"}


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: df.sum("n").over(1), "over takes names of columns and expressions, got 1"),
        (lambda: df.sum("n").over(["site"]), r"over takes names of columns and expressions, got \['site'\]"),
        (lambda: df.sum("n").over("site", rows=3), "over: rows= needs order=, the columns that order the rows"),
        (lambda: df.sum("n").over(descending=True), "over: descending= needs order=, the columns that order the rows"),
        (lambda: df.sum("n").over(order="h", rows=0), "over: rows= takes a number from 1, got 0"),
        (lambda: df.sum("n").over(order="h", descending=[]), "over: descending has 0 flags for 1 columns of order="),
        (lambda: df.sum("n").over(order="h", descending=[1]), "over: descending is True, False or a list of them"),
        (lambda: df.sum("n").over(order=df.col), r"df.col needs parentheses: df.col\(...\)"),
    ],
)
def test_a_wrong_call(wrong: Callable[[], object], message: str) -> None:
    with pytest.raises(df.DataflowError, match=f"^{message}"):
        wrong()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"over": "sum"}, "unknown function 'sum'"),
        ({"over": "rank"}, "a function takes one argument"),
        ({"args": [{"col": "n"}]}, "an aggregate has its own arguments"),
        ({"order": []}, "rows is for an aggregate with an order"),
        ({"rows": 0}, "rows takes a number from 1, got 0"),
        ({"n": 1}, "no number is taken: n"),
        ({"descending": [1]}, "descending takes true or false for each column of the order"),
        ({"each": []}, "unknown field 'each'"),
    ],
)
def test_wrong_json(changed: dict[str, object], message: str) -> None:
    form = json.loads(GROUPED.with_columns(x=df.sum("n").over("site", order="h", rows=3)).to_json())
    form["steps"][-1]["columns"][0]["expr"] |= changed
    with pytest.raises(df.DataflowError, match=message):
        df.from_json(json.dumps(form))
