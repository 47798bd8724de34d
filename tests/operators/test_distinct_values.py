"""Distinct values, and membership: as numpy has them."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from operators.distinct_values import among, distinct

NUMBERS = st.lists(st.sampled_from([-(2**63), -1, 0, 1, 7, 2**63 - 1]))
REALS = st.lists(st.sampled_from([-0.0, 0.0, 1.5, float("inf"), -1e300]))


@given(NUMBERS, NUMBERS)
def test_whole_numbers(values: list[int], wanted: list[int]) -> None:
    given, some = np.array(values, np.int64), np.array(wanted, np.int64)
    assert distinct(given).tolist() == sorted(set(values))
    assert among(given, some).tolist() == [v in wanted for v in values]


@given(REALS, REALS)
def test_reals(values: list[float], wanted: list[float]) -> None:
    given, some = np.array(values, np.float64), np.array(wanted, np.float64)
    assert distinct(given).tolist() == sorted(set(values))
    assert among(given, some).tolist() == [v in wanted for v in values]
    assert not among(np.array([np.nan]), some).any()
