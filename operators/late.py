"""Names of a package that are imported when they are first asked for: a worker's start is paid for, again and again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module


def late(package: str, homes: Mapping[str, Sequence[str]]) -> Callable[[str], object]:
    """A ``__getattr__`` for ``package``: the names of each module in ``homes``, found in it when asked for."""
    home = {name: module for module, names in homes.items() for name in names}

    def find(name: str) -> object:
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(import_module(home[name]), name)

    return find
