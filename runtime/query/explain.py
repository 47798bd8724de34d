"""What a query would do, in words and numbers."""

from __future__ import annotations

from collections.abc import Sequence

from dataflow.clock import sources_of
from dataflow.codegen.sinks import views_of
from dataflow.compile import is_cached
from dataflow.flows import Climb, Flow, Moves, Periods
from dataflow.plan import (
    Edges,
    Group,
    Pieces,
    Plan,
    Rows,
    Segments,
    SortBy,
    Stage,
    States,
    Sweep,
    TableStep,
    Take,
    Tally,
    Tracks,
)
from runtime.query.notes import before_range, cut_windows, sparse_columns
from runtime.query.prepare import Prepared
from runtime.query.task import Task

# Points a second and core of this machine's kind, for an estimate only: tests/benchmarks measures them.
_RATE = {States: 80e6, Segments: 130e6, Climb: 80e6, Periods: 80e6, Moves: 40e6, Group: 60e6, Rows: 20e6}
_RATE |= {Tracks: 40e6, Pieces: 40e6, Edges: 40e6}
_START = 0.02
_COMPILE = 1.5


def explain(prepared: Prepared, tasks: Sequence[Task], workers: int) -> str:
    """The plan of ``prepared`` as a text of several lines."""
    plan = prepared.plan
    rows = sum(f.rows for f in prepared.files)
    lines = [f"stream {plan.stream} at commit {prepared.snapshot.seq}, key {prepared.schema.key}"]
    lines.append(
        f"range  [{_time(prepared.since)}, {_time(prepared.until)})" + (" (until: now)" if prepared.clipped else "")
    )
    history = {None: "all of it", 0: "none"}.get(prepared.history, f"{(prepared.history or 0) / 1e6:g} s")
    lines.append(f"history before the range: {history}")
    size = sum(f.bytes for f in prepared.files)
    lines.append(f"files  {len(prepared.files)}, {rows:,} points, {size:,} bytes")
    lines.append(f"columns {', '.join((prepared.schema.key, prepared.schema.time, *plan.columns))}")
    slices = len({t.id.split(".")[0] for t in tasks})
    lines.append(
        f"tasks  {len(tasks)} ({slices} slices of time x {len(tasks) // slices} shards of keys), {workers} workers"
    )
    lines.append("stages")
    compile_seconds = 0.0
    for stage in plan.stages:
        cached = is_cached(stage)
        compile_seconds += 0.0 if cached else _COMPILE
        lines.append(f"  {_describe(stage)}: kernel {'ready' if cached else 'to be compiled'}")
    for step in plan.after:
        lines.append(f"  then {_after(step)}")
    if looked_up := _lookups(plan):
        lines.append("looked up")
        lines += [f"  {text}" for text in looked_up]
    if before := before_range(plan):
        lines.append("before the range")
        lines += [f"  {text}" for text in before]
    if notes := [*cut_windows(plan, prepared), *sparse_columns(plan, prepared.files)]:
        lines.append("notes")
        lines += [f"  {text}" for text in notes]
    if plan.laws:
        lines.append("laws")
        lines += [f"  {law}" for law in plan.laws]
    rate = min(_RATE[type(s.sink)] for s in plan.stages)
    seconds = _START + rows / rate / max(1, min(workers, len(tasks))) + compile_seconds
    lines.append(f"estimate {seconds:.2g} s on this machine, $0")
    return "\n".join(lines)


def _time(micros: int) -> str:
    from runtime.table import iso

    return iso(micros)


def _describe(stage: Stage) -> str:
    n = sum(not isinstance(op, Tally) for op in stage.ops)
    ops = f"{n} row operations, " if n else ""
    match stage.sink:
        case States(state, _, _, held, _):
            what = "heartbeat intervals" if state is None else "state intervals"
            return f"{stage.step}: {ops}{what}, held columns: {', '.join(n for n, _ in held) or 'none'}"
        case Segments(gap, _, _, aggs, _, _, size, empty):
            what = "sessions" if gap is not None else f"windows of {size} buckets" if size > 1 else "windows"
            return f"{stage.step}: {ops}{what}{', empty ones too,' if empty else ''} with {len(aggs)} aggregates"
        case Flow(held):
            return f"{stage.step}: {ops}{_flow(stage.sink)}, held columns: {', '.join(n for n, _ in held) or 'none'}"
        case Group(by, aggs, _, _, filled):
            cut = "" if filled is None else ", empty buckets too"
            if apart := [aggs[j].name for view in views_of(aggs) for j in view]:
                cut += f"; intervals are cut by the clock for {', '.join(apart)} alone"
            return (
                f"{stage.step}: {ops}groups by {', '.join(n for n, _ in by) or 'nothing'}, {len(aggs)} aggregates{cut}"
            )
        case Rows(columns, _):
            return f"{stage.step}: {ops}rows of {len(columns)} columns"
        case Tracks(tracks, _, _, held, _):
            return (
                f"{stage.step}: {ops}{len(tracks)} timelines, held columns: {', '.join(n for n, _ in held) or 'none'}"
            )
        case Pieces():
            return f"{stage.step}: {ops}{_pieces(stage.sink)}"
        case Edges(by, _):
            return f"{stage.step}: {ops}edges of intervals by {', '.join(n for n, _ in by) or 'nothing'}"


def _pieces(sink: Pieces) -> str:
    """What intervals are cut by."""
    cutting = [e for _, e in sink.watched] + list(sink.conditions)
    sources = sources_of(cutting)
    if not sources:
        return f"intervals, not cut: nothing reads {', '.join(sink.unread)}"
    if all(s.kind == "periods" for s in sources):
        kept = {"is_not_null": ", inside kept", "is_null": ", outside kept"}
        return "intervals cut at the edges of periods" + "".join(kept.get(c.fn, "") for c in sink.conditions)
    text = "intervals cut by the clock"
    columns = [n for n, _ in sink.watched if not n.startswith("$")]
    text += f" where {', '.join(columns)} changes" if columns else ""
    text += ", where the condition holds kept" if sink.conditions else ""
    return text + (f"; not by {', '.join(sink.unread)}, which nothing reads" if sink.unread else "")


def _flow(sink: Flow) -> str:
    match sink:
        case Climb(_, conditions, within, mode):
            return f"a funnel of {len(conditions)} steps, {mode}, within {within / 1e6:g} s"
        case Periods(_, _, _, bucket):
            return f"cohorts by {bucket.option('every')} in {bucket.option('zone')}"
        case Moves(_, _, gap):
            return "transitions" if gap is None else f"transitions, apart after {gap / 1e6:g} s"
        case _:
            raise AssertionError(f"{type(sink).__name__} has no description")


def _lookups(plan: Plan) -> list[str]:
    """The reference tables and calendars of a plan, in words."""
    stages = [s for s in (*plan.stages, *plan.after) if isinstance(s, Stage)]
    nodes = (n for s in stages for e in s.expressions() for n in e.walk() if n.fn == "lookup")
    return list(dict.fromkeys(str(n.option("in")) for n in nodes))


def _after(step: TableStep) -> str:
    match step:
        case SortBy(by):
            return "sort by " + ", ".join(f"{n}{' descending' if d else ''}" for n, d in by)
        case Take(n):
            return f"the first {n} rows"
        case Sweep(_, k):
            return "numbers of keys at once, from edges" if k is None else f"times with at least {k} keys, from edges"
        case _:
            return _describe(step)
