"""``join``: adds the attributes of a reference table that are valid at the row's time."""

from __future__ import annotations

from dataclasses import dataclass, replace

from dataflow.binding.interval_cuts import cut_by
from dataflow.binding.period_lookups import at_instants, cut_at_periods, lookup
from dataflow.binding.typing import Expressions, Shape
from dataflow.expressions.call_text import call, given
from dataflow.expressions.expr import Expr
from dataflow.json import fields as json
from dataflow.steps.base import Bound, Step
from dataflow.tables.reference_tables import ReferenceTable, indexed
from dataflow.tables.table_periods import TablePeriods, periods_text, table_periods_in, table_periods_out
from dataflow.typed.nodes import Typed, column
from dataflow.typed.row_operations import Keep
from operators.types import Type


@dataclass(frozen=True, eq=False)
class Join(Step, op="join"):
    """Adds the attributes of the reference table's row for ``on`` (and the time); ``how`` is left or inner."""

    windows: TablePeriods = json.field_of(
        table_periods_out, lambda r, v, where: table_periods_in(r, v, where, merge=False)
    )
    on: Expr = json.expression()
    how: str = json.choice("left", "inner")

    in_timelines = True
    cuts_by_table = True

    def tables(self) -> list[ReferenceTable]:
        """See Step."""
        return [self.windows.table]

    def calls(self) -> list[str]:
        """See Step."""
        return [call("join", [*periods_text(self.windows, self.on), *given({"how": (self.how, "left")})])]

    def bind(self, b: Expressions, shape: Shape) -> Bound:
        """See Step."""
        w = self.windows
        index = indexed(w.table, w.key, w.valid_from, w.valid_to, b.where)
        for name, _ in index.attributes:
            if name in shape.env or name in ("start", "end", "duration"):
                raise b.fail(f"there is already a column {name!r}; rename the one of the table, or of the metric")
        if index.timed and shape.kind == "table":
            raise b.fail("rows have no time after group_by; join before it")
        stages, shape, columns = cut_by(b, shape, [self.on])
        if index.timed and shape.kind == "intervals":
            found_at = at_instants(lookup(b, index, self.on, shape, columns.get(0)))
            row = f"$row{next(b.sites)}"
            kept = [] if self.how == "left" else [Typed("is_not_null", Type.BOOL, (found_at,))]
            stage, shape = cut_at_periods(b, shape, {row: found_at}, kept)
            stages.append(stage)
            found = column(row, Type.INT)
        else:
            found = lookup(b, index, self.on, shape, columns.get(0))
            b.fix_all([found], shape)
            if self.how == "inner":
                shape.ops.append(Keep(Typed("is_not_null", Type.BOOL, (found,))))
                shape.filtered = b.where
        attributes = {
            name: Typed("pick", kind, (found,), (("column", name), ("in", index))) for name, kind in index.attributes
        }
        return Bound(replace(shape, env=shape.env | attributes), stages)
