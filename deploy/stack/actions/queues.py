"""The queues of a deployment: of new objects, and of dead letters."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from deploy.stack.actions.change_sets import DeployError
from runtime.aws.access import Access
from runtime.aws.client import Client, ServiceFault
from runtime.aws.retry import Fault

_BATCH = 10  # messages per request: SQS's maximum
_ABSENT = ("NonExistentQueue", "QueueDoesNotExist")


@dataclass(frozen=True)
class QueuedMessage:
    """A message as it was received: ``received`` so many times in all, ``sent`` in seconds since 1970."""

    id: str
    body: str
    handle: str
    received: int
    sent: float


@dataclass(frozen=True)
class QueueCounts:
    """About how many messages wait, and how many were received and not deleted."""

    visible: int
    in_flight: int


class DeployedQueue:
    """A queue by its name; requests repeat what was refused for the moment."""

    def __init__(self, name: str, access: Access) -> None:
        self.name = name
        self._client = Client("sqs", access)
        self._url = ""

    def exists(self) -> bool:
        """Whether there is such a queue."""
        try:
            self._found()
        except ServiceFault as error:
            if any(code in error.code for code in _ABSENT):
                return False
            raise
        return True

    def counts(self) -> QueueCounts:
        """How many messages there are."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        reply = self._call("look at", lambda sqs, url: sqs.get_queue_attributes(QueueUrl=url, AttributeNames=names))
        return QueueCounts(*(int(reply["Attributes"][name]) for name in names))

    def received(self, visibility: int, wait: int = 0) -> list[QueuedMessage]:
        """Up to ten messages, which are invisible to others for ``visibility`` seconds, and then there again."""

        def attempt(sqs: Any, url: str) -> Any:
            return sqs.receive_message(
                QueueUrl=url, MaxNumberOfMessages=_BATCH, VisibilityTimeout=visibility, WaitTimeSeconds=wait,
                AttributeNames=["ApproximateReceiveCount", "SentTimestamp"],
            )  # fmt: skip

        found = self._call("read", attempt).get("Messages", ())
        return [
            QueuedMessage(
                str(m["MessageId"]),
                str(m["Body"]),
                str(m["ReceiptHandle"]),
                int(m.get("Attributes", {}).get("ApproximateReceiveCount", 0)),
                int(m.get("Attributes", {}).get("SentTimestamp", 0)) / 1000,
            )
            for m in found
        ]

    def send(self, bodies: Sequence[str]) -> None:
        """Send messages; those that were refused are sent again. ServiceFault unless all are there in the end."""
        for at in range(0, len(bodies), _BATCH):
            left = {str(n): body for n, body in enumerate(bodies[at : at + _BATCH])}

            def attempt(sqs: Any, url: str, left: dict[str, str] = left) -> None:
                entries = [{"Id": id_, "MessageBody": body} for id_, body in left.items()]
                for done in sqs.send_message_batch(QueueUrl=url, Entries=entries).get("Successful", ()):
                    left.pop(str(done["Id"]), None)
                if left:
                    raise ServiceFault(Fault.LOST, f"the queue {self.name} refused {len(left)} messages; try again.")

            self._call("send to", attempt)

    def delete(self, messages: Sequence[QueuedMessage]) -> None:
        """Delete received messages. One that could not be deleted is delivered again."""
        self._each("delete from", "delete_message_batch", messages)

    def release(self, messages: Sequence[QueuedMessage]) -> None:
        """Make received messages visible again at once."""
        self._each("give back to", "change_message_visibility_batch", messages, VisibilityTimeout=0)

    def _each(self, verb: str, method: str, messages: Sequence[QueuedMessage], **more: Any) -> None:
        for at in range(0, len(messages), _BATCH):
            entries = [
                {"Id": str(n), "ReceiptHandle": m.handle, **more} for n, m in enumerate(messages[at : at + _BATCH])
            ]
            self._call(verb, lambda sqs, url, e=entries: getattr(sqs, method)(QueueUrl=url, Entries=e))

    def _found(self) -> str:
        if not self._url:
            reply = self._client.call(f"find the queue {self.name}", lambda sqs: sqs.get_queue_url(QueueName=self.name))
            self._url = str(reply["QueueUrl"])
        return self._url

    def _call(self, verb: str, attempt: Any) -> Any:
        url = self._found()
        return self._client.call(f"{verb} the queue {self.name}", lambda sqs: attempt(sqs, url))


def existing(name: str, queues: Iterable[DeployedQueue]) -> None:
    """DeployError unless all these queues of the deployment ``name`` exist."""
    for queue in queues:
        if not queue.exists():
            raise DeployError(
                f"there is no queue {queue.name} in this account and region, so no deployment {name} runs there: check "
                "--name, --region and --profile, or run `dataflow deploy`"
            )
