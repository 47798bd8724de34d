"""Provenance adds up to its number, and the named files say all that is behind it, for every kind of metric."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dataflow as df
from runtime import Store
from runtime.result.result import Explanation
from runtime.testing.oracle import answer
from runtime.testing.oracle.strategies import KEY, TIME, TYPES, Case, Point, cases
from tests.laws.engine import STREAM, as_columns, parts, schema_point
from tests.laws.until import until

ROWS = list[dict[str, Any]]
Sums = dict[str, Callable[[ROWS], Any]]

points = df.stream(STREAM)
states = points.state_duration("status", hold="10m")
held = points.state_duration("status")
up, down = (df.col("status") == word for word in ("up", "down"))
day = df.time().truncate("1d", zone="Europe/London")
hour = df.time().truncate("1h")
early = df.time().hour() < 12


def total(name: str) -> Callable[[ROWS], int]:
    """The sum of a column."""
    return lambda rows: sum(row[name] or 0 for row in rows)


def while_true(name: str) -> Callable[[ROWS], int]:
    """How long a boolean column was true."""
    return lambda rows: sum(row["duration"] for row in rows if row[name])


COUNT: Sums = {"n": total("count")}
TIMES: Sums = {"time": total("duration"), "up": while_true("up"), **COUNT}
TIMED = {"time": df.duration(), "up": df.duration(up), "n": df.count()}

METRICS: dict[str, tuple[df.Stream, Sums]] = {
    "points": (
        points.group_by("firmware", "ok").agg(n=df.count(), twice=df.sum(df.col("n") * 2, where=df.col("n") < 2**40)),
        {"n": len, "twice": lambda rows: sum(r["twice"] for r in rows if r["twice_where"]) if any(
            r["twice_where"] for r in rows) else None},
    ),
    "points by hour": (points.filter(df.col("temp") > 0).group_by(hour=hour).agg(n=df.count()), {"n": len}),
    "all points": (points.agg(n=df.count()), {"n": len}),
    "numbers": (points.group_by("temp", "n").agg(rows=df.count()), {"rows": len}),
    "last": (
        points.with_columns(fw=df.col("firmware").last()).filter(df.col("ok")).group_by("fw").agg(n=df.count()),
        {"n": len},
    ),
    "states": (states.group_by("firmware").agg(**TIMED), TIMES),
    "states held": (held.filter(df.col("firmware") != "2.0").group_by("status", "firmware").agg(**TIMED), TIMES),
    "states by day": (states.group_by("firmware", day=day).agg(**TIMED), TIMES),
    "states by hour": (states.group_by("firmware", hour=hour).agg(**TIMED), TIMES),
    "states by part of day": (
        held.group_by(morning=hour - day < timedelta(hours=12), device=df.col("device")).agg(**TIMED), TIMES,
    ),
    "states by hour of day": (
        held.filter(df.col("status").is_not_null())
        .group_by("firmware", h=df.time().hour("Europe/London"))
        .agg(**TIMED),
        TIMES,
    ),
    "states before noon": (states.filter(early).group_by("firmware", early=early).agg(**TIMED), TIMES),
    "states by a column of the clock": (
        held.with_columns(h=df.time().hour(), unread=hour).group_by("h", "status").agg(**TIMED), TIMES
    ),
    "the clock in aggregates": (
        held.group_by("firmware", day=day).agg(
            n=df.count(), time=df.duration(where=early), up=df.duration(up, where=early), all=df.duration()),
        {
            "n": total("count"), "all": total("duration"),
            "time": lambda rows: sum(r["duration"] for r in rows if r["time_where"]),
            "up": lambda rows: sum(r["duration"] for r in rows if r["up"] and r["up_where"]),
        },
    ),
    "at least two, by hour": (
        held.at_least(2, up).filter(early).group_by("state", h=df.time().hour()).agg(time=df.duration()),
        {"time": total("duration")},
    ),
    "what is known of a condition": (
        states.group_by("firmware").agg(known=df.known_time(up), unknown=df.unknown_time(up), n=df.count()),
        {"known": lambda rows: sum(r["duration"] for r in rows if r["known"] is not None), **COUNT},
    ),
    "pieces": (
        held.group_by(day=day).agg(time=df.duration(), longest=df.max("duration"), n=df.count()),
        {"time": total("duration"), "longest": lambda rows: max(r["duration"] for r in rows), "n": total("count")},
    ),
    "unknown": (
        states.group_by("firmware").agg(unknown=df.unknown_time(), n=df.count()), {"unknown": total("unknown"), **COUNT}
    ),
    "alive": (
        points.heartbeat("10m").group_by("firmware").agg(time=df.duration(df.col("alive")), n=df.count()),
        {"time": while_true("alive"), **COUNT},
    ),
    "selected": (
        held.select("status", fw=df.col("firmware")).group_by("fw").agg(n=df.count(), time=df.duration()),
        {"time": total("duration"), **COUNT},
    ),
    "sessions": (
        points.sessionize("10m").group_by("firmware", day=day).agg(
            n=df.count(), events=df.sum("count"), time=df.duration()),
        {"n": len, "events": total("count"), "time": total("duration")},
    ),
    "windows": (
        points.window("1h", ups=df.count(where=up)).group_by("firmware").agg(n=df.count(), ups=df.sum("ups")),
        {"n": len, "ups": total("ups")},
    ),
    "funnel": (
        points.funnel([up, df.col("status") == "down"], within="2h").group_by("steps", "firmware").agg(n=df.count()),
        {"n": len},
    ),
    "funnel with exclusions": (
        points.funnel([up, df.col("ok"), df.col("temp") > 20], ["1h", "1d"], exclude={down: (1, 3)},
        every="1d").group_by("steps", "firmware", "entry").agg(n=df.count()),
        {"n": len},
    ),
    "paths": (points.paths("status", gap="10m"), {"count": len}),
    "matches": (
        points.match("U .* D", U=up, D=df.col("status") == "down", within="1h").group_by("firmware").agg(
            n=df.count(), rows=df.sum("count")),
        {"n": len, "rows": total("count")},
    ),
    "variants": (points.variants("status", length=3), {"keys": len}),
    "subpaths": (points.paths("status", gap="10m", length=2, start="up"), {"count": len}),
    "activity": (points.activity("1d").group_by("status", day=df.col("start")).agg(n=df.count()), {"n": len}),
    "without repetitions": (
        points.dedupe("status", within="10m").group_by("status").agg(n=df.count(), total=df.sum("n")),
        {"n": len, "total": lambda rows: total("n")(rows) if any(r["n"] is not None for r in rows) else None},
    ),
    "retention": (
        points.retention(up, df.col("ok"), "1d").sort("size"),
        {"size": len, "keys": lambda rows: sum(r["returned"] for r in rows)},
    ),
    "groups of groups": (
        states.group_by("device", "status").agg(time=df.duration()).filter(df.col("time") > timedelta(microseconds=1))
        .group_by("status").agg(n=df.count(), time=df.sum("time")),
        {"n": len, "time": total("time")},
    ),
    "groups of days": (
        states.group_by("firmware", day=day).agg(time=df.duration(up)).group_by("firmware").agg(time=df.sum("time")),
        {"time": total("time")},
    ),
    "both": (
        (points.heartbeat("10m") & points.state_duration("ok")).group_by("state").agg(n=df.count(), time=df.duration()),
        {"time": total("duration"), **COUNT},
    ),
    "at least two": (held.at_least(2, up).group_by("state").agg(time=df.duration()), {"time": total("duration")}),
    "when two are up": (held.at_least(2, up), {}),
    "no grouping": (held, {}),
    "points as they are": (points.filter(df.col("ok")).sort("temp").limit(3), {}),
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    return tmp_path_factory.mktemp("stores")


_numbers = itertools.count()


def stored(folder: Path, found: list[Point], sources: int) -> tuple[Store, list[tuple[str, Point]]]:
    """A store of the points, and for each the file that it lies in."""
    store = Store(folder / str(next(_numbers)), create=True)
    placed: list[tuple[str, Point]] = []
    known: set[str] = set()
    for part in parts([schema_point("a"), *found], sources):
        store.ingest(STREAM, as_columns(part), key=KEY, time=TIME, unit="us", progress=False, compact=False)
        new = [f for f in store.files(STREAM) if f.path not in known]
        known |= {f.path for f in new}
        # A source that holds just what another held is the same source, and is not taken twice.
        kept = part if new else ()
        placed += [(next(f.path for f in new if f.t_min <= point[TIME] <= f.t_max), point) for point in kept]
    return store, placed


def some(rows: int) -> list[int]:
    """The numbers of up to six rows, the first and the last among them."""
    return sorted({n * (rows - 1) // 5 for n in range(6)}) if rows else []


def agree(metric: df.Stream, sums: Sums, store: Store, placed: list[tuple[str, Point]], case: Case) -> int:
    """Assert that the answer is right, and that rows of it are explained; how many rows there are."""
    graph = json.loads(metric.to_json())
    span = {"since": case.since, "until": case.until}
    options: dict[str, Any] = {"key": KEY, "time": TIME, "types": TYPES, **span}
    result = store.query(metric, progress=False, **span)
    expected = answer(graph, [point for _, point in placed], **options)
    assert [dict(zip(result.columns, row, strict=True)) for row in result] == expected
    for i in some(len(expected)):
        row = expected[i]
        why = result.explain(i, limit=10_000)
        assert why.row == row
        assert why.total == len(why.rows)
        behind = [dict(zip(why.rows.columns, r, strict=True)) for r in why.rows]
        # The sums of what is shown are the numbers.
        assert {name: of(behind) for name, of in sums.items()} == {name: row[name] for name in sums}
        suffices(why, row, behind, graph, placed, options)
    return len(expected)


def suffices(
    why: Explanation, row: dict[str, Any], behind: ROWS, graph: Any, placed: list[tuple[str, Point]], options: Any
) -> None:
    """From the files alone, and of the keys alone, the oracle says the same of the row."""
    keys = {point[KEY] for _, point in placed}
    operations = {step["op"] for step in graph["steps"]}
    choices = [keys]
    if KEY in why.rows.columns:
        assert why.keys == len({r[KEY] for r in behind})
        # How many keys there are at once ends with a point of yet another key.
        if "concurrent" not in operations:
            choices = [{r[KEY] for r in behind}]
    elif behind and "concurrent" not in operations and graph["steps"][-1]["op"] == "group_by" and why.keys < len(keys):
        # The rows do not show which keys they come from, only how many these are.
        choices = [set(some) for some in itertools.combinations(sorted(keys), why.keys)]
    there = [[point for file, point in placed if file in why.files and point[KEY] in some] for some in choices]
    answers = [answer(graph, some, **options) for some in there]
    if operations & {"window", "sessionize", "transitions", "subpaths", "activity", "match", "dedupe"}:
        # Points of other rows that lie in the same files may, without their neighbours, come into the group as well.
        by = [entry["name"] for entry in graph["steps"][-1]["by"]]
        count = "n" if "n" in row else "count"
        assert any(
            [r[count] >= row[count] for r in found if all(r[name] == row[name] for name in by)] == [True]
            for found in answers
        )
    elif behind and not any(row in found for found in answers):
        # Points that the files hold besides may say more; of what is behind the row, they say nothing else.
        assert KEY in why.rows.columns
        if graph["steps"][-1]["op"] == "group_by":
            files_say_the_same(behind, row, graph, there[0], options)
        else:
            is_covered(row, answers[0])


def files_say_the_same(behind: ROWS, row: dict[str, Any], graph: Any, there: list[Point], options: Any) -> None:
    """What is behind the row is what the files say of these keys and times; more of them may come into the group.

    That is so because of a report that is not behind the row and makes another group of what is beside it: of two
    states, say, one is reported in a file that is not named. Without it an interval may also be longer.
    """
    *before, grouping = graph["steps"]
    inner = next((step for step in reversed(before) if step["op"] == "group_by"), None)
    if inner is not None:
        groups_are_as_long(behind, inner, answer({**graph, "steps": before}, there, **options))
        return
    times = ("start", "end") if "end" in behind[0] else (TIME,)
    own = [{"name": f"_{n}", "expr": {"col": n}} for n in (KEY, *times)]
    count = [{"name": "_count", "agg": {"fn": "count", "args": [], "where": None}}]
    pieces = {"op": "group_by", "by": [*grouping["by"], *own], "aggs": count}
    found: Counter[tuple[Any, ...]] = Counter()
    for r in answer({**graph, "steps": [*before, pieces]}, there, **options):
        if all(r[entry["name"]] == row[entry["name"]] for entry in grouping["by"]):
            found[tuple(r[f"_{n}"] for n in (KEY, *times))] += r["_count"]
    known: Counter[tuple[Any, ...]] = Counter()
    for r in behind:
        known[tuple(r[n] for n in (KEY, *times))] += r.get("count", 1)
    if len(times) == 1:
        assert found > known
        return
    for key, start, end in known:
        assert any(k == key and begin <= start and end <= stop for k, begin, stop in found)
    whole = answer({**graph, "steps": before}, there, **options)
    for r in behind:
        same = [name for name in r if name in whole[0] and name not in ("start", "end", "duration", "count")]
        assert any(
            all(w[name] == r[name] for name in same) and w["start"] <= r["start"] and r["end"] <= w["end"]
            for w in whole
        )


def groups_are_as_long(behind: ROWS, grouping: Any, found: ROWS) -> None:
    """Rows of an earlier grouping, by length of time: of these files, each group's time is at least as long."""
    by, times = ([entry["name"] for entry in grouping[part]] for part in ("by", "aggs"))
    for r in behind:
        assert any(all(w[n] == r[n] for n in by) and all(w[n] >= r[n] for n in times) for w in found)


def is_covered(row: dict[str, Any], found: ROWS) -> None:
    """An interval of these files says the same all the time; it may be longer, for it may lack what ended it."""
    same = [name for name in row if name not in ("start", "end", "duration")]
    whole = [r for r in found if all(r[name] == row[name] for name in same)]
    assert any(r["start"] <= row["start"] and row["end"] <= r["end"] for r in whole)


@pytest.mark.parametrize("name", METRICS)
def test_what_is_behind_adds_up(name: str, folder: Path) -> None:
    metric, sums = METRICS[name]
    explained = 0

    @settings(max_examples=max(1, settings().max_examples // 6))  # every one makes a store
    @given(case=cases(integers=[-7, 0, 1, 2**41]), sources=st.integers(1, 4))
    def check(case: Case, sources: int) -> None:
        nonlocal explained
        store, placed = stored(folder, case.points, sources)
        with store:
            explained += agree(metric, sums, store, placed, case)

    until(check, lambda: explained > 0)


def test_a_row_may_begin_because_of_a_key_of_which_nothing_is_known(folder: Path) -> None:
    # Before a is down, two might be up: b, which lies in a file of its own, says nothing but that it is there.
    start = 1_711_836_000_000_000
    points: list[Point] = [
        {KEY: "a", TIME: start},
        {KEY: "a", TIME: start},
        {KEY: "a", TIME: start + 1, "temp": None, "status": "down"},
        {KEY: "b", TIME: start},
    ]
    metric, sums = METRICS["when two are up"]
    store, placed = stored(folder, points, 3)
    with store:
        assert agree(metric, sums, store, placed, Case(points, start, start + 600_000_000)) == 2


def test_groups_of_groups_may_last_longer_in_their_files(folder: Path) -> None:
    # The second report holds "down" until "up" comes; it lies in a file without any point of the row, and without it
    # "down" ends, and unknown time begins, a microsecond earlier.
    start, gap = 1_711_836_600_000_000, 600_000_000

    def reported(at: int, status: str | None) -> Point:
        return {KEY: "c", TIME: start + at, "status": status}

    parts_of_it: list[list[Point]] = [
        [reported(0, "down"), reported(1, "down")],
        [reported(gap + 1, "up"), reported(2 * gap + 1, None), reported(3 * gap + 2, "up")],
        [reported(6 * gap + 2, "up"), reported(7 * gap + 1, None)],
        [reported(0, "down"), reported(6 * gap + 2, "up"), reported(7 * gap + 1, None)],
    ]
    metric, sums = METRICS["groups of groups"]
    store, placed = Store(folder / str(next(_numbers)), create=True), list[tuple[str, Point]]()
    for part in ([schema_point("a")], *parts_of_it):
        before = {f.path for f in store.files(STREAM)} if placed else set()
        store.ingest(
            STREAM, as_columns(part), key=KEY, time=TIME, unit="us", source=str(len(placed)), progress=False,
            compact=False,
        )  # fmt: skip
        new = next(f.path for f in store.files(STREAM) if f.path not in before)
        placed += [(new, point) for point in part]
    case = Case([point for _, point in placed], start - gap, start + 7 * gap + 2)
    with store:
        assert agree(metric, sums, store, placed, case) == 3
        why = store.query(metric, since=case.since, until=case.until, progress=False).explain(0)
    assert placed[1][0] not in why.files  # so that this case is about what it says


def test_what_else_the_files_hold_may_join_the_group_but_changes_no_interval(folder: Path) -> None:
    # Of two things that tell the group, one is reported in a file of its own, long after the intervals of the row.
    start, minute = 1_711_836_000_000_000, 60_000_000
    points: list[Point] = [
        {KEY: "x", TIME: start, "status": "up", "firmware": "1.0"},
        {KEY: "x", TIME: start + minute, "status": "down", "firmware": "2.0"},
        {KEY: "x", TIME: start + 2 * minute, "firmware": "1.0"},
        {KEY: "x", TIME: start + 4 * minute, "status": "up"},
        {KEY: "x", TIME: start + 3 * minute, "firmware": "ä"},
    ]
    metric, sums = METRICS["states held"]
    store = Store(folder / str(next(_numbers)), create=True)
    placed: list[tuple[str, Point]] = []
    for part in ([schema_point("a")], points[:4], points[4:]):
        before = {f.path for f in store.files(STREAM)} if placed else set()
        store.ingest(STREAM, as_columns(part), key=KEY, time=TIME, unit="us", progress=False)
        (new,) = {f.path for f in store.files(STREAM)} - before
        placed += [(new, point) for point in part]
    with store:
        assert agree(metric, sums, store, placed, Case(points, start, start + 60 * minute)) == 4
