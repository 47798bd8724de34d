"""Parameters wherever a constant can stand: the same answer as with the constant, by the same kernels."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

import dataflow as df
from dataflow.kernels.generate import generate
from dataflow.metrics.settled import settled
from operators.errors import DataflowError
from runtime import Store
from runtime.query.plan.prepare import Request, prepare

S, U, P = df.stream("s"), df.col("u"), df.param
N = df.count()
PER_WORD = S.group_by("u").agg(n=N)
AT = datetime(1970, 1, 1, 0, 5, tzinfo=UTC)
STEPS = [U == "p", U == "q"]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with Store(tmp_path_factory.mktemp("parameters") / "store") as store:
        points = {
            "k": ["a"] * 6 + ["b"] * 3,
            "t": [0, 60, 300, 310, 2000, 2010, 5, 500, 3000],
            "u": ["p", "q", "p", "p", "q", "r", "p", "q", "q"],
            "x": list(range(9)),
        }
        store.ingest("s", points, key="k", time="t", unit="s", progress=False)
        yield store


def sized(every: Any, size: Any) -> df.Stream:
    return S.window(every, size=size).select("start", "count")


CASES: dict[str, tuple[df.Stream, dict[str, Any], df.Stream]] = {
    "gap": (S.sessionize(P("gap", default="5m")).agg(n=N), {"gap": "1h"}, S.sessionize("1h").agg(n=N)),
    "a length as the default": (
        S.sessionize(P("gap", default=timedelta(hours=1))).agg(n=N), {}, S.sessionize("1h").agg(n=N)),
    "a length that is given": (
        S.sessionize(P("gap")).agg(n=N), {"gap": timedelta(minutes=5)}, S.sessionize("5m").agg(n=N)),
    "a shift": (
        PER_WORD.compare(P("back", default="-5m")), {"back": "-10s"}, PER_WORD.compare("-10s")),
    "a shift as the default": (
        PER_WORD.compare(P("back", default=timedelta(seconds=-10))), {}, PER_WORD.compare("-10s")),
    "keys at least": (
        S.state_duration("u").at_least(P("n", default=1), U == "q"), {"n": 2},
        S.state_duration("u").at_least(2, U == "q")),
    "timelines at least": (
        df.at_least(P("n", default=2), [S.heartbeat("5m"), S.heartbeat("1h")]), {"n": 1},
        df.at_least(1, [S.heartbeat("5m"), S.heartbeat("1h")])),
    "every and size": (
        sized(P("every", default="1h"), P("size", default="2h")), {"every": "10m", "size": "30m"}, sized("10m", "30m")),
    "every with an offset": (
        S.window(P("every")).select("start"), {"every": "1d+6h"}, S.window("1d", offset="6h").select("start")),
    "hold": (
        S.state_duration("u", hold=P("hold", default="1m")).group_by("u").agg(d=df.duration()), {"hold": "2m"},
        S.state_duration("u", hold="2m").group_by("u").agg(d=df.duration())),
    "hold of a column": (S.select(v=U.last(P("hold"))), {"hold": "10s"}, S.select(v=U.last("10s"))),
    "timeout": (
        S.heartbeat(P("timeout", default="1m")).agg(d=df.duration(df.col("alive"))), {"timeout": "5m"},
        S.heartbeat("5m").agg(d=df.duration(df.col("alive")))),
    "within": (
        S.funnel(STEPS, within=P("within", default="1m")).agg(n=df.sum("steps")), {"within": "10m"},
        S.funnel(STEPS, within="10m").agg(n=df.sum("steps"))),
    "bucket and zone": (
        S.group_by(d=df.time().truncate(P("every", default="1h"), P("zone", default="Europe/Berlin"))).agg(n=N),
        {"every": "1d", "zone": "Asia/Kolkata"},
        S.group_by(d=df.time().truncate("1d", "Asia/Kolkata")).agg(n=N)),
    "a list": (S.filter(U.is_in(P("us", default=["p"]))).agg(n=N), {"us": ["q", "r"]},
               S.filter(U.is_in(["q", "r"])).agg(n=N)),
    "a list as text": (S.filter(U.is_in(P("us", default=["p"]))).agg(n=N), {"us": "q,r"},
                       S.filter(U.is_in(["q", "r"])).agg(n=N)),
    "a group column": (S.group_by(df.col(P("by", default="u", choices=["u", "k"]))).agg(n=N), {"by": "k"},
                       S.group_by(by=df.col("k")).agg(n=N)),
    "a number of rows": (
        S.group_by("u").agg(n=N).limit(P("n", default=5)), {"n": 1}, S.group_by("u").agg(n=N).limit(1)),
    "options of aggregates": (
        S.agg(q=df.quantile("x", P("q", default=0.5)), top=df.top_k("u", P("k", default=1))), {"q": 0.9, "k": 2},
        S.agg(q=df.quantile("x", 0.9), top=df.top_k("u", 2))),
    "also in an expression": (
        S.filter(df.time() - df.time().previous() > P("gap", default="1m")).sessionize(P("gap")).agg(n=N),
        {"gap": "5m"},
        S.filter(df.time() - df.time().previous() > "5m").sessionize("5m").agg(n=N)),
    "the best": (
        S.group_by("u").agg(n=N).top(P("n", default=2), by="n"), {"n": 1}, S.group_by("u").agg(n=N).top(1, by="n")),
    "windows up to each row": (
        S.select(m=df.sum("x").trailing(P("length", default="1h"))), {"length": "5m"},
        S.select(m=df.sum("x").trailing("5m"))),
    "windows away from each row": (
        S.select(m=df.sum("x").leading("1h", offset=P("away", default="1h"))), {"away": "5m"},
        S.select(m=df.sum("x").leading("1h", offset="5m"))),
    "tolerance": (
        S.join_asof(df.stream("s").select(v=U), tolerance=P("age", default="1h")).agg(n=df.count("v")), {"age": "1s"},
        S.join_asof(df.stream("s").select(v=U), tolerance="1s").agg(n=df.count("v"))),
    "the longest match": (
        S.match("A B", A=U == "p", B=U == "q", within=P("within", default="1h")).agg(n=N), {"within": "90s"},
        S.match("A B", A=U == "p", B=U == "q", within="90s").agg(n=N)),
    "repetitions": (
        S.dedupe("u", within=P("within", default="1h")).agg(n=N), {"within": "10s"},
        S.dedupe("u", within="10s").agg(n=N)),
    "buckets of windows across keys": (
        S.window(P("every", default="1h"), by="u", n=N).select("start", "n"), {"every": "10m"},
        S.window("10m", by="u", n=N).select("start", "n")),
    "hold of values over time": (
        S.agg(m=df.time_weighted_mean("x", P("hold", default="1h"))), {"hold": "1m"},
        S.agg(m=df.time_weighted_mean("x", "1m"))),
    "hold of lines": (
        S.agg(m=df.integral("x", P("hold"), between="linear")), {"hold": timedelta(minutes=5)},
        S.agg(m=df.integral("x", "5m", between="linear"))),
    "width of lengths": (
        S.sessionize("5m").agg(h=df.histogram("duration", width=P("width", default="1h"))), {"width": "1m"},
        S.sessionize("5m").agg(h=df.histogram("duration", width="1m"))),
    "a slope per": (
        S.agg(s=df.slope("x", df.time(), per=P("per", default="1h"))), {"per": "1m"},
        S.agg(s=df.slope("x", df.time(), per="1m"))),
    "exact or not, and between": (
        S.agg(q=df.median("x", exact=P("exact", default=False), interpolation=P("between", default="lower"))),
        {"exact": True, "between": "linear"}, S.agg(q=df.median("x", exact=True, interpolation="linear"))),
    "options in windows up to each row": (
        S.select(q=df.quantile("x", P("q", default=0.5)).trailing("1h")), {"q": 0.9},
        S.select(q=df.quantile("x", 0.9).trailing("1h"))),
    "where paths start": (
        S.paths("u", length=2, start=P("start", default="p")), {"start": "q"}, S.paths("u", length=2, start="q")),
    "a time without default": (
        S.filter(df.time() > P("after")).agg(n=N), {"after": AT}, S.filter(df.time() > AT).agg(n=N)),
    "a time of numpy": (
        S.filter(df.time() > P("after")).agg(n=N), {"after": np.datetime64("1970-01-01T00:05")},
        S.filter(df.time() > AT).agg(n=N)),
    "a length without default": (
        S.filter(df.time() - df.time().previous() > P("gap")).agg(n=N), {"gap": timedelta(minutes=5)},
        S.filter(df.time() - df.time().previous() > "5m").agg(n=N)),
    "a list of times": (
        S.filter(df.time().is_in(P("at", default=[AT]))).agg(n=N), {}, S.filter(df.time().is_in([AT])).agg(n=N)),
    "times as text": (
        S.filter(df.time().is_in(P("at", default=[AT]))).agg(n=N), {"at": "1970-01-01T00:01:00Z,1970-01-02"},
        S.filter(df.time().is_in([datetime(1970, 1, 1, 0, 1, tzinfo=UTC)])).agg(n=N)),
    "how many rows back": (
        S.select(v=U.previous(P("n", default=1))), {"n": 2}, S.select(v=U.previous(2))),
    "rows of a window": (
        S.select(v=df.sum("x").trailing(rows=P("n", default=1))), {"n": 2}, S.select(v=df.sum("x").trailing(rows=2))),
    "decimal places": (
        S.select(v=(df.col("x") / 7).round(P("n", default=0)), w=df.col("x").decimal(P("places", default=0))),
        {"n": 2, "places": 3}, S.select(v=(df.col("x") / 7).round(2), w=df.col("x").decimal(3))),
    "positions in a text": (
        S.select(v=(U + "-b").split("-", P("i", default=0)), w=(U + "-b").substring(P("at", default=0), P("n"))),
        {"i": -1, "at": 1, "n": 2}, S.select(v=(U + "-b").split("-", -1), w=(U + "-b").substring(1, 2))),
    "rows and parts of a table": (
        PER_WORD.with_columns(
            a=df.col("n").previous(P("n", default=1), order="u"), b=df.col("n").ntile(P("parts", default=2)),
            c=N.over(order="u", rows=P("n"))),
        {"n": 2, "parts": 3},
        PER_WORD.with_columns(
            a=df.col("n").previous(2, order="u"), b=df.col("n").ntile(3), c=N.over(order="u", rows=2))),
    "in a timeline": (
        (S.heartbeat(P("timeout", default="1m")) & S.state_duration(U == "p")).agg(d=df.duration(df.col("state"))),
        {"timeout": "10m"},
        (S.heartbeat("10m") & S.state_duration(U == "p")).agg(d=df.duration(df.col("state")))),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_the_same_answer_as_with_the_constant(store: Store, name: str) -> None:
    metric, params, plain = CASES[name]
    assert repr(df.from_json(metric.to_json())) == repr(metric)
    names = {"df": df, "timedelta": timedelta}
    assert repr(eval(repr(metric), names)) == repr(metric)
    found, right = store.query(metric, params=params), store.query(plain)
    assert ([*found], found.proof.result) == ([*right], right.proof.result)


def test_one_kernel_serves_all_values(store: Store) -> None:
    metric = S.sessionize(P("gap", default="5m")).state_duration("count", hold=P("hold", default="1h")).agg(n=N)

    def kernels(**params: str) -> list[str]:
        request = Request(*settled(metric.steps, params), None, None)
        return [generate(stage).digest for stage in prepare(store.catalogue, request).plan.stages]

    assert kernels() == kernels(gap="1h", hold="2h")


def test_published(store: Store) -> None:
    store.publish(S.sessionize(P("gap", default="5m")).agg(n=N), "gaps")
    store.publish(S.filter(U.is_in(P("us", default=["p"]))).agg(n=N), "kinds")
    assert [*store.query("gaps", params={"gap": "1h"})] == [*store.query(S.sessionize("1h").agg(n=N))]
    assert [*store.query("gaps")] == [*store.query(S.sessionize("5m").agg(n=N))]
    assert [*store.query("kinds", params={"us": ["q"]})] == [(4,)]
    store.publish(S.filter(df.time() > P("after")).agg(n=N), "after")
    assert [*store.query("after", params={"after": np.datetime64("1970-01-01T00:05")})] == [(5,)]
    assert [*store.query("after", params={"after": AT})] == [*store.query(S.filter(df.time() > AT).agg(n=N))]


def test_devices_silent_at_the_end_of_the_range(store: Store) -> None:
    last = S.group_by("k").agg(last=df.max(df.time()))
    silent = last.with_columns(silent=df.until() - df.col("last"), asked=df.until() - df.since())
    assert repr(df.from_json(silent.to_json())) == repr(silent)
    until = datetime(1970, 1, 1, 1, tzinfo=UTC)
    minute = 60_000_000
    found = [row[2:] for row in store.query(silent, since="1970-01-01", until=until)]
    assert found == [(60 * minute - 2010_000_000, 60 * minute), (10 * minute, 60 * minute)]
    in_rows = S.filter(df.time() >= df.until() - timedelta(minutes=10)).agg(n=N)
    assert [*store.query(in_rows, until=until)] == [(1,)]


@pytest.mark.parametrize(
    ("metric", "params", "said"),
    [
        (S.sessionize(P("gap")), {}, r"step 2 \(sessionize\): the parameter 'gap' has no default; give it a value"),
        (S.sessionize(P("gap", default="5m")), {"gap": "long"}, "the parameter 'gap': .*'long' is not a duration"),
        (S.sessionize(P("gap", default="5m")), {"gp": "1h"}, "no parameter 'gp'; did you mean 'gap'"),
        (S.group_by(df.col(P("by", choices=["u", "k"]))).agg(n=N), {"by": "x"}, "one of u, k, not 'x'"),
        (S.agg(n=N).limit(P("n", default=5)), {"n": -1}, "the parameter 'n': n: expected a number of rows, got -1"),
        (S.group_by(d=df.time().truncate(P("e", default="1h"))).agg(n=N), {"e": "7m"}, "'7m' does not divide a day"),
        (S.window(P("e"), size=P("s")).agg(n=N), {"e": "1h", "s": "90m"}, "'90m' is not a whole number of buckets"),
        (S.filter(df.col("x") > P("x")).agg(n=N), {"x": df.col("k")}, "has a constant as its value"),
        (S.sessionize(P("gap", default=timedelta(1))), {"gap": 2**70}, "a duration is at most 10,000 years"),
        (
            S.agg(a=df.quantile("x", P("q", default=0.5)), b=df.quantile("x", P("q", default=0.9))),
            {},
            "the parameter 'q' occurs with different defaults",
        ),
        (S.select(**{"\ud800": U}), {}, "has half of a pair of surrogates"),
        (
            S.filter(df.time() > P("at")).agg(n=N),
            {"at": [1]},
            r"step 2 \(filter\): the parameter 'at': \[1\] has several",
        ),
        (S.filter(df.time() > P("at")).agg(n=N), {"at": datetime(1970, 1, 1)}, "the parameter 'at': .* has no zone"),
        (S.agg(m=df.integral("x", P("hold"))), {"hold": 5}, "5 is not a duration"),
    ],
)
def test_wrong_values(store: Store, metric: df.Stream, params: dict[str, Any], said: str) -> None:
    with pytest.raises(DataflowError, match=said):
        store.query(metric, params=params)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: S.sessionize(P("gap", default="long")), r"sessionize\(gap\): 'long' is not a duration"),
        (lambda: df.col(P("by", default="u")), "needs choices=, the columns that it may name"),
        (lambda: P("by", default="x", choices=["u", "k"]), "the default 'x' is none of its choices"),
        (lambda: P("by", default=1, choices=["u", "k"]), "are of one type"),
        (lambda: P("$since"), "param takes a name"),
        (lambda: P("us", default=[df.col("x")]), "a constant|list of constants"),
        (lambda: S.window(P("e"), size="1h"), "where every is a parameter, size is one, too"),
        (lambda: df.time().truncate(P("e"), week_start="sun"), "says itself when its buckets start"),
        (lambda: df.time().truncate("1w", week_start=P("day")), "week_start= and offset= are constants"),
        (lambda: df.integral("x", "1h", between=P("between")), "between= is 'steps' or 'linear', and no parameter"),
        (lambda: S.funnel(STEPS, "1h", mode=P("mode", default="strict")), "has its value when the metric runs"),
        (lambda: S.sessionize("9" * 5000 + "s"), "is not a duration"),
        (lambda: U == "\ud800", "has half of a pair of surrogates"),
    ],
)
def test_errors(wrong: Any, said: str) -> None:
    with pytest.raises(DataflowError, match=said):
        wrong()


def test_at_least_of_no_keys(store: Store) -> None:
    states = S.state_duration("u")
    half = states.at_least(P("n", default="50%"), U == "q")
    for wrong in ("200%", "0%", True, 0):
        with pytest.raises(DataflowError, match=r"a positive integer, a share like '50%' \(at most '100%'\), got"):
            store.query(half, params={"n": wrong}, progress=False)
    with pytest.raises(DataflowError, match="at_least takes a positive integer, got 0"):
        states.at_least(P("n", default=0), U == "q")
    for metric in (
        states.at_least(P("n", default=1), U == "q"),
        df.from_json(states.at_least(P("n", default=1), U == "q").to_json()),
    ):
        with pytest.raises(DataflowError, match=r"at_least: expected a positive integer, a share like .*, got 0"):
            store.query(metric, params={"n": 0})
