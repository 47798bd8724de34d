"""``group_by(...).agg(...)``: aggregates over the rows of groups."""

from __future__ import annotations

from dataclasses import dataclass

from dataflow.binding.interval_cuts import cut_by
from dataflow.binding.other_rows import add_values
from dataflow.binding.typing import Expressions, Shape
from dataflow.expressions.aggregate_calls import Named, NamedAggs
from dataflow.expressions.call_text import aggs_text, call, columns_text
from dataflow.json import fields as json
from dataflow.json.reading import Reader, check_distinct
from dataflow.plan.properties import stage_of_inputs
from dataflow.sinks.group_sink import Group
from dataflow.steps.base import TABLE, Bound, Step, StepGroups
from dataflow.typed.clock import asks_clock
from dataflow.typed.nodes import Typed, column
from operators.types import Type


@dataclass(frozen=True, eq=False)
class GroupBy(Step, op="group_by"):
    """Aggregates over all rows with equal values of ``by``; ``empty`` adds time buckets without rows."""

    by: Named = json.columns()
    aggs: NamedAggs = json.aggregates()
    empty: bool = json.flag()

    makes = TABLE
    takes_windows = False

    def check_form(self, reader: Reader, where: str) -> None:
        """See Step."""
        check_distinct([n for n, _ in self.by] + [n for n, _ in self.aggs], where)

    def groups(self) -> StepGroups:
        """See Step."""
        return StepGroups(self.by, self.aggs)

    def calls(self) -> list[str]:
        """See Step."""
        grouping = grouping_calls(self.by, self.empty) if self.by or self.empty else []
        return [*grouping, call("agg", aggs_text(self.aggs))]

    def bind(self, b: Expressions, shape: Shape) -> Bound:
        """See Step."""
        cuts = shape.kind == "intervals" and any(asks_clock(e) for _, e in self.by)
        windows, shape = add_values(b, shape, self.by if cuts else (self.by, self.aggs))
        filled, bucket = self._bucket_column(b, shape) if self.empty else (None, None)
        stages, shape, columns = cut_by(b, shape, [e for _, e in self.by])
        if cuts:
            # What the aggregates look at are the pieces.
            of_pieces, shape = add_values(b, shape, self.aggs, again=True)
            stages += of_pieces
        by = []
        for i, (name, e) in enumerate(self.by):
            typed = columns.get(i) or b.typed(e, shape)
            if typed.type is None:
                raise b.fail(f"the group column {name!r} is always null")
            if typed.type is Type.JSON:
                raise b.fail(f"the group column {name!r} is json, which can be shown, but not grouped by")
            by.append((name, typed))
        b.fix_all([t for _, t in by], shape)
        aggs = b.aggregates(self.aggs, shape)
        b.tally_groups([t for _, t in by], aggs, shape)
        sink = Group(tuple(by), aggs, shape.kind == "intervals", shape.kind == "points", filled, bucket)
        out: dict[str, Type] = {n: t.type for n, t in by if t.type is not None}
        out |= {a.name: a.aggregate.result for a in aggs}
        stage = stage_of_inputs(shape.inputs, shape.ops, sink, b.where)
        table = Shape("table", {n: column(n, t) for n, t in out.items()}, dict(out), by=tuple(n for n, _ in by))
        return Bound(table, [*windows, *stages], stage, order=tuple(n for n, _ in self.by))

    def _bucket_column(self, b: Expressions, shape: Shape) -> tuple[int, Typed]:
        """The number of the only group column that is a time bucket, and its expression."""
        by = [b.typed(e, shape) for _, e in self.by]
        found = [j for j, e in enumerate(by) if e.fn == "truncate" and e.args[0].fn in ("time", "now")]
        if len(found) != 1:
            raise b.fail("empty buckets need one group column that is a df.time().truncate(...), at the first group_by")
        return found[0], by[found[0]]


def grouping_calls(by: Named, empty: bool) -> list[str]:
    """The calls of a ``group_by``, up to its ``agg``."""
    return [call("group_by", columns_text(by)), *([".with_empty_buckets()"] if empty else [])]
