"""What a location of a store is, and the schemes of URLs that locations are found by."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from runtime.aws.access import Access
from runtime.objects import ObjectStore

if TYPE_CHECKING:
    from runtime.catalogue import Catalogue


class Location(Protocol):
    """The location of a store; ``url`` identifies it in any process."""

    @property
    def url(self) -> str:
        """The store's URL in its full form."""
        ...

    @property
    def worker_url(self) -> str:
        """The URL for a remote worker, which has its own identity."""
        ...

    @property
    def access(self) -> Access | None:
        """Access to its AWS services; None if it uses none."""
        ...

    def objects(self) -> ObjectStore:
        """Its object store."""
        ...

    def catalogue(self, create: Callable[[], bool]) -> Catalogue:
        """Its catalogue. If there is none, ``create`` says whether to create one; if not, StoreError."""
        ...


SCHEMES: dict[str, Callable[[str], Location]] = {}
"""Of each scheme, how the location of a URL is made; StoreError for a URL that is wrong."""


def has_points(objects: ObjectStore) -> bool:
    """Whether there are point files, with or without a catalogue."""
    return any(found.path.endswith(".points") for found in objects.list("data/"))
