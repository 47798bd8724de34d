"""Windows across keys, filled series and statistics: text, JSON and mistakes."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable
from datetime import timedelta

import pytest

import dataflow as df
from dataflow.metrics.bind import GraphError, StreamColumns, bind
from dataflow.metrics.json_form import JsonFormError
from operators.types import Type

STREAM = StreamColumns(
    "device",
    Type.STRING,
    "ts",
    {"temp": Type.FLOAT, "n": Type.INT, "ok": Type.BOOL, "status": Type.STRING, "price": Type.DECIMAL_2},
)
P = df.stream("t")
INTERVALS = P.state_duration("status")
TABLE = P.group_by("device", "status").agg(n=df.count(), temp=df.mean("temp"))

WRITTEN = {
    P.window("1m", size="10m", by="status", n=df.count()): (
        'df.stream("t").window("1m", size="10m", by="status", n=df.count())'
    ),
    P.window("1d", "Europe/London", by=("status", "ok"), empty=True, n=df.mode("n")): (
        'df.stream("t").window("1d", zone="Europe/London", by=["status", "ok"], empty=True, n=df.mode("n"))'
    ),
    P.window("1h", by=[]): 'df.stream("t").window("1h", by=[])',
    P.window("1h", fill="linear", t=df.mean("temp")): (
        'df.stream("t").window("1h", empty=True, t=df.mean("temp")).fill("t", method="linear")'
    ),
    P.window("1h", fill="next", t=df.mean("temp")).fill("t", method="last", by="device", within="1h"): (
        '(\n    df.stream("t")\n    .window("1h", empty=True, t=df.mean("temp"))\n    .fill("t", method="next")\n'
        '    .fill("t", method="last", by=["device"], within="1h")\n)'
    ),
    P.window("1h", fill="last", by="ok", t=df.mean("temp")): (
        '(\n    df.stream("t")\n    .window("1h", by="ok", empty=True, t=df.mean("temp"))\n'
        '    .fill("t", method="last", by=["ok"])\n)'
    ),
    P.window("1h", fill=0, t=df.max("n")): (
        'df.stream("t").window("1h", empty=True, t=df.max("n")).with_columns(t=df.col("t").fill_null(0))'
    ),
    P.agg(x=df.max_by("status", by="temp"), y=df.min_by(df.col("n") + 1, "price", where=df.col("ok"))): (
        'df.stream("t").agg(x=df.max_by("status", "temp"), y=df.min_by(df.col("n") + 1, "price", where=df.col("ok")))'
    ),
    P.agg(x=df.slope("temp", df.time(), per=timedelta(hours=1)), y=df.slope("n", "temp")): (
        'df.stream("t").agg(x=df.slope("temp", df.time(), per="1h"), y=df.slope("n", "temp"))'
    ),
    P.agg(x=df.covariance("n", "ok", ddof=0), y=df.correlation("n", "price"), z=df.kurtosis("n")): (
        '(\n    df.stream("t")\n    .agg(\n        x=df.covariance("n", "ok", ddof=0),\n'
        '        y=df.correlation("n", "price"),\n        z=df.kurtosis("n"),\n    )\n)'
    ),
    P.agg(x=df.collect("n", first=3), y=df.skewness("temp", ddof=0)): (
        'df.stream("t").agg(x=df.collect("n", first=3), y=df.skewness("temp", ddof=0))'
    ),
    P.agg(x=df.integral("n", "5m", between="linear"), y=df.time_weighted_mean("n", between="linear")): (
        'df.stream("t").agg(x=df.integral("n", between="linear", hold="5m"), '
        'y=df.time_weighted_mean("n", between="linear"))'
    ),
}


@pytest.mark.parametrize(("metric", "text"), WRITTEN.items())
def test_text_and_json(metric: df.Stream, text: str) -> None:
    assert ast.dump(ast.parse(repr(metric))) == ast.dump(ast.parse(text))  # equal but for line breaks
    assert eval(repr(metric), {"df": df}).to_json() == metric.to_json()
    assert df.from_json(metric.to_json()).to_json() == metric.to_json()
    bind(metric.steps, STREAM)


def changed(metric: df.Stream, **fields: object) -> str:
    graph = json.loads(metric.to_json())
    graph["steps"][-1].update(fields)
    return json.dumps(graph)


def test_json_that_is_refused() -> None:
    across = P.window("1h", by="ok", n=df.count())
    assert json.loads(across.to_json())["steps"][-1]["op"] == "window_across"
    for metric, fields, message in [
        (across, {"by": "ok"}, "by: expected a list"),
        (across, {"by": ["ok", "ok"]}, "'ok' is given twice"),
        (across, {"size": 1001}, "size: expected 2 to 1,000"),
        (across, {"every": "7h"}, "does not divide a day"),
        (P.fill("n", method="last"), {"fill_method": "back"}, "expected one of linear, last, next"),
        (P.fill("n", method="last"), {"columns": []}, "at least one column"),
    ]:
        with pytest.raises(df.DataflowError, match=message):
            df.from_json(changed(metric, **fields))
    graph = json.loads(P.agg(m=df.slope("n", "temp")).to_json())
    graph["steps"][-1]["aggs"][0]["agg"]["per"] = 0
    with pytest.raises(JsonFormError, match="per of slope is a positive length"):
        df.from_json(json.dumps(graph))


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        (lambda: INTERVALS.window("1h", by="status"), r"step 3 \(window\): with by= it takes points; group other rows"),
        (lambda: TABLE.window("1h", by="status"), "with by= it takes points"),
        (lambda: P.window("1h", by="site"), r"step 2 \(window\): there is no column 'site'"),
        (lambda: P.window("1h", by="status", start=df.count()), "cannot be named 'start', which this step uses"),
        (lambda: P.window("1h", by="status", status=df.count()), "already a column named 'status' in by="),
        (lambda: P.window("100y", size="200y", by="ok"), "longer than a century"),
        (lambda: P.window("1h", by="ok", d=df.duration()), "duration needs rows with a length"),
        (lambda: P.window("1h", fill="linear", s=df.mode("status")), "'s' is string; straight lines are for numbers"),
        (lambda: P.window("1h", fill="last", s=df.collect("n", first=2)), "json"),
        (lambda: INTERVALS.fill("status", method="last"), "it takes points, windows or a table"),
        (lambda: TABLE.fill("temp", method="last"), r"step 3 \(fill\): of a table it takes by="),
        (
            lambda: TABLE.fill("temp", method="last", by="device"),
            "in the order of their column 'start', a time; name the bucket so",
        ),
        (lambda: P.fill("temp", method="last", by="status"), "by= is for a table"),
        (lambda: P.window("1h", by="ok").fill("ok", method="last", by="ok"), "'ok' cannot be filled, since it orders"),
        (lambda: P.agg(x=df.max_by("n", by="status")), r"x: max_by\(by=\) cannot take string; it takes bool, int64"),
        (lambda: P.agg(x=df.slope(df.time(), "n")), r"slope\(y, x\) cannot take time as y, which is a number"),
        (lambda: P.agg(x=df.slope("n", "status")), r"slope\(y, x\) cannot take string as x"),
        (lambda: P.agg(x=df.slope("n", "temp", per="1h")), "per=.* is for an x that is a time or a duration"),
        (lambda: P.agg(x=df.correlation("n", "status")), "correlation cannot take string; it takes two columns"),
        (lambda: P.agg(x=df.covariance("status", "n")), "covariance cannot take string"),
        (lambda: P.agg(x=df.skewness("status")), "skewness cannot take string; it takes bool, duration"),
        (lambda: INTERVALS.agg(x=df.integral("n", between="linear")), "is about points; use it without state_duration"),
        (lambda: TABLE.agg(x=df.integral("n", between="linear")), "needs the rows of a key in time order"),
        (lambda: P.agg(x=df.time_weighted_mean("n")), "time_weighted_mean needs intervals"),
    ],
)
def test_mistakes(metric: Callable[[], df.Stream], message: str) -> None:
    with pytest.raises(GraphError, match=message):
        bind(metric().steps, STREAM)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: P.window("1h", by=3), r"window\(by\): columns are names, or a list"),
        (lambda: P.window("1h", by=["ok", "ok"]), "the column 'ok' is given twice"),
        (lambda: P.window("1h", by=[df.col("ok")]), r"window\(by\) takes names of columns"),
        (
            lambda: P.window("1h", fill="back", n=df.count()),
            r"like df.lit\('back'\), or 'linear', 'last' or 'next'",
        ),
        (lambda: P.window("1h", by="ok", fill=df.count(), n=df.count()), "aggregate"),
        (lambda: P.window("1h", fill=df.param("how", "linear"), n=df.count()), "a parameter is a value to fill with"),
        (lambda: P.window("1h", **{"": df.count()}), r"window: a column needs a name, got ''"),
        (lambda: P.agg(**{"": df.count()}), r"agg: a column needs a name, got ''"),
        (lambda: P.with_columns(**{"": df.col("n")}), r"with_columns: a column needs a name, got ''"),
        (lambda: P.fill(method="last"), "fill takes the columns to fill"),
        (lambda: P.fill("n", method="back"), "method is 'linear', 'last' or 'next', got 'back'"),
        (lambda: df.collect("n", first=0), "first of collect is an integer from 1 to 1,000, got 0"),
        (lambda: df.slope("n", "temp", per="0s"), "slope"),
        (lambda: df.covariance("n", "temp", ddof=2), "an integer from 0 to 1"),
        (lambda: df.integral("n", between="curves"), "'steps' or 'linear', got 'curves'"),  # type: ignore[arg-type]
    ],
)
def test_what_cannot_be_written(make: Callable[[], object], message: str) -> None:
    with pytest.raises(df.DataflowError, match=message):
        make()
