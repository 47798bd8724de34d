"""The canonical JSON form of a metric: versioned, closed and bounded; unknown or missing fields are errors."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from dataflow.json.errors import JsonFormError, short
from dataflow.json.reading import Reader, check_distinct
from dataflow.steps.base import Step, from_object, to_object
from dataflow.steps.union import MAX_STREAMS
from dataflow.tables.reference_tables import MAX_TABLE_BYTES

VERSION = 1

MAX_STEPS, MAX_BYTES = 64, 256 * 1024
"""Limits on a metric; the bytes are those of its JSON without reference tables, which have their own limits."""


def to_dict(steps: Sequence[Step]) -> dict[str, Any]:
    """The metric as JSON-ready objects."""
    return {"antfold": VERSION, "steps": [to_object(s) for s in steps]}


def to_json(steps: Sequence[Step]) -> str:
    """Canonical text: sorted keys, no spaces; equal metrics give equal text."""
    text = json.dumps(to_dict(steps), sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    if len(text.encode()) - _table_bytes(steps) > MAX_BYTES:
        raise JsonFormError(f"the metric's JSON form is over {MAX_BYTES} bytes; shorten its lists of constants")
    return text


def _table_bytes(steps: Sequence[Step]) -> int:
    """The bytes of all reference tables of a metric; JsonFormError if they exceed the limit."""
    size = sum(t.bytes for s in steps for t in s.tables())
    if size > MAX_TABLE_BYTES:
        raise JsonFormError(f"the metric's reference tables are over {MAX_TABLE_BYTES} bytes; leave out columns")
    return size


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    check_distinct([k for k, _ in pairs], "the metric's JSON")
    return dict(pairs)


def from_dict(value: object) -> tuple[Step, ...]:
    """The steps of a metric from JSON-ready objects; JsonFormError names the place of an error."""
    reader = Reader()
    d = reader.fields(value, "the metric", ["antfold", "steps"])
    if d["antfold"] != VERSION or isinstance(d["antfold"], bool):
        raise JsonFormError(f"the metric has version {short(d['antfold'])}; this antfold reads version {VERSION}")
    items = reader.rows(d["steps"], "steps")
    if not 0 < len(items) <= MAX_STEPS:
        raise JsonFormError(f"steps: a metric has 1 to {MAX_STEPS} steps, got {len(items)}")
    steps = tuple(from_object(reader, s, f"steps[{i}]") for i, s in enumerate(items))
    _table_bytes(steps)
    if [i for i, s in enumerate(steps) if s.starts] != [0]:
        raise JsonFormError("steps: the first step, and only the first, names the stream")
    if len(streams := [name for s in steps for name in s.streams()]) > MAX_STREAMS:
        raise JsonFormError(f"steps: a metric names at most {MAX_STREAMS} streams, got {len(streams)}")
    return steps


def from_json(text: str) -> tuple[Step, ...]:
    """The steps of a metric from JSON text."""
    if len(text.encode()) > MAX_BYTES + MAX_TABLE_BYTES:
        raise JsonFormError(f"the metric's JSON is over {MAX_BYTES + MAX_TABLE_BYTES} bytes")
    try:
        value = json.loads(text, object_pairs_hook=_no_duplicates)
    except (json.JSONDecodeError, RecursionError) as error:
        raise JsonFormError(f"the metric is not valid JSON: {error}") from None
    steps = from_dict(value)
    to_json(steps)
    return steps
