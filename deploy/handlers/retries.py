"""Messages that failed are delivered again in seconds and minutes, not after the queue's whole time-out.

The queue hides a received message for six times the function's time-out, for a function that dies. One that fails
knows that its message is free, and says when it is to be delivered again.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from deploy.handlers import environment
from deploy.handlers.logs import Invocation, described
from runtime.aws.client import Client
from runtime.errors import StoreError

FIRST = 30
"""Seconds until a message is delivered again after it failed for the first time; each further time doubles them."""

LONGEST = 1_800
"""Seconds at most."""

_AT_ONCE = 10  # messages of a request


def wait_after(received: int) -> int:
    """Seconds until a message is delivered again that was received that often."""
    return int(min(FIRST * 2 ** min(max(received, 1) - 1, 16), LONGEST))


@dataclass(frozen=True)
class Retries:
    """Says when the messages of ``queue`` (its URL; None: unknown, nothing is said) are delivered again."""

    run: Invocation
    sqs: Client
    queue: str | None

    @classmethod
    def here(cls, run: Invocation, sqs: Client) -> Retries:
        """From this function's environment."""
        return cls(run, sqs, os.environ.get(environment.QUEUE))

    def soon(self, records: Sequence[Mapping[str, Any]]) -> None:
        """Have these received messages delivered again soon. If that fails they are, after the queue's time-out."""
        changes = [
            {
                "Id": str(n),
                "ReceiptHandle": str(record["receiptHandle"]),
                "VisibilityTimeout": wait_after(_times(record)),
            }
            for n, record in enumerate(records)
            if record.get("receiptHandle")
        ]
        if self.queue is None:
            return
        for at in range(0, len(changes), _AT_ONCE):
            self._change(self.queue, changes[at : at + _AT_ONCE])

    def _change(self, queue: str, changes: Sequence[Mapping[str, Any]]) -> None:
        def attempt(sqs: Any) -> Any:
            return sqs.change_message_visibility_batch(QueueUrl=queue, Entries=list(changes))

        try:
            refused = self.sqs.call(f"say when {queue} delivers again", attempt).get("Failed", ())
        except StoreError as error:
            self.run.log("retry not set", "warning", **described(error))
            return
        for one in refused:
            self.run.log("retry not set", "warning", error=str(one.get("Code", "")))


def _times(record: Mapping[str, Any]) -> int:
    try:
        return int(record.get("attributes", {}).get("ApproximateReceiveCount", 1))
    except (TypeError, ValueError):
        return 1
