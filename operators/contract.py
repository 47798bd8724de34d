"""What an aggregate is: one declared, frozen value with a visible middle state and its laws.

A state is a set of arrays, one row per group, described by ``Field``s. ``step`` folds one row into one group and
is compiled into the query's kernel; ``merge`` and ``finish`` work on whole arrays. The identity of a state and
what ``finish`` reports for a group that saw nothing are two different things.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from operators.types import Type

Arrays: TypeAlias = Mapping[str, NDArray[Any]]
"""A state: field name to array of shape (groups,) or (groups, width)."""

Finished: TypeAlias = tuple[NDArray[Any], NDArray[np.bool_] | None]
"""Values of the result type's dtype and validity (None: all valid), one per group."""


@dataclass(frozen=True)
class Field:
    """One array of a state. ``width`` 0 is one number a group, else a row of that many."""

    name: str
    dtype: str = "i8"
    width: int = 0
    identity: int = 0
    is_code: bool = False
    """Whether the values are string codes, which are translated when states of two dictionaries meet."""

    def new(self, capacity: int) -> NDArray[Any]:
        """``capacity`` identities."""
        shape = (capacity, self.width) if self.width else (capacity,)
        if self.identity == 0:
            return np.zeros(shape, self.dtype)
        return np.full(shape, self.identity, self.dtype)


@dataclass(frozen=True)
class Flags:
    """Claims about an aggregate that the planner relies on and the laws suite tests.

    ordered: rows of a key must come in (time, seq) order. additive: a range's answer follows from the merged
    answers of its pieces even where intervals are cut at the seams. duplicate_safe: a row folded twice changes
    nothing. exact: equal bits for every split and merge tree.
    """

    ordered: bool = False
    additive: bool = True
    duplicate_safe: bool = False
    exact: bool = True


@dataclass(frozen=True)
class Aggregate:
    """A lawful aggregate over arguments of one type.

    ``step(g, *fields, *inputs)`` is a Numba function. ``inputs`` names what it is given, in order:
    ``value`` (never null: null values are skipped), ``cond`` (bool), ``time`` and ``tie`` (the row's event time
    and its key's hash), ``duration`` and ``known`` (interval rows). ``merge(into, at, part)`` folds row j of
    ``part`` into row ``at[j]`` of ``into``; no two ``at`` are equal. ``settle`` brings a state into its canonical
    form, in place; states are settled before they are merged, compared or stored.
    """

    name: str
    argument: Type | None
    result: Type
    fields: tuple[Field, ...]
    inputs: tuple[str, ...]
    step: Callable[..., None]
    merge: Callable[[Arrays, NDArray[np.intp], Arrays], None]
    finish: Callable[[Arrays], Finished]
    settle: Callable[[Arrays], None] | None = None
    flags: Flags = Flags()


@dataclass(frozen=True)
class SetAggregate:
    """An aggregate whose state is the set of distinct values that each group has seen.

    The set is kept as (group, value) pairs in one table (``operators.kernels.tables``); its merge is the union.
    ``finish(groups, values, count, strings)`` gets all pairs, the number of groups and, for strings, the text of
    every code.
    """

    name: str
    argument: Type
    result: Type
    finish: Callable[[NDArray[np.int64], NDArray[np.int64], int, list[str]], Finished]
    flags: Flags = Flags(duplicate_safe=True)
