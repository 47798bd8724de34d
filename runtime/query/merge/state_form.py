"""Checks that a partial state from bytes fits the plan, before anything is merged.

Compiled loops check no bounds, so everything that becomes an index is checked here: group numbers, string codes, digit
positions. The content of a state cannot be checked: a process that may write cached states, or reply for a worker, can
forge a result. It cannot make this process access memory out of bounds or run code.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dataflow.plan.sink import Sink
from dataflow.plan.stages import Plan
from operators.aggregates import AnyAggregate
from operators.contract import DATES, ExactSum, SetAggregate
from operators.distinct_values import distinct
from operators.kernels.sums.windowed_sums import BASE, FIRST, SPECIAL, UNSET
from operators.states.aggregate_states import State, each_code
from operators.states.groups import Groups, GroupState
from operators.types import Type
from runtime.errors import FormatError
from runtime.query.stages.query_table import QueryTable

if TYPE_CHECKING:
    from runtime.query.task.partial import Partial

_HIGHEST = 300
"""Upper bound of the positions of 32-bit digits in a sum: fourth powers of floats and integers stay below."""

_LARGEST = 1 << 41
"""Upper bound of the digits of a normalised sum."""

MALFORMED = (LookupError, ValueError, TypeError, AttributeError, OverflowError, AssertionError)
"""Exceptions that reading or merging a malformed state may raise."""


@contextmanager
def checked(plan: Plan, partials: Sequence[Partial]) -> Iterator[None]:
    """Context in which ``partials`` are merged: those from bytes are checked first. FormatError names the task."""
    foreign = [p for p in partials if p.foreign]
    for partial in foreign:
        check_form(plan, partial)
    try:
        yield
    except MALFORMED as error:
        if not foreign:
            raise
        tasks = ", ".join(p.task for p in foreign[:3])
        raise FormatError(f"the partial states of the tasks {tasks} cannot be merged: {error!r}") from error


def check_form(plan: Plan, partial: Partial) -> None:
    """FormatError if ``partial`` is not a state of this plan's tasks."""
    sink = plan.stages[-1].sink
    try:
        group = sink.grouping()
        if group is not None and not plan.whole_keys:
            if partial.groups is None:
                raise ValueError("it has rows instead of groups")
            kinds = [e.type for _, e in group.by if e.type is not None]
            check_groups(kinds, [a.aggregate for a in group.aggs], partial.groups)
        elif partial.table is None:
            raise ValueError("it has groups instead of rows")
        else:
            check_table(_columns(sink), partial.table)
    except MALFORMED as error:
        raise FormatError(f"the reply of task {partial.task} does not fit the plan: {error}") from error


def _columns(sink: Sink) -> list[tuple[str, Type]]:
    if (group := sink.grouping()) is not None:
        by = [(name, e.type) for name, e in group.by if e.type is not None]
        return by + [(a.name, a.aggregate.result) for a in group.aggs]
    return [(name, e.type) for name, e in sink.written() or () if e.type is not None]


def check_table(columns: Sequence[tuple[str, Type]], table: QueryTable) -> None:
    """ValueError if these are not the columns of the table."""
    if [(n, t) for n, (t, _, _) in table.columns.items()] != list(columns):
        raise ValueError("its columns differ")
    for name, kind in columns:
        _, values, valid = table.columns[name]
        check_column(name, kind, values, valid, table.rows, len(table.strings))
        if kind is Type.JSON:
            for code in distinct(values[valid != 0]).tolist():
                _check_json(table.strings[code])


def _check_json(text: str) -> None:
    try:
        json.loads(text)
    except RecursionError:
        raise ValueError("a column of JSON is nested too deeply") from None


def check_column(name: str, kind: Type, values: NDArray[Any], valid: NDArray[Any], rows: int, strings: int) -> None:
    """ValueError if these are not values and validity of a column with so many rows."""
    expected = (np.float64,) if kind is Type.FLOAT else (np.int64, np.int32, np.uint8)
    if type(rows) is not int or values.shape != (rows,) or valid.shape != (rows,):
        raise ValueError(f"the column {name} has a wrong length")
    if values.dtype not in expected or valid.dtype != np.uint8:
        raise ValueError(f"the column {name} has a wrong type")
    if kind.is_text:
        _below(values[valid != 0], strings, f"strings of the column {name}")


def check_groups(key_types: Sequence[Type], aggregates: Sequence[AnyAggregate], state: GroupState) -> None:
    """ValueError if this is not a state of such a grouping."""
    keys, n = state.keys, len(state.keys)
    if keys.dtype != np.int64 or keys.shape != (n, len(key_types) + 1):
        raise ValueError("its groups have a wrong shape")
    _below(keys[:, -1], 1 << len(key_types), "masks of nulls")
    template = _template(tuple(aggregates))
    if len(state.states) != len(aggregates):
        raise ValueError("its aggregates differ")
    for aggregate, arrays, empty in zip(aggregates, state.states, template, strict=True):
        _check_aggregate(aggregate, arrays, empty, n)

    def visit(codes: NDArray[np.int64], ok: NDArray[np.bool_]) -> None:
        _below(codes[ok], len(state.strings), "strings")

    for j, kind in enumerate(key_types):
        if kind is Type.STRING:
            visit(keys[:, j], (keys[:, -1] >> j) & 1 == 0)
    each_code(aggregates, state.states, visit)


@lru_cache(maxsize=64)
def _template(aggregates: tuple[AnyAggregate, ...]) -> list[State]:
    """The states of no groups."""
    return Groups((), aggregates, 1).export([]).states


def _check_aggregate(aggregate: AnyAggregate, arrays: State, empty: State, n: int) -> None:
    if arrays.keys() != empty.keys():
        raise ValueError(f"the arrays of {aggregate.name} differ")
    for name, a in arrays.items():
        if a.dtype != empty[name].dtype or a.shape[1:] != empty[name].shape[1:] or a.ndim != empty[name].ndim:
            raise ValueError(f"the array {name} of {aggregate.name} has a wrong type or shape")
    if isinstance(aggregate, SetAggregate):
        if len(arrays["groups"]) != len(arrays["values"]):
            raise ValueError(f"the pairs of {aggregate.name} differ in length")
        _below(arrays["groups"], n, f"groups of {aggregate.name}")
        return
    for name in (*(f.name for f in aggregate.fields), *(s.name for s in aggregate.sums)):
        if len(arrays[name]) != n:
            raise ValueError(f"the array {name} of {aggregate.name} does not have {n} groups")
    if aggregate.tally is not None:
        dates = DATES if aggregate.tally.is_dated else ()
        if any(len(arrays["keys"]) != len(arrays[name]) for name in ("counts", *dates)):
            raise ValueError(f"the entries of {aggregate.name} differ in length")
        _below(arrays["keys"][:, 0], n, f"groups of {aggregate.name}")
    for s in aggregate.sums:
        if isinstance(s, ExactSum):
            _check_sum(arrays[s.name], arrays[f"{s.name}_beyond"], n, f"{s.name} of {aggregate.name}")


def _check_sum(rows: NDArray[np.int64], beyond: NDArray[np.int64], n: int, what: str) -> None:
    base = rows[:, BASE]
    _below(base[base != UNSET], _HIGHEST, f"places of {what}")
    _below(rows[:, SPECIAL], 8, f"special values of {what}")
    if len(rows) and (rows[:, FIRST:].max() > _LARGEST or rows[:, FIRST:].min() < -_LARGEST):
        raise ValueError(f"the digits of {what} are too large")
    _below(beyond[:, 0], n, f"groups of {what}")
    _below(beyond[:, 1], _HIGHEST, f"places of {what}")
    if len(beyond) and (beyond[:, 2].max() >= 2**32 or beyond[:, 2].min() < -(2**31)):
        raise ValueError(f"the digits of {what} are too large")


def _below(values: NDArray[Any], limit: int, what: str) -> None:
    """ValueError unless all of the integers lie in [0, limit)."""
    if len(values) and (int(values.max()) >= limit or int(values.min()) < 0):
        raise ValueError(f"it has {what} out of range")


def with_prefix(arrays: Mapping[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    """The arrays whose names start with ``prefix``, without it."""
    return {name.removeprefix(prefix): a for name, a in arrays.items() if name.startswith(prefix)}
