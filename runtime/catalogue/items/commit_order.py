"""The order of commits as point files carry it, for a catalogue that is lost.

A file is written before its commit, so it cannot say which commit it is of. But it can say which commits there were
when its attempt began: the number of the last one, and the attempts of the last ``MOST``. Each commit is thus named by
files that were written later; only those at the very end are not.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush
from itertools import pairwise

MOST = 16
"""How many attempts are named: more than ever commit between the beginning of one and of the next."""

LETTERS = 8
"""How much of an attempt's id is given."""


@dataclass(frozen=True)
class Order:
    """The last commit of a stream when an attempt began, and the beginnings of the last attempts' ids, newest first."""

    seq: int = 0
    attempts: tuple[str, ...] = ()

    def followed_by(self, attempt: str) -> Order:
        """The order after one more commit."""
        return Order(self.seq + 1, (attempt[:LETTERS], *self.attempts)[:MOST])

    def __str__(self) -> str:
        return " ".join([str(self.seq), *self.attempts])

    @classmethod
    def parse(cls, text: str | None) -> Order | None:
        """The order that a file gives; None if it gives none."""
        seq, *attempts = (text or "").split()[: MOST + 1] or [""]
        return cls(int(seq), tuple(attempts)) if seq.isascii() and seq.isdigit() and len(seq) < 19 else None


@dataclass(frozen=True)
class Started:
    """An attempt: what its files say of the commits before it, and when they were written."""

    order: Order | None
    written: int


def named(started: Mapping[str, Started]) -> set[str]:
    """The attempts that files of later ones name: these were committed for certain."""
    known = {name for one in started.values() if one.order is not None for name in one.order.attempts}
    return {attempt for attempt in started if attempt[:LETTERS] in known}


def in_order(started: Mapping[str, Started]) -> tuple[list[str], set[str]]:
    """The attempts in the order of their commits, and those whose place is not known: they come as they were written.

    What two lists say of the same attempts agrees, so all lists together give one order, which is the only one if each
    attempt was named beside the one before it. Attempts whose files say nothing are of earlier versions, and come
    first; those that nothing names come last.
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
    """For each attempt those that are known to follow it, at least the next one."""
    by_name: dict[str, list[str]] = defaultdict(list)
    for attempt in started:
        by_name[attempt[:LETTERS]].append(attempt)
    after: dict[str, set[str]] = defaultdict(set)
    lists: list[tuple[Order, Sequence[str]]] = []
    for attempt, one in started.items():
        if one.order is None:
            continue
        # Attempts without a file, or of which there may be two, are passed over.
        chain = [by_name[name][0] for name in reversed(one.order.attempts) if len(by_name[name]) == 1]
        lists.append((one.order, chain))
        for before, following in pairwise([*chain, attempt]):
            after[before].add(following)
    # What a list that goes back far enough does not name came after it.
    order, newest = max(lists, key=lambda found: found[0].seq, default=(Order(), []))
    for attempt, one in started.items():
        if one.order is None or not newest or attempt[:LETTERS] in order.attempts or one.order.seq > order.seq:
            continue
        if one.order.seq >= order.seq - len(order.attempts):
            after[newest[-1]].add(attempt)
    return after
