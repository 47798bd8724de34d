"""The base of sinks that follow a key through its events: funnels, cohorts, transitions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dataflow.plan.sink import NamedTyped, Reach, Sink, columns_in
from dataflow.typed.nodes import Typed


@dataclass(frozen=True)
class Flow(Sink):
    """Sink: rows about each key, with the ``held`` columns of the stream."""

    held: NamedTyped

    follows_keys = True
    rows_per_second = 80e6

    @property
    def reports(self) -> NamedTyped:
        """The columns of which it remembers the last reported values."""
        return self.held

    def expressions(self) -> Iterator[Typed]:
        """See Sink."""
        yield from (e for _, e in self.reports)

    @property
    def history(self) -> Reach:
        """Microseconds before the range that matter, apart from held columns; None: everything."""
        return 0

    @property
    def held_columns(self) -> tuple[str, ...]:
        """See Sink."""
        return columns_in(self.reports)

    def looks_back(self, first: bool) -> Reach:
        """See Sink."""
        return None if self.reports and not first else self.history

    def needs_before(self, needed: Reach, first: bool) -> Reach:
        """See Sink."""
        return None if self.reports and not first else needed
