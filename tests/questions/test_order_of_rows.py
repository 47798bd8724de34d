"""The order of rows: patterns, variants, paths, lifecycles, repetitions."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dataflow as df
from runtime import Result, Store

START = 1_709_251_200_000_000
"""2024-03-01T00:00Z in microseconds."""

SECOND, DAY = 1_000_000, 86_400_000_000
S = df.stream("s")
X = df.col("x")
BEFORE = df.col("x").previous()


def asked(folder: Path, metric: df.Stream, keys: Mapping[str, Mapping[int, Any]], unit: int, **options: Any) -> Result:
    """The answer about each key's values of ``x`` by time, counted in ``unit``."""
    rows = [(key, START + at * unit, x) for key, values in keys.items() for at, x in values.items()]
    assert repr(df.from_json(metric.to_json())) == repr(metric)
    with Store(folder / str(len(list(folder.iterdir()))), create=True) as store:
        columns = {n: list(v) for n, v in zip("ktx", zip(*rows, strict=True), strict=True)}
        store.ingest("s", columns, key="k", time="t", unit="us", progress=False)
        return store.query(metric, **options)


def by_second(**keys: Any) -> dict[str, dict[int, Any]]:
    return {key: dict(enumerate(values)) for key, values in keys.items()}


def seconds(result: Result, *names: str) -> list[tuple[Any, ...]]:
    columns = [[None if t is None else (t - START) / SECOND for t in result[n]] for n in names]
    return list(zip(result["k"], *columns, strict=True))


def test_falls_at_least_twice_then_rises(tmp_path: Path) -> None:
    """5 4 3 6 is one match; 5 4 6 is none."""
    falls = S.match("DOWN{2,} UP", DOWN=X < BEFORE, UP=X > BEFORE)
    found = asked(tmp_path, falls, by_second(u=[5, 4, 3, 6], v=[5, 4, 6]), SECOND)
    assert seconds(found, "start", "end", "DOWN_first", "DOWN_last", "UP_first") == [("u", 1, 3, 1, 2, 3)]
    assert (found["count"], found["DOWN_count"], found["UP_count"]) == ([3], [2], [1])


def test_three_failures_then_a_login(tmp_path: Path) -> None:
    """Whatever lies between, within ten minutes; a run of failures is one."""
    fail, ok = X == "f", X == "ok"
    tries = {"u": {0: "f", 1: "f", 2: "f", 3: "f", 4: "?", 5: "ok"}, "v": {0: "f", 1: "f", 2: "?", 3: "f", 4: "ok"}}
    tries["late"] = {0: "f", 1: "f", 2: "f", 603: "ok"}
    guessed = S.match("FAIL{3,} .* OK", FAIL=fail, OK=ok, within="10m")
    assert seconds(asked(tmp_path, guessed, tries, SECOND), "start", "end") == [("u", 0, 5)]
    # ``late`` began 603 s before, so it begins with the last row that could begin it, which is no better.
    runs = asked(tmp_path, S.match("FAIL{3,}", FAIL=fail), tries, SECOND)
    assert (runs["k"], runs["count"]) == (["late", "u"], [3, 4])


def test_values_at_the_rows_of_a_match(tmp_path: Path) -> None:
    """The peak of each rise and fall: 1 3 7 4 2."""
    peaks = S.match("UP+ DOWN+", UP=X > BEFORE, DOWN=X < BEFORE)
    shown = peaks.select(peak=df.col("UP.x"), low=df.col("DOWN.x"), first=X)
    found = asked(tmp_path, shown, by_second(u=[1, 3, 7, 4, 2]), SECOND)
    assert (found["peak"], found["low"], found["first"]) == ([7], [2], [3])


def test_variants_of_cases(tmp_path: Path) -> None:
    """Two cases A B C, one A C."""
    found = asked(tmp_path, S.variants("x"), by_second(c1="ABC", c2="ABC", c3="AC"), SECOND)
    assert [*found] == [("A > B > C", 2), ("A > C", 1)]
    short = asked(tmp_path, S.variants("x", length=2), by_second(c1="ABC", c3="AC"), SECOND)
    assert [*short] == [("A > B > ...", 1), ("A > C", 1)]


def test_lifecycle_by_day(tmp_path: Path) -> None:
    """a is there on days 1 2 3 5, b on 1 4 5, c on 2 3: new 3, returning 4, resurrecting 2, dormant 3."""
    days = {key: dict.fromkeys(on, "x") for key, on in {"a": [0, 1, 2, 4], "b": [0, 3, 4], "c": [1, 2]}.items()}
    counted = S.lifecycle(every="1d")
    found = asked(tmp_path, counted, days, DAY, since=START, until=START + 5 * DAY)
    by_day = [(2, 0, 0, 0), (1, 1, 0, 1), (0, 2, 0, 0), (0, 0, 1, 2), (0, 1, 1, 0)]
    assert [*found] == [(START + i * DAY, *counts) for i, counts in enumerate(by_day)]
    assert [sum(day) for day in zip(*by_day, strict=True)] == [3, 4, 2, 3]
    # Keys before the range are known.
    late = asked(tmp_path, counted, days, DAY, since=START + 2 * DAY, until=START + 5 * DAY)
    assert [*late] == [*found][2:]


def test_alarms_without_repetitions(tmp_path: Path) -> None:
    """Of equal alarms at 0, 6, 12 and 18 s those at 0 and 12 s stay; another in between does not matter."""
    alarms = {"u": {0: "a", 6: "a", 7: "b", 12: "a", 17: "b", 18: "a"}, "v": {0: None, 1: None, 2: "a"}}
    found = asked(tmp_path, S.dedupe("x", within="10s"), alarms, SECOND)
    assert seconds(found, "t") == [("u", 0), ("u", 7), ("u", 12), ("v", 0), ("v", 1), ("v", 2)]


def test_how_many_alarms_are_no_repetitions(tmp_path: Path) -> None:
    """Where nothing else reads the time."""
    alarms = {"u": {0: "p", 5: "p", 11: "p", 12: "q", 30: "q", 31: "q"}}
    assert [*asked(tmp_path, S.dedupe("x", within="10s").agg(n=df.count()), alarms, SECOND)] == [(4,)]


def test_the_ways_to_a_purchase(tmp_path: Path) -> None:
    """Home, search, item, buy; item, buy: from a search to a purchase, and the pages before a purchase."""
    clicks = by_second(u="HSIBIB", v="HSHSB")
    ways = asked(tmp_path, S.paths("x", length=5, start="S", end="B"), clicks, SECOND)
    assert [*ways] == [("S > H > S > B", 1), ("S > I > B", 1)]
    before = asked(tmp_path, S.paths("x", length=2, end=X == "B"), clicks, SECOND)
    assert [*before] == [("I > B", 2), ("S > B", 1)]
    threes = asked(tmp_path, S.paths("x", length=3), clicks, SECOND)
    assert dict([*threes])["H > S > I"] == 1
    assert sum(threes["count"]) == 4 + 3
