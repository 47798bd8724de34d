"""Validation of the steps that relate rows to tables and calendars, and timelines to each other."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from dataflow import graph as g
from dataflow.bound_aggregate import BoundAgg
from dataflow.chain import stage_of_inputs
from dataflow.check_cuts import Deferred, cut, cut_by, own_columns
from dataflow.clock import NOW, asks_clock
from dataflow.expr import Expr
from dataflow.functions import STATEFUL
from dataflow.hidden_columns import END, KNOWN
from dataflow.plan import Stage, Sweep
from dataflow.reference import Index, indexed
from dataflow.row_operations import Keep
from dataflow.service import Calendar
from dataflow.sinks.groups import Group
from dataflow.steps.concurrent import Edges
from dataflow.steps.timeline import Track, Tracks, track_node
from dataflow.typed import Typed, column
from operators.aggregates import REGISTRY
from operators.types import Type

if TYPE_CHECKING:
    from dataflow.check import Binder
    from dataflow.check_expressions import Shape

COUNTS = ("active", "inactive", "unknown")


# ---- reference tables and calendars


def join_step(b: Binder, step: g.Join, shape: Shape) -> tuple[list[Deferred], Shape]:
    """The stages to add, and the rows with the attributes of the table."""
    w = step.windows
    index = indexed(w.table, w.key, w.valid_from, w.valid_to, b.where)
    for name, _ in index.attributes:
        if name in shape.env or name in ("start", "end", "duration"):
            raise b.fail(f"there is a column {name!r} already; call the one of the reference table otherwise")
    if index.timed and shape.kind == "table":
        raise b.fail("rows have no time after group_by; join before it")
    stages, shape, columns = cut_by(b, shape, [step.on])
    if index.timed and shape.kind == "intervals":
        lookup = _at_instants(_lookup(b, index, step.on, shape, columns.get(0)))
        row = f"$row{next(b.sites)}"
        kept = [] if step.how == "left" else [Typed("is_not_null", Type.BOOL, (lookup,))]
        stage, shape = _cut(b, shape, {row: lookup}, kept)
        stages.append(stage)
        found = column(row, Type.INT)
    else:
        found = _lookup(b, index, step.on, shape, columns.get(0))
        b.fix_all([found], shape)
        if step.how == "inner":
            shape.ops.append(Keep(Typed("is_not_null", Type.BOOL, (found,))))
            shape.filtered = b.where
    attributes = {
        name: Typed("pick", kind, (found,), (("column", name), ("in", index))) for name, kind in index.attributes
    }
    return stages, replace(shape, env=shape.env | attributes)


def during_step(b: Binder, step: g.During, shape: Shape) -> tuple[list[Deferred], Shape]:
    """The stages to add, and the rows inside, or outside, the periods."""
    if shape.kind == "table":
        raise b.fail("rows have no time after group_by; use it before")
    periods: Index | Calendar
    if isinstance(step.periods, Calendar):
        periods = step.periods
    else:
        w = step.periods
        periods = indexed(w.table, w.key, w.valid_from, w.valid_to, b.where, True)
    stages, shape, columns = cut_by(b, shape, [step.on])
    found = _lookup(b, periods, step.on, shape, columns.get(0))
    test = "is_not_null" if step.inside else "is_null"
    if shape.kind == "intervals":
        stage, shape = _cut(b, shape, {}, [Typed(test, Type.BOOL, (_at_instants(found),))])
        return [*stages, stage], shape
    b.fix_all([found], shape)
    shape.ops.append(Keep(Typed(test, Type.BOOL, (found,))))
    shape.filtered = b.where
    return [], shape


def _at_instants(lookup: Typed) -> Typed:
    """The lookup at every instant of an interval."""
    return replace(lookup, args=(*lookup.args, NOW), site=-1)


def _lookup(b: Binder, table: Index | Calendar, on: Expr | None, shape: Shape, key: Typed | None) -> Typed:
    """The row that holds for ``on``, which may be computed as ``key`` already."""
    args: tuple[Typed, ...] = ()
    if isinstance(table, Index):
        assert on is not None
        key = key or b.typed(on, shape)
        if key.type is not table.kind:
            raise b.fail(f"the table's key {table.key!r} is {table.kind}, and what is looked up is {key.type}")
        args = (key,)
    return Typed("lookup", Type.INT, args, (("in", table),), next(b.sites))


def _cut(b: Binder, shape: Shape, watched: dict[str, Typed], kept: list[Typed]) -> tuple[Deferred, Shape]:
    """Intervals cut at the edges of periods."""
    if not shape.keyed:
        raise b.fail("it cannot follow concurrent or at_least; use it before")
    return cut(b, shape, watched, kept, by_clock=False)


# ---- timelines of one key


def timeline_step(b: Binder, step: g.Timeline, shape: Shape) -> tuple[Deferred, Shape]:
    """The stage that combines the tracks, and the shape of its intervals."""
    where = b.where
    if shape.kind != "points":
        raise b.fail("timelines are made of the points of a stream; combine them before anything else")
    tracks = tuple(_track(b, t, shape, f"{where}: {t.name}") for t in step.tracks)
    b.where = where
    for e in _all(step.state):
        if e.fn in STATEFUL or e.fn == "time":
            raise b.fail(f"{e.fn} has no meaning in the state of a timeline, which is one of its tracks' states")
    env = {t.name: track_node(t.name, Type.BOOL if t.state is None else t.state.type or Type.BOOL) for t in tracks}
    state = b.typed(step.state, replace(shape, env=env, ops=[]))
    if state.type is None:
        raise b.fail("the state is nothing but null and has no type")
    own = own_columns(b)
    if step.name in own:
        raise b.fail(f"the state cannot be named {step.name!r}; give it a name=")
    own[step.name] = column(step.name, state.type)
    held = {n: t for n, t in shape.env.items() if n not in own and n != b.stream.time}
    types = {n: t.type for n, t in held.items() if t.type is not None}
    inputs = {END: Type.TIME, KNOWN: Type.INT, step.name: state.type, **types}
    before, ops = shape, list(shape.ops)

    def stage(needed: set[str]) -> Stage:
        kept = tuple((n, t) for n, t in held.items() if n in needed)
        sink = Tracks(tracks, state, step.name, kept, "$lead" in needed)
        return stage_of_inputs(before.inputs, ops, sink, where)

    env = {n: column(n, t) for n, t in types.items()} | own
    return stage, replace(shape, kind="intervals", env=env, inputs=inputs, ops=[], held=frozenset(held), referred=set())


def _track(b: Binder, track: g.Track, shape: Shape, where: str) -> Track:
    inner = replace(shape, env=dict(shape.env), ops=[])
    for step in track.steps:
        b.where = f"{where}, {g.name_of(step)}"
        if isinstance(step, g.Join):
            _, inner = join_step(b, step, inner)
        elif isinstance(step, g.During):
            _, inner = during_step(b, step, inner)
        else:
            b.row_step(step, inner)
    b.where = f"{where}, {g.name_of(track.interval)}"
    if isinstance(track.interval, g.Heartbeat):
        return Track(track.name, tuple(inner.ops), None, track.interval.timeout)
    state = b.typed(track.interval.state, inner)
    if state.type is None:
        raise b.fail("the state is nothing but null and has no type")
    b.fix_all([state], inner)
    return Track(track.name, tuple(inner.ops), state, track.interval.hold)


def _all(e: Expr) -> list[Expr]:
    return [e, *(n for a in e.args for n in _all(a))]


# ---- keys of one group


def concurrent_step(b: Binder, step: g.Concurrent, shape: Shape) -> tuple[list[Deferred], Stage, Sweep, Shape]:
    """The stages that take intervals apart, the grouping of their edges, what follows the merge, and its rows."""
    if shape.kind != "intervals" or not shape.keyed:
        raise b.fail("it needs the intervals of keys; use it after state_duration, heartbeat or combined timelines")
    for name, e in step.by:
        if asks_clock(e):
            raise b.fail(f"{name!r}: keys are grouped by what they hold; group its intervals by time afterwards")
    stages, shape, columns = cut_by(b, shape, [step.condition])
    condition = columns.get(0) or b.condition(step.condition, shape, "it")
    if condition.type not in (Type.BOOL, None):
        raise b.fail(f"it takes a condition, got {condition.type}")
    by: list[tuple[str, Typed]] = []
    taken = ("start", "end", "duration", *(COUNTS if step.at_least is None else ("state",)))
    for name, e in step.by:
        typed = b.typed(e, shape)
        if typed.type is None:
            raise b.fail(f"the group column {name!r} is nothing but null")
        if name in taken:
            raise b.fail(f"a group column cannot be named {name!r}, which is a column of its own here")
        if any(n.fn in ("time", "end") for n in typed.walk()):
            raise b.fail("keys are grouped by what they hold; group its intervals by time afterwards")
        by.append((name, typed))
    b.fix_all([condition, *(t for _, t in by)], shape)
    where, before = b.where, shape
    written = {n: t.type for n, t in by if t.type is not None}
    edges = {**written, "$at": Type.TIME, **{f"${n}": Type.INT for n in COUNTS}}

    def stage(_: set[str]) -> Stage:
        return stage_of_inputs(before.inputs, before.ops, Edges(tuple(by), condition), where)

    sums = tuple(BoundAgg(f"${n}", REGISTRY["sum", Type.INT], column(f"${n}", Type.INT), ()) for n in COUNTS)
    keys = tuple((n, column(n, edges[n])) for n in (*written, "$at"))
    group = stage_of_inputs(edges, [], Group(keys, sums, False, False), where)
    own = own_columns(b)
    del own[b.stream.key]
    counts = dict.fromkeys(COUNTS, Type.INT) if step.at_least is None else {"state": Type.BOOL}
    inputs = {**written, **counts, END: Type.TIME, KNOWN: Type.INT}
    env = {n: column(n, t) for n, t in written.items()} | own | {n: column(n, t) for n, t in counts.items()}
    shape = replace(shape, env=env, inputs=inputs, ops=[], held=frozenset(), referred=set(), keyed=False)
    return [*stages, stage], group, Sweep(tuple(written), step.at_least), shape
