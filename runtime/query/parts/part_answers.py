"""Results as tables that a metric takes."""

from __future__ import annotations

import numpy as np

from dataflow.tables.answer_tables import MAX_ANSWER_BYTES, MAX_ANSWER_ROWS, AnswerColumn, AnswerTable
from operators.types import Type
from runtime.columns import Column
from runtime.errors import QueryError
from runtime.result.result import Result


def answer_of(result: Result, where: str) -> AnswerTable:
    """The answer of the metric in the step ``where``; QueryError if it is too large to be a table."""
    rows = len(result)
    size = sum(c.values.nbytes + rows + (0 if c.words is None else len(c.words.blob)) for c in result.columns.values())
    for what, found, most in (("rows", rows, MAX_ANSWER_ROWS), ("bytes", size, MAX_ANSWER_BYTES)):
        if found > most:
            raise QueryError(
                f"{where}: the answer of its metric has {found:,} {what}, and may have {most:,}: group it by less, "
                "filter it, or select fewer columns"
            )
    return AnswerTable([_column(name, c) for name, c in result.columns.items()])


def _column(name: str, c: Column) -> AnswerColumn:
    valid = np.ones(len(c), np.bool_) if c.valid is None else np.ascontiguousarray(c.valid)
    words: list[str] = []
    if c.type.is_text:
        codes, words = c.coded()
        valid = valid & (codes >= 0)
        values = np.where(valid, codes, 0)
    else:
        values = np.where(valid, c.values, np.zeros(1, c.values.dtype))
    return AnswerColumn(
        name, c.type, values.astype(np.float64 if c.type is Type.FLOAT else np.int64), valid, tuple(words)
    )
