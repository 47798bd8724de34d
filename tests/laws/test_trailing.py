"""Aggregates over trailing windows against the oracle's brute force, in batches of all sizes.

That every split gives the same bits is part of ``test_kernels`` (tasks, chunks), ``test_engine`` (sources) and
``test_checkpoint`` (kept states) for the graphs in ``TRAILING_GRAPHS``. Here batches are as small as they can be, so
rows wait, are kept and are passed on again wherever that may be wrong.
"""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runtime.query.stages import trailing_rows
from runtime.testing.oracle import answer
from runtime.testing.oracle.strategies import GAP, HOUR, KEY, TIME, TYPES, Case, cases
from tests.laws import builders as b
from tests.laws.agreement import agrees, typed
from tests.laws.memory import run_in_memory
from tests.laws.trailing_graphs import OTHER_TRAILING_GRAPHS, TRAILING_GRAPHS, over

fewer = settings(max_examples=max(10, settings().max_examples // 3))
SIZES = st.sampled_from([1, 1, 2, 5, 1 << 16])


@pytest.mark.parametrize("name", TRAILING_GRAPHS)
@fewer
@given(case=cases(), tasks=st.integers(1, 3), rows=st.integers(0, 5), size=SIZES)
def test_batches_of_all_sizes(name: str, case: Case, tasks: int, rows: int, size: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trailing_rows, "_BATCH", size)
        agrees(run_in_memory, name, case, tasks=tasks, rows=rows)


@pytest.mark.parametrize("name", OTHER_TRAILING_GRAPHS)
@fewer
@given(case=cases(), rows=st.integers(0, 5), size=SIZES)
def test_other_graphs(name: str, case: Case, rows: int, size: int) -> None:
    graph = OTHER_TRAILING_GRAPHS[name]
    expected = answer(graph, case.points, key=KEY, time=TIME, types=TYPES, since=case.since, until=case.until)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trailing_rows, "_BATCH", size)
        found = run_in_memory(graph, case.points, since=case.since, until=case.until, rows=rows)
    assert typed(found) == typed(expected)


@fewer
@given(case=cases(), rows=st.integers(0, 5), length=st.sampled_from([1, GAP, GAP + 1, HOUR]), size=SIZES)
def test_a_range_gives_the_rows_of_the_whole(case: Case, rows: int, length: int, size: int) -> None:
    graph = b.graph(
        b.extend(sum=over(b.agg("sum", b.TEMP), length), few=over(b.agg("mean", b.TEMP), rows=2)),
        b.extend(before=b.fn("previous", b.col("sum"))),
    )
    first = min((point[TIME] for point in case.points), default=case.since)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(trailing_rows, "_BATCH", size)
        found = run_in_memory(graph, case.points, since=case.since, until=case.until, rows=rows)
        whole = run_in_memory(graph, case.points, since=first, until=case.until)
    assert typed(found) == typed([row for row in whole if row[TIME] >= case.since])
