"""Sinks of the steps that follow a key through its events: funnels, cohorts and transitions.

They join the other sinks of ``dataflow.plan``; the code of each is in ``dataflow/codegen``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dataflow.typed import Typed


@dataclass(frozen=True)
class Flow:
    """Sink: rows about each key, with the ``held`` columns of the stream."""

    held: tuple[tuple[str, Typed], ...]

    def expressions(self) -> Iterator[Typed]:
        """What is computed in every row, outermost nodes."""
        yield from (e for _, e in self.held)

    @property
    def history(self) -> int | None:
        """Microseconds before the range that matter to more than held columns; None: everything."""
        return 0


@dataclass(frozen=True)
class Climb(Flow):
    """Funnels: one row per key that met the first of ``conditions``.

    Writes start (as time), end, ``steps`` and, of ``times``, when step i was met as ``step_i``.
    """

    conditions: tuple[Typed, ...]
    within: int
    mode: str
    times: tuple[int, ...]

    def expressions(self) -> Iterator[Typed]:
        """See Flow."""
        yield from self.conditions
        yield from super().expressions()


@dataclass(frozen=True)
class Periods(Flow):
    """Cohorts: one row per key and calendar bucket from the key's first ``begins`` on, to the end of the range.

    Writes start (as time), end, ``cohort``, ``period`` and ``returned``.
    """

    begins: Typed
    returns: Typed
    bucket: Typed

    def expressions(self) -> Iterator[Typed]:
        """See Flow."""
        yield from (self.begins, self.returns, self.bucket)
        yield from super().expressions()

    @property
    def history(self) -> int | None:
        """A key that began before the range is in none of its cohorts."""
        return None


@dataclass(frozen=True)
class Moves(Flow):
    """Transitions: one row per step of a key from a value to the next. Writes ``from``, ``to`` and ``after``."""

    of: Typed
    gap: int | None

    def expressions(self) -> Iterator[Typed]:
        """See Flow."""
        yield self.of
        yield from super().expressions()

    @property
    def history(self) -> int | None:
        """The value before the first of the range, if it is near enough."""
        return self.gap
