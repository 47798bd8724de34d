"""Changes between two answers: the fewest that lead from one to the other, and what is wrong with a stream of them."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.live import RowChange, applied
from runtime.live.row_changes import AnswerRows, Pair, pairs, still

ROW = st.tuples(st.sampled_from("abc"), st.integers(0, 2))


def rows(given: list[tuple[str, int]], by_name: bool) -> AnswerRows:
    texts = [json.dumps(row) for row in given]
    return AnswerRows([list(row) for row in given], texts, [row[0] for row in given] if by_name else texts)


def change(left: int | None, place: int | None, old: Any, new: Any, more: int = 0) -> RowChange:
    return RowChange("early", old, new, left, place, None, 1, "", more)


@given(st.lists(ROW, max_size=8), st.lists(ROW, max_size=8), st.booleans())
def test_changes_lead_from_one_answer_to_the_other(
    before: list[tuple[str, int]], after: list[tuple[str, int]], by_name: bool
) -> None:
    old, new = rows(before, by_name), rows(after, by_name)
    found = pairs(old, new)
    unmoved = still(found)
    changed = [p for p in found if p.left is None or p.place not in unmoved or old.texts[p.left] != new.texts[p.place]]
    changes = [
        change(
            p.left, p.place, None if p.left is None else {"r": before[p.left]},
            None if p.place is None else {"r": after[p.place]}, len(changed) - n,
        )
        for n, p in enumerate(changed, 1)
    ]  # fmt: skip
    assert applied([{"r": row} for row in before], changes) == [{"r": row} for row in after]
    if before == after:
        assert changes == []
    assert sorted(p.left for p in found if p.left is not None) == list(range(len(before)))
    assert [p.place for p in found if p.place is not None] == list(range(len(after)))


def test_only_what_moved_is_a_change() -> None:
    found = pairs(rows([("a", 0), ("b", 0), ("c", 0)], True), rows([("c", 0), ("a", 0), ("b", 0)], True))
    assert found == [Pair(2, 0), Pair(0, 1), Pair(1, 2)]
    assert still(found) == {1, 2}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ([change(0, 0, {"n": 9}, {"n": 2})], "row 0 is not the one that the change was of"),
        ([change(7, None, {"n": 1}, None)], "row 7 is not the one"),
        ([change(None, 5, None, {"n": 2})], "there is no row before place 5"),
        ([change(None, 1, None, {"n": 2}, more=2)], "2 more changes of snapshot 1 are missing"),
    ],
)
def test_a_stream_of_changes_that_is_not_whole_is_an_error(changes: list[RowChange], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        applied([{"n": 1}], changes)


def test_json() -> None:
    one = RowChange("late", {"n": 1}, {"n": 2}, 0, 0, 1_709_251_200_000_000, {"a": 4, "b": 5}, "d1")
    assert json.loads(one.to_json()) == {
        "pane": "late", "old": {"n": 1}, "new": {"n": 2}, "left": 0, "place": 0,
        "watermark": "2024-03-01T00:00:00.000000Z", "snapshot": {"a": 4, "b": 5}, "proof": "d1", "more": 0,
    }  # fmt: skip
    assert json.loads(replace(one, watermark=None, old=None, left=None).to_json())["watermark"] is None
