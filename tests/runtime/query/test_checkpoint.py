"""A run that goes on from a kept state gives the bits of one from the start, for every operator there is."""

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
from runtime.query.checkpoint import Checkpoints, unpack
from runtime.query.execute import Prepared, Request, conclude, make_tasks, prepare
from runtime.query.scan import scan_order
from runtime.query.task import Partial, run
from tests.laws.engine import STREAM, as_columns, parts, schema_point
from tests.laws.graphs import GRAPHS
from tests.reference.strategies import KEY, TIME, Case, cases

fewer = settings(max_examples=max(8, settings().max_examples // 10))


class Stores:
    """A new store for every case."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._numbers = folder, itertools.count()

    def __repr__(self) -> str:
        return "Stores"

    def of(self, points: Sequence[Any], sources: int, duplicates: str = "keep", id: str | None = None) -> Store:
        store = Store(self._folder / f"s{next(self._numbers)}", create=True)
        for part in parts(points, sources):
            store.ingest(STREAM, as_columns(part), key=KEY, time=TIME, unit="us", duplicates=duplicates, id=id)
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
        covered = {f.path for group in groups[:n] for f in group}

        def open_file(entry: FileEntry, covered: set[str] = covered) -> Any:
            assert entry.path not in covered
            return store.open_file(entry)

        further = Checkpoints(unpack(data), at=range(1, len(groups) + 1))
        again = run(task, open_file, prepared.compiled, further)
        assert outcome(prepared, [again], tasks) == expected
        # And a state that was taken after another was brought back is as good.
        for m, more in further.taken.items():
            assert m > n
            third = run(task, open_file, prepared.compiled, Checkpoints(unpack(more)))
            assert outcome(prepared, [third], tasks) == expected
    return len(taking.taken)


@pytest.mark.parametrize("name", GRAPHS)
@fewer
@given(case=cases(), sources=st.integers(1, 4))
def test_every_graph(stores: Stores, name: str, case: Case, sources: int) -> None:
    points = [schema_point("schema"), *sorted(case.points, key=lambda p: p[TIME])]
    check_all_checkpoints(stores.of(points, sources), GRAPHS[name], case.since, case.until)
