"""The commit order that point files carry, for the recovery of a lost catalogue.

A file is written before its commit, so it cannot name that commit. But it names the commits before its attempt began:
the number of the last one, and the attempts of the last ``MOST``. So later files name each commit, except those at the
very end.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from itertools import pairwise

MOST = 16
"""Number of named attempts: more than ever commit between the starts of two attempts."""

LETTERS = 8
"""Characters of an attempt's id that are stored."""


@dataclass(frozen=True)
class Order:
    """The last commit of a stream when an attempt began, and prefixes of the last attempts' ids, newest first."""

    seq: int = 0
    attempts: tuple[str, ...] = ()

    def followed_by(self, attempt: str) -> Order:
        """The order after one more commit."""
        return Order(self.seq + 1, (attempt[:LETTERS], *self.attempts)[:MOST])

    def __str__(self) -> str:
        return " ".join([str(self.seq), *self.attempts])

    @classmethod
    def parse(cls, text: str | None) -> Order | None:
        """The order in a file's origin; None if it has none."""
        seq, *attempts = (text or "").split()[: MOST + 1] or [""]
        return cls(int(seq), tuple(attempts)) if seq.isascii() and seq.isdigit() and len(seq) < 19 else None


@dataclass(frozen=True)
class Started:
    """An attempt: the commits before it, from its files, and when they were written."""

    order: Order | None
    written: int


def named(started: Mapping[str, Started]) -> set[str]:
    """The attempts that later files name: these were certainly committed."""
    known = {name for one in started.values() if one.order is not None for name in one.order.attempts}
    return {attempt for attempt in started if attempt[:LETTERS] in known}


def in_order(started: Mapping[str, Started]) -> tuple[list[str], set[str]]:
    """The attempts in commit order, and those with unknown place, which are ordered by write time.

    Lists never contradict each other on the same attempts, so together they give one order, which is unique if each
    attempt is named next to the one before it. Attempts whose files have no list are of earlier versions, and come
    first; those that no file names come last.
    """
    after = _edges(started)
    certain = named(started)
    waiting = dict.fromkeys(started, 0)
    for followers in after.values():
        for attempt in followers:
            waiting[attempt] += 1

    def rank(attempt: str) -> tuple[int, int, int, str]:
        order, written = started[attempt].order, started[attempt].written
        part = 1 if attempt in certain else 0 if order is None else 2
        return part, -1 if order is None else order.seq, written, attempt

    ready = [rank(attempt) for attempt, count in waiting.items() if not count]
    heapify(ready)
    out: list[str] = []
    while ready:
        *_, attempt = heappop(ready)
        out.append(attempt)
        for follower in after[attempt]:
            waiting[follower] -= 1
            if not waiting[follower]:
                heappush(ready, rank(follower))
    circular = sorted(set(started) - set(out), key=lambda a: (started[a].written, a))  # lists that contradict others
    unsure = set(circular)
    for one, two in pairwise(out):
        is_first = rank(one)[0] == 0 and rank(two)[0] > 0
        if two not in after[one] and not is_first:
            unsure |= {one, two}
    return out + circular, unsure


def _edges(started: Mapping[str, Started]) -> Mapping[str, set[str]]:
    """For each attempt those known to follow it, at least the next one."""
    by_name: dict[str, list[str]] = defaultdict(list)
    for attempt in started:
        by_name[attempt[:LETTERS]].append(attempt)
    after: dict[str, set[str]] = defaultdict(set)
    lists: list[tuple[Order, Sequence[str]]] = []
    for attempt, one in started.items():
        if one.order is None:
            continue
        # Attempts without a file, or with an ambiguous prefix, are skipped.
        chain = [by_name[name][0] for name in reversed(one.order.attempts) if len(by_name[name]) == 1]
        lists.append((one.order, chain))
        for before, following in pairwise([*chain, attempt]):
            after[before].add(following)
    # An attempt missing from a list that goes back far enough came after it.
    order, newest = max(lists, key=lambda found: found[0].seq, default=(Order(), []))
    for attempt, one in started.items():
        if one.order is None or not newest or attempt[:LETTERS] in order.attempts or one.order.seq > order.seq:
            continue
        if one.order.seq >= order.seq - len(order.attempts):
            after[newest[-1]].add(attempt)
    return after
