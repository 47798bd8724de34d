"""The interface of steps: what every step of a metric declares about itself.

A step's fields are declared with ``dataflow.json.fields``, which defines their JSON form in both directions. The passes
over a metric (validation, text, drill-down) ask the step and never test for its type.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import MISSING, dataclass, fields, is_dataclass
from typing import Any, ClassVar, Self

from dataflow.binding.parameters import expressions_in
from dataflow.binding.typing import Expressions, Shape
from dataflow.expressions.aggregate_calls import Named, NamedAggs
from dataflow.expressions.call_text import call
from dataflow.expressions.expr import Expr
from dataflow.expressions.functions import AHEAD
from dataflow.expressions.node import option_text
from dataflow.json.errors import JsonFormError, short
from dataflow.json.fields import form_of, name_of
from dataflow.json.reading import Reader
from dataflow.plan.row_times import RowEnd, RowTimes
from dataflow.plan.stages import Deferred, Stage, TableStep
from dataflow.tables.answer_tables import AnswerTable
from dataflow.tables.reference_tables import ReferenceTable
from dataflow.typed.clock import asks_clock
from operators.nearest import meant

STEPS: dict[str, type[Step]] = {}
"""All steps, by their names in JSON."""

POINTS, INTERVALS, ROWS, TABLE = "points", "intervals", "rows", "table"
"""Kinds of rows that a step makes: points of a stream, intervals, other rows of keys, rows of a table."""


@dataclass
class Bound:
    """A bound step: the rows after it, its stages, and what runs after the merge."""

    shape: Shape
    stages: Sequence[Deferred] = ()
    stage: Stage | None = None
    """The stage that ends the part run by tasks, or runs after the merge."""

    after: Sequence[TableStep] = ()
    order: tuple[str, ...] | None = None
    """The columns by which a grouping's rows are ordered."""


@dataclass(frozen=True)
class StepGroups:
    """The group columns and aggregates of a step, for drill-down."""

    by: Named
    aggs: NamedAggs
    at_once: bool = False
    """Whether it counts keys at one time, in intervals of equal numbers."""

    spans: bool = False
    """Whether each of its rows has the rows of the group from its ``start`` to its ``end``."""
    counted_from: tuple[str, Expr] | None = None
    """If one group makes several rows: a column of the result, and an expression of the grouped rows. A row of the
    result is about those in which the expression is at least the value of the column."""


@dataclass(frozen=True, eq=False)
class InnerMetric:
    """A metric whose answer a step takes. Its range is that of the whole, ``shift`` microseconds later."""

    steps: tuple[Step, ...]
    shift: int = 0


@dataclass(frozen=True)
class InnerChain:
    """Row steps inside a step."""

    steps: tuple[Step, ...]
    after: tuple[Step, ...] | None = None
    """What they follow; None: the steps before the step that they are inside."""


class Step(ABC):
    """One step of a metric."""

    op: ClassVar[str]
    """Its name in JSON."""

    makes: ClassVar[str | None] = None
    """The kind of rows it makes; None if it passes rows on."""

    in_timelines: ClassVar[bool] = False
    """Whether it may precede the state of a timeline that is combined with others."""

    of_keys: ClassVar[bool] = True
    """Whether each of its rows belongs to one key."""

    has_length: ClassVar[bool] = True
    """Whether its rows last from ``start`` to ``end``."""

    takes_table: ClassVar[bool] = False
    """Whether it needs all rows, as a table."""

    looks_back: ClassVar[bool] = False
    """Whether its rows depend on earlier points in ways not visible in its expressions."""

    takes_windows: ClassVar[bool] = True
    """Whether the windows and later rows in its expressions are worked out before it."""

    cuts_by_table: ClassVar[bool] = False
    """Whether it cuts intervals at the edges of periods."""

    starts: ClassVar[bool] = False
    """Whether it names the streams that a metric, or a part of one, begins with."""

    drops_others: ClassVar[bool] = False
    """Whether only the columns that it names remain."""

    mixes_answers: ClassVar[bool] = False
    """Whether its rows are of several answers, so that no single grouping is behind them."""

    def __init_subclass__(cls, op: str | None = None) -> None:
        super().__init_subclass__()
        if op is not None:
            cls.op = op
            STEPS[op] = cls

    @property
    def method(self) -> str:
        """The method that makes it, as messages name it."""
        return self.op

    @property
    def is_numbered(self) -> bool:
        """Whether messages count it: users have written it."""
        return True

    @property
    def follows_keys(self) -> bool:
        """Whether it makes rows by following keys, or groups of keys, through time."""
        return self.makes in (INTERVALS, ROWS)

    # ---- streams

    @property
    def in_unions(self) -> bool:
        """Whether it may follow a stream in a part of a union, or in the other rows of ``join_asof``."""
        return self.in_timelines

    @property
    def has_parts(self) -> bool:
        """Whether it begins with parts that have steps of their own, whose columns may be others than the streams'."""
        return False

    def streams(self) -> Iterator[str]:
        """The streams that it names, in the order of the text, as often as it names them."""
        return iter(())

    def merge_order(self, first: int, before: Sequence[int]) -> list[int]:
        """The order in which the streams so far are merged, where keys and times are equal: their numbers, from
        ``first`` in the order of the text. ``before``: of the steps before it."""
        return [*before, *range(first + len(before), first + len(before) + len(list(self.streams())))]

    # ---- JSON

    def to_fields(self) -> dict[str, Any]:
        """The fields of its JSON form."""
        out: dict[str, Any] = {}
        for f in fields(self):  # type: ignore[arg-type]
            value = getattr(self, f.name)
            if f.default is MISSING or type(value) is not type(f.default) or value != f.default:
                out[name_of(f)] = form_of(f).write(value)
        return out

    @classmethod
    def json_fields(cls) -> tuple[list[str], list[str]]:
        """The names of the required fields and of the optional ones."""
        found = fields(cls)  # type: ignore[arg-type]
        return [name_of(f) for f in found if f.default is MISSING], [
            name_of(f) for f in found if f.default is not MISSING
        ]

    @classmethod
    def from_fields(cls, reader: Reader, d: Mapping[str, Any], where: str) -> Self:
        """The step with these fields; JsonFormError names the place of an error."""
        given = {
            f.name: form_of(f).read(reader, d[name_of(f)], f"{where}.{name_of(f)}")
            for f in fields(cls)  # type: ignore[arg-type]
            if name_of(f) in d
        }
        step = cls(**given)
        step.check_form(reader, where)
        return step

    def check_form(self, reader: Reader, where: str) -> None:  # noqa: B027 (most have nothing to add)
        """JsonFormError for inconsistent fields."""

    def tables(self) -> list[ReferenceTable]:
        """The reference tables in it."""
        return []

    # ---- metrics inside

    def inner(self, before: Sequence[Step]) -> tuple[InnerMetric, ...]:
        """The metrics whose answers it takes; ``before`` are the steps before it."""
        return ()

    def chains(self) -> tuple[InnerChain, ...]:
        """The row steps inside it."""
        return ()

    def with_chains(self, chains: Sequence[tuple[Step, ...]]) -> Step:
        """The step with these in place of its chains."""
        return self

    def answered(self, answers: Sequence[AnswerTable]) -> tuple[Step, ...]:
        """The steps with these answers in place of the metrics."""
        return (self,)

    # ---- text

    def calls(self) -> list[str]:
        """The method calls that make it; by default one with all fields."""
        return [call(self.method, [f"{f.name}={option_text(f.name, getattr(self, f.name))}" for f in fields(self)])]  # type: ignore[arg-type]

    def after(self, parts: list[str]) -> list[str]:
        """The text of a metric, a start and calls, with this step after ``parts``."""
        return [*parts, *self.calls()]

    # ---- validation

    def prepare(self, b: Expressions, shape: Shape) -> None:  # noqa: B027 (most need nothing)
        """Of a step that takes a table: add what it needs to the rows that are written as one for it."""

    @abstractmethod
    def bind(self, b: Expressions, shape: Shape) -> Bound:
        """Check it against the rows before it and make its stages; GraphError names the step."""

    # ---- event time

    @property
    def row_times(self) -> RowTimes | None:
        """The times of the rows that it makes; None if it passes rows on, or groups them."""
        if self.makes == POINTS:
            return RowTimes()
        if self.makes == INTERVALS:
            # A report at the very end of an interval may say that it goes on.
            return RowTimes((RowEnd("end", later=1),), lasts=None, cut=True, unknown=True, states=self.own_columns)
        return RowTimes(ahead=None, lasts=None) if self.makes == ROWS else None

    @property
    def grouped_by(self) -> Named | None:
        """The columns by which it groups rows; None if it does not."""
        found = self.groups() if self.makes == TABLE else None
        return None if found is None else found.by

    @property
    def may_cut(self) -> bool:
        """Whether it may cut intervals."""
        return self.cuts_by_table or asks_clock(self)

    @property
    def asks_end(self) -> bool:
        """Whether what it makes of a row depends on when that ends."""
        return names_column(self, ("end", "duration"))

    @property
    def asks_later(self) -> bool:
        """Whether what it makes of a row depends on later rows."""
        return any(e.fn in AHEAD for e in expressions_in(self))

    @property
    def needed_columns(self) -> frozenset[str]:
        """The columns without which it keeps no row: those that may not be null."""
        return frozenset()

    @property
    def mixes_rows(self) -> bool:
        """Whether a row after it depends on more than one row before it, other than those that a grouping names."""
        return self.takes_table or bool(self.inner(()))

    # ---- drilling down

    def groups(self) -> StepGroups | None:
        """Its group columns and aggregates; None if it does not group."""
        return None

    def new_columns(self) -> Named:
        """The columns that it computes."""
        return ()

    @property
    def spreads(self) -> str | None:
        """The column whose values become columns; None if there is none."""
        return None

    @property
    def own_columns(self) -> tuple[str, ...]:
        """Columns specific to its rows: the state, or numbers of keys."""
        return ()

    @property
    def drill_columns(self) -> tuple[str, ...]:
        """Columns that say how long each row lasts; drill-down must keep them."""
        return ("end", "start") if self.makes == INTERVALS else ("end",) if self.has_length else ()

    def earliest(self) -> list[Expr]:
        """Times before a row's own time whose points matter for it."""
        return []

    def latest(self) -> list[Expr]:
        """Times after a row's end up to which points matter for it."""
        return []

    @property
    def state_reported(self) -> Expr | None:
        """The state that rows report and that lasts; None if there is none."""
        return None


def names_column(part: object, names: Sequence[str]) -> bool:
    """Whether one of these columns occurs in an expression, a step or a part of one."""
    return any(e.fn == "col" and e.option("name") in names for e in expressions_in(part))


def content_of(value: object) -> object:
    """The content of a step or expression, for comparison: steps and expressions compare by identity."""
    if isinstance(value, tuple):
        return tuple(content_of(v) for v in value)
    if is_dataclass(value) and not isinstance(value, type):
        return (type(value).__name__, *(content_of(getattr(value, f.name)) for f in fields(value)))
    if isinstance(value, ReferenceTable):
        return value
    return type(value).__name__, repr(value)  # 1, 1.0, True and -0.0 are different constants


def to_object(step: Step) -> dict[str, Any]:
    """The step as a JSON-ready object."""
    return {"op": step.op, **step.to_fields()}


def from_object(reader: Reader, value: object, where: str) -> Step:
    """The step of a JSON-ready object."""
    op = value.get("op") if isinstance(value, dict) else None
    found = STEPS.get(op) if isinstance(op, str) else None
    if found is None:
        raise JsonFormError(
            f"{where}: unknown operator {short(op)}; {meant(op, STEPS, 'known')} are {', '.join(STEPS)}"
        )
    required, optional = found.json_fields()
    return found.from_fields(reader, reader.fields(value, where, ["op", *required], optional), where)
