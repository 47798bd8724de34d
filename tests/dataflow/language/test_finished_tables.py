"""The language of finished tables: text and JSON in both directions, and what is wrong with a call."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

import dataflow as df

N = df.col("n")
GROUPED = df.stream("s").group_by("site", "h").agg(n=df.count())


@pytest.mark.parametrize(
    "text",
    [
        'df.col("n").share()',
        'df.col("n").share("site", df.col("h") // 2)',
        'df.col("n").rank()',
        'df.col("n").rank(per="site", descending=True)',
        'df.col("n").dense_rank(per=["site", "h"])',
        'df.col("n").ntile(1, descending=True)',
        'df.col("n").previous(order="h")',
        'df.col("n").previous(2, order=["h", "n"], per="site", descending=[True, False])',
        'df.col("n").next(order=df.col("h") % 2, descending=True)',
        'df.col("n").row_number(order="h", per="site")',
        'df.col("n").cumulative_max(order="h")',
        'df.col("n").previous(2) - df.col("n").cumulative_min(order="h")',
        'df.col("n").cumulative_sum(order="h") / df.sum("n").over()',
        '(df.col("n") + 1).cumulative_sum(order="h")',
        'df.max(df.col("n").share("site")).over("site")',
    ],
)
def test_text_and_json_of_functions(text: str) -> None:
    metric = GROUPED.with_columns(x=eval(text, {"df": df}))
    assert f"x={text}" in repr(metric)
    read = df.from_json(metric.to_json())
    assert (repr(read), read.to_json()) == (repr(metric), metric.to_json())


@pytest.mark.parametrize(
    "text",
    [
        '.top(3, by="n")',
        '.top(1, by=df.col("n").share("site"), per=["site", df.col("h") // 2], descending=False)',
        '.pivot("site", values=["a", "b"])',
        '.pivot("h", values=[1, 2, None], of="n", other="more")',
        '.pivot("site", values=["a"], of=["n", "h"])',
        '.pivot("site", values=["a"], of=df.mean("n", where=df.col("n") > 1))',
    ],
)
def test_text_and_json_of_steps(text: str) -> None:
    metric = eval(f"GROUPED{text}", {"df": df, "GROUPED": GROUPED})
    assert text in repr(metric)
    read = df.from_json(metric.to_json())
    assert (repr(read), read.to_json()) == (repr(metric), metric.to_json())


def test_json_is_short() -> None:
    """What is usual is not written."""
    steps = json.loads(GROUPED.top(3, by="n").pivot("site", values=["a"]).to_json())["steps"]
    assert steps[-2:] == [
        {"op": "top", "n": 3, "by": {"col": "n"}},
        {"op": "pivot", "on": "site", "values": [{"lit": "a", "type": "string"}]},
    ]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: N.ntile(0), "ntile takes a number from 1, got 0"),
        (lambda: N.previous(0, order="h"), "previous takes a number from 1, got 0"),
        (lambda: N.previous(2, per=N), "previous needs order=, the columns that order the rows of a finished table"),
        (lambda: N.next(per="site"), "next needs order="),
        (lambda: N.row_number("day", order="h"), "row_number: within= is for the rows of a key; on a finished table"),
        (lambda: N.cumulative_sum(per="site"), "cumulative_sum needs order="),
        (lambda: N.rank(descending=[True, False]), "rank: descending has 2 flags for 1 columns"),
        (lambda: N.rank(per=1), "rank: per= takes names of columns and expressions, got 1"),
        (lambda: N.share(1), "share takes names of columns and expressions, got 1"),
        (lambda: GROUPED.top(0, by="n"), "top takes a number from 1, got 0"),
        (lambda: GROUPED.top(2, by=["n", "h"]), "top: by= is the one column or expression"),
        (lambda: GROUPED.pivot("site", values="a"), "pivot: values= is a list of constants, got 'a'"),
        (lambda: GROUPED.pivot("site", values=[]), "pivot: values= is a list of 1 to 500 constants"),
        (lambda: GROUPED.pivot("site", values=[N]), "pivot: values= is a list of 1 to 500 constants"),
        (lambda: GROUPED.pivot("site", values=["a"], of=N), r"pivot: of= takes names of columns or an aggregate"),
    ],
)
def test_a_wrong_call(wrong: Callable[[], object], message: str) -> None:
    with pytest.raises(df.DataflowError, match=f"^{message}"):
        wrong()
