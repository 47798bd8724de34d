"""``repr`` of expressions, aggregates and metrics is Python that builds them again."""

from __future__ import annotations

import copy
import json
import pickle
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import dataflow as df
from dataflow.expressions.expr import Expr
from dataflow.language.stream import Stream
from dataflow.metrics.json_form import from_dict
from dataflow.steps.base import content_of
from tests.laws.graphs import GRAPHS

UP = df.col("status") == "up"
P = df.stream("telemetry")
NAMES = {"df": df, "datetime": datetime, "timedelta": timedelta, "UTC": UTC}


def again(text: str) -> Any:
    return eval(text, dict(NAMES))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (UP, 'df.col("status") == "up"'),
        (df.lit("up"), 'df.lit("up")'),
        ((df.col("a") + 1) * 2 > 3 - df.col("b"), '(df.col("a") + 1) * 2 > 3 - df.col("b")'),
        (df.col("a") - (df.col("b") - 1), 'df.col("a") - (df.col("b") - 1)'),
        (~UP & (df.col("x") < 3), '~(df.col("status") == "up") & (df.col("x") < 3)'),
        (-df.col("x").abs(), '-df.col("x").abs()'),
        ((-df.col("x")).abs(), '(-df.col("x")).abs()'),
        (df.time().truncate("1d", zone="Europe/London"), 'df.time().truncate("1d", zone="Europe/London")'),
        (df.time().hour() < 6, "df.time().hour() < 6"),
        (df.time() + timedelta(days=60), "df.time() + timedelta(days=60)"),
        (df.time() >= datetime(2024, 3, 1, 12, tzinfo=UTC), "df.time() >= datetime(2024, 3, 1, 12, tzinfo=UTC)"),
        (df.col("x").is_in([2, 1]), 'df.col("x").is_in([1, 2])'),
        (df.col("fw").last("90s"), 'df.col("fw").last("90s")'),
        (df.when(UP).then(1).otherwise(None), 'df.when(df.col("status") == "up").then(1).otherwise(None)'),
        (df.when(UP).then(1), 'df.when(df.col("status") == "up").then(1)'),
        (df.when(UP), 'df.when(df.col("status") == "up")'),
        (df.param("above", default=20.0), 'df.param("above", default=20.0)'),
        (df.mean("temp", where=UP), 'df.mean("temp", where=df.col("status") == "up")'),
        (df.quantile("temp", 0.9), 'df.quantile("temp", q=0.9)'),
        (df.top_k(df.lit("x"), 3), 'df.top_k(df.lit("x"), k=3)'),
        (P.filter(UP).limit(3), 'df.stream("telemetry").filter(df.col("status") == "up").limit(3)'),
        (P.group_by("a", b=df.col("c")), 'df.stream("telemetry").group_by("a", b=df.col("c"))'),
        (P.select(**{"from": df.col("a")}), 'df.stream("telemetry").select(**{"from": df.col("a")})'),
    ],
)
def test_as_one_writes_it(value: Any, text: str) -> None:
    assert repr(value) == text
    if isinstance(value, Expr):
        assert content_of(again(text)) == content_of(value)


def test_long_metrics_have_a_line_for_each_step() -> None:
    metric = (
        P.state_duration("status", hold="5m")
        .group_by("firmware", day=df.time().truncate("1d"))
        .agg(uptime=df.share_of_time(UP), known=df.known_time(), devices=df.count_distinct("device"))
    )
    assert repr(metric) == (
        "(\n"
        '    df.stream("telemetry")\n'
        '    .state_duration("status", hold="5m")\n'
        '    .group_by("firmware", day=df.time().truncate("1d"))\n'
        "    .agg(\n"
        '        uptime=df.share_of_time(df.col("status") == "up"),\n'
        "        known=df.known_time(),\n"
        '        devices=df.count_distinct("device"),\n'
        "    )\n"
        ")"
    )


ONLY_JSON = {
    "membership": "a list that is empty has a type in JSON, and its own order",
    "two_of_three": "a timeline after a filter",
}
"""Metrics that the DSL cannot express, and why."""


@pytest.mark.parametrize("name", sorted(set(GRAPHS) - set(ONLY_JSON)))
def test_every_metric_comes_back(name: str) -> None:
    graph = json.loads(json.dumps(GRAPHS[name]))
    metric = Stream(from_dict(graph))
    assert again(repr(metric)).to_json() == metric.to_json()


LEAVES = st.one_of(
    st.sampled_from(["a", 'quo"te', "both \"'", "new\nline", "ä"]).map(df.col),
    st.one_of(
        st.none(), st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False), st.text(max_size=5),
        st.timedeltas(timedelta(-9999), timedelta(9999)), st.datetimes(timezones=st.just(UTC)),
    ).map(df.lit),
    st.just(df.time()),
)  # fmt: skip


def grown(inner: st.SearchStrategy[Expr]) -> st.SearchStrategy[Expr]:
    import operator as o

    pairs = [o.add, o.sub, o.mul, o.truediv, o.floordiv, o.mod, o.eq, o.ne, o.lt, o.le, o.gt, o.ge, o.and_, o.or_]
    singles: list[Any] = [o.neg, o.invert, Expr.abs, Expr.changed, Expr.is_null, lambda e: e.truncate("1w")]
    return st.one_of(
        st.builds(lambda f, a, b: f(a, b), st.sampled_from(pairs), inner, inner),
        st.builds(lambda f, a: f(a), st.sampled_from(singles), inner),
        st.builds(lambda a, b, c: df.when(a).then(b).otherwise(c), inner, inner, inner),
        st.builds(lambda a, b: a.fill_null(b), inner, inner),
    )


@given(st.recursive(LEAVES, grown, max_leaves=12))
def test_every_expression_comes_back(e: Expr) -> None:
    assert content_of(again(repr(e))) == content_of(e)


def test_values_survive_copies() -> None:
    for value in (UP, P.filter(UP), P.group_by("a"), df.mean("x")):
        assert repr(copy.deepcopy(value)) == repr(pickle.loads(pickle.dumps(value))) == repr(value)


def test_a_package_shows_what_is_to_be_used() -> None:
    import runtime

    assert [n for n in dir(df) if not n.startswith("__")] == sorted(df.__all__)
    assert [n for n in dir(runtime) if not n.startswith("__")] == sorted(runtime.__all__)
