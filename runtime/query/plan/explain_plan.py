"""Describes a query plan in words and numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from dataflow.kernels.compile import is_cached
from dataflow.plan.stages import Plan, table_stages
from dataflow.typed.hidden_columns import without_hidden
from runtime.objects import ObjectStore
from runtime.query.plan.expected_work import expected_load
from runtime.query.plan.notes import before_range, cut_windows, sparse_columns
from runtime.query.plan.prepare import Prepared, StreamRead
from runtime.query.task.task import Task
from runtime.result.cost import US_EAST_1, Worker
from runtime.result.largest_parts import most_of_the_time
from runtime.result.speeds import Speeds
from runtime.result.work import Load

_START = 0.02
_COMPILE = 1.5

_DISK = 1e9
"""Bytes per second of a local disk."""

_LONG = 0.5
"""Seconds from which on it is said where they go."""


def explain(
    prepared: Prepared, tasks: Sequence[Task], workers: int, objects: ObjectStore, left: Callable[[], int] | None = None
) -> str:
    """The plan of ``prepared`` as a text of several lines; ``left``: how many files there would be after compaction."""
    plan = prepared.plan
    rows = sum(f.rows for f in prepared.files)
    lines = [_stream(read) for read in prepared.streams]
    lines.append(
        f"range  [{_time(prepared.since)}, {_time(prepared.until)})" + (" (until: now)" if prepared.clipped else "")
    )
    lines.append(f"history before the range: {_histories(prepared)}")
    if plan.ahead:
        lines.append("points after the range: all of them, for the values of later points (next)")
    if prepared.carried is not None:
        lines.append(f"carried in: {prepared.carried}")
    if any(step["op"] == "key_by" for step in prepared.graph["steps"]):
        lines.append("key_by: first the points are written once more, by that key, into a temporary folder")
    size = sum(f.bytes for f in prepared.files)
    lines.append(f"files  {len(prepared.files)}, {rows:,} points, {size:,} bytes")
    lines += [f"columns {', '.join(names)}" for names in _columns(prepared)]
    slices = len({t.id.split(".")[0] for t in tasks})
    lines.append(
        f"tasks  {len(tasks)} ({slices} slices of time x {len(tasks) // slices} shards of keys), {workers} workers"
    )
    lines.append("stages")
    compile_seconds = 0.0
    for stage in plan.stages:
        cached = is_cached(stage)
        compile_seconds += 0.0 if cached else _COMPILE
        lines.append(f"  {stage.describe()}: kernel {'ready' if cached else 'to be compiled'}")
    for step in plan.after:
        lines.append(f"  then {step.describe()}")
    if looked_up := _lookups(plan):
        lines.append("looked up")
        lines += [f"  {text}" for text in looked_up]
    if before := before_range(plan):
        lines.append("before the range")
        lines += [f"  {text}" for text in before]
    if notes := [
        *cut_windows(plan, prepared),
        *([] if prepared.several else sparse_columns(plan, prepared.point_files)),
    ]:
        lines.append("notes")
        lines += [f"  {text}" for text in notes]
    if plan.laws:
        lines.append("laws")
        lines += [f"  {law}" for law in plan.laws]
    load = expected_load(prepared, tasks, objects, objects.gap)
    parts = _parts(load, prepared, workers, objects, compile_seconds)
    seconds = sum(parts.values())
    if objects.at_once < 2:
        lines.append(f"estimate {seconds:.2g} s on this machine, $0")
    else:
        dollars = load.gets * US_EAST_1.get
        lines.append(
            f"estimate {seconds:.2g} s on this machine, ${dollars:.2g}: {load.gets:,} GETs of {load.bytes:,} bytes"
        )
    if seconds >= _LONG:
        lines.append("  " + most_of_the_time(parts, load, left))
    return without_hidden("\n".join(lines))


def _stream(read: StreamRead) -> str:
    return f"stream {read.snapshot.stream} at commit {read.snapshot.seq}, key {read.schema.key}"


def _histories(prepared: Prepared) -> str:
    """How much is read before the range, for each stream if it differs."""
    texts = {
        s.snapshot.stream: {None: "all of it", 0: "none"}.get(s.history, f"{(s.history or 0) / 1e6:g} s")
        for s in prepared.streams
    }
    if len(set(texts.values())) == 1:
        return next(iter(texts.values()))
    return ", ".join(f"{text} of {name}" for name, text in texts.items())


def _columns(prepared: Prepared) -> list[list[str]]:
    """The columns that are read; of several streams, of each use of one in the order of merging."""
    if not prepared.several:
        return [[prepared.schema.key, prepared.schema.time, *prepared.plan.columns]]
    out = []
    for use in prepared.plan.inputs:
        schema = prepared.schemas[use.stream]
        out.append([f"of {use.stream}: {schema.key}", schema.time, *(own for _, own, _ in use.columns)])
    return out


def _parts(load: Load, prepared: Prepared, workers: int, objects: ObjectStore, compiling: float) -> dict[str, float]:
    """The seconds of the query on this machine, by what they are spent on."""
    speeds = Speeds(points=min(s.sink.rows_per_second for s in prepared.plan.stages), parse=0.0)
    if objects.at_once < 2:  # files of this machine: nothing is waited for
        speeds = replace(speeds, get=0.0, first_byte=0.0, requests=0, page=0.0, stream=_DISK, network=_DISK)
    each = load.seconds(Worker(), speeds)
    threads = max(1, min(workers, load.tasks))
    # Only one thread at a time handles a file; what they wait for and compute overlaps.
    opening = max(sum(s.own for s in each), sum(s.opening for s in each) / threads)
    return {
        "starting": _START,
        "planning": speeds.planning(load.files),
        "compiling": compiling,
        "opening": opening,
        "reading": sum(s.reading for s in each) / threads,
        "computing": sum(s.computing for s in each) / threads,
    }


def _time(micros: int) -> str:
    from runtime.display.text_tables import iso

    return iso(micros)


def _lookups(plan: Plan) -> list[str]:
    """The reference tables and calendars of a plan, in words."""
    stages = (*plan.stages, *table_stages(plan.after))
    nodes = (n for s in stages for e in s.expressions() for n in e.walk() if n.fn in ("lookup", "answer_row"))
    return list(dict.fromkeys(str(n.option("in")) for n in nodes))
