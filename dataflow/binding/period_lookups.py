"""Binds lookups in reference tables and calendars, and cuts of intervals at their periods."""

from __future__ import annotations

from dataclasses import replace

from dataflow.binding.interval_cuts import cut
from dataflow.binding.typing import Expressions, Shape
from dataflow.expressions.expr import Expr
from dataflow.plan.stages import Deferred
from dataflow.tables.calendars import Calendar
from dataflow.tables.reference_tables import Index
from dataflow.typed.clock import NOW
from dataflow.typed.nodes import Typed
from operators.types import Type


def at_instants(lookup: Typed) -> Typed:
    """The lookup at every instant of an interval."""
    return replace(lookup, args=(*lookup.args, NOW), site=-1)


def lookup(b: Expressions, table: Index | Calendar, on: Expr | None, shape: Shape, key: Typed | None) -> Typed:
    """The row that is valid for ``on``; ``key`` is ``on`` if it is typed already."""
    args: tuple[Typed, ...] = ()
    if isinstance(table, Index):
        assert on is not None
        key = key or b.typed(on, shape)
        if key.type is not table.kind:
            raise b.fail(f"the table's key {table.key!r} is {table.kind}, but the lookup value is {key.type}")
        args = (key,)
    return Typed("lookup", Type.INT, args, (("in", table),), next(b.sites))


def cut_at_periods(
    b: Expressions, shape: Shape, watched: dict[str, Typed], kept: list[Typed]
) -> tuple[Deferred, Shape]:
    """Intervals cut at the edges of periods."""
    if not shape.keyed:
        raise b.fail("it cannot follow concurrent or at_least; use it before")
    return cut(b, shape, watched, kept, by_clock=False)
