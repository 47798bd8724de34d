"""What a location of a store is, and the schemes of URLs that locations are found by."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from runtime.aws.access import Access
from runtime.objects import ObjectStore

if TYPE_CHECKING:
    from runtime.catalogue import Catalogue


class Location(Protocol):
    """A place for a store; ``url`` finds it again from any process."""

    @property
    def url(self) -> str:
        """The store's URL in its full form."""
        ...

    @property
    def worker_url(self) -> str:
        """The URL for a worker elsewhere, which has an identity of its own."""
        ...

    @property
    def access(self) -> Access | None:
        """How its services are reached; None where there are none."""
        ...

    def objects(self) -> ObjectStore:
        """The object store there."""
        ...

    def catalogue(self, create: Callable[[], bool]) -> Catalogue:
        """The catalogue there; where there is none, ``create`` says whether to make one, and StoreError is for no."""
        ...


SCHEMES: dict[str, Callable[[str], Location]] = {}
"""Of each scheme, how the location of a URL is made; StoreError for a URL that is wrong."""


def has_points(objects: ObjectStore) -> bool:
    """Whether there are point files, of a catalogue or of none."""
    return any(found.path.endswith(".points") for found in objects.list("data/"))
