"""A query whose files were replaced and collected says that it can be repeated."""

from __future__ import annotations

from pathlib import Path

import pytest

import dataflow as df
from runtime import Store
from runtime.catalogue import Committed, new_attempt
from runtime.errors import NoStore, SnapshotTooOld
from runtime.objects import FileMissing

METRIC = df.stream("s").group_by("k").agg(n=df.count())


@pytest.fixture
def store(tmp_path: Path) -> Store:
    file = tmp_path / "a.csv"
    file.write_text("k,t,v\na,2024-01-01T00:00:00Z,1\nb,2024-01-01T00:00:01Z,2\n")
    store = Store(tmp_path / "store", create=True)
    store.ingest("s", file, key="k", time="t", progress=False)
    return store


def removed(store: Store) -> None:
    """The files go, as after a day."""
    for file in store.catalogue.snapshot("s").files:
        store.objects.delete(file.path)


def test_a_replaced_file(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    with store:
        old = store.catalogue.snapshot("s")
        removed(store)
        assert store.catalogue.erase_all("s", list(old.files), new_attempt(), old.seq) == Committed(2)
        monkeypatch.setattr(store.catalogue, "snapshot", lambda *_: old)
        with pytest.raises(SnapshotTooOld, match=r"was replaced by commit 2 .*: repeat the query"):
            store.query(METRIC, progress=False)
        monkeypatch.undo()
        assert list(store.query(METRIC, progress=False)) == []


def test_a_lost_file(store: Store) -> None:
    with store:
        removed(store)
        with pytest.raises(FileMissing, match="restore it from a backup"):
            store.query(METRIC, progress=False)


def test_a_store_that_is_not_there_is_one_error(tmp_path: Path) -> None:
    with Store(tmp_path / "none") as store, pytest.raises(NoStore) as caught:
        store.query(METRIC, progress=False)
    assert caught.value.__context__ is None
