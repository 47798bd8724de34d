"""Metrics that take answers of others: their text, their JSON both ways, mistakes where they are written."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import numpy as np
import pytest

import dataflow as df
from dataflow.json.errors import JsonFormError
from dataflow.json.reading import Reader
from dataflow.metrics.inner_answers import answered, has_inner, streams_in, task_graph
from dataflow.metrics.json_form import to_dict
from dataflow.steps.base import InnerMetric
from dataflow.tables.answer_tables import AnswerColumn, AnswerTable, answer_in, without_rows
from operators.types import Type

S = df.stream("s")
TOTALS = S.group_by("site", d=df.time().truncate("1d")).agg(total=df.sum("n"))
OTHER = df.stream("other").group_by("site").agg(m=df.count())
TABLE = AnswerTable(
    [
        AnswerColumn("site", Type.STRING, np.array([0, 1, 0]), np.array([True, True, False]), ("x", "ü")),
        AnswerColumn("total", Type.FLOAT, np.array([0.5, -0.0, 0.0]), np.array([True, True, False])),
    ]
)
METRICS: dict[str, list[df.Stream]] = {
    "join_metric": [
        S.join(TOTALS, on=["site", "d"], suffix="_of_site"),
        S.join(OTHER, on=df.col("a") + 1, key="site", how="inner"),
        S.join(S.filter(df.col("n") > df.param("least", 3)).group_by("k").agg(x=df.max("n")), on="k"),
    ],
    "join_periods": [
        S.join(S.state_duration("mode"), on="k", valid_from="start", valid_to="end"),
        S.join(OTHER, on=df.col("a") + 1, key="site", how="inner", valid_to="until"),
    ],
    "side_by_side": [
        df.join(TOTALS, OTHER, on="site"),
        df.join(OTHER, OTHER, OTHER, on=["site"], how="left", suffix="2"),
    ],
    "compare": [TOTALS.compare("-7d"), TOTALS.compare(timedelta(hours=36), prefix="next_", how="left").sort("total")],
    "key_by": [S.key_by("order").group_by("order").agg(n=df.count())],
}


@pytest.mark.parametrize("name", METRICS)
def test_text_and_json_build_the_same(name: str) -> None:
    for metric in METRICS[name]:
        assert any(step.op == name for step in metric.steps)
        assert repr(df.from_json(metric.to_json())) == repr(metric)
        assert eval(repr(metric)).to_json() == metric.to_json()
        assert streams_in(metric.steps) == (["other", "s"] if "other" in metric.to_json() else ["s"]) or name == (
            "side_by_side"
        )


@pytest.mark.parametrize("name", ["join_answer", "beside_answer", "compared_answer"])
def test_answers_take_the_places_of_metrics(name: str) -> None:
    metric = {"join_answer": S.join(OTHER, on="site"), "beside_answer": df.join(TOTALS, OTHER, on="site"),
              "compared_answer": TOTALS.compare("-7d")}[name]  # fmt: skip
    asked: list[tuple[InnerMetric, str]] = []

    def answer(inner: InnerMetric, where: str) -> AnswerTable:
        asked.append((inner, where))
        return TABLE

    assert has_inner(metric.steps)
    steps = answered(metric.steps, answer)
    assert not has_inner(steps)
    assert steps[len(metric.steps) - 1].op == name
    assert len(asked) == 1
    graph = to_dict(steps)
    again = df.from_json(json.dumps(graph))
    assert to_dict(again.steps) == graph
    rows = task_graph(graph)["steps"][-1]["table"]["rows"]
    assert rows == (3 if name == "join_answer" else 0)


def test_aggregates_beside_rows_are_groupings_of_the_rows_before() -> None:
    metric = S.filter(df.count().over("site") > df.mean("n").over("site")).select(x=df.sum("n").over())
    asked: list[tuple[str, str]] = []

    def answer(inner: InnerMetric, where: str) -> AnswerTable:
        asked.append((where, repr(df.Stream(inner.steps))))
        names = [n for n, _ in inner.steps[-1].aggs]  # type: ignore[attr-defined]
        by = [n for n, _ in inner.steps[-1].by]  # type: ignore[attr-defined]
        return AnswerTable.empty([*((n, Type.STRING) for n in by), *((n, Type.INT) for n in names)])

    answered(metric.steps, answer)
    assert [where for where, _ in asked] == ["step 2 (filter)", "step 3 (select)"]
    assert "df.count()" in asked[0][1]
    assert "df.mean(" in asked[0][1]
    assert "<answer of 0 rows (" in asked[1][1]


def test_an_answer_as_json() -> None:
    packed = TABLE.to_dict()
    again = answer_in(Reader(), json.loads(json.dumps(packed)), "here")
    assert again.digest == TABLE.digest
    assert again.to_dict() == packed
    assert [again.columns[0].cell(i) for i in range(3)] == ["x", "ü", None]
    none = answer_in(Reader(), without_rows(packed), "here")
    assert (none.rows, none.types) == (0, TABLE.types)
    other = AnswerTable([TABLE.columns[0], AnswerColumn("total", Type.FLOAT, np.zeros(3), TABLE.columns[1].valid)])
    assert other.digest != TABLE.digest


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"rows": 4}, "the (data are too short|places of the texts are wrong|columns do not fit)|neither 0 nor 1"),
        ({"rows": -1}, r"here\.rows: expected 0 to 2,000,000"),
        ({"packed": "no base 64!"}, r"here\.packed"),
        ({"packed": "AAAA"}, r"here\.packed"),
        ({"bytes": 5}, "the size is wrong"),
        ({"columns": []}, "expected at least one column"),
        ({"columns": [{"name": "a", "type": "int64", "words": 0}]}, "do not fit"),
        ({"columns": [{"name": "a", "type": "what", "words": 0}]}, "unknown type 'what'"),
        ({"more": 1}, "unknown field 'more'"),
    ],
)
def test_an_answer_that_is_not_one(change: dict[str, Any], error: str) -> None:
    with pytest.raises(JsonFormError, match=error):
        answer_in(Reader(), {**TABLE.to_dict(), **change}, "here")


def test_codes_outside_of_the_texts_are_refused() -> None:
    wrong = AnswerTable([AnswerColumn("s", Type.STRING, np.array([0, 7]), np.ones(2, np.bool_), ("x",))])
    with pytest.raises(JsonFormError, match="a value is none of the texts"):
        answer_in(Reader(), wrong.to_dict(), "here")


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: S.join(OTHER, on=[]), "at least one column"),
        (lambda: S.join(OTHER, on=["a", "a"]), "column 'a' is given twice"),
        (lambda: S.join(OTHER, on=["a", "b"], key="a"), "on has 2 columns and key 1"),
        (lambda: S.join(OTHER, on=df.col("a") + 1), r"name the answer's column .*key="),
        (lambda: S.join(OTHER, on="a", valid_from="t", suffix="_b"), "suffix is for metrics without valid_from"),
        (lambda: S.join(OTHER, on=["a", "b"], valid_from="t"), r"it is on one column, got on=\['a', 'b'\]"),
        (lambda: S.join(OTHER, on=df.col("a") + 1, valid_from="t"), r"name the answer's column .*key="),
        (lambda: S.join(OTHER, on="a", valid_from=3), r"join\(valid_from\) takes a string constant, got 3"),
        (lambda: S.join(OTHER, on="a", how="full"), "how is 'left' or 'inner'"),
        (lambda: S.join(OTHER, on="a", suffix=""), "the suffix is empty"),
        (lambda: S.join(S.group_by("a"), on="a"), "join takes a reference table"),
        (lambda: S.join(df.table({"a": [1]}), on=["a", "b"]), "a reference table is joined on one column"),
        (lambda: df.join(TOTALS, on="site"), "at least two metrics"),
        (lambda: df.join(TOTALS, OTHER, on="site", how="right"), "how is 'full', 'left' or 'inner'"),
        (lambda: df.join(TOTALS, OTHER, on=df.col("a")), "on takes a column or a list"),
        (lambda: df.join(TOTALS, {"a": [1]}, on="a"), "df.join takes metrics"),
        (lambda: S.key_by(3), "key_by takes names of columns"),
        (lambda: TOTALS.compare("7"), "is not a duration"),
    ],
)
def test_mistakes_where_they_are_written(make: Any, error: str) -> None:
    with pytest.raises(df.DataflowError, match=error):
        make()


@pytest.mark.parametrize(
    ("op", "change", "error"),
    [
        ("join_metric", {"metric": []}, "a metric has 1 to 64 steps, got 0"),
        ("join_metric", {"metric": [{"op": "limit", "n": 1}]}, "the first step, and only the first, names the stream"),
        ("join_metric", {"on": []}, "expected at least one column"),
        ("join_periods", {"valid_from": None, "valid_to": None}, "expected a text"),
        ("join_periods", {"key": ""}, "expected a text"),
        ("side_by_side", {"how": "cross"}, "expected one of full, left, inner"),
        ("compare", {"shift": 0}, "expected microseconds other than 0"),
        ("key_by", {"column": ""}, "expected a text"),
    ],
)
def test_json_that_is_not_one(op: str, change: dict[str, Any], error: str) -> None:
    graph = json.loads(METRICS[op][0].to_json())
    (step,) = (s for s in graph["steps"] if s["op"] == op)
    step.update(change)
    with pytest.raises(JsonFormError, match=error):
        df.from_json(json.dumps(graph))


def test_a_reference_table_beside_an_answer() -> None:
    registry = df.table({"site": ["n", "s"], "share": [-0.0, 1.5]})
    metric = df.join(OTHER, registry, on="site", suffix="_of")
    assert repr(metric) == (
        'df.join(df.stream("other").group_by("site").agg(m=df.count()), '
        'df.table({"site": ["n", "s"], "share": [-0.0, 1.5]}), on="site", suffix="_of")'
    )
    assert df.from_json(metric.to_json()).to_json() == metric.to_json()
    assert json.loads(metric.to_json())["steps"][-1]["op"] == "beside_table"
    with pytest.raises(df.DataflowError, match="a metric comes first, then the table"):
        df.join(registry, OTHER, on="site")  # type: ignore[type-var]
    with pytest.raises(
        df.DataflowError, match=r"df\.join: the reference table has no column 'sit'; did you mean 'site'"
    ):
        df.join(OTHER, registry, on="sit")
    with pytest.raises(df.DataflowError, match="at least two metrics, or a metric and a table"):
        df.join(OTHER, on="site")
