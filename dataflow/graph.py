"""The operator graph: an immutable chain of steps from a stream to a table."""

from __future__ import annotations

from dataclasses import dataclass

from dataflow.expr import Expr


@dataclass(frozen=True, eq=False)
class Agg:
    """One aggregate over a group's rows, of those where ``where`` is true."""

    fn: str
    args: tuple[Expr, ...] = ()
    where: Expr | None = None


Named = tuple[tuple[str, Expr], ...]
NamedAggs = tuple[tuple[str, Agg], ...]


@dataclass(frozen=True, eq=False)
class Source:
    """All points of a stream."""

    name: str


@dataclass(frozen=True, eq=False)
class Filter:
    """Rows where the condition is true."""

    where: Expr


@dataclass(frozen=True, eq=False)
class WithColumns:
    """Rows with further or replaced columns."""

    columns: Named


@dataclass(frozen=True, eq=False)
class Select:
    """Rows with just these columns (key and time stay)."""

    columns: Named


@dataclass(frozen=True, eq=False)
class StateDuration:
    """Intervals during which each key held each value of ``state``, at most ``hold`` microseconds a report."""

    state: Expr
    name: str
    hold: int | None


@dataclass(frozen=True, eq=False)
class Heartbeat:
    """Intervals during which each key was alive (a point in the last ``timeout`` microseconds) or not."""

    timeout: int


@dataclass(frozen=True, eq=False)
class Sessionize:
    """Runs of a key's points with steps of at most ``gap`` microseconds."""

    gap: int
    max_length: int | None
    aggs: NamedAggs
    split_when: Expr | None = None


@dataclass(frozen=True, eq=False)
class Window:
    """A key's points per window of ``size`` calendar buckets, one window from every bucket on."""

    every: str
    zone: str
    aggs: NamedAggs
    size: int = 1
    empty: bool = False


@dataclass(frozen=True, eq=False)
class Funnel:
    """How far each key got through ``steps``, at most ``within`` microseconds from the first."""

    steps: tuple[Expr, ...]
    within: int
    mode: str


@dataclass(frozen=True, eq=False)
class Cohorts:
    """The calendar buckets of each key from its first ``start`` on, and whether it ``returns`` in them."""

    start: Expr
    returns: Expr
    every: str
    zone: str


@dataclass(frozen=True, eq=False)
class Transitions:
    """From each value of a key's rows to the next, at most ``gap`` microseconds later."""

    of: Expr
    gap: int | None


@dataclass(frozen=True, eq=False)
class GroupBy:
    """Aggregates over all rows with equal values of ``by``; ``empty``: over the buckets of time without rows, too."""

    by: Named
    aggs: NamedAggs
    empty: bool = False


@dataclass(frozen=True, eq=False)
class Sort:
    """Rows in the order of columns; (name, descending) pairs."""

    by: tuple[tuple[str, bool], ...]


@dataclass(frozen=True, eq=False)
class Limit:
    """The first ``n`` rows."""

    n: int


FlowStep = Funnel | Cohorts | Transitions
KeyedStep = StateDuration | Heartbeat | Sessionize | Window | FlowStep
RowStep = Filter | WithColumns | Select
Step = Source | RowStep | KeyedStep | GroupBy | Sort | Limit

OPS: dict[type, str] = {
    Source: "stream",
    Filter: "filter",
    WithColumns: "with_columns",
    Select: "select",
    StateDuration: "state_duration",
    Heartbeat: "heartbeat",
    Sessionize: "sessionize",
    Window: "window",
    Funnel: "funnel",
    Cohorts: "cohorts",
    Transitions: "transitions",
    GroupBy: "group_by",
    Sort: "sort",
    Limit: "limit",
}
"""The name of each step in JSON, in messages and as a method."""

FUNNEL_MODES = ("strict", "ordered", "any")
MAX_FUNNEL, MAX_WINDOW = 16, 1000
"""Bounds on the steps of a funnel and on the buckets of a window, each of which every key has a state for."""

MAX_STEPS, MAX_NODES, MAX_DEPTH, MAX_BYTES = 64, 1000, 32, 256 * 1024
"""Bounds on a graph; the bytes are those of its JSON form."""
