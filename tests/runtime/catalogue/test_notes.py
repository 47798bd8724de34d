"""Aliases and notes in SQLite: checked like all items, kept by a backup, salvaged, and harmless when they are lost."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from runtime.catalogue import SqliteCatalogue, TableCatalogue
from runtime.catalogue.key_value import ConditionFailed, OutcomeUnknown, Transact
from runtime.catalogue.key_value import run as run_steps
from runtime.catalogue.repair.salvage import best_of, found_in, read_items, write_steps
from runtime.catalogue.stores.sqlite import SqliteTable
from runtime.errors import FormatError, StoreError
from runtime.testing.contracts.catalogue_contract import D, add, source

PLACE, A = source("place").id, source("a").id


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "catalogue.sqlite"
    with SqliteCatalogue(path) as catalogue:
        add(catalogue, "a", D)
        catalogue.put_alias("s", PLACE, A)
        catalogue.change_note("n", lambda held: {"x": 1})
    return path


def change(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as connection, connection:
        assert connection.execute(statement).rowcount == 1


@pytest.mark.parametrize("partition", ["s/ALIAS", "NOTE"])
@pytest.mark.parametrize(
    "damage",
    ["body = cast(replace(cast(body as text), '1', '2') as blob)", "number = number + 1", "body = cast('{}' as blob)"],
)
def test_damage_is_found(path: Path, partition: str, damage: str) -> None:
    change(path, f"update items set {damage} where partition = '{partition}'")
    with SqliteCatalogue(path) as catalogue, pytest.raises(FormatError, match=r"damaged .*dataflow recover"):
        _ = catalogue.alias("s", PLACE) if partition == "s/ALIAS" else catalogue.note("n")
    if partition == "s/ALIAS":
        with SqliteCatalogue(path) as catalogue:
            (problem,) = catalogue.audit("s")
            assert f"alias {PLACE}" in problem


@pytest.mark.parametrize("partition", ["s/ALIAS", "NOTE"])
def test_what_is_lost_is_unknown(path: Path, partition: str) -> None:
    change(path, f"delete from items where partition = '{partition}'")
    with SqliteCatalogue(path) as catalogue:
        assert catalogue.audit("s") == catalogue.problems() == []
        assert (catalogue.alias("s", PLACE) is None) == (partition == "s/ALIAS")
        assert (catalogue.note("n") is None) == (partition == "NOTE")
        assert len(catalogue.sources("s")) == 1


def test_aliases_are_salvaged(path: Path, tmp_path: Path) -> None:
    found = best_of(list(found_in("here", read_items(path))), None)["s"]
    table = SqliteTable(tmp_path / "new.sqlite", 1.0, lambda: False)
    assert run_steps(table, write_steps(found, table.most)) == []
    with TableCatalogue(table) as catalogue:
        assert catalogue.alias("s", PLACE) == A
        assert catalogue.audit("s") == []


class _Table:
    """A table whose transactions fail as ``outcomes`` say: before they happen, or after."""

    def __init__(self, inner: SqliteTable, *outcomes: str) -> None:
        self._inner, self.outcomes = inner, list(outcomes)
        self.most = inner.most

    def __getattr__(self, name: str) -> object:
        return getattr(self._inner, name)

    def transact(self, request: Transact) -> None:
        outcome = self.outcomes.pop(0) if self.outcomes else ""
        if outcome == "refused":
            raise ConditionFailed([0])
        if outcome != "lost":
            self._inner.transact(request)
        if outcome:
            raise OutcomeUnknown(outcome)


@pytest.fixture
def inner(tmp_path: Path) -> Iterator[SqliteTable]:
    table = SqliteTable(tmp_path / "t.sqlite", 1.0, lambda: False)
    yield table
    table.close()


@pytest.mark.parametrize("outcomes", [["refused"], ["lost"], ["reply lost"], ["lost", "refused", "reply lost"]])
def test_a_note_is_changed_once(inner: SqliteTable, outcomes: list[str]) -> None:
    """A change that sets is made, whatever becomes of the replies."""
    catalogue = TableCatalogue(_Table(inner, *outcomes))  # type: ignore[arg-type]
    catalogue.change_note("n", lambda held: {"x": 5})
    assert catalogue.note("n") == {"x": 5}


def test_what_never_succeeds(inner: SqliteTable) -> None:
    with pytest.raises(StoreError, match="changed by others all the time"):
        TableCatalogue(_Table(inner, *["refused"] * 200)).change_note("n", lambda held: {"x": 5})  # type: ignore[arg-type]
    with pytest.raises(OutcomeUnknown):
        TableCatalogue(_Table(inner, *["lost"] * 20)).change_note("n", lambda held: {"x": 5})  # type: ignore[arg-type]
