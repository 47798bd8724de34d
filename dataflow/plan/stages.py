"""The physical plan: stages that generated kernels run, one after the other, chunk by chunk."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from dataflow.plan.sink import Sink
from dataflow.typed.nodes import Typed
from dataflow.typed.row_operations import Keep, NullTally, RowOp
from operators.types import Type

_FAITHFUL = frozenset(
    {
        "in",
        "slot",
        "eq",
        "ne",
        "lt",
        "le",
        "gt",
        "ge",
        "between",
        "and",
        "or",
        "not",
        "is_in",
        "starts_with",
        "contains",
    }
) | {"is_null", "is_not_null", "fill_null"}
"""Functions of a row's own columns that give null only where they are given one."""


@dataclass(frozen=True)
class Sparse:
    """A column whose nulls are counted where they may make an answer other than one would think: where rows are
    ``grouped`` by it, or where ``last`` (or ``held``) sees just the rows that the step ``after`` keeps."""

    column: str
    step: str
    after: str
    grouped: bool
    counted: tuple[int, int] | None = None
    """Where no ``NullTally`` counts it: the group column that it is, and the aggregate that counts the rows of
    groups."""


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
        if self.sink.follows_keys:
            return True
        inputs = [i for a in self.sink.aggregates for i in getattr(a.aggregate, "inputs", ())]
        nodes = (n for e in self.expressions() for n in e.walk())
        return "time" in inputs or any(n.fn in ("time", "begin", "last", "elapsed", "lookup") for n in nodes)

    @property
    def repeats_tell_nothing(self) -> bool:
        """Whether a row of points that has the values of the row before it is but another report of the same state.

        True of lasting rows whose state and held columns are made of just the columns and constants, by functions that
        are null only where a column is.
        """
        return (
            self.sink.lasting() is not None
            and not self.ops
            and all(
                n.fn in _FAITHFUL or (n.fn == "lit" and n.type is not None)
                for e in self.expressions()
                for n in e.walk()
            )
        )

    def describe(self) -> str:
        """In words."""
        n = sum(not isinstance(op, NullTally) for op in self.ops)
        return f"{self.step}: {f'{n} row operations, ' if n else ''}{self.sink.describe()}"

    def expressions(self) -> Iterator[Typed]:
        """Every expression of the stage, outermost nodes."""
        for op in self.ops:
            yield op.condition if isinstance(op, Keep) else op.value
        yield from self.sink.expressions()


Deferred: TypeAlias = Callable[[set[str]], Stage]
"""A stage as a function of the columns that are needed after it."""


def all_ops(stage: Stage) -> Iterator[RowOp]:
    """The operations of the stage, and those of the timelines that it combines."""
    yield from stage.ops
    yield from stage.sink.row_operations()


@dataclass(frozen=True)
class SortBy:
    """Order a table by (column, descending)."""

    by: tuple[tuple[str, bool], ...]

    def describe(self) -> str:
        """In words."""
        return "sort by " + ", ".join(f"{n}{' descending' if d else ''}" for n, d in self.by)


@dataclass(frozen=True)
class Take:
    """The first ``n`` rows of a table."""

    n: int

    def describe(self) -> str:
        """In words."""
        return f"the first {self.n} rows"


@dataclass(frozen=True)
class Sweep:
    """From a table of edges, in the order of ``by`` and ``$at``, to the intervals between them.

    ``at_least`` None: their numbers of keys; else whether so many are active.
    """

    by: tuple[str, ...]
    at_least: int | None

    def describe(self) -> str:
        """In words."""
        k = self.at_least
        return "numbers of keys at once, from edges" if k is None else f"times with at least {k} keys, from edges"


TableStep = Stage | SortBy | Take | Sweep


@dataclass(frozen=True)
class Plan:
    """A bound graph: ``stages`` run in the tasks, ``after`` on the merged table.

    ``history`` is how much before ``since`` a task must read: None all of it, 0 nothing, else microseconds (which
    holds only if ``held_columns`` have no nulls there; otherwise all of it). ``outputs`` are the result's columns.
    ``sliceable``: tasks may split the range of time, too. ``whole_keys``: the last grouping is by the key among others,
    so a task that has all of a key's rows has all of its groups' and can finish them. The first ``whole`` stages also
    run over all of what is read, without regard to ``since``: the rows that they write before it are seen by the stages
    that have the input ``EARLY``. ``sparse``: the columns whose nulls are counted, by the numbers of ``NullTally``.
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
    whole: int = 0
    sparse: tuple[Sparse, ...] = ()
