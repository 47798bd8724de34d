"""Columns that a metric may name although no point has a value there: those that were null so far, and twins."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Any

from dataflow.binding.typing import GraphError
from operators.types import Type
from runtime.catalogue import StreamSchema
from runtime.query.task.task import Compiled, compiled_for

_TWINS = {**{str(t): t for t in Type if t is not Type.JSON}, "json": Type.STRING}
"""The type of a twin by what stands behind the # of its name."""

_TYPES = (Type.FLOAT, Type.STRING, Type.BOOL, Type.TIME)
"""What a column of no type yet may be, in the order in which it is tried."""

_TRIED = 3
"""Maximum columns of no type yet for which all combinations are tried."""


def bound(schema: StreamSchema, graph: dict[str, Any], params: dict[str, Any]) -> tuple[StreamSchema, Compiled]:
    """The metric bound to the stream, and the stream's schema with the absent columns that the metric names.

    A column that was null in every point so far has the type that a table declares for it, or else the first with which
    the metric can be bound.
    """
    named = set(texts(graph)) - schema.columns.keys()
    known = {*schema.columns, *schema.empty}
    twins = {}
    for name in sorted(named):
        base, _, suffix = name.rpartition("#")
        if base in known and suffix in _TWINS:
            twins[name] = _TWINS[suffix]
    free = [name for name in schema.empty if name in named]
    untyped = [name for name in free if schema.empty[name] is None]
    every = product(_TYPES, repeat=len(untyped)) if len(untyped) <= _TRIED else ((t,) * len(untyped) for t in _TYPES)
    typed = {name: type_ for name, type_ in schema.empty.items() if name in free and type_ is not None}
    first: GraphError | None = None
    for types in every:
        columns = {**schema.columns, **twins, **typed, **dict(zip(untyped, types, strict=True))}
        whole = schema if len(columns) == len(schema.columns) else replace(schema, columns=columns, empty={})
        try:
            return whole, compiled_for(whole, graph, params)
        except GraphError as error:
            first = first or error
    assert first is not None
    raise first


def texts(part: object) -> Iterator[str]:
    """All texts in a metric's JSON form: the names of columns are among them."""
    if isinstance(part, str):
        yield part
    elif isinstance(part, dict):
        for value in part.values():
            yield from texts(value)
    elif isinstance(part, list):
        for value in part:
            yield from texts(value)
