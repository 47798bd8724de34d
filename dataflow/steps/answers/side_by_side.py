"""``df.join``: the answers of two metrics side by side."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dataflow.binding.typing import Expressions, Shape
from dataflow.expressions.call_text import given
from dataflow.expressions.node import quoted
from dataflow.json import fields as json
from dataflow.plan.stages import JoinedAnswer
from dataflow.steps.answers.inner_metric import inner_steps, inner_text
from dataflow.steps.answers.join_answer import check_key_types, new_names
from dataflow.steps.base import TABLE, Bound, InnerMetric, Step
from dataflow.tables.answer_tables import AnswerIndex, AnswerTable, answer_in
from dataflow.tables.reference_tables import ReferenceTable
from dataflow.typed.nodes import column


def joined_text(parts: list[str], other: str, on: Sequence[str], how: str, suffix: str | None) -> list[str]:
    """The text of ``df.join`` of the metric that ``parts`` are and of another one or a table."""
    listed = quoted(on[0]) if len(on) == 1 else f"[{', '.join(map(quoted, on))}]"
    options = given({"how": (how, "full"), "suffix": (suffix, None)})
    return [f"df.join({', '.join([''.join(parts), other, f'on={listed}', *options])})"]


@dataclass(frozen=True, eq=False)
class SideBySide(Step, op="side_by_side"):
    """The rows before it and the answer of ``metric``, joined on equal columns; ``how`` is full, left or inner."""

    metric: tuple[Step, ...] = inner_steps()
    on: tuple[str, ...] = json.names("on")
    how: str = json.choice("full", "left", "inner")
    suffix: str | None = json.optional_text()

    makes = TABLE
    takes_table = True

    @property
    def method(self) -> str:
        """See Step."""
        return "df.join"

    def tables(self) -> list[ReferenceTable]:
        """See Step."""
        return [table for step in self.metric for table in step.tables()]

    def after(self, parts: list[str]) -> list[str]:
        """See Step."""
        return joined_text(parts, inner_text(self.metric), self.on, self.how, self.suffix)

    def inner(self, before: Sequence[Step]) -> tuple[InnerMetric, ...]:
        """See Step."""
        return (InnerMetric(self.metric),)

    def answered(self, answers: Sequence[AnswerTable]) -> tuple[Step, ...]:
        """See Step."""
        columns = tuple((name, name) for name in answers[0].types if name not in self.on)
        return (BesideAnswer(answers[0], self.on, self.how, columns, self.method, self.suffix),)

    def bind(self, b: Expressions, shape: Shape) -> Bound:
        """See Step."""
        raise b.fail("its metric has to be answered first; ask a store")


@dataclass(frozen=True, eq=False)
class BesideAnswer(Step, op="beside_answer"):
    """A table and an answer, joined on equal columns: the answer's ``columns`` as (new name, name) pairs."""

    table: AnswerTable = json.field_of(AnswerTable.to_dict, answer_in)
    on: tuple[str, ...] = json.names("on")
    how: str = json.choice("full", "left", "inner")
    columns: tuple[tuple[str, str], ...] = json.pairs("name", "of")
    made_by: str = json.text()
    """The method that joined them."""

    suffix: str | None = json.optional_text()

    makes = TABLE
    takes_table = True
    mixes_answers = True

    @property
    def method(self) -> str:
        """See Step."""
        return self.made_by

    def bind(self, b: Expressions, shape: Shape) -> Bound:
        """See Step."""
        kinds = {name: b.lookup(name, shape).type for name in self.on}
        check_key_types(b, self.table.types, kinds)
        names = new_names(b, self.columns, self.suffix, list(shape.env))
        types = dict(shape.inputs) | {name: self.table.types[of] for name, of in names.items()}
        index = AnswerIndex.of(self.table, self.on, True, b.where)
        table = Shape("table", {n: column(n, t) for n, t in types.items()}, types, by=self.on)
        return Bound(table, after=[JoinedAnswer(index, self.how, tuple(names.items()), b.where)])
