"""A metric inside a step: its JSON and its text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dataflow.json import fields as json
from dataflow.json.errors import JsonFormError
from dataflow.json.reading import Reader
from dataflow.steps.base import Step, from_object, to_object
from dataflow.steps.source import Source

MAX_INNER_STEPS, MAX_NESTING = 64, 4
"""Limits on a metric inside another: its steps, and how deep metrics may be inside each other."""


def inner_steps() -> Any:
    """The field of a step that holds the steps of another metric."""
    return json.field_of(lambda steps: [to_object(s) for s in steps], inner_steps_in)


def inner_steps_in(reader: Reader, value: object, where: str) -> tuple[Step, ...]:
    """The steps of a metric inside another, from JSON."""
    items = reader.rows(value, where)
    if not 0 < len(items) <= MAX_INNER_STEPS:
        raise JsonFormError(f"{where}: a metric has 1 to {MAX_INNER_STEPS} steps, got {len(items)}")
    with reader.inside(where, MAX_NESTING):
        steps = tuple(from_object(reader, s, f"{where}[{i}]") for i, s in enumerate(items))
    if [i for i, s in enumerate(steps) if isinstance(s, Source)] != [0]:
        raise JsonFormError(f"{where}: the first step, and only the first, names the stream")
    return steps


def inner_text(steps: Sequence[Step]) -> str:
    """The text of a metric as an argument."""
    parts: list[str] = []
    for step in steps:
        parts = step.after(parts)
    return "".join(parts)
