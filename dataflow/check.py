"""Validation: a graph against a stream's columns, step by step, into a plan."""

from __future__ import annotations

import difflib
import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from dataflow import graph as g
from dataflow.aggregate_args import arranged as prepared
from dataflow.aggregate_args import needs_order, types_taken
from dataflow.aggregate_forms import form_of
from dataflow.calendars import longest_bucket, zone_named
from dataflow.chain import END, KNOWN, has_whole_keys, history_of, is_sliceable, laws_of, stage_of_inputs
from dataflow.check_flows import bound_flow
from dataflow.check_timelines import concurrent_step, during_step, join_step, own_columns, timeline_step
from dataflow.decimals import arranged, as_float, is_decimal
from dataflow.durations import moment, parse_duration
from dataflow.expr import Expr
from dataflow.flows import Flow
from dataflow.functions import FUNCTIONS, STATEFUL, common
from dataflow.parameters import converted, guessed
from dataflow.plan import (
    BoundAgg,
    Fix,
    Group,
    Keep,
    Pieces,
    Plan,
    RowOp,
    Rows,
    Segments,
    SortBy,
    Stage,
    States,
    TableStep,
    Take,
)  # fmt: skip
from dataflow.typed import Typed, column
from operators.contract import Aggregate
from operators.errors import DataflowError
from operators.registered import argument_types, find
from operators.types import Type, decimal

_LONGEST = 366 * 100 * 86_400_000_000


class GraphError(DataflowError):
    """A graph that makes no sense for its stream; the message names the step."""


@dataclass(frozen=True)
class StreamColumns:
    """What a stream looks like to a graph: its key, its event time and its typed columns."""

    key: str
    key_type: Type
    time: str
    columns: Mapping[str, Type]


@dataclass
class _Shape:
    """The rows between two steps: what kind they are, and what each visible column is computed from."""

    kind: str  # points, intervals, sessions, windows, funnels, cohorts, transitions, table
    env: dict[str, Typed]
    inputs: dict[str, Type]
    ops: list[RowOp] = field(default_factory=list)
    held: frozenset[str] = frozenset()
    """Columns of the stream that lasting rows can have: each is held, and cuts, only if something refers to it."""

    referred: set[str] = field(default_factory=set)

    keyed: bool = True
    """Whether intervals are those of keys; they are those of groups after ``concurrent``."""

    @property
    def stands(self) -> bool:
        """Whether the rows are a table that is there already, with just these columns as they are."""
        plain = [(name, column(name, kind)) for name, kind in self.inputs.items()]
        return self.kind == "table" and not self.ops and list(self.env.items()) == plain


class _Binder:
    def __init__(self, steps: Sequence[g.Step], stream: StreamColumns, params: Mapping[str, object]) -> None:
        self.steps = steps
        self.stream = stream
        self.params = dict(params)
        self.used_params: set[str] = set()
        self.sites = itertools.count()
        self.where = ""

    # ---- expressions

    def fail(self, text: str) -> GraphError:
        return GraphError(f"{self.where}: {text}")

    def lookup(self, name: str, shape: _Shape) -> Typed:
        if name in shape.env:
            shape.referred.add(name)
            return shape.env[name]
        near = difflib.get_close_matches(name, shape.env, 1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        raise self.fail(f"there is no column {name!r}; {hint}There are: {', '.join(sorted(shape.env))}")

    def typed(self, e: Expr, shape: _Shape) -> Typed:
        """``e`` with types, in terms of the stage's inputs."""
        if e.fn == "col":
            return self.lookup(str(e.option("name")), shape)
        if e.fn == "lit":
            return self.literal(str(e.option("type")), e.option("value"))
        if e.fn == "param":
            return self.parameter(e)
        if e.fn == "time":
            if shape.kind == "table":
                raise self.fail("time() has no meaning after group_by; use the column that holds the time bucket")
            return Typed("time", Type.TIME)
        args = [self.typed(a, shape) for a in e.args]
        if any(a.type is Type.JSON for a in args) and e.fn not in ("is_null", "is_not_null"):
            raise self.fail(f"{e.fn} cannot take json: an answer of several parts can be shown, but not computed with")
        if e.fn == "is_in":
            return self.membership(e, args[0])
        if e.fn in ("eq", "ne", "lt", "le", "gt", "ge", "between", "fill_null", "add", "sub"):
            args = self.coerced(args)
        if e.fn == "when":
            args = [args[0], *self.coerced(args[1:])]
        spec = FUNCTIONS[e.fn]
        known: Type | None = None
        if any(is_decimal(a) for a in args):
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
                raise self.fail(f"{e.fn} of nothing but null has no type")
            raise self.fail(f"{e.fn} cannot take {result}")
        ordered_text = e.fn in ("lt", "le", "gt", "ge", "between") and Type.STRING in {a.type for a in args}
        if ordered_text and (args[0].type is not Type.STRING or any(a.fn != "lit" for a in args[1:])):
            raise self.fail(f"{e.fn} compares a string column only with string constants")
        if "zone" in spec.options:
            zone_named(str(e.option("zone")), self.where)
        if e.fn in STATEFUL:
            if shape.kind == "table" or not shape.keyed:
                raise self.fail(f"{e.fn} needs the rows of a key in time order; use it before they are grouped")
            if args[0].type is None:
                raise self.fail(f"{e.fn} of null has no type")
            return Typed(e.fn, result, tuple(args), e.options, next(self.sites))
        return Typed(e.fn, result, tuple(args), e.options)

    def literal(self, kind: str, value: object) -> Typed:
        return Typed("lit", None if kind == "null" else Type(kind), (), (("value", value),))

    def parameter(self, e: Expr) -> Typed:
        name, kind, default = str(e.option("name")), str(e.option("type")), e.option("default")
        self.used_params.add(name)
        if name not in self.params:
            if default is None:
                raise self.fail(f"the parameter {name!r} has no default; give it a value")
            return self.literal(kind, default)
        value = self.params[name]
        if kind == "null":
            value = guessed(value) if isinstance(value, str) else value
            kinds = {bool: "bool", int: "int64", float: "float64", str: "string"}
            kind = kinds.get(type(value), "null")
        try:
            return self.literal(kind, converted(kind, value))
        except ValueError:
            raise self.fail(f"the parameter {name!r} is of type {kind}, which {value!r} is not") from None

    def coerced(self, args: Sequence[Typed]) -> list[Typed]:
        """String constants beside times and durations, read as such."""
        kinds = {a.type for a in args}
        out = []
        for a in args:
            if a.fn == "lit" and a.type is Type.STRING and Type.STRING not in kinds - {Type.STRING}:
                text = str(a.option("value"))
                if Type.DURATION in kinds:
                    a = Typed("lit", Type.DURATION, (), (("value", parse_duration(text, self.where)),))
                elif Type.TIME in kinds:
                    a = Typed("lit", Type.TIME, (), (("value", self.moment(text)),))
            out.append(a)
        return out

    def moment(self, text: str) -> int:
        try:
            return moment(text)
        except ValueError:
            raise self.fail(
                f"{text!r} is not a time; write for example '2024-03-01' or '2024-03-01T12:00:00Z'"
            ) from None

    def membership(self, e: Expr, value: Typed) -> Typed:
        listed = e.option("values")
        assert isinstance(listed, tuple)
        if not listed:
            return Typed("is_in", Type.BOOL, (value,), (("values", ()),))
        kind = Type(str(e.option("type")))
        places = None if value.type is None else value.type.places
        if places is not None:
            if kind is Type.FLOAT:
                value = as_float(value)
            elif kind is Type.INT:
                kind = decimal(places)
                listed = tuple(int(v) * 10**places for v in listed)
                if any(not -(2**63) <= v < 2**63 for v in listed):
                    raise self.fail(f"is_in: a constant does not fit in 64 bits with {places} places")
        both = common([value.type, kind])
        if not isinstance(both, Type) or (value.type is Type.INT and kind is Type.FLOAT):
            raise self.fail(f"is_in compares {value.type} with constants of type {kind}")
        if both is Type.FLOAT:
            listed = tuple(float(v) for v in listed)
        return Typed("is_in", Type.BOOL, (value,), (("values", listed),))

    def condition(self, e: Expr, shape: _Shape, what: str) -> Typed:
        typed = self.typed(e, shape)
        if typed.type not in (Type.BOOL, None):
            raise self.fail(f"{what} takes a condition, got {typed.type}")
        return typed

    # ---- aggregates

    def aggregates(self, aggs: g.NamedAggs, shape: _Shape) -> tuple[BoundAgg, ...]:
        return tuple(self.aggregate(n, a, shape) for n, a in aggs)

    def aggregate(self, name: str, a: g.Agg, shape: _Shape) -> BoundAgg:
        form = form_of(a.fn)
        if form is None:
            raise self.fail(f"{name}: there is no aggregate {a.fn!r}; register it before: df.register(...)")
        if form.of_intervals and shape.kind != "intervals":
            raise self.fail(f"{a.fn} needs intervals; use it after state_duration or heartbeat")
        if a.fn == "duration" and shape.kind in ("points", "transitions", "table"):
            raise self.fail(
                "duration needs rows that last; use it after state_duration, heartbeat, sessionize or window"
            )
        where = [] if a.where is None else [self.condition(a.where, shape, f"{name}: where")]
        args = list(a.args)
        if a.fn == "duration" and args:
            where.append(self.condition(args.pop(), shape, f"{name}: duration"))
        typed = [self.typed(e, shape) for e in args]
        if any(e.type is None for e in typed):
            raise self.fail(f"{name}: {a.fn} of null has no type")
        options = dict(a.options)
        intervals = shape.kind == "intervals"
        given = prepared(a.fn, typed, options, intervals, self.sites, lambda t: self.fail(f"{name}: {t}"))
        found = find(given.fn, given.kind)
        if found is None:
            takes = types_taken(argument_types(given.fn))
            raise self.fail(f"{name}: {a.fn} cannot take {given.kind}; it takes {takes}")
        if isinstance(found, Aggregate):
            if found.configured is not None and options:
                found = found.configured(options)
            if found.other is not None and (given.other is None or given.other.type is not found.other):
                raise self.fail(f"{name}: the second argument of {a.fn} must be {found.other}")
            if shape.kind == "table" and needs_order(found.inputs):
                raise self.fail(f"{name}: {a.fn} needs rows in the order of time; use it before group_by")
        conditions = (*where, *given.where)
        used = [e for e in (given.argument, given.other, *conditions) if e is not None]
        if any(s.fn in STATEFUL for e in used for s in e.walk() if s.site >= 0):
            if shape.kind == "table":
                raise self.fail(f"{name}: {a.fn} needs the rows of a key in time order; use it before group_by")
            self.fix_all(used, shape)
        return BoundAgg(name, found, given.argument, conditions, given.other)

    def fix_all(self, exprs: Sequence[Typed], shape: _Shape) -> None:
        """Have numbered expressions computed at this point of the row, for every row that gets here."""
        done = {op.value.site for op in shape.ops if isinstance(op, Fix)}
        for e in exprs:
            for node in _bottom_up(e):
                if node.site >= 0 and node.site not in done:
                    shape.ops.append(Fix(node))
                    done.add(node.site)

    # ---- steps

    def points(self) -> _Shape:
        s = self.stream
        inputs = {s.key: s.key_type, **s.columns}
        env = {name: column(name, kind) for name, kind in s.columns.items()}
        env[s.key] = Typed("slot", s.key_type)
        env[s.time] = Typed("time", Type.TIME)
        return _Shape("points", env, inputs)

    def row_step(self, step: g.RowStep, shape: _Shape) -> None:
        if isinstance(step, g.Filter):
            condition = self.condition(step.where, shape, "filter")
            self.fix_all([condition], shape)
            shape.ops.append(Keep(condition))
            return
        new: dict[str, Typed] = {}
        for name, e in step.columns:
            typed = self.typed(e, shape)
            if typed.type is None:
                raise self.fail(f"the column {name!r} is nothing but null and has no type")
            reserved = (self.stream.key,) if shape.kind != "table" else ()
            if name in reserved and typed != shape.env.get(name):
                raise self.fail(f"the key {name!r} cannot be replaced")
            plain = typed.fn in ("in", "slot", "time") or typed.site >= 0
            if shape.kind == "intervals" and not plain:
                # Fixed before intervals are cut at bucket edges.
                typed = replace(typed, site=next(self.sites))
            self.fix_all([typed], shape)
            new[name] = typed
        if isinstance(step, g.Select):
            kept = {} if shape.kind == "table" else {k: shape.env[k] for k in (self.stream.key,) if k in shape.env}
            shape.env = {**kept, **new}
        else:
            shape.env = {**shape.env, **new}

    def keyed_step(self, step: g.KeyedStep, shape: _Shape) -> tuple[Callable[[set[str]], Stage], _Shape]:
        """The stage as a function of the columns needed after it, and the shape of its rows."""
        if shape.kind == "table" or not shape.keyed:
            raise self.fail("it needs the points of each key in time order; it cannot follow group_by, sort or limit")
        key = self.stream.key
        held = {n: t for n, t in shape.env.items() if n not in (key, self.stream.time)}
        own = own_columns(self)
        inputs: dict[str, Type] = {END: Type.TIME}
        where = self.where
        if isinstance(step, g.StateDuration | g.Heartbeat):
            state: Typed | None = None
            name, kind, hold = "alive", Type.BOOL, step.timeout if isinstance(step, g.Heartbeat) else step.hold
            if isinstance(step, g.StateDuration):
                state = self.typed(step.state, shape)
                name = step.name
                if state.type is None:
                    raise self.fail("the state is nothing but null and has no type")
                kind = state.type
                if name in own:
                    raise self.fail(f"the state cannot be named {name!r}; give it a name=")
                self.fix_all([state], shape)
            own[name] = column(name, kind)
            inputs |= {name: kind, KNOWN: Type.INT}
            out_kind = "intervals"

            def sink(held_now: tuple[tuple[str, Typed], ...], needed: set[str]) -> States:
                return States(state, name, hold, held_now, "$lead" in needed)
        elif isinstance(step, g.FlowStep):
            flow = bound_flow(
                step, lambda e, what: self.condition(e, shape, what), lambda e: self.typed(e, shape), where
            )
            self.fix_all(flow.computed, shape)
            if flow.kind == "transitions":
                # A step has a time and no length.
                del own["end"], own["duration"], inputs[END]
            own |= {n: column(n, t) for n, t in flow.columns.items()}
            inputs |= flow.columns
            out_kind = flow.kind

            def sink(held_now: tuple[tuple[str, Typed], ...], needed: set[str]) -> Flow:  # type: ignore[misc]
                return flow.sink(held_now, needed)
        else:
            split = None
            if isinstance(step, g.Sessionize) and step.split_when is not None:
                split = self.condition(step.split_when, shape, "split_when")
                self.fix_all([split], shape)
            aggs = self.aggregates(step.aggs, shape)
            for a in aggs:
                if a.name in own or a.name in ("count", "open_left", "open_right"):
                    raise self.fail(f"an aggregate cannot be named {a.name!r}, which is a column of its own here")
                own[a.name] = column(a.name, a.aggregate.result)
                inputs[a.name] = a.aggregate.result
            own["count"] = column("count", Type.INT)
            inputs["count"] = Type.INT
            session = isinstance(step, g.Sessionize)
            if session:
                own |= {n: column(n, Type.BOOL) for n in ("open_left", "open_right")}
                inputs |= {"open_left": Type.BOOL, "open_right": Type.BOOL}
            out_kind = "sessions" if session else "windows"

            def sink(held_now: tuple[tuple[str, Typed], ...], needed: set[str]) -> Segments:  # type: ignore[misc]
                wanted = tuple(a for a in aggs if a.name in needed)
                if isinstance(step, g.Sessionize):
                    return Segments(step.gap, step.max_length, None, wanted, held_now, split)
                zone_named(step.zone, where)
                bucket = Typed(
                    "truncate", Type.TIME, (Typed("time", Type.TIME),), (("every", step.every), ("zone", step.zone))
                )
                return Segments(None, None, bucket, wanted, held_now, size=step.size, empty=step.empty)

            if isinstance(step, g.Window):
                zone_named(step.zone, where)
                if step.size > 1 and step.size * longest_bucket(step.every) > _LONGEST:
                    raise self.fail("a window of more than a century; use a shorter one")

        env = {n: column(n, t.type) for n, t in held.items() if t.type is not None} | own
        inputs |= {n: t.type for n, t in held.items() if t.type is not None and n not in own}
        ops = list(shape.ops)
        before = shape

        def stage(needed: set[str]) -> Stage:
            kept = tuple((n, t) for n, t in held.items() if n in needed and n not in own)
            return stage_of_inputs(before.inputs, ops, sink(kept, needed), where)

        return stage, _Shape(out_kind, env, inputs, held=frozenset(held) - set(own))

    def group_step(self, step: g.GroupBy, shape: _Shape) -> tuple[Stage, _Shape]:
        by = []
        for name, e in step.by:
            typed = self.typed(e, shape)
            if typed.type is None:
                raise self.fail(f"the group column {name!r} is nothing but null")
            if typed.type is Type.JSON:
                raise self.fail(f"the group column {name!r} is json, which can be shown, but not grouped by")
            by.append((name, typed))
        self.fix_all([t for _, t in by], shape)
        aggs = self.aggregates(step.aggs, shape)
        intervals = shape.kind == "intervals"
        cuts = tuple(dict.fromkeys(n for _, t in by for n in _buckets(t)))
        filled = self.bucket_column(by) if step.empty else None
        sink = Group(tuple(by), aggs, intervals, cuts if intervals else (), shape.kind == "points", filled)
        out: dict[str, Type] = {n: t.type for n, t in by if t.type is not None}
        out |= {a.name: a.aggregate.result for a in aggs}
        stage = stage_of_inputs(shape.inputs, shape.ops, sink, self.where)
        return stage, _Shape("table", {n: column(n, t) for n, t in out.items()}, dict(out))

    def bucket_column(self, by: Sequence[tuple[str, Typed]]) -> int:
        """The number of the one group column that is a bucket of time."""
        found = [j for j, (_, e) in enumerate(by) if e.fn == "truncate" and e.args[0].fn == "time"]
        if len(found) != 1:
            raise self.fail(
                "empty buckets need one group column that is a df.time().truncate(...), at the first group_by"
            )
        return found[0]

    def rows_stage(self, shape: _Shape) -> tuple[Stage, _Shape]:
        """Write the visible columns out as they stand."""
        unused = shape.held - shape.referred
        shape.env = {n: t for n, t in shape.env.items() if n not in unused or t != column(n, t.type or Type.INT)}
        sink = Rows(tuple(shape.env.items()), shape.kind == "points")
        out = {n: t.type for n, t in shape.env.items() if t.type is not None}
        return stage_of_inputs(shape.inputs, shape.ops, sink, self.where), _Shape(
            "table", {n: column(n, t) for n, t in out.items()}, out
        )

    def bind(self) -> Plan:
        source = self.steps[0]
        assert isinstance(source, g.Source)
        shape = self.points()
        deferred: list[Callable[[set[str]], Stage]] = []
        stages: list[Stage] = []
        after: list[TableStep] = []
        order: tuple[str, ...] = ()
        in_tasks = True

        def add(stage: Stage) -> None:
            (stages if in_tasks else after).append(stage)

        for i, step in enumerate(self.steps):
            self.where = f"step {i + 1} ({g.name_of(step)})"
            if isinstance(step, g.Source):
                continue
            if isinstance(step, g.RowStep):
                self.row_step(step, shape)
            elif isinstance(step, g.KeyedStep):
                stage_of, shape = self.keyed_step(step, shape)
                deferred.append(stage_of)
            elif isinstance(step, g.Join | g.During):
                cut, shape = (
                    join_step(self, step, shape) if isinstance(step, g.Join) else during_step(self, step, shape)
                )
                deferred += [cut] if cut else []
            elif isinstance(step, g.Timeline):
                stage_of, shape = timeline_step(self, step, shape)
                deferred.append(stage_of)
            elif isinstance(step, g.Concurrent):
                stage_of, stage, sweep, shape = concurrent_step(self, step, shape)
                deferred.append(stage_of)
                add(stage)
                after.append(sweep)
                in_tasks = False
            elif isinstance(step, g.GroupBy):
                stage, shape = self.group_step(step, shape)
                add(stage)
                if in_tasks:
                    order = tuple(n for n, _ in step.by)
                in_tasks = False
            else:
                if not shape.stands:
                    order = self.row_order(shape, order)
                    stage, shape = self.rows_stage(shape)
                    add(stage)
                    in_tasks = False
                if isinstance(step, g.Sort):
                    for c, _ in step.by:
                        if self.lookup(c, shape).type is Type.JSON:
                            raise self.fail(f"the column {c!r} is json, which can be shown, but has no order")
                    after.append(SortBy(step.by))
                else:
                    after.append(Take(step.n))
        if not shape.stands:
            order = self.row_order(shape, order)
            self.where = f"step {len(self.steps)} ({g.name_of(self.steps[-1])})"
            stage, shape = self.rows_stage(shape)
            add(stage)
        if unused := sorted(set(self.params) - self.used_params):
            names = ", ".join(sorted(self.used_params)) or "none"
            raise GraphError(f"the metric has no parameter {unused[0]!r}; its parameters: {names}")
        outputs = tuple((n, t.type) for n, t in shape.env.items() if t.type is not None)
        return self.finished(source.name, deferred, stages, after, outputs, order)

    def row_order(self, shape: _Shape, grouped: tuple[str, ...]) -> tuple[str, ...]:
        """The columns that put rows into their order: of ungrouped ones the key, then time."""
        if shape.kind == "table" or not shape.keyed:
            return grouped
        shape.env.setdefault(self.stream.key, Typed("slot", self.stream.key_type))
        names = [n for n, t in shape.env.items() if t.fn == "time"]
        if not names:
            names = [self.stream.time if shape.kind == "points" else "start"]
            shape.env[names[0]] = Typed("time", Type.TIME)
        shape.env = {self.stream.key: shape.env[self.stream.key], **shape.env}
        return (self.stream.key, names[0])

    def finished(
        self,
        stream: str,
        deferred: Sequence[Callable[[set[str]], Stage]],
        stages: Sequence[Stage],
        after: Sequence[TableStep],
        outputs: tuple[tuple[str, Type], ...],
        order: tuple[str, ...],
    ) -> Plan:
        chain = list(stages)
        lead = any(a.aggregate.name == "unknown_time" for s in chain if isinstance(s.sink, Group) for a in s.sink.aggs)
        needed = {n for n, _ in chain[0].inputs} | ({"$lead"} if lead else set())
        for stage_of in reversed(deferred):
            chain.insert(0, stage_of(needed))
            passed = {"$lead"} & needed if isinstance(chain[0].sink, Pieces) else set()
            needed = {n for n, _ in chain[0].inputs} | passed
        history, held = history_of(chain)
        columns = tuple(n for n, _ in chain[0].inputs if n in self.stream.columns)
        return Plan(
            stream,
            columns,
            tuple(chain),
            tuple(after),
            history,
            held,
            is_sliceable(chain, history),
            has_whole_keys(chain),
            outputs,
            order,
            laws_of(chain),
        )


def _buckets(e: Typed) -> list[Typed]:
    """The truncations of the row's time in ``e``, save in columns that were fixed before."""
    if e.site >= 0:
        return []
    if e.fn == "truncate" and e.args[0].fn == "time":
        return [e]
    return [b for a in e.args for b in _buckets(a)]


def _bottom_up(e: Typed) -> list[Typed]:
    out: list[Typed] = []
    for a in e.args:
        out += _bottom_up(a)
    return [*out, e]


def bind(steps: Sequence[g.Step], stream: StreamColumns, params: Mapping[str, object] | None = None) -> Plan:
    """Check ``steps`` against a stream and make the plan; GraphError names the step that is wrong."""
    return _Binder(steps, stream, params or {}).bind()
