"""The oracle against answers by hand: funnels, cohorts, transitions, split sessions, wide windows."""

from __future__ import annotations

from typing import Any

import pytest

from runtime.testing.oracle import answer
from runtime.testing.oracle.strategies import DAY, HOUR, TYPES
from tests.laws import builders as b

SECOND = 1_000_000
A, B, C = (b.fn("eq", b.STATUS, b.lit(letter)) for letter in "ABC")


def events(text: str, unit: int = 1, **columns: Any) -> list[dict[str, Any]]:
    """``"0A 10B"``: reports of status A at 0 and B at 10 (times ``unit``), by the device a."""
    return [{"device": "a", "ts": int(word[:-1]) * unit, "status": word[-1], **columns} for word in text.split()]


def ask(*steps: b.Json, of: list[dict[str, Any]], since: int = 0, until: int = 1000) -> list[tuple[Any, ...]]:
    rows = answer(b.graph(*steps), of, key="device", time="ts", since=since, until=until, types=TYPES)
    return [tuple(row.values()) for row in rows]


def reached(mode: str, text: str, *, within: int = 60, since: int = 0, until: int = 1000) -> list[tuple[Any, ...]]:
    step = b.funnel(A, B, C, within=within, mode=mode)
    columns = b.select(start=b.col("start"), steps=b.col("steps"), two=b.col("step_2"), three=b.col("step_3"))
    return [row[1:] for row in ask(step, columns, of=events(text), since=since, until=until)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0A 10B 60C", [(0, 3, 10, 60)]),
        ("0A 10B 61C", [(0, 2, 10, None)]),
        ("0A 10B 20A 25B 81C", [(20, 2, 25, None)]),
        ("0A 10B 20A 60C", [(0, 3, 10, 60)]),
        ("0A 10B 20A 50B 55C", [(20, 3, 50, 55)]),
        ("0A 10C 20B", [(0, 2, 20, None)]),
        ("0A 5C 10B 12C 13B", [(0, 3, 10, 12)]),
        ("0A 0B 0C", [(0, 1, None, None)]),
        ("0A 10B 10C 20C", [(0, 3, 10, 20)]),
        ("5B 6C", []),
        ("", []),
    ],
)
def test_strict_funnel(text: str, expected: list[Any]) -> None:
    assert reached("strict", text) == expected


def test_the_order_of_arrival_decides_in_ordered() -> None:
    assert reached("ordered", "0A 0B 0C") == [(0, 3, 0, 0)]
    assert reached("ordered", "0C 0B 0A") == [(0, 1, None, None)]
    assert reached("ordered", "0A 5B 0A") == [(0, 2, 5, None)]


def test_any_order_within_a_second() -> None:
    def any_order(text: str) -> list[tuple[Any, ...]]:
        rows = ask(
            b.funnel(A, B, C, within=60 * SECOND, mode="any"),
            b.select(start=b.col("start"), steps=b.col("steps"), three=b.col("step_3")),
            of=events(text, 1000),
            until=1000 * SECOND,
        )
        return [(start // SECOND, steps, None if c is None else c // SECOND) for _, start, steps, c in rows]

    assert any_order("1200C 1500B 1900A") == [(1, 3, 1)]
    assert any_order("1999C 2000B 2999A") == [(2, 2, None)]
    assert any_order("1900A 1100B 61999C") == [(1, 3, 61)]
    assert any_order("1900A 1100B 62000C") == [(1, 2, None)]


def test_a_funnel_sees_the_range_alone() -> None:
    assert reached("strict", "0A 10B 20A 30C", since=1) == [(20, 1, None, None)]
    assert reached("strict", "0A 10B 20C", until=20) == [(0, 2, 10, None)]


def test_a_funnel_holds_what_was_reported_at_the_start() -> None:
    points = [
        {"device": "a", "ts": 0, "status": "A", "firmware": "1"},
        {"device": "a", "ts": 0, "firmware": "2"},
        {"device": "a", "ts": 5, "status": "B", "firmware": "3"},
    ]
    for mode, firmware in (("strict", "2"), ("ordered", "1"), ("any", "3")):
        assert ask(b.funnel(A, B, mode=mode), b.select(fw=b.FIRMWARE, at=b.fn("time")), of=points) == [
            ("a", firmware, 0)
        ]


def test_cohorts() -> None:
    points = [
        *events("1B 20A 30B 50B 51A", HOUR),
        {"device": "b", "ts": 1 * HOUR, "status": "A"},
        {"device": "b", "ts": 30 * HOUR, "status": "A"},
    ]
    columns = b.select(device=b.DEVICE, start=b.col("start"), period=b.col("period"), came=b.col("returned"))
    days = ask(b.cohorts(A, B), columns, of=points, since=2 * HOUR, until=3 * DAY)
    # Of b the first A lies before the range; a's first B before its first A.
    assert days == [("a", 0, 0, False), ("a", DAY, 1, True), ("a", 2 * DAY, 2, True)]
    assert len(ask(b.cohorts(A, B), columns, of=points, until=3 * DAY + 1)) == 4 + 4


def test_transitions() -> None:
    points = events("0A 5B 15B 26A 40C")
    assert ask(b.transitions(b.STATUS, gap=10), of=points) == [
        ("a", 0, None, "A", None),
        ("a", 5, "A", "B", 5),
        ("a", 15, "B", "B", 10),
        ("a", 25, "B", None, 10),
        ("a", 26, None, "A", None),
        ("a", 36, "A", None, 10),
        ("a", 40, None, "C", None),
        ("a", 50, "C", None, 10),
    ]
    assert [row[1:4] for row in ask(b.transitions(b.STATUS, gap=None), of=points, since=5, until=27)] == [
        (5, "A", "B"),
        (15, "B", "B"),
        (26, "B", "A"),
    ]
    # Whether the path goes on exactly when the gap ends is known one microsecond later.
    assert ask(b.transitions(b.STATUS, gap=10), of=points, since=41, until=50) == []
    assert ask(b.transitions(b.STATUS, gap=10), of=points, since=41, until=51) == [("a", 50, "C", None, 10)]


def test_transitions_of_adjoining_ranges_add_up() -> None:
    points = events("0A 5B 15B 26A 40C 41A 77B")
    whole = ask(b.transitions(b.STATUS, gap=10), of=points, until=90)
    for cut in range(91):
        parts = [
            ask(b.transitions(b.STATUS, gap=10), of=points, since=start, until=end)
            for start, end in ((0, cut), (cut, 90))
        ]
        assert parts[0] + parts[1] == whole


def test_sessions_that_split() -> None:
    step = b.sessions(10, split=B)
    columns = b.select(start=b.col("start"), end=b.col("end"), count=b.col("count"), left=b.col("open_left"))
    points = events("0A 5A 9B 12A 13B 30B 35A")
    assert ask(step, columns, of=points) == [
        ("a", 0, 5, 2, False),
        ("a", 9, 12, 2, False),
        ("a", 13, 13, 1, False),
        ("a", 30, 35, 2, False),
    ]
    assert [row[1:] for row in ask(step, columns, of=points, since=5, until=10)] == [(5, 5, 1, True), (9, 9, 1, False)]
    assert [row[1:] for row in ask(step, columns, of=points, since=9, until=10)] == [(9, 9, 1, False)]
    # The grid of the greatest length counts from the split.
    assert [row[1:4] for row in ask(b.sessions(10, 6, split=B), columns, of=points, until=20)] == [
        (0, 5, 2),
        (9, 12, 2),
        (13, 13, 1),
    ]


def test_sliding_windows() -> None:
    points = [{"device": "a", "ts": h * HOUR, "n": h} for h in (1, 2, 4)]
    step = b.windows("1h", size=2, sum=b.agg("sum", b.N))
    columns = b.select(start=b.col("start"), end=b.col("end"), count=b.col("count"), sum=b.col("sum"))
    found = ask(step, columns, of=points, until=DAY)
    assert [(start // HOUR, end // HOUR, n, total) for _, start, end, n, total in found] == [
        (0, 2, 1, 1),
        (1, 3, 2, 3),
        (2, 4, 1, 2),
        (3, 5, 1, 4),
        (4, 6, 1, 4),
    ]


def test_empty_windows() -> None:
    points = [{"device": "a", "ts": h * HOUR, "n": h, "firmware": str(h)} for h in (2, 4)]
    columns = b.select(start=b.col("start"), count=b.col("count"), sum=b.col("sum"), fw=b.FIRMWARE)
    step = b.windows("1h", empty=True, sum=b.agg("sum", b.N), rows=b.ROWS)

    def hours(since: int, until: int) -> list[tuple[Any, ...]]:
        rows = ask(step, columns, of=points, since=since, until=until)
        return [(start // HOUR, *rest) for _, start, *rest in rows]

    assert hours(0, 6 * HOUR) == [(2, 1, 2, "2"), (3, 0, None, "2"), (4, 1, 4, "4"), (5, 0, None, "4")]
    assert hours(3 * HOUR, 4 * HOUR + 1) == [(3, 0, None, "2"), (4, 1, 4, "4")]
    assert hours(9 * HOUR + 5, 10 * HOUR + 1) == [(9, 0, None, "4"), (10, 0, None, "4")]
    assert hours(0, 2 * HOUR) == []
    sliding = ask(
        b.windows("1h", size=3, empty=True), b.select(start=b.col("start"), n=b.col("count")), of=points, until=6 * HOUR
    )
    assert [(start // HOUR, n) for _, start, n in sliding] == [(0, 1), (1, 1), (2, 2), (3, 1), (4, 1), (5, 0)]
