"""Funnels, their tables, and sessions at once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

import dataflow as df
from runtime import Result, Store

POINTS = df.stream("s")
WHAT = df.col("what")
VIEW, CART, BUY, CANCEL = (word == WHAT for word in ("view", "cart", "buy", "cancel"))
MINUTE = 60_000_000
START = 1_709_251_200_000_000
"""2024-03-01T00:00Z in microseconds."""

DAY = 24 * 60
"""In minutes."""


def asked(folder: Path, metric: df.Stream, rows: Sequence[tuple[Any, ...]], **options: Any) -> Result:
    """The answer about rows of a key, minutes, what happened, and a source."""
    keys, minutes, what, source = zip(*((*row, None)[:4] for row in rows), strict=True)
    times = [START + m * MINUTE for m in minutes]
    columns = {"k": keys, "t": times, "what": what} | ({"utm": source} if any(source) else {})
    assert repr(df.from_json(metric.to_json())) == repr(metric)
    with Store(folder / str(len(list(folder.iterdir()))), create=True) as store:
        store.ingest("s", {n: list(v) for n, v in columns.items()}, key="k", time="t", unit="us", progress=False)
        return store.query(metric, **options)


def minutes(of: int) -> float:
    return (of - START) / MINUTE


def steps(result: Result) -> dict[str, int]:
    return dict(zip(result["k"], result["steps"], strict=True))


VIEWS = [
    ("x", 60, "view"), ("x", DAY + 60, "view"), ("x", DAY + 120, "buy"), ("x", 2 * DAY + 60, "view"),
    ("y", 60, "view"), ("y", 120, "buy"), ("y", DAY + 60, "view"),
]  # fmt: skip


def test_by_day_of_entry(tmp_path: Path) -> None:
    """2 entered and 1 converted; 2 and 1; 1 and 0."""
    funnel = POINTS.funnel([VIEW, BUY], within="12h", every="1d")
    converted = df.count(where=df.col("steps") == 2)
    found = asked(tmp_path, funnel.group_by("entry").agg(entrants=df.count(), converted=converted), VIEWS)
    assert [*found] == [(START, 2, 1), (START + DAY * MINUTE, 2, 1), (START + 2 * DAY * MINUTE, 1, 0)]
    by_clock = funnel.group_by(day=df.time().truncate("1d")).agg(entrants=df.count(), converted=converted)
    assert [*asked(tmp_path, by_clock, VIEWS)] == [*found]


def test_attempts_that_are_open_on_several_days(tmp_path: Path) -> None:
    """One purchase completes the attempts of three days; in Berlin the first of them is on the day before."""
    rows = [("x", 0, "view"), ("x", 60, "view"), ("x", DAY, "view"), ("x", 2 * DAY, "view"), ("x", 2 * DAY + 5, "buy")]
    funnel = POINTS.funnel([VIEW, BUY], within="2d", every="1d")
    found = asked(tmp_path, funnel, rows)
    assert [minutes(t) for t in found["start"]] == [60, DAY, 2 * DAY]
    assert found["steps"] == [2, 2, 2]
    new_york = asked(tmp_path, POINTS.funnel([VIEW, BUY], within="2d", every="1d", zone="America/New_York"), rows)
    assert [minutes(t) for t in new_york["entry"]] == [-19 * 60, 5 * 60, 5 * 60 + DAY]


def test_excluded_between_two_steps(tmp_path: Path) -> None:
    rows = [("u", 0, "view"), ("u", 5, "cancel"), ("u", 6, "cart"), ("v", 0, "view"), ("v", 3, "cart")]
    for exclude in ({CANCEL: (1, 2)}, [(CANCEL, (1, 2))]):
        assert steps(asked(tmp_path, POINTS.funnel([VIEW, CART], "1h", exclude=exclude), rows)) == {"u": 1, "v": 2}


@pytest.mark.parametrize(
    ("what", "span", "met"),
    [
        ("view cancel view cart buy", (1, 2), 3),  # another attempt
        ("view cart cancel cart buy", (2, 3), 2),  # the attempt is over, whatever follows
        ("view cart cancel buy", (1, 2), 3),
        ("view cart cancel buy", (1, 3), 2),
        ("cancel view cart buy cancel", (1, 3), 3),
    ],
)
def test_what_an_exclusion_ends(tmp_path: Path, what: str, span: tuple[int, int], met: int) -> None:
    rows = [("u", i, word) for i, word in enumerate(what.split())]
    assert asked(tmp_path, POINTS.funnel([VIEW, CART, BUY], "1h", exclude={CANCEL: span}), rows)["steps"] == [met]


def test_rows_at_the_same_time_are_not_between(tmp_path: Path) -> None:
    rows = [("u", 0, "view"), ("u", 0, "cancel"), ("u", 5, "cancel"), ("u", 5, "cart")]
    funnel = POINTS.funnel([VIEW, CART], "1h", exclude={CANCEL: (1, 2)})
    assert asked(tmp_path, funnel, rows)["steps"] == [2]
    in_order = POINTS.funnel([VIEW, CART], "1h", mode="ordered", exclude={CANCEL: (1, 2)})
    assert asked(tmp_path, in_order, rows)["steps"] == [1]


def test_attempts_that_start_at_one_time(tmp_path: Path) -> None:
    """In order of arrival: the one that starts last may go on where an earlier one ended, or has more time."""
    ended = POINTS.funnel([VIEW, BUY], "1d", mode="ordered", exclude={CANCEL: (1, 2)})
    rows = [
        ("a", 0, "view"),
        ("a", 0, "cancel"),
        ("a", 0, "view"),
        ("a", 0, "buy"),
        ("b", 0, "view"),
        ("b", 0, "cancel"),
    ]
    assert steps(asked(tmp_path, ended, rows)) == {"a": 2, "b": 1}
    each = POINTS.funnel([VIEW, CART, BUY], ["5m", "1h"], mode="ordered")
    rows = [("a", 0, "view"), ("a", 0, "cart"), ("a", 0, "view"), ("a", 4, "cart"), ("a", 62, "buy"),
            ("b", 0, "view"), ("b", 0, "cart"), ("b", 4, "cart"), ("b", 62, "buy")]  # fmt: skip
    assert steps(asked(tmp_path, each, rows)) == {"a": 3, "b": 2}


@pytest.mark.parametrize("count", ["keys", "all"])
def test_the_last_of_attempts_that_start_at_one_time_counts(tmp_path: Path, count: str) -> None:
    metric = POINTS.funnel([VIEW, BUY], "1d", mode="ordered", count=count).group_by("utm").agg(n=df.count())
    rows = [("a", 0, "view", "mail"), ("a", 0, "view", "ad"), ("a", 1, "buy", None)]
    assert list(asked(tmp_path, metric, rows)) == [("ad", 1)]


def test_steps_in_any_order(tmp_path: Path) -> None:
    found = asked(tmp_path, POINTS.funnel([CART, BUY], "1h", mode="any_order"), [("u", 0, "buy"), ("u", 5, "cart")])
    assert found["steps"] == [2]
    assert [minutes(found[n][0]) for n in ("start", "end", "step_1", "step_2", "reached_2")] == [0, 5, 5, 0, 5]
    rows = [("u", 0, "view"), ("u", 1, "buy"), ("u", 2, "buy"), ("u", 59, "view"), ("u", 61, "cart")]
    late = asked(tmp_path, POINTS.funnel([VIEW, CART, BUY], "1h", mode="any_order"), rows)
    assert late["steps"] == [3]
    assert [minutes(late[n][0]) for n in ("start", "step_3", "step_1", "step_2")] == [2, 2, 59, 61]
    # One row may meet several steps.
    both = POINTS.funnel([VIEW, WHAT != "buy"], "1h", mode="any_order")
    assert asked(tmp_path, both, [("u", 0, "view")])["steps"] == [2]


def test_a_window_for_each_step(tmp_path: Path) -> None:
    rows = [("u", 0, "view"), ("u", 4, "cart"), ("u", 50, "buy"), ("v", 0, "view"), ("v", 6, "cart")]
    funnel = POINTS.funnel([VIEW, CART, BUY], within=["5m", "1h"])
    assert steps(asked(tmp_path, funnel, rows)) == {"u": 3, "v": 1}
    edge = [("u", 0, "view"), ("u", 5, "cart"), ("u", 65, "buy"), ("v", 0, "view"), ("v", 5, "cart"), ("v", 66, "buy")]
    assert steps(asked(tmp_path, funnel, edge)) == {"u": 3, "v": 2}


def test_all_completed_attempts(tmp_path: Path) -> None:
    """A purchase completes one attempt, and its rows are used up."""
    rows = [("u", i, word) for i, word in enumerate(["view", "view", "buy", "buy", "view", "cart", "buy", "view"])]
    found = asked(tmp_path, POINTS.funnel([VIEW, BUY], "1h", count="all"), rows)
    assert [(minutes(a), minutes(b)) for a, b in zip(found["start"], found["end"], strict=True)] == [(1, 2), (4, 6)]
    four = [("u", i, "view") for i in range(4)]
    found = asked(tmp_path, POINTS.funnel([VIEW, VIEW], "1h", count="all"), four)
    assert [(minutes(a), minutes(b)) for a, b in zip(found["start"], found["end"], strict=True)] == [(0, 1), (2, 3)]


def test_a_funnel_for_each_session(tmp_path: Path) -> None:
    rows = [("u", 0, "view"), ("u", 31, "buy"), ("u", 70, "view"), ("u", 100, "buy"), ("v", 0, "buy")]
    within_hours = POINTS.funnel([VIEW, BUY], "5h")
    assert asked(tmp_path, within_hours, rows[:2])["steps"] == [2]
    by_session = POINTS.funnel([VIEW, BUY], "5h", per="session", gap="30m")
    found = asked(tmp_path, by_session, rows)
    assert [(k, minutes(t), n) for k, t, n in zip(found["k"], found["start"], found["steps"], strict=True)] == [
        ("u", 0, 1),
        ("u", 70, 2),
    ]
    completed = POINTS.funnel([VIEW, BUY], "5h", per="session", gap="30m", count="all")
    assert [minutes(t) for t in asked(tmp_path, completed, rows)["start"]] == [70]


def test_the_table_of_a_funnel(tmp_path: Path) -> None:
    rows = [
        ("a", 0, "view"), ("a", 2, "cart"), ("a", 8, "buy"), ("b", 0, "view"), ("b", 4, "cart"),
        ("c", 0, "view"), ("c", 9, "cart"), ("d", 0, "view"),
    ]  # fmt: skip
    table = asked(tmp_path, POINTS.funnel([VIEW, CART, BUY], "1h").funnel_table(), rows)
    assert [*table] == [
        (1, 4, 1.0, None, None),
        (2, 3, 0.75, 0.75, 4 * MINUTE),
        (3, 1, 0.25, 1 / 3, 6 * MINUTE),
    ]
    assert list(table.columns) == ["step", "keys", "share_of_first", "share_of_previous", "median_time"]
    any_order = POINTS.funnel([BUY, CART, VIEW], "1h", mode="any_order").funnel_table()
    assert [*asked(tmp_path, any_order, rows)] == [*table]
    by_day = asked(tmp_path, POINTS.funnel([VIEW, BUY], "12h", every="1d").funnel_table("entry"), VIEWS)
    assert by_day["keys"] == [2, 1, 2, 1, 1, 0]
    assert by_day["share_of_previous"] == [None, 0.5, None, 0.5, None, 0.0]
    nobody = asked(tmp_path, POINTS.funnel([CANCEL, BUY], "1h").funnel_table(), rows)
    assert [*nobody] == [(1, 0, None, None, None), (2, 0, None, None, None)]


def test_the_keys_behind_a_step(tmp_path: Path) -> None:
    metric = POINTS.funnel([VIEW, BUY], "12h", every="1d").funnel_table("entry")
    with Store(tmp_path / "store", create=True) as store:
        keys, minutes, what = zip(*VIEWS, strict=True)
        times = [START + m * MINUTE for m in minutes]
        columns = {"k": list(keys), "t": times, "what": list(what)}
        store.ingest("s", columns, key="k", time="t", unit="us", progress=False)
        table = store.query(metric)
        assert [table.explain(i).rows["k"] for i in range(6)] == [["x", "y"], ["y"], ["x", "y"], ["x"], ["x"], []]


def test_the_first_touch(tmp_path: Path) -> None:
    """Sources are broken down by the first of a key, although the attempt that counts has a later one."""
    rows = [("u", 0, "view", "ads"), ("u", 10, "view", "mail"), ("u", 12, "buy", None), ("v", 0, "view", "mail")]
    funnel = POINTS.with_columns(touch=df.col("utm").first()).funnel([VIEW, BUY], "1h")
    assert [*asked(tmp_path, funnel.funnel_table("touch"), rows)] == [
        ("ads", 1, 1, 1.0, None, None),
        ("ads", 2, 1, 1.0, 1.0, 2 * MINUTE),
        ("mail", 1, 1, 1.0, None, None),
        ("mail", 2, 0, 0.0, 0.0, None),
    ]
    # Without it, the source of the row at which the attempt started.
    last = POINTS.funnel([VIEW, BUY], "1h").group_by("utm").agg(bought=df.count(where=df.col("steps") == 2))
    assert [*asked(tmp_path, last, rows)] == [("mail", 1)]
    early = [("u", 0, "view", "ads"), ("u", 10, "buy", "mail")]
    assert [*asked(tmp_path, last, early)] == [("ads", 1)]
    # A source before the range is still the first.
    later = POINTS.with_columns(touch=df.col("utm").first()).funnel([VIEW, BUY], "1h").group_by("touch")
    found = asked(tmp_path, later.agg(n=df.count()), rows, since=START + 5 * MINUTE)
    assert [*found] == [("ads", 1)]


def test_the_peak_number_of_sessions(tmp_path: Path) -> None:
    """Three at minute 20: of a, of c, and the one of b, which has a single event."""
    rows = [("a", 0, ""), ("a", 10, ""), ("a", 20, ""), ("b", 20, ""), ("c", 20, ""), ("c", 30, ""), ("d", 31, "")]
    sessions = POINTS.sessionize("15m")
    peak = asked(tmp_path, sessions.concurrent(True).agg(peak=df.max("active")), rows)
    assert [*peak] == [(3,)]
    longer = sessions.concurrent(df.col("count") > 1).agg(peak=df.max("active"))
    assert [*asked(tmp_path, longer, rows)] == [(2,)]
    found = asked(tmp_path, sessions.at_least(3, True).filter(df.col("state")), rows)
    assert [(minutes(a), b - a) for a, b in zip(found["start"], found["end"], strict=True)] == [(20, 1)]
    by_hour = sessions.concurrent(True).group_by(h=df.time().truncate("1h")).agg(peak=df.max("active"))
    assert [*asked(tmp_path, by_hour, rows)] == [(START, 3)]
