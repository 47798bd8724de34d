"""``dedupe``: rows without those that repeat a value of their key soon after."""

from __future__ import annotations

from dataclasses import dataclass

from dataflow.binding.typing import Expressions, Shape
from dataflow.expressions.aggregate_calls import column_or
from dataflow.expressions.call_text import call, given
from dataflow.expressions.expr import Expr
from dataflow.json import fields as json
from dataflow.steps.base import Bound, Step
from dataflow.typed.clock import is_moving
from dataflow.typed.nodes import Typed
from dataflow.typed.row_operations import Keep
from operators.types import Type


@dataclass(frozen=True, eq=False)
class Dedupe(Step, op="dedupe"):
    """Drop the rows with a value of ``of`` that a row of the key had which was kept at most ``within`` microseconds
    before."""

    of: Expr = json.expression()
    within: int = json.length()

    in_timelines = True
    looks_back = True

    def bind(self, b: Expressions, shape: Shape) -> Bound:
        """See Step."""
        if shape.kind == "table" or not shape.keyed:
            raise b.fail(
                "it needs the rows of each key in time order; it cannot follow group_by, sort or limit, nor "
                "window(by=), concurrent or at_least, whose rows have no key"
            )
        value = b.typed(self.of, shape)
        if value.type is None:
            raise b.fail("the values are always null; there is nothing that could repeat")
        if is_moving(value):
            raise b.fail("df.time() is the clock at every instant of an interval; put it into a column first")
        b.fix_all([value], shape)
        kept = Typed("apart", Type.BOOL, (value,), (("within", self.within),), next(b.sites))
        b.fix_all([kept], shape)
        shape.ops.append(Keep(kept))
        shape.filtered = b.where
        return Bound(shape)

    def calls(self) -> list[str]:
        """See Step."""
        return [call("dedupe", [column_or(self.of), *given({"within": (self.within, None)})])]
