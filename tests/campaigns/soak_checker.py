"""The process that works out again what the campaign ``soak`` was answered: the rows of each commit, and the oracle.

It is apart, so that its memory is not that of the service which is watched.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from runtime.testing.oracle import IntegerOverflowError, answer
from runtime.testing.oracle.strategies import DAY, KEY, TIME, TYPES, Point
from tests.laws.agreement import typed
from tests.laws.graphs import GRAPHS

Rows = list[dict[str, Any]]
OVERFLOW: Rows = [{"error": "64-bit"}]
"""What stands for the rows of a metric that overflows."""


@dataclass(frozen=True)
class Change:
    """A stream holds these ``sources`` (paths, in the order of their commits) from some commit in (``before``, ``at``]
    on."""

    stream: str
    before: int
    at: int
    sources: tuple[str, ...]


@dataclass(frozen=True)
class Answer:
    """``rows`` were answered to the metric ``name`` over [since, until), from the commit ``snapshot``."""

    stream: str
    snapshot: int
    name: str
    since: int
    until: int
    rows: Rows
    by: str

    def __str__(self) -> str:
        return f"{self.name} of {self.stream} at {self.snapshot}, [{self.since}, {self.until}), by {self.by}"


@dataclass
class Ledger:
    """What each stream held at each of its commits; answers from later ones wait."""

    changes: dict[str, list[Change]] = field(default_factory=lambda: defaultdict(list))
    waiting: dict[str, list[Answer]] = field(default_factory=lambda: defaultdict(list))

    def note(self, change: Change) -> list[Answer]:
        """The answers that can be checked from now on."""
        self.changes[change.stream].append(change)
        ready = [one for one in self.waiting[change.stream] if one.snapshot <= change.before]
        self.waiting[change.stream] = [one for one in self.waiting[change.stream] if one.snapshot > change.before]
        return ready

    def rest(self) -> list[Answer]:
        """All that wait: no change comes any more."""
        found = [one for some in self.waiting.values() for one in some]
        self.waiting.clear()
        return found

    def is_known(self, one: Answer) -> bool:
        """Whether no later change can be the one that was read; if not, it waits."""
        changes = self.changes[one.stream]
        if changes and one.snapshot <= changes[-1].before:
            return True
        self.waiting[one.stream].append(one)
        return False

    def held(self, stream: str, snapshot: int) -> list[tuple[str, ...]]:
        """The sources that a stream may have held: several while a change was being committed."""
        changes = self.changes[stream]
        last = bisect_right([change.at for change in changes], snapshot) - 1
        found = [changes[last].sources] if last >= 0 else [()]
        return found + [change.sources for change in changes[last + 1 :] if change.before < snapshot]


@lru_cache(2_000)
def _points(path: str) -> tuple[Point, ...]:
    return tuple(json.loads(line) for line in Path(path).read_text().splitlines())


@lru_cache(200_000)
def _span(path: str) -> tuple[int, int]:
    times = [point[TIME] for point in _points(path)]
    return min(times), max(times)


def _rows(graph: Mapping[str, Any], sources: tuple[str, ...], one: Answer) -> Rows:
    earliest = one.since - 2 * DAY if one.stream == "long" else -(1 << 62)
    read = [path for path in sources if _span(path)[1] >= earliest and _span(path)[0] < one.until]
    points = [point for path in read for point in _points(path)]
    try:
        return answer(dict(graph), points, key=KEY, time=TIME, types=TYPES, since=one.since, until=one.until)
    except IntegerOverflowError:
        return OVERFLOW


def wrong(ledger: Ledger, one: Answer) -> str | None:
    """None if the answer is right, else a line that says what is."""
    allowed = [_rows(GRAPHS[one.name], sources, one) for sources in ledger.held(one.stream, one.snapshot)]
    if any(typed(one.rows) == typed(rows) for rows in allowed):
        return None
    return f"{one}: right is {allowed[0]!r:.300}, came {one.rows!r:.300}"


def check(pipe: Connection) -> None:
    """Read changes and answers until None; reply to each "checked" with the counts and failures so far."""
    ledger, checked, failures = Ledger(), 0, list[str]()

    def judge(some: list[Answer]) -> None:
        nonlocal checked
        for one in some:
            said = wrong(ledger, one)
            checked += 1
            if said is not None and len(failures) < 20:
                failures.append(said)

    while True:
        match pipe.recv():
            case Change() as change:
                judge(ledger.note(change))
            case Answer() as one:
                judge([one] if ledger.is_known(one) else [])
            case "checked":
                pipe.send((checked, list(failures)))
            case None:
                judge(ledger.rest())
                pipe.send((checked, list(failures)))
                return
