"""Carry-in that is broken on purpose is noticed by a small store and a few questions."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dataflow.plan import carried as rules
from operators.errors import DataflowError
from runtime import Store
from runtime.columns import Column, Points
from runtime.query.carry import carrying
from runtime.query.carry.last_rows import LastRows
from runtime.query.task import task
from runtime.testing.oracle.strategies import DAY, GAP, HOUR, KEY, TIME, Point
from tests.runtime.query.carry.carry_stores import FULL, START, ingest, snapshots_pay, without
from tests.runtime.query.carry.carry_stores import answer_of as asked

SINCE, UNTIL = START + 6 * DAY, START + 7 * DAY

QUESTIONS = [
    "uptime_by_firmware", "states_as_rows", "states_held_forever", "state_after_filter", "heartbeat_after_filter",
    "temperatures", "previous", "state_of_last", "other_reports", "held_after_filter", "two_columns",
    "held_for_an_hour", "failures", "failures_of_some", "last_for_2_hours",
]  # fmt: skip


def _row(key: str, time: int, **values: Any) -> Point:
    return {KEY: key, TIME: START + time, **values}


MINUTE = HOUR // 60
ROWS: list[list[Point]] = [
    [_row(k, n, **FULL) for n, k in enumerate("abcef")],
    [_row("a", DAY + HOUR, status="down"), _row("b", DAY + HOUR, firmware="ä"), _row("e", DAY, status="degraded")],
    [_row("d", 2 * DAY, status="up", firmware="down"), _row("a", 2 * DAY)],
    [_row("a", 3 * DAY + 5, temp=0.0), _row("c", 3 * DAY, ok=False)],
    [_row("a", 4 * DAY + 5, temp=-0.0), _row("b", 5 * DAY - 1, status="down"), _row("e", 5 * DAY - 1, ok=True)],
    [
        _row("b", 6 * DAY - GAP // 2, status="up"),
        # A last row in two parts.
        _row("c", 6 * DAY - 1, status="down"),
        _row("c", 6 * DAY - 1, n=1),
        # The second is the last that the first one's value is held for.
        _row("f", 6 * DAY - 100 * MINUTE, temp=30.0, n=1, status="up"),
        _row("f", 6 * DAY - 45 * MINUTE),
        _row("f", 6 * DAY - 30 * MINUTE),
        _row("e", 6 * DAY - 1, status="up", firmware="ä"),
        _row("e", 6 * DAY - 1, firmware="2.0"),
        # Up for longer than 2 hours.
        *(_row("h", 6 * DAY - n * 30 * MINUTE - 1, status="up") for n in range(6)),
        _row("g", 6 * DAY - HOUR, status="down"),
        _row("g", 6 * DAY - 1, status="degraded"),
    ],
    [_row(k, 6 * DAY + 9, status=s) for k, s in zip("acdefg", ["up", "up", "down", "down", "down", "up"], strict=True)],
]
LATE = [_row("d", 4 * DAY, status="degraded", firmware="1.2.0")]
CROSSING = [
    _row("b", 3 * DAY, firmware="2.0"),
    _row("b", 6 * DAY + HOUR, status="down"),
    _row("b", 6 * DAY + 2 * HOUR, status="degraded"),
]


def faults(folder: Path, questions: list[str]) -> list[str]:
    """The questions, each asked at all of a store's ages, that are answered otherwise than without a snapshot."""
    wrong = []
    with Store(folder, create=True) as store:
        for rows in ROWS[:-1]:
            ingest(store, rows)
        for more in (ROWS[-1], LATE, CROSSING):
            ingest(store, more, one_file=more is CROSSING)
            for since in (START + 4 * DAY, SINCE):
                for name in questions:
                    try:
                        found = asked(store, name, since, UNTIL).proof.result
                    except (DataflowError, ValueError, IndexError) as error:
                        found = str(error)
                    if found != without(store, name, since, UNTIL).proof.result:
                        wrong.append(name)
    return wrong


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    # A plan is cached with what is known to suffice for it.
    monkeypatch.setattr(task, "_LARGEST", 0)
    with snapshots_pay():
        yield


def test_nothing_is_wrong(tmp_path: Path) -> None:
    assert faults(tmp_path, QUESTIONS) == []


Broken = Callable[[pytest.MonkeyPatch], None]


def content_is_not_checked(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(carrying._Before, "content", lambda self, day: "0" * 64)


def crossing_files_are_not_looked_at(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(carrying._Before, "crossed", lambda self, day: False)


def _points(change: Callable[[Points], Points]) -> Broken:
    def broken(patch: pytest.MonkeyPatch) -> None:
        plain = LastRows.points
        patch.setattr(LastRows, "points", lambda self: change(plain(self)))

    return broken


def _swapped(points: Points) -> Points:
    columns = dict(points.columns)
    if {"status", "firmware"} <= columns.keys():
        columns["status"], columns["firmware"] = columns["firmware"], columns["status"]
    return Points(points.key, points.time, columns)


def _at_one_time(points: Points) -> Points:
    return Points(points.key, np.full(len(points), START + 4 * DAY - 1, np.int64), points.columns)


def _forgetting(points: Points) -> Points:
    none = np.zeros(len(points), np.bool_)
    columns = {n: Column(c.type, c.values, none, c.words) for n, c in points.columns.items()}
    return Points(points.key, points.time, columns)


def rows_before_the_previous_snapshot_are_ignored(patch: pytest.MonkeyPatch) -> None:
    plain = LastRows.add
    patch.setattr(
        LastRows, "add", lambda self, files: plain(self, [f for f in files if not f.path.startswith("carry/")])
    )


def rows_since_the_snapshot_are_ignored(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(carrying._Before, "since", lambda self, day: tuple(self._files[self._at(SINCE // DAY) :]))


def _first_values(patch: pytest.MonkeyPatch) -> None:
    plain = LastRows.add
    patch.setattr(LastRows, "add", lambda self, files: plain(self, files[:1]))


def filters_are_ignored(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(rules._Needs, "sees_rows", property(lambda self: True))
    patch.setattr(rules._Needs, "sees", lambda self, e: True)


def times_of_intervals_are_known(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(rules._Needs, "timed", property(lambda self: False, lambda self, timed: None), raising=False)


def all_memories_are_of_last_values(patch: pytest.MonkeyPatch) -> None:
    for name in ("_VALUES", "_HARMLESS"):
        patch.setattr(rules, name, getattr(rules, name) | {"previous"})


def every_expression_is_of_last_values(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(rules, "kind_of", lambda e, kinds=None: rules.Dependence.REPORTED)


def signs_of_zeros_are_ignored(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(LastRows, "plain", property(lambda self: True))


MUTANTS: dict[str, tuple[Broken, list[str]]] = {
    "content is not checked": (content_is_not_checked, ["states_held_forever"]),
    "crossing files are not looked at": (crossing_files_are_not_looked_at, ["uptime_by_firmware"]),
    "the last value of the wrong column": (_points(_swapped), ["uptime_by_firmware"]),
    "times of reports are lost": (_points(_at_one_time), ["states_as_rows"]),
    "values are lost": (_points(_forgetting), ["states_held_forever"]),
    "the previous snapshot is not read": (rows_before_the_previous_snapshot_are_ignored, ["states_held_forever"]),
    "rows since the snapshot are not read": (rows_since_the_snapshot_are_ignored, ["states_held_forever"]),
    "only the first file is read": (_first_values, ["states_held_forever"]),
    "filters are ignored": (filters_are_ignored, ["state_after_filter", "heartbeat_after_filter"]),
    "filters of intervals are ignored": (filters_are_ignored, ["failures_of_some"]),
    "times of intervals are known": (times_of_intervals_are_known, ["last_for_2_hours"]),
    "previous rows are last values": (all_memories_are_of_last_values, ["previous"]),
    "every expression is reported": (every_expression_is_of_last_values, ["state_of_last"]),
    "signs of zeros are ignored": (signs_of_zeros_are_ignored, ["temperatures"]),
}


@pytest.mark.parametrize("name", MUTANTS)
def test_it_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    broken, questions = MUTANTS[name]
    with monkeypatch.context() as patch:
        broken(patch)
        assert faults(tmp_path, questions)
