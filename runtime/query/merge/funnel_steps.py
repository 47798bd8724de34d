"""From groups of a funnel's rows to a row per step."""

from __future__ import annotations

import numpy as np

from dataflow.plan.stages import StepRows
from operators.types import Type
from runtime.query.stages.query_table import QueryTable, TableColumn


def step_rows(step: StepRows, table: QueryTable) -> QueryTable:
    """The rows of ``table`` once for each step, with its number of keys and their shares."""
    n, groups = step.steps, table.rows
    columns: dict[str, TableColumn] = {}
    for name in step.by:
        kind, values, valid = table.columns[name]
        columns[name] = (kind, np.repeat(values, n), np.repeat(valid, n))
    whole = np.ones(groups * n, np.uint8)
    keys = np.empty((groups, n), np.int64)
    times, known = np.zeros((groups, n), np.int64), np.zeros((groups, n), np.uint8)
    for j in range(n):
        keys[:, j] = table.columns[f"$keys_{j + 1}"][1]
        if j:
            _, times[:, j], known[:, j] = table.columns[f"$time_{j + 1}"]
    times[known == 0] = 0
    first, previous = keys[:, :1], np.concatenate([np.zeros((groups, 1), np.int64), keys[:, :-1]], axis=1)
    columns["step"] = (Type.INT, np.tile(np.arange(1, n + 1), groups), whole)
    columns["keys"] = (Type.INT, keys.ravel(), whole)
    for name, of in (("share_of_first", np.broadcast_to(first, keys.shape)), ("share_of_previous", previous)):
        # Counts are far below 2**53, so that this is the nearest float to the share.
        share = np.where(of > 0, keys / np.maximum(of, 1), 0.0)
        columns[name] = (Type.FLOAT, share.ravel(), (of > 0).ravel().astype(np.uint8))
    columns["median_time"] = (Type.DURATION, times.ravel(), known.ravel())
    return QueryTable(groups * n, columns, table.strings)
