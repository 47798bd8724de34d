"""Aggregates with options: canonical JSON both ways, and errors."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

import dataflow as df
from dataflow.metrics.bind import GraphError, StreamColumns, bind
from dataflow.metrics.json_form import JsonFormError
from operators.aggregates import REGISTRY, SIGNATURES
from operators.types import Type

STREAM = StreamColumns(
    "device",
    Type.STRING,
    "ts",
    {"temp": Type.FLOAT, "n": Type.INT, "ok": Type.BOOL, "status": Type.STRING},
)
P = df.stream("t")
T, N, S = df.col("temp"), df.col("n"), df.col("status")
METRIC = P.group_by("device").agg(
    a=df.variance("temp"),
    b=df.stddev("n", ddof=0, where=df.col("ok")),
    c=df.quantile("temp", 1),
    d=df.histogram("temp", width=2.5),
    e=df.histogram(df.time() - df.time(), edges=["1s", "1h"]),
    f=df.top_k("status", 3, cap=7),
    g=df.sum(T.decimal(2, rounding="half_even")),
)


def agg_of(metric: df.Stream, name: str) -> dict[str, Any]:
    aggs = json.loads(metric.to_json())["steps"][-1]["aggs"]
    found: dict[str, Any] = next(a["agg"] for a in aggs if a["name"] == name)
    return found


def test_round_trip() -> None:
    text = METRIC.to_json()
    assert df.from_json(text).to_json() == text
    assert agg_of(METRIC, "a")["ddof"] == 1
    assert agg_of(METRIC, "c")["q"] == 1.0
    assert agg_of(METRIC, "d") | {"args": []} == {
        "fn": "histogram", "args": [], "where": None, "width": 2.5, "edges": None,
    }  # fmt: skip
    assert agg_of(METRIC, "e")["edges"] == [1_000_000, 3_600_000_000]
    assert (agg_of(METRIC, "f")["k"], agg_of(METRIC, "f")["cap"]) == (3, 7)
    assert agg_of(METRIC, "g")["args"][0] | {"args": []} == {
        "fn": "decimal", "args": [], "places": 2, "rounding": "half_even",
    }  # fmt: skip
    bind(METRIC.steps, STREAM)


def test_every_aggregate_has_a_form() -> None:
    assert {n for n, _ in REGISTRY} | {"mttr"} == set(SIGNATURES)
    assert all(hasattr(df, name) for name in SIGNATURES)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("a", {"ddof": 2}, "ddof of variance is an integer from 0 to 1, got 2"),
        ("a", {"ddof": True}, "ddof of variance"),
        ("a", {"q": 0.5}, "unknown field 'q'"),
        ("c", {"q": 1.5}, "q of quantile is a number from 0 to 1"),
        ("c", {"q": "0.5"}, "q of quantile"),
        ("d", {"width": 0}, "width of histogram is a positive number"),
        ("e", {"edges": [2, 1]}, "rising numbers"),
        ("e", {"edges": []}, "rising numbers"),
        ("f", {"k": 0}, "k of top_k is an integer from 1"),
        ("f", {"cap": 1e6}, "cap of top_k"),
    ],
)
def test_json_that_is_refused(name: str, change: dict[str, Any], message: str) -> None:
    graph = json.loads(METRIC.to_json())
    next(a["agg"] for a in graph["steps"][-1]["aggs"] if a["name"] == name).update(change)
    with pytest.raises(JsonFormError, match=message):
        df.from_json(json.dumps(graph))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"places": 10}, "0 to 9 places"),
        ({"places": True}, "0 to 9 places"),
        ({"rounding": "up"}, "exact, half_even, half_up"),
    ],
)
def test_decimals_that_are_refused(change: dict[str, Any], message: str) -> None:
    graph = json.loads(METRIC.to_json())
    graph["steps"][-1]["aggs"][6]["agg"]["args"][0].update(change)
    with pytest.raises(JsonFormError, match=message):
        df.from_json(json.dumps(graph))


def test_a_missing_option_is_not_guessed() -> None:
    graph = json.loads(METRIC.to_json())
    del graph["steps"][-1]["aggs"][0]["agg"]["ddof"]
    with pytest.raises(JsonFormError, match="'ddof' is missing"):
        df.from_json(json.dumps(graph))


INTERVALS = P.state_duration("status")
TABLE = P.group_by("device").agg(n=df.count(), t=df.top_k("status"), last=df.max("temp"))


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        (lambda: P.agg(x=df.quantile("status", 0.5)), "x: quantile cannot take string; it takes duration, float64,"),
        (lambda: P.agg(x=df.variance("status")), "takes bool, duration, float64, int64, decimal"),
        (lambda: P.agg(x=df.histogram("n", width=0.5)), "x: histogram of int64 takes whole numbers for its width"),
        (lambda: P.agg(x=df.histogram("n", width="5m")), "histogram of int64 takes numbers for its width, and no len"),
        (lambda: P.agg(x=df.histogram("temp", edges=[1, "5m"])), "histogram of float64 takes numbers for its edges"),
        (lambda: P.agg(x=df.histogram(df.time() - df.time(), width=60)), "durations takes lengths of time, like"),
        (lambda: P.agg(x=df.histogram(df.time() - df.time(), width=0.5)), "of durations takes lengths of time"),
        (lambda: P.agg(x=df.transitions("temp")), "transitions cannot take float64"),
        (lambda: P.agg(x=df.mtbf(df.col("ok"))), "mtbf needs intervals"),
        (lambda: P.agg(x=df.time_weighted_mean("temp")), "time_weighted_mean needs intervals"),
        (lambda: INTERVALS.agg(x=df.mtbf("status")), "mtbf"),
        (lambda: TABLE.agg(x=df.increase("n")), "needs the rows of a key in time order"),
        (lambda: TABLE.agg(x=df.candlestick("n")), "needs rows in time order"),
        (lambda: TABLE.agg(x=df.last("n")), "needs rows in time order"),
        (lambda: TABLE.filter(df.col("t") == "a"), "eq cannot take json"),
        (lambda: TABLE.select(x=df.when(df.col("n") > 1).then(df.col("t")).otherwise(None)), "when cannot take json"),
        (lambda: TABLE.agg(x=df.count("t")), "count cannot take json"),
        (lambda: TABLE.group_by("t").agg(n=df.count()), "'t' is json, which can be shown, but not grouped by"),
        (lambda: TABLE.sort("t"), "'t' is json, which has no order"),
        (lambda: P.agg(x=df.Agg("nobodys", (T,))), "there is no aggregate 'nobodys'; a custom aggregate must"),
    ],
)  # fmt: skip
def test_mistakes(metric: Callable[[], df.Stream], message: str) -> None:
    with pytest.raises(GraphError, match=message):
        bind(metric().steps, STREAM)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: df.histogram("temp"), "either width= or edges="),
        (lambda: df.histogram("temp", width=1, edges=[1]), "either width= or edges="),
        (lambda: df.histogram("temp", width=-1), "width of histogram is a positive number"),
        (lambda: df.quantile("temp", 1.1), "a number from 0 to 1"),
        (lambda: df.top_k("temp", 0), "an integer from 1"),
        (lambda: P.agg(a=df.integral("temp", "5m"), b=df.count()), "must have the same value and hold"),
        (lambda: P.agg(a=df.integral("temp", "5m"), b=df.integral("temp", "6m")), "the same value and hold"),
        (lambda: INTERVALS.agg(a=df.integral("temp", "5m")), "intervals already; leave out hold="),
        (lambda: P.sessionize("5m", a=df.integral("temp", "5m")), "sessionize: integral with hold="),
    ],
)
def test_mistakes_at_once(make: Callable[[], object], message: str) -> None:
    with pytest.raises(df.DataflowError, match=message):
        make()


def test_lengths_of_a_histogram_are_integers_in_json() -> None:
    metric = P.agg(h=df.histogram(df.time() - df.time(), edges=["1s", "1h"]))
    assert 'edges=["1s", "1h"]' in repr(metric)
    assert eval(repr(metric)).to_json() == metric.to_json()
    read = df.from_json(metric.to_json())
    assert "[1000000, 3600000000]" in repr(read)
    bind(read.steps, STREAM)


def test_a_hold_makes_intervals() -> None:
    short = P.group_by("device").agg(m=df.time_weighted_mean("temp", "5m"), i=df.integral("temp", hold="5m"))
    long = (
        P.state_duration("temp", hold="5m")
        .group_by("device")
        .agg(m=df.time_weighted_mean("temp"), i=df.integral("temp"))
    )
    assert short.to_json() == long.to_json()
    of_expression = P.agg(m=df.time_weighted_mean(T * 2, "5m"))
    step = json.loads(of_expression.to_json())["steps"][1]
    assert (step["op"], step["name"], step["hold"]) == ("state_duration", "value", 300_000_000)


def test_json_columns_may_be_tested_for_null() -> None:
    plan = bind(TABLE.filter(df.col("t").is_not_null()).steps, STREAM)
    assert dict(plan.outputs)["t"] is Type.JSON


def test_laws_in_the_plan() -> None:
    plan = bind(P.agg(q=df.median("temp"), a=df.approx_distinct("n")).steps, STREAM)
    assert "q = median: exact, within 0.50%" in plan.laws
    assert "a = approx_distinct: additive, duplicate_safe, overlap_safe, exact, within 1.62%" in plan.laws
