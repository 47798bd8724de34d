"""The physical plan: stages that generated kernels run one after another over row batches."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

from dataflow.plan.inputs import Input
from dataflow.plan.sink import Sink
from dataflow.tables.answer_tables import AnswerIndex
from dataflow.typed.nodes import Typed
from dataflow.typed.row_operations import NullTally, RowOp, nested
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


_TIMED = frozenset({"time", "begin", "last", "elapsed", "ewm", "apart", "lookup", "answer_row"})
"""Functions that read the time of a row."""


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
        return "time" in inputs or any(n.fn in _TIMED for n in nodes)

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
            yield from op.expressions()
        yield from self.sink.expressions()


Deferred: TypeAlias = Callable[[set[str]], Stage]
"""A stage as a function of the columns needed after it."""


def all_ops(stage: Stage) -> Iterator[RowOp]:
    """The row operations of the stage, of the streams that it merges and of the timelines that it combines."""
    yield from nested(stage.ops)
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

    ``at_least`` None: with the numbers of keys; else with whether at least so many are active, or such a share of them.
    """

    by: tuple[str, ...]
    at_least: int | str | None

    def describe(self) -> str:
        """In words."""
        k = self.at_least
        keys = f"{k} keys" if isinstance(k, int) else f"{k} of the keys"
        return "numbers of keys at once, from edges" if k is None else f"times with at least {keys}, from edges"


class TableFunction(ABC):
    """A step after the merge that looks at all rows of the table."""

    @abstractmethod
    def describe(self) -> str:
        """In words."""

    def stages(self) -> Iterator[Stage]:
        """The stages whose kernels it runs."""
        yield from ()


TableStep = Stage | SortBy | Take | Sweep | TableFunction


def table_stages(steps: Iterable[TableStep]) -> Iterator[Stage]:
    """The stages among steps after the merge, and those within them."""
    for step in steps:
        if isinstance(step, Stage):
            yield step
        elif isinstance(step, TableFunction):
            yield from step.stages()


@dataclass(frozen=True)
class JoinedAnswer(TableFunction):
    """A table and an answer, joined on the columns of its index: ``columns`` are (new name, name) pairs of the answer;
    ``how`` is full, left or inner; ``step`` is the place in the metric, for messages."""

    index: AnswerIndex
    how: str
    columns: tuple[tuple[str, str], ...]
    step: str

    def describe(self) -> str:
        """See TableFunction."""
        return f"{self.how} join with the answer of another metric: {self.index}"


@dataclass(frozen=True)
class StepRows(TableFunction):
    """Turns the row of each group, with ``$keys_n`` and ``$time_n`` for each of ``steps``, into a row per step: the
    columns ``by``, ``step``, ``keys``, ``share_of_first``, ``share_of_previous`` and ``median_time``."""

    by: tuple[str, ...]
    steps: int

    def describe(self) -> str:
        """In words."""
        return f"a row for each of {self.steps} steps, with its shares"


@dataclass(frozen=True)
class FillGaps(TableFunction):
    """Fills nulls of ``columns`` (name and type afterwards) of a table's series, the rows with equal ``by`` in order of
    the time ``at``: along straight lines (``linear``), or with the ``last`` or ``next`` value; from values at most
    ``within`` microseconds away, or lines at most so long.

    A table that has, for a column ``x``, ``$left x`` and ``$when x``, the last value up to the row and its time, has
    them of rows before it, too.
    """

    by: tuple[str, ...]
    at: str
    columns: tuple[tuple[str, Type], ...]
    method: str
    within: int | None = None

    def describe(self) -> str:
        """In words."""
        names = ", ".join(n for n, _ in self.columns)
        how = "along straight lines" if self.method == "linear" else f"with the {self.method} value"
        return f"nulls of {names} filled {how}"


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
    of them for which it suffices only if no value is -0.0, and no integer is 2**62 or more, of either sign. ``inputs``:
    what is merged, in this order where keys and times are equal, if the metric reads several streams (``stream`` is the
    first of them), else empty. The first ``ahead`` stages also run over the rows after ``until``: one of them takes
    values of these, and passes rows on to a stage that drops those.
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
    inputs: tuple[Input, ...] = ()
    ahead: int = 0
