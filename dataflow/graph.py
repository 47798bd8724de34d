"""The operator graph: an immutable chain of steps from a stream to a table."""

from __future__ import annotations

from dataclasses import dataclass

from dataflow.expr import Expr


@dataclass(frozen=True, eq=False)
class Agg:
    """One aggregate over a group's rows, of those where ``where`` is true; ``options`` are (name, value) pairs."""

    fn: str
    args: tuple[Expr, ...] = ()
    where: Expr | None = None
    options: tuple[tuple[str, object], ...] = ()


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


@dataclass(frozen=True, eq=False)
class Window:
    """A key's points per calendar bucket."""

    every: str
    zone: str
    aggs: NamedAggs


@dataclass(frozen=True, eq=False)
class GroupBy:
    """Aggregates over all rows with equal values of ``by``."""

    by: Named
    aggs: NamedAggs


@dataclass(frozen=True, eq=False)
class Sort:
    """Rows in the order of columns; (name, descending) pairs."""

    by: tuple[tuple[str, bool], ...]


@dataclass(frozen=True, eq=False)
class Limit:
    """The first ``n`` rows."""

    n: int


KeyedStep = StateDuration | Heartbeat | Sessionize | Window
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
    GroupBy: "group_by",
    Sort: "sort",
    Limit: "limit",
}
"""The name of each step in JSON, in messages and as a method."""

MAX_STEPS, MAX_NODES, MAX_DEPTH, MAX_BYTES = 64, 1000, 32, 256 * 1024
"""Bounds on a graph; the bytes are those of its JSON form."""
