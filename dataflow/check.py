"""Validation: a graph against a stream's columns, step by step, into a plan."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from dataflow import graph as g
from dataflow.calendars import longest_bucket, zone_named
from dataflow.chain import has_whole_keys, is_sliceable, laws_of, stage_of_inputs
from dataflow.check_expressions import Expressions, GraphError, Shape, StreamColumns
from dataflow.check_flows import bound_flow
from dataflow.check_timelines import concurrent_step, during_step, join_step, own_columns, timeline_step
from dataflow.flows import Flow
from dataflow.looking import history_of, with_early_rows
from dataflow.plan import (
    END,
    KNOWN,
    PARTIAL,
    Group,
    Keep,
    Pieces,
    Plan,
    Rows,
    Segments,
    SortBy,
    Stage,
    States,
    TableStep,
    Take,
)  # fmt: skip
from dataflow.typed import Typed, column
from operators.types import Type

__all__ = ["GraphError", "StreamColumns", "bind"]

_LONGEST = 366 * 100 * 86_400_000_000


class Binder(Expressions):
    """Checks the steps of a graph in their order, and makes the plan of them."""

    def __init__(self, steps: Sequence[g.Step], stream: StreamColumns, params: Mapping[str, object]) -> None:
        super().__init__(stream, params)
        self.steps = steps

    def points(self) -> Shape:
        s = self.stream
        inputs = {s.key: s.key_type, **s.columns}
        env = {name: column(name, kind) for name, kind in s.columns.items()}
        env[s.key] = Typed("slot", s.key_type)
        env[s.time] = Typed("time", Type.TIME)
        return Shape("points", env, inputs)

    def row_step(self, step: g.RowStep, shape: Shape) -> None:
        if isinstance(step, g.Filter):
            condition = self.condition(step.where, shape, "filter")
            self.fix_all([condition], shape)
            shape.ops.append(Keep(condition))
            shape.filtered = self.where
            return
        new: dict[str, Typed] = {}
        for name, e in step.columns:
            if isinstance(step, g.Held) and name in (self.stream.key, self.stream.time) and shape.kind == "points":
                raise self.fail(f"every row has its {name!r}; there is nothing to hold")
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

    def keyed_step(self, step: g.KeyedStep, shape: Shape) -> tuple[Callable[[set[str]], Stage], Shape]:
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
            session = isinstance(step, g.Sessionize)
            flags = ("open_left", "open_right") if session else ("partial",)
            for a in aggs:
                if a.name in own or a.name in ("count", *flags):
                    raise self.fail(f"an aggregate cannot be named {a.name!r}, which is a column of its own here")
                own[a.name] = column(a.name, a.aggregate.result)
                inputs[a.name] = a.aggregate.result
            own["count"] = column("count", Type.INT)
            inputs["count"] = Type.INT
            own |= {n: column(n, Type.BOOL) for n in flags}
            inputs |= dict.fromkeys(flags, Type.BOOL)
            out_kind = "sessions" if session else "windows"

            def sink(held_now: tuple[tuple[str, Typed], ...], needed: set[str]) -> Segments:  # type: ignore[misc]
                wanted = tuple(a for a in aggs if a.name in needed)
                if isinstance(step, g.Sessionize):
                    return Segments(step.gap, step.max_length, None, wanted, held_now, split)
                zone_named(step.zone, where)
                bucket = Typed(
                    "truncate", Type.TIME, (Typed("time", Type.TIME),), (("every", step.every), ("zone", step.zone))
                )
                marked = "partial" in needed
                return Segments(None, None, bucket, wanted, held_now, size=step.size, empty=step.empty, partial=marked)

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

        return stage, Shape(out_kind, env, inputs, held=frozenset(held) - set(own))

    def group_step(self, step: g.GroupBy, shape: Shape) -> tuple[Stage, Shape]:
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
        self.tally_groups([t for _, t in by], aggs, shape)
        intervals = shape.kind == "intervals"
        cuts = tuple(dict.fromkeys(n for _, t in by for n in _buckets(t)))
        filled = self.bucket_column(by) if step.empty else None
        sink = Group(tuple(by), aggs, intervals, cuts if intervals else (), shape.kind == "points", filled)
        out: dict[str, Type] = {n: t.type for n, t in by if t.type is not None}
        out |= {a.name: a.aggregate.result for a in aggs}
        stage = stage_of_inputs(shape.inputs, shape.ops, sink, self.where)
        return stage, Shape("table", {n: column(n, t) for n, t in out.items()}, dict(out))

    def bucket_column(self, by: Sequence[tuple[str, Typed]]) -> int:
        """The number of the one group column that is a bucket of time."""
        found = [j for j, (_, e) in enumerate(by) if e.fn == "truncate" and e.args[0].fn == "time"]
        if len(found) != 1:
            raise self.fail(
                "empty buckets need one group column that is a df.time().truncate(...), at the first group_by"
            )
        return found[0]

    def rows_stage(self, shape: Shape) -> tuple[Stage, Shape]:
        """Write the visible columns out as they stand."""
        unused = shape.held - shape.referred
        shape.env = {n: t for n, t in shape.env.items() if n not in unused or t != column(n, t.type or Type.INT)}
        columns = tuple(shape.env.items())
        if shape.kind == "windows":
            # How many are partial is said beside the answer, whichever columns it has.
            columns += ((PARTIAL, column("partial", Type.BOOL)),)
        sink = Rows(columns, shape.kind == "points")
        out = {n: t.type for n, t in shape.env.items() if t.type is not None}
        return stage_of_inputs(shape.inputs, shape.ops, sink, self.where), Shape(
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

    def row_order(self, shape: Shape, grouped: tuple[str, ...]) -> tuple[str, ...]:
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
        found = history_of(chain)
        columns = tuple(n for n, _ in chain[0].inputs if n in self.stream.columns)
        return Plan(
            stream,
            columns,
            with_early_rows(chain, found.looks),
            tuple(after),
            found.history,
            found.held_columns,
            is_sliceable(chain, found.history),
            has_whole_keys(chain),
            outputs,
            order,
            laws_of(chain),
            found.whole,
            tuple(self.sparse),
        )


def _buckets(e: Typed) -> list[Typed]:
    """The truncations of the row's time in ``e``, save in columns that were fixed before."""
    if e.site >= 0:
        return []
    if e.fn == "truncate" and e.args[0].fn == "time":
        return [e]
    return [b for a in e.args for b in _buckets(a)]


def bind(steps: Sequence[g.Step], stream: StreamColumns, params: Mapping[str, object] | None = None) -> Plan:
    """Check ``steps`` against a stream and make the plan; GraphError names the step that is wrong."""
    return Binder(steps, stream, params or {}).bind()
