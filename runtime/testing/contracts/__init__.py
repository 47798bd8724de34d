"""Contracts: test classes for every implementation of an interface; a subclass provides the fixture."""

from __future__ import annotations

from runtime.testing.contracts.catalogue_contract import CatalogueContract
from runtime.testing.contracts.notes_contract import NotesContract
from runtime.testing.contracts.object_store_contract import ObjectStoreContract
from runtime.testing.contracts.processes_contract import ProcessesContract
from runtime.testing.contracts.upkeep_contract import UpkeepContract

__all__ = ["CatalogueContract", "NotesContract", "ObjectStoreContract", "ProcessesContract", "UpkeepContract"]
