"""Tables (group, words) -> number: counts of values, bins or transitions per group, or maxima."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from operators.states.table_growth import check_limit, enter_all, find_all, grown

_WHAT = "values over all groups"

Coarse: TypeAlias = Callable[[NDArray[np.int64]], NDArray[np.int64]]


@dataclass(frozen=True)
class Entries:
    """The entries of some groups, ordered by group and words: ``words`` is int64 of shape (entries, words)."""

    groups: NDArray[np.int64]
    words: NDArray[np.int64]
    counts: NDArray[np.int64]
    strings: list[str]
    """The string of every code."""

    at: NDArray[np.int64]
    tied: NDArray[np.int64]
    """The time and the key's hash of the first row of each; empty unless the tally is dated."""


class Tally:
    """One table; entries 0 to ``used[0] - 1`` are filled. ``keys`` has (group, words...).

    If ``is_dated``, ``at`` and ``tied`` are the time and the key's hash of each entry's first row.
    """

    def __init__(self, words: int, largest: bool, is_dated: bool, capacity: int = 64) -> None:
        self.largest, self.is_dated = largest, is_dated
        self.keys = np.zeros((capacity, 1 + words), np.int64)
        self.counts = np.zeros(capacity, np.int64)
        self.at, self.tied = (np.zeros(capacity if is_dated else 0, np.int64) for _ in range(2))
        self.slots = np.zeros(2 * capacity, np.int32)
        self.used = np.zeros(1, np.int64)
        self.words = np.zeros(1 + words, np.int64)

    def __len__(self) -> int:
        return int(self.used[0])

    def make_room(self, rows: int = 1) -> None:
        """Make room for ``rows`` more entries."""
        while len(self) + rows > len(self.keys):
            self._resize(2 * len(self.keys))

    def _resize(self, capacity: int) -> None:
        check_limit(capacity, _WHAT)
        self.keys, self.counts = grown(self.keys, capacity), grown(self.counts, capacity)
        if self.is_dated:
            self.at, self.tied = grown(self.at, capacity), grown(self.tied, capacity)
        self.slots = np.zeros(2 * capacity, np.int32)
        enter_all(self.keys, self.slots, len(self))

    def entries(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Keys and counts, in order of entry."""
        return self.keys[: len(self)], self.counts[: len(self)]

    def dates(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """``at`` and ``tied`` of a dated tally, in order of entry."""
        return self.at[: len(self)], self.tied[: len(self)]

    def date(self, keys: NDArray[np.int64], at: NDArray[np.int64], tied: NDArray[np.int64]) -> None:
        """Take these times and hashes for the entries with distinct ``keys`` that are new, or whose own are later; to
        be called before they are added."""
        while len(self) + len(keys) > len(self.keys):
            self._resize(2 * len(self.keys))
        e = find_all(keys, self.keys, self.slots, self.used)
        sooner = (at < self.at[e]) | ((at == self.at[e]) & (tied < self.tied[e]))
        wins = (self.counts[e] == 0) | sooner
        self.at[e[wins]], self.tied[e[wins]] = at[wins], tied[wins]

    def add(self, keys: NDArray[np.int64], counts: NDArray[np.int64]) -> None:
        """Add entries with distinct ``keys``."""
        while len(self) + len(keys) > len(self.keys):
            self._resize(2 * len(self.keys))
        at = find_all(keys, self.keys, self.slots, self.used)
        if self.largest:
            self.counts[at] = np.maximum(self.counts[at], counts)
        else:
            self.counts[at] += counts

    def add_each(self, keys: NDArray[np.int64], counts: NDArray[np.int64]) -> None:
        """Add entries; several may have the same key."""
        while len(self) + len(keys) > len(self.keys):
            self._resize(2 * len(self.keys))
        np.add.at(self.counts, find_all(keys, self.keys, self.slots, self.used), counts)

    def drop_groups(self, gone: NDArray[np.bool_]) -> None:
        """Remove the entries of the marked groups."""
        keys, counts = self.entries()
        keep = ~gone[keys[:, 0]]
        n = int(keep.sum())
        self.keys[:n], self.counts[:n] = keys[keep], counts[keep]
        if self.is_dated:
            at, tied = (part[: len(keep)][keep] for part in (self.at, self.tied))
            self.at[:n], self.tied[:n] = at, tied
        self.counts[n:] = 0
        self.used[0] = n
        self.slots[:] = 0
        enter_all(self.keys, self.slots, n)

    def of_groups(self, place: NDArray[np.int64], strings: list[str]) -> Entries:
        """The entries of the groups with a ``place`` (not -1), under that number."""
        keys, counts = self.entries()
        groups = place[keys[:, 0]]
        mine = groups >= 0
        groups, words, counts = groups[mine], keys[mine, 1:], counts[mine]
        order = _order(groups, words)
        at, tied = (part[mine][order] if self.is_dated else part for part in self.dates())
        return Entries(groups[order], words[order], counts[order], strings, at, tied)


def _order(groups: NDArray[np.int64], words: NDArray[np.int64]) -> NDArray[np.intp]:
    """The order of distinct keys by group and words."""
    if words.shape[1] != 1:
        return np.lexsort([*reversed(words.T), groups])
    order = np.argsort(words[:, 0])
    # 16 bits at a time, which numpy sorts by counting: a quarter of the time of sorting two integers.
    for shift in range(0, int(groups.max(initial=0)).bit_length(), 16):
        order = order[np.argsort((groups[order] >> shift).astype(np.uint16), kind="stable")]
    return order


def coarsened(tally: Tally, left: NDArray[np.int64], coarse: Coarse) -> None:
    """Make the words of groups with too many of them coarse, where ``left`` is 0; in place."""
    over = left == 0
    if not over.any():
        return
    keys, counts = tally.entries()
    mine = over[keys[:, 0]]
    keys, counts = keys[mine], counts[mine]
    keys[:, 1] = coarse(keys[:, 1])
    tally.drop_groups(over)
    tally.add_each(keys, counts)
    left[over] = -1


def merged_coarse(
    tally: Tally,
    left: NDArray[np.int64],
    coarse: Coarse,
    at: NDArray[np.intp],
    keys: NDArray[np.int64],
    counts: NDArray[np.int64],
    theirs: NDArray[np.int64],
) -> None:
    """Add the entries of settled states; their group j is ``at[j]`` here and has ``theirs[j]`` words left."""
    coarsened(tally, left, coarse)
    mine = left[at]
    empty = np.ones(len(left), np.bool_)
    empty[tally.entries()[0][:, 0]] = False
    wide = left[keys[:, 0]] < 0
    keys[wide, 1] = coarse(keys[wide, 1])
    before = len(tally)
    tally.add_each(keys, counts)
    new = np.bincount(tally.entries()[0][before:, 0], minlength=len(left))[at]
    # If one side has too many words, so has the sum; the other side's words become coarse unless they are.
    after = np.where(theirs < 0, np.where(empty[at], -1, 0), np.maximum(mine - new, 0))
    left[at] = np.where(mine < 0, -1, after)
