"""The laws of following: changes applied in order are the batch answer; what is final never changes."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dataflow as df
from dataflow.plan.row_times import row_times
from operators.errors import DataflowError
from runtime.errors import QueryError
from runtime.ingest.inputs.identity import declared_identity
from runtime.live import RowChange
from runtime.live.following import check_final
from runtime.testing.oracle.strategies import TIME, Case, cases
from tests.laws.engine import STREAM, parts
from tests.laws.graphs import GRAPHS
from tests.runtime.live.followed import Receiver, asked, follower, put, rows_of, store_of_types

_numbers = itertools.count()


def _metric(name: str) -> df.Stream:
    return df.from_json(json.dumps(GRAPHS[name]))


def _is_final(name: str) -> bool:
    try:
        check_final(row_times(_metric(name).steps))
    except QueryError:
        return False
    return True


FINAL = [name for name in GRAPHS if _is_final(name)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("live")


UPKEEP = st.lists(st.sampled_from(["undo", "compact"]), max_size=3)


CHANGES = st.sampled_from(sorted(GRAPHS)), cases(), st.integers(1, 4), UPKEEP, st.booleans()
IN_ORDER = st.sampled_from(sorted(FINAL)), cases(), st.integers(1, 6)


@settings(max_examples=max(16, settings().max_examples // 3))
@given(*CHANGES)
def test_changes_applied_in_order_are_the_answer(
    folder: Path, name: str, case: Case, count: int, upkeep: list[str], whole: bool
) -> None:
    metric, since = _metric(name), None if whole else case.since
    with store_of_types(folder / str(next(_numbers))) as store:
        receiver = Receiver(follower(store, metric, lateness="10m", since=since))
        for part in [[], *parts(case.points, count)]:
            if part:
                put(store, part)
            for _ in range(2):
                expected = asked(store, metric, since, receiver)
                if expected is None:
                    return
                answer = receiver.look()
                assert answer is not None
                assert receiver.rows == rows_of(expected)
                assert answer.proof == expected.proof.to_dict()["result"]
                assert {c.proof for c in answer.changes} <= {answer.proof}
                assert receiver.look() is None
                if not upkeep or not part:
                    break
                if upkeep.pop() == "compact":
                    store.compact(STREAM, progress=False)
                else:
                    store.undo(STREAM, declared_identity(f"part {len(store.sources(STREAM)) - 1}"))
                if receiver.of.newest() == receiver.of._seen:
                    break
        on_time = Counter(json.dumps(c.new) for c in receiver.changes if c.pane == "on_time")
        assert max(on_time.values(), default=1) == 1
        marks = [c.watermark for c in receiver.changes if c.watermark is not None]
        assert marks == sorted(marks)


@settings(max_examples=max(16, settings().max_examples // 3))
@given(*IN_ORDER)
def test_what_is_final_never_changes_if_nothing_is_late(folder: Path, name: str, case: Case, count: int) -> None:
    metric = _metric(name)
    points = sorted(case.points, key=lambda p: int(p[TIME]))
    with store_of_types(folder / str(next(_numbers))) as store:
        receiver = Receiver(follower(store, metric, "final"))
        for part in parts(points, count):
            put(store, part)
            try:
                whole = rows_of(store.query(metric, progress=False))
            except DataflowError:
                return
            receiver.look()
            assert [row for row in whole if row in receiver.rows] == receiver.rows
        assert {c.pane for c in receiver.changes} <= {"on_time"}
        assert all(_is_new(c) for c in receiver.changes)


def _is_new(change: RowChange) -> bool:
    return change.old is None or change.old == change.new
