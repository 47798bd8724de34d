"""Parts of the language where they meet: several streams, texts, windows up to each row, parameters, comparisons."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

import dataflow as df
from operators.errors import DataflowError
from runtime import Store

S, S2 = df.stream("s"), df.stream("s2")
U, X, N, P = df.col("u"), df.col("x"), df.count(), df.param


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(tmp_path_factory.mktemp("combined") / "store")
    one = {"k": ["a"] * 3, "t": [0, 100, 200], "x": [1, 2, 3], "u": ["p", "q", "p"]}
    two = {"k": ["a"] * 2, "t": [50, 150], "x": [10, 20], "u": ["P", "q"]}
    for name, points in (("s", one), ("s2", two)):
        store.ingest(name, points, key="k", time="t", unit="s", progress=False)
    return store


def asked(store: Store, metric: df.Stream, *names: str, **options: Any) -> list[tuple[object, ...]]:
    result = store.query(metric, progress=False, **options)
    return list(zip(*(result[name] for name in names), strict=True))


def test_windows_up_to_each_row_of_several_streams(store: Store) -> None:
    rows = df.union(S, S2).select("x", a=N.trailing("1h"))
    assert asked(store, rows, "x", "a") == [(1, 1), (10, 2), (2, 3), (20, 4), (3, 5)]
    joined = S.join_asof(S2.select(y=X)).with_columns(a=N.trailing("1h")).select("x", "a", "y")
    assert asked(store, joined, "x", "a", "y") == [(1, 1, None), (2, 2, 10), (3, 3, 20)]
    with pytest.raises(DataflowError, match="use join_asof before"):
        store.query(S.with_columns(a=N.trailing("1h")).join_asof(S2.select(y=X)))
    assert "$" not in "".join(store.query(S.with_columns(a=N.trailing("1h")), progress=False).columns)
    for wrong in (
        S.join_asof(S2.select(a=df.sum("x").trailing("1h"))),
        df.union(S.with_columns(a=df.sum("x").trailing("1h")), S2),
    ):
        with pytest.raises(DataflowError, match=r"trailing cannot stand in .* of a union or a join_asof"):
            store.query(wrong)


def test_texts_that_other_chains_have_made(store: Store) -> None:
    both = df.union(S.select(a=U.upper()), S2.select(a=U)).select(b=df.col("a").lower() + "!")
    assert asked(store, both, "b") == [("p!",), ("p!",), ("q!",), ("q!",), ("p!",)]
    joined = S.join_asof(S2.select(a=U + "?")).select(b=df.col("a").upper())
    assert asked(store, joined, "b") == [(None,), ("P?",), ("Q?",)]
    made = S.state_duration(U + "Q")
    states = df.combine(df.col("p").lower(), p=made)
    assert asked(store, states, "state") == [("pq",), ("qq",), ("pq",)]


def test_what_measures_lengths_and_names_of_times(store: Store) -> None:
    states = S.state_duration("u")
    for step in (states.window("1h", up=df.share_of_time(U == "p")), states.sessionize("1h", d=df.duration())):
        with pytest.raises(DataflowError, match="measures how long rows last"):
            store.query(step)
    with pytest.raises(DataflowError, match="shown with their time as 't'"):
        store.query(S.select(t=df.time() - timedelta(hours=1)))
    with pytest.raises(DataflowError, match="key_by"):
        store.query(S.key_by("u").join_asof(S2.select(y=X)))


def test_steps_over_buckets_have_the_first_one(tmp_path: Path) -> None:
    """Three days in a row, from 8:00 on the first: its bucket begins before the first point."""
    store = Store(tmp_path / "store")
    times = [datetime(2024, 3, day, 8, tzinfo=UTC) for day in (1, 2, 3)]
    store.ingest("s", {"k": ["a"] * 3, "t": times}, key="k", time="t", progress=False)
    days = S.window("1d")
    assert asked(store, days.sessionize("1d").agg(n=df.max("count")), "n") == [(3,)]
    assert asked(store, days.funnel([True, True], within="2d").agg(n=N), "n") == [(1,)]
    assert asked(store, days.match("DAY+", DAY=df.col("count") > 0), "count") == [(3,)]
    seen = S.activity("1d").variants("status")
    assert asked(store, seen, "variant") == [("new > returning > returning",)]
    later = asked(store, days.sessionize("1d").agg(n=df.max("count")), "n", since="2024-03-02")
    assert later == [(2,)]


def test_days_of_23_and_25_hours_in_a_row(tmp_path: Path) -> None:
    """Runs of days and sums of seven days where the clock changes, as LANGUAGE.md writes them."""
    store, zone = Store(tmp_path / "store"), "Europe/Berlin"
    times = [datetime(2024, month, day, 12, tzinfo=ZoneInfo(zone)) for month in (3, 10) for day in range(20, 32)]
    store.ingest("s", {"k": ["a"] * len(times), "t": times}, key="k", time="t", progress=False)
    days = S.window("1d", zone)
    runs = days.sessionize("25h").select("count")
    assert asked(store, runs, "count") == [(12,), (12,)]
    assert asked(store, days.sessionize("1d").select("count"), "count") == [(12,), (8,), (4,)]
    until = datetime(2024, 4, 1, tzinfo=ZoneInfo(zone))
    sums = S.window("1d", zone, size="7d", n=N).filter(df.col("end") <= df.until())
    assert asked(store, sums, "n", until=until) == [(min(i, 7),) for i in range(1, 13)]


def test_texts_in_kept_states_do_not_grow(tmp_path: Path) -> None:
    """Each run applies the function to the words that were read, not to those that it made before."""
    store = Store(tmp_path / "store")
    made = S.with_columns(a=U.replace("a", "aa")).sessionize("5s", last=df.last("a"))
    for run in range(14):
        points = {"k": ["b"], "t": [86_400 * run], "u": ["a" if run % 2 else "aa"]}
        store.ingest("s", points, key="k", time="t", unit="s", progress=False)
        if not run:
            store.publish(made.group_by("last").agg(n=N), "kept")
        found = store.query("kept", progress=False)
    assert [*found] == [("aa", 7), ("aaaa", 7)]
    assert sum(p.stat().st_size for p in (tmp_path / "store" / "cache").rglob("*") if p.is_file()) < 4 << 20


@pytest.mark.parametrize(
    ("group", "said"),
    [
        (lambda: S.group_by(h=df.time() < df.since() + timedelta(minutes=20)), "the group column 'h'"),
        (lambda: S.with_columns(p=df.time().previous()).group_by(h=(df.time() - df.col("p")) > "5m"), "'h'"),
        (lambda: S.with_columns(h=df.time().hour()).group_by("h"), "'h'"),
        (lambda: S.funnel([U == "p", U == "q"], "5m").group_by(h=(df.col("step_2") - df.col("start")) > "5m"), "'h'"),
        (lambda: S.funnel([U == "p", U == "q"], "5m").group_by(h=df.col("step_2").truncate("1h")), "'h'"),
    ],
)
def test_what_compare_cannot_shift(store: Store, group: Callable[[], Any], said: str) -> None:
    with pytest.raises(DataflowError, match=rf"compare\): it cannot tell how .*{said}"):
        store.query(group().agg(n=N).compare("-1h"), progress=False)


def test_compare_by_entries_and_parts(store: Store) -> None:
    entries = S.funnel([U == "p", U == "q"], "1h", every="1m").group_by("entry").agg(n=N).compare("-200s")
    assert entries.to_json()
    assert "before_n" in store.query(entries, progress=False).columns
    hours = S.group_by("k", h=df.time().hour()).agg(n=N).compare("-24h")
    assert asked(store, hours, "n", "before_n") == [(3, None)]


@pytest.mark.parametrize(
    ("metric", "params", "said"),
    [
        (S.filter(P("u", default="p", choices=["p", "q"]) == U).agg(n=N), {"u": "R"}, "one of p, q, not 'R'"),
        (S.filter(U.is_in(P("us", default=["p"]))).agg(n=N), {"us": {"p"}}, "is a list, got"),
        (S.filter(P("n", default=[1]) == X).agg(n=N), {}, "is a list, which only is_in takes"),
    ],
)
def test_values_of_parameters(store: Store, metric: df.Stream, params: dict[str, Any], said: str) -> None:
    with pytest.raises(DataflowError, match=said):
        store.query(metric, params=params, progress=False)


@pytest.mark.parametrize("at", [datetime(1970, 1, 1, 0, 1, 40, tzinfo=UTC), "1970-01-01T00:01:40Z", 100_000_000])
def test_times_as_parameters(store: Store, at: object) -> None:
    late = S.filter(df.time() >= P("from", default=datetime(1970, 1, 1, tzinfo=UTC))).agg(n=N)
    assert [*store.query(late, params={"from": at}, progress=False)] == [(2,)]
    apart = S.filter(df.time() - df.time().previous() > P("gap", default=timedelta(1))).agg(n=N)
    assert [*store.query(apart, params={"gap": timedelta(seconds=50)}, progress=False)] == [(2,)]


def test_choices_of_lengths(store: Store) -> None:
    gap = P("gap", default=timedelta(seconds=150), choices=[timedelta(seconds=50), timedelta(seconds=150)])
    sessions = S.sessionize(gap).agg(n=N)
    assert [*store.query(sessions, progress=False)] == [(1,)]
    assert [*store.query(sessions, params={"gap": "50s"}, progress=False)] == [(3,)]


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (lambda: S.held(df.col(P("b", default="x", choices=["u", "x"]))), "held takes the names of columns"),
        (lambda: X.row_number(within=P("w", default="u")), "within takes a column"),
        (
            lambda: S.funnel([U == "p", U == "q"], within=[P("w", default="5m")]),
            "a list of lengths takes no parameters",
        ),
        (lambda: U.number(decimal=P("d", default=",")), "number: decimal is one sign"),
        (lambda: S.group_by("u").agg(n=N).compare(P("s", default="0s")), "must be longer than zero"),
    ],
)
def test_where_parameters_cannot_stand(wrong: Callable[[], Any], said: str) -> None:
    with pytest.raises(DataflowError, match=said):
        wrong()


def test_columns_that_parameters_name_come_back() -> None:
    by = df.col(P("by", default="u", choices=["u", "x"]))
    for metric in (S.select(n=X.row_number(within=by)), S.group_by("u", "x").agg(n=N).top(2, by="n", per=by)):
        assert eval(repr(metric), {"df": df}).to_json() == metric.to_json()


def test_timelines_of_several_streams_with_answers_inside(store: Store) -> None:
    """Every stream of a timeline is there for the parts of the question, too."""
    above = S.state_duration(df.mean("x").over("k") <= X)
    both = above & S2.state_duration(X > 10)
    # Of s the mean is 2, reached at 100 s; s2 reports 20 at 150 s.
    second = 1_000_000
    right = [(0, 150 * second, False), (150 * second, 200 * second + 1, True)]
    assert asked(store, both, "start", "end", "state") == right
    per_key = both.group_by("k").agg(d=df.duration(df.col("state")))
    [(_, now, before)] = asked(store, per_key.compare("-50s"), "k", "d", "before_d")
    assert (now, before) == (50 * second + 1, 1)
    joined = df.join(S.group_by("k").agg(n=N), per_key, on="k")
    assert asked(store, joined, "k", "n", "d") == [("a", 3, 50 * second + 1)]
    counted = S.join(S2.group_by("k").agg(m=N), on="k").state_duration(df.col("m") > 1) & S2.state_duration(X > 10)
    assert asked(store, counted, "state") == [(None,), (False,), (True,)]


def test_parts_of_unions_and_joins_with_answers_inside(store: Store) -> None:
    """Each part sees the answer about its own rows, also where several have the same."""
    above = df.mean("x").over("k") <= X
    both = df.union(S.filter(above).select("x"), S2.filter(above).select("x"))
    assert asked(store, both, "x") == [(2,), (20,), (3,)]
    found = asked(store, both.with_columns(n=N.over("k"), most=df.max("x").over("k")), "x", "n", "most")
    assert found == [(2, 3, 20), (20, 3, 20), (3, 3, 20)]
    assert "$" not in "".join(store.query(both).columns)
    joined = S.join_asof(S2.filter(above).join(S.group_by("k").agg(n=N), on="k").select(y=X, n=df.col("n")))
    assert asked(store, joined, "x", "y", "n") == [(1, None, None), (2, None, None), (3, 20, 3)]
    assert repr(df.from_json(joined.to_json())) == repr(joined)


def test_all_streams_of_a_timeline_are_known(store: Store) -> None:
    """An erase of any of them takes the kept states of the query."""
    both = S.state_duration(X > 1) & S2.state_duration(X > 10)
    assert store.publish(both.agg(d=df.duration()), "both").streams == ["s", "s2"]


def test_an_empty_text_names_a_column(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    points = {"k": ["a"] * 3, "t": [0, 3600, 3601], "u": ["", "up", ""]}
    store.ingest("s", points, key="k", time="t", unit="s", progress=False)
    wide = S.group_by("k", "u").agg(n=N).pivot("u", values=["up", ""])
    assert asked(store, wide, "k", "up", "empty") == [("a", 1, 2)]
    assert asked(store, wide.compare("-1h"), "k", "empty", "before_empty") == [("a", 2, 1)]
