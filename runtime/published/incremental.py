"""Incremental execution: reuses the partial states that earlier runs cached, and caches new ones.

Two kinds of plan are cached in two ways, both exact. If rows do not depend on earlier rows, partial states merge in any
order: one is cached for every day inside the range, whatever the range, and only new files of a day are read; one of
many days together is cached for the same first day (``runtime.published.day_states``). Otherwise (states, sessions),
checkpoints of the run are cached after groups of files (``runtime.query.task.checkpoint``), for the same start of the
range. A run continues from the latest checkpoint whose rows are those of its first groups; a late file makes it
continue from an earlier one.

States are known by the rows they cover, not by files (``runtime.published.state_cache.contents``), so they survive a
compaction. The coverage of one that is used again names the files that hold these rows now.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

import numpy as np

from dataflow.plan.stages import Plan
from dataflow.times.zones import TZDATA_VERSION, zone_rules
from operators.errors import DataflowError
from runtime.catalogue import FileEntry, StreamSchema
from runtime.errors import FormatError
from runtime.helpers import Helpers
from runtime.objects import ObjectStore
from runtime.published.day_states import SPAN, Days, covers, days_of, first_days, last_day, packed, together
from runtime.published.definition import antfold_version, values_of
from runtime.published.standing_run import StandingRun
from runtime.published.state_cache import LARGEST_STATE, Shelf, contents, named_in_cache
from runtime.published.worth_saving import WorthSaving
from runtime.query.merge.conclude import conclude
from runtime.query.plan.make_tasks import make_tasks
from runtime.query.plan.prepare import Prepared
from runtime.query.scan.scanning import scan_order
from runtime.query.task import state_bytes
from runtime.query.task.checkpoint import Checkpoint, Checkpoints, unpack
from runtime.query.task.partial import Partial
from runtime.query.task.task import Saving, Task
from runtime.result.proof import digest
from runtime.result.result import PartialResult, Result

_FORM = 6
"""Version of the cached form: changes whenever the meaning of states does."""

_BACK = (1, 2, 4, 8, 16, 32)
"""Days before the last one at which a checkpoint is cached as well, for late files."""

_STATE = 4
"""To restore the state of a key, and to save it, takes as long as to read so many rows."""

_MAGIC = b"ANTKEPT1"

Answered = tuple[list[Partial], dict[str, DataflowError]]
Savings = Mapping[str, Saving] | None
Answer = Callable[[Sequence[Task], Sequence[FileEntry], Savings], Answered]
"""Runs tasks (at least one) that read these files; returns partial states and failures."""


@dataclass(frozen=True)
class CachedRun:
    """The cached states for a run of a published query, whose digest is ``query``."""

    prepared: Prepared
    objects: ObjectStore
    query: str

    def unread(self) -> int:
        """Bytes of the files that a run in this process would read: those without a cached state."""
        p = self.prepared
        if not p.files:
            return 0
        if not p.plan.sliceable:
            groups, chain, usable, shelf = self._groups()
            done = max((n for n in range(1, usable + 1) if chain[n - 1] in shelf), default=0)
            return sum(f.bytes for g in groups[done:] for f in g)
        days, whole, chain, shelf, spans = self._days()
        done = max((n for n, c in enumerate(chain, 1) if spans is not None and c in spans), default=0)
        ahead = {d.first for d in whole[:done]}
        return sum(d.unread(shelf) for d in days if d.first not in ahead)

    def _shelf(self, *more: object) -> Shelf:
        return Shelf(self.objects, named_in_cache(self.query), self._family(*more))

    def _family(self, *more: object) -> str:
        p = self.prepared
        family = [
            _FORM,
            antfold_version(),
            TZDATA_VERSION,
            p.task_graph,
            p.params,
            [k.digest for k in p.compiled.kernels],
            _zones(p.task_graph),
            *(_described(name, schema, p.plan) for name, schema in p.schemas.items()),
            *more,
        ]
        text = json.dumps(family, sort_keys=True, separators=(",", ":"), default=str)
        return digest(text.encode())[:40]

    def _days(self) -> tuple[list[Days], list[Days], list[str], Shelf, Shelf | None]:
        """The days, the whole ones, the contents up to each; and the shelves for days and for many days."""
        days = days_of(self.prepared)
        whole = [d for d in days if d.whole]
        spans = self._shelf("spans") if len(whole) > SPAN else None
        chain = contents([d.files for d in whole], self.prepared.unordered)
        return days, whole, chain, self._shelf("days"), spans

    def _groups(self) -> tuple[list[tuple[FileEntry, ...]], list[str], int, Shelf]:
        """The groups of files, the contents up to each, how many can be cached, and their shelf."""
        p = self.prepared
        groups = scan_order(p.files, p.id_column)
        return groups, contents(groups, p.unordered), _usable(groups, p), self._shelf(*self._prefix())

    def _prefix(self) -> list[object]:
        """What the state of a prefix of the files depends on."""
        p = self.prepared
        first = min(p.since, *(f.t_min for f in p.files))
        return ["prefix", p.since, *(s.history for s in p.streams), first, p.beginning]


@dataclass(frozen=True)
class Cached(CachedRun):
    """Runs a published query: ``url`` is the store's URL for workers; ``here`` says whether tasks run in this process,
    where checkpoints can be taken; ``worth`` is kept by who asks again and again."""

    answer: Answer
    url: str
    workers: int
    here: bool
    worth: WorthSaving | None = None
    standing: StandingRun | None = None
    """Kept like ``worth``."""

    def result(self) -> Result:
        """The result."""
        if self.prepared.files and self.prepared.plan.sliceable:
            try:
                return self._by_day()
            except FormatError:
                # If the cached state was not the cause, the error recurs.
                return self._by_day(from_scratch=True)
        if self.prepared.files and self.here:
            return self._by_prefix()
        tasks = make_tasks(self.prepared, self.url, self.workers)
        return conclude(self.prepared, tasks, *self.answer(tasks, self.prepared.files, None))

    # ---- plans whose rows do not depend on earlier rows

    def _by_day(self, from_scratch: bool = False) -> Result:
        p = self.prepared
        days, whole, chain, shelf, spans = self._days()
        done, span = (0, None) if spans is None or from_scratch else first_days(p, spans, whole, chain)
        cut, whole_rest = [d for d in days if not d.whole], whole[done:]
        with self._pool(len(whole_rest)) as pool:
            known = list(pool.map(lambda d: None if from_scratch else d.known(p, shelf), whole_rest))
        rest = [(d, d.files) for d in cut] + [(d, d.beyond(k)) for d, k in zip(whole_rest, known, strict=True)]
        tasks = self._day_tasks(rest)
        partials, failed = self.answer(tasks, [f for _, files in rest for f in files], None) if tasks else ([], {})
        first = [] if span is None else [span]
        kept = [*first, *(found for found in known if found is not None)]
        cached = sum(len(found.coverage.rows) for found in kept)
        if failed:
            return conclude(p, tasks, [*kept, *partials], failed, cached)
        new: dict[int, list[Partial]] = {}
        for q in partials:
            new.setdefault(_first_day(q.task), []).append(q)
        at = [n for n in _worth_keeping([d.last for d in whole], done) if n < len(whole)]
        merged, puts = first, []
        for n, (day, found) in enumerate(zip(whole_rest, known, strict=True), done + 1):
            mine = [*([] if found is None else [found]), *new.get(day.first, [])]
            if mine and (day.first in new or day.contents[-1] not in shelf):
                mine = [together(p, mine, day.contents[-1])]
                puts.append((shelf, day, mine[0]))
            merged = merged + mine
            if spans is not None and n in at and n >= done + SPAN:
                merged = [together(p, merged, chain[n - 1])]
                puts.append((spans, day, merged[0]))
        result = conclude(p, tasks, [*merged, *(q for d in cut for q in new.get(d.first, []))], failed, cached)
        with self._pool(len(puts)) as pool:
            list(pool.map(lambda put: put[0].put(put[1].first, put[1].last, put[2].task, packed(put[2])), puts))
        for touched in {id(put[0]): put[0] for put in puts}.values():
            touched.tidy(thin=touched is spans)
        return result

    def _day_tasks(self, days: Sequence[tuple[Days, Sequence[FileEntry]]]) -> list[Task]:
        """Tasks of one run of days each, with fewer shards for more days, but at least twice as many as workers."""
        total = sum(f.rows for _, files in days for f in files)
        tasks = []
        for day, files in days:
            if files:
                workers = -(-2 * self.workers * sum(f.rows for f in files) // max(1, total))
                part = make_tasks(replace(self.prepared, files=tuple(files)), self.url, min(workers, self.workers))
                tasks += [replace(t, id=f"{day.first}.{t.id}") for t in part]
        return tasks

    def _pool(self, work: int) -> Helpers:
        return Helpers(max(1, min(self.objects.at_once, work)), "antfold-cache")

    # ---- plans that read a key's rows in order

    def _by_prefix(self) -> Result:
        if self.standing is not None:
            stood = self.standing.partials(self.prepared, self._family(*self._prefix()), self._tasks)
            if stood is not None:
                return conclude(self.prepared, stood, stood, {}, self.standing.files_kept)
        groups, chain, usable, shelf = self._groups()
        starts: list[Checkpoint] = []
        shards: list[tuple[int, int]] = []
        begun = ""
        for n in range(usable, 0, -1):
            if chain[n - 1] in shelf and (found := _taken(shelf.get(chain[n - 1]), groups[:n])):
                shards, starts, begun = [s for s, _ in found], [c for _, c in found], chain[n - 1]
                break
        if self.worth is not None:
            self.worth.begun_with(shelf.folder, begun)
        if self.standing is not None:
            done = starts[0].groups if starts else 0
            kept = sum(len(start.arrays["keys.words"]) for start in starts)
            self.standing.was_read(sum(f.rows for g in groups[done:] for f in g) + _STATE * kept)
        if starts:
            with suppress(FormatError):
                result = self._run_on(groups, chain, usable, shelf, shards, starts)
                if not isinstance(result, PartialResult):
                    return result
        return self._run_on(groups, chain, usable, shelf, [], [])

    def _tasks(self) -> list[Task]:
        return make_tasks(self.prepared, self.url, self.workers)

    def _run_on(
        self,
        groups: Sequence[Sequence[FileEntry]],
        chain: Sequence[str],
        usable: int,
        shelf: Shelf,
        shards: Sequence[tuple[int, int]],
        starts: Sequence[Checkpoint],
    ) -> Result:
        p = self.prepared
        tasks = self._tasks()
        if starts:
            tasks = [replace(tasks[0], id=f"0.{j}", shard=shard) for j, shard in enumerate(shards)]
        done = starts[0].groups if starts else 0
        ends = [max(map(last_day, g)) for g in groups[:usable]]
        at = _worth_keeping(ends, done)
        if self.worth is not None and at[-1:] == [len(ends)]:
            if self.worth.is_due(shelf.folder):
                self.worth.saved(shelf.folder, chain[len(ends) - 1])
            else:
                at.pop()
        most = LARGEST_STATE // len(tasks)
        saving = {t.id: Checkpoints(starts[j] if starts else None, at, most) for j, t in enumerate(tasks)}
        partials, failed = self.answer(tasks, [f for g in groups[done:] for f in g], saving)
        result = conclude(p, tasks, partials, failed, sum(len(g) for g in groups[:done]))
        if at and not failed:
            for n in (n for n in at if all(n in saving[t.id].taken for t in tasks)):
                state = _bound([(t.shard, saving[t.id].taken[n]) for t in tasks])
                shelf.put(ends[n - 1], ends[n - 1], chain[n - 1], state)
            shelf.tidy(thin=True)
        return result


def _described(stream: str, schema: StreamSchema, plan: Plan) -> list[object]:
    """What states depend on of a stream's schema."""
    read = set(plan.columns)
    if plan.inputs:
        read = {own for i in plan.inputs if i.stream == stream for _, own, _ in i.columns}
    types = dict(schema.columns) if schema.duplicates == "exact" else {c: schema.columns[c] for c in read}
    if schema.id is not None and schema.id in schema.columns:
        types[schema.id] = schema.columns[schema.id]
    return [schema.key, schema.key_type, schema.time, sorted(types.items()), schema.duplicates, schema.id]


def _first_day(task: str) -> int:
    """The first day of a task of ``_day_tasks``."""
    return int(task.partition(".")[0])


def _zones(graph: object) -> list[str]:
    """The rules of the time zones in a graph, which legislators may change."""
    out = []
    for zone in sorted(set(values_of(graph, "zone"))):
        # A column of a reference table may have this name, too.
        with suppress(DataflowError):
            out.append(digest(zone_rules(zone)))
    return out


def _usable(groups: Sequence[Sequence[FileEntry]], p: Prepared) -> int:
    """The number of leading groups that the end of the range does not cut, so their state is independent of it."""
    if p.until <= p.since or any(stage.sink.cuts_at_end for stage in p.plan.stages):
        return 0
    return next((n for n, g in enumerate(groups) if max(f.t_max for f in g) >= p.until), len(groups))


def _worth_keeping(days: Sequence[int], done: int) -> list[int]:
    """After how many groups of these ``days`` to cache a checkpoint: all, and those up to some days before the last."""
    if not days:
        return []
    at = {len(days)}
    for back in _BACK:
        at.add(sum(d <= days[-1] - back for d in days))
    return sorted(n for n in at if n > done)


def _bound(states: Sequence[tuple[tuple[int, int], bytes]]) -> bytes:
    """The states of all shards as one object."""
    arrays = {f"state.{j}": np.frombuffer(data, np.uint8) for j, (_, data) in enumerate(states)}
    return state_bytes.sealed(_MAGIC, {"shards": [list(shard) for shard, _ in states]}, arrays)


def _taken(data: bytes | None, groups: Sequence[Sequence[FileEntry]]) -> list[tuple[tuple[int, int], Checkpoint]]:
    """The states of all shards after these groups, with the coverage of their files; empty if they do not fit."""
    if data is None:
        return []
    try:
        head, arrays = state_bytes.unsealed(_MAGIC, data, "a cached state")
        states = [unpack(arrays[f"state.{j}"].tobytes()) for j in range(len(head["shards"]))]
        shards = [(int(lo), int(hi)) for lo, hi in head["shards"]]
    except (FormatError, ValueError, KeyError, TypeError):
        return []
    rows = {f.path: f.rows for g in groups for f in g}
    if not covers([c.coverage for c in states], sum(rows.values())):
        return []
    # How many of a file's rows are in each shard is not known without opening it; in all shards together it is.
    rows_of = [rows, *(dict.fromkeys(rows, 0) for _ in states[1:])]
    states = [c.of_files(of, len(groups)) for c, of in zip(states, rows_of, strict=True)]
    return list(zip(shards, states, strict=True))
