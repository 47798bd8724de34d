"""Patterns, sequences, subpaths, activity, dedupe: errors, JSON and state."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

import dataflow as df
from dataflow.kernels.generate import generate
from dataflow.metrics.bind import StreamColumns, bind
from dataflow.metrics.json_form import JsonFormError
from operators.types import Type

STREAM = StreamColumns(
    "device", Type.STRING, "ts", {"temp": Type.FLOAT, "n": Type.INT, "ok": Type.BOOL, "status": Type.STRING}
)
P = df.stream("t")
UP, DOWN = df.col("status") == "up", df.col("status") == "down"

METRICS = {
    "match": P.match("U D{2,} U", U=UP, D=DOWN, within="1h"),
    "match values": P.match("U .* D", U=UP, D=DOWN).select(v=df.col("D.temp"), n=df.col("n"), t=df.col("U_last")),
    "sequence": P.sequence("status", length=20),
    "variants": P.variants(df.col("n") % 2),
    "subpaths": P.subpaths("status", gap="30m", start="up"),
    "paths": P.paths("status", length=5, start=UP | DOWN, end="down"),
    "activity": P.activity("1w", "Europe/London"),
    "lifecycle": P.lifecycle(every="1d"),
    "dedupe": P.dedupe("status", within="10s").state_duration("status"),
    "dedupe in a timeline": P.dedupe("status", "10s").state_duration(UP) & P.heartbeat("5m"),
}


@pytest.mark.parametrize("name", METRICS)
def test_round_trip(name: str) -> None:
    metric = METRICS[name]
    again = df.from_json(metric.to_json())
    assert (again.to_json(), repr(again)) == (metric.to_json(), repr(metric))
    assert eval(repr(metric), {"df": df}).to_json() == metric.to_json()
    bind(again.steps, STREAM)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("match", {"pattern": "U D X"}, r"steps\[1\].pattern: match: the pattern names 'X', which is no condition"),
        ("match", {"pattern": "U D )"}, r"steps\[1\].pattern: match: the pattern 'U D \)' is wrong at character 5"),
        ("match", {"within": 0}, "positive microseconds"),
        ("match", {"conditions": []}, "which is no condition"),
        ("sequence", {"length": 0}, "expected 1 to 1,000, got 0"),
        ("subpaths", {"length": 17}, "expected 2 to 16, got 17"),
        ("subpaths", {"gap": "1h"}, "positive microseconds"),
        ("activity", {"zone": None}, "expected a text"),
        ("dedupe", {"within": None}, "positive microseconds"),
    ],
)
def test_json_that_is_refused(name: str, change: dict[str, Any], message: str) -> None:
    d = json.loads(METRICS[name].to_json())
    d["steps"][1] |= change
    with pytest.raises(JsonFormError, match=message):
        df.from_json(json.dumps(d))


def test_the_text_of_a_pattern_becomes_canonical() -> None:
    d = json.loads(METRICS["match"].to_json())
    assert d["steps"][1]["pattern"] == "U D{2,} U"
    d["steps"][1]["pattern"] = " U(D {2 , })U"
    assert df.from_json(json.dumps(d)).to_json() == METRICS["match"].to_json()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: P.match("U DWN", U=UP, DOWN=DOWN), "names 'DWN', which is no condition; did you mean 'DOWN'?"),
        (lambda: P.match("U", U=UP, D=DOWN), "the condition 'D' does not occur in the pattern 'U'"),
        (lambda: P.match("U*", U=UP), "also fits no rows"),
        (lambda: P.match("U D", U=UP, D=DOWN, within=5), "is not a duration"),
        (lambda: P.match("ä", **{"ä": UP}), "'ä' has no meaning here"),
        (lambda: P.match("if", **{"if": UP}), "'if' cannot be the name of a condition"),
        (lambda: P.sequence("status", length=0), "sequence: length is a number of values from 1 to 1,000, got 0"),
        (lambda: P.paths("status", length=1), "subpaths: length is a number of values from 2 to 16, got 1"),
        (lambda: P.paths("status", length=2, gap="soon"), r"subpaths\(gap\): 'soon' is not a duration"),
        (lambda: P.lifecycle("daily"), "activity: 'daily' is not a bucket"),
        (lambda: P.dedupe("status", within=10), "is not a duration"),
    ],
)
def test_mistakes_at_once(make: Callable[[], object], message: str) -> None:
    with pytest.raises(df.DataflowError, match=message):
        make()


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        (P.match("U N", U=UP, N=df.col("n")), r"step 2 \(match\): the condition N takes a condition, got int64"),
        (P.match("U", U=UP).select(a=df.col("U.x")), "there is no column 'U.x'"),
        (P.match("U", U=UP).select(a=df.col("D_last")), "there is no column 'D_last'"),
        (P.agg(n=df.count()).match("U", U=df.col("n") > 1), r"step 3 \(match\): it needs the points of each key"),
        (P.sequence(df.lit(None)), r"step 2 \(sequence\): the values are always null"),
        (P.paths("status", length=2, start=df.col("n")), r"step 2 \(subpaths\): start takes a condition, got int64"),
        (P.lifecycle("1d", zone="Mars/Base"), r"step 2 \(activity\): there is no time zone 'Mars/Base'"),
        (P.dedupe(df.lit(None), "1s"), r"step 2 \(dedupe\): the values are always null"),
        (P.agg(n=df.count()).dedupe("n", "1s"), r"step 3 \(dedupe\): it needs the rows of each key"),
        (
            P.state_duration("status").dedupe(df.time().hour(), "1h"),
            r"step 3 \(dedupe\): df.time\(\) is the clock at every instant of an interval",
        ),
        (
            P.state_duration("status").match("N", N=df.time().hour() < 6),
            r"step 3 \(match\): its rows are intervals, on which df.time\(\) is the clock",
        ),
    ],
)
def test_mistakes_of_the_stream(metric: df.Stream, message: str) -> None:
    with pytest.raises(df.DataflowError, match=message):
        bind(metric.steps, STREAM)


def per_key(metric: df.Stream) -> list[str]:
    """The state that the metric's first kernel keeps for every key: one number each."""
    step = generate(bind(metric.steps, STREAM).stages[0]).step
    assert all(len(a.subject) == 1 for a in step.args if a.role == "slot")
    return [str(a.subject[0]) for a in step.args if a.role == "slot"]


def test_the_state_of_a_match_is_constant() -> None:
    """A few numbers for each place, for any number of rows, and only those that later steps need."""
    counted = P.match("U D{2} U", U=UP, D=DOWN).agg(n=df.count())
    # The start of an attempt at four places and of the pending match: row and time; and six numbers of the key.
    assert len(per_key(counted)) == 5 * 2 + 6
    # With a greatest time there are two attempts at each place.
    within = P.match("U D{2} U", U=UP, D=DOWN, within="1h").agg(n=df.count())
    assert len(per_key(within)) == len(per_key(counted)) + 4 * 2


def test_nothing_of_a_sequence_grows_with_the_rows() -> None:
    assert per_key(P.variants("status")) == ["z_node", "z_count", "z_first", "z_final"]
    assert len(per_key(P.lifecycle("1d"))) == 4


def test_how_far_they_look_back() -> None:
    """Patterns and sequences take rows of the range only; conditions may look back."""
    assert bind(P.match("U D", U=UP, D=DOWN).steps, STREAM).history == 0
    assert bind(P.match("U D", U=UP, D=DOWN).steps, STREAM).carried == ()
    assert bind(P.match("U", U=df.col("status").changed()).steps, STREAM).carried == ("status",)
    assert bind(P.match("U", U=df.col("n").previous() > 1).steps, STREAM).carried is None
    assert bind(P.variants("status").steps, STREAM).history == 0
    for metric in (P.lifecycle("1d"), P.paths("status", length=3), P.dedupe("status", "1s")):
        plan = bind(metric.steps, STREAM)
        assert (plan.history, plan.carried) == (None, None)
    assert bind(P.paths("status", length=3, gap="1h").steps, STREAM).history == 3 * 3_600_000_000
