"""`Store`, the public entry point: ingests points into a folder or S3 and queries them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal, Unpack, overload

from operators.nearest import meant
from runtime.catalogue import StreamSchema
from runtime.catalogue.items.entries import stream_of
from runtime.errors import QueryError
from runtime.moments import Moment, microseconds
from runtime.storage.replaced_files import of_present_files
from runtime.upkeep.kept_store import KeptStore

# Methods import planning and results on demand: a worker only opens files and starts faster without them.
if TYPE_CHECKING:
    from dataflow.language.stream import Stream
    from runtime.fleet import Fleet
    from runtime.ingest import IngestReport, Rejected
    from runtime.ingest.inputs.inputs import FileInput
    from runtime.ingest.inputs.reading import ReadingOptions
    from runtime.ingest.report import SourceReport
    from runtime.live import CurrentAnswer, RowChange
    from runtime.live.chains import Position
    from runtime.live.following import Follower, FollowOptions
    from runtime.live.watching import Watched
    from runtime.objects.object_store import ObjectInfo
    from runtime.points.describe_points import StreamSummary
    from runtime.points.export_points import ExportReport
    from runtime.progress import Progress
    from runtime.published import Published
    from runtime.query.parts.whole import PlannedPart
    from runtime.query.plan.prepare import Prepared, Request, Snapshots
    from runtime.query_run import QueryRun
    from runtime.recovery.recover import RecoverReport
    from runtime.result.result import Result
    from runtime.storage.verify_store import VerifyReport


@dataclass(frozen=True)
class StreamInfo:
    """Summary of one stream in a store; times are microseconds UTC, None while there are no points.

    ``days`` is the number of UTC days that its files cover, each from its first to its last point. ``bytes`` and
    ``files`` are with what is carried in at the floor.
    """

    name: str
    schema: StreamSchema
    rows: int
    bytes: int
    files: int
    days: int
    first_time: int | None
    last_time: int | None
    rejected: int
    dropped: int
    sources: int
    quarantined: int


class Store(KeptStore):
    """A store in the folder or at the s3:// URL ``url``, created by the first ingest (or at first use, with
    ``create``).

    ``s3://bucket/prefix``: the bucket must exist; the catalogue is the DynamoDB table ``antfold``, or ``?table=NAME``,
    which stores may share. Credentials and region come from boto3's usual configuration (profile, region,
    ``AWS_ENDPOINT_URL``), or from ``profile=``, ``region=`` and ``endpoint=`` in the URL.

    Safe to use from several threads and processes. Raises StoreError if there is no store and none may be created.
    """

    # ---- ingest

    def ingest(
        self,
        stream: str,
        *sources: Any,
        key: str | None = None,
        time: str | None = None,
        unit: str | None = None,
        format: str = "auto",
        duplicates: str | None = None,
        id: str | None = None,
        missing_key: str | None = None,
        preset: str | None = None,
        progress: bool | Progress = True,
        compact: bool = True,
        replace: str | bool = False,
        source: str | None = None,
        **reading: Unpack[ReadingOptions],
    ) -> IngestReport:
        """Ingest files (paths, globs, ``-``, open files, tables), each exactly once; see ``runtime.ingest``.

        ``key`` and ``time`` are required for a new stream, unless a ``preset`` (``dataflow formats``) or format knows
        them; an existing stream knows its own. ``reading`` are the options of ``runtime.ingest.Reading``: how records
        are read. With ``compact``, small or overlapping files of the years that the points are in are merged at the end
        where that pays off; see ``runtime.upkeep``. ``replace`` takes back, in the same commit, the source that it
        names (as ``undo`` does; then there is one input), or if True the one that has the name of the new one, if any,
        and the new one itself, if it is there, which is read anew. ``source`` names the one input, in place of its
        bytes and name.
        """
        from runtime.ingest import ingest

        self._create = True
        report = ingest(
            self.objects, self.catalogue, stream, sources, key=key, time=time, unit=unit, format=format,  # type: ignore[arg-type]
            duplicates=duplicates, id=id, missing_key=missing_key, preset=preset,  # type: ignore[arg-type]
            progress=_progress(progress), replacing=self.replacing(stream, replace) if replace else None,
            source=source, **reading,
        )  # fmt: skip
        return self._after(report, progress) if compact else report

    def _after(self, report: IngestReport, progress: bool | Progress) -> IngestReport:
        from runtime.upkeep.after_ingest import compacted

        return compacted(report, self.compaction(report.stream, progress))

    def watch(
        self,
        stream: str,
        source: str,
        *,
        key: str | None = None,
        time: str | None = None,
        unit: str | None = None,
        format: str = "auto",
        duplicates: str | None = None,
        id: str | None = None,
        missing_key: str | None = None,
        preset: str | None = None,
        compact: bool = True,
        name: str | None = None,
        start: str = "beginning",
        every: str | timedelta = "2s",
        settled: str | timedelta = "10s",
        until_idle: str | timedelta | None = None,
        stop: threading.Event | None = None,
        told: Callable[[SourceReport], object] | None = None,
        **reading: Unpack[ReadingOptions],
    ) -> Watched:
        """Ingest what a feed has, and what comes to it, each record exactly once, until it is stopped.

        ``source`` is a folder, a pattern of files, ``-`` (standard input) or a named pipe. Files of one record a line
        may grow, be renamed and be cut off (rotated logs); others are taken as a whole. A file is complete, as is a
        line without an end, once it has not changed for ``settled``. Names that begin with a dot, or end in ``.part``
        or ``.tmp``, are waited for. What is new is committed ``every`` so often.

        How far the feed was read is in the commits themselves. It is known by ``name`` (by default what ``source``
        names): whoever watches it under that name goes on there, also beside another process. ``start`` is
        "beginning", "end" (what is there at first is left out) or, for a pipe whose producer begins anew,
        "committed" (its first lines are left out, as many as are committed). A piece or file that cannot be read
        is set aside (``dataflow quarantine``). Other options are those of ``ingest``.

        It ends with the feed, once ``stop`` is set, or after ``until_idle`` without anything new; ``told`` is called
        with the report of each commit.
        """
        from runtime.ingest import ingest
        from runtime.ingest.inputs.reading import Reading
        from runtime.live.feeds.opened_feed import open_feed
        from runtime.live.watch_stream import StreamWatch
        from runtime.live.watching import Watcher, WatchOptions

        options = WatchOptions.of(every, settled, until_idle, start)
        self._create = True
        given = {
            "key": key, "time": time, "unit": unit, "format": format, "duplicates": duplicates, "id": id,
            "missing_key": missing_key, "preset": preset, **reading,
        }  # fmt: skip

        def take(piece: FileInput, position: Position | None) -> IngestReport:
            report = ingest(self.objects, self.catalogue, stream, [piece], position=position, **given)  # type: ignore[arg-type]
            return self._after(report, False) if compact else report

        watch = StreamWatch(self.catalogue, stream, take, given)
        feed = open_feed(
            source, self.catalogue, stream, name=name, start=start, format=watch.settings().format,
            reading=Reading.of(reading), settled=options.settled,
        )  # fmt: skip
        watcher = Watcher(feed, watch.take, watch.set_aside, options.every, stop or threading.Event(), told or _unheard)
        try:
            return watcher.run(options.idle)
        finally:
            feed.close()

    def rejects(self, stream: str) -> list[Rejected]:
        """The rejected records of a stream, source by source, without those that were taken later."""
        from runtime.ingest import rejected

        self.be_known(stream)
        return list(rejected(self.objects, self.catalogue, stream))

    def retry_rejects(
        self, stream: str, *, progress: bool | Progress = True, compact: bool = True, **options: Any
    ) -> IngestReport:
        """Ingest the rejected records of a stream again, each exactly once, with the options of their sources and, over
        them, the given ones: those of ``ingest``. Key, time, duplicates and id are the stream's."""
        from runtime.ingest import MEMORY_ROWS, retry_rejects
        from runtime.ingest.one_source import StreamTarget

        self.be_known(stream)
        target = StreamTarget(self.objects, self.catalogue, stream, MEMORY_ROWS, _progress(progress), again=True)
        report = retry_rejects(target, options)
        return self._after(report, progress) if compact else report

    # ---- queries

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
        return QueryRun(self, self._location.worker_url, run_by, workers, _progress(progress), allow_partial, budget)

    @overload
    def follow(
        self,
        metric: Stream | str,
        since: Moment | None = None,
        params: Mapping[str, object] | None = None,
        *,
        every: str | timedelta = "5s",
        lateness: str | timedelta = "0s",
        mode: Literal["changes", "final"] = "changes",
        until_idle: str | timedelta | None = None,
        workers: int | None = None,
        below_floor: bool = False,
    ) -> Iterator[RowChange]: ...

    @overload
    def follow(
        self,
        metric: Stream | str,
        since: Moment | None = None,
        params: Mapping[str, object] | None = None,
        *,
        every: str | timedelta = "5s",
        lateness: str | timedelta = "0s",
        mode: Literal["table"],
        until_idle: str | timedelta | None = None,
        workers: int | None = None,
        below_floor: bool = False,
    ) -> Iterator[CurrentAnswer]: ...

    def follow(
        self,
        metric: Stream | str,
        since: Moment | None = None,
        params: Mapping[str, object] | None = None,
        *,
        every: str | timedelta = "5s",
        lateness: str | timedelta = "0s",
        mode: Literal["changes", "table", "final"] = "changes",
        until_idle: str | timedelta | None = None,
        workers: int | None = None,
        below_floor: bool = False,
    ) -> Iterator[RowChange] | Iterator[CurrentAnswer]:
        """Follow a metric, or the published query of that name: its answer over [since, newest point], kept up to date.

        Yields a ``RowChange`` for each row that changed, all rows of the first answer included: applied in order
        (``runtime.live.applied``) they are what ``query`` answers as of ``change.snapshot``, and ``change.proof`` is
        its digest. The store is looked at ``every`` so often; only new commits are read, as far as the plan allows.

        The watermark is the newest event time of the store's points (of several streams, the oldest of theirs), less
        ``lateness``. A row that ends in event time (a bucket of time, a window, an interval, a session) is ``early``
        until the watermark has passed its end, then once ``on_time``, and ``late`` whenever it changes after that. No
        point is left out for being late.

        ``mode="table"`` yields the whole ``CurrentAnswer`` each time. ``mode="final"`` yields each row once, when
        nothing that is later than the watermark can change it, and then its corrections as ``late``; it needs rows
        that end.

        It goes on for ever, or until there was no commit for ``until_idle``.
        """
        from runtime.live.following import FollowOptions, followed

        options = FollowOptions.of(every, lateness, until_idle, mode)
        answers = followed(self._follower(metric, since, params, options, workers, below_floor), options)
        return answers if mode == "table" else (change for answer in answers for change in answer.changes)

    def _follower(
        self,
        metric: Stream | str,
        since: Moment | None,
        params: Mapping[str, object] | None,
        options: FollowOptions,
        workers: int | None = None,
        below_floor: bool = False,
    ) -> Follower:
        from dataflow.metrics.inner_answers import streams_in
        from dataflow.plan.row_times import row_times
        from runtime.live.following import Follower

        run = self._query_run(None, workers)
        if isinstance(metric, str):
            named = self._named(metric)
            metric, params = named.metric, named.params(params)
            run = run.of_published(named, True)
        request = self._request(metric, since, None, params, below_floor)
        run, streams = run.keeping(request), streams_in(request.steps)
        return Follower(
            lambda: self._current(run, request), lambda: tuple(self.catalogue.order(s).seq for s in streams),
            row_times(request.steps), options.mode, options.lateness,
        )  # fmt: skip

    @of_present_files
    def _current(self, run: QueryRun, request: Request) -> Result:
        return run.result(request)

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

    # ---- published queries

    def publish(
        self,
        metric: Stream,
        name: str,
        description: str | None = None,
        defaults: Mapping[str, object] | None = None,
        targets: Sequence[str] = (),
    ) -> Published:
        """Publish the metric as the next version of the query ``name``, signed if there is a signing key.

        ``description`` is a text for its users; None keeps that of the previous version. ``defaults`` replace the
        defaults of its parameters. ``targets`` are the architectures ("x86_64", "arm64") of workers that compile
        nothing: kernels for them are stored. If the latest version is identical, it is returned. QueryError for an
        invalid name, a metric that does not fit its stream, or one with user-defined code.
        """
        from runtime.published.publishing import publish

        return publish(self, metric, name, description, defaults, targets)

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

    # ---- contents

    def streams(self) -> list[StreamInfo]:
        """All streams of the store, by name."""
        out = []
        for name in self.catalogue.streams():
            s = self.catalogue.snapshot(name)
            points = s.points
            days = len({day for f in points for day in range(f.day, f.day + f.days)})
            out.append(
                StreamInfo(
                    name, s.schema, sum(f.rows for f in points), s.total_bytes, s.total_files, days, s.first_time,
                    s.last_time, s.rejected, s.dropped, s.sources, s.quarantined,
                )
            )  # fmt: skip
        return out

    @of_present_files
    def head(self, stream: str, rows: int = 10, since: Moment | None = None, key: str | int | None = None) -> Result:
        """The first points of a stream from ``since`` on, of one ``key`` if given, in the order of time, then of the
        key: its key, time and value columns."""
        from runtime.points.head_points import head
        from runtime.points.point_scan import PointRange

        return head(self, stream, PointRange(microseconds(since, "since"), None, key), rows)

    @of_present_files
    def describe(
        self, stream: str, since: Moment | None = None, until: Moment | None = None, rows: int = 1_000_000
    ) -> StreamSummary:
        """The columns of a stream by its points in [since, until): types, counts, nulls, ranges, most frequent values.

        If there are more than ``rows`` points, about so many are read, of days spread over the range; the summary says
        how many.
        """
        from runtime.points.describe_points import describe
        from runtime.points.point_scan import PointRange

        return describe(self, stream, PointRange(microseconds(since, "since"), microseconds(until, "until")), rows)

    @of_present_files
    def export(
        self,
        stream: str,
        path: str | Path | BinaryIO,
        since: Moment | None = None,
        until: Moment | None = None,
        key: str | int | None = None,
        format: str | None = None,
        force: bool = False,
        progress: bool | Progress = True,
    ) -> ExportReport:
        """Write the points of [since, until), of one ``key`` if given, to a Parquet, CSV or NDJSON file.

        ``format`` is ``"parquet"``, ``"csv"`` or ``"ndjson"``; by default as the name ends, also in ``.csv.gz`` or
        ``.ndjson.zst``. The file appears whole or not at all; one that is there is replaced only with ``force``.
        ``path`` may be a binary file object, which needs a ``format``. Values are exact and columns have their names;
        days follow each other, and each key's points are in the order of time. ``ingest`` reads the file back. See
        ``runtime.display.table_files`` for how each type is written.
        """
        from runtime.points.export_points import export
        from runtime.points.point_scan import PointRange

        wanted = PointRange(microseconds(since, "since"), microseconds(until, "until"), key)
        return export(self, stream, path, wanted, format, force, _progress(progress))

    def verify(self, progress: bool | Progress = False) -> VerifyReport:
        """Re-read every checksum of the store and check the catalogue against it."""
        from runtime.points.stored_repeats import repeats_in
        from runtime.storage.verify_store import verify

        return verify(self.objects, self.catalogue, progress=_progress(progress), repeats_in=repeats_in)

    def recover(self, copy: str | Path | None = None) -> RecoverReport:
        """Rebuild a lost or damaged catalogue, while the store is not in use; see ``runtime.recovery.recover``."""
        from runtime.recovery.recover import recover

        self.close()
        return recover(self.url, copy)


def _unheard(report: SourceReport) -> None:
    """Nobody is told."""


def _progress(flag: bool | Progress) -> Progress:
    from runtime.progress import progress_for

    return progress_for(flag) if isinstance(flag, bool) else flag
