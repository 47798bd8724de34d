"""Binds aggregates over trailing windows: before the step that uses them, stages that put them into hidden columns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass, replace

from dataflow.binding.typing import Expressions, Shape
from dataflow.expressions.aggregate_calls import agg_in
from dataflow.expressions.aggregate_signatures import signature_of
from dataflow.expressions.expr import Expr
from dataflow.plan.properties import stage_of_inputs
from dataflow.plan.stages import Deferred, Stage
from dataflow.sinks.passed_rows import PassedRows
from dataflow.sinks.trailing_sink import Trailing, WindowAgg
from dataflow.typed.aggregates_bound import BoundAgg
from dataflow.typed.clock import is_moving
from dataflow.typed.hidden_columns import COMPLETE, DONE, END, KNOWN, ROW_FLAGS, WINDOW
from dataflow.typed.nodes import Typed, column
from operators.contract import Aggregate
from operators.types import Type

_OF_LENGTHS = ("duration", "known")
"""Inputs of aggregates that measure how long rows last."""


def add_windows(b: Expressions, shape: Shape, step: object, again: bool = False) -> tuple[list[Deferred], Shape]:
    """The stages of the trailing windows in the expressions of ``step``, the innermost first, and the rows with them.

    ``b.windows`` has their columns until the next call, unless that is for other expressions of the same step
    (``again``).
    """
    if not again:
        b.windows.clear()
        shape = replace(shape, env={n: t for n, t in shape.env.items() if not n.startswith(WINDOW)})
    stages: list[Deferred] = []
    while found := [e for e in _windows_in(step) if repr(e) not in b.windows and not _waits(b, e)]:
        added, shape = _add(b, shape, list({repr(e): e for e in found}.values()))
        stages += added
    return stages, shape


def _windows_in(part: object, inner: bool = False) -> Iterator[Expr]:
    """All trailing windows in a step or in a part of one; not in the steps within it, which have rows of their own."""
    if isinstance(part, Expr):
        if part.fn == "trailing":
            yield part
        for argument in part.args:
            yield from _windows_in(argument, True)
    elif isinstance(part, tuple):
        for item in part:
            yield from _windows_in(item, True)
    elif is_dataclass(part) and not (inner and hasattr(part, "op")):
        for f in fields(part):
            yield from _windows_in(getattr(part, f.name), True)


def _waits(b: Expressions, e: Expr) -> bool:
    """Whether it is of other windows that have no column yet."""
    return any(repr(inner) not in b.windows for a in e.args for inner in _windows_in(a))


def _add(b: Expressions, shape: Shape, found: Sequence[Expr]) -> tuple[list[Deferred], Shape]:
    """The stages of these windows, and the rows with their columns."""
    if shape.kind == "table" or not shape.keyed:
        raise b.fail("trailing needs the rows of a key in time order; use it before group_by")
    aggs = [_bound(b, shape, e, f"{WINDOW}{next(b.sites)}") for e in found]
    used = {repr(t): t for a in aggs for t in a.agg.expressions() if t.fn != "lit"}
    # Without operations before it, the windows' stage itself reads the columns.
    several = b.sources is not None and b.sources.several
    at_once = not shape.ops and not several and all(t.fn == "in" for t in used.values())
    arguments = {} if at_once else {f"$of{next(b.sites)}": t for t in used.values()}
    names = {repr(t): n for n, t in arguments.items()}
    windows = tuple(replace(a, agg=_of_columns(a.agg, names)) for a in aggs)
    own = {a.agg.name: a.agg.aggregate.result for a in aggs}
    computed = {n: t for n, t in shape.env.items() if not _comes_with_row(t)}
    types = {n: t.type for n, t in computed.items() if t.type is not None}
    others = {n: t for n, t in shape.inputs.items() if n not in shape.env}
    before, ops, where, points = shape, list(shape.ops), b.where, shape.kind == "points"

    def passed(needed: set[str]) -> dict[str, Typed]:
        """The columns that rows after the windows have."""
        kept = needed | {END, KNOWN}
        return {n: column(n, t) for n, t in others.items() if n in kept} | {
            n: t for n, t in computed.items() if n in needed
        }

    def rows(needed: set[str]) -> Stage:
        columns = passed(needed) | {n: t for n, t in arguments.items() if n in needed}
        return stage_of_inputs(before.inputs, ops, PassedRows(tuple(columns.items()), points), where)

    def trailing(needed: set[str]) -> Stage:
        columns = passed(needed - own.keys())
        inputs = dict(before.inputs)
        if not at_once:
            inputs = {n: t.type or Type.INT for n, t in (columns | arguments).items()}
            columns = {n: column(n, inputs[n]) for n in columns}
        wanted = tuple(a for a in windows if a.agg.name in needed) or windows[:1]
        sink = Trailing(tuple(columns.items()), wanted, points, tuple({KNOWN} & columns.keys()))
        return stage_of_inputs({**inputs, ROW_FLAGS: Type.BOOL, DONE: Type.INT, COMPLETE: Type.INT}, (), sink, where)

    b.windows |= {repr(e): column(n, t) for e, (n, t) in zip(found, own.items(), strict=True)}
    env = {n: column(n, types[n]) if n in types else t for n, t in shape.env.items()}
    env |= {n: column(n, t) for n, t in own.items()}
    after = replace(shape, env=env, inputs={**others, **types, **own}, ops=[], counted=False)
    return [*([] if at_once else [rows]), trailing], after


def _comes_with_row(e: Typed) -> bool:
    """Whether it is known from the row's key, time and end alone."""
    return all(n.fn in ("slot", "time", "end", "sub") for n in e.walk())


def _bound(b: Expressions, shape: Shape, e: Expr, name: str) -> WindowAgg:
    """The aggregate of a window, as the hidden column ``name``."""
    agg = agg_in(e)
    form = signature_of(agg.fn)
    no = f"{agg.fn}(...).trailing"
    if agg.fn == "duration" or (form is not None and form.of_intervals):
        raise b.fail(
            f"{no}: {agg.fn} measures how long rows last, and a window would have to cut them; put the lengths into a "
            "column and take their sum: df.sum('duration').trailing(...)"
        )
    found = b.aggregate("trailing", agg, shape)
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
    return WindowAgg(replace(found, name=name), length, rows)


def _of_columns(a: BoundAgg, names: Mapping[str, str]) -> BoundAgg:
    """The aggregate with columns for its arguments and conditions."""

    def named(e: Typed) -> Typed:
        found = names.get(repr(e))
        return e if found is None else column(found, e.type or Type.BOOL)

    argument, other = (None if e is None else named(e) for e in (a.argument, a.other))
    return replace(a, argument=argument, other=other, where=tuple(map(named, a.where)))
