"""The physical plan: stages that generated kernels run, one after the other, chunk by chunk."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dataflow.typed import Typed
from operators.aggregates import AnyAggregate
from operators.types import Type


@dataclass(frozen=True)
class Keep:
    """Drop the rows where the condition is not true."""

    condition: Typed


@dataclass(frozen=True)
class Fix:
    """Compute a numbered expression here, before what follows."""

    value: Typed


RowOp = Keep | Fix


@dataclass(frozen=True)
class BoundAgg:
    """One aggregate with its typed arguments (None: takes none) and conditions that all must be true."""

    name: str
    aggregate: AnyAggregate
    argument: Typed | None
    where: tuple[Typed, ...]
    other: Typed | None = None


@dataclass(frozen=True)
class Rows:
    """Sink: write the rows' columns out. ``in_range`` drops rows outside [since, until)."""

    columns: tuple[tuple[str, Typed], ...]
    in_range: bool


@dataclass(frozen=True)
class States:
    """Sink: intervals of states. ``state`` None is a heartbeat: any row is a sign of life.

    Writes start (as time), end, ``$known``, the state under ``name``, and the held columns.
    """

    state: Typed | None
    name: str
    hold: int | None
    held: tuple[tuple[str, Typed], ...]
    lead: bool
    """Whether anything downstream counts the time before a key's first point."""


@dataclass(frozen=True)
class Segments:
    """Sink: sessions (``gap``) or calendar windows (``bucket``), with aggregates.

    Writes start (as time), end, count, open_left and open_right (sessions), the aggregates and the held columns.
    """

    gap: int | None
    max_length: int | None
    bucket: Typed | None
    aggs: tuple[BoundAgg, ...]
    held: tuple[tuple[str, Typed], ...]


@dataclass(frozen=True)
class Group:
    """Sink: fold rows into groups. ``intervals``: rows have an end and a known flag; ``cuts`` are the truncations
    at whose edges they are cut. ``in_range`` drops rows outside [since, until)."""

    by: tuple[tuple[str, Typed], ...]
    aggs: tuple[BoundAgg, ...]
    intervals: bool
    cuts: tuple[Typed, ...]
    in_range: bool


Sink = Rows | States | Segments | Group


@dataclass(frozen=True)
class Stage:
    """One generated kernel: row operations, then a sink. ``step`` is where it stands in the graph, for messages."""

    inputs: tuple[tuple[str, Type], ...]
    ops: tuple[RowOp, ...]
    sink: Sink
    step: str

    @property
    def needs_time(self) -> bool:
        """Whether a row's own time matters beyond lying in the range."""
        if isinstance(self.sink, States | Segments):
            return True
        inputs = [i for a in getattr(self.sink, "aggs", ()) for i in getattr(a.aggregate, "inputs", ())]
        nodes = (n for e in self.expressions() for n in e.walk())
        return "time" in inputs or any(n.fn in ("time", "begin", "last", "elapsed") for n in nodes)

    def expressions(self) -> Iterator[Typed]:
        """Every expression of the stage, outermost nodes."""
        for op in self.ops:
            yield op.condition if isinstance(op, Keep) else op.value
        match self.sink:
            case Rows(columns, _):
                yield from (e for _, e in columns)
            case States(state, _, _, held, _):
                if state is not None:
                    yield state
                yield from (e for _, e in held)
            case Segments(_, _, bucket, aggs, held):
                if bucket is not None:
                    yield bucket
                yield from (e for _, e in held)
                yield from _agg_expressions(aggs)
            case Group(by, aggs, _, cuts, _):
                yield from (e for _, e in by)
                yield from cuts
                yield from _agg_expressions(aggs)


def _agg_expressions(aggs: tuple[BoundAgg, ...]) -> Iterator[Typed]:
    for a in aggs:
        yield from (e for e in (a.argument, a.other) if e is not None)
        yield from a.where


@dataclass(frozen=True)
class SortBy:
    """Order a table by (column, descending)."""

    by: tuple[tuple[str, bool], ...]


@dataclass(frozen=True)
class Take:
    """The first ``n`` rows of a table."""

    n: int


TableStep = Stage | SortBy | Take


@dataclass(frozen=True)
class Plan:
    """A bound graph: ``stages`` run in the tasks, ``after`` on the merged table.

    ``history`` is how much before ``since`` a task must read: None all of it, 0 nothing, else microseconds (which
    holds only if ``held_columns`` have no nulls there; otherwise all of it). ``outputs`` are the result's columns.
    ``sliceable``: tasks may split the range of time, too. ``whole_keys``: the last grouping is by the key among others,
    so a task that has all of a key's rows has all of its groups' and can finish them.
    """

    stream: str
    columns: tuple[str, ...]
    stages: tuple[Stage, ...]
    after: tuple[TableStep, ...]
    history: int | None
    held_columns: tuple[str, ...]
    sliceable: bool
    whole_keys: bool
    outputs: tuple[tuple[str, Type], ...]
    order: tuple[str, ...]
    laws: tuple[str, ...]
