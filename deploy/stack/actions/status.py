"""The state of a deployment: its stack, functions, queues, streams and alarms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from deploy.passes import PassesNote, passes
from deploy.stack.actions.change_sets import DeployError, Stack
from deploy.stack.resources.resource_names import LANDING, LIVE, ResourceNames, reached
from runtime.aws.access import Access
from runtime.aws.client import Client, ServiceFault
from runtime.errors import StoreError


@dataclass(frozen=True)
class FunctionStatus:
    """One function; ``concurrency`` is its reservation (None: none).

    ``version`` is the live one ("": deployed before functions had versions). During an update, ``following`` is the
    version that has ``share`` of the calls.
    """

    name: str
    state: str
    memory: int
    timeout: int
    concurrency: int | None
    changed: str
    version: str = ""
    following: str = ""
    share: float = 0.0


@dataclass(frozen=True)
class StreamStatus:
    """A stream of the store; ``last_ingest`` is the time of its newest commit (microseconds UTC)."""

    name: str
    files: int
    rows: int
    sources: int
    quarantined: int
    last_ingest: int


@dataclass(frozen=True)
class Status:
    """The state of a deployment. ``waiting`` and ``dead`` count messages: of new objects, and dead letters."""

    name: str
    stack: str
    changed: str
    outputs: Mapping[str, str]
    functions: tuple[FunctionStatus, ...]
    waiting: int | None
    dead: int | None
    streams: tuple[StreamStatus, ...]
    alarms: Mapping[str, str]
    passes: PassesNote | None = None
    """Those of reconcile over the landing bucket."""

    @property
    def ok(self) -> bool:
        """Whether nothing needs attention: stack complete, no active alarm, no dead letters, no quarantine."""
        return (
            self.stack.endswith("_COMPLETE")
            and "ROLLBACK" not in self.stack
            and not self.dead
            and "ALARM" not in self.alarms.values()
            and not any(stream.quarantined for stream in self.streams)
        )

    def to_dict(self) -> dict[str, Any]:
        """The JSON form; times as ISO-8601."""
        from runtime.display.text_tables import iso

        found = asdict(self) | {"ok": self.ok}
        for stream in found["streams"]:
            stream["last_ingest"] = iso(stream["last_ingest"])
        return found


def status(name: str, access: Access) -> Status:
    """The status of the deployment ``name``; ``DeployError`` if there is none."""
    stack = Stack(name, access)
    seen = stack.seen()
    if seen is None:
        raise DeployError(
            f"there is no stack {name} in this account and region: `dataflow deploy` creates one; check the name and "
            "--region"
        )
    parts = stack.resources()
    functions = [physical for _, type_, physical in parts if type_ == "AWS::Lambda::Function" and physical]
    alarms = [physical for _, type_, physical in parts if type_ == "AWS::CloudWatch::Alarm" and physical]
    places = ResourceNames(name)
    queued = any(type_ == "AWS::SQS::Queue" for _, type_, _ in parts)
    return Status(
        name,
        seen.status,
        seen.changed,
        seen.outputs,
        tuple(_functions(functions, access)),
        _messages(places.queue, access) if queued else None,
        _messages(places.dead, access) if queued else None,
        tuple(_streams(seen.outputs.get("Store"), access)),
        _alarms(alarms, access),
        _passes(seen.outputs, access),
    )


def _functions(names: Sequence[str], access: Access) -> Iterator[FunctionStatus]:
    client = Client("lambda", access)
    for name in sorted(names):
        reply = _sent(client, f"look at the function {name}", "get_function", FunctionName=name)
        found = reply["Configuration"]
        yield FunctionStatus(
            name,
            str(found.get("State", "")),
            int(found["MemorySize"]),
            int(found["Timeout"]),
            reply.get("Concurrency", {}).get("ReservedConcurrentExecutions"),
            str(found["LastModified"]),
            *_versions(client, name),
        )


def _versions(client: Client, name: str) -> tuple[str, str, float]:
    """The version of a function that its alias leads to, the one that an update shifts calls to, and their share."""
    try:
        found = _sent(client, f"look at the alias of {name}", "get_alias", FunctionName=name, Name=LIVE)
    except ServiceFault as error:
        if error.code != "ResourceNotFoundException":
            raise
        return "", "", 0.0
    weights = (found.get("RoutingConfig") or {}).get("AdditionalVersionWeights") or {}
    for version, share in weights.items():
        return str(found["FunctionVersion"]), str(version), float(share)
    return str(found["FunctionVersion"]), "", 0.0


def _messages(queue: str, access: Access) -> int | None:
    """Messages waiting or in flight; None if the queue does not exist."""
    client = Client("sqs", access)
    counts = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    try:
        url = _sent(client, f"find the queue {queue}", "get_queue_url", QueueName=queue)["QueueUrl"]
    except ServiceFault as error:
        if "NonExistentQueue" in error.code or "QueueDoesNotExist" in error.code:
            return None
        raise
    reply = _sent(client, f"look at the queue {queue}", "get_queue_attributes", QueueUrl=url, AttributeNames=counts)
    return sum(int(reply["Attributes"][name]) for name in counts)


def _streams(store: str | None, access: Access) -> Iterator[StreamStatus]:
    """The streams of the store; none before the first ingest."""
    from runtime.store import Store

    if store is None:
        return
    opened = Store(reached(store, access))
    try:
        names = opened.catalogue.streams()
    except StoreError as error:
        if "no store" in str(error):
            return
        raise
    for name in names:
        found = opened.catalogue.snapshot(name)
        yield StreamStatus(name, found.total_files, found.total_rows, found.sources, found.quarantined, found.at)


def _passes(outputs: Mapping[str, str], access: Access) -> PassesNote | None:
    """What reconcile found; None before the first ingest."""
    from runtime.store import Store

    store, bucket = outputs.get("Store"), outputs.get("LandingBucket")
    if store is None or bucket is None:
        return None
    try:
        return passes(Store(reached(store, access)).catalogue, f"s3://{bucket}/{LANDING}")
    except StoreError as error:
        if "no store" in str(error):
            return None
        raise


def _alarms(names: Sequence[str], access: Access) -> dict[str, str]:
    """The state of each alarm: OK, ALARM or INSUFFICIENT_DATA."""
    client = Client("cloudwatch", access)
    found: dict[str, str] = {}
    for at in range(0, len(names), 100):
        reply = _sent(client, "look at the alarms", "describe_alarms", AlarmNames=list(names[at : at + 100]))
        found |= {str(alarm["AlarmName"]): str(alarm["StateValue"]) for alarm in reply["MetricAlarms"]}
    return dict(sorted(found.items()))


def _sent(client: Client, what: str, method: str, **arguments: Any) -> Any:
    return client.call(what, lambda aws: getattr(aws, method)(**arguments))
