"""Binds values of later points (``next``): stages that put them into hidden columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dataflow.binding.own_stage import OwnStage
from dataflow.binding.typing import Expressions, Shape
from dataflow.expressions.expr import Expr
from dataflow.plan.sink import NamedTyped
from dataflow.plan.stages import Deferred
from dataflow.sinks.ahead_sink import Ahead, LaterValue
from dataflow.typed.hidden_columns import WINDOW
from dataflow.typed.nodes import Typed, column
from operators.types import Type


def add_later(b: Expressions, shape: Shape, found: Sequence[Expr]) -> tuple[list[Deferred], Shape]:
    """The stages of these values, and the rows with their columns."""
    if shape.kind == "table" or not shape.keyed:
        raise b.fail("next needs an order of the table's rows; write for example .next(order='day')")
    if shape.kind != "points":
        raise b.fail(
            f"next takes values of later points, and here the rows are {shape.kind}; put it into a column with "
            "with_columns before them, or look back with previous"
        )
    bound = [_bound(b, shape, e, f"{WINDOW}{next(b.sites)}") for e in found]
    rows = OwnStage(b, shape, [t for v in bound for t in (v.of, v.run) if t is not None])
    values = tuple(replace(v, of=rows.named(v.of), run=None if v.run is None else rows.named(v.run)) for v in bound)
    own = {v.name: v.of.type or Type.INT for v in values}

    def sink(columns: NamedTyped, needed: set[str]) -> Ahead:
        return Ahead(columns, tuple(v for v in values if v.name in needed) or values[:1])

    stages, after = rows.stages(own, sink)
    b.other_rows |= {repr(e): column(n, t) for e, (n, t) in zip(found, own.items(), strict=True)}
    return stages, after


def _bound(b: Expressions, shape: Shape, e: Expr, name: str) -> LaterValue:
    """A later value, as the hidden column ``name``."""
    of = b.typed(e.args[0], shape)
    if of.type is None:
        raise b.fail("next of null has no type")
    if of.type is Type.JSON:
        raise b.fail("next cannot take json: a result with several parts can be shown, but not computed with")
    run: Typed | None = None
    if len(e.args) > 1:
        # What the rows of a run have in common is that their numbers begin anew with it.
        run = b.typed(Expr("row_number", (_ONE, e.args[1])), shape)
    b.fix_all([t for t in (of, run) if t is not None], shape)
    return LaterValue(name, of, int(str(e.option("rows") or 1)), run)


_ONE = Expr("lit", (), (("type", "int64"), ("value", 1)))
