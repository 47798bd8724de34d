"""Sources in quarantine through damage and recovery, and commits of many of them."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from runtime import Store
from runtime.catalogue import SourceEntry
from runtime.recovery.recover import recover
from runtime.upkeep.quarantined import note_retries


@pytest.fixture
def store(tmp_path: Path) -> Store:
    made = Store(tmp_path / "store", create=True)
    (tmp_path / "a.csv").write_text("k,t,v\na,2024-01-01,1\n")
    made.ingest("s", tmp_path / "a.csv", key="k", time="t", progress=False)
    return made


def set_aside(store: Store, name: str, reason: str) -> SourceEntry:
    schema = store.catalogue.schema("s")
    assert schema is not None
    entry = SourceEntry(hashlib.sha256(name.encode()).hexdigest(), name, 7, quarantined=reason)
    store.catalogue.commit("s", schema, entry, (), hashlib.sha256(f"{name}{reason}".encode()).hexdigest())
    return entry


def states(store: Store) -> dict[str, str]:
    return {source.entry.id: source.state for source in store.quarantined()}


def test_what_was_decided_is_in_the_log(store: Store, tmp_path: Path) -> None:
    """Also where the items of the sources are lost: the rest of each is not known then."""
    entries = {name: set_aside(store, name, "it is damaged") for name in ("x", "y", "z", "w")}
    entries["x"] = set_aside(store, "x", "it is worse")
    by_name = {source.entry.name: source for source in store.quarantined()}
    store.dismiss([by_name["y"], by_name["w"]])
    note_retries(store.catalogue, [by_name["z"], by_name["w"]])
    expected = {
        entries[name].id: state
        for name, state in zip("xyzw", ("waiting", "dismissed", "retried", "retried"), strict=True)
    }
    assert states(store) == expected
    store.close()
    with closing(sqlite3.connect(tmp_path / "store" / "catalogue.sqlite")) as connection, connection:
        connection.execute("delete from items where partition = 's/SRC' and sort != '#'")
    recover(tmp_path / "store")
    with Store(tmp_path / "store") as again:
        assert states(again) == expected
        assert {source.reason for source in again.quarantined()} == {"(lost)"}
        snapshot = again.catalogue.snapshot("s")
        assert (snapshot.quarantined, snapshot.dismissed, snapshot.sources) == (4, 1, 1)
        assert again.verify().ok


def test_records_of_before_are_as_they_were(store: Store, tmp_path: Path) -> None:
    """Only commits that know of dismissals have the version that earlier programs refuse."""

    def versions() -> list[int]:
        with closing(sqlite3.connect(tmp_path / "store" / "catalogue.sqlite")) as connection:
            rows = connection.execute("select body from items where partition = 's/LOG' order by sort").fetchall()
        return [json.loads(body)["version"] for (body,) in rows]

    set_aside(store, "x", "it is damaged")
    before = versions()
    assert max(before) < 5
    note_retries(store.catalogue, store.quarantined())
    set_aside(store, "x", "it is worse")
    assert versions() == [*before, 5, before[-1]]
    store.dismiss(store.quarantined())
    set_aside(store, "y", "it is damaged")
    assert versions() == [*before, 5, before[-1], 5, 5]


def test_many_are_dismissed_in_several_commits(store: Store) -> None:
    for n in range(95):
        set_aside(store, str(n), "it is damaged")
    found = store.quarantined()
    seq = store.catalogue.snapshot("s").seq
    assert len(store.dismiss(found).sources) == 95
    snapshot = store.catalogue.snapshot("s")
    assert (snapshot.quarantined, snapshot.dismissed, snapshot.seq) == (95, 95, seq + 2)
    assert len(store.dismiss(found).sources) == 0  # by somebody else meanwhile
    assert store.catalogue.snapshot("s").seq == seq + 2
    assert store.catalogue.audit("s") == []


def test_one_that_is_taken_meanwhile_is_left_out(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    entries = [set_aside(store, name, "it is damaged") for name in "xy"]
    found = store.quarantined()
    dismiss, schema = store.catalogue.dismiss, store.catalogue.schema("s")
    assert schema is not None

    def late(*given: Any) -> Any:
        monkeypatch.undo()
        store.catalogue.commit("s", schema, replace(entries[0], quarantined=None), (), "late")
        return dismiss(*given)

    monkeypatch.setattr(store.catalogue, "dismiss", late)
    assert [source.entry.name for source in store.dismiss(found).sources] == ["y"]
    snapshot = store.catalogue.snapshot("s")
    assert (snapshot.quarantined, snapshot.dismissed, snapshot.sources) == (1, 1, 2)
