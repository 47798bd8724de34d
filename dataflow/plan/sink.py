"""What every sink says of itself: the last part of a stage, which takes the rows that its operations let through."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from typing import ClassVar, Protocol, TypeAlias

from dataflow.codegen.sink_emitter import SinkEmitter
from dataflow.codegen.writer import SourceWriter
from dataflow.typed.aggregates_bound import BoundAgg
from dataflow.typed.nodes import Typed
from dataflow.typed.row_operations import RowOp

NamedTyped: TypeAlias = tuple[tuple[str, Typed], ...]
"""Columns: names and how they are computed."""

Reach: TypeAlias = int | None
"""Microseconds before the range; None: everything."""


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
        """The number of the group column whose buckets of time are there without rows, too."""

    @property
    def bucket(self) -> Typed | None:
        """That column."""


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
        """Whether windows say that something cuts them."""


class LastingState(Protocol):
    """A sink that writes how long a key was in a state."""

    @property
    def state(self) -> Typed | None:
        """The state that a row reports; None: that the key is alive."""

    @property
    def hold(self) -> int | None:
        """Microseconds for which a report holds at most."""


class Sink(ABC):
    """One kind of sink. A step's sink, the code that it emits and the step itself stand in one file."""

    follows_keys: ClassVar[bool] = False
    """Whether it has a state per key, takes a key's rows in the order of time and writes at the end of the range."""

    any_order: ClassVar[bool] = False
    """Whether the order of rows makes no difference, so that tasks may split the range of time."""

    gathers: ClassVar[bool] = True
    """Whether it writes few rows of many, which are passed on when there is no room for more."""

    writes_every_row: ClassVar[bool] = False
    """Whether it may write as many rows as it takes."""

    once_a_key: ClassVar[bool] = False
    """Whether what it says of a key is about the whole range, and nothing lies before it."""

    has_length: ClassVar[bool] = True
    """Whether its rows last for a time, which ``since`` may cut."""

    passes_lead: ClassVar[bool] = False
    """Whether it passes on the time before a key's first point, if that is asked for."""

    rows_per_second: ClassVar[float] = 40e6
    """Rows a second that one core takes, for estimates only (``tests/benchmarks`` measures)."""

    @abstractmethod
    def expressions(self) -> Iterator[Typed]:
        """What it computes in rows, outermost nodes."""

    @abstractmethod
    def emitter(self, w: SourceWriter) -> SinkEmitter:
        """What emits its code."""

    @abstractmethod
    def describe(self) -> str:
        """What it does, for the plan in words."""

    def row_operations(self) -> Iterator[RowOp]:
        """Operations on rows within it."""
        return iter(())

    def hidden(self) -> set[str]:
        """Hidden columns that it reads in any case."""
        return set()

    def laws(self) -> Iterator[str]:
        """The laws that it relies on, in words."""
        if self.follows_keys:
            yield "a key's rows are read by one task in (time, seq) order"

    def looks_back(self, first: bool) -> Reach:
        """How far before the range it looks for the rows of the range; ``first``: in points, as the first stage."""
        return 0

    def needs_before(self, needed: Reach, first: bool) -> Reach:
        """How far before the range it needs rows so that those are right which it writes ``needed`` before it."""
        return needed

    @property
    def aggregates(self) -> tuple[BoundAgg, ...]:
        """The aggregates that it folds rows into."""
        return ()

    @property
    def held_columns(self) -> tuple[str, ...]:
        """The columns of points whose last reports its rows show, in the order of names."""
        return ()

    def grouping(self) -> Grouping | None:
        """Itself, if it folds rows into groups."""
        return None

    def segmenting(self) -> Segmenting | None:
        """Itself, if it folds a key's rows into sessions or windows."""
        return None

    def lasting(self) -> LastingState | None:
        """Itself, if it writes how long a state lasts."""
        return None

    def written(self) -> NamedTyped | None:
        """The columns that it writes where its stage runs after the merge; None if it cannot."""
        return None


def columns_in(held: Iterable[tuple[str, Typed]]) -> tuple[str, ...]:
    """The columns of the stream that these are computed from."""
    return tuple(sorted({str(n.option("name")) for _, t in held for n in t.walk() if n.fn == "in"}))


def with_held(what: str, held: NamedTyped) -> str:
    """A description, with the columns that rows hold."""
    return f"{what}, held columns: {', '.join(n for n, _ in held) or 'none'}"
