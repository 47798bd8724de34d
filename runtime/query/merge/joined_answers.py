"""Two answers side by side: a table, and the answer of another metric with the same key columns."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from dataflow.plan.stages import JoinedAnswer
from dataflow.tables.answer_tables import AnswerColumn, AnswerIndex
from operators.states.strings import Words
from operators.types import Type
from runtime.query.stages.query_table import QueryTable, TableColumn


def beside(step: JoinedAnswer, table: QueryTable) -> QueryTable:
    """The table with the columns of the answer, in the order of the key columns; of equal ones, as in the table."""
    index = step.index
    found = _rows_of(index, table)
    mine = np.arange(table.rows)
    if step.how == "inner":
        mine = mine[found >= 0]
    theirs = found[mine]
    if step.how == "full":
        alone = np.ones(index.table.rows, np.bool_)
        alone[found[found >= 0]] = False
        more = np.flatnonzero(alone)
        mine = np.concatenate([mine, np.full(len(more), -1)])
        theirs = np.concatenate([theirs, more])
    words = Words()
    left = table.recoded(words)
    columns: dict[str, TableColumn] = {}
    for name, (kind, values, valid) in left.columns.items():
        columns[name] = (kind, *_taken(values, valid, mine))
        if name in index.on:
            _, other, other_valid = _coded(index.table.column(name, step.step), words)
            only = mine < 0
            columns[name][1][only] = other[theirs[only]]
            columns[name][2][only] = other_valid[theirs[only]]
    for name, of in step.columns:
        kind, values, valid = _coded(index.table.column(of, step.step), words)
        columns[name] = (kind, *_taken(values, valid, theirs))
    joined = QueryTable(len(mine), columns, words.strings)
    return joined.sorted_by([(name, False) for name in index.on])


def _rows_of(index: AnswerIndex, table: QueryTable) -> NDArray[np.int64]:
    """The answer's row with the key columns of each row of the table; -1 if there is none."""
    number = np.zeros(table.rows, np.int64)
    known = np.ones(table.rows, np.bool_)
    for level, name in enumerate(index.on):
        kind, values, valid = table.columns[name]
        ok = valid != 0
        texts = index.texts(level)
        if texts is not None:
            by_text = {text: i for i, text in enumerate(texts)}
            codes = np.array([by_text.get(s, -1) for s in table.strings] or [-1], np.int64)
            place = codes[np.where(ok, values, 0)]
        else:
            word = (np.where(ok, values, 0.0) + 0.0).view(np.int64) if kind is Type.FLOAT else values.astype(np.int64)
            place = _place(index.distinct[level], word)
        place = np.where(ok, place, index.places[level])
        known &= place >= 0
        number = place if level == 0 else _place(index.pairs[level - 1], number * index.sizes[level] + place)
        known &= number >= 0
    return np.where(known, index.order[np.where(known, number, 0)], -1) if len(index.order) else np.full(table.rows, -1)


def _place(ascending: NDArray[np.int64], values: NDArray[np.int64]) -> NDArray[np.int64]:
    """The places of values among ascending ones; -1 if they are missing."""
    if not len(ascending):
        return np.full(len(values), -1)
    at = np.minimum(np.searchsorted(ascending, values), len(ascending) - 1)
    return np.where(ascending[at] == values, at, -1)


def _coded(c: AnswerColumn, words: Words) -> TableColumn:
    """A column of the answer with codes of ``words``."""
    if c.type.is_text and c.words:
        return c.type, words.codes(c.words).astype(np.int64)[c.values], c.valid.view(np.uint8)
    return c.type, c.values, c.valid.view(np.uint8)


def _taken(
    values: NDArray[Any], valid: NDArray[np.uint8], rows: NDArray[np.intp]
) -> tuple[NDArray[Any], NDArray[np.uint8]]:
    """The values of these rows; null for -1."""
    some = rows >= 0
    out, ok = np.zeros(len(rows), values.dtype), np.zeros(len(rows), np.uint8)
    out[some], ok[some] = values[rows[some]], valid[rows[some]]
    return out, ok
