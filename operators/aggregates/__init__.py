"""Every aggregate, declared once: each module here, and in folders here, declares some, and how they are written."""

from __future__ import annotations

from importlib import import_module
from pkgutil import walk_packages

from operators.contract import Aggregate, SetAggregate
from operators.signatures import Signature
from operators.types import Type

AnyAggregate = Aggregate | SetAggregate

_MODULES = [import_module(found.name) for found in walk_packages(__path__, f"{__name__}.")]

REGISTRY: dict[tuple[str, Type | None], AnyAggregate] = {
    (a.name, a.argument): a for module in _MODULES for a in getattr(module, "AGGREGATES", ())
}
"""Aggregates by name and argument type (None: no argument), with their default options."""

SIGNATURES: dict[str, Signature] = {
    name: signature for module in _MODULES for name, signature in getattr(module, "SIGNATURES", {}).items()
}
"""How each is written, by name."""


def counts_before_first(name: str) -> bool:
    """Whether the time before a key's first point counts in the aggregate of this name."""
    return any(getattr(a, "before_first", False) for (n, _), a in REGISTRY.items() if n == name)


__all__ = ["REGISTRY", "SIGNATURES", "AnyAggregate", "counts_before_first"]
