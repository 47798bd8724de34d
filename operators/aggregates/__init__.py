"""Every aggregate, declared once."""

from __future__ import annotations

from operators.aggregates import (
    candles,
    counters,
    counting,
    distinct,
    extremes,
    logic,
    quantiles,
    spread,
    sums,
    tallied,
    timing,
)
from operators.contract import Aggregate, SetAggregate
from operators.types import Type

AnyAggregate = Aggregate | SetAggregate

_MODULES = (counting, sums, extremes, logic, timing, spread, quantiles, tallied, distinct, candles, counters)

REGISTRY: dict[tuple[str, Type | None], AnyAggregate] = {
    (a.name, a.argument): a for module in _MODULES for a in module.AGGREGATES
}
"""Aggregates by name and argument type (None: no argument), with their default options."""

__all__ = ["REGISTRY", "AnyAggregate"]
