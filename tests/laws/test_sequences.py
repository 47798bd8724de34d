"""Patterns, variants, paths and activity against the oracle, with any split of the rows and minimal output capacity."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.query.stages import runner
from runtime.testing.oracle.rows import Json
from runtime.testing.oracle.strategies import Case, cases
from tests.laws.agreement import agrees
from tests.laws.memory import run_in_memory
from tests.laws.sequence_graphs import ACTIVITY, MATCHES, SEQUENCES, SUBPATHS

many = settings(max_examples=max(1000, settings().max_examples))


@pytest.fixture(scope="module", autouse=True)
def hardly_any_room() -> Iterator[None]:
    """Kernels stop for room all the time, and go on where they stopped."""
    patch = pytest.MonkeyPatch()
    patch.setattr(runner, "_OUT_ROWS", 3)
    yield
    patch.undo()


def any_of(graphs: Mapping[str, Json]) -> Callable[[Callable[..., None]], Callable[[], None]]:
    """Many examples over these graphs: of points, ranges, shards of keys and sizes of chunks."""
    return lambda test: many(
        given(
            name=st.sampled_from(sorted(graphs)),
            case=st.booleans().flatmap(lambda dense: cases(most=9, dense=dense)),
            tasks=st.integers(1, 3),
            rows=st.integers(0, 5),
        )(test)
    )


@any_of(MATCHES)
def test_matches(name: str, case: Case, tasks: int, rows: int) -> None:
    agrees(run_in_memory, name, case, tasks=tasks, rows=rows)


@any_of(SEQUENCES)
def test_sequences(name: str, case: Case, tasks: int, rows: int) -> None:
    agrees(run_in_memory, name, case, tasks=tasks, rows=rows)


@any_of(SUBPATHS)
def test_subpaths(name: str, case: Case, tasks: int, rows: int) -> None:
    agrees(run_in_memory, name, case, tasks=tasks, rows=rows)


@any_of(ACTIVITY)
def test_activity(name: str, case: Case, tasks: int, rows: int) -> None:
    agrees(run_in_memory, name, case, tasks=tasks, rows=rows)
