"""Validation: every error is one sentence that names the step."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import dataflow as df
from dataflow.metrics.bind import GraphError, StreamColumns, bind
from dataflow.sinks.group_sink import Group
from dataflow.steps.keyed.segments import Segments
from dataflow.steps.keyed.states import States
from operators.types import Type

STREAM = StreamColumns(
    "device",
    Type.STRING,
    "ts",
    {"temp": Type.FLOAT, "n": Type.INT, "ok": Type.BOOL, "status": Type.STRING, "firmware": Type.STRING},
)
P = df.stream("t")
SILENT = df.time() - df.time().previous()


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        (lambda: P.filter(df.col("tmp") > 1), r"step 2 \(filter\): there is no column 'tmp'; did you mean 'temp'"),
        (lambda: P.filter(df.col("temp")), "filter takes a condition, got float64"),
        (lambda: P.filter(df.col("status") + 1 > 2), r"add cannot take string \+ int64"),
        (lambda: P.filter(df.col("status") > df.col("firmware")), "only with string constants"),
        (lambda: P.filter(df.col("temp") == "hot"), "do not compare"),
        (lambda: P.group_by("firmware").agg(s=df.sum("status")), "s: sum cannot take string; it takes bool"),
        (lambda: P.agg(u=df.known_time()), "use it after state_duration or heartbeat"),
        (lambda: P.agg(u=df.duration()), "duration needs rows with a length"),
        (lambda: P.sessionize("5m").agg(u=df.share_of_time(df.col("ok"))), "needs intervals"),
        (lambda: P.group_by("firmware").agg(n=df.count()).state_duration("n"), "cannot follow group_by"),
        (
            lambda: P.group_by("firmware").agg(n=df.count()).filter(df.time().hour() > 3),
            "no meaning in the rows of a table, as after group_by",
        ),
        (lambda: P.group_by("firmware").agg(n=df.count()).sort("m"), "there is no column 'm'"),
        (lambda: P.filter(df.time().hour("Mars/Base") > 3), "there is no time zone 'Mars/Base'"),
        (lambda: P.filter(df.col("temp") > df.param("limit")), "'limit' has no default"),
        (lambda: P.with_columns(device=df.col("status")), "the key 'device' cannot be replaced"),
        (lambda: P.with_columns(x=df.lit(None)), "has no type"),
        (lambda: P.sessionize("5m", count=df.count()), "cannot be named 'count'"),
        (
            lambda: P.filter(SILENT > 300),
            "gt cannot take duration and int64, which do not compare; a number has no unit",
        ),
        (
            lambda: P.filter(df.col("n") < SILENT),
            "a number has no unit: write a length of time, like '5m' or a timedelta",
        ),
        (lambda: P.filter(SILENT.between("1s", 300.5)), "a number has no unit"),
        (
            lambda: P.filter(SILENT.is_in([60, 300])),
            "is_in cannot compare duration with constants of type int64; a num",
        ),
        (lambda: P.select(x=SILENT.clip(0, 300)), "clip cannot take duration and int64; .*; a number has no unit"),
        (lambda: P.select(x=df.least(SILENT, 300)), "least cannot take .* a number has no unit"),
        (lambda: P.select(x=SILENT.fill_null(300)), "fill_null cannot take duration and int64; a number has no unit"),
        (lambda: P.select(x=df.when(df.col("ok")).then(SILENT).otherwise(1)), "when cannot .* a number has no unit"),
        (lambda: P.select(x=SILENT + 300), r"add cannot take duration \+ int64; a number has no unit"),
        (lambda: P.select(x=SILENT % 300), "mod cannot take duration % int64; a number has no unit"),
        (lambda: P.select(x=df.time() + 300), r"add cannot take time \+ int64; a number has no unit"),
        (lambda: P.select(x=df.time() - "1 hour"), "'1 hour' is not a time"),
        (lambda: P.filter(df.time() > "1h"), "'1h' is not a time"),
        (lambda: P.select(x=df.time() - df.col("status")), r"make the text a time with \.cast\('time'\)"),
        (lambda: P.select(x=df.col("n").cast("time")), r"not of int64; seconds since 1970 are df\.lit\(datetime\(1970"),
        (lambda: P.top(1, by=df.time()), r"no meaning in the rows of a table, .*; use the .*, df\.col\('ts'\)"),
        (lambda: P.agg(m=df.time_weighted_mean("temp")), "or of points with hold= or between='linear'"),
    ],
)
def test_mistakes(metric: Callable[[], df.Stream], message: str) -> None:
    with pytest.raises(df.DataflowError, match=message):
        bind(metric().steps, STREAM)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: P.state_duration("status", hold=300), "is not a duration"),
        (lambda: P.heartbeat("0s"), "longer than zero"),
        (lambda: P.window("7h"), "does not divide a day"),
        (lambda: P.limit(-1), "limit takes a number of rows"),
        (lambda: P.sort(), "at least one column"),
        (lambda: P.group_by(df.col("n") + 1), "give an expression a name"),
        (lambda: P.agg(n=3), "must be an aggregate"),
        (lambda: bool(df.col("n") > 1), "combine conditions with & | ~"),
        (lambda: df.lit(2**63), "does not fit in 64 bits"),
        (lambda: df.col("n").is_in(["a", 1]), "constants of one type"),
        (lambda: df.stream(""), "stream takes a name"),
        (lambda: df.col("n") == None, r"null in every row; for missing values write \.is_null\(\) or"),  # noqa: E711
        (lambda: df.when(df.col("n") != None), "a comparison with None is null in every row"),  # noqa: E711
        (lambda: df.col("n") < None, "a comparison with None is null in every row"),
        (lambda: df.col("n").between(None, 5), "a comparison with None is null in every row"),
        (lambda: P.filter(df.col("ok") is True), "filter takes a condition on each row, got False"),
        (lambda: df.count(where=df.col("ok") is not None), "count: where= takes a condition on each row, got True"),
        (lambda: df.when(df.col("ok") is None), "when takes a condition on each row, got False"),
        (
            lambda: df.concat("status", "firmware"),
            r"'status', 'firmware' are constants; columns are df\.col\('status'\)",
        ),
        (lambda: P.dedupe(["n", "ok"], "1m"), r"dedupe takes one column or expression, got \['n', 'ok'\]; put texts"),
        (lambda: P.state_duration(["n", "ok"]), "state_duration takes one column or expression"),
        (lambda: df.time().truncate("1M"), r"did you mean '1mo'\?"),
    ],
)
def test_mistakes_at_once(make: Callable[[], object], message: str) -> None:
    with pytest.raises(df.DataflowError, match=message):
        make()


@pytest.mark.parametrize(
    ("name", "message"),
    [("head", r"write \.limit\(n\)"), ("with_empty_buckets", r"\.group_by\(\.\.\.\)\.with_empty_buckets\(\)\.agg\(")],
)
def test_methods_of_others(name: str, message: str) -> None:
    with pytest.raises(AttributeError, match=message):
        getattr(P, name)


def test_a_constant_condition_and_a_null_are_written() -> None:
    metric = P.filter(df.lit(True)).filter(df.col("n") == df.lit(None)).agg(n=df.count(where=df.lit(False)))
    assert eval(repr(metric)).to_json() == metric.to_json()


def test_parameters() -> None:
    metric = P.filter(df.col("temp") > df.param("limit", default=30.0)).agg(n=df.count())
    bind(metric.steps, STREAM, {"limit": 3})
    bind(metric.steps, STREAM, {"limit": "3.5"})
    with pytest.raises(GraphError, match="'limit' is of type float64, which 'hot' is not"):
        bind(metric.steps, STREAM, {"limit": "hot"})
    with pytest.raises(GraphError, match=r"no parameter 'limits'; did you mean 'limit'\? Its parameters: limit"):
        bind(metric.steps, STREAM, {"limits": 1})


def test_only_what_is_used_is_read_and_held() -> None:
    metric = P.state_duration("status", hold="5m").group_by("firmware").agg(up=df.known_time())
    plan = bind(metric.steps, STREAM)
    states, group = (s.sink for s in plan.stages)
    assert isinstance(states, States)
    assert isinstance(group, Group)
    assert [n for n, _ in states.held] == ["firmware"]
    assert set(plan.columns) == {"status", "firmware"}
    assert plan.history is None


def test_history() -> None:
    rows = bind(P.group_by("status").agg(n=df.count()).steps, STREAM)
    assert (rows.history, rows.sliceable) == (0, True)
    sessions = bind(P.sessionize("30m").group_by("status").agg(n=df.count()).steps, STREAM)
    assert isinstance(sessions.stages[0].sink, Segments)
    assert (sessions.history, sessions.held_columns, sessions.sliceable) == (1_800_000_000, ("status",), False)
    stateful = bind(P.with_columns(p=df.col("n").previous()).agg(n=df.sum("p")).steps, STREAM)
    assert (stateful.history, stateful.sliceable) == (None, False)


def test_constants_are_arguments() -> None:
    from dataflow.kernels.generate import generate

    def source(limit: float, word: str) -> str:
        metric = P.filter((df.col("temp") > limit) & (df.col("status") == word)).agg(n=df.count())
        return generate(bind(metric.steps, STREAM).stages[0]).source

    assert source(30.0, "up") == source(40.0, "down")
    assert "30" not in source(30.0, "up").replace("3, 0", "")
