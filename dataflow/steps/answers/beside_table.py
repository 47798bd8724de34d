"""``df.join`` with a reference table: the answer of a metric and the rows of the table side by side."""

from __future__ import annotations

from dataclasses import dataclass

from dataflow.binding.typing import Expressions, Shape
from dataflow.json import fields as json
from dataflow.steps.answers.side_by_side import BesideAnswer, joined_text
from dataflow.steps.base import TABLE, Bound, Step
from dataflow.tables.answer_tables import AnswerTable
from dataflow.tables.reference_tables import ReferenceTable, check_times
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
        return joined_text(parts, table_text(self.table), self.on, self.how, self.suffix)

    def bind(self, b: Expressions, shape: Shape) -> Bound:
        """See Step."""
        for name in self.on:
            self.table.column(name, b.where)
        check_times(self.table, b.where)
        columns = tuple((name, name) for name, _, _ in self.table.columns if name not in self.on)
        answer = AnswerTable.of(self.table.columns)
        return BesideAnswer(answer, self.on, self.how, columns, self.method, self.suffix).bind(b, shape)
