"""The base of steps that follow each key through time and make new rows."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from dataflow.binding.interval_cuts import own_columns
from dataflow.binding.typing import Expressions, Shape
from dataflow.plan.properties import stage_of_inputs
from dataflow.plan.sink import NamedTyped, Sink
from dataflow.plan.stages import Stage
from dataflow.steps.base import ROWS, Bound, Step
from dataflow.typed.clock import asks_clock
from dataflow.typed.hidden_columns import END
from dataflow.typed.nodes import Typed, column
from operators.types import Type


@dataclass(frozen=True)
class KeyedRows:
    """The rows of a step: their ``kind``, the step's own columns, and its sink as a function of the columns to hold and
    of those needed later. ``hidden``: further columns of the rows."""

    kind: str
    columns: Mapping[str, Type]
    sink: Callable[[NamedTyped, set[str]], Sink]
    hidden: Mapping[str, Type]


class KeyedStep(Step):
    """A step that needs each key's rows in time order."""

    makes = ROWS

    @abstractmethod
    def rows(self, b: Expressions, shape: Shape, own: Mapping[str, Typed]) -> KeyedRows:
        """The rows that it makes; ``own`` are the columns that every row has."""

    def bind(self, b: Expressions, shape: Shape) -> Bound:
        """See Step."""
        if shape.kind == "table" or not shape.keyed:
            raise b.fail(
                "it needs the points of each key in time order; it cannot follow group_by, sort or limit, nor "
                "window(by=), concurrent or at_least, whose rows have no key"
            )
        if shape.kind == "intervals" and asks_clock(self):
            raise b.fail(
                "its rows are intervals, on which df.time() is the clock at every instant; put the expression into a "
                "column with with_columns before, which cuts the intervals, or use col('start')"
            )
        key, where = b.stream.key, b.where
        held = {n: t for n, t in shape.env.items() if n not in (key, b.stream.time)}
        own = own_columns(b)
        if not self.has_length:
            # A row has a time and no length.
            del own["end"], own["duration"]
        found = self.rows(b, shape, own)
        own |= {n: column(n, t) for n, t in found.columns.items()}
        inputs = ({END: Type.TIME} if self.has_length else {}) | dict(found.columns) | dict(found.hidden)
        env = {n: column(n, t.type) for n, t in held.items() if t.type is not None} | own
        inputs |= {n: t.type for n, t in held.items() if t.type is not None and n not in own}
        before, ops = shape, list(shape.ops)

        def stage(needed: set[str]) -> Stage:
            kept = tuple((n, t) for n, t in held.items() if n in needed and n not in own)
            return stage_of_inputs(before.inputs, ops, found.sink(kept, needed), where)

        return Bound(Shape(found.kind, env, inputs, held=frozenset(held) - set(own)), [stage])
