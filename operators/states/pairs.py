"""Numbered pairs of words, found by a hash table that kernels fill: tries of sequences, times by key and value."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from operators.states.table_growth import check_limit, enter_all, grown


class Pairs:
    """Pairs in the order of their first appearance; entries 0 to ``used[0] - 1`` are filled.

    ``keys`` is int64 of shape (capacity, 2), ``numbers`` a number for each; ``slots`` and ``words`` are those of
    ``operators.kernels.hash_tables.find_group``.
    """

    def __init__(self, capacity: int = 64) -> None:
        self.keys = np.zeros((capacity, 2), np.int64)
        self.numbers = np.zeros(capacity, np.int64)
        self.slots = np.zeros(2 * capacity, np.int32)
        self.used = np.zeros(1, np.int64)
        self.words = np.zeros(2, np.int64)

    def __len__(self) -> int:
        return int(self.used[0])

    def has_room(self, more: int) -> bool:
        """Whether ``more`` pairs fit."""
        return len(self) + more <= len(self.keys)

    def make_room(self, more: int) -> None:
        """Grow, so that ``more`` pairs fit."""
        capacity = len(self.keys)
        while len(self) + more > capacity:
            capacity *= 2
        if capacity > len(self.keys):
            check_limit(capacity, "distinct sequences of values, or values of keys")
            self.keys, self.numbers = grown(self.keys, capacity), grown(self.numbers, capacity)
            self._enter()

    def keep(self, chosen: NDArray[np.bool_]) -> None:
        """Keep only the chosen pairs, one flag for each pair."""
        n = int(chosen.sum())
        self.keys[:n], self.numbers[:n] = self.keys[: len(self)][chosen], self.numbers[: len(self)][chosen]
        self.used[0] = n
        self._enter()

    def _enter(self) -> None:
        self.slots = np.zeros(2 * len(self.keys), np.int32)
        enter_all(self.keys, self.slots, len(self))

    def saved(self) -> dict[str, NDArray[Any]]:
        """The pairs, as arrays."""
        return {"keys": self.keys[: len(self)], "numbers": self.numbers[: len(self)]}

    def restore(self, saved: Mapping[str, NDArray[Any]]) -> None:
        """Continue from ``saved``; ValueError if it is malformed."""
        keys, numbers = saved["keys"], saved["numbers"]
        n = len(keys)
        whole = keys.dtype == numbers.dtype == np.int64 and keys.shape == (n, 2) and numbers.shape == (n,)
        if not whole or len(np.unique(keys, axis=0)) != n:
            raise ValueError("the pairs are malformed")
        self.used[0] = 0
        self.make_room(n)
        self.keys[:n], self.numbers[:n], self.used[0] = keys, numbers, n
        self._enter()
