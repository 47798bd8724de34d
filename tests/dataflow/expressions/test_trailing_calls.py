"""``.trailing(...)`` and ``.leading(...)``: their text, their JSON, and the errors of wrong uses."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta

import numpy as np
import pytest

import dataflow as df
from dataflow.metrics.bind import StreamColumns, bind
from dataflow.metrics.json_form import JsonFormError
from operators.types import Type

P = df.stream("s")
STREAM = StreamColumns("k", Type.STRING, "t", {"x": Type.FLOAT, "c": Type.STRING})
SUM = df.sum("x")


def test_text_and_json() -> None:
    metric = P.with_columns(
        a=SUM.trailing("1h"),
        b=df.quantile("x", 0.9, where=df.col("c") == "x").trailing(rows=np.int64(3)),
        c=df.max(df.count().trailing(timedelta(minutes=5))).trailing("90s") + 1,
        d=df.max(df.count().trailing("1h")).leading("7d"),
        e=SUM.leading(rows=2),
        f=SUM.trailing("1h", offset="7d") - SUM.leading("1h", offset=timedelta(seconds=1)),
    )
    assert repr(metric) == (
        "(\n"
        '    df.stream("s")\n'
        "    .with_columns(\n"
        '        a=df.sum("x").trailing("1h"),\n'
        '        b=df.quantile("x", q=0.9, where=df.col("c") == "x").trailing(rows=3),\n'
        '        c=df.max(df.count().trailing("5m")).trailing("90s") + 1,\n'
        '        d=df.max(df.count().trailing("1h")).leading("1w"),\n'
        '        e=df.sum("x").leading(rows=2),\n'
        '        f=df.sum("x").trailing("1h", offset="1w") - df.sum("x").leading("1h", offset="1s"),\n'
        "    )\n"
        ")"
    )
    assert eval(repr(metric), {"df": df}).to_json() == metric.to_json()
    assert df.from_json(metric.to_json()).to_json() == metric.to_json()
    found = json.loads(metric.to_json())["steps"][1]["columns"][0]["expr"]
    assert found == {
        "fn": "trailing", "agg": {"fn": "sum", "args": [{"col": "x"}], "where": None}, "length": 3_600_000_000,
        "rows": None,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rows": 3}, "expected a length or a number of rows, the other null"),
        ({"length": None}, "expected a length or a number of rows, the other null"),
        ({"length": -1}, "length: expected positive microseconds"),
        ({"length": None, "rows": 0}, "takes 1 to 10,000,000 rows, got 0"),
        ({"agg": {"fn": "sum", "args": [], "where": None}}, "sum does not take 0 arguments"),
        ({"offset": 0}, "offset: expected positive microseconds"),
        ({"length": None, "rows": 3, "offset": 1}, "offset: expected a length, too"),
        ({"more": 1}, "unknown field 'more'"),
    ],
)
def test_wrong_json(change: dict[str, object], message: str) -> None:
    graph = json.loads(P.with_columns(a=SUM.trailing("1h")).to_json())
    graph["steps"][1]["columns"][0]["expr"] |= change
    with pytest.raises(JsonFormError, match=message):
        df.from_json(json.dumps(graph))


def test_json_nested_too_deep() -> None:
    inner = SUM.trailing("1h")
    for _ in range(40):
        inner = df.max(inner).trailing("1h")
    with pytest.raises(JsonFormError, match="deeper than 32"):
        df.from_json(P.with_columns(a=inner).to_json())


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: SUM.trailing(), r"trailing takes a length of time or a number of rows: .trailing\('1h'\)"),
        (lambda: SUM.trailing("1h", rows=2), "trailing takes a length of time or a number of rows"),
        (lambda: SUM.trailing(rows=0), r"trailing\(rows=\) takes 1 to 10,000,000 rows, got 0"),
        (lambda: SUM.trailing(rows=True), r"trailing\(rows=\) takes 1 to 10,000,000 rows, got True"),
        (lambda: SUM.trailing("-1h"), r"trailing\(length\): '-1h' is not a duration"),
        (lambda: SUM.trailing(rows=3, offset="1h"), r"trailing: offset= is for windows of a length of time"),
        (lambda: SUM.leading("1h", offset="0s"), r"leading\(offset\): "),
        (lambda: SUM.leading(), r"leading takes a length of time or a number of rows: .leading\('1h'\)"),
        (lambda: SUM.leading(rows=0), r"leading\(rows=\) takes 1 to 10,000,000 rows, got 0"),
        (lambda: SUM.leading("-1h"), r"leading\(length\): '-1h' is not a duration"),
        (lambda: df.integral("x", hold="1h").trailing("1h"), "makes intervals of its own, by hold="),
    ],
)
def test_wrong_calls(make: Callable[[], object], message: str) -> None:
    with pytest.raises(df.DataflowError, match=message):
        make()


HOUR = df.time().hour()


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        (
            P.agg(n=df.count()).with_columns(a=df.sum("n").trailing("1h")),
            r"step 3 \(with_columns\): trailing needs the rows of a key in time order; use it before group_by",
        ),
        (
            P.sessionize("1h").with_columns(a=df.count().leading("1h")),
            "leading takes later points, and here the rows are s",
        ),
        (
            P.agg(n=df.count()).with_columns(a=df.sum("n").leading("1h")),
            "leading needs the rows of a key in time order",
        ),
        (P.with_columns(a=df.duration().leading("1h")), "put the lengths into a column and take their sum"),
        (P.with_columns(a=df.duration().trailing("1h")), "put the lengths into a column and take their sum"),
        (P.state_duration("c").filter(df.known_time().trailing("1h") > "1m"), "known_time measures how long rows last"),
        (P.with_columns(a=df.sum("c").trailing("1h")), "trailing: sum cannot take string"),
        (P.with_columns(a=df.sum("y").trailing("1h")), "there is no column 'y'; available columns: c, k, t, x"),
        (
            P.state_duration("c").with_columns(a=df.max(HOUR).trailing("1h")),
            r"df.time\(\) is the clock",
        ),
        (
            df.combine(df.col("a"), a=P.filter(SUM.trailing("1h") > 1).heartbeat("1h")),
            "trailing cannot stand in a timeline that is combined with others",
        ),
        (P.state_duration("c").concurrent(df.col("c") == "x").filter(df.count().trailing("1h") > 1), "rows of a key"),
    ],
)
def test_wrong_places(metric: df.Stream, message: str) -> None:
    with pytest.raises(df.DataflowError, match=message):
        bind(metric.steps, STREAM)


def test_what_a_plan_reads_and_says() -> None:
    def history(metric: df.Stream) -> int | None:
        plan = bind(metric.steps, STREAM)
        assert plan.carried is None
        return plan.history

    over = SUM.trailing("1h")
    assert history(P.filter(over > 1)) == 3_600_000_000
    assert history(P.filter(over > 1).filter(df.count().trailing("2h") > 1)) == 3 * 3_600_000_000
    assert history(P.filter(df.max(over).trailing("30m") > 1)) == 3_600_000_000 * 3 // 2
    assert history(P.filter(SUM.trailing(rows=2) > 1)) is None
    assert history(P.filter(over.previous() > 1)) is None
    assert history(P.filter(SUM.leading("1h") > 1)) == 0
    assert history(P.filter(SUM.trailing("1h", offset="2h") > 1)) == 3 * 3_600_000_000
    assert history(P.filter((over > 1) & (SUM.leading(rows=2) > 1))) == 3_600_000_000
    # Equal windows are one, and columns that nothing reads are not kept.
    plan = bind(P.filter((over > 1) & (over < 5)).agg(n=df.count()).steps, STREAM)
    assert [stage.describe() for stage in plan.stages] == [
        "step 2 (filter): rows with sum of the last 1h",
        "step 3 (group_by): 1 row operations, groups by nothing, 1 aggregates",
    ]
    assert plan.columns == ("x",)
    assert plan.ahead == 0
    plan = bind(P.filter(over > 1).filter(SUM.leading(rows=2) > 1).agg(n=df.count()).steps, STREAM)
    assert [stage.describe() for stage in plan.stages][2] == "step 3 (filter): rows with sum of the next 2 rows"
    assert plan.ahead == 3
