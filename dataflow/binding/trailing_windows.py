"""Binds aggregates over trailing and leading windows: stages that put them into hidden columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from dataflow.binding.own_stage import OwnStage
from dataflow.binding.typing import Expressions, Shape
from dataflow.expressions.aggregate_calls import agg_in
from dataflow.expressions.aggregate_signatures import signature_of
from dataflow.expressions.expr import Expr
from dataflow.plan.sink import MovingWindow, NamedTyped
from dataflow.plan.stages import Deferred
from dataflow.sinks.trailing_sink import Trailing, WindowAgg
from dataflow.typed.aggregates_bound import BoundAgg
from dataflow.typed.clock import is_moving
from dataflow.typed.hidden_columns import COMPLETE, DONE, KNOWN, ROW_FLAGS, WINDOW
from dataflow.typed.nodes import column
from operators.contract import Aggregate
from operators.types import Type

_OF_LENGTHS = ("duration", "known")
"""Inputs of aggregates that measure how long rows last."""


def add_trailing(b: Expressions, shape: Shape, found: Sequence[Expr]) -> tuple[list[Deferred], Shape]:
    """The stages of these windows, and the rows with their columns."""
    if shape.kind == "table" or not shape.keyed:
        raise b.fail(
            f"{found[0].fn} needs the rows of a key in time order; use it before group_by, or "
            "on a finished table .over(order=..., rows=...)"
        )
    if shape.kind != "points" and any(e.fn == "leading" for e in found):
        raise b.fail(
            f"leading takes later points, and here the rows are {shape.kind}; put it into a column with with_columns "
            "before them, or look back with trailing"
        )
    bound = [_bound(b, shape, e, f"{WINDOW}{next(b.sites)}") for e in found]
    rows = OwnStage(b, shape, [t for a in bound for t in a.agg.expressions()])
    windows = tuple(replace(a, agg=_with_arguments(a.agg, rows)) for a in bound)
    own = {a.agg.name: a.agg.aggregate.result for a in windows}
    points = shape.kind == "points"

    def sink(columns: NamedTyped, needed: set[str]) -> Trailing:
        wanted = tuple(a for a in windows if a.agg.name in needed) or windows[:1]
        return Trailing(columns, wanted, points, tuple({KNOWN} & {n for n, _ in columns}))

    stages, after = rows.stages(own, sink, {ROW_FLAGS: Type.BOOL, DONE: Type.INT, COMPLETE: Type.INT})
    b.other_rows |= {repr(e): column(n, t) for e, (n, t) in zip(found, own.items(), strict=True)}
    return stages, after


def _bound(b: Expressions, shape: Shape, e: Expr, name: str) -> WindowAgg:
    """The aggregate of a window, as the hidden column ``name``."""
    agg = agg_in(e)
    form = signature_of(agg.fn)
    no = f"{agg.fn}(...).{e.fn}"
    if agg.fn == "duration" or (form is not None and form.of_intervals):
        raise b.fail(
            f"{no}: {agg.fn} measures how long rows last, and a window would have to cut them; put the lengths into a "
            "column and take their sum: df.sum('duration').trailing(...)"
        )
    found = b.aggregate(e.fn, agg, shape)
    if isinstance(found.aggregate, Aggregate) and any(i in _OF_LENGTHS for i in found.aggregate.inputs):
        raise b.fail(f"{no}: {agg.fn} measures how long rows last, and a window would have to cut them")
    if any(is_moving(t) for t in found.expressions()):
        raise b.fail(
            f"{no}: on intervals df.time() is the clock at every instant; put the expression into a column with "
            "with_columns before, which cuts the intervals, or use col('start')"
        )
    length, rows = e.option("length"), e.option("rows")
    assert length is None or isinstance(length, int)
    assert rows is None or isinstance(rows, int)
    offset = e.option("offset") or 0
    assert isinstance(offset, int)
    return WindowAgg(replace(found, name=name), MovingWindow(length, rows, e.fn == "leading", offset))


def _with_arguments(a: BoundAgg, rows: OwnStage) -> BoundAgg:
    """The aggregate with what the windows' stage takes for its arguments and conditions."""
    argument, other = (None if e is None else rows.named(e) for e in (a.argument, a.other))
    return replace(a, argument=argument, other=other, where=tuple(map(rows.named, a.where)))
