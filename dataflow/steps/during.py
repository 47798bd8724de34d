"""``during`` and ``outside``: rows or parts of intervals inside or outside of periods."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dataflow.binding.interval_cuts import cut_by
from dataflow.binding.period_lookups import at_instants, cut_at_periods, lookup
from dataflow.binding.typing import Expressions, Shape
from dataflow.expressions.call_text import call
from dataflow.expressions.expr import Expr
from dataflow.json.errors import JsonFormError
from dataflow.json.reading import Reader
from dataflow.json.writing import expr_out
from dataflow.steps.base import Bound, Step
from dataflow.tables.calendars import Calendar
from dataflow.tables.reference_tables import Index, ReferenceTable, indexed
from dataflow.tables.table_periods import (
    TablePeriods,
    calendar_in,
    calendar_out,
    calendar_text,
    periods_text,
    table_periods_in,
    table_periods_out,
)
from dataflow.typed.nodes import Typed
from dataflow.typed.row_operations import Keep
from operators.types import Type


@dataclass(frozen=True, eq=False)
class During(Step, op="during"):
    """Rows or parts of intervals ``inside`` or outside of periods; ``on`` selects the periods of a table."""

    periods: Calendar | TablePeriods
    on: Expr | None
    inside: bool

    in_timelines = True
    cuts_by_table = True

    @property
    def method(self) -> str:
        """See Step."""
        return "during" if self.inside else "outside"

    def to_fields(self) -> dict[str, Any]:
        """See Step."""
        return {
            "calendar": calendar_out(self.periods) if isinstance(self.periods, Calendar) else None,
            "windows": table_periods_out(self.periods) if isinstance(self.periods, TablePeriods) else None,
            "on": None if self.on is None else expr_out(self.on),
            "inside": self.inside,
        }

    @classmethod
    def json_fields(cls) -> tuple[list[str], list[str]]:
        """See Step."""
        return ["calendar", "windows", "on", "inside"], []

    @classmethod
    def from_fields(cls, reader: Reader, d: Mapping[str, Any], where: str) -> During:
        """See Step."""
        if not isinstance(d["inside"], bool):
            raise JsonFormError(f"{where}.inside: expected true or false")
        if (d["calendar"] is None) == (d["windows"] is None) or (d["on"] is None) != (d["windows"] is None):
            raise JsonFormError(f"{where}: expected either a calendar, or windows and on")
        if d["calendar"] is not None:
            return cls(calendar_in(reader, d["calendar"], f"{where}.calendar"), None, d["inside"])
        periods = table_periods_in(reader, d["windows"], f"{where}.windows", merge=True)
        return cls(periods, reader.expr(d["on"], f"{where}.on"), d["inside"])

    def tables(self) -> list[ReferenceTable]:
        """See Step."""
        return [self.periods.table] if isinstance(self.periods, TablePeriods) else []

    def calls(self) -> list[str]:
        """See Step."""
        p = self.periods
        return [call(self.method, [calendar_text(p)] if isinstance(p, Calendar) else periods_text(p, self.on))]

    def bind(self, b: Expressions, shape: Shape) -> Bound:
        """See Step."""
        if shape.kind == "table":
            raise b.fail("rows have no time after group_by; use it before")
        periods: Index | Calendar
        if isinstance(self.periods, Calendar):
            periods = self.periods
        else:
            w = self.periods
            periods = indexed(w.table, w.key, w.valid_from, w.valid_to, b.where, True)
        stages, shape, columns = cut_by(b, shape, [self.on])
        found = lookup(b, periods, self.on, shape, columns.get(0))
        test = "is_not_null" if self.inside else "is_null"
        if shape.kind == "intervals":
            stage, shape = cut_at_periods(b, shape, {}, [Typed(test, Type.BOOL, (at_instants(found),))])
            return Bound(shape, [*stages, stage])
        b.fix_all([found], shape)
        shape.ops.append(Keep(Typed(test, Type.BOOL, (found,))))
        shape.filtered = b.where
        return Bound(shape)
