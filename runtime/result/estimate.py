"""The estimate of a query on Lambda before it runs: its seconds, where they go, its dollars; and the budget."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from operators.errors import DataflowError
from runtime.result.cost import US_EAST_1, Used, Worker
from runtime.result.speeds import Speeds
from runtime.result.work import Load


class BudgetExceeded(DataflowError):
    """The query's estimated cost exceeds its budget; nothing was invoked."""


@dataclass(frozen=True)
class Estimate:
    """The expected time and cost of a query without faults, all tasks at once: seconds in all and by what they are
    spent on (as far as nothing else is waited for meanwhile), bytes, GETs and dollars.

    As in ``Cost``, what starting new workers costs is not in ``dollars``.
    """

    bytes: int
    tasks: int
    invocations: int
    gb_seconds: float
    gets: int
    seconds: float
    dollars: float
    parts: Mapping[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        return (
            f"{self.seconds:.2g} s, ${self.dollars:.2g}: {self.invocations:,} invocations, {self.gb_seconds:,.2g} "
            f"GB-s, {self.gets:,} GETs of {self.bytes:,} bytes"
        )

    def within(self, budget: float) -> None:
        """Raise ``BudgetExceeded`` if the estimate exceeds ``budget`` dollars."""
        if not budget >= 0:
            raise DataflowError(f"budget must be dollars, 0 or more, got {budget!r}")
        if self.dollars > budget:
            raise BudgetExceeded(
                f"the query would cost about ${self.dollars:.3g} ({self.tasks:,} tasks, {self.bytes:,} bytes, "
                f"{self.gets:,} GETs) and its budget is ${budget:g}: nothing was invoked; ask for a shorter range, "
                "compact small files, or allow more."
            )


def estimate(load: Load, relays: int, worker: Worker, speeds: Speeds | None = None, new: bool = False) -> Estimate:
    """The estimate for ``load`` on workers of this size, invoked by so many relays (0: by the caller); ``new``: none of
    them has run before."""
    speeds = speeds or Speeds()
    each = load.seconds(worker, speeds)
    longest = max(each, key=lambda s: s.whole)
    kernels = load.kernels if new else 0
    fetching = kernels * (speeds.wait + speeds.get)
    groups = max(1, relays)
    asking = load.tasks / groups / speeds.rate + load.opened / groups * speeds.ask
    merging = speeds.merge * load.tasks / groups + load.opened / groups * speeds.check
    start = speeds.cold * 1.1 if new else 0.0
    below = asking + start + fetching + longest.whole + speeds.overhead + merging
    parts = {
        "planning": speeds.planning(load.files),
        "starting tasks": asking + speeds.overhead,
        "starting new workers": start + fetching,
        "opening": longest.opening,
        "reading": longest.reading,
        "computing": longest.computing,
        "merging": merging,
    }
    if relays:
        parts["starting tasks"] += relays / speeds.rate + speeds.overhead
        parts["starting new workers"] += start
        parts["merging"] += speeds.merge * relays
    compute = Used()
    for seconds, work in zip(each, load.work, strict=True):
        compute += Used.of(seconds.whole + fetching, worker, work.gets + kernels)
    mine = Used.of(below, worker)
    invocations = load.tasks + relays
    dollars = compute.compute + relays * mine.compute
    dollars += invocations * US_EAST_1.invocation + compute.gets * US_EAST_1.get
    gb_seconds = compute.gb_seconds + relays * mine.gb_seconds
    whole = sum(parts.values())
    return Estimate(load.bytes, load.tasks, invocations, gb_seconds, compute.gets, whole, dollars, parts)
