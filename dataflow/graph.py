"""The operator graph: an immutable chain of steps from a stream to a table."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import TYPE_CHECKING, NoReturn

from dataflow.durations import parse_every
from dataflow.expr import Expr, Operand, col, expr
from dataflow.mistaken import shown, without_call
from dataflow.reference import ReferenceTable
from dataflow.service import Calendar
from operators.errors import DataflowError


@dataclass(frozen=True, eq=False, repr=False)
class Agg:
    """One aggregate over a group's rows, of those where ``where`` is true; ``options`` are (name, value) pairs."""

    fn: str
    args: tuple[Expr, ...] = ()
    where: Expr | None = None
    options: tuple[tuple[str, object], ...] = ()

    def __repr__(self) -> str:
        from dataflow.written import written

        return written(self)

    if not TYPE_CHECKING:  # for type checkers these are errors already

        def __getattr__(self, name: str) -> NoReturn:
            hint = f"; name it in agg(...): agg(n={self!r})" if name in ("alias", "name") else ""
            raise AttributeError(f"an aggregate has no {name!r}{hint}", name=name, obj=None)

        def _computed(self, *_: object) -> NoReturn:
            raise DataflowError(
                f"an aggregate is no expression: {self!r}; name it in agg(...) and compute with its column after that: "
                ".agg(n=...).with_columns(x=df.col('n') / 2)"
            )

        __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _computed
        __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = __neg__ = __lt__ = __le__ = __gt__ = __ge__ = _computed
        __and__ = __rand__ = __or__ = __ror__ = __invert__ = _computed


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
class Held(WithColumns):
    """Rows in whose ``columns`` stand the values last reported; each is (name, ``last`` of the column)."""

    @property
    def names(self) -> tuple[str, ...]:
        """The columns."""
        return tuple(name for name, _ in self.columns)

    @property
    def hold(self) -> int | None:
        """For how many microseconds at most a value is held."""
        hold = self.columns[0][1].option("hold")
        assert hold is None or isinstance(hold, int)
        return hold


def held(names: Sequence[str], hold: int | None) -> Held:
    """The step that holds the columns ``names`` (one at least), each once."""
    return Held(tuple((n, Expr("last", (col(n),), (("hold", hold),))) for n in names))


@dataclass(frozen=True, eq=False)
class Select:
    """Rows with just these columns (key and time stay)."""

    columns: Named


RowStep = Filter | WithColumns | Select


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
class Windows:
    """A reference table as periods of each key."""

    table: ReferenceTable
    key: str
    valid_from: str | None
    valid_to: str | None


@dataclass(frozen=True, eq=False)
class Join:
    """Rows with the attributes of the reference table's row for ``on`` (and the time); ``how`` is left or inner."""

    windows: Windows
    on: Expr
    how: str


@dataclass(frozen=True, eq=False)
class During:
    """Rows, or parts of intervals, ``inside`` the periods or else outside; ``on`` finds those of a table."""

    periods: Calendar | Windows
    on: Expr | None
    inside: bool


@dataclass(frozen=True, eq=False)
class Track:
    """One timeline of a ``Timeline``: steps over the points, then what makes its intervals."""

    name: str
    steps: tuple[RowStep | Join | During, ...]
    interval: StateDuration | Heartbeat


@dataclass(frozen=True, eq=False)
class Timeline:
    """Intervals of ``state``, an expression of the tracks' states at each time; null is unknown."""

    tracks: tuple[Track, ...]
    state: Expr
    name: str


@dataclass(frozen=True, eq=False)
class Concurrent:
    """Intervals of each group with the number of keys for which the condition holds, or whether it is ``at_least``."""

    condition: Expr
    by: Named
    at_least: int | None


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
TimelineStep = Timeline | Join | During | Concurrent
Step = Source | RowStep | KeyedStep | TimelineStep | GroupBy | Sort | Limit

OPS: dict[type, str] = {
    Source: "stream",
    Filter: "filter",
    WithColumns: "with_columns",
    Held: "held",
    Select: "select",
    StateDuration: "state_duration",
    Heartbeat: "heartbeat",
    Sessionize: "sessionize",
    Window: "window",
    Funnel: "funnel",
    Cohorts: "cohorts",
    Transitions: "transitions",
    Timeline: "timeline",
    Join: "join",
    During: "during",
    Concurrent: "concurrent",
    GroupBy: "group_by",
    Sort: "sort",
    Limit: "limit",
}
"""The name of each step in JSON."""


def name_of(step: Step) -> str:
    """The method that made a step, as messages name it."""
    if isinstance(step, During) and not step.inside:
        return "outside"
    if isinstance(step, Concurrent) and step.at_least is not None:
        return "at_least"
    return OPS[type(step)]


def content_of(value: object) -> object:
    """What a step or expression consists of, equal for those that mean the same: they do not compare by themselves."""
    if isinstance(value, tuple):
        return tuple(content_of(v) for v in value)
    if is_dataclass(value) and not isinstance(value, type):
        return (type(value).__name__, *(content_of(getattr(value, f.name)) for f in fields(value)))
    if isinstance(value, ReferenceTable):
        return value
    return type(value).__name__, repr(value)  # 1, 1.0, True and -0.0 are different constants


FUNNEL_MODES = ("strict", "ordered", "any")
MAX_FUNNEL, MAX_WINDOW = 16, 1000
"""Bounds on the steps of a funnel and on the buckets of a window, each of which every key has a state for."""

MAX_STEPS, MAX_NODES, MAX_DEPTH, MAX_BYTES = 64, 1000, 32, 256 * 1024
"""Bounds on a graph; the bytes are those of its JSON form without reference tables, which have bounds of their own."""

MAX_TRACKS = 32
"""Timelines that one step combines."""


def named_columns(columns: tuple[str | Expr, ...], named: dict[str, Operand], where: str) -> Named:
    """Columns and named expressions as (name, expression) pairs; DataflowError naming ``where`` for repeats."""
    out: list[tuple[str, Expr]] = []
    for c in columns:
        if isinstance(c, str):
            out.append((str.__str__(c), col(c)))
        elif isinstance(c, Expr) and c.fn == "col":
            out.append((str(c.option("name")), c))
        else:
            raise DataflowError(_unnamed(c, where))
    for n, e in named.items():
        if isinstance(e, str):
            raise DataflowError(_bare_text(n, e, where))
        out.append((n, expr(e)))
    names = [n for n, _ in out]
    for n in names:
        if names.count(n) > 1:
            raise DataflowError(f"{where}: the column {n!r} is given twice")
    return tuple(out)


def _unnamed(given: object, where: str) -> str:
    """What is wrong with a column that is neither a name nor a column."""
    if (call := without_call(given)) is not None:
        return f"{where}: {call}"
    if isinstance(given, list | tuple):
        return f"{where}: give the columns one by one, {where}('a', 'b'), not as a list"
    if isinstance(given, Agg):
        return f"{where}: an aggregate stands in agg(...), after group_by: .agg(n={given!r})"
    if isinstance(given, Expr):
        return f"{where}: give an expression a name, e.g. {where}(day=df.time().truncate('1d'))"
    return f"{where} takes names of columns and named expressions, got {shown(given)}"


def _bare_text(name: str, text: str, where: str) -> str:
    """Why a bare text is refused where an expression is expected: some take it for a column, some for a constant."""
    try:
        parse_every(text, where)
        column = f"df.time().truncate({text!r}) for buckets of time"
    except DataflowError:
        column = f"df.col({text!r}) for the column"
    constant = f"{name}=df.lit({text!r}) for the constant"
    return f"{where}: {name}={text!r} is a bare text; write {name}={column}, or {constant}"
