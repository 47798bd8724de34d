"""Retention beside and after other upkeep: other floors, erased keys, sources that were taken back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import dataflow as df
from runtime import Store
from runtime.catalogue.items.entries import day_name
from runtime.errors import QueryError
from tests.runtime.upkeep.stores import FIRST_DAY, ingest, points


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Two sources of three days each."""
    store = Store(tmp_path / "store", create=True)
    for number in range(2):
        ingest(store, number, days=3)
    return store


def retain(store: Store, days: int) -> Any:
    return store.retain("s", before=day_name(FIRST_DAY + days))


def beside(store: Store, monkeypatch: pytest.MonkeyPatch, name: str, other: Callable[[Store], object]) -> None:
    """Another process does something just before the first commit of this one."""
    commit, done = getattr(store.catalogue, name), list[object]()

    def late(*given: Any) -> Any:
        if not done:
            done.append(other(Store(store.url)))
        return commit(*given)

    monkeypatch.setattr(store.catalogue, name, late)


def test_another_process_raises_it_further(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the report says where it is."""
    beside(store, monkeypatch, "raise_floor", lambda other: retain(other, 2))
    report = retain(store, 1)
    assert (report.day, report.rows, report.files, report.carried) == (FIRST_DAY + 2, 0, 0, 0)
    assert store.catalogue.snapshot("s").floor == FIRST_DAY + 2
    assert store.verify().ok


def test_another_process_takes_the_rest_back(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A retention never removes all points."""
    store.undo("s", store.sources("s")[0].entry.id)
    store.ingest("s", points(7, 2), key="k", time="t", unit="us", progress=False, compact=False)
    beside(store, monkeypatch, "raise_floor", lambda other: other.undo("s", other.sources("s")[-1].entry.id))
    with pytest.raises(QueryError, match="all points of s"):
        retain(store, 2)
    assert store.catalogue.snapshot("s").floor is None
    assert sum(file.rows for file in store.files("s")) == 2


def test_a_key_of_what_is_carried_in_is_erased(tmp_path: Path) -> None:
    """The rows of others are written again, and known to be of the commit that raised the floor."""
    store = Store(tmp_path / "store", create=True)
    table = points(0, 2)
    both = {name: [*values, *values] for name, values in table.items()} | {"k": ["a", "a", "b", "b"]}
    store.ingest("s", both, key="k", time="t", unit="us", progress=False)
    retain(store, 1)
    store.erase("s", "a")
    assert sum(file.rows for file in store.files("s")) == 2
    assert store.verify().ok, str(store.verify())


@pytest.mark.parametrize("erased", [False, True], ids=["undone", "erased stream"])
def test_points_that_were_taken_back_before_are_not_retired(store: Store, erased: bool) -> None:
    """A source that was ingested anew after the floor has no points before it, and can be taken back."""
    first = store.sources("s")[-1].entry.id
    if erased:
        store.erase("s")
        ingest(store, 1, days=3)
    else:
        store.undo("s", first)
    retain(store, 1)
    store.ingest("s", points(0, 3), key="k", time="t", unit="us", progress=False, again=True)
    assert store.undo("s", first).rows == 2
    with pytest.raises(QueryError, match="those points are retired"):
        store.undo("s", store.sources("s")[1].entry.id)
    assert store.verify().ok


@pytest.mark.parametrize("below_floor", [False, True])
def test_no_points_are_left_from_the_floor_on(store: Store, below_floor: bool) -> None:
    """A query without a range answers as over an empty stream, not with an error that names the floor."""
    store.ingest("s", points(0, 1) | {"k": ["b"]}, key="k", time="t", unit="us", progress=False)
    retain(store, 1)
    store.erase("s", "a")
    assert sum(file.rows for file in store.files("s")) == 1
    counted = df.stream("s").group_by("k").agg(n=df.count())
    assert store.query(counted, progress=False, below_floor=below_floor).to_dict()["rows"] == []
