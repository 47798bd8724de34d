"""Every aggregate, declared once."""

from __future__ import annotations

from operators.aggregates import counting, extremes, logic, sums, timing
from operators.contract import Aggregate, SetAggregate
from operators.types import Type

AnyAggregate = Aggregate | SetAggregate

REGISTRY: dict[tuple[str, Type | None], AnyAggregate] = {
    (a.name, a.argument): a for module in (counting, sums, extremes, logic, timing) for a in module.AGGREGATES
}
"""Aggregates by name and argument type (None: no argument)."""

__all__ = ["REGISTRY", "AnyAggregate"]
