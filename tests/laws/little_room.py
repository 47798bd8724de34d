"""Laws whose kernels have hardly any room for their output."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.query.stages import open_cells, runner
from runtime.testing.oracle.rows import Json
from runtime.testing.oracle.strategies import Case, cases
from tests.laws.agreement import agrees
from tests.laws.memory import run_in_memory


def any_of(graphs: Mapping[str, Json], most: int = 12, examples: int = 250) -> Callable[[], None]:
    """At least so many examples over these graphs: of points, ranges, shards of keys and sizes of chunks."""

    @settings(max_examples=max(examples, settings().max_examples))
    @given(
        name=st.sampled_from(sorted(graphs)),
        case=st.booleans().flatmap(lambda dense: cases(most=most, dense=dense)),
        tasks=st.integers(1, 3),
        rows=st.integers(0, 5),
    )
    def law(name: str, case: Case, tasks: int, rows: int) -> None:
        agrees(run_in_memory, name, case, tasks=tasks, rows=rows)

    return law


@pytest.fixture(scope="module", autouse=True)
def hardly_any_room() -> Iterator[None]:
    """Kernels stop for room all the time, and go on where they stopped."""
    patch = pytest.MonkeyPatch()
    patch.setattr(runner, "_OUT_ROWS", 3)
    patch.setattr(open_cells, "_FIRST", 1)
    yield
    patch.undo()
