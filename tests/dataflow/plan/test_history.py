"""What a plan needs from before the range; held columns."""

from __future__ import annotations

import json

import pytest

import dataflow as df
from dataflow.json.errors import JsonFormError
from dataflow.metrics.bind import GraphError, StreamColumns, bind
from dataflow.plan.stages import Plan
from dataflow.typed.hidden_columns import EARLY
from operators.errors import DataflowError
from operators.types import Type

DAY = 86_400_000_000
STREAM = StreamColumns("k", Type.STRING, "t", {"v": Type.FLOAT, "st": Type.STRING, "fw": Type.STRING})
col, s = df.col, df.stream("s")


def plan_of(metric: df.Stream) -> Plan:
    return bind(metric.steps, STREAM)


@pytest.mark.parametrize(
    ("metric", "history", "whole"),
    [
        (s.held("fw"), None, 0),
        (s.held("fw", hold="1h"), DAY // 24, 0),
        (s.with_columns(a=col("v").last("1h"), b=col("v").last("2h").last("3h")), 6 * DAY // 24, 0),
        (s.with_columns(a=col("v").last("1h"), b=col("v").previous()), None, 0),
        (s.filter(col("v").last("1h") > 2).group_by("st").agg(n=df.count()), DAY // 24, 0),
        (s.window("1d"), 0, 0),
        (s.window("1d", size="3d"), 3 * DAY, 0),
        (s.window("1d", zone="Asia/Tokyo", size="3d"), 5 * DAY, 0),
        (s.window("1d", empty=True), None, 0),
        (s.window("1d").with_columns(a=col("count").last("1d")), 2 * DAY, 1),
        (s.window("1d").with_columns(a=col("count").previous()), None, 1),
        (s.window("1h").window("1d", size="3d", n=df.sum("count")), 3 * DAY + DAY // 24, 1),
        (s.window("1h").sessionize("1d").with_columns(a=col("count").previous()), None, 2),
        (s.window("1h").state_duration(col("count") > 2), None, 1),
        (s.sessionize("1h"), DAY // 24, 0),
        (s.sessionize("1h", max_length="2h"), None, 0),
        (s.sessionize("1h").group_by(new=col("count").changed()).agg(n=df.count()), None, 1),
        (s.transitions("st", gap="1h").with_columns(a=col("to").last("2h")), 3 * DAY // 24, 1),
        (s.state_duration("st").group_by("st").agg(n=df.count()), None, 0),
        (s.state_duration("st").agg(t=df.mtbf(col("st") == "up")), None, 1),
        (s.funnel([col("v") > 1, col("v") > 2], within="1h").with_columns(a=col("steps").previous()), 0, 0),
        (s.cohorts(col("v") > 1, col("v") > 2, "1d").sessionize("1d"), None, 0),
    ],
)
def test_how_far_back_a_plan_reads(metric: df.Stream, history: int | None, whole: int) -> None:
    plan = plan_of(metric)
    assert (plan.history, plan.whole) == (history, whole)
    # A stage that sees rows before the range is one whose rows are made without regard to it, too.
    assert all(n <= whole for n, stage in enumerate(plan.stages) if EARLY in dict(stage.inputs))


def test_held_in_json() -> None:
    metric = s.held("fw", col("st"), hold="1h")
    text = metric.to_json()
    assert json.loads(text)["steps"][1] == {"op": "held", "columns": ["fw", "st"], "hold": DAY // 24}
    again = df.from_json(text)
    assert again.to_json() == text
    assert again.explain().splitlines()[1] == "2. held"
    assert plan_of(again) == plan_of(metric)
    assert json.loads(s.held("fw").to_json())["steps"][1]["hold"] is None


@pytest.mark.parametrize(
    ("step", "message"),
    [
        ({"columns": [], "hold": None}, "expected at least one column"),
        ({"columns": ["fw", "fw"], "hold": None}, "'fw' is given twice"),
        ({"columns": [7], "hold": None}, r"columns\[0\]: expected a text, got 7"),
        ({"columns": "fw", "hold": None}, "expected a list"),
        ({"columns": ["fw"], "hold": 0}, "expected positive microseconds"),
        ({"columns": ["fw"]}, "'hold' is missing"),
        ({"columns": [f"c{i}" for i in range(501)], "hold": None}, "more than 1000 nodes"),
    ],
)
def test_held_in_json_that_makes_no_sense(step: dict[str, object], message: str) -> None:
    with pytest.raises(JsonFormError, match=message):
        df.from_json(json.dumps({"antfold": 1, "steps": [{"op": "stream", "name": "s"}, {"op": "held", **step}]}))


def test_mistakes() -> None:
    with pytest.raises(DataflowError, match="held takes the columns to hold"):
        s.held()
    with pytest.raises(DataflowError, match="'fw' is given twice"):
        s.held("fw", "fw")
    with pytest.raises(DataflowError, match="give an expression a name"):
        s.held(col("v") + 1)
    with pytest.raises(DataflowError, match=r"held\(hold\)"):
        s.held("fw", hold="long")
    for metric, message in [
        (s.held("firmware"), r"step 2 \(held\): there is no column 'firmware'"),
        (s.held("k"), "every row has its 'k'"),
        (s.held("t"), "every row has its 't'"),
        (s.group_by("fw").agg(n=df.count()).held("n"), "needs the rows of a key in time order"),
        (s.window("1d", partial=df.count()), "an aggregate cannot be named 'partial'"),
        (s.with_columns(a=col("v").last(where=col("st"))), "when cannot take string as a condition"),
    ]:
        with pytest.raises(GraphError, match=message):
            plan_of(metric)


def test_which_columns_are_counted() -> None:
    held = s.filter(col("v") > 1).held("fw").group_by("st", "fw", v=col("v").is_null()).agg(n=df.count())
    assert [(c.column, c.step, c.after, c.grouped) for c in plan_of(held).sparse] == [
        ("fw", "step 3 (held)", "step 2 (filter)", False),
        ("st", "step 4 (group_by)", "step 2 (filter)", True),
    ]
    joined = s.join(df.table({"a": ["x"], "b": ["y"]}), on=col("st"), key="a", how="inner")
    assert [c.after for c in plan_of(joined.with_columns(v=col("v").last())).sparse] == ["step 2 (join)"]
    assert plan_of(s.held("fw").filter(col("v") > 1).group_by("fw").agg(n=df.count())).sparse == ()
    assert plan_of(s.window("1d").group_by("fw").agg(n=df.count())).sparse == ()
