"""The oracle against answers by hand: intervals of states and heartbeats, and time on them."""

from __future__ import annotations

from runtime.testing.oracle.strategies import DAY
from tests.laws import builders as b
from tests.laws.by_hand import ask, ask_tuples, at


def test_a_state_holds_until_the_next_report_at_most_hold() -> None:
    points = [
        at(10, status="up"),
        at(15),
        at(20, status="up"),
        at(35, status="down"),
        at(45, status="down"),
        at(45, status="up"),
    ]
    assert ask_tuples(b.states(b.STATUS, hold=10), of=points, until=60) == [
        ("a", 10, 30, 20, "up"),  # a step of exactly hold is no gap; the silent point at 15 prolongs nothing
        ("a", 30, 35, 5, None),
        ("a", 35, 45, 10, "down"),
        ("a", 45, 55, 10, "up"),  # the later report at one time wins
        ("a", 55, 60, 5, None),
    ]


def test_without_hold_a_state_lasts_to_until() -> None:
    assert ask_tuples(b.states(b.STATUS, hold=None), of=[at(10, status="up")], until=60) == [("a", 10, 60, 50, "up")]


def test_carry_in_and_clipping() -> None:
    points = [at(5, status="up"), at(8), at(30, status="down"), at(70, status="up")]
    cut = ask_tuples(b.states(b.STATUS, hold=10), of=points, since=12, until=35)
    assert cut == [("a", 12, 15, 3, "up"), ("a", 15, 30, 15, None), ("a", 30, 35, 5, "down")]
    assert ask_tuples(b.states(b.STATUS, hold=10), of=points, since=15, until=20) == [("a", 15, 20, 5, None)]


def test_time_before_the_first_point_counts_only_as_unknown() -> None:
    parts = {
        "unknown": b.agg("unknown_time"),
        "known": b.agg("known_time"),
        "all": b.agg("duration"),
        "up": b.agg("share_of_time", b.UP),
        "rows": b.ROWS,
    }
    points = [at(10, firmware="x"), at(20, status="up")]
    assert ask(b.states(b.STATUS, hold=30), b.group([], **parts), of=points) == [
        {"unknown": 70, "known": 30, "all": 90, "up": 1.0, "rows": 3}
    ]
    assert ask_tuples(b.states(b.STATUS, hold=30), b.group(b.BY_FIRMWARE, **parts), of=points) == [
        (None, 10, 0, 0, None, 0),
        ("x", 60, 30, 90, 1.0, 3),
    ]
    del parts["unknown"]
    assert ask_tuples(b.states(b.STATUS, hold=30), b.group(b.BY_FIRMWARE, **parts), of=points) == [
        ("x", 30, 90, 1.0, 3)
    ]


def test_a_key_that_first_reports_after_the_range_does_not_exist() -> None:
    assert ask(b.states(b.STATUS), b.group(b.BY_DEVICE, t=b.agg("unknown_time")), of=[at(100, status="up")]) == []


def test_times_of_aggregates_over_intervals() -> None:
    points = [at(0, status="up"), at(10, status="down"), at(20, firmware="x"), at(40, status="up")]
    found = ask(
        b.states(b.STATUS, hold=20),
        b.group(
            [],
            share=b.agg("share_of_time", b.UP),
            of_x=b.agg("share_of_time", b.fn("eq", b.FIRMWARE, b.lit("x"))),
            down=b.agg("duration", b.fn("eq", b.STATUS, b.lit("down"))),
            on_x=b.agg("known_time", where=b.fn("eq", b.FIRMWARE, b.lit("x"))),
            unknown=b.agg("unknown_time"),
            never=b.agg("share_of_time", b.UP, where=b.lit(False)),
            x_known=b.agg("known_time", b.fn("eq", b.FIRMWARE, b.lit("x"))),
            x_unknown=b.agg("unknown_time", b.fn("eq", b.FIRMWARE, b.lit("x"))),
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
    by = b.group(b.named(firmware=b.FIRMWARE), time=b.agg("duration"), rows=b.ROWS)
    assert ask_tuples(b.states(b.STATUS, hold=None), by, of=points, until=30) == [("1", 10, 1), ("2", 20, 1)]
    assert ask_tuples(b.states(b.STATUS, hold=None), of=points, until=30) == [("a", 0, 30, 30, "up")]


def test_the_clock_cuts_intervals_where_something_reads_it() -> None:
    points = [at(DAY - 10, status="up")]
    day = b.truncate("1d")
    by_day = b.group(b.named(day=day), time=b.agg("duration"), rows=b.ROWS)
    assert ask_tuples(b.states(b.STATUS, hold=30), b.where(b.UP), by_day, of=points, until=2 * DAY) == [
        (0, 10, 1),
        (DAY, 20, 1),
    ]
    by_column = b.group(b.named(day=b.col("day")), time=b.agg("duration"), rows=b.ROWS)
    assert ask_tuples(
        b.states(b.STATUS, hold=30), b.where(b.UP), b.extend(day=day), by_column, of=points, until=2 * DAY
    ) == [
        (0, 10, 1),
        (DAY, 20, 1),
    ]
    unread = b.group([], time=b.agg("duration"), rows=b.ROWS)
    assert ask_tuples(
        b.states(b.STATUS, hold=30), b.where(b.UP), b.extend(day=day), unread, of=points, until=2 * DAY
    ) == [(30, 1)]


def test_filters_see_intervals_uncut() -> None:
    points = [at(DAY - 10, status="up")]
    long = b.where(b.fn("and", b.UP, b.fn("ge", b.DURATION, b.lit(30, "duration"))))
    rows = ask_tuples(
        b.states(b.STATUS, hold=30),
        long,
        b.group(b.named(day=b.truncate("1d")), longest=b.agg("max", b.DURATION)),
        of=points,
        until=2 * DAY,
    )
    assert rows == [(0, 10), (DAY, 20)]


def test_heartbeat() -> None:
    points = [at(10), at(20), at(35, n=None), at(50)]
    assert ask_tuples(b.beats(10), of=points, since=5, until=55) == [
        ("a", 10, 30, 20, True),
        ("a", 30, 35, 5, False),
        ("a", 35, 45, 10, True),
        ("a", 45, 50, 5, False),
        ("a", 50, 55, 5, True),
    ]
    parts = {"up": b.agg("share_of_time", b.ALIVE), "known": b.agg("known_time"), "unknown": b.agg("unknown_time")}
    assert ask(b.beats(10), b.group([], **parts), of=points, since=5, until=55) == [
        {"up": 35 / 45, "known": 45, "unknown": 5}
    ]
    assert ask_tuples(b.beats(10), of=points, since=29, until=34) == [("a", 29, 30, 1, True), ("a", 30, 34, 4, False)]


def test_intervals_can_have_sessions() -> None:
    points = [at(0), at(20), at(60), at(95)]
    spells = [b.beats(10), b.where(b.fn("not", b.ALIVE)), b.sessions(gap=25, down=b.agg("sum", b.DURATION))]
    assert ask_tuples(*spells, b.select(n=b.col("count"), down=b.col("down")), of=points) == [
        ("a", 10, 2, 40),
        ("a", 70, 1, 25),
    ]
