"""``fill``: values for nulls of a series, from the values around them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from dataflow.binding.typing import Expressions, Shape
from dataflow.expressions.call_text import call, given, length_text
from dataflow.expressions.expr import Expr, col, time, when
from dataflow.expressions.node import quoted
from dataflow.json import fields as json
from dataflow.json.reading import Reader, check_distinct
from dataflow.plan.stages import FillGaps
from dataflow.steps.base import TABLE, Bound, Step
from dataflow.typed.nodes import column
from operators.types import Type

METHODS = ("linear", "last", "next")

_AT = "$at"
"""The time of a row of a key, in a table that is filled."""


def _by_in(reader: Reader, value: Any, where: str) -> tuple[str, ...] | None:
    if value is None:
        return None
    names = tuple(reader.text(n, f"{where}[{i}]") for i, n in enumerate(reader.rows(value, where)))
    check_distinct(names, where)
    return names


@dataclass(frozen=True, eq=False)
class Fill(Step, op="fill"):
    """Fill nulls of ``names``: along straight lines over time, or with the last value before, or the next one after;
    from values at most ``within`` microseconds away, or lines that are at most so long.

    A series is the rows of a key; of a table, the rows with equal values of ``by``, ordered by ``start``.
    """

    names: tuple[str, ...] = json.names("columns")
    fill_method: str = json.choice(*METHODS)
    by: tuple[str, ...] | None = json.field_of(lambda by: None if by is None else list(by), _by_in)
    within: int | None = json.length_if_given()

    makes = TABLE
    takes_table = True

    def calls(self) -> list[str]:
        """See Step."""
        by = [] if self.by is None else [f"by=[{', '.join(map(quoted, self.by))}]"]
        within = given({"within": (length_text(self.within), None)})
        return [call("fill", [*map(quoted, self.names), f"method={quoted(self.fill_method)}", *by, *within])]

    def prepare(self, b: Expressions, shape: Shape) -> None:
        """See Step: the last values before each row, also before the range, with their times."""
        if shape.kind == "table":
            return
        if shape.kind == "intervals":
            raise b.fail("it takes points, windows or a table; of intervals the value is known at every time")
        if self.by is not None:
            raise b.fail("by= is for a table; here a series is the rows of a key")
        for name in self.names:
            self._check(b, shape, name)
            reported = when(col(name).is_not_null()).then(time()).otherwise(None)
            for hidden, e in ((f"$left {name}", col(name)), (f"$when {name}", reported)):
                shape.env[hidden] = b.typed(Expr("last", (e,), (("hold", None),)), shape)
                b.fix_all([shape.env[hidden]], shape)
        shape.env[_AT] = b.typed(time(), shape)

    def _check(self, b: Expressions, shape: Shape, name: str) -> Type:
        """The type of the filled column."""
        kind = b.lookup(name, shape).type
        if kind is None or kind is Type.JSON:
            raise b.fail(f"{name!r} is {kind or 'always null'}, which cannot be filled")
        if self.fill_method != "linear" or kind is Type.DURATION:
            return kind
        if kind not in (Type.INT, Type.FLOAT) and kind.places is None:
            raise b.fail(f"{name!r} is {kind}; straight lines are for numbers and durations")
        return Type.FLOAT

    def bind(self, b: Expressions, shape: Shape) -> Bound:
        """See Step."""
        keyed = _AT in shape.env
        if not keyed and self.by is None:
            raise b.fail("of a table it takes by=: the columns whose values tell one series from another")
        by, at = ((b.stream.key,), _AT) if keyed else (self.by or (), "start")
        for name in by:
            b.lookup(name, shape)
        if at not in shape.env or b.lookup(at, shape).type is not Type.TIME:
            raise b.fail(
                "the rows of a table are filled in the order of their column 'start', a time; name the bucket so, "
                "group_by(start=df.time().truncate('1h'))"
            )
        if both := next((n for n in self.names if n in (*by, at)), None):
            raise b.fail(f"{both!r} cannot be filled, since it orders the rows")
        kinds = {name: self._check(b, shape, name) for name in self.names}
        types = {n: kinds.get(n, t.type) for n, t in shape.env.items() if not n.startswith("$") and t.type is not None}
        step = FillGaps(by, at, tuple(kinds.items()), self.fill_method, self.within)
        table = replace(shape, env={n: column(n, t) for n, t in types.items()}, inputs=types)
        return Bound(table, after=[step])
