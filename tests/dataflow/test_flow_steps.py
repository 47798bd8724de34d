"""Funnels, cohorts, transitions, split sessions and wide windows: errors, JSON and state."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

import dataflow as df
from dataflow.kernels.generate import generate
from dataflow.metrics.bind import StreamColumns, bind
from dataflow.metrics.json_form import JsonFormError
from dataflow.steps.funnels.climb import Climb
from dataflow.steps.keyed.segments import Segments
from operators.types import Type

STREAM = StreamColumns(
    "device", Type.STRING, "ts", {"temp": Type.FLOAT, "n": Type.INT, "ok": Type.BOOL, "status": Type.STRING}
)
P = df.stream("t")
UP, DOWN = df.col("status") == "up", df.col("status") == "down"
STEPS = [UP, DOWN, df.col("ok"), df.col("temp") > 30]

METRICS = {
    "funnel": P.funnel(STEPS, within="1h"),
    "funnel any": P.funnel(STEPS, within="90s", mode="any").group_by("steps").agg(keys=df.count()),
    "cohorts": P.cohorts(UP, DOWN, "1w", "Europe/London"),
    "retention": P.retention(UP, df.col("ok"), "1mo"),
    "transitions": P.transitions("status", gap="30m"),
    "paths": P.paths(df.col("n") % 2),
    "split": P.sessionize("30m", split_when=df.col("status").changed(), n=df.count()),
    "sliding": P.window("10m", "Europe/London", size="4h", mean=df.mean("temp")),
    "empty": P.window("1mo", empty=True),
    "buckets": P.group_by("status", day=df.time().truncate("1d")).with_empty_buckets().agg(n=df.count()),
    "running": P.with_columns(balance=df.col("n").cumulative_sum()),
}


@pytest.mark.parametrize("name", METRICS)
def test_round_trip(name: str) -> None:
    text = METRICS[name].to_json()
    assert df.from_json(text).to_json() == text
    bind(df.from_json(text).steps, STREAM)


def test_what_is_not_said_is_not_written() -> None:
    window, session = (json.loads(m.to_json())["steps"][1] for m in (P.window("1h"), P.sessionize("1h")))
    assert sorted(window) == ["aggs", "every", "op", "zone"]
    assert sorted(session) == ["aggs", "gap", "max_length", "op"]
    wide = json.loads(P.window("1h", size="1d", empty=True).to_json())["steps"][1]
    assert (wide["size"], wide["empty"]) == (24, True)
    group = json.loads(P.group_by("status").agg(n=df.count()).to_json())["steps"][1]
    assert sorted(group) == ["aggs", "by", "op"]
    assert json.loads(METRICS["buckets"].to_json())["steps"][1]["empty"] is True


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("funnel", {"mode": "loose"}, r"steps\[1\].mode: expected one of strict, ordered, any"),
        ("funnel", {"steps": [{"col": "ok"}]}, r"steps\[1\].steps: expected 2 to 16, got 1"),
        ("funnel", {"within": 0}, "positive microseconds"),
        ("cohorts", {"zone": None}, "expected a text"),
        ("transitions", {"gap": "1h"}, "positive microseconds"),
        ("sliding", {"size": 1}, r"steps\[1\].size: expected 2 to 1,000, got 1"),
        ("sliding", {"size": 1001}, "expected 2 to 1,000"),
        ("sliding", {"size": True}, "expected 2 to 1,000"),
        ("empty", {"empty": False}, "expected true, or no such field"),
        ("buckets", {"empty": 1}, r"steps\[1\].empty: expected true, or no such field"),
        ("split", {"split_when": None}, "expected an expression object"),
        ("empty", {"width": 2}, "unknown field 'width'"),
    ],
)
def test_json_that_is_refused(name: str, change: dict[str, Any], message: str) -> None:
    d = json.loads(METRICS[name].to_json())
    d["steps"][1] |= change
    with pytest.raises(JsonFormError, match=message):
        df.from_json(json.dumps(d))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: P.funnel([UP], within="1h"), "funnel takes 2 to 16 steps, got 1"),
        (lambda: P.funnel([UP] * 17, within="1h"), "got 17"),
        (
            lambda: P.funnel([UP, DOWN], within="1h", mode="lax"),
            "mode is one of strict, ordered, any, any_order, got 'lax'",
        ),
        (lambda: P.funnel([UP, DOWN], within=3600), "is not a duration"),
        (lambda: P.cohorts(UP, DOWN, "daily"), "cohorts: 'daily' is not a bucket"),
        (lambda: P.retention(UP, DOWN, "7h"), "does not divide a day"),
        (lambda: P.paths("status", gap="soon"), r"transitions\(gap\): 'soon' is not a duration"),
        (lambda: P.window("10m", size="25m"), r"window\(size\): '25m' is not a whole number of buckets of '10m'"),
        (lambda: P.window("1mo", size="90d"), "'90d' is not a whole number of buckets of '1mo'"),
        (lambda: P.window("1d", size="1mo"), "is not a duration"),
        (lambda: P.window("1d", size="12h"), "is not a whole number of buckets of '1d'"),
        (lambda: P.window("1s", size="1h"), "3,600 buckets of '1s'; at most 1,000"),
    ],
)
def test_mistakes_at_once(make: Callable[[], object], message: str) -> None:
    with pytest.raises(df.DataflowError, match=message):
        make()


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        (P.funnel([UP, df.col("n")], "1h"), r"step 2 \(funnel\): step 2 of the funnel takes a condition, got int64"),
        (P.funnel([UP, df.col("stat") == "up"], "1h"), r"step 2 \(funnel\): there is no column 'stat'; did you mean"),
        (P.funnel([UP, DOWN], "1h").filter(df.col("step_3").is_null()), "there is no column 'step_3'"),
        (P.cohorts(UP, df.col("temp"), "1d"), r"step 2 \(cohorts\): returns takes a condition, got float64"),
        (P.cohorts(UP, DOWN, "1d", "Mars/Base"), r"step 2 \(cohorts\): there is no time zone 'Mars/Base'"),
        (P.transitions(df.lit(None)), r"step 2 \(transitions\): the values are always null"),
        (P.transitions("status").agg(t=df.duration()), r"step 3 \(group_by\): duration needs rows with a length"),
        (P.transitions("status").select(end=df.col("end")), "there is no column 'end'"),
        (P.sessionize("1h", split_when=df.col("n")), r"step 2 \(sessionize\): split_when takes a condition, got int64"),
        (
            P.group_by("status").with_empty_buckets().agg(n=df.count()),
            r"step 2 \(group_by\): empty buckets need one group column that is a df.time\(\).truncate",
        ),
        (P.window("100y", size="1000y"), r"step 2 \(window\): the window is longer than a century"),
        (P.agg(n=df.count()).funnel([UP, DOWN], "1h"), "cannot follow group_by"),
        (P.with_columns(x=df.col("status").cumulative_sum()), "cumulative_sum cannot take string, which is no number"),
        (
            P.agg(n=df.count()).filter(df.col("n").cumulative_sum() > 1),
            r"write for example .cumulative_sum\(order='day'\)",
        ),
        (P.agg(n=df.count()).filter(df.col("n").changed()), "needs the rows of a key in time order"),
    ],
)
def test_mistakes_of_the_stream(metric: df.Stream, message: str) -> None:
    with pytest.raises(df.DataflowError, match=message):
        bind(metric.steps, STREAM)


def per_key(metric: df.Stream) -> list[str]:
    """The state that the metric's first kernel keeps for every key."""
    step = generate(bind(metric.steps, STREAM).stages[0]).step
    return [str(a.subject[0]) for a in step.args if a.role == "slot"]


@pytest.mark.parametrize("mode", ["strict", "ordered", "any"])
def test_the_state_of_a_funnel_is_constant(mode: str) -> None:
    """At most the 14 integers for four steps, with the times of all of them; nothing of it grows with the rows."""
    state = per_key(P.funnel(STEPS, "1h", mode=mode))
    assert len(state) == (12 if mode == "ordered" else 13)
    # Without the times in between: start and last of each chain.
    assert len(per_key(P.funnel(STEPS, "1h", mode=mode).group_by("steps").agg(n=df.count()))) == len(state) - 3


def test_only_what_is_used_is_kept() -> None:
    plan = bind(P.funnel(STEPS, "1h").group_by("steps").agg(late=df.max("step_4")).steps, STREAM)
    sink = plan.stages[0].sink
    assert isinstance(sink, Climb)
    assert (sink.times, sink.held) == ((4,), ())


def test_history() -> None:
    """How far before the range rows matter."""
    n = df.count()
    assert bind(P.funnel(STEPS, "1h").agg(n=n).steps, STREAM).history == 0
    assert bind(P.retention(UP, DOWN, "1d").steps, STREAM).history is None
    assert bind(P.paths("status", gap="30m").steps, STREAM).history == 1_800_000_000
    assert bind(P.paths("status").steps, STREAM).history is None
    assert bind(P.window("1h", size="4h").agg(n=n).steps, STREAM).history == 4 * 3_600_000_000
    assert bind(P.window("1h", empty=True).agg(n=n).steps, STREAM).history is None
    held = bind(P.funnel(STEPS, "1h").group_by("status").agg(n=n).steps, STREAM)
    assert (held.history, held.held_columns) == (0, ("status",))


def test_a_window_is_so_many_buckets() -> None:
    def size(every: str, size: str) -> int:
        sink = bind(P.window(every, size=size).steps, STREAM).stages[0].sink
        assert isinstance(sink, Segments)
        return sink.size

    assert [size("10m", "4h"), size("1d", "1w"), size("1mo", "1y"), size("1h", "90h")] == [24, 7, 12, 90]


def test_constants_are_arguments() -> None:
    """Funnels of other conditions and lengths, and windows of other sizes, share their kernels."""

    def source(metric: df.Stream) -> str:
        return generate(bind(metric.steps, STREAM).stages[0]).source

    assert source(P.funnel([UP, DOWN], "1h")) == source(P.funnel([DOWN, UP], "2h"))
    assert source(P.window("10m", size="4h")) == source(P.window("1h", size="3h"))
    assert source(P.paths("status", gap="1h")) == source(P.paths("status", gap="2h"))
