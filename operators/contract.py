"""The contract of aggregates: declared, frozen values with a visible intermediate state and laws.

A state is a set of arrays, one row per group, described by ``Field``s. ``step`` folds one row into one group and is
compiled into the query's kernel; ``merge`` and ``finish`` work on whole arrays. The identity of a state and the result
of ``finish`` for an empty group are separate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from operators.types import Type

Arrays: TypeAlias = Mapping[str, Any]
"""A state: field name to array of shape (groups,) or (groups, width). ``finish`` also finds here the text of each
string code (``strings``), its exact sums

(``Totals`` of ``operators.sums.windowed``, ``FloatTotals`` of ``operators.sums.floats``) and, under ``entries``, its
tally (``operators.states.tallies.Entries``)."""

Finished: TypeAlias = tuple[NDArray[Any], NDArray[np.bool_] | None]
"""Values of the result type's dtype and validity (None: all valid), one per group; JSON results as an object array of
their texts."""

Options: TypeAlias = Mapping[str, Any]
"""Options of one use of an aggregate, checked by ``dataflow.expressions.aggregate_signatures``."""


@dataclass(frozen=True)
class Field:
    """One array of a state. ``width`` 0 is one number per group, else a row of that many."""

    name: str
    dtype: str = "i8"
    width: int = 0
    identity: int = 0
    is_code: bool = False
    """Whether the values are string codes, which are translated when states with different dictionaries are merged."""

    def new(self, capacity: int) -> NDArray[Any]:
        """``capacity`` identities."""
        shape = (capacity, self.width) if self.width else (capacity,)
        if self.identity == 0:
            return np.zeros(shape, self.dtype)
        return np.full(shape, self.identity, self.dtype)


@dataclass(frozen=True)
class ExactSum:
    """One exact sum per group, in units of 2**lowest; its window has ``digits``
    (``operators.kernels.sums.windowed_sums``)."""

    name: str
    lowest: int = -1074
    digits: int = 7


@dataclass(frozen=True)
class FloatSum:
    """One exact sum of floats per group, to which a step adds one at a time:
    ``operators.kernels.sums.float_sums.add_float``."""

    name: str


LEFT = "left"
"""The field with the number of words that a tally's group may still add before they become coarse."""


DATES = ("at", "tied")
"""The arrays of a dated tally with the time and the key's hash of each entry's first row."""


@dataclass(frozen=True)
class TallySpec:
    """A table of (group, words) -> number per aggregate. ``largest``: numbers merge by their maximum, else they add.

    ``is_dated``: each entry also has the ``time`` and ``tie`` of its first row, which merge by their minimum.

    ``is_code``: words are values of the argument, so string codes are translated when states with different
    dictionaries are merged. ``coarse`` maps words to fewer ones of the same order, and these to themselves; it is
    applied to the words of a group whose field ``LEFT`` has reached 0. The step decrements that field for every new
    word, and uses coarse words from then on; the engine sets it to -1 once all words are coarse.
    """

    words: int = 1
    largest: bool = False
    is_code: bool = False
    is_dated: bool = False
    coarse: Callable[[NDArray[np.int64]], NDArray[np.int64]] | None = None


@dataclass(frozen=True)
class Flags:
    """Claims about an aggregate that the planner relies on and ``operators.laws.check`` tests.

    ordered: rows of a key must come in (time, seq) order, otherwise in any order. additive: merging the states of
    adjoining ranges gives the result of the whole, even if intervals are cut at the boundary. duplicate_safe: folding a
    row twice changes nothing. overlap_safe: states that share rows merge like states that do not. exact: equal bits for
    every split and merge tree. error: the relative error of an estimate, 0 for none; estimates are reproducible, too.
    """

    ordered: bool = False
    additive: bool = True
    duplicate_safe: bool = False
    overlap_safe: bool = False
    exact: bool = True
    error: float = 0.0

    def claims(self) -> tuple[str, ...]:
        """The claims as text."""
        names = [n for n in ("ordered", "additive", "duplicate_safe", "overlap_safe", "exact") if getattr(self, n)]
        return (*names, *([f"within {self.error:.2%}"] if self.error else []))


@dataclass(frozen=True)
class Aggregate:
    """A lawful aggregate over arguments of one type.

    ``step(g, *fields, *sums, *tally, *inputs)`` is a Numba function. A sum takes three arguments (rows, log, used), a
    tally five (keys, counts, slots, used, words), and if it is dated two more (at, tied). ``inputs`` names its inputs
    in order: ``value`` (never null: null values are skipped), ``other`` (a second argument, likewise), ``before`` (the
    key's value before it, likewise; only of built-in ones), ``cond`` (bool), ``hash`` (of the value, equal for equal
    values in all dictionaries), ``time`` and ``tie`` (the row's event time and its key's hash), ``duration`` and
    ``known`` (for intervals). ``merge(into, at, part)`` folds row j of the fields of ``part`` into row ``at[j]`` of
    ``into``; the ``at`` are distinct; the engine merges sums and tallies. ``settle`` brings fields into canonical form,
    in place; states are settled before they are merged, compared or stored. ``configured(options)`` is the aggregate
    with other options.
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
    sums: tuple[ExactSum | FloatSum, ...] = ()
    tally: TallySpec | None = None
    other: Type | None = None
    before_first: bool = False
    """Whether the time before a key's first point counts."""

    configured: Callable[[Options], Aggregate] | None = None


def merge_nothing(into: Arrays, at: NDArray[np.intp], part: Arrays) -> None:
    """The merge of an aggregate that has no fields."""


def merge_by_adding(into: Arrays, at: NDArray[np.intp], part: Arrays) -> None:
    """The merge of fields that are sums or counts."""
    for name, values in part.items():
        into[name][at] += values


@dataclass(frozen=True)
class SetAggregate:
    """An aggregate whose state is the set of distinct values of each group.

    The sets are (group, value) pairs in one table (``operators.kernels.hash_tables``); its merge is the union.
    ``finish(groups, values, count, strings)`` receives all pairs, the number of groups and, for strings, the text of
    every code.
    """

    name: str
    argument: Type
    result: Type
    finish: Callable[[NDArray[np.int64], NDArray[np.int64], int, list[str]], Finished]
    flags: Flags = Flags(duplicate_safe=True, overlap_safe=True)
