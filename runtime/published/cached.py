"""Runs a published query over what earlier runs have left, and leaves what the next one can use.

Two kinds of plan are kept in two ways, both exact. Where rows need nothing before them, partial states merge in any
order: one is kept for every day whose files lie in the range, whatever the range, and only files that are new to their
day are read. Where they do (a state lasts, a session goes on), the whole state of the run is kept after the groups of
files that it has read (``runtime.query.checkpoint``), for the same start of the range; a run goes on from the latest
whose files are the first ones of its own. A file that comes late, among those, makes it go on from an earlier one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import groupby

import numpy as np

from dataflow.plan import Group
from operators.errors import DataflowError
from runtime.catalogue import FileEntry
from runtime.errors import FormatError
from runtime.objects import ObjectStore
from runtime.proof import digest
from runtime.published.definition import antfold_version
from runtime.published.shelf import Shelf, contents
from runtime.query import wire
from runtime.query.checkpoint import Checkpoint, Checkpoints, unpack
from runtime.query.execute import Prepared, conclude, make_tasks
from runtime.query.merge import merge_states
from runtime.query.scan import Coverage, scan_order
from runtime.query.table import joined
from runtime.query.task import Partial, Saving, Task
from runtime.result import Result

_FORM = 1
"""Of what is kept: another one for every change to what states mean."""

_BACK = (1, 2, 4, 8, 16, 32)
"""Days before the last one after which a state is kept as well, for files that come late."""

_MAGIC = b"ANTKEPT1"

Answered = tuple[list[Partial], dict[str, DataflowError]]
Savings = Mapping[str, Saving] | None
Answer = Callable[[Sequence[Task], Sequence[FileEntry], Savings], Answered]
"""Runs tasks (one at least), which read these files: what they came to, and which failed."""


@dataclass(frozen=True)
class Cached:
    """How a published query is asked: ``query`` is its digest, ``url`` the store's for workers, ``here`` whether tasks
    run in this process, where a state can be taken in the midst of one."""

    prepared: Prepared
    objects: ObjectStore
    query: str
    answer: Answer
    url: str
    workers: int
    here: bool

    def result(self) -> Result:
        """The result."""
        if self.prepared.files and self.prepared.plan.sliceable:
            return self._by_day()
        if self.prepared.files and self.here:
            return self._by_prefix()
        tasks = make_tasks(self.prepared, self.url, self.workers)
        return conclude(self.prepared, tasks, *self.answer(tasks, self.prepared.files, None))

    def _shelf(self, *more: object) -> Shelf:
        p, schema = self.prepared, self.prepared.schema
        types = dict(schema.columns) if schema.duplicates == "exact" else {c: schema.columns[c] for c in p.plan.columns}
        if schema.id is not None:
            types[schema.id] = schema.columns[schema.id]
        family = [
            _FORM,
            antfold_version(),
            p.graph,
            p.params,
            [k.digest for k in p.compiled.kernels],
            [schema.key, schema.key_type, schema.time, sorted(types.items()), schema.duplicates, schema.id],
            *more,
        ]
        text = json.dumps(family, sort_keys=True, separators=(",", ":"), default=str)
        return Shelf(self.objects, self.query[:40], digest(text.encode())[:40])

    # ---- rows that need nothing before them

    def _by_day(self) -> Result:
        p = self.prepared
        shelf = self._shelf("days")
        days = [_Day.of(p, day, tuple(files)) for day, files in groupby(_in_order(p.files), key=lambda f: f.day)]
        with ThreadPoolExecutor(max(1, min(self.objects.at_once, len(days)))) as pool:
            known = list(pool.map(lambda d: d.known(p, shelf), days))
        tasks: list[Task] = []
        fresh: list[FileEntry] = []
        for day, found in zip(days, known, strict=True):
            if rest := day.beyond(found):
                part = make_tasks(replace(p, files=rest), self.url, self.workers)
                fresh += rest
                tasks += [replace(t, id=f"{day.day}.{t.id}") for t in part]
        partials, failed = self.answer(tasks, fresh, None) if tasks else ([], {})
        kept = [found for found in known if found is not None]
        cached = sum(len(found.coverage.rows) for found in kept)
        result = conclude(p, tasks, [*kept, *partials], failed, cached)
        if tasks and not failed:
            day_of = {t.id: t.files[0].day for t in tasks}
            for day, found in zip(days, known, strict=True):
                new = [q for q in partials if day_of[q.task] == day.day]
                if new and day.whole:
                    state = _together(p, [*([found] if found else []), *new], day.contents[-1])
                    shelf.put(day.day, day.contents[-1], wire.pack(state))
            shelf.tidy(thin=False)
        return result

    # ---- rows that do

    def _by_prefix(self) -> Result:
        p = self.prepared
        groups = scan_order(p.files, p.schema.id)
        chain = contents(groups)
        ends = np.maximum.accumulate([max(f.t_max for f in g) for g in groups])
        # A state must not know of the end of the range: what lies at or beyond it was cut.
        usable = int(np.searchsorted(ends, p.until, side="left")) if p.until > p.since else 0
        first = min(p.since, *(f.t_min for f in p.files))
        shelf = self._shelf("prefix", p.since, p.history, first)
        starts: list[Checkpoint] = []
        shards: list[tuple[int, int]] = []
        for n in range(usable, 0, -1):
            if chain[n - 1] in shelf and (found := _taken(shelf.get(chain[n - 1]), groups[:n])):
                shards, starts = [s for s, _ in found], [c for _, c in found]
                break
        try:
            return self._run_on(groups, chain, usable, shelf, shards, starts)
        except FormatError:
            if not starts:
                raise
            return self._run_on(groups, chain, usable, shelf, [], [])

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
        tasks = make_tasks(p, self.url, self.workers)
        if starts:
            tasks = [replace(tasks[0], id=f"0.{j}", shard=shard) for j, shard in enumerate(shards)]
        done = starts[0].groups if starts else 0
        at = _worth_keeping([g[0].day for g in groups[:usable]], done)
        saving = {t.id: Checkpoints(starts[j] if starts else None, at) for j, t in enumerate(tasks)}
        partials, failed = self.answer(tasks, [f for g in groups[done:] for f in g], saving)
        result = conclude(p, tasks, partials, failed, sum(len(g) for g in groups[:done]))
        if at and not failed:
            for n in at:
                state = _bound([(t.shard, saving[t.id].taken[n]) for t in tasks])
                shelf.put(groups[n - 1][0].day, chain[n - 1], state)
            shelf.tidy(thin=True)
        return result


@dataclass(frozen=True)
class _Day:
    """The files of one UTC day, in groups; ``whole``: all of their rows lie in the range."""

    day: int
    groups: tuple[tuple[FileEntry, ...], ...]
    contents: tuple[str, ...]
    whole: bool

    @classmethod
    def of(cls, p: Prepared, day: int, files: tuple[FileEntry, ...]) -> _Day:
        # Where no row has to do with another, neither do files, and one that comes late comes last.
        groups = [(f,) for f in files] if _unordered(p) else scan_order(files, p.schema.id)
        whole = all(p.since <= f.t_min and f.t_max < p.until for f in files)
        return cls(day, tuple(groups), tuple(contents(groups)), whole)

    def known(self, p: Prepared, shelf: Shelf) -> Partial | None:
        """What is kept of as many of its groups as can be."""
        if not self.whole:
            return None
        for n in range(len(self.groups), 0, -1):
            content = self.contents[n - 1]
            if content in shelf and (found := _partial(shelf.get(content), content, self.groups[:n], p)):
                return found
        return None

    def beyond(self, known: Partial | None) -> tuple[FileEntry, ...]:
        """The files that are still to be read."""
        rows = {} if known is None else known.coverage.rows
        return tuple(f for g in self.groups for f in g if f.path not in rows)


def _in_order(files: Iterable[FileEntry]) -> list[FileEntry]:
    return sorted(files, key=lambda f: (f.day, f.seq, f.ordinal))


def _unordered(p: Prepared) -> bool:
    """Whether the rows of files that overlap may be folded file by file: none is a repeat, none comes first."""
    sink = p.plan.stages[-1].sink
    plain = p.schema.duplicates == "keep" and p.schema.id is None
    return plain and isinstance(sink, Group) and not any(a.aggregate.flags.ordered for a in sink.aggs)


def _covers(coverage: Iterable[Coverage], groups: Iterable[Iterable[FileEntry]]) -> bool:
    """Whether these are all rows of these files, and of no others."""
    rows: dict[str, int] = {}
    for c in coverage:
        for path, n in c.rows.items():
            rows[path] = rows.get(path, 0) + n
    return rows == {f.path: f.rows for g in groups for f in g}


def _partial(data: bytes | None, content: str, groups: Sequence[Sequence[FileEntry]], p: Prepared) -> Partial | None:
    if data is None:
        return None
    try:
        found = wire.unpack(data, content)
    except (FormatError, ValueError, KeyError, TypeError):
        return None
    kernels = tuple(k.digest for k in p.compiled.kernels)
    return found if _covers([found.coverage], groups) and found.kernels == kernels else None


def _together(p: Prepared, partials: Sequence[Partial], content: str) -> Partial:
    """One partial state of several, under the name of their files."""
    coverage = Coverage()
    for q in partials:
        for path, rows in q.coverage.rows.items():
            coverage.rows[path] = coverage.rows.get(path, 0) + rows
        coverage.skipped += q.coverage.skipped
        coverage.dropped += q.coverage.dropped
        coverage.bytes += q.coverage.bytes
    sink = p.plan.stages[-1].sink
    if isinstance(sink, Group):
        states = [q.groups for q in partials if q.groups is not None]
        return Partial(content, merge_states(sink, states), None, coverage, partials[0].kernels)
    table = joined([q.table for q in partials if q.table is not None]).compact()
    return Partial(content, None, table, coverage, partials[0].kernels)


def _worth_keeping(days: Sequence[int], done: int) -> list[int]:
    """After how many of the groups of these ``days`` to keep a state: all, and those of some days before the last."""
    if not days:
        return []
    at = {len(days)}
    for back in _BACK:
        at.add(sum(d <= days[-1] - back for d in days))
    return sorted(n for n in at if n > done)


def _bound(states: Sequence[tuple[tuple[int, int], bytes]]) -> bytes:
    """The states of all shards as one."""
    arrays = {f"state.{j}": np.frombuffer(data, np.uint8) for j, (_, data) in enumerate(states)}
    return wire.sealed(_MAGIC, {"shards": [list(shard) for shard, _ in states]}, arrays)


def _taken(data: bytes | None, groups: Sequence[Sequence[FileEntry]]) -> list[tuple[tuple[int, int], Checkpoint]]:
    """The states of all shards after these groups; none if they are not that."""
    if data is None:
        return []
    try:
        head, arrays = wire.unsealed(_MAGIC, data, "a kept state")
        states = [unpack(arrays[f"state.{j}"].tobytes()) for j in range(len(head["shards"]))]
        shards = [(int(lo), int(hi)) for lo, hi in head["shards"]]
        covered = [Coverage(**c.head["coverage"]) for c in states]
    except (FormatError, ValueError, KeyError, TypeError):
        return []
    if any(c.groups != len(groups) for c in states) or not _covers(covered, groups):
        return []
    return list(zip(shards, states, strict=True))
