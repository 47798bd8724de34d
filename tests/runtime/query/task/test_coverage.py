"""Coverage of partial states: hash ranges against sets of hashes."""

from __future__ import annotations

import json
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.errors import IncompleteResult
from runtime.query.task.coverage import HASHES, WHOLE, Coverage

SHARDS = st.tuples(st.sampled_from("ab"), st.integers(0, 15), st.integers(1, 6), st.integers(0, 9))


@given(st.lists(SHARDS, max_size=8))
def test_no_hash_is_covered_twice(shards: list[tuple[str, int, int, int]]) -> None:
    total, seen, rows = Coverage(), set[tuple[str, int]](), {"a": 0, "b": 0}
    for path, lo, width, n in shards:
        one = Coverage()
        one.read(path, (lo, lo + width), n)
        mine = {(path, h) for h in range(lo, lo + width)}
        if seen & mine:
            with pytest.raises(IncompleteResult, match=f"rows of {path} would be merged twice"):
                total.add(one)
            continue
        total.add(Coverage.from_dict(json.loads(json.dumps(one.to_dict()))))
        seen |= mine
        rows[path] += n
    assert {(p, h) for p, ranges in total.cells.items() for lo, hi in ranges for h in range(lo, hi)} == seen
    assert all(a[1] < b[0] for ranges in total.cells.values() for a, b in pairwise(ranges))
    assert total.rows == {p: n for p, n in rows.items() if p in total.cells}
    assert Coverage.from_dict(json.loads(json.dumps(total.to_dict()))) == total


def test_halves_of_all_hashes_are_the_whole() -> None:
    total = Coverage()
    for lo in range(0, HASHES, HASHES // 8):
        total.read("f", (lo, lo + HASHES // 8), 1)
    assert (total.cells, total.rows) == ({"f": WHOLE}, {"f": 8})


def test_rows_without_a_range_are_refused() -> None:
    with pytest.raises(IncompleteResult, match="does not say which keys"):
        Coverage().add(Coverage({"f": 3}))


@pytest.mark.parametrize(
    "cells",
    [
        [[0, 1], [0, 1]],
        [[1, 0]],
        [[-1, 3]],
        [[0, HASHES + 1]],
        [[0]],
        [[0.0, 1]],
        {"g": [[0, 1]]},
        None,
        [["0", "1"]],
        3,
    ],
    ids=str,
)  # fmt: skip
def test_what_no_coverage_says(cells: object) -> None:
    head = Coverage({"f": 1}, cells={"f": WHOLE}).to_dict() | {"cells": cells}
    with pytest.raises((KeyError, TypeError, ValueError)):
        Coverage.from_dict(head)
