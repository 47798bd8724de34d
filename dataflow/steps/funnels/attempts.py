"""What a funnel looks for: the base of its sink."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dataflow.plan.sink import Memory, with_held
from dataflow.sinks.flow_sink import Flow
from dataflow.times.calendar_tables import most_buckets
from dataflow.typed.nodes import Typed


@dataclass(frozen=True)
class ExcludedRow:
    """A row that meets ``condition`` after step ``after`` and before step ``before`` ends an attempt."""

    condition: Typed
    after: int
    before: int


@dataclass(frozen=True)
class Attempts(Flow):
    """Funnels: rows about the attempts of each key to meet the ``conditions``.

    Writes one row per key, per key and calendar ``bucket`` of the attempt's start, or per session (``gap``): of the
    attempt that got furthest. With ``all_completed``, one row per completed attempt.

    Writes start (as time), end, ``steps``, the start of the bucket (``entry``), for the steps in ``times`` when each
    was met (``step_i``), and for the numbers in ``reached`` when so many steps had been met (``reached_i``).
    """

    conditions: tuple[Typed, ...]
    within: int | tuple[int, ...]
    mode: str
    times: tuple[int, ...]
    excluded: tuple[ExcludedRow, ...] = ()
    bucket: Typed | None = None
    gap: int | None = None
    all_completed: bool = False
    reached: tuple[int, ...] = ()

    once_a_key = True

    def expressions(self) -> Iterator[Typed]:
        """See Sink."""
        yield from self.conditions
        yield from (e.condition for e in self.excluded)
        if self.bucket is not None:
            yield self.bucket
        yield from super().expressions()

    def memory(self) -> Memory:
        """See Sink: only points of the range count."""
        return Memory(values=tuple(e for _, e in self.held), rows=False)

    @property
    def longest(self) -> int:
        """The longest time that an attempt may take."""
        return self.within if isinstance(self.within, int) else sum(self.within)

    @property
    def lanes(self) -> int:
        """In how many calendar buckets the open attempts of a key may have started."""
        if self.bucket is None:
            return 1
        return most_buckets(str(self.bucket.option("every")), str(self.bucket.option("zone")), self.longest)

    def describe(self) -> str:
        """See Sink."""
        windows = (self.within,) if isinstance(self.within, int) else self.within
        said = [
            f"a funnel of {len(self.conditions)} steps",
            self.mode,
            f"within {' and '.join(f'{length / 1e6:g}' for length in windows)} s",
        ]
        said += [f"excluded between steps {e.after} and {e.before}" for e in self.excluded]
        if self.bucket is not None:
            said.append(f"for each {self.bucket.option('every')} of entry in {self.bucket.option('zone')}")
        if self.gap is not None:
            said.append(f"in sessions with gaps of {self.gap / 1e6:g} s")
        if self.all_completed:
            said.append("all completed attempts")
        return with_held(", ".join(said), self.held)
