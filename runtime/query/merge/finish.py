"""From the state of a grouping to its result rows."""

from __future__ import annotations

import numpy as np

from dataflow.plan.sink import Grouping
from operators.errors import GroupError
from operators.states.groups import Groups
from operators.states.strings import Words
from operators.types import Type
from runtime.query.stages.overflow import located, of_group
from runtime.query.stages.query_table import QueryTable, TableColumn


def finished_groups(sink: Grouping, groups: Groups, words: Words, step: str) -> QueryTable:
    """The results, one row per group, in the order of the group columns; ``step`` is named in errors."""
    n = len(groups)
    columns: dict[str, TableColumn] = {}
    nulls = groups.keys[:n, -1]
    for j, (name, e) in enumerate(sink.by):
        assert e.type is not None
        bits = groups.keys[:n, j].copy()
        values = bits.view(np.float64) if e.type is Type.FLOAT else bits
        columns[name] = (e.type, values, ((nulls >> j) & 1 == 0).astype(np.uint8))
    try:
        finished = groups.cells.finish(np.arange(n), words)
    except GroupError as error:
        raise located(error, step, sink.aggs, of_group(sink, groups, error.group, words)) from None
    for a, (values, valid) in zip(sink.aggs, finished, strict=True):
        ok = np.ones(n, np.uint8) if valid is None else valid.astype(np.uint8)
        columns[a.name] = (a.aggregate.result, values, ok)
    return QueryTable(n, columns, words.strings).sorted_by([(name, False) for name, _ in sink.by])
