"""The catalogues in SQLite and in memory (the simulator's) fulfil the catalogue's contract."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.catalogue import Catalogue, SqliteCatalogue, TableCatalogue
from runtime.catalogue.key_value import PutHead, Query, Row, Transact
from runtime.testing.contracts.catalogue_contract import CatalogueContract
from runtime.testing.contracts.notes_contract import NotesContract
from runtime.testing.contracts.upkeep_contract import UpkeepContract
from tests.simulator.engine import MemoryTable


class TestSqliteCatalogue(CatalogueContract, UpkeepContract, NotesContract):
    @pytest.fixture
    def catalogue(self, tmp_path: Path) -> Iterator[Catalogue]:
        with SqliteCatalogue(tmp_path / "catalogue.sqlite") as catalogue:
            yield catalogue


class TestMemoryCatalogue(CatalogueContract, UpkeepContract, NotesContract):
    @pytest.fixture
    def catalogue(self) -> Catalogue:
        return TableCatalogue(LockedTable())


class LockedTable(MemoryTable):
    """The simulator's table, for threads: each request is atomic."""

    def __init__(self) -> None:
        super().__init__()
        self._lock = threading.Lock()

    def put_head(self, request: PutHead) -> None:
        with self._lock:
            super().put_head(request)

    def query(self, request: Query) -> list[Row]:
        with self._lock:
            return super().query(request)

    def transact(self, request: Transact) -> None:
        with self._lock:
            super().transact(request)
