"""Metrics inside a metric: their streams, and the metric with their answers in place of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, is_dataclass
from typing import Any

from dataflow.steps import Source
from dataflow.steps.base import STEPS, TABLE, InnerMetric, Step
from dataflow.tables.answer_tables import AnswerTable, without_rows

Answering = Callable[[InnerMetric, str], AnswerTable]
"""Gives the answer of a metric inside the step of that name."""


def has_inner(steps: Sequence[Step]) -> bool:
    """Whether the metric takes answers of others."""
    return any(step.inner(steps[:i]) for i, step in enumerate(steps))


def streams_in(steps: Sequence[Step]) -> list[str]:
    """The streams of the metric and of those inside it, each once, in the order of their names."""
    return sorted({source.name for source in _sources(tuple(steps))})


def _sources(part: object) -> Iterator[Source]:
    if isinstance(part, Source):
        yield part
    elif isinstance(part, tuple):
        for item in part:
            yield from _sources(item)
    elif is_dataclass(part) and isinstance(part, Step):
        for f in fields(part):
            yield from _sources(getattr(part, f.name))


def answered(steps: Sequence[Step], answer: Answering) -> tuple[Step, ...]:
    """The steps with answers in place of the metrics inside them."""
    out: list[Step] = []
    for i, step in enumerate(steps):
        where = f"step {i + 1} ({step.method})"
        inner = step.inner(steps[:i])
        out += step.answered([answer(metric, where) for metric in inner]) if inner else (step,)
    return tuple(out)


def task_graph(graph: dict[str, Any]) -> dict[str, Any]:
    """The JSON form of a metric as tasks need it: without the rows of answers that only steps after the merge read."""
    steps = graph["steps"]
    first = next((i for i, step in enumerate(steps) if STEPS[step["op"]].makes == TABLE), len(steps))
    if not any("packed" in step.get("table", ()) for step in steps[first:]):
        return graph
    slim = [{**s, "table": without_rows(s["table"])} if "packed" in s.get("table", ()) else s for s in steps[first:]]
    return {**graph, "steps": [*steps[:first], *slim]}
