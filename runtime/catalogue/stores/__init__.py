"""The tables that a catalogue may be in: SQLite, DynamoDB, and what other modules of this folder declare."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from runtime.catalogue.stores.kinds import KINDS, CataloguePlace, check_kind

for _found in iter_modules(__path__):
    import_module(f"{__name__}.{_found.name}")

__all__ = ["KINDS", "CataloguePlace", "check_kind"]
