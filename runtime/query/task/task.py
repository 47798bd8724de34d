"""`Task`, one unit of work: the rows of one shard of keys, through all stages, to a partial state."""

from __future__ import annotations

import hashlib
import json
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any, Protocol

from dataflow.kernels.compile import Kernel, compile_stage
from dataflow.metrics.bind import StreamColumns, bind
from dataflow.metrics.json_form import from_dict
from dataflow.plan.properties import takes_any_order
from dataflow.plan.stages import Plan
from dataflow.times.zones import TZDATA_VERSION
from dataflow.typed.hidden_columns import INPUT
from operators import forking
from operators.registry import registrations
from operators.states.strings import Words
from runtime.catalogue import FileEntry, StreamSchema
from runtime.errors import OtherRelease
from runtime.helpers import go_on
from runtime.pointfile import PointFile, borrowed
from runtime.pointfile.reading.columns_of_file import NO_HOLD
from runtime.query.merge.spilling import Spill
from runtime.query.scan.merged_streams import MergedScan, MergedSpec
from runtime.query.scan.scan_spec import Elision, ScanSpec
from runtime.query.scan.scanning import Scan, scan_order
from runtime.query.stages.keys import Keys
from runtime.query.stages.pipeline import Pipeline
from runtime.query.stages.task_context import TaskContext
from runtime.query.task.coverage import Coverage
from runtime.query.task.partial import Partial

_EVER = -(2**62)

Schemas = Mapping[str, StreamSchema]
"""The schemas of a metric's streams by name, in the order of the text."""


def request_digest(value: Any) -> str:
    """SHA-256 of a request to a worker, a JSON value. The worker returns it with the state, so that replies to another
    or an altered request are detected."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def _named(of: Any) -> dict[str, Any]:
    """The fields of a dataclass, not copied: of a task with ten thousand files that takes longer than to write it."""
    return {f.name: getattr(of, f.name) for f in fields(of)}


@dataclass(frozen=True)
class Task:
    """Everything a worker needs, as plain JSON without code.

    ``shard`` is the range [lo, hi) of key hashes, ``history`` how many microseconds before ``since`` matter (None: all
    of them). ``tzdata`` is the release of the time zone database of the query.
    """

    id: str
    store: str
    stream: str
    graph: dict[str, Any]
    params: dict[str, Any]
    schema: dict[str, Any]
    files: tuple[FileEntry, ...]
    shard: tuple[int, int]
    since: int
    until: int
    history: int | None
    tzdata: str = TZDATA_VERSION
    beginning: int = _EVER
    """The time before which the stream has no points."""
    others: dict[str, dict[str, Any]] = field(default_factory=dict)
    """The other streams that the metric reads, by name: their schema and history."""

    def to_bytes(self) -> bytes:
        """The task as JSON."""
        found = _named(self)
        if not self.others:
            del found["others"]  # as before there were metrics over several streams
        return json.dumps(found, separators=(",", ":"), default=_named).encode()

    @cached_property
    def request_digest(self) -> str:
        """See the function ``request_digest``."""
        return request_digest(json.loads(self.to_bytes()))

    @property
    def schemas(self) -> Schemas:
        """The schemas of the streams by name, the first of the metric first."""
        others = {name: StreamSchema.from_dict(other["schema"]) for name, other in self.others.items()}
        return {self.stream: StreamSchema.from_dict(self.schema), **others}

    def compiled(self) -> Compiled:
        """Its plan, from the cache of this process if it is there."""
        schemas = self.schemas
        return compiled_for(schemas[self.stream], self.graph, self.params, schemas)

    @classmethod
    def from_bytes(cls, data: bytes) -> Task:
        """The task of a JSON payload."""
        d = {"tzdata": "none", **json.loads(data)}
        d["files"] = tuple(FileEntry(**f) for f in d["files"])
        d["shard"] = tuple(d["shard"])
        return cls(**d)


_REMEMBERED, _LARGEST = 64, 1 << 16
"""How many plans a process caches, and the longest graph text cached (reference tables may be long)."""

_known: OrderedDict[tuple[str, int], Compiled] = OrderedDict()
_lock = forking.lock()


def compiled_for(
    schema: StreamSchema, graph: dict[str, Any], params: dict[str, Any], schemas: Schemas | None = None
) -> Compiled:
    """The plan of a graph for a stream, or for several (``schemas`` by name), and its kernels on demand; cached,
    because dashboards repeat queries."""
    others = {name: of for name, of in (schemas or {}).items() if of is not schema}
    described = [schema.to_dict(), graph, params, {name: of.to_dict() for name, of in others.items()}]
    text = json.dumps(described, separators=(",", ":"), default=repr)
    # An aggregate's name may have been registered again since.
    key = (text, registrations())
    with _lock:
        found = _known.get(key)
        if found is not None:
            _known.move_to_end(key)
            return found
    columns = {name: stream_columns(of) for name, of in others.items()}
    found = Compiled(bind(from_dict(graph), stream_columns(schema), params, columns))
    if len(text) <= _LARGEST:
        with _lock:
            _known[key] = found
            while len(_known) > _REMEMBERED:
                _known.popitem(last=False)
    return found


def stream_columns(schema: StreamSchema) -> StreamColumns:
    """A stream's schema, in the form that binding takes."""
    return StreamColumns(schema.key, schema.key_type, schema.time, schema.columns)


@dataclass(frozen=True)
class Compiled:
    """A plan with the kernels of its stages."""

    plan: Plan

    @cached_property
    def kernels(self) -> tuple[Kernel, ...]:
        """The plan's kernels, from memory, from disk or compiled now."""
        return tuple(compile_stage(s) for s in self.plan.stages)

    def ready(self) -> Compiled:
        """The same, with its kernels compiled."""
        _ = self.kernels
        return self


class Saving(Protocol):
    """Continues from an earlier run's checkpoint, and takes checkpoints of this run."""

    def restore_names(self, words: Words, keys: Keys) -> None:
        """Restore the numbers of words and keys in the saved state."""
        ...

    def restore(self, pipeline: Pipeline, coverage: Coverage) -> int:
        """Restore the state; returns the number of groups of files (``scan_order``) that it covers."""
        ...

    @property
    def at(self) -> Collection[int]:
        """The numbers of groups after which ``passed`` must be called."""
        ...

    def passed(self, groups: int, pipeline: Pipeline, coverage: Coverage) -> None:
        """Called after ``groups`` groups of files are processed."""
        ...


def run(
    task: Task,
    open_file: Callable[[FileEntry], PointFile],
    compiled: Compiled | None = None,
    saving: Saving | None = None,
    spill: Spill | None = None,
) -> Partial:
    """Run ``task`` on this thread; ``compiled`` is the task's compiled plan, if known already. Groups that become too
    large go to ``spill``."""
    if task.tzdata != TZDATA_VERSION:
        older = task.tzdata < TZDATA_VERSION
        raise OtherRelease(
            f"the query needs tzdata {task.tzdata}, and this worker has {TZDATA_VERSION}: "
            + ("update it here (pip install -U tzdata)" if older else "update the deployment (dataflow deploy)")
        )
    schemas = task.schemas
    schema = schemas[task.stream]
    plan = (compiled := compiled or task.compiled()).plan
    words = Words()
    keys = Keys(schema.key_type, words, task.shard)
    if saving is not None:
        saving.restore_names(words, keys)
    specs = scan_specs(task, schemas, plan)
    with borrowed() as buffers, borrowed() as gathered:
        first = min([task.since, *(f.t_min for f in task.files)])
        context = TaskContext(words, keys, task.since, task.until, buffers, first, task.beginning)
        pipeline = Pipeline(plan, compiled.kernels, context)
        small = getattr(open_file, "small", None)
        scan: Scan | MergedScan
        if plan.inputs:
            spec = _merged_spec(plan, specs)
            scan = MergedScan(spec, keys, words, open_file, (buffers, gathered), small)
        else:
            scan = Scan(specs[task.stream], keys, words, open_file, buffers, small)
        done = 0 if saving is None else saving.restore(pipeline, scan.coverage)
        before = scan.coverage.times_outside
        stops = () if saving is None else [n - done for n in saving.at]
        n = done
        for stretch in scan.stretches(scan_order(task.files, id_of(schemas))[done:], stops):
            for chunk in scan.read(stretch):
                go_on()
                pipeline.push(chunk)
                if spill is not None:
                    pipeline.spill(spill)
            n += len(stretch)
            scan.coverage.times_outside = before + pipeline.times_outside
            if saving is not None:
                saving.passed(n, pipeline, scan.coverage)
        groups, table = pipeline.finish()
        scan.coverage.times_outside = before + pipeline.times_outside
    kernels = tuple(r.kernel.digest for r in pipeline.runners)
    return Partial(task.id, groups, table, scan.coverage, kernels, pipeline.tally)


def id_of(schemas: Schemas) -> str | None:
    """An id column of one of the streams, if there is one: files of a UTC day then belong together."""
    return next((s.id for s in schemas.values() if s.id is not None), None)


def scan_specs(task: Task, schemas: Schemas, plan: Plan) -> dict[str, ScanSpec]:
    """What the task reads of the files of each stream, by name."""
    if not plan.inputs:
        return {task.stream: _scan_spec(task, schemas[task.stream], plan)}
    any_order = takes_any_order(plan.stages)
    out = {}
    for name, schema in schemas.items():
        history = task.others[name]["history"] if name in task.others else task.history
        out[name] = ScanSpec(
            columns={own: schema.columns[own] for i in plan.inputs if i.stream == name for _, own, _ in i.columns},
            shard=task.shard,
            since=task.since - (history or 0),
            until=-_EVER if plan.ahead else task.until,
            skip_before=history is not None,
            times=not any_order or plan.stages[0].needs_time,
            duplicates=schema.duplicates,
            id_column=schema.id,
            all_columns=schema.columns,
            any_order=any_order,
        )
    return out


def _merged_spec(plan: Plan, specs: Mapping[str, ScanSpec]) -> MergedSpec:
    inputs = dict(plan.stages[0].inputs)
    columns = {n: inputs[n] for n in (*plan.columns, INPUT) if n in inputs}
    return MergedSpec(plan.inputs, specs, columns, takes_any_order(plan.stages))


def _scan_spec(task: Task, schema: StreamSchema, plan: Plan) -> ScanSpec:
    """What the task reads of its files."""
    return ScanSpec(
        columns={c: schema.columns[c] for c in plan.columns},
        shard=task.shard,
        since=task.since - (task.history or 0),
        until=-_EVER if plan.ahead else task.until,
        skip_before=task.history is not None,
        times=plan.stages[0].needs_time,
        duplicates=schema.duplicates,
        id_column=schema.id,
        all_columns=schema.columns,
        elision=_elision(plan),
        any_order=takes_any_order(plan.stages),
    )


def _elision(plan: Plan) -> Elision | None:
    """The rows of points that the first stage does not need."""
    first = plan.stages[0]
    lasting = first.sink.lasting()
    if lasting is None or not first.repeats_tell_nothing:
        return None
    state = lasting.state
    reported = {str(n.option("name")) for n in (state.walk() if state is not None else ()) if n.fn == "in"}
    return Elision(NO_HOLD if lasting.hold is None else lasting.hold, tuple(sorted(reported)))
