"""Reconcile: compares the landing bucket with the catalogue and enqueues objects whose event was lost.

A pass goes back to where the last complete one was (``passes.py``), and enqueues nothing that may be waiting already
(``waiting.py``). Enqueuing an object twice is harmless: it is committed once.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from dataflow.times.durations import date_or_datetime
from deploy.handlers import environment
from deploy.handlers.events import Landed, message
from deploy.handlers.logs import Invocation, invocation
from deploy.handlers.object_sources import state_of
from deploy.handlers.waiting import QueueWatch
from deploy.passes import BEGINNING, Missing, Pass, iso, keep_enqueued, keep_pass, moment, passes
from operators.errors import DataflowError
from runtime.aws.access import Access
from runtime.aws.client import Client, ServiceFault
from runtime.aws.retry import Fault
from runtime.helpers import Helpers
from runtime.store import Store

PAGE = 1_000
"""Objects per list request: S3's maximum."""

_AT_ONCE = 16
_MESSAGES = 10  # per request to the queue
_RESERVE = 20.0  # with fewer seconds left, no further page is started


def handler(event: Any, context: Any) -> dict[str, Any]:
    """The counts of a pass so far. ``event`` may have ``since`` (ISO-8601 UTC, or "all") and ``quarantined`` (true:
    retry these, too). A pass that does not finish invokes the function again for the rest, with ``after`` (the key to
    resume after) and ``pass`` (the pass so far); with ``alone``, the reply has that event, as ``next``, instead.
    """
    given = event if isinstance(event, Mapping) else {}
    with invocation(context) as run:
        access = Access()
        store = Store.shared(environment.required(environment.STORE))
        sqs = Client("sqs", access)
        queue = environment.required(environment.QUEUE)
        watch = QueueWatch(run, sqs, Client("cloudwatch", access), queue, os.environ.get(environment.WAITING) or None)
        reconciler = Reconciler(run, store, Client("s3", access), sqs, watch)
        goes_on = "pass" in given  # a run of an earlier release gave `after` alone: then the pass begins anew
        begun = Pass.from_dict(given["pass"]) if goes_on else reconciler.begun(given.get("since"))
        start = str(given.get("after", "")) if goes_on else ""
        found, after = reconciler.run_from(begun, start, bool(given.get("quarantined")))
        if after is None:
            keep_pass(store.catalogue, reconciler.landing.url, found)
        counts = {name: found.counts.get(name, 0) - begun.counts.get(name, 0) for name in found.counts}
        run.measure_done(
            {
                "ObjectsListed": counts.get("listed", 0),
                "ObjectsEnqueued": counts.get("enqueued", 0),
                "ObjectsUnknown": counts.get("unknown", 0),
            }
        )
        reply = {**found.counts, "after": after, "complete": found.is_complete, "since": found.since}
        run.log("reconciled", "info" if found.is_complete else "warning", oldest=_name(found.oldest), **reply)
        if after is not None:
            rest: dict[str, Any] = {"quarantined": True} if given.get("quarantined") else {}
            rest |= {"after": after, "pass": found.to_dict()}
            if given.get("alone"):
                return {**reply, "next": {**rest, "alone": True}}
            _invoke_again(Client("lambda", access), context, rest)
        return reply


def since_of(given: Any) -> datetime:
    """The time from which objects are checked, if one is given."""
    if given == "all":
        return BEGINNING
    try:
        found = date_or_datetime(str(given))
    except ValueError:
        raise DataflowError(
            f"since: {str(given)[:80]!r} is not a time; write for example 2024-03-01, or all."
        ) from None
    if not isinstance(found, datetime):
        found = datetime(found.year, found.month, found.day)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _name(missing: Missing | None) -> str | None:
    return None if missing is None else missing.object


def _invoke_again(client: Client, context: Any, rest: Mapping[str, Any]) -> None:
    """Invoke this function for the rest, without waiting for it."""
    client.call(
        "invoke this function for the rest",
        lambda aws: aws.invoke(
            FunctionName=context.invoked_function_arn, InvocationType="Event", Payload=json.dumps(rest).encode()
        ),
    )


@dataclass
class Reconciler:
    """Passes over the landing bucket, in key order."""

    run: Invocation
    store: Store
    s3: Client
    sqs: Client
    watch: QueueWatch
    clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    page: int = field(default_factory=lambda: PAGE)
    landing: environment.Landing = field(default_factory=environment.Landing.here)
    streams: Mapping[str, Mapping[str, Any]] = field(default_factory=environment.streams)

    def begun(self, since: Any = None) -> Pass:
        """A pass that begins now, with objects from ``since`` on (None: from where the last complete one was)."""
        note = passes(self.store.catalogue, self.landing.url)
        now = self.clock()
        state = self.watch.state(now, None if note.enqueued is None else moment(note.enqueued))
        streams = tuple(sorted(self.streams))
        return Pass(
            begun=iso(now),
            since=note.since() if since is None else iso(since_of(since)),
            until=iso(now - state.settled),
            streams=streams,
            fresh=note.fresh(streams) if since is None or since == "all" else (),
            hold=state.hold,
            dead=state.dead,
            sent="" if note.complete is None else note.complete.until,
            counts=dict.fromkeys(
                ("listed", "enqueued", "queued", "known", "quarantined", "young", "older", "unknown"), 0
            ),
        )

    def run_from(self, begun: Pass, after: str, quarantined: bool) -> tuple[Pass, str | None]:
        """The pass as far as it came, and the key to resume after (None at the end). At least one page is processed."""
        counts, oldest = Counter(begun.counts), begun.oldest
        with Helpers(_AT_ONCE, "reconcile") as pool:
            for page, more in self._pages(after):
                wanted = [o for o in (self._candidate(entry, begun, counts) for entry in page) if o is not None]
                found = [one for one, _ in wanted]
                missing: list[Landed] = []
                for (one, modified), state in zip(wanted, pool.map(self._state, found), strict=True):
                    if state in ("known", "quarantined"):
                        counts[state] += 1
                        if state == "known" or not quarantined:
                            continue
                    elif oldest is None or modified < oldest.modified:
                        oldest = Missing(one.name, modified)
                    if begun.hold or (state == "missing" and self._may_be_dead(one, modified, begun)):
                        counts["queued"] += 1
                    else:
                        missing.append(one)
                self._enqueue(missing)
                counts["enqueued"] += len(missing)
                if more and self.run.seconds_left() < _RESERVE:
                    return replace(begun, counts=dict(counts), oldest=oldest), str(page[-1]["Key"])
        if begun.hold and counts["queued"]:
            self.run.log("nothing enqueued", "warning", queued=counts["queued"], oldest=_name(oldest))
        return replace(begun, counts=dict(counts), oldest=oldest, ended=iso(self.clock())), None

    def _may_be_dead(self, found: Landed, modified: str, begun: Pass) -> bool:
        """Whether an earlier pass enqueued it, and its message may be among the dead letters."""
        fresh = self.landing.stream_of(found.bucket, found.key) in begun.fresh
        return begun.dead and not fresh and modified <= begun.sent

    def _enqueue(self, missing: Sequence[Landed]) -> None:
        if missing:
            keep_enqueued(self.store.catalogue, self.landing.url, iso(self.clock()))
        for at in range(0, len(missing), _MESSAGES):
            self._send(missing[at : at + _MESSAGES])

    def _pages(self, after: str) -> Iterator[tuple[Sequence[Mapping[str, Any]], bool]]:
        """The objects of the landing prefix, page by page, and whether there are more."""
        while True:

            def attempt(s3: Any, after: str = after) -> Any:
                return s3.list_objects_v2(
                    Bucket=self.landing.bucket, Prefix=self.landing.below("").lstrip("/"), StartAfter=after,
                    MaxKeys=self.page,
                )  # fmt: skip

            reply = self.s3.call(f"list s3://{self.landing.bucket}", attempt)
            found = reply.get("Contents", [])
            more = bool(found and reply.get("IsTruncated"))
            if found:
                yield found, more
            if not more:
                return
            after = str(found[-1]["Key"])

    def _candidate(self, entry: Mapping[str, Any], begun: Pass, counts: Counter[str]) -> tuple[Landed, str] | None:
        """The object and when it was modified, if it should have been ingested by now."""
        counts["listed"] += 1
        found = Landed(self.landing.bucket, str(entry["Key"]), int(entry["Size"]), str(entry["ETag"]).strip('"'))
        if found.key.endswith("/") and not found.size:
            return None
        stream, modified = self.landing.stream_of(found.bucket, found.key), iso(entry["LastModified"])
        if modified < begun.since and stream not in begun.fresh:
            counts["older"] += 1
            return None
        if modified > begun.until:
            counts["young"] += 1
            return None
        if stream not in begun.streams:
            counts["unknown"] += 1
            if counts["unknown"] == 1:
                self.run.log("of no stream", "warning", object=found.name)
            return None
        return found, modified

    def _state(self, found: Landed) -> str:
        stream = self.landing.stream_of(found.bucket, found.key)
        assert stream is not None
        return state_of(self.store.catalogue, stream, found)

    def _send(self, found: Sequence[Landed]) -> None:
        """Send all their messages to the queue; those of a partly accepted batch that were refused are sent again."""
        left = {str(n): message(o) for n, o in enumerate(found)}

        def attempt(sqs: Any) -> None:
            entries = [{"Id": id_, "MessageBody": body} for id_, body in left.items()]
            for done in sqs.send_message_batch(QueueUrl=self.watch.queue, Entries=entries).get("Successful", ()):
                left.pop(str(done["Id"]), None)
            if left:
                raise ServiceFault(Fault.LOST, f"the queue {self.watch.queue} refused {len(left)} messages; try again.")

        self.sqs.call(f"send to {self.watch.queue}", attempt)
        for o in found:
            self.run.log("enqueued", object=o.name)
