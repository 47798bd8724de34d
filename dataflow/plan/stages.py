"""The physical plan: stages that generated kernels run one after another over row batches."""

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
"""Functions of a row's own columns that return null only for a null argument."""


@dataclass(frozen=True)
class Sparse:
    """A column whose nulls are counted because they may cause a surprising result: rows are ``grouped`` by it, or
    ``last`` (or ``held``) sees only the rows that the step ``after`` keeps."""

    column: str
    step: str
    after: str
    grouped: bool
    counted: tuple[int, int] | None = None
    """Without a ``NullTally``: the number of its group column, and that of the aggregate that counts the groups'
    rows."""


@dataclass(frozen=True)
class Stage:
    """One generated kernel: row operations, then a sink. ``step`` is its place in the metric, for messages."""

    inputs: tuple[tuple[str, Type], ...]
    ops: tuple[RowOp, ...]
    sink: Sink
    step: str

    @property
    def needs_time(self) -> bool:
        """Whether a row's time matters, beyond being in the range."""
        if self.sink.follows_keys:
            return True
        inputs = [i for a in self.sink.aggregates for i in getattr(a.aggregate, "inputs", ())]
        nodes = (n for e in self.expressions() for n in e.walk())
        return "time" in inputs or any(n.fn in ("time", "begin", "last", "elapsed", "ewm", "lookup") for n in nodes)

    @property
    def repeats_tell_nothing(self) -> bool:
        """Whether a point with the same values as the previous one only repeats the report of the same state.

        True for intervals of states whose state and held columns are functions of columns and constants only, and are
        null only where a column is.
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
        """The stage as text."""
        n = sum(not isinstance(op, NullTally) for op in self.ops)
        return f"{self.step}: {f'{n} row operations, ' if n else ''}{self.sink.describe()}"

    def expressions(self) -> Iterator[Typed]:
        """Every expression of the stage, outermost nodes."""
        for op in self.ops:
            yield op.condition if isinstance(op, Keep) else op.value
        yield from self.sink.expressions()


Deferred: TypeAlias = Callable[[set[str]], Stage]
"""A stage as a function of the columns needed after it."""


def all_ops(stage: Stage) -> Iterator[RowOp]:
    """The row operations of the stage and of the timelines that it combines."""
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
    """Turns a table of edges, ordered by ``by`` and ``$at``, into the intervals between them.

    ``at_least`` None: with the numbers of keys; else with whether at least so many are active.
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
    """A bound metric: ``stages`` run in the tasks, ``after`` on the merged table.

    ``history`` is how much a task must read before ``since``: None everything, 0 nothing, else microseconds (only if
    ``held_columns`` have no nulls there; otherwise everything). ``outputs`` are the result's columns. ``sliceable``:
    tasks may also split the time range. ``whole_keys``: the last grouping includes the key, so a task with all rows of
    a key can finish its groups. The first ``whole`` stages also run over everything that is read, without ``since``;
    stages with the input ``EARLY`` see the rows that these write before the range. ``sparse``: the columns whose nulls
    are counted, by the numbers of ``NullTally``. ``carried``: of the rows before any time that is not after ``since``,
    these suffice: of each key its last one, and for each of these columns the last one in which that is not null, or
    rows with the same values in these columns at the same times; None if that is not known to suffice. ``plain``: those
    of them for which it suffices only if no value is -0.0, and no integer is 2**62 or more, of either sign.
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
    carried: tuple[str, ...] | None = None
    plain: tuple[str, ...] = ()
