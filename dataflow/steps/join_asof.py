"""``join_asof``: to each row, the other rows' last one at or before its time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from dataflow.binding.typing import Expressions, Shape
from dataflow.expressions.call_text import call, given
from dataflow.json import fields as json
from dataflow.steps.base import Bound, InnerChain, Step
from dataflow.steps.union import (
    Steps,
    StreamPart,
    bound_part,
    check_keys,
    order_of_uses,
    steps_in,
    steps_out,
    steps_text,
)
from dataflow.tables.reference_tables import ReferenceTable
from dataflow.typed.nodes import Typed
from dataflow.typed.row_operations import AsOf, Branch


@dataclass(frozen=True, eq=False)
class JoinAsof(Step, op="join_asof"):
    """Adds the columns of the last row of ``other`` with the same key that is not later, nor older than
    ``tolerance``."""

    other: Steps = json.field_of(steps_out, steps_in)
    tolerance: int | None = json.length_if_given()
    suffix: str | None = json.optional_text()
    on: str | None = json.optional_text()

    looks_back = True

    @property
    def in_unions(self) -> bool:
        """See Step."""
        return True

    def streams(self) -> Iterator[str]:
        """See Step."""
        for step in self.other:
            yield from step.streams()

    def tables(self) -> list[ReferenceTable]:
        """See Step."""
        return [table for step in self.other for table in step.tables()]

    def chains(self) -> tuple[InnerChain, ...]:
        """See Step."""
        return (InnerChain(self.other, ()),)

    def with_chains(self, chains: Sequence[Steps]) -> Step:
        """See Step."""
        return replace(self, other=chains[0])

    def merge_order(self, first: int, before: Sequence[int]) -> list[int]:
        """See Step: a row sees the other rows of its own time."""
        return [*order_of_uses(self.other, first + len(before)), *before]

    def calls(self) -> list[str]:
        """See Step."""
        options = {"on": (self.on, None), "tolerance": (self.tolerance, None), "suffix": (self.suffix, None)}
        return [call("join_asof", [steps_text(self.other), *given(options)])]

    def bind(self, b: Expressions, shape: Shape) -> Bound:
        """See Step."""
        if shape.kind != "points":
            raise b.fail("it joins the points of streams; use it before windows, sessions, states and group_by")
        if not shape.counted:
            raise b.fail("the rows of both streams would be in the windows of trailing; use join_asof before")
        mine, where = b.stream, b.where
        names = list(dict.fromkeys(t.name for t in b.sources.taken))
        left = StreamPart(" and ".join(names), (), mine, shape)
        other = bound_part(b, self.other)
        b.stream, b.where = mine, where
        check_keys(b, left, other)
        if self.on is not None and self.on != mine.key:
            raise b.fail(
                f"it joins by the key, which is {mine.key!r}; to join by {self.on!r}, ingest both streams with that "
                "key, or join what was so at each time: .join(df.stream(...).state_duration('x'), "
                f"on={self.on!r}, valid_from='start', valid_to='end')"
            )
        number = next(b.sites)
        values = other.columns()
        columns: dict[str, Typed] = {}
        for j, (name, value) in enumerate(values.items()):
            shown = self._name(b, name, shape, columns, left, other)
            options = (("column", j), ("join", number), ("name", shown), ("tolerance", self.tolerance))
            columns[shown] = Typed("as_of", value.type, (), options)
        branch = Branch(other.inputs, tuple(other.shape.ops), tuple(values.values()))
        # The other rows end here, so what follows sees only the rows that are joined.
        shape.ops[:] = [AsOf(branch, tuple(columns.values()), self.tolerance), *shape.ops]
        shape.inputs = {**shape.inputs, **other.shape.inputs}
        shape.env = {**shape.env, **columns}
        return Bound(shape)

    def _name(
        self, b: Expressions, name: str, shape: Shape, columns: dict[str, Typed], left: StreamPart, other: StreamPart
    ) -> str:
        """The name of one of the other rows' columns."""
        taken = {*shape.env, b.stream.key, b.stream.time}
        shown = name if self.suffix is None or name not in taken else name + self.suffix
        if shown in taken or shown in columns:
            raise b.fail(
                f"there is a column {shown!r} in {left.name} and in {other.name}: give suffix= another text, or rename "
                "one with select"
            )
        return shown
