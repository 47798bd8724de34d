"""Funnels in all their forms, and sessions at once, against the oracle: with any split of the rows and no room."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from runtime.query.stages import runner
from runtime.testing.oracle.strategies import Case
from tests.laws.agreement import agrees
from tests.laws.funnel_graphs import FUNNEL_FORMS, SESSIONS_AT_ONCE
from tests.laws.memory import run_in_memory
from tests.laws.test_flows import any_of


@pytest.fixture(scope="module", autouse=True)
def hardly_any_room() -> Iterator[None]:
    """Kernels stop for room all the time, and go on where they stopped."""
    patch = pytest.MonkeyPatch()
    patch.setattr(runner, "_OUT_ROWS", 3)
    patch.setattr(runner, "_OPEN_ROWS", 1)
    yield
    patch.undo()


@any_of(FUNNEL_FORMS)
def test_funnels(name: str, case: Case, tasks: int, rows: int) -> None:
    agrees(run_in_memory, name, case, tasks=tasks, rows=rows)


@any_of(SESSIONS_AT_ONCE)
def test_sessions_at_once(name: str, case: Case, tasks: int, rows: int) -> None:
    agrees(run_in_memory, name, case, tasks=tasks, rows=rows)
