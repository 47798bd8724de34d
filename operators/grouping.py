"""The state of one ``group_by().agg()``: group keys and, per aggregate, the arrays that its step fills.

Kernels fill it in place through ``operators.kernels.tables``; this module grows it between calls, brings it into
canonical form, takes it apart for transport and merges it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.aggregates import AnyAggregate
from operators.contract import Aggregate, Finished, SetAggregate
from operators.errors import CardinalityExceeded
from operators.kernels.tables import enter_groups, enter_pairs, find_groups
from operators.types import Type

GROUP_LIMIT = 1 << 26
"""Groups, or distinct (group, value) pairs, that one state may hold."""

SETTLE_EVERY = 1 << 28
"""Rows after which carries must have moved on (``operators.kernels.exact``)."""


def _grown(a: NDArray[Any], capacity: int, fill: int = 0) -> NDArray[Any]:
    out = np.full((capacity, *a.shape[1:]), fill, a.dtype) if fill else np.zeros((capacity, *a.shape[1:]), a.dtype)
    out[: len(a)] = a
    return out


def _check_limit(n: int, what: str) -> None:
    if n > GROUP_LIMIT:
        raise CardinalityExceeded(f"more than {GROUP_LIMIT:,} {what}; group by fewer columns or filter first")


class PairSet:
    """Distinct (group, value) pairs of a SetAggregate; entries 0 to ``used[0] - 1`` are filled."""

    def __init__(self, capacity: int = 64) -> None:
        self.groups = np.zeros(capacity, np.int64)
        self.values = np.zeros(capacity, np.int64)
        self.slots = np.zeros(2 * capacity, np.int32)
        self.used = np.zeros(1, np.int64)

    @classmethod
    def of(cls, groups: NDArray[np.int64], values: NDArray[np.int64]) -> PairSet:
        """The set of pairs that are known to be distinct."""
        n = len(groups)
        out = cls(max(64, 1 << n.bit_length()))
        out.groups[:n], out.values[:n], out.used[0] = groups, values, n
        enter_pairs(out.groups, out.values, out.slots, n)
        return out

    @property
    def room(self) -> int:
        """Pairs that still fit."""
        return len(self.groups) - int(self.used[0])

    def grow(self) -> None:
        """Double the capacity."""
        capacity = 2 * len(self.groups)
        _check_limit(capacity, "distinct values over all groups")
        self.groups, self.values = _grown(self.groups, capacity), _grown(self.values, capacity)
        self.slots = np.zeros(2 * capacity, np.int32)
        enter_pairs(self.groups, self.values, self.slots, int(self.used[0]))

    def pairs(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Groups and values of all pairs."""
        n = int(self.used[0])
        return self.groups[:n], self.values[:n]

    def drop_groups(self, gone: NDArray[np.bool_]) -> None:
        """Forget the pairs of the groups that are marked."""
        groups, values = self.pairs()
        keep = ~gone[groups]
        groups, values = groups[keep].copy(), values[keep].copy()
        n = len(groups)
        self.groups[:n], self.values[:n], self.used[0] = groups, values, n
        self.slots[:] = 0
        enter_pairs(self.groups, self.values, self.slots, n)


class Cells:
    """The aggregates' states, ``capacity`` rows each: one row per group."""

    def __init__(self, aggregates: Sequence[AnyAggregate], capacity: int) -> None:
        self.aggregates = tuple(aggregates)
        self.capacity = capacity
        self.states: list[dict[str, NDArray[Any]]] = []
        self.sets: list[PairSet | None] = []
        for a in self.aggregates:
            self.states.append({f.name: f.new(capacity) for f in a.fields} if isinstance(a, Aggregate) else {})
            self.sets.append(PairSet() if isinstance(a, SetAggregate) else None)

    def grow(self, capacity: int) -> None:
        """Make room for ``capacity`` groups; the new rows are identities."""
        for a, state in zip(self.aggregates, self.states, strict=True):
            if isinstance(a, Aggregate):
                for f in a.fields:
                    state[f.name] = _grown(state[f.name], capacity, f.identity)
        self.capacity = capacity

    def reset(self, rows: NDArray[np.intp]) -> None:
        """Set these rows back to identities."""
        gone = np.zeros(self.capacity, np.bool_)
        gone[rows] = True
        for a, state, pairs in zip(self.aggregates, self.states, self.sets, strict=True):
            if isinstance(a, Aggregate):
                for f in a.fields:
                    state[f.name][rows] = f.identity
            elif pairs is not None:
                pairs.drop_groups(gone)

    def settle(self) -> None:
        """Bring every state into canonical form."""
        for a, state in zip(self.aggregates, self.states, strict=True):
            if isinstance(a, Aggregate) and a.settle is not None:
                a.settle(state)

    def finish(self, rows: NDArray[np.intp], strings: list[str]) -> list[Finished]:
        """Each aggregate's answer for the groups at ``rows``."""
        out: list[Finished] = []
        for a, state, pairs in zip(self.aggregates, self.states, self.sets, strict=True):
            if isinstance(a, Aggregate):
                part = {name: values[rows] for name, values in state.items()}
                if a.settle is not None:
                    a.settle(part)
                out.append(a.finish(part))
            else:
                assert pairs is not None
                place = np.full(self.capacity, -1, np.int64)
                place[rows] = np.arange(len(rows))
                groups, values = pairs.pairs()
                mine = place[groups] >= 0
                out.append(a.finish(place[groups[mine]], values[mine], len(rows), strings))
        return out


@dataclass(frozen=True)
class GroupState:
    """A settled partial state in transport form: arrays cut to their length, codes into ``strings``.

    ``keys`` is int64 of shape (groups, columns + 1): the bits of each group value, and a last word with bit j set
    where column j is null. ``states[i]`` holds aggregate i's fields, or ``groups`` and ``values`` of its pairs.
    """

    keys: NDArray[np.int64]
    states: list[dict[str, NDArray[Any]]]
    strings: list[str]


class Groups:
    """A growing ``group_by`` state over key columns of the given types."""

    def __init__(self, key_types: Sequence[Type], aggregates: Sequence[AnyAggregate], capacity: int = 64) -> None:
        self.key_types = tuple(key_types)
        self.keys = np.zeros((capacity, len(self.key_types) + 1), np.int64)
        self.slots = np.zeros(2 * capacity, np.int32)
        self.used = np.zeros(1, np.int64)
        self.words = np.zeros(len(self.key_types) + 1, np.int64)
        self.cells = Cells(aggregates, capacity)
        self._rows = 0

    def __len__(self) -> int:
        return int(self.used[0])

    def make_room(self) -> None:
        """Grow whatever is full, so that one more group and one more pair of each set fit."""
        if len(self) >= len(self.keys):
            self._resize(2 * len(self.keys))
        for pairs in self.cells.sets:
            if pairs is not None and pairs.room < 1:
                pairs.grow()

    def _resize(self, capacity: int) -> None:
        _check_limit(capacity, "groups")
        self.keys = _grown(self.keys, capacity)
        self.slots = np.zeros(2 * capacity, np.int32)
        enter_groups(self.keys, self.slots, len(self))
        self.cells.grow(capacity)

    def counted(self, rows: int) -> None:
        """Note that a kernel has folded ``rows`` rows, and carry before any accumulator can overflow."""
        self._rows += rows
        if self._rows >= SETTLE_EVERY:
            self.cells.settle()
            self._rows = 0

    def export(self, strings: list[str]) -> GroupState:
        """The settled state with a dictionary of just the strings it uses; ``strings`` gives those of its codes."""
        n = len(self)
        self.cells.settle()
        keys = self.keys[:n].copy()
        states: list[dict[str, NDArray[Any]]] = []
        for state, pairs in zip(self.cells.states, self.cells.sets, strict=True):
            if pairs is None:
                states.append({name: values[:n].copy() for name, values in state.items()})
            else:
                groups, values = pairs.pairs()
                states.append({"groups": groups.copy(), "values": values.copy()})
        used: list[NDArray[Any]] = []
        _each_code(self.key_types, self.cells.aggregates, keys, states, lambda a, ok: used.append(a[ok]))
        present = np.unique(np.concatenate(used)) if used else np.zeros(0, np.int64)
        kept = [strings[c] for c in present.tolist()]

        def renumber(codes: NDArray[Any], ok: NDArray[np.bool_]) -> None:
            codes[ok] = np.searchsorted(present, codes[ok])

        _each_code(self.key_types, self.cells.aggregates, keys, states, renumber)
        return GroupState(keys, states, kept)

    def merge(self, part: GroupState, recode: Callable[[list[str]], NDArray[np.int32]]) -> None:
        """Fold ``part`` in; ``recode`` gives this side's codes of the other's strings."""
        keys = part.keys.copy()
        states = [dict(s) for s in part.states]
        if part.strings:
            codes = recode(part.strings).astype(np.int64)
            for s, a in zip(states, self.cells.aggregates, strict=True):
                names = [f.name for f in a.fields if f.is_code] if isinstance(a, Aggregate) else ["values"]
                s.update({name: s[name].copy() for name in names})

            def renumber(field: NDArray[Any], ok: NDArray[np.bool_]) -> None:
                field[ok] = codes[field[ok]]

            _each_code(self.key_types, self.cells.aggregates, keys, states, renumber)
        while len(self) + len(keys) > len(self.keys):
            self._resize(2 * len(self.keys))
        at = np.zeros(len(keys), np.int64)
        find_groups(keys, self.keys, self.slots, self.used, at)
        for i, (a, state) in enumerate(zip(self.cells.aggregates, states, strict=True)):
            if isinstance(a, Aggregate):
                a.merge(self.cells.states[i], at, state)
            else:
                mine = self.cells.sets[i]
                assert mine is not None
                groups, values = mine.pairs()
                both = np.stack(
                    [np.concatenate([groups, at[state["groups"]]]), np.concatenate([values, state["values"]])], axis=1
                )
                distinct = np.unique(both, axis=0)
                _check_limit(len(distinct), "distinct values over all groups")
                self.cells.sets[i] = PairSet.of(distinct[:, 0].copy(), distinct[:, 1].copy())
        self.cells.settle()

    def ensure(self, keys: NDArray[np.int64]) -> None:
        """Have these groups, too; those that are new have seen nothing."""
        while len(self) + len(keys) > len(self.keys):
            self._resize(2 * len(self.keys))
        find_groups(keys, self.keys, self.slots, self.used, np.zeros(len(keys), np.int64))

    def ensure_one(self) -> None:
        """Have the single group of a ``group_by()`` without columns, even over no rows."""
        if not self.key_types and len(self) == 0:
            find_groups(np.zeros((1, 1), np.int64), self.keys, self.slots, self.used, np.zeros(1, np.int64))


def _each_code(
    key_types: Sequence[Type],
    aggregates: Sequence[AnyAggregate],
    keys: NDArray[np.int64],
    states: Sequence[Mapping[str, NDArray[Any]]],
    visit: Callable[[NDArray[Any], NDArray[np.bool_]], None],
) -> None:
    """Visit every array of string codes of a state, with the mask of entries that hold one."""
    nulls = keys[:, -1]
    for j, t in enumerate(key_types):
        if t is Type.STRING:
            visit(keys[:, j], (nulls >> j) & 1 == 0)
    for a, state in zip(aggregates, states, strict=True):
        if isinstance(a, SetAggregate):
            if a.argument is Type.STRING:
                visit(state["values"], np.ones(len(state["values"]), np.bool_))
        else:
            for f in a.fields:
                if f.is_code:
                    visit(state[f.name], state["n"] > 0)
