"""Validation: a graph against a stream's columns, step by step, into a plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from dataflow import graph as g
from dataflow.calendars import longest_bucket
from dataflow.chain import has_whole_keys, is_sliceable, laws_of, stage_of_inputs
from dataflow.check_cuts import Deferred, cut, cut_by, own_columns
from dataflow.check_expressions import Expressions, GraphError, Shape, StreamColumns
from dataflow.check_flows import bound_flow
from dataflow.check_timelines import concurrent_step, during_step, join_step, timeline_step
from dataflow.clock import asks_clock, is_moving, sources_of
from dataflow.hidden_columns import END, KNOWN, PARTIAL
from dataflow.looking import history_of, with_early_rows
from dataflow.parameters import params_in
from dataflow.plan import Plan, SortBy, Stage, Sweep, TableStep, Take
from dataflow.row_operations import Keep
from dataflow.sinks.flow import Flow
from dataflow.sinks.groups import Group
from dataflow.sinks.pieces import Pieces
from dataflow.sinks.rows import Rows
from dataflow.steps.segments import Segments
from dataflow.steps.states import States  # fmt: skip
from dataflow.typed import Typed, column
from dataflow.zones import check_zone
from operators.nearest import listed, meant
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
        env = {name: _stored(name, kind) for name, kind in s.columns.items()}
        env[s.key] = Typed("slot", s.key_type)
        env[s.time] = Typed("time", Type.TIME)
        return Shape("points", env, inputs)

    def row_step(self, step: g.RowStep, shape: Shape) -> tuple[list[Deferred], Shape]:
        """The stages to add, and the rows after the step."""
        if isinstance(step, g.Filter):
            condition = self.condition(step.where, shape, "filter")
            if is_moving(condition):
                stage, shape = cut(self, shape, {}, [condition])
                return [stage], shape
            self.fix_all([condition], shape)
            shape.ops.append(Keep(condition))
            shape.filtered = self.where
            return [], shape
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
            if is_moving(typed):
                sources_of([typed], lambda text, name=name: self.fail(f"{name}: {text}"))  # type: ignore[misc]
                new[name] = typed
                continue
            plain = typed.fn in ("in", "slot") or typed.site >= 0 or (typed.fn == "time" and name == "start")
            if shape.kind == "intervals" and not plain:
                # Of the interval as it is now, whatever cuts it later.
                typed = replace(typed, site=next(self.sites))
            self.fix_all([typed], shape)
            new[name] = typed
        if isinstance(step, g.Select):
            kept = {} if shape.kind == "table" else {k: shape.env[k] for k in (self.stream.key,) if k in shape.env}
            shape.env = {**kept, **new}
        else:
            shape.env = {**shape.env, **new}
        cuts = {n: t for n, t in new.items() if is_moving(t)}
        if not cuts:
            return [], shape
        stage, shape = cut(self, shape, cuts)
        return [stage], shape

    def keyed_step(self, step: g.KeyedStep, shape: Shape) -> tuple[list[Deferred], Shape]:
        """The stages to add, and the shape of the rows."""
        if shape.kind == "table" or not shape.keyed:
            raise self.fail("it needs the points of each key in time order; it cannot follow group_by, sort or limit")
        if shape.kind == "intervals" and asks_clock(step):
            raise self.fail(
                "its rows are intervals, on which df.time() is the clock at every instant; put the expression into a "
                "column with with_columns before, which cuts the intervals, or use col('start')"
            )
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
                check_zone(step.zone, where)
                bucket = Typed(
                    "truncate", Type.TIME, (Typed("time", Type.TIME),), (("every", step.every), ("zone", step.zone))
                )
                marked = "partial" in needed
                return Segments(None, None, bucket, wanted, held_now, size=step.size, empty=step.empty, partial=marked)

            if isinstance(step, g.Window):
                check_zone(step.zone, where)
                if step.size > 1 and step.size * longest_bucket(step.every) > _LONGEST:
                    raise self.fail("a window of more than a century; use a shorter one")

        env = {n: column(n, t.type) for n, t in held.items() if t.type is not None} | own
        inputs |= {n: t.type for n, t in held.items() if t.type is not None and n not in own}
        ops = list(shape.ops)
        before = shape

        def stage(needed: set[str]) -> Stage:
            kept = tuple((n, t) for n, t in held.items() if n in needed and n not in own)
            return stage_of_inputs(before.inputs, ops, sink(kept, needed), where)

        return [stage], Shape(out_kind, env, inputs, held=frozenset(held) - set(own))

    def group_step(self, step: g.GroupBy, shape: Shape) -> tuple[list[Deferred], Stage, Shape]:
        """The stages to add before, the grouping, and its rows."""
        filled, bucket = self.bucket_column(step, shape) if step.empty else (None, None)
        stages, shape, columns = cut_by(self, shape, [e for _, e in step.by])
        by = []
        for i, (name, e) in enumerate(step.by):
            typed = columns.get(i) or self.typed(e, shape)
            if typed.type is None:
                raise self.fail(f"the group column {name!r} is nothing but null")
            if typed.type is Type.JSON:
                raise self.fail(f"the group column {name!r} is json, which can be shown, but not grouped by")
            by.append((name, typed))
        self.fix_all([t for _, t in by], shape)
        aggs = self.aggregates(step.aggs, shape)
        self.tally_groups([t for _, t in by], aggs, shape)
        sink = Group(tuple(by), aggs, shape.kind == "intervals", shape.kind == "points", filled, bucket)
        out: dict[str, Type] = {n: t.type for n, t in by if t.type is not None}
        out |= {a.name: a.aggregate.result for a in aggs}
        stage = stage_of_inputs(shape.inputs, shape.ops, sink, self.where)
        return stages, stage, Shape("table", {n: column(n, t) for n, t in out.items()}, dict(out))

    def bucket_column(self, step: g.GroupBy, shape: Shape) -> tuple[int, Typed]:
        """The number of the one group column that is a bucket of time, and what it is computed from."""
        by = [self.typed(e, shape) for _, e in step.by]
        found = [j for j, e in enumerate(by) if e.fn == "truncate" and e.args[0].fn in ("time", "now")]
        if len(found) != 1:
            raise self.fail(
                "empty buckets need one group column that is a df.time().truncate(...), at the first group_by"
            )
        return found[0], by[found[0]]

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

    def check_params(self) -> None:
        """GraphError for a value of a parameter that the metric does not have."""
        if not self.params:
            return
        known = sorted(params_in(self.steps))
        if unknown := sorted(set(self.params) - set(known)):
            raise GraphError(
                f"the metric has no parameter {unknown[0]!r}; {meant(unknown[0], known, 'its')} "
                f"parameters: {listed(known)}"
            )

    def bind(self) -> Plan:
        # First, since the one that was meant may be missing.
        self.check_params()
        source = self.steps[0]
        assert isinstance(source, g.Source)
        shape = self.points()
        deferred: list[Deferred] = []
        stages: list[Stage] = []
        after: list[TableStep | Deferred] = []
        order: tuple[str, ...] = ()
        in_tasks = True

        def add(stage: Stage) -> None:
            (stages if in_tasks else after).append(stage)

        def defer(more: list[Deferred]) -> None:
            (deferred if in_tasks else after).extend(more)

        for i, step in enumerate(self.steps):
            self.where = f"step {i + 1} ({g.name_of(step)})"
            if isinstance(step, g.Source):
                continue
            if isinstance(step, g.RowStep):
                more, shape = self.row_step(step, shape)
                defer(more)
            elif isinstance(step, g.KeyedStep):
                more, shape = self.keyed_step(step, shape)
                defer(more)
            elif isinstance(step, g.Join | g.During):
                more, shape = (
                    join_step(self, step, shape) if isinstance(step, g.Join) else during_step(self, step, shape)
                )
                defer(more)
            elif isinstance(step, g.Timeline):
                stage_of, shape = timeline_step(self, step, shape)
                defer([stage_of])
            elif isinstance(step, g.Concurrent):
                more, stage, sweep, shape = concurrent_step(self, step, shape)
                defer(more)
                add(stage)
                after.append(sweep)
                in_tasks = False
            elif isinstance(step, g.GroupBy):
                more, stage, shape = self.group_step(step, shape)
                defer(more)
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
        deferred: Sequence[Deferred],
        stages: Sequence[Stage],
        after: Sequence[TableStep | Deferred],
        outputs: tuple[tuple[str, Type], ...],
        order: tuple[str, ...],
    ) -> Plan:
        chain = list(stages)
        following = _resolved(after)
        lead = any(a.aggregate.name == "unknown_time" for s in chain if s.sink.grouping() for a in s.sink.aggregates)
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
            following,
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


def _resolved(after: Sequence[TableStep | Deferred]) -> tuple[TableStep, ...]:
    """The steps after the merge, each stage knowing which columns are needed after it."""
    out: list[TableStep] = []
    needed: set[str] = set()
    for step in reversed(after):
        if isinstance(step, Stage | SortBy | Take | Sweep):
            out.append(step)
        else:
            out.append(step(needed))
        if isinstance(out[-1], Stage):
            needed = {n for n, _ in out[-1].inputs}
    return tuple(reversed(out))


def _stored(name: str, kind: Type) -> Typed:
    """A column as it was ingested. Times outside of the years that have a calendar are null."""
    read = column(name, kind)
    return Typed("in_years", kind, (read,)) if kind is Type.TIME else read


def bind(steps: Sequence[g.Step], stream: StreamColumns, params: Mapping[str, object] | None = None) -> Plan:
    """Check ``steps`` against a stream and make the plan; GraphError names the step that is wrong."""
    return Binder(steps, stream, params or {}).bind()
