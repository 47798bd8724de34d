"""Binds what an expression says of other rows of the key: before the step that uses it, stages that put it into hidden
columns."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace

from dataflow.binding.later_rows import add_later
from dataflow.binding.trailing_windows import add_trailing
from dataflow.binding.typing import Expressions, Shape
from dataflow.expressions.expr import Expr
from dataflow.expressions.functions import LOOKING
from dataflow.plan.stages import Deferred
from dataflow.typed.hidden_columns import WINDOW

_ADD = {"trailing": add_trailing, "leading": add_trailing, "next": add_later}


def add_values(b: Expressions, shape: Shape, step: object, again: bool = False) -> tuple[list[Deferred], Shape]:
    """The stages of the windows and of the later rows in the expressions of ``step``, the innermost first, and
    the rows with them.

    ``b.other_rows`` has their columns until the next call, unless that is for other expressions of the same step
    (``again``).
    """
    if not again:
        b.other_rows.clear()
        shape = replace(shape, env={n: t for n, t in shape.env.items() if not n.startswith(WINDOW)})
    stages: list[Deferred] = []
    while found := {repr(e): e for e in _asked_in(step) if repr(e) not in b.other_rows and not _waits(b, e)}:
        for add in dict.fromkeys(_ADD.values()):
            if same := [e for e in found.values() if _ADD[e.fn] is add]:
                added, shape = add(b, shape, same)
                stages += added
    return stages, shape


def _asked_in(part: object, inner: bool = False) -> Iterator[Expr]:
    """All such expressions in a step or in a part of one; not in the steps within it, which have rows of their own."""
    if isinstance(part, Expr):
        if part.fn in LOOKING:
            yield part
        for argument in part.args:
            yield from _asked_in(argument, True)
    elif isinstance(part, tuple):
        for item in part:
            yield from _asked_in(item, True)
    elif is_dataclass(part) and not (inner and hasattr(part, "op")):
        for f in fields(part):
            yield from _asked_in(getattr(part, f.name), True)


def _waits(b: Expressions, e: Expr) -> bool:
    """Whether it is of others that have no column yet."""
    return any(repr(inner) not in b.other_rows for a in e.args for inner in _asked_in(a))
