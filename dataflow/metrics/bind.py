"""Binds a metric to a stream's columns, step by step, and returns its plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from dataflow.binding.other_rows import add_values
from dataflow.binding.sources import Sources
from dataflow.binding.typing import Expressions, GraphError, Shape, StreamColumns
from dataflow.metrics.settled import check_params
from dataflow.plan.carried import Carried, carried_of, carried_of_input
from dataflow.plan.history import history_of, history_of_input, with_early_rows
from dataflow.plan.inputs import Input
from dataflow.plan.properties import has_whole_keys, is_sliceable, laws_of, stage_of_inputs, takes_any_order
from dataflow.plan.stages import Deferred, Plan, Stage, TableStep
from dataflow.sinks.row_sink import Rows
from dataflow.steps.base import Step
from dataflow.steps.union import order_of_uses
from dataflow.typed.hidden_columns import ORDER, OVER, PARTIAL, WINDOW
from dataflow.typed.nodes import Typed, column
from operators.types import Type

__all__ = ["GraphError", "StreamColumns", "bind"]


def bind(
    steps: Sequence[Step],
    stream: StreamColumns,
    params: Mapping[str, object] | None = None,
    others: Mapping[str, StreamColumns] | None = None,
) -> Plan:
    """Check ``steps`` against a stream (the first that they name) and perhaps ``others``, by name, and make the plan;
    GraphError names the wrong step."""
    # First, since a misspelled parameter is also a missing one.
    check_params(steps, params or {})
    sources = Sources({**(others or {}), stream_of(steps): stream}, order_of_uses(steps))
    b = Expressions(stream, params or {}, sources)
    shape = Shape("points", {}, {})
    deferred: list[Deferred] = []
    stages: list[Stage] = []
    after: list[TableStep | Deferred] = []
    order: tuple[str, ...] = ()
    in_tasks = True

    def write_rows() -> None:
        nonlocal shape, order, in_tasks
        is_table = shape.kind == "table"
        order = _row_order(b, shape, order)
        stage, shape = _rows_stage(b, shape if is_table else replace(shape, by=order))
        (stages if in_tasks else after).append(stage)
        in_tasks = False

    number = 1
    for step in steps:
        b.where = f"step {number} ({step.method})"
        number += step.is_numbered
        if step.takes_table and not shape.stands:
            step.prepare(b, shape)
            write_rows()
        if step.takes_windows:
            values, shape = add_values(b, shape, step)
            deferred.extend(values)
        bound = step.bind(b, shape)
        shape = bound.shape
        (deferred if in_tasks else after).extend(bound.stages)
        if bound.stage is not None:
            (stages if in_tasks else after).append(bound.stage)
            if in_tasks and bound.order is not None:
                order = bound.order
            in_tasks = False
        after.extend(bound.after)
    if not shape.stands:
        write_rows()
    outputs = tuple((n, t.type) for n, t in shape.env.items() if t.type is not None)
    return _finished(b, stream_of(steps), deferred, stages, after, outputs, order)


def stream_of(steps: Sequence[Step]) -> str:
    """The name of the metric's stream, the first if there are several."""
    return next(steps[0].streams())


def streams_of(steps: Sequence[Step]) -> list[str]:
    """The names of all streams of the metric, in the order of the text."""
    return list(dict.fromkeys(name for step in steps for name in step.streams()))


def _rows_stage(b: Expressions, shape: Shape) -> tuple[Stage, Shape]:
    """A stage that writes the visible columns unchanged."""
    unused = shape.held - shape.referred
    shown = ((n, t) for n, t in shape.env.items() if not n.startswith((OVER, WINDOW)))
    shape.env = {n: t for n, t in shown if n not in unused or t != column(n, t.type or Type.INT)}
    columns, inputs = tuple(shape.env.items()), shape.inputs
    # A note counts the partial windows, whichever columns the result has.
    if shape.kind == "windows":
        columns += ((PARTIAL, column("partial", Type.BOOL)),)
    elif shape.marked:
        columns += ((PARTIAL, column(PARTIAL, Type.BOOL)),)
        inputs = {**inputs, PARTIAL: Type.BOOL}
    sink = Rows(columns, shape.kind == "points")
    out = {n: t.type for n, t in shape.env.items() if t.type is not None}
    return stage_of_inputs(inputs, shape.ops, sink, b.where), Shape(
        "table", {n: column(n, t) for n, t in out.items()}, out, by=shape.by,
        marked=shape.marked or shape.kind == "windows",
    )  # fmt: skip


def _row_order(b: Expressions, shape: Shape, grouped: tuple[str, ...]) -> tuple[str, ...]:
    """The columns that rows are ordered by: the key, then time, unless they are grouped."""
    if shape.kind == "table" or not shape.keyed:
        return grouped
    shape.env.setdefault(b.stream.key, Typed("slot", b.stream.key_type))
    names = [n for n, t in shape.env.items() if t.fn == "time"]
    if not names:
        names = [b.stream.time if shape.kind == "points" else "start"]
        if names[0] in shape.env:
            raise b.fail(f"the rows are shown with their time as {names[0]!r}, so no other column can have this name")
        shape.env[names[0]] = Typed("time", Type.TIME)
    shape.env = {b.stream.key: shape.env[b.stream.key], **shape.env}
    return (b.stream.key, names[0])


def _finished(
    b: Expressions,
    stream: str,
    deferred: Sequence[Deferred],
    stages: Sequence[Stage],
    after: Sequence[TableStep | Deferred],
    outputs: tuple[tuple[str, Type], ...],
    order: tuple[str, ...],
) -> Plan:
    chain = list(stages)
    following = _resolved(after)
    lead = any(a.before_first for s in chain if s.sink.grouping() for a in s.sink.aggregates)
    needed = {n for n, _ in chain[0].inputs} | ({"$lead"} if lead else set())
    for stage_of in reversed(deferred):
        chain.insert(0, stage_of(needed))
        passed = {"$lead"} & needed if chain[0].sink.passes_lead else set()
        needed = {n for n, _ in chain[0].inputs} | passed
    found = history_of(chain)
    _check_looks(chain, found.looks)
    columns = tuple(n for n, _ in chain[0].inputs if n in b.sources.columns)
    early = with_early_rows(chain, found.looks)
    carried, inputs = carried_of(early, found.whole), tuple[Input, ...]()
    if b.sources.several:
        # A column that is held may have been reported by any of the streams, at any time.
        inputs = _inputs(b.sources, chain, columns, everything=bool(found.held_columns))
        found = replace(found, history=None if found.held_columns else found.history, held_columns=())
        carried = Carried(None)
        if not takes_any_order(early):
            early = (replace(early[0], inputs=(*early[0].inputs, (ORDER, Type.INT))), *early[1:])
    return Plan(
        stream,
        columns,
        early,
        following,
        found.history,
        found.held_columns,
        is_sliceable(chain, found.history),
        has_whole_keys(chain),
        outputs,
        order,
        laws_of(chain),
        found.whole,
        tuple(b.sparse),
        carried.carried,
        carried.plain,
        inputs,
        max((j + 1 for j, stage in enumerate(chain) if stage.sink.looks_ahead), default=0),
    )


def _check_looks(chain: Sequence[Stage], looks: Sequence[bool]) -> None:
    """GraphError for a look at rows before others where rows may overlap."""
    after = next((j + 1 for j, stage in enumerate(chain) if stage.sink.overlaps), len(chain))
    for stage, looks_back in zip(chain[after:], looks[after:], strict=True):
        if looks_back:
            raise GraphError(
                f"{stage.step}: it looks at the rows before, and intervals of points may overlap; look at the points, "
                "before intervals(...)"
            )


def _inputs(sources: Sources, chain: Sequence[Stage], columns: Sequence[str], everything: bool) -> tuple[Input, ...]:
    """What is read of each use of a stream, in merging order."""
    out = []
    # If anything but a join as of a time looks back, it needs what the joins make of earlier rows.
    looks = everything or history_of_input(chain, -1) != 0
    for number in sources.order:
        taken = sources.taken[number]
        read = tuple((m, own, taken.columns.columns[own]) for own, m in taken.merged.items() if m in columns)
        found = None if looks else carried_of_input(chain, number)
        carried, as_is = found or (None, set())
        own = None if carried is None else tuple(own for m, own, _ in read if m in carried)
        history = None if everything else history_of_input(chain, number)
        out.append(Input(number, taken.name, read, history, own, tuple(own for m, own, _ in read if m in as_is)))
    return tuple(out)


def _resolved(after: Sequence[TableStep | Deferred]) -> tuple[TableStep, ...]:
    """The steps after the merge; each stage is made for the columns needed after it."""
    out: list[TableStep] = []
    needed: set[str] = set()
    for step in reversed(after):
        if isinstance(step, TableStep):
            out.append(step)
        else:
            out.append(step(needed))
        if isinstance(out[-1], Stage):
            needed = {n for n, _ in out[-1].inputs}
    return tuple(reversed(out))
