"""The oracle against answers by hand: expressions, groups, order, duplicates."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest

from runtime.testing.oracle import IntegerOverflowError
from runtime.testing.oracle.strategies import DAY, TYPES
from tests.laws import builders as b
from tests.laws.by_hand import ask, ask_tuples, at, value_of

NULL = {"lit": None, "type": "null"}


@pytest.mark.parametrize(
    ("expr", "expected"),
    [
        (b.fn("add", b.N, b.lit(1)), 8),
        (b.fn("add", b.N, b.TEMP), 7.5),
        (b.fn("sub", b.N, NULL), None),
        (b.fn("mul", b.N, b.lit(-2)), -14),
        (b.fn("div", b.N, b.lit(2)), 3.5),
        (b.fn("div", b.N, b.lit(7)), 1.0),
        (b.fn("div", b.N, b.lit(0)), None),
        (b.fn("div", b.TEMP, b.lit(0.0)), None),
        (b.fn("floordiv", b.N, b.lit(-2)), -4),
        (b.fn("floordiv", b.N, b.lit(0)), None),
        (b.fn("floordiv", b.TEMP, b.lit(0.2)), 2.0),
        (b.fn("mod", b.N, b.lit(-4)), -1),
        (b.fn("mod", b.N, b.lit(0)), None),
        (b.fn("mod", b.fn("neg", b.N), b.lit(4)), 1),
        (b.fn("abs", b.fn("neg", b.N)), 7),
        (b.fn("eq", b.N, b.lit(7.0)), True),
        (b.fn("ne", b.STATUS, b.lit("up")), False),
        (b.fn("eq", NULL, NULL), None),
        (b.fn("lt", b.TEMP, b.N), True),
        (b.fn("between", b.N, b.lit(7), b.lit(9)), True),
        (b.fn("between", b.N, b.lit(8), b.lit(9)), False),
        (b.fn("is_in", b.STATUS, values=["down", "up"], type="string"), True),
        (b.fn("is_in", b.FIRMWARE, values=["x"], type="string"), None),
        (b.fn("is_null", b.FIRMWARE), True),
        (b.fn("is_not_null", b.FIRMWARE), False),
        (b.fn("fill_null", b.FIRMWARE, b.STATUS), "up"),
        (b.fn("fill_null", b.N, b.lit(0.5)), 7.0),
        (b.fn("starts_with", b.STATUS, prefix="u"), True),
        (b.fn("contains", b.STATUS, text="x"), False),
        (b.fn("contains", b.FIRMWARE, text="x"), None),
        (b.fn("when", NULL, b.lit(1), b.lit(2)), 2),
        (b.fn("when", b.OK, b.N, b.lit(0.5)), 7.0),
        (b.fn("time"), 1),
    ],
)
def test_expressions_of_one_row(expr: b.Json, expected: Any) -> None:
    found = value_of(expr, n=7, temp=0.5, ok=True, status="up")
    assert found == expected
    assert type(found) is type(expected)


def test_and_or_not_are_kleenes() -> None:
    truth = {True: b.lit(True), False: b.lit(False), None: NULL}
    for one, other, both, either in [
        (True, True, True, True),
        (True, False, False, True),
        (True, None, None, True),
        (False, False, False, False),
        (False, None, False, None),
        (None, None, None, None),
    ]:
        for x, y in [(one, other), (other, one)]:
            assert value_of(b.fn("and", truth[x], truth[y])) is both
            assert value_of(b.fn("or", truth[x], truth[y])) is either
    assert [value_of(b.fn("not", truth[x])) for x in (True, False, None)] == [False, True, None]


def test_integers_beyond_64_bits_are_errors() -> None:
    with pytest.raises(IntegerOverflowError):
        value_of(b.fn("add", b.N, b.lit(1)), n=2**63 - 1)
    with pytest.raises(IntegerOverflowError):
        value_of(b.fn("neg", b.N), n=-(2**63))
    big = [at(1, n=2**62), at(2, n=2**62), at(3, n=-1)]
    assert ask(b.group([], n=b.agg("sum", b.N)), of=big) == [{"n": 2**63 - 1}]
    with pytest.raises(IntegerOverflowError):
        ask(b.group([], n=b.agg("sum", b.N)), of=big[:2])


def test_parameters() -> None:
    hot = b.where(b.fn("gt", b.TEMP, {"param": "threshold", "default": 20.0, "type": "float64"}))
    points = [at(1, temp=10.0), at(2, temp=25.0)]
    assert ask(hot, b.group([], rows=b.ROWS), of=points) == [{"rows": 1}]
    assert ask(hot, b.group([], rows=b.ROWS), of=points, params={"threshold": 5}) == [{"rows": 2}]


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
        b.select(
            last=b.fn("last", b.STATUS, hold=6),
            forever=b.fn("last", b.STATUS, hold=None),
            previous=b.fn("previous", b.STATUS),
            changed=b.fn("changed", b.STATUS),
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
    rows = ask_tuples(b.select(x=b.fn("last", b.N, hold=6)), of=[at(1, n=1), at(7), at(8)])
    assert [row[2] for row in rows] == [1, 1, None]


def test_filters_apply_before_previous() -> None:
    points = [at(1, n=1, ok=True), at(2, n=2, ok=False), at(3, n=3, ok=True)]
    rows = ask_tuples(b.where(b.OK), b.select(x=b.fn("previous", b.N)), of=points)
    assert [row[2] for row in rows] == [None, 1]


def test_where_of_an_aggregate_does_not_change_what_previous_sees() -> None:
    points = [at(1, n=1, ok=True), at(2, n=2, ok=False), at(3, n=3, ok=True)]
    assert ask(b.group([], x=b.agg("sum", b.fn("previous", b.N), where=b.OK)), of=points) == [{"x": 2}]


# --- groups, order, duplicates -----------------------------------------------------------------------------------


def test_range_is_half_open() -> None:
    points = [at(9), at(10), at(19), at(20)]
    assert ask(b.group([], rows=b.ROWS), of=points, since=10, until=20) == [{"rows": 2}]


def test_values_of_a_group_are_the_rows_own_and_null_is_one() -> None:
    points = [at(1, firmware="2"), at(2), at(3, firmware="1"), at(4, firmware="2")]
    assert ask_tuples(b.group(b.BY_FIRMWARE, rows=b.ROWS), of=points) == [(None, 1), ("1", 1), ("2", 2)]


def test_aggregates_over_nothing() -> None:
    parts = {
        name: b.agg(name, b.N) for name in ("count", "sum", "mean", "min", "max", "first", "last", "count_distinct")
    } | {name: b.agg(name, b.OK) for name in ("any_true", "all_true")}
    nulls = dict.fromkeys(parts) | {"count": 0, "count_distinct": 0}
    assert ask(b.group([], rows=b.ROWS, **parts), of=[]) == [{"rows": 0, **nulls}]
    assert ask(b.group([], rows=b.ROWS, **parts), of=[at(1)]) == [{"rows": 1, **nulls}]
    assert ask(b.group(b.BY_DEVICE, rows=b.ROWS), of=[]) == []


def test_aggregates_ignore_nulls() -> None:
    points = [at(3, n=5, ok=True), at(1, n=2), at(2), at(4, n=2, ok=False)]
    parts = {
        name: b.agg(name, b.N) for name in ("count", "sum", "mean", "min", "max", "first", "last", "count_distinct")
    }
    assert ask(b.group([], some=b.agg("any_true", b.OK), every=b.agg("all_true", b.OK), **parts), of=points) == [
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
    assert ask(b.group([], first=b.agg("first", b.N), last=b.agg("last", b.N)), of=points) == [{"first": 1, "last": 3}]


def test_float_sums_are_exact_and_rounded_once() -> None:
    temps = [1e16, 1.0, 1.0, -1e16, 0.1]
    points = [at(i, temp=t) for i, t in enumerate(temps)]
    exact = float(sum(map(Fraction, temps)))
    assert ask(b.group([], total=b.agg("sum", b.TEMP), mean=b.agg("mean", b.TEMP)), of=points) == [
        {"total": exact, "mean": float(sum(map(Fraction, temps)) / 5)}
    ]
    assert exact == 2.1


def test_order_of_groups_sort_and_limit() -> None:
    points = [at(1, status=s, n=n) for s, n in [("b", 1), ("a", 1), ("c", None), (None, 5)]]
    grouped = b.group(b.BY_STATUS, n=b.agg("sum", b.N))
    assert ask_tuples(grouped, of=points) == [(None, 5), ("a", 1), ("b", 1), ("c", None)]
    assert ask_tuples(grouped, b.sort(("n", False)), of=points) == [("c", None), ("a", 1), ("b", 1), (None, 5)]
    assert ask_tuples(grouped, b.sort(("n", True)), of=points) == [(None, 5), ("a", 1), ("b", 1), ("c", None)]
    assert ask_tuples(grouped, b.sort(("n", False), ("status", True)), b.limit(2), of=points) == [("c", None), ("b", 1)]


def test_rows_without_groups_are_in_order_of_key_time_and_arrival() -> None:
    points = [at(2, "b", n=1), at(1, "b", n=2), at(1, "a", n=3), at(1, "b", n=4), at(-1, "a", n=5)]
    assert ask_tuples(b.select(n=b.N), of=points) == [("a", 1, 3), ("b", 1, 2), ("b", 1, 4), ("b", 2, 1)]
    assert list(ask(b.where(b.lit(True)), of=points)[0]) == ["device", "ts", *TYPES]


def test_groups_of_groups() -> None:
    points = [at(1, "a", n=1), at(2, "a", n=2), at(1, "b", n=5)]
    twice = [b.group(b.BY_DEVICE, n=b.agg("sum", b.N)), b.group([], most=b.agg("max", b.N), rows=b.ROWS)]
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
    assert [
        row[1:] for row in ask_tuples(b.select(n=b.N, status=b.STATUS), of=DUPLICATES, duplicates=policy)
    ] == expected


def test_an_id_counts_once_per_key_and_day() -> None:
    points = [at(2, n=7, temp=2.0), at(1, n=7, temp=1.0), at(3), at(4), at(DAY, n=7), at(1, "b", n=7)]
    rows = ask_tuples(b.select(n=b.N), of=points, until=2 * DAY, id="n")
    assert rows == [("a", 1, 7), ("a", 3, None), ("a", 4, None), ("a", DAY, 7), ("b", 1, 7)]
