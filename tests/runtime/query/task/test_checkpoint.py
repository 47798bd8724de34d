"""A run resumed from a checkpoint gives the bits of a full run, for every operator."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import dataflow as df
from operators.errors import DataflowError
from runtime import Store
from runtime.catalogue import FileEntry
from runtime.errors import FormatError
from runtime.query.merge.conclude import conclude
from runtime.query.plan.make_tasks import make_tasks
from runtime.query.plan.prepare import Prepared, Request, prepare
from runtime.query.scan.scanning import scan_order
from runtime.query.task.checkpoint import Checkpoints, unpack
from runtime.query.task.partial import Partial
from runtime.query.task.task import run
from runtime.testing.oracle.strategies import BASE, DAY, KEY, TIME, Case, cases
from tests.laws.engine import STREAM, as_columns, parts, schema_point
from tests.laws.graphs import GRAPHS
from tests.laws.shared_cases import shared_cases

fewer = settings(max_examples=max(3, settings().max_examples // 25))
"""Each example runs a metric many times; the histories of tests/runtime/published go on from states as well."""


MOST = 200
"""Stores that are kept for another metric."""


class Stores:
    """A store for every case; a case that comes again has the store of before."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._numbers = folder, itertools.count()
        self._stores: dict[str, Store] = {}

    def __repr__(self) -> str:
        return "Stores"

    def of(self, points: Sequence[Any], sources: int) -> Store:
        name = repr((points, sources))
        if name in self._stores:
            return self._stores[name]
        store = Store(self._folder / f"s{next(self._numbers)}", create=True)
        for part in parts(points, sources):
            store.ingest(STREAM, as_columns(part), key=KEY, time=TIME, unit="us")
        if len(self._stores) == MOST:
            del self._stores[next(iter(self._stores))]
        self._stores[name] = store
        return store


@pytest.fixture(scope="module")
def stores(tmp_path_factory: pytest.TempPathFactory) -> Stores:
    return Stores(tmp_path_factory.mktemp("stores"))


def outcome(prepared: Prepared, partials: Sequence[Partial], tasks: Sequence[Any]) -> tuple[str, str]:
    """Digest of the rows, or the error that takes its place."""
    try:
        proof: Any = conclude(prepared, tasks, partials, {}).proof
    except DataflowError as error:
        return ("error", str(error))
    assert proof.complete
    return (proof.result, f"{proof.rows_scanned} {proof.rows_ruled_out} {proof.duplicates}")


def check_all_checkpoints(store: Store, graph: Any, since: int, until: int) -> int:
    """Every state that can be kept, brought back: the same answer, without reading the files it covers."""
    metric = df.from_json(json.dumps(graph))
    prepared = prepare(store.catalogue, Request(metric.steps, {}, since, until))
    tasks = make_tasks(prepared, store.url, 1)
    if len(tasks) != 1:
        return 0
    (task,) = tasks
    groups = scan_order(task.files, prepared.schema.id)
    taking = Checkpoints(at=range(1, len(groups) + 1))
    try:
        whole = run(task, store.open_file, prepared.compiled, taking)
    except DataflowError:
        return 0
    expected = outcome(prepared, [run(task, store.open_file, prepared.compiled)], tasks)
    # To keep states disturbs nothing.
    assert outcome(prepared, [whole], tasks) == expected
    for n, data in taking.taken.items():
        covered = {f.path: f.rows for group in groups[:n] for f in group}

        def open_file(entry: FileEntry, covered: dict[str, int] = covered) -> Any:
            assert entry.path not in covered
            return store.open_file(entry)

        further = Checkpoints(unpack(data).of_files(covered, n), at=range(1, len(groups) + 1))
        again = run(task, open_file, prepared.compiled, further)
        assert outcome(prepared, [again], tasks) == expected
        # And a state that was taken after another was brought back is as good: the next one or the last.
        assert all(m > n for m in further.taken)
        for m in sorted(further.taken)[-1 if n % 2 else 0 :][:1]:
            more_covered = {f.path: f.rows for group in groups[:m] for f in group}
            more = unpack(further.taken[m]).of_files(more_covered, m)
            third = run(task, open_file, prepared.compiled, Checkpoints(more))
            assert outcome(prepared, [third], tasks) == expected
    return len(taking.taken)


@pytest.mark.parametrize("name", GRAPHS)
def test_every_graph(stores: Stores, name: str) -> None:
    @shared_cases(name)
    @fewer
    @given(case=cases(), sources=st.integers(1, 4))
    def check(case: Case, sources: int) -> None:
        points = [schema_point("schema"), *sorted(case.points, key=lambda p: p[TIME])]
        check_all_checkpoints(stores.of(points, sources), GRAPHS[name], case.since, case.until)

    check()


@pytest.mark.parametrize("name", ["states_by_london_day", "session_rows", "outages"])
def test_states_are_really_taken(stores: Stores, name: str) -> None:
    """The law above would hold of nothing, too."""
    points = [schema_point("schema"), *({KEY: "a", TIME: BASE + i * DAY, "status": "up", "ok": True} for i in range(6))]
    assert check_all_checkpoints(stores.of(points, 3), GRAPHS[name], BASE, BASE + 100 * DAY) >= 3


def test_damage_is_an_error_of_its_own() -> None:
    for data in (b"", b"ANTSTAT1", b"ANTPART1" + bytes(100)):
        with pytest.raises(FormatError, match="a cached state is damaged"):
            unpack(data)


def test_of_large_states_the_latest_are_kept(stores: Stores) -> None:
    points = [{KEY: "a", TIME: BASE + i * DAY, "status": "up", "ok": True, "firmware": "1"} for i in range(6)]
    store = stores.of([schema_point("schema"), *points], 1)
    metric = df.from_json(json.dumps(GRAPHS["session_rows"]))
    prepared = prepare(store.catalogue, Request(metric.steps, {}, BASE, BASE + 100 * DAY))
    (task,) = make_tasks(prepared, store.url, 1)
    every = Checkpoints(at=range(1, 8))
    run(task, store.open_file, prepared.compiled, every)
    assert sorted(every.taken) == list(range(1, 8))
    few = Checkpoints(at=range(1, 8), most=len(every.taken[6]) + len(every.taken[7]))
    run(task, store.open_file, prepared.compiled, few)
    assert sorted(few.taken) == [6, 7]
    none = Checkpoints(at=range(1, 8), most=10)
    run(task, store.open_file, prepared.compiled, none)
    assert not none.taken
