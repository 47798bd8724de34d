"""A model of what reconcile sees: objects, a queue with retries and dead letters, an alarm, a catalogue, a clock."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

from deploy.handlers import environment
from deploy.handlers.events import Landed, landed
from deploy.handlers.logs import Invocation
from deploy.handlers.reconcile import Reconciler
from deploy.handlers.retries import wait_after
from deploy.handlers.waiting import QueueWatch
from deploy.passes import PassesNote, iso, keep_enqueued, keep_pass, passes
from runtime.catalogue import SourceEntry

LANDING = environment.Landing("b", "in")
RETENTION = timedelta(days=14)
RECEIPTS = 5


@dataclass
class Waiting:
    """A message."""

    key: str
    sent: datetime
    visible: datetime
    receipts: int = 0


@dataclass
class World:
    """The fakes are its attributes: it is catalogue, S3, SQS and CloudWatch at once."""

    now: datetime = datetime(2024, 1, 1, tzinfo=UTC)
    modified: dict[str, datetime] = field(default_factory=dict)
    queue: list[Waiting] = field(default_factory=list)
    dead: list[Waiting] = field(default_factory=list)
    done: set[str] = field(default_factory=set)
    notes: dict[str, Any] = field(default_factory=dict)
    alarm: str | None = None
    enqueued: list[str] = field(default_factory=list)
    streams: tuple[str, ...] = ("s",)

    # What happens

    def arrive(self, stream: str, lost: bool = False, upload: timedelta = timedelta()) -> str:
        """An object arrives, whose upload began before, and its event may be lost."""
        key = f"in/{stream}/{len(self.modified):04}"
        self.modified[key] = self.now - upload
        if not lost:
            self.queue.append(Waiting(key, self.now, self.now))
        return key

    def pass_time(self, minutes: int, works: Callable[[str], bool] | None) -> None:
        """Minute by minute; ingest (None: stopped) takes what is visible."""
        if works is None:
            self.now += timedelta(minutes=minutes)
        else:
            for _ in range(minutes):
                self.now += timedelta(minutes=1)
                self._ingest(works)
        for letters in (self.queue, self.dead):
            letters[:] = [m for m in letters if m.sent > self.now - RETENTION]

    def _ingest(self, works: Callable[[str], bool]) -> None:
        for message in [m for m in self.queue if m.visible <= self.now]:
            if message.receipts >= RECEIPTS:
                self.queue.remove(message)
                self.dead.append(message)
            elif works(message.key):
                self.queue.remove(message)
                self.done.add(message.key)
            else:
                message.receipts += 1
                message.visible = self.now + timedelta(seconds=wait_after(message.receipts))

    def redrive(self) -> None:
        """As `dataflow redrive` does it: the messages are new ones, and reconcile is told so."""
        if self.dead:
            keep_enqueued(cast(Any, self), LANDING.url, iso(self.now))
        self.queue += [Waiting(m.key, self.now, self.now) for m in self.dead]
        self.dead.clear()

    def reconcile(self, page: int = 1000, left: float = 900.0) -> PassesNote:
        """A whole pass, in as many invocations as it needs."""
        run = Invocation(cast(Any, SimpleNamespace(get_remaining_time_in_millis=lambda: int(left * 1000))))
        run.log = lambda *_, **__: None  # type: ignore[method-assign, assignment]
        client = cast(Any, self)
        watch = QueueWatch(run, client, client, "queue", "alarm")
        store = cast(Any, SimpleNamespace(catalogue=self))
        streams: Mapping[str, Any] = {name: {} for name in self.streams}
        one = Reconciler(run, store, client, client, watch, lambda: self.now, page, LANDING, streams)
        found, after = one.run_from(one.begun(), "", False)
        while after is not None:
            found, after = one.run_from(type(found).from_dict(json.loads(json.dumps(found.to_dict()))), after, False)
        keep_pass(client, LANDING.url, replace(found))
        return self.note_of_passes()

    def note_of_passes(self) -> PassesNote:
        return passes(cast(Any, self), LANDING.url)

    # A client, and what AWS answers

    def call(self, what: str, attempt: Callable[[Any], Any]) -> Any:
        return attempt(self)

    def list_objects_v2(self, Bucket: str, Prefix: str, StartAfter: str, MaxKeys: int) -> Any:  # noqa: N803
        keys = sorted(k for k in self.modified if k > StartAfter)
        listed = [{"Key": k, "Size": 1, "ETag": '"e"', "LastModified": self.modified[k]} for k in keys[:MaxKeys]]
        return {"Contents": listed, "IsTruncated": len(keys) > MaxKeys}

    def get_queue_attributes(self, QueueUrl: str, AttributeNames: list[str]) -> Any:  # noqa: N803
        count = len(self.queue if QueueUrl == "queue" else self.dead)
        policy = {"RedrivePolicy": json.dumps({"deadLetterTargetArn": "arn:aws:sqs:eu-west-1:1:dead"})}
        return {"Attributes": {AttributeNames[0]: str(count), **(policy if QueueUrl == "queue" else {})}}

    def describe_alarms(self, AlarmNames: list[str]) -> Any:  # noqa: N803
        """The age of the oldest message leaves out those that were received three times."""
        old = [m for m in self.queue if m.receipts < 3 and m.sent < self.now - timedelta(seconds=900)]
        return {"MetricAlarms": [{"StateValue": self.alarm or ("ALARM" if old else "OK")}]}

    def send_message_batch(self, QueueUrl: str, Entries: list[dict[str, str]]) -> Any:  # noqa: N803
        for entry in Entries:
            (found,) = landed(entry["MessageBody"])
            self.queue.append(Waiting(found.key, self.now, self.now))
            self.enqueued.append(found.key)
        return {"Successful": [{"Id": entry["Id"]} for entry in Entries]}

    # The catalogue

    def alias(self, stream: str, place: str) -> None:
        return None

    def is_ingested(self, stream: str, place: str) -> SourceEntry | None:
        of = {Landed("b", key, 1, "e").identity for key in self.done}
        return SourceEntry(place, "x", 1) if place in of else None

    def note(self, name: str) -> Any:
        return self.notes.get(name)

    def change_note(self, name: str, change: Callable[[Any], Any]) -> None:
        self.notes[name] = json.loads(json.dumps(change(self.notes.get(name))))
