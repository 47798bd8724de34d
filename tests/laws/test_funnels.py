"""Funnels in all their forms, and sessions at once, against the oracle: with any split of the rows and no room."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.query.stages import runner
from runtime.testing.oracle.strategies import Case, cases
from tests.laws.agreement import agrees
from tests.laws.funnel_graphs import FUNNEL_FORMS, SESSIONS_AT_ONCE
from tests.laws.memory import run_in_memory

CASES = st.booleans().flatmap(lambda dense: cases(most=12, dense=dense))


@pytest.fixture(scope="module", autouse=True)
def hardly_any_room() -> Iterator[None]:
    """Kernels stop for room all the time, and go on where they stopped."""
    patch = pytest.MonkeyPatch()
    patch.setattr(runner, "_OUT_ROWS", 3)
    patch.setattr(runner, "_OPEN_ROWS", 1)
    yield
    patch.undo()


@settings(max_examples=max(500, settings().max_examples))
@given(name=st.sampled_from(sorted(FUNNEL_FORMS)), case=CASES, tasks=st.integers(1, 3), rows=st.integers(0, 5))
def test_funnels(name: str, case: Case, tasks: int, rows: int) -> None:
    agrees(run_in_memory, name, case, tasks=tasks, rows=rows)


@settings(max_examples=max(150, settings().max_examples))
@given(name=st.sampled_from(sorted(SESSIONS_AT_ONCE)), case=CASES, tasks=st.integers(1, 3), rows=st.integers(0, 5))
def test_sessions_at_once(name: str, case: Case, tasks: int, rows: int) -> None:
    agrees(run_in_memory, name, case, tasks=tasks, rows=rows)
