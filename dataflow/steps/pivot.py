"""``pivot``: the values of a column become columns."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from dataflow.binding.typing import Expressions, Shape
from dataflow.expressions.aggregate_calls import Agg, distinct_names
from dataflow.expressions.call_text import call, given
from dataflow.expressions.expr import Expr
from dataflow.expressions.node import operand, quoted
from dataflow.json import fields as json
from dataflow.json.errors import JsonFormError
from dataflow.json.reading import Reader
from dataflow.json.writing import agg_out
from dataflow.plan.properties import stage_of_inputs
from dataflow.plan.stages import TableStep
from dataflow.plan.table_functions import Spread, SpreadColumn, ValueNumber
from dataflow.sinks.group_sink import Group
from dataflow.steps.base import TABLE, Bound, Step
from dataflow.typed.nodes import column
from operators.types import Type

MOST_VALUES = 500
"""The largest number of declared values."""

_NUMBER, _AGGREGATE = "$number", "$of"

Of = Agg | tuple[str, ...]


def _of_in(reader: Reader, value: Any, where: str) -> Of:
    if isinstance(value, dict):
        return reader.agg(value, where)
    return tuple(reader.text(n, f"{where}[{i}]") for i, n in enumerate(reader.rows(value, where)))


@dataclass(frozen=True, eq=False)
class Pivot(Step, op="pivot"):
    """A column for each of ``values`` (constants) of the column ``on``, with what the columns ``of`` have there (none
    listed: all that rows are not grouped by), or an aggregate of the rows. ``other`` is a column for all other values.
    """

    on: str = json.text()
    values: tuple[Expr, ...] = json.expressions(1, MOST_VALUES)
    of: Of = json.field_of(lambda of: agg_out(of) if isinstance(of, Agg) else list(of), _of_in, ())
    other: str | None = json.optional_text()

    makes = TABLE
    takes_table = True

    def check_form(self, reader: Reader, where: str) -> None:
        """See Step."""
        if any(e.fn != "lit" for e in self.values):
            raise JsonFormError(f"{where}.values: expected constants")

    @property
    def spreads(self) -> str:
        """See Step."""
        return self.on

    def bind(self, b: Expressions, shape: Shape) -> Bound:
        """See Step."""
        values = self._checked_values(b, shape)
        per = tuple(n for n in shape.by if n in shape.env and n != self.on)
        steps: list[TableStep] = [ValueNumber(_NUMBER, self.on, tuple(values), self.other is not None, b.where)]
        if isinstance(self.of, Agg):
            agg = replace(b.aggregate("of", self.of, shape), name=_AGGREGATE)
            by = tuple(
                (n, column(n, kind)) for n, kind in {**shape.inputs, _NUMBER: Type.INT}.items() if n in (*per, _NUMBER)
            )
            inputs = {**shape.inputs, _NUMBER: Type.INT}
            steps.append(stage_of_inputs(inputs, (), Group(by, (agg,), False, False), b.where))
            kinds = {_AGGREGATE: agg.aggregate.result}
        else:
            names = self.of or tuple(n for n in shape.env if n not in (*per, self.on))
            if wrong := [n for n in names if n in (*per, self.on)]:
                raise b.fail(f"of={wrong[0]!r}: the rows are grouped by that column")
            kinds = {n: b.lookup(n, shape).type or Type.INT for n in names}
        if not kinds:
            raise b.fail("there is no column besides those that rows are grouped by; give of=, for example df.count()")
        labels = [*map(column_of_value, values), *([] if self.other is None else [self.other])]
        columns = tuple(
            SpreadColumn(label if len(kinds) == 1 else f"{label}_{n}", i, n, kind)
            for i, label in enumerate(labels)
            for n, kind in kinds.items()
        )
        if (twice := distinct_names([*per, *(c.name for c in columns)])) is not None:
            raise b.fail(f"there would be two columns {twice!r}; rename one before, or choose another name for other=")
        steps.append(Spread(_NUMBER, per, columns, b.where))
        out = {n: shape.inputs[n] for n in per} | {c.name: c.kind for c in columns}
        return Bound(Shape("table", {n: column(n, t) for n, t in out.items()}, out, by=per), after=steps)

    def _checked_values(self, b: Expressions, shape: Shape) -> list[Any]:
        kind = b.lookup(self.on, shape).type
        if kind not in (Type.STRING, Type.INT, Type.BOOL):
            raise b.fail(f"{self.on!r} is of type {kind}; pivot takes a column of texts, integers or booleans")
        for e in self.values:
            if e.option("type") not in (kind, "null"):
                raise b.fail(f"{operand(e)} is of type {e.option('type')}, but {self.on!r} is of type {kind}")
        return [e.option("value") for e in self.values]

    def calls(self) -> list[str]:
        """See Step."""
        of = repr(self.of) if isinstance(self.of, Agg) else _names(self.of)
        values = f"values=[{', '.join(map(operand, self.values))}]"
        named = [f"of={of}"] if of else []
        return [call("pivot", [quoted(self.on), values, *named, *given({"other": (self.other, None)})])]


def column_of_value(value: object) -> str:
    """The name of the column for a value."""
    if value is None or value == "":
        return "null" if value is None else "empty"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _names(names: tuple[str, ...]) -> str:
    return quoted(names[0]) if len(names) == 1 else f"[{', '.join(map(quoted, names))}]" if names else ""
