"""The catalogue in DynamoDB (moto) fulfils the catalogue's contract."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from runtime.catalogue import Catalogue, DynamoCatalogue
from runtime.testing.contracts.catalogue_contract import CatalogueContract
from runtime.testing.contracts.notes_contract import NotesContract
from runtime.testing.contracts.upkeep_contract import UpkeepContract


class TestDynamoCatalogue(CatalogueContract, UpkeepContract, NotesContract):
    @pytest.fixture
    def catalogue(self, aws: None) -> Iterator[Catalogue]:
        with DynamoCatalogue("antfold", "lake/a/prefix", create=lambda: True) as catalogue:
            yield catalogue
