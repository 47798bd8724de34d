"""``funnel_table``: a row for each step of a funnel."""

from __future__ import annotations

from dataclasses import dataclass

from dataflow.binding.typing import Expressions, Shape
from dataflow.expressions.aggregate_calls import Agg, Named, NamedAggs
from dataflow.expressions.call_text import call, columns_text
from dataflow.expressions.expr import Expr, col
from dataflow.json import fields as json
from dataflow.json.reading import Reader, check_distinct
from dataflow.plan.stages import StepRows
from dataflow.steps.base import TABLE, Bound, Step, StepGroups
from dataflow.steps.funnels.funnel import MAX_FUNNEL
from dataflow.steps.groups import GroupBy
from dataflow.typed.nodes import column
from operators.types import Type

_COLUMNS = {
    "step": Type.INT,
    "keys": Type.INT,
    "share_of_first": Type.FLOAT,
    "share_of_previous": Type.FLOAT,
    "median_time": Type.DURATION,
}


@dataclass(frozen=True, eq=False)
class FunnelTable(Step, op="funnel_table"):
    """Of the rows of a funnel with so many ``steps``, one row per step, for each group of ``by``."""

    by: Named = json.columns()
    steps: int = json.whole(2, MAX_FUNNEL)
    any_order: bool = json.flag()

    makes = TABLE

    def check_form(self, reader: Reader, where: str) -> None:
        """See Step."""
        check_distinct([n for n, _ in self.by], where)

    def groups(self) -> StepGroups:
        """See Step."""
        return StepGroups(self.by, (), counted_from=("step", col("steps")))

    def _aggs(self) -> NamedAggs:
        """Per step, the number of rows that met it, and the median time from the step before."""
        found = [("$keys_1", Agg("count"))]
        for n in range(2, self.steps + 1):
            took = self._time(n) - self._time(n - 1)
            found.append((f"$keys_{n}", Agg("count", (), col("steps") >= n)))
            found.append((f"$time_{n}", Agg("median", (took,))))
        return tuple(found)

    def _time(self, n: int) -> Expr:
        return col("start") if n == 1 else col(f"reached_{n}" if self.any_order else f"step_{n}")

    def calls(self) -> list[str]:
        """See Step."""
        return [call("funnel_table", columns_text(self.by))]

    def bind(self, b: Expressions, shape: Shape) -> Bound:
        """See Step."""
        if shape.kind != "funnels":
            raise b.fail("it needs the rows of a funnel; use it after .funnel([...], within)")
        for name, _ in self.by:
            if name in _COLUMNS:
                raise b.fail(f"a group column cannot be named {name!r}, which this step uses for its own column")
        bound = GroupBy(self.by, self._aggs()).bind(b, shape)
        kinds = {n: bound.shape.inputs[n] for n, _ in self.by} | _COLUMNS
        table = Shape("table", {n: column(n, t) for n, t in kinds.items()}, dict(kinds))
        rows = StepRows(tuple(n for n, _ in self.by), self.steps)
        return Bound(table, bound.stages, bound.stage, [rows], bound.order)
