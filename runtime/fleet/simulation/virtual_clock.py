"""Runs coordinators on a virtual clock: hours of a fleet in a second."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable

from runtime.errors import QueryError
from runtime.fleet.coordinator import Coordinator, Start
from runtime.fleet.outcomes import Outcome


class VirtualClock:
    """Virtual seconds and a queue of events; time moves only when all due events are done."""

    def __init__(self) -> None:
        self.now = 0.0
        self.steps = 0
        self._order = 0
        self._due: list[tuple[float, int, Callable[[], None]]] = []

    def at(self, when: float, do: Callable[[], None]) -> None:
        """Schedule ``do`` at ``when``; events due at one time run in the order they were scheduled."""
        self._order += 1
        heapq.heappush(self._due, (max(when, self.now), self._order, do))

    def run(self) -> None:
        """Run until no event is left."""
        while self._due:
            self.now, _, do = heapq.heappop(self._due)
            self.steps += 1
            do()


class Driven:
    """Drives a coordinator: ``begin`` starts an attempt, ``end`` receives the final outcome.

    ``end`` gets the error, or None when all is done. Later replies are still reported, like real late ones, and an
    error that they raise goes to ``late``.
    """

    def __init__(
        self,
        clock: VirtualClock,
        coordinator: Coordinator,
        begin: Callable[[Start], None],
        end: Callable[[QueryError | None], None],
    ) -> None:
        self.clock, self.coordinator = clock, coordinator
        self.over = False
        self.late: QueryError | None = None
        self._begin, self._end = begin, end
        self._next = math.inf
        self._look()

    def report(self, attempt: int, outcome: Outcome) -> None:
        """Report the outcome of an attempt, now."""
        try:
            self.coordinator.report(attempt, outcome, self.clock.now)
        except QueryError as error:
            if self.over:
                self.late = error
            else:
                self._finish(error)
        self._look()

    def _look(self) -> None:
        if self.over:
            return
        try:
            for start in self.coordinator.starts(self.clock.now):
                self._begin(start)
        except QueryError as error:
            self._finish(error)
            return
        if self.coordinator.done:
            self._finish(None)
            return
        wake = self.coordinator.wake(self.clock.now)
        if wake < self._next:
            self._next = wake
            self.clock.at(wake, self._woken)

    def _woken(self) -> None:
        if self.clock.now >= self._next:
            self._next = math.inf
        self._look()

    def _finish(self, error: QueryError | None) -> None:
        self.over = True
        self._end(error)
