"""Undo beside others that take the same sources back."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runtime import Store
from tests.runtime.upkeep.stores import ingest


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Three sources of two rows each."""
    store = Store(tmp_path / "store", create=True)
    for number in range(3):
        ingest(store, number)
    return store


@pytest.mark.parametrize(
    ("other", "left"),
    [(lambda store, first: store.undo("s", first), 2), (lambda store, first: store.erase("s"), 0)],
    ids=["undo", "erase"],
)
def test_another_process_is_faster(
    store: Store, monkeypatch: pytest.MonkeyPatch, other: Callable[[Store, str], object], left: int
) -> None:
    """What it took back is not in the report."""
    first, second, _ = (source.entry.id for source in store.sources("s"))
    undo, done = store.catalogue.undo, list[object]()

    def late(*given: Any) -> Any:
        if not done:
            done.append(other(Store(store.url), first))
        return undo(*given)

    monkeypatch.setattr(store.catalogue, "undo", late)
    report = store.undo("s", first, second)
    assert (len(report.sources), report.rows) == (left // 2, left)
    assert sum(file.rows for file in store.files("s")) == left
    assert store.verify().ok
