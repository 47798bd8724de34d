"""What waits in the queue already: by its attributes and the alarm on the age of its oldest message.

A queue does not say which messages it has. If it has none, no object waits. Otherwise the alarm says whether a message
is older than its threshold; if none is, the event of no older object waits.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from deploy.handlers.logs import Invocation, described
from runtime.aws.client import Client
from runtime.errors import StoreError

SETTLED = timedelta(minutes=15)
"""An event may still arrive that long after its object: younger ones are skipped. It is also the alarm's threshold."""

MARGIN = timedelta(minutes=15)
"""How far the alarm may lag behind: a period of 5 minutes, the time until it is judged, and messages that were received
three times, which the age of the oldest leaves out: they are dead letters some 16 minutes after they were sent. Unless
the ingest function was stopped in between: such an object may be enqueued twice, which is harmless."""

_LAG = timedelta(minutes=2)
"""A queue's attributes are eventually consistent, within a minute."""

_COUNTS = (
    "ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible", "ApproximateNumberOfMessagesDelayed"
)  # fmt: skip


@dataclass(frozen=True)
class QueueState:
    """``hold``: nothing may be enqueued. ``settled``: younger objects are skipped. ``dead``: there are dead letters."""

    hold: bool
    settled: timedelta
    dead: bool


@dataclass(frozen=True)
class QueueWatch:
    """The queue, by URL, and the alarm, by name (None: there is none)."""

    run: Invocation
    sqs: Client
    cloudwatch: Client
    queue: str
    alarm: str | None

    def state(self, now: datetime, enqueued: datetime | None) -> QueueState:
        """The state at the beginning of a pass; a pass before it last ``enqueued`` something then."""
        waiting, letters = self._messages(self.queue)
        dead = letters is not None and self._messages(letters)[0] > 0
        since = None if enqueued is None else now - enqueued
        if not waiting:
            # What has just been enqueued may not be counted yet.
            return QueueState(since is not None and since < _LAG, SETTLED, dead)
        # Those enqueued by a pass are younger messages than their objects' age says.
        recent = since is not None and since < SETTLED + MARGIN
        if recent or not self._is_ok():
            self.run.log("objects wait", "warning", recent=recent)
            return QueueState(True, SETTLED, dead)
        return QueueState(False, SETTLED + MARGIN, dead)

    def _messages(self, queue: str) -> tuple[int, str | None]:
        """How many messages a queue has (visible, in flight and delayed), and the URL of that of its dead letters."""
        names = [*_COUNTS, "RedrivePolicy"]
        reply: Any = self.sqs.call(
            f"look at the queue {queue}", lambda aws: aws.get_queue_attributes(QueueUrl=queue, AttributeNames=names)
        )
        found = reply["Attributes"]
        target = json.loads(found.get("RedrivePolicy", "{}")).get("deadLetterTargetArn")
        dead = None if target is None else f"{queue.rpartition('/')[0]}/{str(target).rpartition(':')[2]}"
        return sum(int(found.get(name, 0)) for name in _COUNTS), dead

    def _is_ok(self) -> bool:
        """Whether the alarm says that no message is old; not if it says nothing."""
        if self.alarm is None:
            return False
        try:
            reply = self.cloudwatch.call(
                f"look at the alarm {self.alarm}", lambda aws: aws.describe_alarms(AlarmNames=[self.alarm])
            )
        except StoreError as error:
            self.run.log("alarm not read", "warning", **described(error))
            return False
        return [alarm["StateValue"] for alarm in reply.get("MetricAlarms", ())] == ["OK"]
