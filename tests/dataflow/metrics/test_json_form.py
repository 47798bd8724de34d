"""The canonical JSON form: both ways, and everything it refuses."""

from __future__ import annotations

import json
from typing import Any

import pytest

import dataflow as df
from dataflow.metrics.json_form import JsonFormError

METRIC = (
    df.stream("t")
    .filter((df.col("temp") > df.param("threshold", default=30.0)) & df.col("status").is_in(["up", "down"]))
    .with_columns(late=df.time().hour("Europe/London") >= 22, prev=df.col("n").previous())
    .state_duration("status", hold="5m")
    .group_by("firmware", day=df.time().truncate("1d", zone="Europe/London"))
    .agg(up=df.share_of_time(df.col("status") == "up"), n=df.count(where=df.col("duration") > "1h"))
    .sort("up", descending=True)
    .limit(3)
)


def test_round_trip() -> None:
    text = METRIC.to_json()
    assert df.from_json(text).to_json() == text
    assert json.loads(text)["antfold"] == 1
    assert [s["op"] for s in json.loads(text)["steps"]] == [
        "stream", "filter", "with_columns", "state_duration", "group_by", "sort", "limit",
    ]  # fmt: skip


def edited(change: Any) -> str:
    d = json.loads(METRIC.to_json())
    change(d)
    return json.dumps(d)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(antfold=2), "version 2"),
        (lambda d: d.update(extra=1), "unknown field 'extra'"),
        (lambda d: d["steps"].pop(0), "names the stream"),
        (lambda d: d["steps"].append({"op": "exec", "code": "1"}), "unknown operator 'exec'"),
        (lambda d: d["steps"][-1].update(n=-1), "number of rows"),
        (lambda d: d["steps"][-1].update(n=True), "number of rows"),
        (lambda d: d["steps"][1]["where"].update(fn="system"), "unknown function 'system'"),
        (lambda d: d["steps"][1]["where"]["args"].pop(), "takes 2 arguments, got 1"),
        (lambda d: d["steps"][3].update(hold=-5), "positive microseconds"),
        (lambda d: d["steps"][3].pop("name"), "'name' is missing"),
        (lambda d: d["steps"][4]["aggs"][0]["agg"].update(fn="pickle"), "unknown aggregate"),
        (lambda d: d["steps"][4]["aggs"].append(d["steps"][4]["aggs"][0]), "given twice"),
        (lambda d: d.update(steps=[d["steps"][0]] * 65), "1 to 64 steps"),
    ],
)
def test_what_is_refused(change: Any, message: str) -> None:
    with pytest.raises(JsonFormError, match=message):
        df.from_json(edited(change))


def test_bounds() -> None:
    deep: dict[str, Any] = {"lit": True, "type": "bool"}
    for _ in range(40):
        deep = {"fn": "not", "args": [deep]}
    graph = {"antfold": 1, "steps": [{"op": "stream", "name": "t"}, {"op": "filter", "where": deep}]}
    with pytest.raises(JsonFormError, match="deeper than 32"):
        df.from_json(json.dumps(graph))
    with pytest.raises(JsonFormError, match="bytes"):
        df.from_json(" " * 5_000_000)
    listed = df.stream("t").filter(df.col("n").is_in(range(60_000)))
    with pytest.raises(JsonFormError, match="shorten its lists"):
        listed.to_json()
    with pytest.raises(JsonFormError, match="given twice"):
        df.from_json('{"antfold": 1, "antfold": 1, "steps": []}')
    with pytest.raises(JsonFormError, match="not valid JSON"):
        df.from_json("{")
