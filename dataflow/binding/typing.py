"""Type checks of the expressions and aggregates in steps, in terms of a stage's inputs."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from dataflow.binding.aggregate_arguments import arranged as prepared
from dataflow.binding.aggregate_arguments import needs_order, types_taken
from dataflow.binding.parameters import converted
from dataflow.binding.sources import Sources, StreamColumns
from dataflow.expressions.aggregate_calls import Agg, NamedAggs
from dataflow.expressions.aggregate_signatures import signature_of
from dataflow.expressions.expr import Expr
from dataflow.expressions.functions import ANY, CASTS, FUNCTIONS, LOOKING, RANGE, STATEFUL, common, without_unit
from dataflow.expressions.over_calls import ORDERED
from dataflow.expressions.scan_calls import registered
from dataflow.plan.stages import Sparse
from dataflow.times.calendar_tables import known_time
from dataflow.times.durations import is_duration, moment, parse_duration
from dataflow.times.zones import check_zone
from dataflow.typed.aggregates_bound import BoundAgg
from dataflow.typed.clock import NOW, is_moving, sources_of
from dataflow.typed.decimals import arranged, as_float, equal_in, is_decimal
from dataflow.typed.hidden_columns import BEGIN, OVER
from dataflow.typed.nodes import Typed, column, column_name
from dataflow.typed.row_operations import Fix, NullTally, RowOp
from dataflow.typed.text_trees import MOST_LEVELS, is_tree, level_of, together
from dataflow.values.constants import constant
from operators.aggregates import SIGNATURES
from operators.contract import Aggregate
from operators.errors import DataflowError
from operators.nearest import listed, meant
from operators.registry import argument_types, find
from operators.types import DECIMALS, Type, decimal

_EXTREMES = ("clip", "least", "greatest")
_MEASURED = ("add", "sub", "div", "floordiv", "mod")
"""Arithmetic of two durations, or of a time and a duration."""


__all__ = ["Expressions", "GraphError", "Shape", "StreamColumns"]


class GraphError(DataflowError):
    """A metric that does not fit its stream; the message names the step."""


@dataclass
class Shape:
    """The rows between two steps: their kind, and what each visible column is computed from."""

    kind: str  # points, intervals, sessions, windows, funnels, cohorts, transitions, table
    env: dict[str, Typed]
    inputs: dict[str, Type]
    ops: list[RowOp] = field(default_factory=list)
    held: frozenset[str] = frozenset()
    """Columns of the stream that rows with a length can hold: each is held, and cuts, only if it is referred to."""

    referred: set[str] = field(default_factory=set)

    keyed: bool = True
    """Whether intervals belong to keys; after ``concurrent`` they belong to groups."""

    by: tuple[str, ...] = ()
    """The columns of a table that its rows were grouped by."""

    filtered: str = ""
    """The last step that dropped rows, if any."""

    marked: bool = False
    """Whether the rows of a table are windows with the hidden column ``PARTIAL``."""

    counted: bool = True
    """Whether the reports of columns are counted: in the first stage only."""
    apart: Mapping[str, str] = field(default_factory=dict)
    """Columns that several streams have with different types, and what is wrong with them."""

    @property
    def stands(self) -> bool:
        """Whether the rows are a finished table with exactly these columns."""
        plain = [(name, column(name, kind)) for name, kind in self.inputs.items()]
        return self.kind == "table" and not self.ops and list(self.env.items()) == plain


class Expressions:
    """Gives types to the expressions and aggregates of one metric, step by step; ``where`` is the current step."""

    def __init__(self, stream: StreamColumns, params: Mapping[str, object], sources: Sources | None = None) -> None:
        self.stream = stream
        self.sources = sources or Sources({})
        self.params = dict(params)
        self.sites = itertools.count()
        self.sparse: list[Sparse] = []
        self.other_rows: dict[str, Typed] = {}
        """The columns of the windows and later rows in the current step, by their text."""

        self.where = ""

    def fail(self, text: str) -> GraphError:
        """An error about the current step."""
        return GraphError(f"{self.where}: {text}")

    def lookup(self, name: str, shape: Shape) -> Typed:
        """What the column is computed from."""
        if name in shape.env:
            shape.referred.add(name)
            return shape.env[name]
        if name in shape.apart:
            raise self.fail(shape.apart[name])
        there = sorted(n for n in shape.env if not n.startswith(OVER))
        raise self.fail(f"there is no column {name!r}; {meant(name, there, 'available')} columns: {listed(there, 100)}")

    def typed(self, e: Expr, shape: Shape) -> Typed:
        """``e`` with types, in terms of the stage's inputs."""
        if e.fn == "col":
            return self.lookup(str(e.option("name")), shape)
        if e.fn == "lit":
            return self.literal(str(e.option("type")), e.option("value"))
        if e.fn == "param":
            return self.parameter(e)
        if e.fn in RANGE:
            return self.literal(Type.TIME, self.params[f"${e.fn}"])
        if e.fn in LOOKING:
            if repr(e) not in self.other_rows:
                raise self.fail(
                    f"{e.fn} cannot stand in a timeline that is combined with others, nor in the other rows of a "
                    "union or a join_asof; it can in the rows after these"
                )
            return self.other_rows[repr(e)]
        if e.fn == "time":
            if shape.kind == "table":
                here = f", df.col({self.stream.time!r})" if self.stream.time in shape.env else ""
                raise self.fail(
                    "time() has no meaning in the rows of a table, as after group_by or in top; use the column that "
                    f"holds the time{here}"
                )
            return NOW if shape.kind == "intervals" else Typed("time", Type.TIME)
        if e.fn == "over":
            raise self.fail(
                f"{e!r} looks at other rows; put it into a column first, with_columns(x=...)"
                if shape.kind == "table"
                else f"{e!r} is for the rows of a finished table, as after agg(...) or sort(...)"
            )
        args = [self.typed(a, shape) for a in e.args]
        if any(a.type is Type.JSON for a in args) and e.fn not in ("is_null", "is_not_null"):
            raise self.fail(f"{e.fn} cannot take json: a result with several parts can be shown, but not computed with")
        if e.fn == "is_in":
            return self.membership(e, args[0])
        if e.fn in ("cast", "try_cast"):
            return self.cast(e, args[0])
        if e.fn == "add" and any(a.type is Type.STRING for a in args) and _is_text(args):
            return self.texts(args)
        if e.fn in ("eq", "ne", "lt", "le", "gt", "ge", "between", "fill_null", "mul", *_EXTREMES, *_MEASURED):
            args = self.coerced(e.fn, args)
        if e.fn == "when":
            args = [args[0], *self.coerced(e.fn, args[1:])]
        spec = FUNCTIONS[e.fn]
        known: Type | None = None
        own = len(args) if spec.arity == ANY or spec.any_number else spec.arity
        args, more = args[:own], args[own:]
        if e.fn == "scan":
            args, known = self.scanned(e, args)
        elif any(is_decimal(a) for a in args):
            decided = arranged(e.fn, args)
            if isinstance(decided, str):
                raise self.fail(f"{e.fn} cannot take {decided}")
            args, known = decided if isinstance(decided, tuple) else (decided, None)
        if e.fn == "when" and known is not None and args[0].type not in (Type.BOOL, None):
            raise self.fail(f"when cannot take {args[0].type} as a condition")
        result = known or spec.rule([a.type for a in args])
        if e.fn == "decimal" and isinstance(result, Type):
            result = decimal(int(str(e.option("places"))))
        if not isinstance(result, Type):
            if result == "only null":
                raise self.fail(f"{e.fn} has only null arguments, so it has no type")
            raise self.fail(f"{e.fn} cannot take {result}")
        ordered_text = e.fn in ("lt", "le", "gt", "ge", "between") and Type.STRING in {a.type for a in args}
        if ordered_text and (args[0].type is not Type.STRING or any(a.fn != "lit" for a in args[1:])):
            raise self.fail(
                f"{e.fn} compares a string column only with string constants: texts of different columns have no "
                "order, but == and != compare them"
            )
        if "zone" in spec.options:
            check_zone(str(e.option("zone")), self.where)
        if e.fn in STATEFUL:
            if shape.kind == "table" and e.fn in ORDERED:
                raise self.fail(f"{e.fn} needs an order of the table's rows; write for example .{e.fn}(order='day')")
            if shape.kind == "table" or not shape.keyed:
                raise self.fail(f"{e.fn} needs the rows of a key in time order; use it before group_by")
            if args[0].type is None:
                raise self.fail(f"{e.fn} of null has no type")
            if e.fn == "last" and shape.filtered:
                self.tally_reports(args, shape)
            if any(a.type is None for a in more):
                raise self.fail(f"{e.fn}: within is always null")
            return Typed(e.fn, result, (*args, *more), e.options, next(self.sites))
        return Typed(e.fn, result, tuple(args), e.options)

    def literal(self, kind: str, value: object) -> Typed:
        """A constant of this kind."""
        if kind == Type.TIME and isinstance(value, int):
            self.known(value)
        return Typed("lit", None if kind == "null" else Type(kind), (), (("value", value),))

    def parameter(self, e: Expr) -> Typed:
        """The value that the parameter was given, or its default, as a constant."""
        name, kind, default = str(e.option("name")), str(e.option("type")), e.option("default")
        if name not in self.params:
            if default is None:
                raise self.fail(f"the parameter {name!r} has no default; give it a value")
            if kind == "list":
                raise self.fail(f"the parameter {name!r} is a list, which only is_in takes")
            return self.literal(kind, default)
        value, choices = self.params[name], e.option("choices")
        if isinstance(choices, tuple) and value not in choices:
            raise self.fail(f"the parameter {name!r} is one of {', '.join(map(str, choices))}, not {value!r}")
        if kind == "list":
            raise self.fail(f"the parameter {name!r} is a list, which only is_in takes")
        try:
            if kind == "null":
                return self.literal(*constant(converted(kind, value)))
            return self.literal(kind, converted(kind, value))
        except DataflowError as error:
            raise self.fail(f"the parameter {name!r}: {error}") from None
        except ValueError:
            which = "and was given an empty text" if value == "" else f"which {value!r} is not"
            raise self.fail(f"the parameter {name!r} is of type {kind}, {which}") from None

    def coerced(self, fn: str, args: Sequence[Typed]) -> list[Typed]:
        """The arguments, with string constants next to times and durations parsed as such; no time is the same in any
        unit, so that 0 is a duration, too, but no divisor and no factor. A number of lengths of time is a duration:
        ``n * "1s"``."""
        kinds = {a.type for a in args}
        moves = fn in ("add", "sub") and Type.TIME in kinds
        counts = fn == "mul" and any(kind is not None and kind.is_numeric for kind in kinds)
        out = []
        for a in args:
            constant = a.option("value") if a.fn == "lit" else None
            if isinstance(constant, str):
                if Type.DURATION in kinds or ((moves or counts) and is_duration(constant)):
                    a = self.literal(Type.DURATION, parse_duration(constant, self.where, least=0))
                elif Type.TIME in kinds:
                    a = self.literal(Type.TIME, self.moment(constant))
            elif (
                constant == 0 and a.type is Type.INT and Type.DURATION in kinds and fn not in ("mul", "div", "floordiv")
            ):
                a = self.literal(Type.DURATION, 0)
            out.append(a)
        return out

    def cast(self, e: Expr, of: Typed) -> Typed:
        """The value as one of another type."""
        kind = Type(str(e.option("type")))
        taken = (kind, *CASTS[kind], *(DECIMALS if kind in (Type.INT, Type.FLOAT) else ()))
        if of.type is None:
            return Typed("lit", None, (), (("value", None),))
        if of.type not in taken:
            names = ", ".join(sorted({str(t) for t in taken if t.places is None}))
            names += " or decimal" if len(taken) > len(CASTS[kind]) + 1 else ""
            hint = "; divide it by a length of time, like '1s'" if of.type is Type.DURATION else ""
            if kind is Type.TIME and of.type in (Type.INT, Type.FLOAT):
                hint = "; seconds since 1970 are df.lit(datetime(1970, 1, 1, tzinfo=UTC)) + timedelta(seconds=1) * x"
            raise self.fail(f"{e.fn} makes {kind} of {names}, not of {of.type}{hint}")
        return Typed(e.fn, kind, (of,), e.options)

    def texts(self, parts: Sequence[Typed]) -> Typed:
        """A text followed by another one."""
        if any(a.type is None for a in parts):
            raise self.fail("add of a text and null is always null, so it has no type")
        out = together(parts[0], parts[1])
        if level_of(out) >= MOST_LEVELS:
            raise self.fail(f"more than {MOST_LEVELS} functions of texts within each other")
        for e in out.walk():
            if e.fn == "joined" and not is_tree(e):
                texts = (n for n in e.walk() if n.type is Type.STRING and not is_tree(n))
                wrong = next(n for n in texts if all(is_tree(a) for a in n.args if a.type is Type.STRING))
                raise self.fail(
                    "two texts can be put together if they are columns, constants or functions of these, not "
                    f"{wrong.fn}"
                )
        return out

    def known(self, t: int) -> int:
        """The constant time ``t``; GraphError if it lies outside of the calendar years."""
        try:
            return known_time(t, self.where)
        except DataflowError as error:
            raise GraphError(str(error)) from None

    def moment(self, text: str) -> int:
        """The time in the text, in microseconds."""
        try:
            return self.known(moment(text))
        except ValueError:
            by_calendar = re.fullmatch(r"[-+]?[0-9]+(mo|y)", text)
            hint = f" (months and years are of a calendar: df.time().offset_by({text!r}, zone))" if by_calendar else ""
            raise self.fail(
                f"{text!r} is not a time; write for example '2024-03-01' or '2024-03-01T12:00:00Z'{hint}"
            ) from None

    def membership(self, e: Expr, value: Typed) -> Typed:
        """``is_in``, with constants of the type of ``value``."""
        listed = e.option("values")
        assert isinstance(listed, tuple)
        if not listed:
            return Typed("is_in", Type.BOOL, (value,), (("values", ()),))
        kind = Type(str(e.option("type")))
        if kind is Type.STRING and value.type in (Type.TIME, Type.DURATION):
            is_time, kind = value.type is Type.TIME, value.type
            listed = tuple(
                sorted(self.moment(v) if is_time else parse_duration(v, self.where, least=0) for v in listed)
            )
        elif kind is Type.TIME:
            listed = tuple(self.known(int(v)) for v in listed)
        both = common([value.type, kind])
        numbers = is_decimal(value) and kind in (Type.INT, Type.FLOAT)
        if not numbers and not isinstance(both, Type):
            unit = without_unit([value.type, kind])
            raise self.fail(f"is_in cannot compare {value.type} with constants of type {kind}{unit}")
        if value.type is not None and kind in (Type.INT, Type.FLOAT):
            # Constants that no value of the type can equal are left out.
            listed = tuple(sorted(v for c in listed if (v := equal_in(value.type, c)) is not None))
        return Typed("is_in", Type.BOOL, (value,), (("values", listed),))

    def scanned(self, e: Expr, args: Sequence[Typed]) -> tuple[list[Typed], Type]:
        """The arguments of a scan, in the types that it takes, and the type of its result."""
        name = e.option("name")
        try:
            scan = registered(name)
        except DataflowError as error:
            raise self.fail(str(error)) from None
        if len(args) != len(scan.arguments):
            raise self.fail(f"the scan {name} takes {len(scan.arguments)} values, got {len(args)}")
        out = []
        for a, kind in zip(args, scan.arguments, strict=True):
            if kind is Type.FLOAT and (is_decimal(a) or a.type is Type.INT):
                a = as_float(a)
            elif a.type is not kind:
                raise self.fail(f"the scan {name} takes {', '.join(scan.arguments)}, got {a.type or 'null'}")
            out.append(a)
        return out, scan.result

    def condition(self, e: Expr, shape: Shape, what: str) -> Typed:
        """``e`` with types, which must be boolean; ``what`` names it in errors."""
        typed = self.typed(e, shape)
        if typed.type not in (Type.BOOL, None):
            text = e.option("value") if e.fn == "lit" and typed.type is Type.STRING else None
            hint = "" if text is None else f"; {text!r} is text; write an expression like df.col('status') == 'up'"
            raise self.fail(f"{what} takes a condition, got {typed.type}{hint}")
        return typed

    # ---- aggregates

    def aggregates(self, aggs: NamedAggs, shape: Shape) -> tuple[BoundAgg, ...]:
        """All of them, in their order."""
        return tuple(self.aggregate(n, a, shape) for n, a in aggs)

    def aggregate(self, name: str, a: Agg, shape: Shape) -> BoundAgg:
        """The aggregate for arguments of these types, bound to them."""
        form = signature_of(a.fn)
        if form is None:
            raise self.fail(
                f"{name}: there is no aggregate {a.fn!r}; {meant(a.fn, SIGNATURES, 'a')}"
                " custom aggregate must be registered first: df.register(...)"
            )
        if form.of_points in a.options:
            if shape.kind == "intervals":
                raise self.fail(f"{name}: {a!r} is about points; use it without state_duration or heartbeat")
        elif form.of_intervals and shape.kind != "intervals":
            points = "" if form.of_points is None else ", or of points with hold= or between='linear'"
            raise self.fail(f"{a.fn} needs intervals; use it after state_duration or heartbeat{points}")
        if a.fn == "duration" and shape.kind in ("points", "transitions", "table"):
            raise self.fail(
                "duration needs rows with a length; use it after state_duration, heartbeat, sessionize or window"
            )
        where = [] if a.where is None else [self.condition(a.where, shape, f"{name}: where")]
        args = list(a.args)
        if a.fn == "duration" and args:
            where.append(self.condition(args.pop(), shape, f"{name}: duration"))
        if a.fn in ("known_time", "unknown_time") and args:
            self.condition(args[0], shape, f"{name}: {a.fn}")
        typed = [self.typed(e, shape) for e in args]
        if any(e.type is None for e in typed):
            raise self.fail(f"{name}: {a.fn} of null has no type")
        options = dict(a.options)
        moving = [e for e in (*where, *typed) if is_moving(e)]
        begin = column(BEGIN, Type.TIME) if BEGIN in shape.inputs else Typed("begin", Type.TIME) if moving else None
        given = prepared(a.fn, typed, options, begin, self.sites, lambda t: self.fail(f"{name}: {t}"))
        sources_of([e for e in (given.argument, given.other, *where) if e is not None], self.fail)
        found = find(given.fn, given.kind)
        if found is None:
            takes = types_taken(argument_types(given.fn))
            raise self.fail(f"{name}: {a.fn} cannot take {given.kind}; it takes {takes}")
        if isinstance(found, Aggregate):
            if found.configured is not None and (options or given.options):
                found = found.configured({**options, **given.options})
            if found.other is not None and (given.other is None or given.other.type is not found.other):
                raise self.fail(f"{name}: the second argument of {a.fn} must be {found.other}")
            if shape.kind == "table" and needs_order(found.inputs) and not form.in_tables:
                raise self.fail(f"{name}: {a.fn} needs rows in time order; use it before group_by")
        conditions = (*where, *given.where)
        used = [e for e in (given.argument, given.other, given.before, *conditions) if e is not None]
        if any(s.fn in STATEFUL for e in used for s in e.walk() if s.site >= 0):
            if shape.kind == "table":
                raise self.fail(f"{name}: {a.fn} needs the rows of a key in time order; use it before group_by")
            self.fix_all(used, shape)
        return BoundAgg(name, found, given.argument, conditions, given.other, given.before)

    def tally_reports(self, exprs: Sequence[Typed], shape: Shape, grouped: bool = False) -> None:
        """Count the points at this step that do not report the columns in ``exprs``, by which they are ``grouped`` or
        which ``last`` holds."""
        for e in dict.fromkeys(n for x in exprs for n in _as_reported(x)):
            found = Sparse(column_name(e), self.where, shape.filtered, grouped)
            if shape.kind == "points" and shape.counted and found not in self.sparse:
                shape.ops.append(NullTally(e, len(self.sparse)))
                self.sparse.append(found)

    def tally_groups(self, by: Sequence[Typed], aggs: Sequence[BoundAgg], shape: Shape) -> None:
        """The same for the columns that points are grouped by; uses the counts of the groups' rows if there are
        any."""
        plain = (j for j, a in enumerate(aggs) if a.aggregate.name == "count" and a.argument is None and not a.where)
        count = next(plain, None)
        for i, e in enumerate(by):
            if count is None or e.fn != "in":
                self.tally_reports([e], shape, grouped=True)
            elif shape.kind == "points" and shape.counted:
                self.sparse.append(Sparse(column_name(e), self.where, shape.filtered, True, (i, count)))

    def fix_all(self, exprs: Sequence[Typed], shape: Shape) -> None:
        """Compute numbered expressions at this step, for every row that reaches it."""
        done = {op.value.site for op in shape.ops if isinstance(op, Fix)}
        for e in exprs:
            for node in _bottom_up(e):
                if node.site >= 0 and node.site not in done:
                    shape.ops.append(Fix(node))
                    done.add(node.site)


def _is_text(args: Sequence[Typed]) -> bool:
    """Whether all are texts, or null."""
    return all(a.type in (Type.STRING, None) for a in args)


def _as_reported(e: Typed) -> list[Typed]:
    """The columns that ``e`` reads as reported, without handling null."""
    if e.fn in (*STATEFUL, "is_null", "is_not_null", "fill_null"):
        return []
    return [e] if e.fn == "in" else [n for a in e.args for n in _as_reported(a)]


def _bottom_up(e: Typed) -> list[Typed]:
    out: list[Typed] = []
    for a in e.args:
        out += _bottom_up(a)
    return [*out, e]
