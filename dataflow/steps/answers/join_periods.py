"""``join`` with another metric whose rows are valid from one time to another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from dataflow.binding.typing import Expressions, Shape
from dataflow.expressions.aggregate_calls import column_or
from dataflow.expressions.call_text import call, given
from dataflow.expressions.expr import Expr
from dataflow.expressions.node import quoted
from dataflow.json import fields as json
from dataflow.json.errors import JsonFormError
from dataflow.json.reading import Reader
from dataflow.steps.answers.inner_metric import inner_steps, inner_text
from dataflow.steps.base import Bound, InnerMetric, Step
from dataflow.steps.join import Join
from dataflow.tables.answer_tables import AnswerColumn, AnswerTable
from dataflow.tables.reference_tables import MAX_ROWS, ReferenceTable
from dataflow.tables.table_periods import TablePeriods
from dataflow.tables.table_sources import Column
from operators.errors import DataflowError
from operators.types import Type

_DURATION = "duration"
"""The length of a period, in the answer of intervals: not that of the rows that are joined."""


@dataclass(frozen=True, eq=False)
class JoinPeriods(Step, op="join_periods"):
    """Adds the columns of the answer's row whose ``key`` equals ``on`` and which is valid at the row's time.

    The answer becomes the reference table of a ``Join``.
    """

    metric: tuple[Step, ...] = inner_steps()
    on: Expr = json.expression()
    key: str = json.text()
    how: str = json.choice("left", "inner")
    valid_from: str | None = json.optional_text()
    valid_to: str | None = json.optional_text()

    in_timelines = True
    cuts_by_table = True

    @property
    def method(self) -> str:
        """See Step."""
        return "join"

    def check_form(self, reader: Reader, where: str) -> None:
        """See Step."""
        if self.valid_from is None and self.valid_to is None:
            raise JsonFormError(f"{where}: expected valid_from or valid_to")

    def tables(self) -> list[ReferenceTable]:
        """See Step."""
        return [table for step in self.metric for table in step.tables()]

    def calls(self) -> list[str]:
        """See Step."""
        same = self.on.fn == "col" and self.on.option("name") == self.key
        on = [f"on={column_or(self.on)}", *([] if same else [f"key={quoted(self.key)}"])]
        bounds = {"valid_from": (self.valid_from, None), "valid_to": (self.valid_to, None)}
        return [call("join", [inner_text(self.metric), *on, *given({"how": (self.how, "left"), **bounds})])]

    def inner(self, before: Sequence[Step]) -> tuple[InnerMetric, ...]:
        """See Step."""
        return (InnerMetric(self.metric),)

    def answered(self, answers: Sequence[AnswerTable]) -> tuple[Step, ...]:
        """See Step."""
        table = _as_reference(answers[0], self.key, [n for n in (self.valid_from, self.valid_to) if n is not None])
        return (Join(TablePeriods(table, self.key, self.valid_from, self.valid_to), self.on, self.how),)

    def bind(self, b: Expressions, shape: Shape) -> Bound:
        """See Step."""
        raise b.fail("its metric has to be answered first; ask a store")


def _as_reference(answer: AnswerTable, key: str, bounds: Sequence[str]) -> ReferenceTable:
    """The rows of an answer that have a key, without the lengths of intervals. DataflowError if they cannot be a
    reference table."""
    keys, times = answer.column(key, "join"), [answer.column(name, "join") for name in bounds]
    if other := next((c for c in times if c.type is not Type.TIME), None):
        raise DataflowError(f"join: {other.name!r} of the answer is {other.type}; valid_from and valid_to are times")
    rows = np.flatnonzero(keys.valid)
    if len(rows) > MAX_ROWS:
        raise DataflowError(
            f"join: the answer has {len(rows):,} rows; with valid_from or valid_to at most {MAX_ROWS:,}: filter it, "
            "or ask for a shorter range"
        )
    return ReferenceTable.of([_column(c, rows) for c in answer.columns if c.name != _DURATION or c.name in bounds])


def _column(c: AnswerColumn, rows: np.ndarray) -> Column:
    if c.type is Type.JSON:
        raise DataflowError(f"join: {c.name!r} of the answer is json, which rows cannot have; leave it out there")
    if c.type is Type.FLOAT and not np.isfinite(c.values[rows]).all():
        raise DataflowError(f"join: {c.name!r} of the answer is infinite in some rows; filter them out")
    return c.name, c.type, tuple(c.cell(row) for row in rows.tolist())  # type: ignore[misc]
