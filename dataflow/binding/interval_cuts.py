"""Binds cuts of intervals: by expressions of ``df.time()``, and by the periods of tables and calendars."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from dataflow.binding.typing import Expressions, Shape
from dataflow.expressions.expr import Expr
from dataflow.plan.properties import stage_of_inputs
from dataflow.plan.stages import Deferred, Stage
from dataflow.sinks.piece_sink import Pieces
from dataflow.typed.clock import asks_clock, sources_of
from dataflow.typed.hidden_columns import BEGIN, END, KNOWN
from dataflow.typed.nodes import Typed, column
from operators.types import Type


def own_columns(b: Expressions) -> dict[str, Typed]:
    """The columns that every row with a duration has."""
    return {
        b.stream.key: Typed("slot", b.stream.key_type),
        "start": Typed("time", Type.TIME),
        "end": Typed("end", Type.TIME),
        "duration": Typed("sub", Type.DURATION, (Typed("end", Type.TIME), Typed("time", Type.TIME))),
    }


def cut(
    b: Expressions,
    shape: Shape,
    watched: Mapping[str, Typed],
    conditions: Sequence[Typed] = (),
    *,
    by_clock: bool = True,
) -> tuple[Deferred, Shape]:
    """Cut intervals where a column of ``watched`` changes and keep the pieces where ``conditions`` hold.

    Returns the stage and the shape of the pieces. ``by_clock``: a column that nothing reads cuts nothing, and events at
    an interval's start count in its first piece only. Otherwise, for periods of tables and calendars, the cuts are
    always made, and the pieces are rows like any other.
    """
    moving = (*watched.values(), *conditions)
    sources_of(moving, b.fail)
    b.fix_all(moving, shape)
    own = own_columns(b)
    if not shape.keyed:
        del own[b.stream.key]
    kept = {n: t for n, t in shape.env.items() if n not in watched and (n not in own or own[n] != t)}
    types = {n: t.type for n, t in {**kept, **watched}.items() if t.type is not None}
    begin = {BEGIN: column(BEGIN, Type.TIME) if BEGIN in shape.inputs else Typed("time", Type.TIME)}
    passed = kept | (begin if by_clock or BEGIN in shape.inputs else {})
    where, before, ops = b.where, shape, list(shape.ops)

    def stage(needed: set[str]) -> Stage:
        columns = tuple((n, t) for n, t in passed.items() if n in needed)
        cuts = tuple((n, t) for n, t in watched.items() if n in needed or not by_clock)
        unread = tuple(n for n in watched if (n, watched[n]) not in cuts)
        return stage_of_inputs(before.inputs, ops, Pieces(columns, cuts, tuple(conditions), unread), where)

    env = {n: column(n, types[n]) if n in types else t for n, t in shape.env.items()}
    inputs = {END: Type.TIME, KNOWN: Type.INT, **types, **dict.fromkeys(passed.keys() & {BEGIN}, Type.TIME)}
    return stage, replace(shape, env=env, inputs=inputs, ops=[])


def cut_by(
    b: Expressions, shape: Shape, exprs: Sequence[Expr | None]
) -> tuple[list[Deferred], Shape, dict[int, Typed]]:
    """Cut intervals where one of the expressions that use the clock changes. Returns the stages to add, the pieces, and
    the columns of these expressions by their number in ``exprs``. Rows other than intervals have one time and stay
    whole."""
    if shape.kind != "intervals":
        return [], shape, {}
    watched: dict[str, Typed] = {}
    columns: dict[int, Typed] = {}
    for i, e in enumerate(exprs):
        if e is None or not asks_clock(e):
            continue
        typed = b.typed(e, shape)
        assert typed.type is not None
        name = f"$by{next(b.sites)}"
        watched[name], columns[i] = typed, column(name, typed.type)
    if not watched:
        return [], shape, {}
    stage, shape = cut(b, shape, watched)
    return [stage], shape, columns
