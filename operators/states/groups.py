"""The state of one ``group_by().agg()``: group keys and, per aggregate, the arrays that its step fills.

Kernels fill it in place with ``operators.kernels.hash_tables``; this module grows it between calls, brings it into
canonical form, exports and merges it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from operators.aggregates import AnyAggregate
from operators.distinct_values import distinct
from operators.states.aggregate_states import AggregateStates, State, each_code, own_codes
from operators.states.table_growth import check_limit, enter_all, find_all, grown
from operators.types import Type

SETTLE_EVERY = 1 << 28
"""Rows after which carries must be moved (``operators.kernels.sums.windowed_sums``)."""


@dataclass(frozen=True)
class GroupState:
    """A settled group state, to be sent and merged: arrays cut to their length, codes into ``strings``.

    ``keys`` is int64 of shape (groups, columns + 1): the bits of each group value, and a last word with bit j set if
    column j is null. ``states[i]`` has aggregate i's fields, its exact sums (``name`` and ``name_beyond``, or
    ``name_spans`` and ``name_digits`` of floats) and its tally (``keys`` and ``counts``), or ``groups`` and ``values``
    of its pairs.
    """

    keys: NDArray[np.int64]
    states: list[State]
    strings: list[str]


class Groups:
    """A growing ``group_by`` state over key columns of the given types."""

    def __init__(self, key_types: Sequence[Type], aggregates: Sequence[AnyAggregate], capacity: int = 64) -> None:
        self.key_types = tuple(key_types)
        self.keys = np.zeros((capacity, len(self.key_types) + 1), np.int64)
        self.slots = np.zeros(2 * capacity, np.int32)
        self.used = np.zeros(1, np.int64)
        self.words = np.zeros(len(self.key_types) + 1, np.int64)
        self.cells = AggregateStates(aggregates, capacity)
        self._rows = 0

    def __len__(self) -> int:
        return int(self.used[0])

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays, also of those for groups to come."""
        return self.keys.nbytes + self.slots.nbytes + self.cells.nbytes

    def make_room(self) -> None:
        """Grow full arrays, so that one more group and one more pair per set fit."""
        if len(self) >= len(self.keys):
            self._resize(2 * len(self.keys))
        self.cells.make_room()

    def _resize(self, capacity: int) -> None:
        check_limit(capacity, "groups")
        self.keys = grown(self.keys, capacity)
        self.slots = np.zeros(2 * capacity, np.int32)
        enter_all(self.keys, self.slots, len(self))
        self.cells.grow(capacity)

    def counted(self, rows: int) -> bool:
        """Record that a kernel folded ``rows`` rows, and move carries before an accumulator can overflow. Returns
        whether arrays were replaced."""
        self.cells.counted(rows)
        self._rows += rows
        if self._rows < SETTLE_EVERY:
            return False
        self.cells.relieve()
        self._rows = 0
        return True

    def export(self, strings: list[str]) -> GroupState:
        """The settled state, with a dictionary of only the strings that it uses; ``strings`` are those of the codes."""
        n = len(self)
        return self._with_used(self.keys[:n].copy(), self.cells.export(n), strings)

    def with_used_strings(self, state: GroupState) -> GroupState:
        """A state of such groups with a dictionary of only the strings that it uses; its arrays are changed."""
        return self._with_used(state.keys, state.states, state.strings)

    def _with_used(self, keys: NDArray[np.int64], states: list[State], strings: list[str]) -> GroupState:
        used: list[NDArray[np.int64]] = []
        self._each_code(keys, states, lambda a, ok: used.append(a[ok]))
        present = distinct(np.concatenate(used)) if used else np.zeros(0, np.int64)
        kept = [strings[c] for c in present.tolist()]

        def renumber(codes: NDArray[np.int64], ok: NDArray[np.bool_]) -> None:
            codes[ok] = np.searchsorted(present, codes[ok])

        self._each_code(keys, states, renumber)
        return GroupState(keys, states, kept)

    def merge(self, part: GroupState, recode: Callable[[list[str]], NDArray[np.int32]]) -> None:
        """Merge ``part``; ``recode`` returns this side's codes for the other's strings."""
        keys, states = part.keys.copy(), part.states
        if part.strings:
            codes = recode(part.strings).astype(np.int64)
            states = own_codes(self.cells.aggregates, states)

            def renumber(field: NDArray[np.int64], ok: NDArray[np.bool_]) -> None:
                field[ok] = codes[field[ok]]

            self._each_code(keys, states, renumber)
        while len(self) + len(keys) > len(self.keys):
            self._resize(2 * len(self.keys))
        self.cells.merge(find_all(keys, self.keys, self.slots, self.used), states)
        self.cells.settle()

    def ensure(self, keys: NDArray[np.int64]) -> None:
        """Add these groups if they are missing, as empty groups."""
        while len(self) + len(keys) > len(self.keys):
            self._resize(2 * len(self.keys))
        find_all(keys, self.keys, self.slots, self.used)

    def ensure_one(self) -> None:
        """Add the single group of a ``group_by()`` without columns, even without rows."""
        if not self.key_types and len(self) == 0:
            find_all(np.zeros((1, 1), np.int64), self.keys, self.slots, self.used)

    def _each_code(
        self,
        keys: NDArray[np.int64],
        states: Sequence[State],
        visit: Callable[[NDArray[np.int64], NDArray[np.bool_]], None],
    ) -> None:
        """Visit every array of string codes of a state, with the mask of entries that are codes."""
        for j, t in enumerate(self.key_types):
            if t is Type.STRING:
                visit(keys[:, j], (keys[:, -1] >> j) & 1 == 0)
        each_code(self.cells.aggregates, states, visit)
