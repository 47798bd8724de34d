"""`QueriedStore`: what can be asked of a store, and under which names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from typing import TYPE_CHECKING

from operators.nearest import meant
from runtime.catalogue.items.entries import stream_of
from runtime.errors import QueryError
from runtime.moments import Moment, microseconds
from runtime.storage.replaced_files import of_present_files
from runtime.upkeep.kept_store import KeptStore

# Methods import planning and results on demand: a worker only opens files and starts faster without them.
if TYPE_CHECKING:
    from dataflow.language.stream import Stream
    from dataflow.language.triggers import Trigger
    from runtime.fleet import Fleet
    from runtime.objects.object_store import ObjectInfo
    from runtime.progress import Progress
    from runtime.published import Published
    from runtime.query.parts.whole import PlannedPart
    from runtime.query.plan.prepare import Prepared, Request, Snapshots
    from runtime.query_run import QueryRun
    from runtime.result.result import Result


class QueriedStore(KeptStore):
    """The part of ``Store`` that answers: queries, published ones too, and their plans."""

    @of_present_files
    def query(
        self,
        metric: Stream | str,
        since: Moment | None = None,
        until: Moment | None = None,
        params: Mapping[str, object] | None = None,
        executor: Executor | Fleet | str | None = None,
        workers: int | None = None,
        progress: bool | Progress = True,
        allow_partial: bool = False,
        budget: float | None = None,
        cache: bool | None = None,
        below_floor: bool = False,
    ) -> Result:
        """Run a metric, or the published query of that name ("uptime", "uptime@3"), over [since, until); by default
        over the whole stream.

        ``executor``: None or "threads" for this machine's cores (``workers`` of them); any
        ``concurrent.futures.Executor``, on which crashed tasks are repeated; a ``runtime.fleet.Fleet``; or "lambda",
        the fleet of the AWS Lambda function ``antfold-worker`` ("lambda:NAME" for another), with a number of tasks that
        depends on the bytes to read. Above 500 tasks, relays distribute them: invocations of ``antfold-query``
        (NAME-query for NAME-worker). More than 1,000 run at once only if ``workers`` says so. With ``allow_partial``,
        failed tasks are omitted and a ``PartialResult`` lists them; otherwise the first failure is raised. A fleet
        query whose estimated cost exceeds ``budget`` dollars raises ``BudgetExceeded`` before anything is invoked;
        ``result.cost`` holds the actual cost.

        Where earlier points are retired (``retain``), a range that begins before that, or a metric that looks back to
        them, is an error, unless ``below_floor``: then the points that are left are all that there is.

        A published query caches its partial states unless ``cache`` is False. The next run reads only new files
        (``proof.files_cached`` counts the others) and returns the same bits. If the metric needs a key's rows in order,
        only threads cache.
        """
        if cache and not isinstance(metric, str):
            raise QueryError("cache=True is for published queries: publish the metric and query it by name")
        run = self._query_run(executor, workers, progress, allow_partial, budget)
        if not isinstance(metric, str):
            return run.result(self._request(metric, since, until, params, below_floor))
        named = self._named(metric)
        request = self._request(named.metric, since, until, named.params(params), below_floor)
        return run.of_published(named, cache is not False).result(request)

    def _named(self, name: str) -> Published:
        """The published query of this name, with the kernels of a process that compiles nothing."""
        from runtime.published.publishing import have_kernels

        named = self.published(name)
        have_kernels(self, named)
        return named

    def _query_run(
        self,
        executor: Executor | Fleet | str | None = None,
        workers: int | None = None,
        progress: bool | Progress = False,
        allow_partial: bool = False,
        budget: float | None = None,
    ) -> QueryRun:
        """How a query runs; QueryError for an option that is wrong."""
        from runtime.query_run import QueryRun

        if workers is not None and (isinstance(workers, bool) or not isinstance(workers, int) or workers < 1):
            raise QueryError(f"workers must be at least 1, got {workers!r}")
        run_by = self._executor(executor, workers)
        return QueryRun(self, self._location.worker_url, run_by, workers, progress_of(progress), allow_partial, budget)

    def unread(
        self,
        name: str,
        since: Moment | None = None,
        until: Moment | None = None,
        params: Mapping[str, object] | None = None,
        below_floor: bool = False,
    ) -> int:
        """Bytes of point files that ``query`` would read for a published query on this machine's cores: those without a
        cached state."""
        from runtime.published.incremental import CachedRun
        from runtime.published.publishing import have_own_kernels
        from runtime.query.plan.number_texts import prepare_or_explain

        named = self._named(name)
        request = self._request(named.metric, since, until, named.params(params), below_floor)
        snapshots, request, parts = self._planned(request)
        plans = [*(part.prepared for part in parts), prepare_or_explain(snapshots, request, self.open_file)]
        for prepared in plans:
            have_own_kernels(self, named, prepared.plan)
        return sum(CachedRun(prepared, self.objects, named.digest).unread() for prepared in plans)

    def publish(
        self,
        metric: Stream,
        name: str,
        description: str | None = None,
        defaults: Mapping[str, object] | None = None,
        targets: Sequence[str] = (),
        trigger: Trigger | None = None,
    ) -> Published:
        """Publish the metric as the next version of the query ``name``, signed if there is a signing key.

        ``description`` is a text for its users; None keeps that of the previous version. ``defaults`` replace the
        defaults of its parameters. ``targets`` are the architectures ("x86_64", "arm64") of workers that compile
        nothing: kernels for them are stored. ``trigger`` (``dataflow.trigger``) says when those who follow the query by
        its name emit, unless they name another; None keeps that of the previous version. If the latest version is
        identical, it is returned. QueryError for an invalid name, a metric that does not fit its stream, or one with
        user-defined code.
        """
        from runtime.published.publishing import publish

        return publish(self, metric, name, description, defaults, targets, trigger)

    def published(self, name: str) -> Published:
        """The published query ``name`` (its latest version) or ``name@3``; with a ``signer`` its signature is checked.

        QueryError if there is none, FormatError if it was altered.
        """
        from runtime.published import versions

        try:
            return versions.find(self.objects, name, self.signing())
        except QueryError:
            self._be_there()
            raise

    def queries(self, name: str | None = None) -> list[Published]:
        """The latest version of every published query, by name; or all versions of one.

        Signatures are checked when a query runs, not here: one unsigned query must not hide the others.
        """
        from runtime.published import versions

        try:
            found = versions.latest(self.objects) if name is None else versions.versions(self.objects, name)
        except QueryError:
            self._be_there()
            raise
        if not found:
            self._be_there()
        return found

    def kept_of(self, stream: str) -> tuple[list[ObjectInfo], list[ObjectInfo]]:
        """See ``KeptStore``; those of published queries that read only other streams are not among
        them."""
        from runtime.published import versions
        from runtime.published.state_cache import named_in_cache

        others: set[str] = set()
        mine: set[str] = set()
        for latest in versions.latest(self.objects):
            for found in versions.versions(self.objects, latest.name):
                folders = {f"cache/{named_in_cache(found.digest)}/", f"results/{found.name}/"}
                (mine if stream in found.streams else others).update(folders)
        states, answers = super().kept_of(stream)

        def of_it(info: ObjectInfo) -> bool:
            folder = "/".join(info.path.split("/")[:2]) + "/"
            return folder in mine or folder not in others

        return [info for info in states if of_it(info)], [info for info in answers if of_it(info)]

    def tidy_caches(self) -> list[str]:
        """See ``KeptStore``."""
        from runtime.published.publishing import tidy_caches

        return tidy_caches(self)

    def _be_there(self) -> None:
        """StoreError if there is no store here, rather than an error about something missing in it."""
        self.catalogue.streams()

    def _executor(self, executor: Executor | Fleet | str | None, workers: int | None) -> Executor | Fleet | None:
        """What runs the tasks; None for threads of this process."""
        if executor is None or isinstance(executor, Executor):
            return executor
        if not isinstance(executor, str):
            if not hasattr(executor, "invoke"):
                raise QueryError(
                    f"an executor is 'threads', 'lambda' or a concurrent.futures.Executor, got {executor!r}"
                )
            return executor
        kind, _, function = executor.partition(":")
        if executor == "threads":
            return None
        if kind != "lambda":
            raise QueryError(
                f"there is no executor {executor!r}; {meant(kind, ('threads', 'lambda'), 'use')} 'threads', 'lambda', "
                "or a concurrent.futures.Executor"
            )
        from runtime.fleet.aws_lambda import lambda_fleet

        access = self._location.access
        if access is None:
            raise QueryError(f"workers on Lambda cannot see the folder {self.url}: use a store at s3://")
        return lambda_fleet(access, function, workers)

    @of_present_files
    def explain(
        self,
        metric: Stream | str,
        since: Moment | None = None,
        until: Moment | None = None,
        params: Mapping[str, object] | None = None,
        workers: int | None = None,
        fleet: int | None = None,
        warm: bool = True,
        below_floor: bool = False,
    ) -> str:
        """Describe the plan: steps, kernels, columns and files to read, tasks, laws. Nothing is run.

        ``fleet`` adds the simulated duration and cost on that many AWS Lambda workers
        (``runtime.fleet.simulation.model``), ``warm`` or all new. A published query is named as for ``query``; cached
        states are ignored. ``below_floor``: as for ``query``.
        """
        from textwrap import indent

        from runtime.query.carry.carrying import carried_in
        from runtime.query.plan.explain_plan import explain
        from runtime.query.plan.make_tasks import default_workers, make_tasks
        from runtime.query.plan.number_texts import prepare_or_explain

        if isinstance(metric, str):
            named = self.published(metric)
            metric, params = named.metric, named.params(params)
        count = default_workers() if workers is None else workers
        request = self._request(metric, since, until, params, below_floor)
        if fleet is not None and (isinstance(fleet, bool) or fleet < 1):
            raise QueryError(f"fleet must be at least 1 worker, got {fleet!r}")

        def explained(prepared: Prepared) -> str:
            prepared = carried_in(self, prepared, count, make=False)

            def left() -> int:
                from runtime.upkeep.files_left import files_left

                files = prepared.point_files
                return sum(files_left([f for f in files if stream_of(f.path) == name]) for name in prepared.schemas)

            text = explain(prepared, make_tasks(prepared, self.url, count), count, self.objects, left)
            if fleet is None:
                return text
            from runtime.fleet.forecast_text import forecast_text

            return f"{text}\n{forecast_text(prepared, self.url, self.objects, fleet, warm, left)}"

        snapshots, request, parts = self._planned(request)
        texts = [explained(prepare_or_explain(snapshots, request, self.open_file))]
        texts += [
            f"the metric in {part.step}, which runs first\n{indent(explained(part.prepared), '  ')}" for part in parts
        ]
        return "\n".join(texts)

    def _planned(self, request: Request) -> tuple[Snapshots, Request, list[PlannedPart]]:
        """See ``runtime.query.parts.whole.planned``."""
        from dataflow.metrics.inner_answers import has_inner
        from runtime.query.parts.whole import planned
        from runtime.query.plan.number_texts import prepare_or_explain
        from runtime.query.plan.other_key import with_other_key

        if not has_inner(request.steps):
            return *with_other_key(self.catalogue, request), []

        def prepared(moment: Snapshots, part: Request) -> Prepared:
            return prepare_or_explain(*with_other_key(moment, part), self.open_file)

        snapshots, request, parts = planned(self.catalogue, request, prepared)
        return *with_other_key(snapshots, request), parts

    def _request(
        self,
        metric: Stream,
        since: Moment | None,
        until: Moment | None,
        params: Mapping[str, object] | None,
        below_floor: bool = False,
    ) -> Request:
        from dataflow.language.stream import Stream
        from dataflow.metrics.settled import settled
        from dataflow.values.mistaken import shown
        from runtime.query.plan.prepare import Request

        if not isinstance(metric, Stream):
            raise QueryError(f"a metric is a stream with steps (df.stream(...).agg(...)), got {shown(metric)}")
        if params is not None and not isinstance(params, Mapping):
            raise QueryError(f"params are a mapping of names to values, such as {{'above': 25}}, got {shown(params)}")
        span = microseconds(since, "since"), microseconds(until, "until")
        return Request(*settled(metric.steps, dict(params or {})), *span, below_floor)


def progress_of(flag: bool | Progress) -> Progress:
    """What shows progress, if anything is to."""
    from runtime.progress import progress_for

    return progress_for(flag) if isinstance(flag, bool) else flag
