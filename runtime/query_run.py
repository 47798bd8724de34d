"""One query, wherever it runs: on threads, an executor or a fleet, from cached states, or in parts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from dataflow.metrics.inner_answers import has_inner, streams_in
from dataflow.metrics.json_form import to_dict
from runtime.catalogue import FileEntry
from runtime.errors import QueryError
from runtime.progress import Progress
from runtime.provenance.explain_row import Asked
from runtime.query.carry.carrying import with_carry_in
from runtime.query.execute import answered
from runtime.query.merge.conclude import conclude
from runtime.query.merge.spilling import Spill, spilling
from runtime.query.plan.make_tasks import default_workers, make_tasks
from runtime.query.plan.number_texts import prepare_or_explain
from runtime.query.plan.other_key import other_key
from runtime.query.plan.prepare import Prepared, Request, Snapshots
from runtime.query.task.task import Task
from runtime.result.proof import digest
from runtime.result.result import Result
from runtime.storage.open_store import OpenStore

# Imported where they are used: a query on threads starts faster without.
if TYPE_CHECKING:
    from runtime.fleet import Fleet
    from runtime.published import Published
    from runtime.published.incremental import Answered, Savings
    from runtime.published.standing_run import StandingRun
    from runtime.published.worth_saving import WorthSaving


@dataclass
class QueryRun:
    """How a query runs: ``store`` is asked, by ``run_by`` (None: threads of this process) and ``workers``, if given.

    ``url`` is the store's for workers of a fleet. ``left`` is what the query may still cost, in dollars; None without
    limit. ``query`` is the digest of a query of which partial states are kept, ``published`` a published one; ``worth``
    says which states, of a query that is asked again and again, and ``standing`` is its run in memory.
    """

    store: OpenStore
    url: str
    run_by: Executor | Fleet | None
    workers: int | None
    progress: Progress
    allow_partial: bool = False
    left: float | None = None
    query: str | None = None
    published: Published | None = None
    worth: WorthSaving | None = None
    standing: StandingRun | None = None

    def of_published(self, named: Published, keeps: bool) -> QueryRun:
        """The same for a published query, of which partial states are kept, or not."""
        return replace(self, published=named, query=named.digest if keeps else None)

    def keeping(self, request: Request) -> QueryRun:
        """The same for a query that is asked again and again: its partial states are kept like those of a published
        one, and go an hour after the last was written."""
        from runtime.published.standing_run import StandingRun
        from runtime.published.worth_saving import WorthSaving

        standing = None
        if not has_inner(request.steps):  # of several metrics each would need its own
            catalogue, stream = self.store.catalogue, next(iter(streams_in(request.steps)))
            standing = StandingRun(lambda seq: catalogue.records(stream, seq), self.store.open_file)
        run = replace(self, worth=WorthSaving(), standing=standing)
        if self.query is not None:
            return run
        graph = json.dumps(to_dict(request.steps), sort_keys=True, default=str)
        return replace(run, query=digest(b"followed", graph.encode()))

    def result(self, request: Request) -> Result:
        """The answer."""
        if not has_inner(request.steps):
            return self._asked(request, self.store.catalogue, False)
        from runtime.query.parts.whole import whole

        return whole(self.store.catalogue, request, self._asked)

    def _asked(self, request: Request, catalogue: Snapshots, is_part: bool) -> Result:
        """The answer of a metric without others inside it, which may be a part of one."""
        # An answer that lacks rows would be a wrong table, not a partial result.
        partial = self.allow_partial and not is_part
        if (key := other_key(request.steps)) is not None:
            if self.run_by is not None:
                raise QueryError(
                    f"key_by({key.key!r}) sorts points in a folder of this machine: run it here, without executor="
                )
            from runtime.points.keyed_points import by_other_key

            return by_other_key(self.store, catalogue, request, self._count, self.progress, partial)
        prepared = prepare_or_explain(catalogue, request, self.store.open_file)
        if self.published is not None:
            from runtime.published.publishing import have_own_kernels

            have_own_kernels(self.store, self.published, prepared.plan)
        is_fleet = not (self.run_by is None or isinstance(self.run_by, Executor))
        if self.query is not None and not is_fleet:
            # Checkpoints are of runs from the start.
            result = self._run(prepared, partial)
        else:
            # To make a snapshot is work for one machine, for which a fleet's data may be too large.
            result = with_carry_in(
                self.store, prepared, self._count, not is_fleet, lambda carried: self._run(carried, partial)
            )
        result.asked = Asked(self.store, request.steps, prepared)
        return result

    @property
    def _count(self) -> int:
        return self.workers or default_workers()

    def _run(self, prepared: Prepared, partial: bool) -> Result:
        if not (self.run_by is None or isinstance(self.run_by, Executor)):
            return self._on_fleet(self.run_by, prepared, partial)

        def answer(
            tasks: Sequence[Task], files: Sequence[FileEntry], saving: Savings = None, spill: Spill | None = None
        ) -> Answered:
            if isinstance(self.run_by, Executor):
                from runtime.fleet.executor_query import answered_by

                return answered_by(self.run_by, prepared, tasks, self.progress, partial)
            with self.store.opened.ahead(files):
                return answered(
                    prepared, tasks, self.store.open_file, workers=self._count, progress=self.progress,
                    allow_partial=partial, saving=saving, spill=spill,
                )  # fmt: skip

        here = self.run_by is None
        if self.query is not None:
            from runtime.published.incremental import Cached

            store = self.store
            return Cached(
                prepared, store.objects, self.query, answer, store.url, self._count, here, self.worth, self.standing
            ).result()
        tasks = make_tasks(prepared, self.store.url, self._count)
        # Groups that a failed task has written to disk could not be separated from those of others.
        with spilling(prepared.plan, len(tasks), here and not partial) as spill:
            return conclude(prepared, tasks, *answer(tasks, prepared.files, spill=spill), spent=True, spill=spill)

    def _on_fleet(self, fleet: Fleet, prepared: Prepared, partial: bool) -> Result:
        from runtime.fleet.fleet_query import check_answers, check_budget, execute_on, fleet_tasks

        check_answers(prepared)
        tasks = fleet_tasks(prepared, self.url, self.workers)
        objects = self.store.objects
        check_budget(fleet, prepared, tasks, objects, self.left)
        result = execute_on(fleet, prepared, tasks, objects, self.progress, partial, self.store.signing())
        if self.left is not None and result.cost is not None:
            self.left = max(0.0, self.left - result.cost.dollars)
        return result
