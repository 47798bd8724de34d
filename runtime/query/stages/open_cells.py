"""The aggregates of rows that are not written yet, such as open sessions: a cell for each, and which cells are free."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.aggregates import AnyAggregate
from operators.distinct_values import distinct
from operators.states.aggregate_states import AggregateStates
from operators.states.groups import GroupState
from operators.states.strings import Words
from runtime.query.merge.state_form import check_groups, with_prefix

_FIRST, _MORE = 1024, 32768
"""Cells at first, and free ones after the first growth: with few, rows are written in small portions, and two threads
spend their time waiting for each other."""


class OpenCells:
    """The states of ``aggregates``; kernels take free cells from the end of ``free``, of which ``count`` are left."""

    def __init__(self, aggregates: Sequence[AnyAggregate]) -> None:
        self.states = AggregateStates(aggregates, _FIRST)
        self.free = np.arange(self.states.capacity, dtype=np.int64)
        self.count = np.array([self.states.capacity])

    def make_room(self, rows: int, free: int | None = None) -> None:
        """Make room for values of so many rows, and so many ``free`` cells (None: for these and more)."""
        self.states.make_room(rows)
        while self.count[0] < (max(rows, _MORE) if free is None else free):
            old, left = self.states.capacity, int(self.count[0])
            self.states.grow(2 * old)
            grown = np.zeros(2 * old, np.int64)
            grown[:left], grown[left : left + old] = self.free[:left], np.arange(old, 2 * old)
            self.free, self.count[0] = grown, left + old

    def take_back(self, cells: NDArray[np.int64]) -> None:
        """The rows of these cells are written: they are free."""
        self.states.reset(cells)
        at = int(self.count[0])
        self.free[at : at + len(cells)] = cells
        self.count[0] = at + len(cells)

    def saved(self) -> dict[str, NDArray[Any]]:
        """All of it, as arrays."""
        out = {"free": self.free[: int(self.count[0])], "capacity": np.array([self.states.capacity])}
        for j, state in enumerate(self.states.export(self.states.capacity)):
            out |= {f"cell.{j}.{name}": values for name, values in state.items()}
        return out

    def restore(self, saved: Mapping[str, NDArray[Any]], most: int, words: Words) -> None:
        """Take over the ``saved`` state; ValueError or LookupError if it is malformed, or has more than ``most`` open
        rows, or what these may grow to."""
        capacity, free = int(saved["capacity"][0]), saved["free"]
        if not 0 < capacity <= 4 * (most + _MORE + _FIRST):
            raise ValueError("there are more slots than open segments need")
        aggregates = self.states.aggregates
        states = [with_prefix(saved, f"cell.{j}.") for j in range(len(aggregates))]
        # Free cells are taken from the end, one by one, and returned: none occurs twice.
        whole = free.dtype == np.int64 and free.ndim == 1 and len(distinct(free)) == len(free) <= capacity
        if not whole or (len(free) and not 0 <= free.min() <= free.max() < capacity):
            raise ValueError("the free slots are malformed")
        check_groups((), aggregates, GroupState(np.zeros((capacity, 1), np.int64), states, words.strings))
        self.states = AggregateStates(aggregates, capacity)
        self.states.merge(np.arange(capacity), states)
        self.free = np.zeros(capacity, np.int64)
        self.free[: len(free)], self.count[0] = free, len(free)
