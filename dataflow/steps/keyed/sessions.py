"""``sessionize``: runs of a key's points at most a gap apart."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dataflow.binding.typing import Expressions, Shape
from dataflow.expressions.aggregate_calls import NamedAggs
from dataflow.expressions.call_text import aggs_text, call, given, length_text
from dataflow.expressions.expr import Expr
from dataflow.expressions.node import operand, quoted
from dataflow.json import fields as json
from dataflow.plan.row_times import RowEnd, RowTimes
from dataflow.plan.sink import NamedTyped
from dataflow.steps.keyed.keyed_step import KeyedRows, KeyedStep
from dataflow.steps.keyed.segments import Segments, segment_columns
from dataflow.times.durations import written_duration
from dataflow.typed.nodes import Typed


@dataclass(frozen=True, eq=False)
class Sessionize(KeyedStep, op="sessionize"):
    """Runs of a key's points at most ``gap`` microseconds apart."""

    gap: int = json.length()
    max_length: int | None = json.optional_length()
    aggs: NamedAggs = json.aggregates()
    split_when: Expr | None = json.optional_expression()

    @property
    def row_times(self) -> RowTimes:
        """See Step."""
        lasts = None if self.max_length is None else self.max_length + self.gap
        # A point that is just the gap after the last one belongs to the session.
        return RowTimes((RowEnd("end", later=self.gap + 1),), lasts=lasts)

    def rows(self, b: Expressions, shape: Shape, own: Mapping[str, Typed]) -> KeyedRows:
        """See KeyedStep."""
        split = None
        if self.split_when is not None:
            split = b.condition(self.split_when, shape, "split_when")
            b.fix_all([split], shape)
        aggs, columns = segment_columns(b, shape, self.aggs, own, ("open_left", "open_right"))

        def sink(held: NamedTyped, needed: set[str]) -> Segments:
            wanted = tuple(a for a in aggs if a.name in needed)
            return Segments(self.gap, self.max_length, None, wanted, held, split)

        return KeyedRows("sessions", columns, sink, {})

    def calls(self) -> list[str]:
        """See Step."""
        options = given({"max_length": (length_text(self.max_length), None)})
        if self.split_when is not None:
            options.append(f"split_when={operand(self.split_when)}")
        return [call("sessionize", [quoted(written_duration(self.gap)), *options, *aggs_text(self.aggs)])]
