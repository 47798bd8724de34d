"""The kinds of tables that a catalogue may be in; each module of this folder that has one declares it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from operators.nearest import meant
from runtime.aws.access import Access
from runtime.catalogue.key_value import KeyValueTable
from runtime.errors import StoreError


@dataclass(frozen=True)
class CataloguePlace:
    """Where a catalogue's table is: its ``name``, the store that it is of (``owner``; stores may share a table), and
    how to reach it. Where there is none, ``create`` says whether to make one."""

    name: str
    owner: str
    access: Access | None
    create: Callable[[], bool]


KINDS: dict[str, Callable[[CataloguePlace], KeyValueTable]] = {}
"""Of each kind, how a table is opened."""


def check_kind(kind: str) -> None:
    """StoreError for a kind of catalogue that is not known."""
    if kind not in KINDS:
        raise StoreError(
            f"catalogue={kind} is unknown: {meant(kind, KINDS, 'choose')} one of {', '.join(sorted(KINDS))}"
        )
