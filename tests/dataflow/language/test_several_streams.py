"""Unions, joins as of a time and timelines of different streams in the DSL: JSON, text, plans and errors."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

import dataflow as df
from dataflow.binding.typing import GraphError
from dataflow.metrics.bind import StreamColumns, bind, streams_of
from dataflow.metrics.json_form import JsonFormError
from dataflow.plan.stages import Plan
from operators.types import Type

TRADES = StreamColumns("sym", Type.STRING, "t", {"price": Type.INT, "qty": Type.INT})
QUOTES = StreamColumns("symbol", Type.STRING, "at", {"bid": Type.INT, "price": Type.FLOAT, "qty": Type.INT})
EVENTS = StreamColumns("id", Type.INT, "t", {"qty": Type.INT, "sym": Type.STRING})
ALL = {"trades": TRADES, "quotes": QUOTES, "events": EVENTS}
T, Q, E = (df.stream(name) for name in ALL)
BID = Q.select("bid")


def plan_of(metric: df.Stream) -> Plan:
    first, *others = streams_of(metric.steps)
    return bind(metric.steps, ALL[first], {}, {name: ALL[name] for name in others})


METRICS = [
    df.union(T.select("qty"), Q.select("qty")),
    df.union(T.filter(df.col("qty") > 1), BID.held("bid", hold="1h"), T.with_columns(n=df.lit(1))).agg(n=df.count()),
    df.union(df.union(T, BID), T.join_asof(BID)).group_by("bid").agg(n=df.count()),
    T.join_asof(Q.filter(df.col("bid") > 0), on="sym", tolerance="5s", suffix="_q").with_columns(
        spread=df.col("price") - df.col("bid")
    ),
    T.join_asof(BID).join_asof(T.select(own=df.col("qty"), seen=df.time()), tolerance="1d").window("1h", n=df.count()),
    (T.state_duration(df.col("qty") > 1) & ~Q.heartbeat("5m")).group_by("state").agg(time=df.duration()),
    df.combine(df.col("a") | df.col("b"), a=T.heartbeat("5m"), b=Q.filter(df.col("bid") > 1).heartbeat("1h")),
    df.at_least(2, of=[T.heartbeat("5m"), Q.heartbeat("5m"), Q.state_duration(df.col("bid") > 1)]),
]


@pytest.mark.parametrize("metric", METRICS, ids=range(len(METRICS)))
def test_json_and_text_both_ways(metric: df.Stream) -> None:
    again = df.from_json(metric.to_json())
    assert again.to_json() == metric.to_json()
    assert repr(again) == repr(metric)
    assert eval(repr(metric), {"df": df}).to_json() == metric.to_json()
    assert plan_of(again).inputs


def test_a_metric_over_one_stream_is_as_before() -> None:
    plan = bind(T.heartbeat("5m").steps, TRADES)
    assert (plan.inputs, plan.columns) == ((), ())
    assert json.loads((T.heartbeat("5m") & T.state_duration("qty")).to_json())["steps"][0] == {
        "name": "trades", "op": "stream",
    }  # fmt: skip


def test_what_is_read_and_in_which_order() -> None:
    """The other rows of a join come first, and only of them rows before the range are needed."""
    plan = plan_of(T.join_asof(BID, tolerance="5s").agg(n=df.sum("bid")))
    assert [(i.stream, [own for _, own, _ in i.columns], i.history) for i in plan.inputs] == [
        ("quotes", ["bid"], 5_000_000), ("trades", [], 0),
    ]  # fmt: skip
    assert plan.history == 5_000_000
    nested = plan_of(df.union(E.select("qty"), E.select(n=df.col("qty")).join_asof(E.select(m=df.col("qty")))))
    assert [i.number for i in nested.inputs] == [0, 2, 1]


def test_columns_that_nothing_reads_are_not_read() -> None:
    union = df.union(T.with_columns(n=df.col("price") + 1), BID.with_columns(n=df.col("bid")))
    assert plan_of(union.group_by("qty").agg(n=df.count())).columns == ("qty",)
    assert plan_of(T.join_asof(Q.select("bid", b=df.col("qty"))).agg(n=df.sum("bid"))).columns == ("bid",)


def test_the_key_has_the_name_of_the_first() -> None:
    plan = plan_of(df.union(T.select("qty"), Q.select("qty", owner=df.col("symbol"))))
    assert [name for name, _ in plan.outputs] == ["sym", "qty", "owner", "t"]


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        (df.union(T, Q), r"step 1 \(union\): the column 'price' is int64 in trades and float64 in quotes: give both"),
        (df.union(T, E), r"step 1 \(union\): the key of trades \('sym'\) is string, that of events \('id'\) is int64"),
        (df.union(Q.select("qty"), T.select("qty", at=df.col("price"))), "'at' is the time of quotes and a column"),
        (T.join_asof(E), r"step 2 \(join_asof\): the key of trades \('sym'\) is string"),
        (T.join_asof(Q), "there is a column 'price' in trades and in quotes: give suffix="),
        (T.with_columns(price_q=df.lit(1)).join_asof(Q, suffix="_q"), "there is a column 'price_q' in trades and"),
        (T.join_asof(BID, on="qty"), r"it joins by the key, which is 'sym'; to join by 'qty', ingest both"),
        (T.heartbeat("5m").join_asof(BID), "joins the points of streams; use it before windows, sessions, states"),
        (df.union(T.filter(df.col("bid") > 1), BID), r"step 1 \(union\), filter: there is no column 'bid'"),
        (T.join_asof(BID.filter(df.col("ask") > 1)), r"step 2 \(join_asof\), filter: there is no column 'ask'"),
        ((T.heartbeat("5m") & Q.heartbeat("5m")).filter(df.col("price") > 1), "the column 'price' is int64 in trades"),
    ],
)  # fmt: skip
def test_what_does_not_fit(metric: df.Stream, message: str) -> None:
    with pytest.raises(GraphError, match=message):
        plan_of(metric)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: df.union(T), "union takes at least two streams"),
        (lambda: df.union(T, "quotes"), r"union takes streams, like df.stream\('quotes'\), got 'quotes'"),
        (lambda: df.union(T, Q.heartbeat("5m")), "union: heartbeat makes rows of another kind"),
        (lambda: df.union(T, df.stream), "union"),
        (lambda: df.union(*[T] * 33), "names at most 32 streams, got 33"),
        (lambda: T.join_asof(Q.agg(n=df.count())), "join_asof: group_by makes rows of another kind"),
        (lambda: T.join_asof(Q, tolerance="five"), "join_asof"),
        (lambda: T.join_asof(Q, suffix=""), "suffix.* a text that is not empty"),
        (lambda: df.union(T, T).heartbeat("5m") & T.heartbeat("1m"), "rows of several streams, of which no timeline"),
    ],
)
def test_mistakes_at_once(make: Callable[[], object], message: str) -> None:
    with pytest.raises(df.DataflowError, match=message):
        make()


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([{"op": "union", "parts": [[{"op": "stream", "name": "a"}]]}], "expected 2 to 32 parts, got 1"),
        (
            [{"op": "union", "parts": [[{"op": "stream", "name": "a"}], [{"op": "limit", "n": 1}]]}],
            r"parts\[1\]: expected a stream with row steps",
        ),
        ([{"op": "streams", "names": ["a", "a"]}], "the name 'a' is given twice"),
        ([{"op": "stream", "name": "a"}, {"op": "join_asof", "other": [{"op": "stream", "name": "b"}], "tolerance": 0}],
         "positive microseconds"),
        ([{"op": "stream", "name": "a"}, {"op": "stream", "name": "b"}], "the first step, and only the first"),
    ],
)  # fmt: skip
def test_json_that_is_no_metric(steps: object, message: str) -> None:
    with pytest.raises(JsonFormError, match=message):
        df.from_json(json.dumps({"antfold": 1, "steps": steps}))
