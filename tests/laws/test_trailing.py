"""Aggregates over trailing and leading windows against the oracle's brute force, in batches of all sizes.

That every split gives the same bits is part of ``test_kernels`` (tasks, chunks), ``test_engine`` (sources) and
``test_checkpoint`` (kept states) for the same graphs. Here batches are as small as they can be, so
rows wait, are kept and are passed on again wherever that may be wrong.
"""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from operators.kernels.window_rows import bounds_of_runs
from runtime.query.stages import trailing_rows
from runtime.testing.oracle import answer
from runtime.testing.oracle.strategies import GAP, HOUR, KEY, TIME, TYPES, Case, cases
from tests.laws import builders as b
from tests.laws.agreement import agrees, typed
from tests.laws.later_graphs import LEADING_GRAPHS
from tests.laws.memory import run_in_memory
from tests.laws.trailing_graphs import OTHER_TRAILING_GRAPHS, TRAILING_GRAPHS, over

fewer = settings(max_examples=max(10, settings().max_examples // 3))
SIZES = st.sampled_from([1, 1, 2, 5, 1 << 16])


@pytest.mark.parametrize("name", {**TRAILING_GRAPHS, **LEADING_GRAPHS})
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


def test_rows_that_wait_have_their_windows_before_them() -> None:
    """Five rows of the last time wait for others; the window of the first reaches four rows back from it."""
    early, late = 1_711_836_000_000_000, 1_711_839_600_000_000
    times = [early] * 4 + [late] * 5
    points = [{KEY: "a", TIME: t, **({"ok": True} if n == 2 else {})} for n, t in enumerate(times)]
    graph = b.graph(b.extend(every=over(b.agg("all_true", b.OK), rows=4), some=over(b.agg("count", b.OK), rows=4)))
    for size in (1, 5, 1 << 16):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(trailing_rows, "_BATCH", size)
            found = run_in_memory(graph, points, since=early, until=late + 1)
        assert [(row["every"], row["some"]) for row in found] == [(None, 0)] * 2 + [(True, 1)] * 4 + [(None, 0)] * 3


@given(
    times=st.lists(st.lists(st.integers(0, 6), min_size=1, max_size=8).map(sorted), min_size=1, max_size=4),
    length=st.integers(0, 4), rows=st.integers(1, 5), ahead=st.integers(0, 4), rows_ahead=st.integers(0, 3),
    waits=st.booleans(),
)  # fmt: skip
def test_no_row_is_let_go_that_a_window_needs(
    times: list[list[int]], length: int, rows: int, ahead: int, rows_ahead: int, waits: bool
) -> None:
    """Windows of rows that wait, and of one that comes next, at the last time or later."""
    ahead = max(ahead, min(length, 1))
    complete, kept = np.empty(len(times), np.int64), np.empty(len(times), np.int64)
    lengths = np.array([len(run) for run in times])
    bounds_of_runs(
        np.concatenate([np.array(run) for run in times]),
        lengths,
        length,
        rows,
        ahead,
        rows_ahead,
        waits,
        complete,
        kept,
    )
    for run, done, left in zip(times, complete.tolist(), kept.tolist(), strict=True):
        known = [n + rows_ahead < len(run) and t + ahead <= run[-1] for n, t in enumerate(run)]
        assert done == (sum(known) if waits else len(run))
        for at in range(done, len(run) + 1):
            now = run[at] if at < len(run) else run[-1]
            needed = {n for n in range(at) if run[n] > now - length} | set(range(max(0, at - rows), at))
            assert not [n for n in needed if n < len(run) - left]
