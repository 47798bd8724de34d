"""The state of a deployment: its stack, functions, queues, streams and alarms, and why what needs attention does."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from deploy.passes import PassesNote, passes
from deploy.stack.actions import attention
from deploy.stack.actions.attention import AlarmStatus, Attention, FunctionState
from deploy.stack.actions.change_sets import Stack
from deploy.stack.actions.deployed import no_stack
from deploy.stack.actions.watch import PAGE
from deploy.stack.resources.resource_names import LANDING, LIVE, ResourceNames, reached
from runtime.aws.access import Access
from runtime.aws.client import Client, ServiceFault
from runtime.catalogue import Catalogue
from runtime.errors import StoreError

if TYPE_CHECKING:
    from runtime import Store

DAY = 86_400_000_000
"""Microseconds for which rejects are counted."""


@dataclass(frozen=True)
class FunctionStatus:
    """One function; ``concurrency`` is its reservation (None: none); ``update`` the state of its last update.

    ``version`` is the live one ("": deployed before functions had versions). During an update, ``following`` is the
    version that has ``share`` of the calls.
    """

    name: str
    state: str
    memory: int
    timeout: int
    concurrency: int | None
    changed: str
    update: str = ""
    version: str = ""
    following: str = ""
    share: float = 0.0


@dataclass(frozen=True)
class StreamStatus:
    """A stream of the store; ``last_ingest`` is the time of its newest commit (microseconds UTC), ``age`` the seconds
    since then. ``quarantined`` counts the ``dismissed`` sources, too; ``rejected_last_day`` are rows."""

    name: str
    files: int
    rows: int
    sources: int
    quarantined: int
    last_ingest: int
    dismissed: int = 0
    rejected_last_day: int = 0
    age: int = 0


@dataclass(frozen=True)
class Status:
    """The state of a deployment. ``waiting`` and ``dead`` count messages: of new objects, and dead letters;
    ``waiting_seconds`` is the age of the oldest (None: not known). ``attention``: what needs it, and why."""

    name: str
    stack: str
    changed: str
    outputs: Mapping[str, str]
    functions: tuple[FunctionStatus, ...]
    waiting: int | None
    dead: int | None
    streams: tuple[StreamStatus, ...]
    alarms: Mapping[str, str]
    attention: tuple[Attention, ...] = ()
    waiting_seconds: int | None = None
    passes: PassesNote | None = None
    """Those of reconcile over the landing bucket."""

    @property
    def ok(self) -> bool:
        """Whether nothing needs attention: stack complete, functions active, no active alarm, no dead letters, no
        source in quarantine but dismissed ones."""
        return not self.attention

    def to_dict(self) -> dict[str, Any]:
        """The JSON form; times as ISO-8601."""
        from runtime.display.text_tables import iso

        found = asdict(self) | {"ok": self.ok}
        for stream in found["streams"]:
            stream["last_ingest"] = iso(stream["last_ingest"])
        return found | {"attention": [one.to_dict() for one in self.attention]}


def status(name: str, access: Access) -> Status:
    """The status of the deployment ``name``; ``DeployError`` if there is none."""
    stack = Stack(name, access)
    seen = stack.seen()
    if seen is None:
        raise no_stack(name)
    parts = stack.resources()
    functions = [physical for _, type_, physical in parts if type_ == "AWS::Lambda::Function" and physical]
    alarms = {physical: id_ for id_, type_, physical in parts if type_ == "AWS::CloudWatch::Alarm" and physical}
    places = ResourceNames(name)
    queued = any(type_ == "AWS::SQS::Queue" for _, type_, _ in parts)
    found = tuple(_functions(functions, access))
    ringing = _alarms(alarms, access)
    dead = _messages(places.dead, access) if queued else None
    waiting = _messages(places.queue, access) if queued else None
    url = reached(seen.outputs["Store"], access) if "Store" in seen.outputs else ""
    store = _opened(url)
    streams = tuple(_streams(store))
    poisoned = [stream.name for stream in streams if stream.quarantined > stream.dismissed]
    failed = "ROLLBACK" in seen.status or seen.status.endswith("_FAILED")
    needs = [
        *attention.of_stack(name, seen.status, stack.last_failure() if failed else ""),
        *attention.of_functions([state for _, state in found]),
        *attention.of_alarms(name, url, ringing),
        *attention.of_dead_letters(name, access, dead or 0),
        *(attention.of_quarantine(url, store.quarantined(*poisoned)) if store is not None and poisoned else ()),
    ]
    return Status(
        name,
        seen.status,
        seen.changed,
        seen.outputs,
        tuple(function for function, _ in found),
        waiting,
        dead,
        streams,
        {alarm: one.state for alarm, one in ringing.items()},
        tuple(needs),
        attention.age_of_oldest(places.queue, access, time.time()) if waiting else None,
        _passes(store, seen.outputs),
    )


def _functions(names: Sequence[str], access: Access) -> Iterator[tuple[FunctionStatus, FunctionState]]:
    client = Client("lambda", access)
    for name in sorted(names):
        reply = _sent(client, f"look at the function {name}", "get_function", FunctionName=name)
        found = reply["Configuration"]
        state, update = str(found.get("State", "")), str(found.get("LastUpdateStatus", ""))
        said = (found.get("StateReason"), found.get("LastUpdateStatusReason"))
        yield (
            FunctionStatus(
                name,
                state,
                int(found["MemorySize"]),
                int(found["Timeout"]),
                reply.get("Concurrency", {}).get("ReservedConcurrentExecutions"),
                str(found["LastModified"]),
                update,
                *_versions(client, name),
            ),
            FunctionState(name, state, update, tuple(str(text) for text in said if text)),
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


def _opened(url: str) -> Store | None:
    """The store; None before the first ingest."""
    from runtime.store import Store

    if not url:
        return None
    opened = Store(url)
    try:
        opened.catalogue.streams()
    except StoreError as error:
        if "no store" in str(error):
            return None
        raise
    return opened


def _passes(store: Store | None, outputs: Mapping[str, str]) -> PassesNote | None:
    """What reconcile found; None before the first ingest."""
    bucket = outputs.get("LandingBucket")
    return None if store is None or bucket is None else passes(store.catalogue, f"s3://{bucket}/{LANDING}")


def _streams(store: Store | None) -> Iterator[StreamStatus]:
    """The streams of the store."""
    if store is None:
        return
    now = time.time_ns() // 1000
    for name in store.catalogue.streams():
        found = store.catalogue.snapshot(name, 0, 0)
        rejected = found.rejected - rejected_until(store.catalogue, name, found.seq, now - DAY)
        yield StreamStatus(
            name, found.total_files, found.total_rows, found.sources, found.quarantined, found.at, found.dismissed,
            max(0, rejected), max(0, now - found.at) // 1_000_000,
        )  # fmt: skip


def rejected_until(catalogue: Catalogue, stream: str, last: int, moment: int) -> int:
    """Rows that the stream had rejected as of ``moment`` (microseconds UTC), by its commits up to ``last``.

    Times never fall along the log, so a few of its records are read.
    """
    low, high, rejected = 0, last, 0  # commit `low` is not after the moment, nor is any before it
    while low < high:
        middle = (low + high + 1) // 2
        record = catalogue.record(stream, middle)
        if record.at <= moment:
            low, rejected = middle, record.totals.rejected
        else:
            high = middle - 1
    return rejected


def _alarms(alarms: Mapping[str, str], access: Access) -> dict[str, AlarmStatus]:
    """The alarms by name; given with their ids in the template."""
    client = Client("cloudwatch", access)
    found: dict[str, AlarmStatus] = {}
    names = list(alarms)
    for at in range(0, len(names), PAGE):
        reply = _sent(client, "look at the alarms", "describe_alarms", AlarmNames=names[at : at + PAGE])
        for alarm in reply["MetricAlarms"]:
            since = alarm.get("StateUpdatedTimestamp")
            found[str(alarm["AlarmName"])] = AlarmStatus(
                alarms.get(str(alarm["AlarmName"]), ""),
                str(alarm["StateValue"]),
                str(alarm.get("AlarmDescription") or ""),
                str(alarm.get("StateReason") or ""),
                "" if since is None else str(since)[:19],
            )
    return dict(sorted(found.items()))


def _sent(client: Client, what: str, method: str, **arguments: Any) -> Any:
    return client.call(what, lambda aws: getattr(aws, method)(**arguments))
