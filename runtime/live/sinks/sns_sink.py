"""A topic of Amazon SNS, by boto3 (the extra ``aws``): a message for each event, with its id as attribute."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from operators.nearest import meant
from runtime.aws.access import Access
from runtime.aws.client import Client, ServiceFault
from runtime.aws.retry import Budget, Fault
from runtime.errors import QueryError, StoreError
from runtime.live.sinks.sink import Delivery, SinkUnavailable, as_json

SETTINGS = ("profile", "region", "endpoint")
"""The settings of its connection, beside boto3's usual configuration."""

_MESSAGES, _BYTES = 10, 256 << 10
"""The most of one request."""

_ATTRIBUTE = "id", "String"
_FIFO = ".fifo"
_TOPIC = re.compile(r"[A-Za-z0-9_-]{1,256}(\.fifo)?")
_ARN = re.compile(rf"arn:aws[a-z-]*:sns:(?P<region>[a-z0-9-]+):\d{{12}}:{_TOPIC.pattern}")
_FINAL = (Fault.FINAL, Fault.MISSING, Fault.REFUSED)
_BUDGET = Budget(seconds=10)
"""Then the delivery is tried again as a whole, with growing pauses: a stop is not held up for longer."""

Entry = Mapping[str, Any]


class SnsSink:
    """A topic, by its ARN: at least once, under an id that is the same each time. A FIFO topic gets the messages one by
    one: of several at once, one that fails would come behind those after it."""

    def __init__(self, arn: str, sns: Client) -> None:
        self._arn, self._sns = arn, sns
        self._is_fifo = arn.endswith(_FIFO)
        self._delivery = ""
        self._taken: set[str] = set()
        """The ids of this delivery that the topic has."""

    def position(self) -> Any:
        """See ``EventSink``."""
        return None

    def deliver(self, delivery: Delivery) -> None:
        """See ``EventSink``."""
        if delivery.id != self._delivery:
            self._delivery, self._taken = delivery.id, set()
        for part in list(self._parts(delivery)):
            self._publish(part)

    def _publish(self, part: Sequence[Entry]) -> None:
        entries = {str(n): entry for n, entry in enumerate(part)}
        batch = [{"Id": n, **entry} for n, entry in entries.items()]

        def attempt(sns: Any) -> Any:
            return sns.publish_batch(TopicArn=self._arn, PublishBatchRequestEntries=batch)

        try:
            answer = self._sns.call(f"publish to {self._arn}", attempt)
        except ServiceFault as error:
            if error.fault not in _FINAL:
                raise SinkUnavailable(str(error)) from None
            said = str(error).rstrip(".")
            raise QueryError(f"{said}: nothing is lost; it goes on with this delivery") from None
        self._taken |= {_id_of(entries[one["Id"]]) for one in answer.get("Successful", ())}
        for failed in answer.get("Failed", ()):
            said = f"{self._arn} does not take event {_id_of(entries[failed['Id']])}: "
            said += f"{failed.get('Code')} {failed.get('Message', '')}".strip()
            raise QueryError(said) if failed.get("SenderFault") else SinkUnavailable(said)

    def close(self) -> None:
        """See ``EventSink``."""
        self._sns.close()

    def _parts(self, delivery: Delivery) -> Iterator[list[Entry]]:
        """The messages that the topic does not have yet, as many at once as it takes; QueryError for one that is too
        large."""
        part: list[Entry] = []
        size = 0
        for event in delivery.events:
            id, message = str(event["id"]), as_json(event)
            length = len(message) + len(id) + sum(map(len, _ATTRIBUTE))
            if length > _BYTES:
                raise QueryError(
                    f"{self._arn} does not take event {id}: it has {length:,} bytes, a message of SNS at most "
                    f"{_BYTES:,}; select fewer columns, or deliver to a file or a topic of Kafka"
                )
            if id in self._taken:
                continue
            if part and (self._is_fifo or len(part) == _MESSAGES or size + length > _BYTES):
                yield part
                part, size = [], 0
            part.append(self._entry(id, message.decode()))
            size += length
        if part:
            yield part

    def _entry(self, id: str, message: str) -> Entry:
        name, kind = _ATTRIBUTE
        entry = {"Message": message, "MessageAttributes": {name: {"DataType": kind, "StringValue": id}}}
        if self._is_fifo:
            digest = hashlib.sha256(id.encode()).hexdigest()
            entry |= {"MessageDeduplicationId": digest, "MessageGroupId": id.partition("/")[0]}
        return entry


def _id_of(entry: Entry) -> str:
    return str(entry["MessageAttributes"][_ATTRIBUTE[0]]["StringValue"])


def is_topic_arn(text: str) -> bool:
    """Whether this is the ARN of a topic."""
    return _ARN.fullmatch(text) is not None


def open_sns_sink(address: str, settings: Mapping[str, str]) -> SnsSink:
    """The topic of ``sns://ARN``, or of ``sns://NAME`` in the caller's account and region."""
    for name in settings:
        if name not in SETTINGS:
            known = f"{meant(name, SETTINGS, 'known')} are {', '.join(SETTINGS)}"
            raise QueryError(f"there is no setting {name} of a topic of SNS; {known}")
    wanted = address.partition("://")[2]
    known_arn = _ARN.fullmatch(wanted)
    if known_arn is None and _TOPIC.fullmatch(wanted) is None:
        raise QueryError(
            f"{address!r:.200} names no topic of SNS: give sns://arn:aws:sns:REGION:ACCOUNT:TOPIC, or sns://TOPIC"
        )
    region = settings.get("region") or (None if known_arn is None else known_arn["region"])
    access = Access(settings.get("profile"), region, settings.get("endpoint"))
    try:
        sns = Client("sns", access, _BUDGET)
        region = sns.boto.meta.region_name  # also an error of the configuration shows here
        if known_arn is not None:
            return SnsSink(wanted, sns)
        caller = Client("sts", access, _BUDGET).call("find the AWS account", lambda sts: sts.get_caller_identity())
    except StoreError as error:
        raise QueryError(f"{address}: {error}") from None
    partition, account = str(caller["Arn"]).split(":")[1], caller["Account"]
    return SnsSink(f"arn:{partition}:sns:{region}:{account}:{wanted}", sns)
