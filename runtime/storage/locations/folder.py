"""Stores in a folder of this machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from operators.nearest import meant, nearest
from runtime.errors import NoStore, StoreError
from runtime.objects import FolderObjects, ObjectStore
from runtime.storage.locations.schemes import has_points

if TYPE_CHECKING:
    from runtime.catalogue import Catalogue

CATALOGUE = "catalogue.sqlite"
"""The catalogue's file in a store's folder."""


@dataclass(frozen=True)
class Folder:
    """A local folder that contains the catalogue as a file."""

    root: Path
    access: None = None

    @property
    def url(self) -> str:
        """The absolute path."""
        return str(self.root)

    @property
    def worker_url(self) -> str:
        """The same path, for workers that see it too."""
        return self.url

    def objects(self) -> ObjectStore:
        """Objects as files."""
        return FolderObjects(self.root)

    def catalogue(self, create: Callable[[], bool]) -> Catalogue:
        """The catalogue in SQLite."""
        path = self.root / CATALOGUE
        if not path.exists():
            if not create() and not has_points(self.objects()):
                stores = _stores_in(self.root.parent)
                hint = meant(self.root.name, stores, "ingest")
                raise NoStore(
                    f"{self.root}: there is no store here; {hint} something first (dataflow ingest)",
                    nearest(self.root.name, stores),
                )
            check_outside_of_stores(self.root)
            self.root.mkdir(parents=True, exist_ok=True)
        from runtime.catalogue import SqliteCatalogue

        return SqliteCatalogue(path, in_use=lambda: has_points(self.objects()))


def check_outside_of_stores(folder: Path) -> None:
    """StoreError if the folder lies in a store."""
    if outer := next((p for p in folder.absolute().parents if (p / CATALOGUE).is_file()), None):
        raise StoreError(f"{folder} lies in the store {outer}: name a folder outside of it")


def _stores_in(folder: Path) -> list[str]:
    """The names of the stores in a folder; none if it cannot be read."""
    try:
        return [p.name for p in folder.iterdir() if (p / CATALOGUE).is_file()]
    except OSError:
        return []
