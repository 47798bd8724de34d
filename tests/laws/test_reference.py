"""The oracle against answers worked out by hand: one small example for each meaning in its README."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.laws.builders import (
    ALIVE,
    BY_DEVICE,
    BY_FIRMWARE,
    BY_STATUS,
    DEVICE,
    DURATION,
    FIRMWARE,
    NOW,
    OK,
    ROWS,
    STATUS,
    TEMP,
    UP,
    Json,
    N,
    agg,
    beats,
    col,
    extend,
    fn,
    graph,
    group,
    limit,
    lit,
    named,
    select,
    sessions,
    sort,
    states,
    truncate,
    where,
    windows,
)
from tests.reference import IntegerOverflowError, answer
from tests.reference.buckets import bucket
from tests.reference.strategies import DAY, HOUR, TYPES


def ask(
    *steps: Json, of: list[dict[str, Any]], since: int = 0, until: int = 100, **options: Any
) -> list[dict[str, Any]]:
    return answer(graph(*steps), of, key="device", time="ts", since=since, until=until, types=TYPES, **options)


def ask_tuples(*steps: Json, of: list[dict[str, Any]], **options: Any) -> list[tuple[Any, ...]]:
    return [tuple(row.values()) for row in ask(*steps, of=of, **options)]


def at(ts: int, device: str = "a", **columns: Any) -> dict[str, Any]:
    return {"device": device, "ts": ts, **columns}


def value_of(expr: Json, **columns: Any) -> Any:
    return ask(select(x=expr), of=[at(1, **columns)])[0]["x"]


def us(text: str) -> int:
    return (datetime.fromisoformat(text) - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


# --- expressions -------------------------------------------------------------------------------------------------

NULL = {"lit": None, "type": "null"}


@pytest.mark.parametrize(
    ("expr", "expected"),
    [
        (fn("add", N, lit(1)), 8),
        (fn("add", N, TEMP), 7.5),
        (fn("sub", N, NULL), None),
        (fn("mul", N, lit(-2)), -14),
        (fn("div", N, lit(2)), 3.5),
        (fn("div", N, lit(7)), 1.0),
        (fn("div", N, lit(0)), None),
        (fn("div", TEMP, lit(0.0)), None),
        (fn("floordiv", N, lit(-2)), -4),
        (fn("floordiv", N, lit(0)), None),
        (fn("floordiv", TEMP, lit(0.2)), 2.0),
        (fn("mod", N, lit(-4)), -1),
        (fn("mod", N, lit(0)), None),
        (fn("mod", fn("neg", N), lit(4)), 1),
        (fn("abs", fn("neg", N)), 7),
        (fn("eq", N, lit(7.0)), True),
        (fn("ne", STATUS, lit("up")), False),
        (fn("eq", NULL, NULL), None),
        (fn("lt", TEMP, N), True),
        (fn("between", N, lit(7), lit(9)), True),
        (fn("between", N, lit(8), lit(9)), False),
        (fn("is_in", STATUS, values=["down", "up"], type="string"), True),
        (fn("is_in", FIRMWARE, values=["x"], type="string"), None),
        (fn("is_null", FIRMWARE), True),
        (fn("is_not_null", FIRMWARE), False),
        (fn("fill_null", FIRMWARE, STATUS), "up"),
        (fn("fill_null", N, lit(0.5)), 7.0),
        (fn("starts_with", STATUS, prefix="u"), True),
        (fn("contains", STATUS, text="x"), False),
        (fn("contains", FIRMWARE, text="x"), None),
        (fn("when", NULL, lit(1), lit(2)), 2),
        (fn("when", OK, N, lit(0.5)), 7.0),
        (fn("time"), 1),
    ],
)
def test_expressions_of_one_row(expr: Json, expected: Any) -> None:
    found = value_of(expr, n=7, temp=0.5, ok=True, status="up")
    assert found == expected
    assert type(found) is type(expected)


def test_and_or_not_are_kleenes() -> None:
    truth = {True: lit(True), False: lit(False), None: NULL}
    for a, b, both, either in [
        (True, True, True, True),
        (True, False, False, True),
        (True, None, None, True),
        (False, False, False, False),
        (False, None, False, None),
        (None, None, None, None),
    ]:
        for x, y in [(a, b), (b, a)]:
            assert value_of(fn("and", truth[x], truth[y])) is both
            assert value_of(fn("or", truth[x], truth[y])) is either
    assert [value_of(fn("not", truth[x])) for x in (True, False, None)] == [False, True, None]


def test_integers_beyond_64_bits_are_errors() -> None:
    with pytest.raises(IntegerOverflowError):
        value_of(fn("add", N, lit(1)), n=2**63 - 1)
    with pytest.raises(IntegerOverflowError):
        value_of(fn("neg", N), n=-(2**63))
    big = [at(1, n=2**62), at(2, n=2**62), at(3, n=-1)]
    assert ask(group([], n=agg("sum", N)), of=big) == [{"n": 2**63 - 1}]
    with pytest.raises(IntegerOverflowError):
        ask(group([], n=agg("sum", N)), of=big[:2])


def test_parameters() -> None:
    hot = where(fn("gt", TEMP, {"param": "threshold", "default": 20.0, "type": "float64"}))
    points = [at(1, temp=10.0), at(2, temp=25.0)]
    assert ask(hot, group([], rows=ROWS), of=points) == [{"rows": 1}]
    assert ask(hot, group([], rows=ROWS), of=points, params={"threshold": 5}) == [{"rows": 2}]


def test_last_previous_changed() -> None:
    points = [
        at(-5, status="up"),
        at(1),
        at(5, status="up"),
        at(5, status="down"),
        at(5),
        at(16, status="down"),
        at(20, "b", status="up"),
    ]
    rows = ask_tuples(
        select(
            last=fn("last", STATUS, hold=6),
            forever=fn("last", STATUS, hold=None),
            previous=fn("previous", STATUS),
            changed=fn("changed", STATUS),
        ),
        of=points,
    )
    assert [row[2:] for row in rows] == [
        ("up", "up", "up", False),
        ("up", "up", None, False),
        ("down", "down", "up", True),
        ("down", "down", "down", False),
        ("down", "down", None, False),
        ("up", "up", None, False),
    ]


def test_last_is_null_past_its_hold() -> None:
    rows = ask_tuples(select(x=fn("last", N, hold=6)), of=[at(1, n=1), at(7), at(8)])
    assert [row[2] for row in rows] == [1, 1, None]


def test_filters_apply_before_previous() -> None:
    points = [at(1, n=1, ok=True), at(2, n=2, ok=False), at(3, n=3, ok=True)]
    rows = ask_tuples(where(OK), select(x=fn("previous", N)), of=points)
    assert [row[2] for row in rows] == [None, 1]


def test_where_of_an_aggregate_does_not_change_what_previous_sees() -> None:
    points = [at(1, n=1, ok=True), at(2, n=2, ok=False), at(3, n=3, ok=True)]
    assert ask(group([], x=agg("sum", fn("previous", N), where=OK)), of=points) == [{"x": 2}]


# --- groups, order, duplicates -----------------------------------------------------------------------------------


def test_range_is_half_open() -> None:
    points = [at(9), at(10), at(19), at(20)]
    assert ask(group([], rows=ROWS), of=points, since=10, until=20) == [{"rows": 2}]


def test_values_of_a_group_are_the_rows_own_and_null_is_one() -> None:
    points = [at(1, firmware="2"), at(2), at(3, firmware="1"), at(4, firmware="2")]
    assert ask_tuples(group(BY_FIRMWARE, rows=ROWS), of=points) == [(None, 1), ("1", 1), ("2", 2)]


def test_aggregates_over_nothing() -> None:
    parts = {
        name: agg(name, N) for name in ("count", "sum", "mean", "min", "max", "first", "last", "count_distinct")
    } | {name: agg(name, OK) for name in ("any_true", "all_true")}
    nulls = dict.fromkeys(parts) | {"count": 0, "count_distinct": 0}
    assert ask(group([], rows=ROWS, **parts), of=[]) == [{"rows": 0, **nulls}]
    assert ask(group([], rows=ROWS, **parts), of=[at(1)]) == [{"rows": 1, **nulls}]
    assert ask(group(BY_DEVICE, rows=ROWS), of=[]) == []


def test_aggregates_ignore_nulls() -> None:
    points = [at(3, n=5, ok=True), at(1, n=2), at(2), at(4, n=2, ok=False)]
    parts = {name: agg(name, N) for name in ("count", "sum", "mean", "min", "max", "first", "last", "count_distinct")}
    assert ask(group([], some=agg("any_true", OK), every=agg("all_true", OK), **parts), of=points) == [
        {
            "some": True,
            "every": False,
            "count": 3,
            "sum": 9,
            "mean": 3.0,
            "min": 2,
            "max": 5,
            "first": 2,
            "last": 2,
            "count_distinct": 2,
        }
    ]


def test_first_and_last_go_by_time_whatever_the_key() -> None:
    points = [at(3, "a", n=3), at(1, "b", n=1), at(2, "a", n=2), at(4, "b")]
    assert ask(group([], first=agg("first", N), last=agg("last", N)), of=points) == [{"first": 1, "last": 3}]


def test_float_sums_are_exact_and_rounded_once() -> None:
    temps = [1e16, 1.0, 1.0, -1e16, 0.1]
    points = [at(i, temp=t) for i, t in enumerate(temps)]
    exact = float(sum(map(Fraction, temps)))
    assert ask(group([], total=agg("sum", TEMP), mean=agg("mean", TEMP)), of=points) == [
        {"total": exact, "mean": float(sum(map(Fraction, temps)) / 5)}
    ]
    assert exact == 2.1


def test_order_of_groups_sort_and_limit() -> None:
    points = [at(1, status=s, n=n) for s, n in [("b", 1), ("a", 1), ("c", None), (None, 5)]]
    grouped = group(BY_STATUS, n=agg("sum", N))
    assert ask_tuples(grouped, of=points) == [(None, 5), ("a", 1), ("b", 1), ("c", None)]
    assert ask_tuples(grouped, sort(("n", False)), of=points) == [("c", None), ("a", 1), ("b", 1), (None, 5)]
    assert ask_tuples(grouped, sort(("n", True)), of=points) == [(None, 5), ("a", 1), ("b", 1), ("c", None)]
    assert ask_tuples(grouped, sort(("n", False), ("status", True)), limit(2), of=points) == [("c", None), ("b", 1)]


def test_rows_without_groups_are_in_order_of_key_time_and_arrival() -> None:
    points = [at(2, "b", n=1), at(1, "b", n=2), at(1, "a", n=3), at(1, "b", n=4), at(-1, "a", n=5)]
    assert ask_tuples(select(n=N), of=points) == [("a", 1, 3), ("b", 1, 2), ("b", 1, 4), ("b", 2, 1)]
    assert list(ask(where(lit(True)), of=points)[0]) == ["device", "ts", *TYPES]


def test_groups_of_groups() -> None:
    points = [at(1, "a", n=1), at(2, "a", n=2), at(1, "b", n=5)]
    twice = [group(BY_DEVICE, n=agg("sum", N)), group([], most=agg("max", N), rows=ROWS)]
    assert ask(*twice, of=points) == [{"most": 5, "rows": 2}]


DUPLICATES = [
    at(1, n=1, status="up"),
    at(1, n=2),
    at(1, n=1, status="up"),
    at(2, n=1, status="up"),
    at(1, status="down"),
]


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("keep", [(1, 1, "up"), (1, 2, None), (1, 1, "up"), (1, None, "down"), (2, 1, "up")]),
        ("exact", [(1, 1, "up"), (1, 2, None), (1, None, "down"), (2, 1, "up")]),
        ("latest", [(1, 1, "down"), (2, 1, "up")]),
    ],
)
def test_duplicates(policy: str, expected: list[Any]) -> None:
    assert [row[1:] for row in ask_tuples(select(n=N, status=STATUS), of=DUPLICATES, duplicates=policy)] == expected


def test_an_id_counts_once_per_key_and_day() -> None:
    points = [at(2, n=7, temp=2.0), at(1, n=7, temp=1.0), at(3), at(4), at(DAY, n=7), at(1, "b", n=7)]
    rows = ask_tuples(select(n=N), of=points, until=2 * DAY, id="n")
    assert rows == [("a", 1, 7), ("a", 3, None), ("a", 4, None), ("a", DAY, 7), ("b", 1, 7)]


# --- intervals ---------------------------------------------------------------------------------------------------


def test_a_state_holds_until_the_next_report_at_most_hold() -> None:
    points = [
        at(10, status="up"),
        at(15),
        at(20, status="up"),
        at(35, status="down"),
        at(45, status="down"),
        at(45, status="up"),
    ]
    assert ask_tuples(states(STATUS, hold=10), of=points, until=60) == [
        ("a", 10, 30, 20, "up"),  # a step of exactly hold is no gap; the silent point at 15 prolongs nothing
        ("a", 30, 35, 5, None),
        ("a", 35, 45, 10, "down"),
        ("a", 45, 55, 10, "up"),  # the later report at one time wins
        ("a", 55, 60, 5, None),
    ]


def test_without_hold_a_state_lasts_to_until() -> None:
    assert ask_tuples(states(STATUS, hold=None), of=[at(10, status="up")], until=60) == [("a", 10, 60, 50, "up")]


def test_carry_in_and_clipping() -> None:
    points = [at(5, status="up"), at(8), at(30, status="down"), at(70, status="up")]
    cut = ask_tuples(states(STATUS, hold=10), of=points, since=12, until=35)
    assert cut == [("a", 12, 15, 3, "up"), ("a", 15, 30, 15, None), ("a", 30, 35, 5, "down")]
    assert ask_tuples(states(STATUS, hold=10), of=points, since=15, until=20) == [("a", 15, 20, 5, None)]


def test_time_before_the_first_point_counts_only_as_unknown() -> None:
    parts = {
        "unknown": agg("unknown_time"),
        "known": agg("known_time"),
        "all": agg("duration"),
        "up": agg("share_of_time", UP),
        "rows": ROWS,
    }
    points = [at(10, firmware="x"), at(20, status="up")]
    assert ask(states(STATUS, hold=30), group([], **parts), of=points) == [
        {"unknown": 70, "known": 30, "all": 90, "up": 1.0, "rows": 3}
    ]
    assert ask_tuples(states(STATUS, hold=30), group(BY_FIRMWARE, **parts), of=points) == [
        (None, 10, 0, 0, None, 0),
        ("x", 60, 30, 90, 1.0, 3),
    ]
    del parts["unknown"]
    assert ask_tuples(states(STATUS, hold=30), group(BY_FIRMWARE, **parts), of=points) == [("x", 30, 90, 1.0, 3)]


def test_a_key_that_first_reports_after_the_range_does_not_exist() -> None:
    assert ask(states(STATUS), group(BY_DEVICE, t=agg("unknown_time")), of=[at(100, status="up")]) == []


def test_times_of_aggregates_over_intervals() -> None:
    points = [at(0, status="up"), at(10, status="down"), at(20, firmware="x"), at(40, status="up")]
    found = ask(
        states(STATUS, hold=20),
        group(
            [],
            share=agg("share_of_time", UP),
            of_x=agg("share_of_time", fn("eq", FIRMWARE, lit("x"))),
            down=agg("duration", fn("eq", STATUS, lit("down"))),
            on_x=agg("known_time", where=fn("eq", FIRMWARE, lit("x"))),
            unknown=agg("unknown_time"),
            never=agg("share_of_time", UP, where=lit(False)),
            x_known=agg("known_time", fn("eq", FIRMWARE, lit("x"))),
            x_unknown=agg("unknown_time", fn("eq", FIRMWARE, lit("x"))),
        ),
        of=points,
    )
    # up 0-10, down 10-30 (x from 20), unknown 30-40, up 40-60, unknown 60-100
    shares = {"share": 30 / 50, "of_x": 30 / 30, "down": 20, "on_x": 30, "unknown": 50, "never": None}
    assert found == [shares | {"x_known": 30, "x_unknown": 70}]


def test_held_columns_cut_intervals_and_have_no_hold() -> None:
    points = [
        at(-50, firmware="1", temp=1.0),
        at(0, status="up"),
        at(10, firmware="2", temp=2.0),
        at(15, firmware="2", temp=3.0),
    ]
    by = group(named(firmware=FIRMWARE), time=agg("duration"), rows=ROWS)
    assert ask_tuples(states(STATUS, hold=None), by, of=points, until=30) == [("1", 10, 1), ("2", 20, 1)]
    assert ask_tuples(states(STATUS, hold=None), of=points, until=30) == [("a", 0, 30, 30, "up")]


def test_the_clock_cuts_intervals_where_something_reads_it() -> None:
    points = [at(DAY - 10, status="up")]
    day = truncate("1d")
    by_day = group(named(day=day), time=agg("duration"), rows=ROWS)
    assert ask_tuples(states(STATUS, hold=30), where(UP), by_day, of=points, until=2 * DAY) == [
        (0, 10, 1),
        (DAY, 20, 1),
    ]
    by_column = group(named(day=col("day")), time=agg("duration"), rows=ROWS)
    assert ask_tuples(states(STATUS, hold=30), where(UP), extend(day=day), by_column, of=points, until=2 * DAY) == [
        (0, 10, 1),
        (DAY, 20, 1),
    ]
    unread = group([], time=agg("duration"), rows=ROWS)
    assert ask_tuples(states(STATUS, hold=30), where(UP), extend(day=day), unread, of=points, until=2 * DAY) == [
        (30, 1)
    ]


def test_filters_see_intervals_uncut() -> None:
    points = [at(DAY - 10, status="up")]
    long = where(fn("and", UP, fn("ge", DURATION, lit(30, "duration"))))
    rows = ask_tuples(
        states(STATUS, hold=30),
        long,
        group(named(day=truncate("1d")), longest=agg("max", DURATION)),
        of=points,
        until=2 * DAY,
    )
    assert rows == [(0, 10), (DAY, 20)]


def test_heartbeat() -> None:
    points = [at(10), at(20), at(35, n=None), at(50)]
    assert ask_tuples(beats(10), of=points, since=5, until=55) == [
        ("a", 10, 30, 20, True),
        ("a", 30, 35, 5, False),
        ("a", 35, 45, 10, True),
        ("a", 45, 50, 5, False),
        ("a", 50, 55, 5, True),
    ]
    parts = {"up": agg("share_of_time", ALIVE), "known": agg("known_time"), "unknown": agg("unknown_time")}
    assert ask(beats(10), group([], **parts), of=points, since=5, until=55) == [
        {"up": 35 / 45, "known": 45, "unknown": 5}
    ]
    assert ask_tuples(beats(10), of=points, since=29, until=34) == [("a", 29, 30, 1, True), ("a", 30, 34, 4, False)]


def test_intervals_can_have_sessions() -> None:
    points = [at(0), at(20), at(60), at(95)]
    spells = [beats(10), where(fn("not", ALIVE)), sessions(gap=25, down=agg("sum", DURATION))]
    assert ask_tuples(*spells, select(n=col("count"), down=col("down")), of=points) == [
        ("a", 10, 2, 40),
        ("a", 70, 1, 25),
    ]


# --- sessions and windows ----------------------------------------------------------------------------------------


def test_sessions() -> None:
    points = [at(-5), at(3, n=1), at(13, n=2), at(24, n=3), at(24, n=4), at(95)]
    assert ask(sessions(gap=10, n=agg("sum", N)), of=points) == [
        {
            "device": "a",
            "start": s,
            "end": e,
            "duration": e - s,
            "count": c,
            "n": n,
            "open_left": left,
            "open_right": right,
        }
        for s, e, c, n, left, right in [
            (3, 13, 2, 3, True, False),
            (24, 24, 2, 7, False, False),
            (95, 95, 1, None, False, True),
        ]
    ]


@pytest.mark.parametrize(("before", "left"), [(0, True), (-1, False)])
@pytest.mark.parametrize(("until", "right"), [(40, True), (41, False)])
def test_a_session_is_open_where_an_event_within_the_gap_may_belong(
    before: int, left: bool, until: int, right: bool
) -> None:
    rows = ask_tuples(sessions(gap=10), of=[at(before), at(10), at(30)], since=5, until=until)
    assert [row[-2:] for row in rows] == [(left, False), (False, right)]


def test_sessions_are_cut_on_a_grid_from_their_start() -> None:
    cut = sessions(gap=10, max_length=15)
    points = [at(t) for t in (0, 5, 15, 24, 29, 30)]
    rows = ask_tuples(cut, select(start=col("start"), end=col("end"), left=col("open_left")), of=points, until=1000)
    assert [row[1:3] for row in rows] == [(0, 5), (15, 29), (30, 30)]
    rows = ask_tuples(cut, select(start=col("start"), end=col("end"), left=col("open_left")), of=points, since=5)
    # Wherever the range begins, the grid is that of the session.
    assert [row[1:] for row in rows] == [(5, 5, True), (15, 29, False), (30, 30, False)]


def test_sessions_hold_what_was_reported_as_at_their_first_event() -> None:
    points = [at(-50, firmware="1"), at(3), at(5, firmware="2"), at(50, firmware="3"), at(50, firmware="4")]
    by = group(BY_FIRMWARE, sessions=ROWS, events=agg("sum", col("count")), time=agg("duration"))
    assert ask_tuples(sessions(gap=10), by, of=points) == [("1", 1, 2, 2), ("3", 1, 2, 0)]


def test_sessions_belong_to_the_bucket_of_their_start() -> None:
    points = [at(DAY - 5), at(DAY + 5)]
    by_day = group(named(day=truncate("1d")), rows=ROWS, time=agg("duration"))
    assert ask_tuples(sessions(gap=10), by_day, of=points, until=2 * DAY) == [(0, 1, 10)]


def test_windows() -> None:
    points = [at(HOUR - 1, temp=1.0, firmware="1"), at(HOUR, temp=2.0), at(2 * HOUR - 1, temp=4.0, firmware="2")]
    rows = ask_tuples(
        windows("1h", v=agg("mean", TEMP)),
        select(start=col("start"), end=col("end"), time=DURATION, n=col("count"), v=col("v"), fw=FIRMWARE),
        of=points,
        since=HOUR - 1,
        until=2 * HOUR,
    )
    assert rows == [("a", 0, HOUR, HOUR, 1, 1.0, "1"), ("a", HOUR, 2 * HOUR, HOUR, 2, 3.0, "1")]


@pytest.mark.parametrize(
    ("every", "zone", "t", "start", "end"),
    [
        ("30s", "UTC", "2024-03-01T00:00:45+00:00", "2024-03-01T00:00:30+00:00", "2024-03-01T00:01:00+00:00"),
        ("1d", "Europe/London", "2024-03-31T12:00+00:00", "2024-03-31T00:00+00:00", "2024-03-31T23:00+00:00"),
        ("1d", "Europe/London", "2024-10-27T12:00+00:00", "2024-10-26T23:00+00:00", "2024-10-28T00:00+00:00"),
        ("6h", "Europe/London", "2024-03-31T04:59+00:00", "2024-03-31T00:00+00:00", "2024-03-31T05:00+00:00"),
        ("1h", "Europe/London", "2024-10-27T01:30+00:00", "2024-10-27T01:00+00:00", "2024-10-27T02:00+00:00"),
        ("1h", "Asia/Kolkata", "2024-03-01T00:00+00:00", "2024-02-29T23:30+00:00", "2024-03-01T00:30+00:00"),
        ("1d", "America/Sao_Paulo", "2018-11-04T12:00+00:00", "2018-11-04T03:00+00:00", "2018-11-05T02:00+00:00"),
        ("1w", "UTC", "2024-03-31T12:00+00:00", "2024-03-25T00:00+00:00", "2024-04-01T00:00+00:00"),
        ("2d", "UTC", "1970-01-04T12:00+00:00", "1970-01-03T00:00+00:00", "1970-01-05T00:00+00:00"),
        ("1mo", "Europe/London", "2024-03-31T23:30+00:00", "2024-03-31T23:00+00:00", "2024-04-30T23:00+00:00"),
        ("3mo", "UTC", "2024-03-31T12:00+00:00", "2024-01-01T00:00+00:00", "2024-04-01T00:00+00:00"),
        ("1y", "UTC", "2024-12-31T23:59+00:00", "2024-01-01T00:00+00:00", "2025-01-01T00:00+00:00"),
        ("5y", "UTC", "2024-12-31T23:59+00:00", "2020-01-01T00:00+00:00", "2025-01-01T00:00+00:00"),
    ],
)
def test_calendar_buckets(every: str, zone: str, t: str, start: str, end: str) -> None:
    assert bucket(us(t), every, zone) == (us(start), us(end))


@given(
    st.datetimes(datetime(1971, 1, 1), datetime(2037, 1, 1), timezones=st.just(UTC)),
    st.sampled_from(["10m", "1h", "6h", "1d", "1w", "1mo", "1y"]),
    st.sampled_from(
        ["UTC", "Europe/London", "Australia/Lord_Howe", "America/Havana", "America/Sao_Paulo", "Pacific/Apia"]
    ),
)
def test_buckets_tile_the_time(moment: datetime, every: str, zone: str) -> None:
    t = us(moment.isoformat())
    start, end = bucket(t, every, zone)
    assert start <= t < end
    assert bucket(start, every, zone) == bucket(end - 1, every, zone) == (start, end)
    assert bucket(end, every, zone)[0] == end


def test_hours_and_weekdays_are_local() -> None:
    t = us("2024-03-31T23:30:00+00:00")  # Monday 00:30 in London
    parts = {"hour": fn("hour", NOW, zone="Europe/London"), "weekday": fn("weekday", NOW, zone="Europe/London")}
    assert ask(select(**parts), of=[at(t)], until=t + 1) == [{"device": "a", "ts": t, "hour": 0, "weekday": 0}]


def test_meaningless_questions_are_refused() -> None:
    with pytest.raises(ValueError, match="no meaning over sessions"):
        ask(sessions(), group([], t=agg("known_time")), of=[])
    with pytest.raises(ValueError, match="a group has no time"):
        ask(group(BY_DEVICE, rows=ROWS), select(t=NOW), of=[at(1)])
    with pytest.raises(KeyError):
        ask(select(x=col("nowhere")), of=[at(1)])
    assert ask(select(key=DEVICE), of=[at(1)]) == [{"device": "a", "ts": 1, "key": "a"}]
