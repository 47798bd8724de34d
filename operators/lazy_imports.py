"""Lazy imports of a package's names, since every cold start of a worker is billed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from sys import modules


def late(
    package: str, homes: Mapping[str, Sequence[str]], elsewhere: Mapping[str, str] | None = None
) -> Callable[[str], object]:
    """A ``__getattr__`` for ``package`` that imports the names of each module in ``homes`` on first use; ``elsewhere``:
    what to do about names of other libraries."""
    home = {name: module for module, names in homes.items() for name in names}

    def find(name: str) -> object:
        if name not in home:
            from operators.nearest import no_attribute

            raise no_attribute(package, name, [*getattr(modules[package], "__all__", ()), *home], elsewhere)
        return getattr(import_module(home[name]), name)

    return find
