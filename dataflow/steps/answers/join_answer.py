"""``join`` with another metric: adds the columns of its answer to the rows with the same values in key columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from dataflow.binding.interval_cuts import cut_by
from dataflow.binding.typing import Expressions, Shape
from dataflow.expressions.aggregate_calls import Named, column_or
from dataflow.expressions.call_text import call, given
from dataflow.expressions.node import quoted
from dataflow.json import fields as json
from dataflow.json.errors import JsonFormError
from dataflow.json.reading import Reader
from dataflow.steps.answers.inner_metric import inner_steps, inner_text
from dataflow.steps.base import Bound, InnerMetric, Step
from dataflow.tables.answer_tables import AnswerIndex, AnswerTable, answer_in
from dataflow.tables.reference_tables import ReferenceTable
from dataflow.typed.hidden_columns import OVER
from dataflow.typed.nodes import Typed
from dataflow.typed.row_operations import Keep
from operators.types import Type


def on_text(on: Named) -> list[str]:
    """The arguments that say which columns are compared."""
    same = all(e.fn == "col" and e.option("name") == name for name, e in on)
    texts = [column_or(e) for _, e in on]
    names = [quoted(name) for name, _ in on]
    listed = [t[0] if len(t) == 1 else f"[{', '.join(t)}]" for t in (texts, names)]
    return [f"on={listed[0]}", *([] if same else [f"key={listed[1]}"])]


@dataclass(frozen=True, eq=False)
class JoinMetric(Step, op="join_metric"):
    """Adds the columns of the answer of ``metric`` whose columns are equal to the expressions ``on``.

    ``suffix`` is added to the names that rows have already; None: they are an error.
    """

    metric: tuple[Step, ...] = inner_steps()
    on: Named = json.columns()
    how: str = json.choice("left", "inner")
    suffix: str | None = json.optional_text()

    in_timelines = True

    @property
    def method(self) -> str:
        """See Step."""
        return "join"

    def check_form(self, reader: Reader, where: str) -> None:
        """See Step."""
        if not self.on:
            raise JsonFormError(f"{where}.on: expected at least one column")

    def tables(self) -> list[ReferenceTable]:
        """See Step."""
        return [table for step in self.metric for table in step.tables()]

    def calls(self) -> list[str]:
        """See Step."""
        options = given({"how": (self.how, "left"), "suffix": (self.suffix, None)})
        return [call("join", [inner_text(self.metric), *on_text(self.on), *options])]

    def inner(self, before: Sequence[Step]) -> tuple[InnerMetric, ...]:
        """See Step."""
        return (InnerMetric(self.metric),)

    def answered(self, answers: Sequence[AnswerTable]) -> tuple[Step, ...]:
        """See Step."""
        own = [name for name, _ in self.on]
        columns = tuple((name, name) for name in answers[0].types if name not in own)
        return (JoinAnswer(answers[0], self.on, self.how, columns, self.suffix),)

    def bind(self, b: Expressions, shape: Shape) -> Bound:
        """See Step."""
        raise b.fail("its metric has to be answered first; ask a store")


@dataclass(frozen=True, eq=False)
class JoinAnswer(Step, op="join_answer"):
    """``join`` with an answer: its ``columns`` as (new name, name) pairs. ``nulls``: null equals null."""

    table: AnswerTable = json.field_of(AnswerTable.to_dict, answer_in)
    on: Named = json.columns()
    how: str = json.choice("left", "inner")
    columns: tuple[tuple[str, str], ...] = json.pairs("name", "of")
    suffix: str | None = json.optional_text()
    nulls: bool = json.flag()

    in_timelines = True

    @property
    def method(self) -> str:
        """See Step."""
        return "join"

    @property
    def is_numbered(self) -> bool:
        """See Step."""
        return not all(name.startswith(OVER) for name, _ in self.columns)

    def calls(self) -> list[str]:
        """See Step."""
        return [call("join", [f"<{self.table!r}>", *on_text(self.on), *given({"how": (self.how, "left")})])]

    def bind(self, b: Expressions, shape: Shape) -> Bound:
        """See Step."""
        index = AnswerIndex.of(self.table, [name for name, _ in self.on], self.nulls, b.where)
        names = new_names(b, self.columns, self.suffix, [*shape.env, "start", "end", "duration"])
        stages, shape, cut = cut_by(b, shape, [e for _, e in self.on])
        keys = [cut.get(i) or b.typed(e, shape) for i, (_, e) in enumerate(self.on)]
        check_key_types(b, self.table.types, {name: key.type for (name, _), key in zip(self.on, keys, strict=True)})
        found = Typed("answer_row", Type.INT, tuple(keys), (("in", index),), next(b.sites))
        b.fix_all([found], shape)
        if self.how == "inner":
            shape.ops.append(Keep(Typed("is_not_null", Type.BOOL, (found,))))
            shape.filtered = b.where
        kinds = self.table.types
        added = {
            name: Typed("pick", kinds[of], (found,), (("column", of), ("in", index))) for name, of in names.items()
        }
        return Bound(replace(shape, env=shape.env | added), stages)


def new_names(
    b: Expressions, columns: Sequence[tuple[str, str]], suffix: str | None, there: Sequence[str]
) -> dict[str, str]:
    """The names of the columns that an answer adds, and those that they have in it."""
    out: dict[str, str] = {}
    for name, of in columns:
        new = name + suffix if name in there and suffix is not None else name
        if new in there or new in out:
            cure = "rename it in the metric, or set suffix=" if suffix is None else "set another suffix="
            raise b.fail(f"there is already a column {new!r}; {cure}")
        out[new] = of
    return out


def check_key_types(b: Expressions, answer: Mapping[str, Type], rows: Mapping[str, Type | None]) -> None:
    """GraphError for key columns whose types differ, or that cannot be compared."""
    for name, kind in rows.items():
        if name not in answer:
            raise b.fail(f"on: the answer has no column {name!r}; it has {', '.join(answer)}")
        if kind is not answer[name]:
            raise b.fail(f"on: the answer's {name!r} is {answer[name]}, but the rows' value is {kind or 'only null'}")
        if kind is Type.JSON:
            raise b.fail(f"on: {name!r} is json, which can be shown, but not compared")
