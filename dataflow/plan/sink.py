"""The interface of sinks: a sink is the last part of a stage and takes the rows that pass its operations."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Protocol, TypeAlias

from dataflow.codegen.sink_emitter import SinkEmitter
from dataflow.codegen.writer import SourceWriter
from dataflow.typed.aggregates_bound import BoundAgg
from dataflow.typed.nodes import Typed
from dataflow.typed.row_operations import RowOp
from operators.types import Type

NamedTyped: TypeAlias = tuple[tuple[str, Typed], ...]
"""Columns: names and expressions."""

_COLUMNS = ("in", "merged", "as_of")
"""Functions that read a column of points, each with a name."""

Reach: TypeAlias = int | None
"""Microseconds before the range; None: everything."""


@dataclass(frozen=True)
class Slide:
    """Windows of ``size`` calendar buckets; one starts at every bucket. ``empty``: those without a row, too."""

    every: str
    zone: str
    size: int
    empty: bool


class Grouping(Protocol):
    """A sink that folds rows into groups."""

    @property
    def by(self) -> NamedTyped:
        """The group columns."""

    @property
    def aggs(self) -> tuple[BoundAgg, ...]:
        """The aggregates."""

    @property
    def filled(self) -> int | None:
        """The number of the group column whose time buckets are filled in without rows."""

    @property
    def bucket(self) -> Typed | None:
        """That column."""

    @property
    def windows(self) -> Slide | None:
        """The windows that are made of the buckets of that column after the merge."""


class Segmenting(Protocol):
    """A sink that folds consecutive rows of a key into one row each: sessions, or windows of a calendar."""

    @property
    def aggs(self) -> tuple[BoundAgg, ...]:
        """The aggregates."""

    @property
    def bucket(self) -> Typed | None:
        """The buckets of windows; None for sessions."""

    @property
    def size(self) -> int:
        """How many buckets a window lasts."""

    @property
    def partial(self) -> bool:
        """Whether windows have the column ``partial``."""


class LastingState(Protocol):
    """A sink that writes for how long a key was in a state."""

    @property
    def state(self) -> Typed | None:
        """The state that a row reports; None: that the key is alive."""

    @property
    def hold(self) -> int | None:
        """Maximum microseconds for which a report lasts."""


class MovingWindow(NamedTuple):
    """The rows of a key that a row's aggregates are of: those of the last ``length`` microseconds, or else the last
    ``rows`` ones; ``ahead``: of the next, beginning with the row itself. One with a length is ``offset`` microseconds
    away from the row."""

    length: int | None
    rows: int | None
    ahead: bool = False
    offset: int = 0

    @property
    def reach(self) -> int:
        """How far its rows may be from the row, in microseconds."""
        return (self.length or 0) + self.offset


class MovingWindows(Protocol):
    """A sink whose rows have aggregates of the rows before them, or after them."""

    @property
    def aggs_of_windows(self) -> tuple[BoundAgg, ...]:
        """The aggregates, in the order of their numbers."""

    def different_windows(self) -> list[MovingWindow]:
        """The windows, each once."""


@dataclass(frozen=True)
class JoinedValues:
    """A column of text that a sink's rows get after its kernel: values in succession, joined.

    ``kind`` is the type of the values, ``pairs`` the table of the kernel that numbers sequences of them: a pair is a
    sequence, as its number from 1 (0: empty), and one more value. ``node`` is the column with each row's sequence, and
    ``cut`` one that says whether it goes on, if there is one.
    """

    name: str
    kind: Type
    pairs: str
    node: str
    cut: str | None = None


@dataclass(frozen=True)
class Memory:
    """What a sink remembers of a key's rows before the range: of ``reports`` the last value that is not null, and when
    it was reported; of ``values`` only the value; with ``rows`` whether there are any, and when the last one was.

    ``computed`` are expressions of these that it computes before the range, too. ``first_of_equal``: of values that are
    equal in succession, it remembers the first, such as 0.0 before -0.0.
    """

    reports: tuple[Typed, ...] = ()
    values: tuple[Typed, ...] = ()
    rows: bool = True
    computed: tuple[Typed, ...] = ()
    first_of_equal: bool = False


class Sink(ABC):
    """One kind of sink. A step's sink, its emitter and the step itself are in one file."""

    follows_keys: ClassVar[bool] = False
    """Whether it has state per key, takes a key's rows in time order and writes at the end of the range."""

    any_order: ClassVar[bool] = False
    """Whether the order of rows does not matter, so that tasks may split the time range."""

    gathers: ClassVar[bool] = True
    """Whether it writes few rows per input row, which are passed on when the output is full."""

    writes_every_row: ClassVar[bool] = False
    """Whether it may write as many rows as it takes."""

    once_a_key: ClassVar[bool] = False
    """Whether its rows describe a key over the whole range, so that there are none before it."""

    keeps_rows: ClassVar[bool] = False
    """Whether the rows that it writes are those that it takes, in the range or not as they were."""

    closes: ClassVar[bool] = True
    """If it follows keys: whether it writes at the end of the range."""

    has_length: ClassVar[bool] = True
    """Whether its rows have a length, which ``since`` may cut."""

    cuts_at_end: ClassVar[bool] = False
    """Whether what it writes of a row depends on where the range ends, before that is reached: no later range can go on
    from its state."""

    overlaps: ClassVar[bool] = False
    """Whether rows of a key may overlap, so that none is the one before another."""

    passes_lead: ClassVar[bool] = False
    """Whether it passes on the time before a key's first point, if requested."""

    rows_per_second: ClassVar[float] = 40e6
    """Rows per second on one core, for estimates only (measured by ``tests/benchmarks``)."""

    @abstractmethod
    def expressions(self) -> Iterator[Typed]:
        """The expressions that it computes per row, outermost nodes."""

    @abstractmethod
    def emitter(self, w: SourceWriter) -> SinkEmitter:
        """The emitter of its code."""

    @abstractmethod
    def describe(self) -> str:
        """Its description in the plan."""

    def row_operations(self) -> Iterator[RowOp]:
        """The row operations inside it."""
        return iter(())

    def hidden(self) -> set[str]:
        """Hidden columns that it always reads."""
        return set()

    def laws(self) -> Iterator[str]:
        """The laws that it relies on, as text."""
        if self.follows_keys:
            yield "a key's rows are read by one task in (time, seq) order"

    def looks_back(self, first: bool) -> Reach:
        """How far before the range it looks for the range's rows; ``first``: it reads points, as the first stage."""
        return 0

    def needs_before(self, needed: Reach, first: bool) -> Reach:
        """How far before the range it needs rows, to write correct rows from ``needed`` before the range on."""
        return needed

    def memory(self) -> Memory | None:
        """What it remembers of points before the range, as the first stage; None if that may be more than last
        values."""
        return None

    @property
    def looks_ahead(self) -> bool:
        """Whether it needs the rows after the range, too; it writes them for the next stage to drop."""
        return False

    @property
    def aggregates(self) -> tuple[BoundAgg, ...]:
        """The aggregates that it folds rows into."""
        return ()

    @property
    def held_columns(self) -> tuple[str, ...]:
        """The columns of points that its rows hold, in order of names."""
        return ()

    def grouping(self) -> Grouping | None:
        """Itself, if it folds rows into groups."""
        return None

    def segmenting(self) -> Segmenting | None:
        """Itself, if it folds a key's rows into sessions or windows."""
        return None

    @property
    def timeline_columns(self) -> tuple[tuple[str, ...], str] | None:
        """The held columns of the intervals that it writes, and the column of the state; None if it writes others."""
        return None

    def passed_on(self) -> NamedTyped | None:
        """The columns of its rows that have the same values in all pieces into which it cuts an interval, if it drops
        none of these; None if it does anything else."""
        return None

    def joined(self) -> JoinedValues | None:
        """The column of joined values that its rows have; None if there is none."""
        return None

    def trailing(self) -> MovingWindows | None:
        """Itself, if its rows have aggregates of the rows before or after them."""
        return None

    def lasting(self) -> LastingState | None:
        """Itself, if it writes how long a state lasts."""
        return None

    def written(self) -> NamedTyped | None:
        """The columns that it writes if its stage runs after the merge; None if it cannot."""
        return None


def columns_in(held: Iterable[tuple[str, Typed]]) -> tuple[str, ...]:
    """The columns of the stream, or of several streams, that these are computed from."""
    return tuple(sorted({str(n.option("name")) for _, t in held for n in t.walk() if n.fn in _COLUMNS}))


def by_name(columns: NamedTyped) -> NamedTyped:
    """The columns in the order in which a kernel writes them: not that of the stream's columns, which is the order of
    their first values, so one kernel serves all streams with these columns."""
    return tuple(sorted(columns, key=lambda column: column[0]))


def with_held(what: str, held: NamedTyped) -> str:
    """A description with the held columns."""
    return f"{what}, held columns: {', '.join(n for n, _ in held) or 'none'}"
