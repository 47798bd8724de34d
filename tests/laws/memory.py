"""The engine without files: points go straight into the kernels, as one task per share of the keys reads them.

Fast enough for many examples. Files, duplicates and planning are tested through ``tests.laws.engine``.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from functools import lru_cache
from itertools import groupby
from typing import Any

import numpy as np
import pytest

from dataflow.metrics.bind import StreamColumns, bind
from dataflow.metrics.json_form import from_dict
from operators.states.strings import Words
from operators.types import Type
from runtime.columns import Column, Dictionary
from runtime.query.merge.merging import merged
from runtime.query.merge.sliding_windows import Range
from runtime.query.plan.notes import taken_out
from runtime.query.stages.keys import Keys
from runtime.query.stages.pipeline import Pipeline
from runtime.query.stages.row_batch import RowBatch, Values
from runtime.query.stages.task_context import TaskContext
from runtime.query.task.coverage import Coverage
from runtime.query.task.partial import Partial
from runtime.query.task.task import Compiled
from runtime.testing.oracle.rows import Json, Value
from runtime.testing.oracle.strategies import DAY, KEY, TIME, TYPES, Point

STREAM = StreamColumns(KEY, Type.STRING, TIME, {name: Type(kind) for name, kind in TYPES.items()})
NO_PARAMS: Mapping[str, Value] = {}


def run_in_memory(
    graph: Json,
    points: Sequence[Point],
    *,
    since: int,
    until: int,
    params: Mapping[str, Value] = NO_PARAMS,
    tasks: int = 1,
    rows: int = 0,
) -> list[dict[str, Value]]:
    """The engine's answer in the oracle's form, with the keys shared out among ``tasks`` tasks and
    read in chunks of ``rows`` rows (0: of a day)."""
    asked = compiled(json.dumps([graph, params]))
    plan = asked.plan
    keys = sorted({point[KEY] for point in points})
    # A scan hands on what is at or after ``until`` only if the plan looks ahead.
    seen = [point for point in points if plan.ahead or point[TIME] < until]
    beginning = min((point[TIME] for point in points), default=since)
    partials = [_task(asked, str(i), seen, set(keys[i::tasks]), since, until, rows) for i in range(tasks)]
    columns = taken_out(merged(plan, partials, Range(since, until, beginning)))[0].result_columns()
    lists = {name: column.to_list() for name, column in columns.items()}
    return [dict(zip(lists, row, strict=True)) for row in zip(*lists.values(), strict=True)]


@lru_cache
def compiled(graph_and_params: str) -> Compiled:
    """The plan and the kernels of a graph, which many examples share (see ``fresh_plans``)."""
    graph, params = json.loads(graph_and_params)
    return Compiled(bind(from_dict(graph), STREAM, params))


def fresh_plans(monkeypatch: pytest.MonkeyPatch) -> None:
    """To plant a mistake in planning or in the kernels: until the end of the test nothing is taken from other tests."""
    monkeypatch.setattr(sys.modules[__name__], "compiled", lru_cache(compiled.__wrapped__))


def _task(
    asked: Compiled, name: str, points: Sequence[Point], mine: set[str], since: int, until: int, size: int
) -> Partial:
    words = Words()
    keys = Keys(Type.STRING, words)
    first = min([since, *(point[TIME] for point in points)])
    beginning = min((point[TIME] for point in points), default=since)
    context = TaskContext(words, keys, since, until, first=first, beginning=beginning)
    pipeline = Pipeline(asked.plan, asked.kernels, context)
    # Day after day, and within a day key after key, each in order of (time, arrival).
    rows = [point for point in points if point[KEY] in mine]
    rows.sort(key=lambda point: (point[TIME] // DAY, point[KEY], point[TIME]))
    for _, day in groupby(rows, key=lambda point: point[TIME] // DAY):
        today = list(day)
        for at in range(0, len(today), size or len(today)):
            pipeline.push(_chunk(today[at : at + (size or len(today))], asked.plan.columns, keys, words))
    groups, table = pipeline.finish()
    digests = tuple(runner.kernel.digest for runner in pipeline.runners)
    return Partial(name, groups, table, Coverage(), digests)


def _chunk(rows: list[Point], columns: Sequence[str], keys: Keys, words: Words) -> RowBatch:
    runs = [(key, len(list(run))) for key, run in groupby(rows, key=lambda point: point[KEY])]
    names = Dictionary.of([key for key, _ in runs])
    slots = keys.slots(Column(Type.STRING, np.arange(len(runs), dtype=np.int32), None, names))
    return RowBatch(
        slots,
        np.array([length for _, length in runs], np.int64),
        np.array([point[TIME] for point in rows], np.int64),
        {name: _values([point.get(name) for point in rows], STREAM.columns[name], words) for name in columns},
    )


def _values(found: list[Any], kind: Type, words: Words) -> Values:
    valid = np.array([value is not None for value in found], np.uint8)
    if kind is Type.STRING:
        codes = words.codes([value if value is not None else "" for value in found])
        return np.array(codes, np.int32), valid
    return np.array([0 if value is None else value for value in found], kind.dtype), valid
