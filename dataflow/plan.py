"""The physical plan: stages that generated kernels run, one after the other, chunk by chunk."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from dataflow.flows import Flow
from dataflow.typed import Typed
from operators.aggregates import AnyAggregate
from operators.types import Type

KNOWN, END, BEGIN, EARLY = "$known", "$end", "$begin", "$early"
"""Hidden columns of the rows that stages write: of intervals the known flag (int64), the end (time) and, of pieces,
when the interval began that they are of; and how a row stands to the begin of the range (int64, one of these four)."""

IN_RANGE, BEFORE, CUT, WHOLE = 0, 1, 2, 3
"""A row of the range; one before it, which only what looks back sees; the part of a row that lies in the range; and,
just before that part, the whole of it, as it is without the range. Odd: not a row of the answer."""

PARTIAL = "$partial"
"""Hidden column of windows that are rows of the answer: whether something cuts the window."""

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
class Keep:
    """Drop the rows where the condition is not true."""

    condition: Typed


@dataclass(frozen=True)
class Fix:
    """Compute a numbered expression here, before what follows."""

    value: Typed


@dataclass(frozen=True)
class Tally:
    """Count here the rows of the range, and those in which the column ``value`` is null (``Plan.sparse``)."""

    value: Typed
    number: int


RowOp = Keep | Fix | Tally


@dataclass(frozen=True)
class Sparse:
    """A column whose nulls are counted where they may make an answer other than one would think: where rows are
    ``grouped`` by it, or where ``last`` (or ``held``) sees just the rows that the step ``after`` keeps."""

    column: str
    step: str
    after: str
    grouped: bool
    counted: tuple[int, int] | None = None
    """Where no ``Tally`` counts it: the group column that it is, and the aggregate that counts the rows of groups."""


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

    A row where ``split`` is true starts a session. A window is ``size`` buckets long, and one starts with every bucket;
    ``empty``: also those without a row, from the key's first row on.

    Writes start (as time), end, count, open_left and open_right (sessions), the aggregates and the held columns;
    of windows also, if wanted, ``partial``: whether since, until or the stream's beginning cuts the window.
    """

    gap: int | None
    max_length: int | None
    bucket: Typed | None
    aggs: tuple[BoundAgg, ...]
    held: tuple[tuple[str, Typed], ...]
    split: Typed | None = None
    size: int = 1
    empty: bool = False
    partial: bool = False


@dataclass(frozen=True)
class Group:
    """Sink: fold rows into groups. ``intervals``: rows have an end and a known flag, and aggregates with expressions
    of the clock cut them, each for itself. ``in_range`` drops rows outside [since, until). ``filled`` is the number of
    the column of ``by`` whose buckets of time, those of ``bucket``, are there without rows, too."""

    by: tuple[tuple[str, Typed], ...]
    aggs: tuple[BoundAgg, ...]
    intervals: bool
    in_range: bool
    filled: int | None = None
    bucket: Typed | None = None


@dataclass(frozen=True)
class Track:
    """One state among several: rows that pass ``ops`` report ``state`` (None: any is a sign of life) for ``hold``."""

    name: str
    ops: tuple[RowOp, ...]
    state: Typed | None
    hold: int | None


@dataclass(frozen=True)
class Tracks:
    """Sink: intervals of ``state``, an expression of the tracks (``track`` nodes). Writes what ``States`` does."""

    tracks: tuple[Track, ...]
    state: Typed
    name: str
    held: tuple[tuple[str, Typed], ...]
    lead: bool


@dataclass(frozen=True)
class Pieces:
    """Sink: intervals again, cut where the value of something ``watched`` changes, as far as all ``conditions`` hold.

    Both are expressions of the clock (``dataflow.clock``), or constant over an interval. Writes start (as time), end,
    ``$known``, the columns and what is watched.
    """

    columns: tuple[tuple[str, Typed], ...]
    watched: tuple[tuple[str, Typed], ...]
    conditions: tuple[Typed, ...]
    unread: tuple[str, ...] = ()
    """Columns that would cut if anything read them."""


@dataclass(frozen=True)
class Edges:
    """Sink: two rows an interval, where it starts and where it ends.

    Writes ``by``, ``$at`` and what changes there in the numbers of keys that are ``$active``, ``$inactive`` (as the
    condition says) and ``$unknown``.
    """

    by: tuple[tuple[str, Typed], ...]
    condition: Typed


Sink = Rows | States | Segments | Group | Flow | Tracks | Pieces | Edges


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
        if isinstance(self.sink, States | Segments | Flow | Tracks):
            return True
        inputs = [i for a in getattr(self.sink, "aggs", ()) for i in getattr(a.aggregate, "inputs", ())]
        nodes = (n for e in self.expressions() for n in e.walk())
        return "time" in inputs or any(n.fn in ("time", "begin", "last", "elapsed", "lookup") for n in nodes)

    @property
    def repeats_tell_nothing(self) -> bool:
        """Whether a row of points that has the values of the row before it is but another report of the same state.

        True of lasting rows whose state and held columns are made of just the columns and constants, by functions that
        are null only where a column is.
        """
        return (
            isinstance(self.sink, States)
            and not self.ops
            and all(
                n.fn in _FAITHFUL or (n.fn == "lit" and n.type is not None)
                for e in self.expressions()
                for n in e.walk()
            )
        )

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
            case Segments(_, _, bucket, aggs, held, split):
                yield from (e for e in (bucket, split) if e is not None)
                yield from (e for _, e in held)
                yield from _agg_expressions(aggs)
            case Group(by, aggs):
                yield from (e for _, e in by)
                yield from _agg_expressions(aggs)
            case Flow():
                yield from self.sink.expressions()
            case Tracks(tracks, state, _, held, _):
                for track in tracks:
                    yield from (op.condition if isinstance(op, Keep) else op.value for op in track.ops)
                    yield from () if track.state is None else (track.state,)
                yield state
                yield from (e for _, e in held)
            case Pieces(columns, watched, conditions):
                yield from (e for _, e in columns)
                yield from (e for _, e in watched)
                yield from conditions
            case Edges(by, condition):
                yield from (e for _, e in by)
                yield condition


def all_ops(stage: Stage) -> Iterator[RowOp]:
    """The operations of the stage, and those of the timelines that it combines."""
    yield from stage.ops
    if isinstance(stage.sink, Tracks):
        for track in stage.sink.tracks:
            yield from track.ops


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


@dataclass(frozen=True)
class Sweep:
    """From a table of edges, in the order of ``by`` and ``$at``, to the intervals between them.

    ``at_least`` None: their numbers of keys; else whether so many are active.
    """

    by: tuple[str, ...]
    at_least: int | None


TableStep = Stage | SortBy | Take | Sweep


@dataclass(frozen=True)
class Plan:
    """A bound graph: ``stages`` run in the tasks, ``after`` on the merged table.

    ``history`` is how much before ``since`` a task must read: None all of it, 0 nothing, else microseconds (which
    holds only if ``held_columns`` have no nulls there; otherwise all of it). ``outputs`` are the result's columns.
    ``sliceable``: tasks may split the range of time, too. ``whole_keys``: the last grouping is by the key among others,
    so a task that has all of a key's rows has all of its groups' and can finish them. The first ``whole`` stages also
    run over all of what is read, without regard to ``since``: the rows that they write before it are seen by the stages
    that have the input ``EARLY``. ``sparse``: the columns whose nulls are counted, by the numbers of ``Tally``.
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
