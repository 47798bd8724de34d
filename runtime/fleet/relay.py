"""A relay: fans a batch of tasks out to workers, merges their partial states and replies with one.

Besides the batch, the request has ``rules`` (the worker's), ``pace`` (its share), ``seconds`` (its deadline),
``allow_partial``, ``extra``, further fields of its workers' requests, and ``function``, the workers' name, if known.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from dataflow.plan.sink import Grouping
from dataflow.plan.stages import Plan
from operators.contract import DATES, Aggregate
from operators.errors import DataflowError
from operators.states.groups import GroupState
from operators.states.strings import Words
from operators.types import Type
from runtime.errors import FormatError, QueryError, StoreError
from runtime.fleet.coordinator import Counts
from runtime.fleet.fleet import Answers, Fleet, Invoke, answers
from runtime.fleet.message_versions import PROTOCOL, is_spoken, refusal_of
from runtime.fleet.messages import MAX_STATE, check_request, fetch, read_batch, refusal, reply
from runtime.fleet.pacing import PaceRules
from runtime.fleet.rules import Rules, TaskBatch
from runtime.fleet.worker import used
from runtime.objects import ObjectStore
from runtime.query.merge.merging import groups_for, merge_states
from runtime.query.merge.state_form import checked
from runtime.query.stages.query_table import joined
from runtime.query.task import state_bytes
from runtime.query.task.coverage import Coverage
from runtime.query.task.partial import Partial, summed
from runtime.result.cost import Used
from runtime.storage.open_store import OpenStore

MARGIN = 10.0
"""Seconds that a relay reserves for merging and replying (at most a quarter of its time)."""


def is_batch(event: Any) -> bool:
    """Whether a payload is a request to a relay."""
    return isinstance(event, dict) and "pace" in event and "rules" in event


def relay(
    event: Any,
    invoke: Invoke,
    seconds: float,
    open_store: Callable[[str], OpenStore] = OpenStore.shared,
    most: int = MAX_STATE,
) -> dict[str, Any]:
    """The reply to a batch's payload, as a JSON value; ``invoke`` invokes a worker, ``seconds`` are left to this
    process.

    Errors are returned and raised as by ``worker.answer``. Whatever its workers do, it replies ``MARGIN`` seconds
    before its time is up. It starts nothing more once the object ``stop`` exists: the query was cancelled.
    """
    begun = time.monotonic()
    version = event.get("version") if isinstance(event, dict) else None
    if not is_spoken(version):
        return refusal_of(version)
    objects, gets, size = None, 0, 0
    if "stored" in event:
        objects = open_store(event["store"]).objects
        gets, size = objects.gets, objects.bytes_read
        asked = json.loads(fetch(objects, event["stored"]))
    else:
        asked = event["batch"]
    try:
        request = check_request(event, asked)
    except FormatError as error:
        return {**refusal("", error), "version": version}
    batch = read_batch(asked)
    if objects is None:
        objects = open_store(batch.tasks[0].store).objects
        gets, size = objects.gets, objects.bytes_read
    found: Answers | None = None
    try:
        fleet = inner_fleet(event, invoke, seconds)
        found = answers(
            fleet, batch.tasks, objects, bool(event["allow_partial"]), lambda _: None, event["extra"],
            lambda: _is_there(objects, event["stop"]),
        )  # fmt: skip
        out = reply_of(batch, found, event["spill"], objects, most, request)
    except (DataflowError, MemoryError) as error:
        out = refusal(batch.id, error)
    mine = used(objects, begun, gets, size, int("stored" in out))
    return out | {"version": version, "used": asdict(mine if found is None else mine + inner_used(found.counts))}


def worker_of(event: Any, own: str) -> str:
    """The worker function that a relay invokes: the version or alias of ``own`` that the caller uses.

    During an update, caller and relay may be of different versions, but the caller needs workers of its own.
    """
    named = event.get("function")
    return named if isinstance(named, str) and _bare(named) == _bare(own) else own


def _bare(function: str) -> str:
    """The name in a function's name or ARN, without version and alias."""
    return function.rpartition(":function:")[2].partition(":")[0]


def _is_there(objects: ObjectStore, path: str) -> bool:
    try:
        return objects.size(path) > 0
    except StoreError:  # missing: without permission to list, S3 reports that as denied
        return False


def inner_used(counts: Counts) -> Used:
    """The usage that a relay's workers reported, plus the price of invoking those that reported nothing."""
    return replace(counts.used, invoked=counts.begun)


def inner_fleet(event: Any, invoke: Invoke, seconds: float) -> Fleet:
    """The workers of a relay that has ``seconds`` left: its deadline is before its caller's."""
    rules, pace = Rules(**_numbers(event["rules"])), PaceRules(**_numbers(event["pace"]))
    whole = max(0.0, min(seconds, float(event["seconds"])))
    whole -= min(MARGIN, whole / 4)
    rules = replace(rules, query_seconds=whole, attempt_seconds=min(rules.attempt_seconds, whole))
    return Fleet(invoke, rules, pace)


def _numbers(fields: Any) -> dict[str, Any]:
    if not all(isinstance(value, int | float) for value in fields.values()):
        raise ValueError("rules are numbers")
    return dict(fields)


def reply_of(
    batch: TaskBatch,
    found: Answers,
    spill: str,
    objects: ObjectStore,
    most: int = MAX_STATE,
    request: str | None = None,
) -> dict[str, Any]:
    """The reply to a batch from its answers; ``request`` is the digest of the requested work, if known."""
    sent: dict[str, Any] = {"version": PROTOCOL, "task": batch.id}
    if found.partials:
        state = state_bytes.pack(together(batch, list(found.partials.values())), request or batch.request_digest)
        sent = reply(batch.id, state, spill, objects, most)
    return {**sent, "tasks": sorted(found.tasks), "failed": {name: str(error) for name, error in found.failed.items()}}


def together(batch: TaskBatch, partials: Sequence[Partial]) -> Partial:
    """The partial states of a batch's tasks as one, in a canonical form that depends only on their content.

    The bytes do not depend on the order of replies or on how tasks were halved, so that two replies to one batch can be
    compared.
    """
    first = batch.tasks[0]
    plan = first.compiled().plan
    total = Coverage()
    for partial in partials:
        total.add(partial.coverage)
    coverage = total.ordered()
    kernels = tuple(sorted({digest for p in partials for digest in p.kernels}))
    sink, tally = plan.stages[-1].sink, summed(p.tally for p in partials)
    with checked(plan, partials):
        if (group := sink.grouping()) is not None and not plan.whole_keys:
            states = [p.groups for p in partials if p.groups is not None]
            if len(states) < len(partials):
                raise QueryError(f"batch {batch.id}: a worker returned rows instead of groups")
            return Partial(batch.id, canonical(group, merge_states(group, states)), None, coverage, kernels, tally)
        return Partial(batch.id, None, _table(plan, batch, partials), coverage, kernels, tally)


def _table(plan: Plan, batch: TaskBatch, partials: Sequence[Partial]) -> Any:
    tables = [p.table for p in partials if p.table is not None]
    if len(tables) < len(partials):
        raise QueryError(f"batch {batch.id}: a worker returned groups instead of rows")
    return joined(tables).sorted_by([(name, False) for name in plan.order]).compact()


def canonical(sink: Grouping, state: GroupState) -> GroupState:
    """The same state with groups, strings and tally entries in canonical order."""
    words, groups = Words(), groups_for(sink)
    codes = words.codes(sorted(state.strings)).astype(np.int64)
    renumbered = words.codes(state.strings).astype(np.int64) if len(codes) else codes
    keys = state.keys.copy()
    for j, kind in enumerate(groups.key_types):
        if kind is Type.STRING:
            known = (keys[:, -1] >> j) & 1 == 0
            keys[known, j] = renumbered[keys[known, j]]
    groups.ensure(keys[np.lexsort(keys.T)])
    groups.merge(state, words.codes)
    out = groups.export(words.strings)
    for aggregate, arrays in zip(groups.cells.aggregates, out.states, strict=True):
        if isinstance(aggregate, Aggregate) and aggregate.tally is not None:
            order = np.lexsort(arrays["keys"].T)
            dates = DATES if aggregate.tally.is_dated else ()
            arrays |= {name: arrays[name][order] for name in ("keys", "counts", *dates)}
    return out
