"""Columns that a metric may name although no point has a value there: those that were null so far, and twins."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from typing import Any

from dataflow.binding.typing import GraphError
from operators.types import Type
from runtime.catalogue import StreamSchema
from runtime.query.task.task import Compiled, Schemas, compiled_for

_TWINS = {**{str(t): t for t in Type if t is not Type.JSON}, "json": Type.STRING}
"""The type of a twin by what stands behind the # of its name."""

_TYPES = (Type.FLOAT, Type.STRING, Type.BOOL, Type.TIME)
"""What a column of no type yet may be, in the order in which it is tried."""

_TRIED = 3
"""Maximum columns of no type yet for which all combinations are tried."""


def bound(schemas: Schemas, graph: dict[str, Any], params: dict[str, Any]) -> tuple[Schemas, Compiled]:
    """The metric bound to its streams (``schemas`` by name), and their schemas with the absent columns that it names.

    A column that was null in every point so far has the type that a table declares for it, or else the first with which
    the metric can be bound.
    """
    names = set(texts(graph))
    known: dict[str, dict[str, Type]] = {}
    untyped: dict[str, set[str]] = {}
    for stream, schema in schemas.items():
        named = names - schema.columns.keys()
        free = [name for name in schema.empty if name in named]
        typed = {name: type_ for name in free if (type_ := schema.empty[name]) is not None}
        known[stream] = {**schema.columns, **_twins(schema, named), **typed}
        for name in free:
            if schema.empty[name] is None:
                untyped.setdefault(name, set()).add(stream)
    every = product(_TYPES, repeat=len(untyped)) if len(untyped) <= _TRIED else ((t,) * len(untyped) for t in _TYPES)
    first: GraphError | None = None
    for types in every:
        whole = {}
        for stream, schema in schemas.items():
            tried = {n: t for n, t in zip(untyped, types, strict=True) if stream in untyped[n]}
            columns = {**known[stream], **tried}
            same = len(columns) == len(schema.columns)
            whole[stream] = schema if same else replace(schema, columns=columns, empty={})
        try:
            return whole, compiled_for(next(iter(whole.values())), graph, params, whole)
        except GraphError as error:
            first = first or error
    assert first is not None
    raise first


def _twins(schema: StreamSchema, named: set[str]) -> dict[str, Type]:
    """Those of the named columns that are twins of columns of a stream."""
    known, twins = {*schema.columns, *schema.empty}, dict[str, Type]()
    for name in sorted(named):
        base, _, suffix = name.rpartition("#")
        if base in known and suffix in _TWINS:
            twins[name] = _TWINS[suffix]
    return twins


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
