"""`FollowedStore`: answers that are kept up to date, and delivered."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import astuple
from datetime import timedelta
from typing import TYPE_CHECKING, Literal, overload

from runtime.errors import QueryError
from runtime.moments import Moment
from runtime.queried_store import QueriedStore
from runtime.storage.replaced_files import of_present_files

# Methods import what they need on demand: see ``queried_store``.
if TYPE_CHECKING:
    from dataflow.language.stream import Stream
    from dataflow.language.triggers import Trigger
    from runtime.fleet import Fleet
    from runtime.live import Alert, CurrentAnswer, RowChange
    from runtime.live.deliveries import Deliverer
    from runtime.live.following import Follower, FollowOptions
    from runtime.live.sinks.sink import Delivery
    from runtime.query.plan.prepare import Request
    from runtime.query_run import QueryRun
    from runtime.result.result import Result


class FollowedStore(QueriedStore):
    """The part of ``Store`` that follows answers from commit to commit, and delivers what changes."""

    @overload
    def follow(
        self,
        metric: Stream | str,
        since: Moment | None = None,
        params: Mapping[str, object] | None = None,
        *,
        every: str | timedelta | None = None,
        trigger: Trigger | None = None,
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
        every: str | timedelta | None = None,
        trigger: Trigger | None = None,
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
        every: str | timedelta | None = None,
        trigger: Trigger | None = None,
        lateness: str | timedelta = "0s",
        mode: Literal["changes", "table", "final"] = "changes",
        until_idle: str | timedelta | None = None,
        workers: int | None = None,
        below_floor: bool = False,
    ) -> Iterator[RowChange] | Iterator[CurrentAnswer]:
        """Follow a metric, or the published query of that name: its answer over [since, newest point], kept up to date.

        Yields a ``RowChange`` for each row that changed, all rows of the first answer included: applied in order
        (``runtime.live.applied``) they are what ``query`` answers as of ``change.snapshot``, and ``change.proof`` is
        its digest. The store is looked at ``every`` so often (5 s, or what a shorter trigger needs); only new commits
        are read, as far as the plan allows. ``trigger`` (``dataflow.trigger``) says when what has changed is emitted:
        None is the trigger of a published query, else after each commit that a look finds.

        The watermark is how far the stream's feeds, and its ingests, have all come in event time (of several streams,
        the oldest of theirs), less ``lateness``. A row that ends in event time (a bucket of time, a window, an
        interval, a session) is ``early`` until the watermark has passed its end, then once ``on_time``, and ``late``
        whenever it changes after that. No point is left out for being late.

        ``mode="table"`` yields the whole ``CurrentAnswer`` each time. ``mode="final"`` yields each row once, when
        nothing that is later than the watermark can change it, and then its corrections as ``late``; it needs rows
        that end.

        It goes on for ever, or until there was no commit for ``until_idle``; then what the trigger held back is
        emitted.
        """
        from runtime.live.following import FollowOptions, followed

        options = FollowOptions.of(every, lateness, until_idle, mode, trigger)
        follower, _ = self._followed(metric, since, params, options, workers, below_floor)
        answers = followed(follower, options)
        return answers if mode == "table" else (change for answer in answers for change in answer.changes)

    def follower(
        self,
        metric: Stream | str,
        since: Moment | None = None,
        params: Mapping[str, object] | None = None,
        *,
        trigger: Trigger | None = None,
        lateness: str | timedelta = "0s",
        mode: Literal["changes", "table", "final"] = "changes",
    ) -> Follower:
        """What ``follow`` goes by, for a caller with a loop of its own: each ``step`` looks once, and waits for
        nothing."""
        from runtime.live.following import FollowOptions

        return self._followed(metric, since, params, FollowOptions.of(None, lateness, None, mode, trigger))[0]

    def _followed(
        self,
        metric: Stream | str,
        since: Moment | None,
        params: Mapping[str, object] | None,
        options: FollowOptions,
        workers: int | None = None,
        below_floor: bool = False,
        executor: Executor | Fleet | str | None = None,
    ) -> tuple[Follower, Request]:
        """A follower of the metric, and what it asks."""
        from dataflow.metrics.inner_answers import streams_in
        from dataflow.plan.row_times import row_times
        from runtime.live.firing import EACH_COMMIT
        from runtime.live.following import Follower
        from runtime.live.new_points import NewPoints
        from runtime.live.stream_watermark import StreamWatermark

        run, trigger = self._query_run(executor, workers), options.trigger
        if isinstance(metric, str):
            named = self._named(metric)
            metric, params, trigger = named.metric, named.params(params), trigger or named.trigger
            run = run.of_published(named, True)
        request = self._request(metric, since, None, params, below_floor)
        run, streams = run.keeping(request), streams_in(request.steps)
        marks = {stream: StreamWatermark(self.catalogue, stream) for stream in streams}
        counts = [NewPoints(self.catalogue, stream) for stream in streams]
        follower = Follower(
            lambda: self._current(run, request), lambda: tuple(self.catalogue.order(s).seq for s in streams),
            lambda stream, seq: marks[stream].at(seq), row_times(request.steps), options.mode, options.lateness,
            trigger or EACH_COMMIT, lambda before, now: sum(map(NewPoints.between, counts, before, now)),
        )  # fmt: skip
        return follower, request

    @of_present_files
    def _current(self, run: QueryRun, request: Request) -> Result:
        return run.result(request)

    def deliver(
        self,
        metric: Stream | str,
        to: str,
        since: Moment | None = None,
        params: Mapping[str, object] | None = None,
        *,
        name: str | None = None,
        alert: Alert | None = None,
        every: str | timedelta | None = None,
        trigger: Trigger | None = None,
        lateness: str | timedelta = "0s",
        mode: Literal["changes", "final"] = "changes",
        until_idle: str | timedelta | None = None,
        connection: Mapping[str, str] | None = None,
        workers: int | None = None,
        below_floor: bool = False,
        stop: threading.Event | None = None,
        on_delivery: Callable[[Delivery], object] | None = None,
        on_trouble: Callable[[str], object] | None = None,
    ) -> int:
        """Follow a metric, and deliver its changes, or the edges of an ``alert``; returns the number of deliveries.

        ``to`` is ``-`` (standard output), a file to append to, ``https://...`` (a webhook), ``kafka://broker/topic`` or
        ``sns://topic``; ``connection`` has its settings. Each event has an ``id``. A delivery is kept in the store,
        under ``name``, before it is begun: after a crash the same events come again, with the same ids, before anything
        else. So each comes at least once, and to a file exactly once. Only ``-`` may go without a name; then each start
        begins anew.

        A sink that is away is waited for (``on_trouble``, with the reason); one that refuses is an error, and nothing
        is lost. It goes on until ``until_idle`` has passed without a commit, and then delivers what the ``trigger``
        held back; or until ``stop`` is set: what is held back then comes after the next start, which may have another
        trigger. ``on_delivery`` is called after each delivery. Other arguments are those of ``follow``.
        """
        from runtime.live.deliveries import deliver
        from runtime.live.following import FollowOptions

        options = FollowOptions.of(every, lateness, until_idle, mode, trigger)
        with self._deliverer(
            metric, to, since, params, name, options, alert, connection, workers, below_floor
        ) as deliverer:
            return deliver(
                deliverer, options.pause(deliverer.follower.trigger), options.idle, stop or threading.Event(),
                on_delivery, on_trouble, time.monotonic,
            )  # fmt: skip

    def deliver_once(
        self,
        metric: Stream | str,
        to: str,
        since: Moment | None = None,
        params: Mapping[str, object] | None = None,
        *,
        name: str,
        lateness: str | timedelta = "0s",
        mode: Literal["changes", "final"] = "changes",
        executor: Executor | Fleet | str | None = None,
    ) -> list[Delivery]:
        """Look once, and deliver what has changed since the last look under this ``name``, whatever a trigger says:
        ``deliver`` for a process that ends. Returns the deliveries; one that an earlier process began comes first.

        A sink that is away is an error (``SinkUnavailable``): the next look begins with this delivery. ``executor`` is
        that of ``query``.
        """
        from runtime.live.deliveries import deliver_once
        from runtime.live.following import FollowOptions

        options = FollowOptions.of(None, lateness, None, mode)
        with self._deliverer(metric, to, since, params, name, options, executor=executor) as deliverer:
            return deliver_once(deliverer)

    @contextmanager
    def _deliverer(
        self,
        metric: Stream | str,
        to: str,
        since: Moment | None,
        params: Mapping[str, object] | None,
        name: str | None,
        options: FollowOptions,
        alert: Alert | None = None,
        connection: Mapping[str, str] | None = None,
        workers: int | None = None,
        below_floor: bool = False,
        executor: Executor | Fleet | str | None = None,
    ) -> Iterator[Deliverer]:
        """What delivers the changes of a metric, with an open sink, and goes on where the last one of this name was."""
        from dataflow.metrics.json_form import to_dict
        from runtime.live.alerts import AlertWatch
        from runtime.live.deliveries import Deliverer, KeptDeliveries, checked_name
        from runtime.live.sinks.opened_sink import open_sink

        mode = options.mode
        if mode not in ("changes", "final") or (alert is not None and mode != "changes"):
            raise QueryError("deliver: mode is 'changes' or 'final', and of an alert 'changes'")
        if name is None and to != "-":
            raise QueryError("deliver: it needs a name, under which it goes on after a restart, such as name='uptime'")
        watch = None if alert is None else AlertWatch(alert)
        follower, request = self._followed(metric, since, params, options, workers, below_floor, executor)
        kept = None
        if name is not None:
            self._be_there()
            condition = None if alert is None else list(map(str, astuple(alert)))
            values = sorted((request.params or {}).items())
            asked = [to_dict(request.steps), values, str(since), mode, options.lateness, condition, to]
            digest = hashlib.sha256(json.dumps(asked, sort_keys=True, default=str).encode()).hexdigest()
            kept = KeptDeliveries(self.objects, self.catalogue, checked_name(name), digest)
        sink = open_sink(to, connection or {})
        try:
            yield Deliverer(follower, sink, kept, watch)
        finally:
            sink.close()
