"""``df.join`` with a reference table: the answer of a metric and the rows of the table side by side."""

from __future__ import annotations

from dataclasses import dataclass

from dataflow.binding.typing import Expressions, Shape
from dataflow.expressions.call_text import given
from dataflow.expressions.node import quoted
from dataflow.json import fields as json
from dataflow.steps.answers.side_by_side import BesideAnswer
from dataflow.steps.base import TABLE, Bound, Step
from dataflow.tables.answer_tables import AnswerTable
from dataflow.tables.reference_tables import ReferenceTable
from dataflow.tables.table_periods import table_in, table_text


@dataclass(frozen=True, eq=False)
class BesideTable(Step, op="beside_table"):
    """The rows before it and those of ``table``, joined on equal columns; ``how`` is full, left or inner."""

    table: ReferenceTable = json.field_of(ReferenceTable.to_dict, table_in)
    on: tuple[str, ...] = json.names("on")
    how: str = json.choice("full", "left", "inner")
    suffix: str | None = json.optional_text()

    makes = TABLE
    takes_table = True
    mixes_answers = True

    @property
    def method(self) -> str:
        """See Step."""
        return "df.join"

    def tables(self) -> list[ReferenceTable]:
        """See Step."""
        return [self.table]

    def after(self, parts: list[str]) -> list[str]:
        """See Step."""
        listed = quoted(self.on[0]) if len(self.on) == 1 else f"[{', '.join(map(quoted, self.on))}]"
        options = given({"how": (self.how, "full"), "suffix": (self.suffix, None)})
        return [f"df.join({', '.join([''.join(parts), table_text(self.table), f'on={listed}', *options])})"]

    def bind(self, b: Expressions, shape: Shape) -> Bound:
        """See Step."""
        for name in self.on:
            self.table.column(name, b.where)
        columns = tuple((name, name) for name, _, _ in self.table.columns if name not in self.on)
        answer = AnswerTable.of(self.table.columns)
        return BesideAnswer(answer, self.on, self.how, columns, self.method, self.suffix).bind(b, shape)
