"""Ingest: commits the objects that a batch of SQS messages names; the reply lists the messages that failed.

An object is committed (now or before), quarantined with its reason, or failed: then its message is delivered again,
and in the end goes to the dead-letter queue. deploy/INTERNALS.md says why.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from time import monotonic
from typing import Any

from deploy.handlers import environment
from deploy.handlers.events import Landed, landed
from deploy.handlers.landing import LandedFile, looked_up
from deploy.handlers.logs import Invocation, described, invocation
from deploy.handlers.object_sources import ObjectSource, content_of, identity_of, known_object, unquarantine
from deploy.handlers.redaction import redacted
from deploy.handlers.retries import Retries
from runtime.aws.access import Access
from runtime.aws.client import Client
from runtime.catalogue import AttemptSwept
from runtime.errors import FormatError, IngestError, StoreError
from runtime.ingest import Settings, SourceReport, StreamInput, ingest, quarantine
from runtime.store import Store

MAX_BYTES = 1 << 30
"""Stored bytes of the largest object ingested here: some minutes' work. `dataflow ingest` takes larger ones."""

_REASONS = 10  # of rejected rows, in a line of the log

_RESERVE = 10.0
"""With fewer seconds left, no further object is started."""


def handler(event: Any, context: Any) -> dict[str, Any]:
    """The reply to a batch of SQS messages: those to deliver again (``batchItemFailures``)."""
    with invocation(context) as run:
        records = event.get("Records") if isinstance(event, Mapping) else None
        if not isinstance(records, Sequence) or not all(isinstance(r, Mapping) and "messageId" in r for r in records):
            raise FormatError("a batch of SQS messages was expected: connect this function to the queue, not to S3.")
        store = Store.shared(environment.required(environment.STORE))
        reply = RecordBatch(run, store, _s3()).answer(records)
        failed = {item["itemIdentifier"] for item in reply["batchItemFailures"]}
        Retries.here(run, _sqs()).soon([r for r in records if str(r["messageId"]) in failed])
        return reply


@cache
def _s3() -> Client:
    return Client("s3", Access())


@cache
def _sqs() -> Client:
    return Client("sqs", Access())


class TooLarge(IngestError):
    """An object of more than ``MAX_BYTES``."""


@dataclass
class RecordBatch:
    """The messages of one invocation, handled one by one.

    A stream's settings are compared with its schema once, before its first object: a wrong deployment must not look
    like a damaged file.
    """

    run: Invocation
    store: Store
    s3: Client
    max_bytes: int = MAX_BYTES
    landing: environment.Landing = field(default_factory=environment.Landing.here)
    streams: Mapping[str, Mapping[str, Any]] = field(default_factory=environment.streams)
    _settled: dict[str, Settings] = field(default_factory=dict)
    _counts: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    _longest: float = 0.0

    def answer(self, records: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """The reply to these SQS messages."""
        failed = [str(record["messageId"]) for record in records if not self._message(record)]
        for stream, counts in self._counts.items():
            self.run.measure(counts, Stream=stream)
        # Of each version: while an update shifts calls, an alarm watches the new one (shift_alarms.py).
        self.run.measure({"MessagesFailed": len(failed)}, Version=self.run.version)
        return {"batchItemFailures": [{"itemIdentifier": id_} for id_ in failed]}

    def _message(self, record: Mapping[str, Any]) -> bool:
        """Whether every object of the message is done."""
        try:
            found = landed(str(record.get("body", "")))
            received = int(record.get("attributes", {}).get("ApproximateReceiveCount", 1))
        except (FormatError, ValueError) as error:
            self.run.log("not an event", "error", message_id=record["messageId"], **described(error))
            return False
        done = [self._object(o, received) for o in found]
        return all(done)

    def _object(self, found: Landed, received: int) -> bool:
        """Whether the object is done; its outcome is one log line and affects no other object."""
        begun = monotonic()
        try:
            return self._taken(found, received)
        except Exception as error:
            self.run.log("failed", "error", object=found.name, received=received, **described(error))
            return False
        finally:
            self._longest = max(self._longest, monotonic() - begun)

    def _taken(self, found: Landed, received: int) -> bool:
        if self.run.seconds_left() < max(_RESERVE, 2 * self._longest):
            self.run.log("no time left", "warning", object=found.name)
            return False
        if found.key.endswith("/") and not found.size:
            self.run.log("ignored", object=found.name, message="an empty object that marks a folder")
            return True
        stream = self.landing.stream_of(found.bucket, found.key)
        if stream is None or stream not in self.streams:
            raise environment.EnvironmentFault(
                f"{found.name} belongs to no stream of this deployment: below s3://{self.landing.bucket}/"
                f"{self.landing.below('').lstrip('/')} the streams are {', '.join(sorted(self.streams)) or 'none'}; "
                "declare it ([streams.NAME] in antfold.toml) and deploy, then redrive the messages."
            )
        # Before any work on it: a function that dies of time or memory has named its object.
        self.run.log("begun", object=found.name, stream=stream, bytes=found.size, received=received)
        taking = _Taking(self, stream, self._settle(stream), found)
        try:
            reports = taking.reports()
        except AttemptSwept:
            raise
        except IngestError as first:
            if received < 2 and not isinstance(first, TooLarge):
                raise
            return self._set_aside(taking, first)
        self._note(stream, reports)
        return True

    def _settle(self, stream: str) -> Settings:
        if stream not in self._settled:
            none: dict[str, Any] = dict.fromkeys(("unit", "duplicates", "id", "missing_key"))
            given = {**none, "format": "auto", **self.streams[stream]}
            try:
                self._settled[stream] = Settings.of(self.store.catalogue.schema(stream), stream, **given)
            except IngestError as error:
                raise environment.EnvironmentFault(f"the deployment's settings do not fit: {error}") from error
        return self._settled[stream]

    def _set_aside(self, taking: _Taking, first: IngestError) -> bool:
        """Quarantine an object that fails twice with the same error; raises the second error if it differs."""
        stream = taking.stream
        try:
            if not isinstance(first, TooLarge):
                self._note(stream, taking.reports())
                return True
        except IngestError as second:
            if (type(second), str(second)) != (type(first), str(first)):
                raise
        new = taking.quarantine(str(first))
        self._counts[stream]["SourcesQuarantined" if new else "SourcesRepeated"] += 1
        self.run.log("quarantined", "error", object=taking.found.name, stream=stream, **described(first))
        return True

    def _note(self, stream: str, reports: Sequence[SourceReport]) -> None:
        counts = self._counts[stream]
        for report in reports:
            if report.status != "ingested":
                counts["SourcesRepeated"] += 1
                self.run.log(report.status, object=report.name, stream=stream)
                continue
            counts["SourcesIngested"] += 1
            counts["RowsIngested"] += report.committed
            counts["RowsRejected"] += report.rejected
            counts["RowsDropped"] += report.dropped
            counts["BytesIngested"] += report.bytes_in
            why: Counter[str] = Counter()
            for reason, n in Counter(report.reasons).items():
                why[redacted(reason)] += n
            reasons = dict(why.most_common(_REASONS))
            self.run.log(
                "ingested", "warning" if report.rejected else "info", object=report.name, stream=stream,
                rows=report.committed, rejected=report.rejected, dropped=report.dropped, files=report.files,
                bytes=report.bytes_in, seconds=round(report.seconds, 3), reasons=reasons, waiting=report.waiting,
            )  # fmt: skip


class _Taking:
    """One object on its way into its stream; ``found`` becomes the object as it was looked up."""

    def __init__(self, batch: RecordBatch, stream: str, settled: Settings, found: Landed) -> None:
        self.stream, self.found = stream, found
        self._batch, self._settled = batch, settled
        self._catalogue = batch.store.catalogue
        self._known: ObjectSource | None = None
        self._identity: str | None = None

    def reports(self) -> Sequence[SourceReport]:
        """What was ingested, now or before: several sources if it is an archive."""
        self.found = found = looked_up(self._batch.s3, self.found)
        assert found.size is not None
        self._known = known = known_object(self._catalogue, self.stream, found)
        if known is not None and not known.is_quarantined:
            if known.entry.waiting is None:
                return [SourceReport(found.name, "already ingested")]
            return self._ingested(StreamInput(LandedFile(self._batch.s3, found), found.name, identity=known.id))
        if found.size > self._batch.max_bytes:
            raise TooLarge(
                f"{found.name} has {found.size:,} bytes, over the limit of {self._batch.max_bytes:,}: download it and "
                "use `dataflow ingest`."
            )
        digest, content = content_of(self._batch.s3, found)
        self._identity = identity_of(self._catalogue, self.stream, found, digest, self._settled)
        file = LandedFile(self._batch.s3, found) if content is None else content
        reports = self._ingested(StreamInput(file, found.name, identity=self._identity))
        self._remember(self._identity)
        if known is not None and known.id == found.identity:
            unquarantine(self._catalogue, self.stream, known.id)
        return reports

    def quarantine(self, reason: str) -> bool:
        """Set the object aside; False if it, or the same content, is in quarantine already.

        It is known by its content then, or by its place if that could not be read.
        """
        if self._known is not None and self._known.is_quarantined:
            identity = self._known.id
        else:
            identity = self._identity or self.found.identity
        new = quarantine(
            self._catalogue, self.stream, self._settled, identity, self.found.name, self.found.size or 0, reason
        )
        if identity == self._identity:
            self._remember(identity)
        return new

    def _ingested(self, given: StreamInput) -> Sequence[SourceReport]:
        options = self._batch.streams[self.stream]
        return ingest(
            self._batch.store.objects, self._catalogue, self.stream, given, again=False, **options
        ).sources  # fmt: skip

    def _remember(self, identity: str) -> None:
        """Note under which id the object is known; if that fails, it is read again if it is offered again."""
        try:
            if self._catalogue.alias(self.stream, self.found.identity) != identity:
                self._catalogue.put_alias(self.stream, self.found.identity, identity)
        except StoreError as error:
            self._batch.run.log("alias not written", "warning", object=self.found.name, **described(error))
