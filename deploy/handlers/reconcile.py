"""Reconcile: compares the landing bucket with the catalogue and enqueues objects whose event was lost.

Enqueuing an object twice, or one whose event is only late, is harmless: it is committed once.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from dataflow.times.durations import date_or_datetime
from deploy.handlers import environment
from deploy.handlers.events import Landed, message
from deploy.handlers.logs import Invocation, invocation
from operators.errors import DataflowError
from runtime.aws.access import Access
from runtime.aws.client import Client, ServiceFault
from runtime.aws.retry import Fault
from runtime.ingest import known_source
from runtime.store import Store

DAYS = 2
"""Days it looks back by default."""

SETTLED = timedelta(minutes=15)
"""Younger objects are skipped: their events may still arrive."""

PAGE = 1_000
"""Objects per list request: S3's maximum."""

_AT_ONCE = 16
_MESSAGES = 10  # per request to the queue
_RESERVE = 20.0  # with fewer seconds left, no further page is started


def handler(event: Any, context: Any) -> dict[str, Any]:
    """The counts of a run. ``event`` may have ``since`` (ISO-8601 UTC, or "all"), ``quarantined`` (true: retry these,
    too) and ``after`` (the key to resume after). A run that does not finish invokes the function again for the rest,
    unless the event has ``alone``: then the reply has the event that goes on, as ``next``, with the counts so far.
    """
    given = event if isinstance(event, Mapping) else {}
    if "compact" in given or "sweep" in given:
        raise DataflowError("compaction and the sweep are not built yet: this function only reconciles.")
    with invocation(context) as run:
        access = Access()
        reconciler = Reconciler(
            run, Store.shared(environment.required(environment.STORE)), Client("s3", access), Client("sqs", access)
        )
        start, again = str(given.get("after", "")), bool(given.get("quarantined"))
        counts, after = reconciler.run_from(since_of(given), start, again)
        run.measure({name: counts[name] for name in ("ObjectsListed", "ObjectsEnqueued", "ObjectsUnknown")})
        totals = {"listed": counts["ObjectsListed"], "enqueued": counts["ObjectsEnqueued"], **_others(counts)}
        totals = {name: count + int(given.get("counts", {}).get(name, 0)) for name, count in totals.items()}
        run.log("reconciled", "info" if after is None else "warning", after=after, **totals)
        if after is not None:
            rest = {k: given[k] for k in ("since", "quarantined") if k in given} | {"after": after}
            if given.get("alone"):
                return {**totals, "after": after, "next": {**rest, "alone": True, "counts": totals}}
            _invoke_again(Client("lambda", access), context, rest)
        return {**totals, "after": after}


def since_of(given: Mapping[str, Any], now: datetime | None = None) -> datetime:
    """The time from which objects are checked."""
    since = given.get("since")
    if since is None:
        return (now or datetime.now(UTC)) - timedelta(days=DAYS)
    if since == "all":
        return datetime.min.replace(tzinfo=UTC)
    try:
        found = date_or_datetime(str(since))
    except ValueError:
        raise DataflowError(
            f"since: {str(since)[:80]!r} is not a time; write for example 2024-03-01, or all."
        ) from None
    if not isinstance(found, datetime):
        found = datetime(found.year, found.month, found.day)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


def _others(counts: Counter[str]) -> dict[str, int]:
    return {name: counts[name] for name in ("known", "quarantined", "young", "older")} | {
        "unknown": counts["ObjectsUnknown"]
    }


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
    """One run over the landing bucket, in key order."""

    run: Invocation
    store: Store
    s3: Client
    sqs: Client
    now: datetime = field(default_factory=lambda: datetime.now(UTC))
    page: int = field(default_factory=lambda: PAGE)
    landing: environment.Landing = field(default_factory=environment.Landing.here)
    streams: Mapping[str, Mapping[str, Any]] = field(default_factory=environment.streams)
    queue: str = field(default_factory=lambda: environment.required(environment.QUEUE))

    def run_from(self, since: datetime, after: str, quarantined: bool) -> tuple[Counter[str], str | None]:
        """The counts, and the key to resume after (None at the end). At least one page is processed."""
        counts: Counter[str] = Counter()
        with ThreadPoolExecutor(_AT_ONCE, "reconcile") as pool:
            for page, more in self._pages(after):
                wanted = [o for o in (self._candidate(entry, since, counts) for entry in page) if o is not None]
                missing = [
                    o for o, state in zip(wanted, pool.map(self._state, wanted), strict=True)
                    if self._is_missing(state, quarantined, counts)
                ]  # fmt: skip
                for at in range(0, len(missing), _MESSAGES):
                    self._send(missing[at : at + _MESSAGES])
                    counts["ObjectsEnqueued"] += len(missing[at : at + _MESSAGES])
                if more and self.run.seconds_left() < _RESERVE:
                    return counts, str(page[-1]["Key"])
        return counts, None

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

    def _candidate(self, entry: Mapping[str, Any], since: datetime, counts: Counter[str]) -> Landed | None:
        """The object, if it should have been ingested by now."""
        counts["ObjectsListed"] += 1
        found = Landed(self.landing.bucket, str(entry["Key"]), int(entry["Size"]), str(entry["ETag"]).strip('"'))
        if found.key.endswith("/") and not found.size:
            return None
        if entry["LastModified"] < since:
            counts["older"] += 1
            return None
        if entry["LastModified"] > self.now - SETTLED:
            counts["young"] += 1
            return None
        if self.landing.stream_of(found.bucket, found.key) not in self.streams:
            counts["ObjectsUnknown"] += 1
            if counts["ObjectsUnknown"] == 1:
                self.run.log("of no stream", "warning", object=found.name)
            return None
        return found

    def _state(self, found: Landed) -> str:
        stream = self.landing.stream_of(found.bucket, found.key)
        assert stream is not None
        entry = self.store.catalogue.is_ingested(stream, found.identity)
        if entry is not None and entry.waiting is not None:
            # Rows ahead of the clock were rejected: once some no longer are, ingest the object again.
            known = known_source(self.store.catalogue, stream, found.identity)
            return "waiting" if known is not None and known.acceptable else "known"
        return "missing" if entry is None else "known" if entry.quarantined is None else "quarantined"

    def _is_missing(self, state: str, quarantined: bool, counts: Counter[str]) -> bool:
        counts[state] += 1
        return state in ("missing", "waiting") or (quarantined and state == "quarantined")

    def _send(self, found: Sequence[Landed]) -> None:
        """Send all their messages to the queue; those of a partly accepted batch that were refused are sent again."""
        left = {str(n): message(o) for n, o in enumerate(found)}

        def attempt(sqs: Any) -> None:
            entries = [{"Id": id_, "MessageBody": body} for id_, body in left.items()]
            for done in sqs.send_message_batch(QueueUrl=self.queue, Entries=entries).get("Successful", ()):
                left.pop(str(done["Id"]), None)
            if left:
                raise ServiceFault(Fault.LOST, f"the queue {self.queue} refused {len(left)} messages; try again.")

        self.sqs.call(f"send to {self.queue}", attempt)
        for o in found:
            self.run.log("enqueued", object=o.name)
