"""What of a deployment needs attention: what it is, why, and the command that mends it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from deploy.handlers.events import landed
from deploy.stack.actions.queues import DeployedQueue
from deploy.stack.resources.resource_names import ResourceNames, errors_command
from runtime.aws.access import Access
from runtime.aws.client import Client, ServiceFault
from runtime.display.text_tables import iso, printable
from runtime.errors import FormatError
from runtime.progress import count_of
from runtime.upkeep.quarantined import QuarantinedSource, counts_by_reason

_REASONS = 3  # of a stream's quarantine
_TEXT = 300  # letters of a reason


@dataclass(frozen=True)
class Attention:
    """Something that needs attention: ``kind`` is one of stack, function, alarm, dead letters, quarantine; ``why`` are
    phrases, the most important first; ``mend`` is a command or what else to do."""

    kind: str
    what: str
    why: tuple[str, ...]
    mend: str

    def to_dict(self) -> dict[str, Any]:
        """The JSON form."""
        return asdict(self) | {"why": list(self.why)}

    def __str__(self) -> str:
        """Lines, also where a reason has several."""
        said = [self.what, *(f"    {line}" for line in self.why), f"    -> {self.mend}"]
        return "\n".join(printable(line, None) for line in said)


@dataclass(frozen=True)
class AlarmStatus:
    """An alarm: its id in the template, state (OK, ALARM, INSUFFICIENT_DATA), description and reason."""

    logical: str
    state: str
    description: str = ""
    reason: str = ""
    since: str = ""


@dataclass(frozen=True)
class FunctionState:
    """The state of a function, of its last update, and the reasons that Lambda gives."""

    name: str
    state: str
    update: str = ""
    reasons: tuple[str, ...] = field(default=())

    @property
    def is_active(self) -> bool:
        """Whether it runs the code that was deployed last, at the latest when it is invoked (Inactive)."""
        return self.state in ("Active", "Inactive", "") and self.update in ("Successful", "")


def of_stack(name: str, status: str, failure: str) -> Iterator[Attention]:
    """A stack that is not complete; ``failure`` names the resource that failed first, if one did."""
    if status.endswith("_COMPLETE") and "ROLLBACK" not in status:
        return
    why = (failure,) if failure else ()
    if status.endswith("_IN_PROGRESS"):
        mend = "wait until it is done: dataflow status"
    elif status in ("UPDATE_ROLLBACK_COMPLETE", "IMPORT_ROLLBACK_COMPLETE"):
        mend = "it runs as it was before: correct the cause, then dataflow deploy"
    elif status == "UPDATE_ROLLBACK_FAILED":
        mend = f"aws cloudformation continue-update-rollback --stack-name {name}, then dataflow deploy"
    else:
        mend = f"dataflow destroy --name {name}, then dataflow deploy"
    yield Attention("stack", f"the stack is in {status}", why, mend)


def of_functions(found: Sequence[FunctionState]) -> Iterator[Attention]:
    """Functions that do not run, or not what was deployed."""
    for one in found:
        if not one.is_active:
            state = f"its update is {one.update}" if one.state in ("Active", "Inactive", "") else one.state
            mend = "wait a minute" if "Pending" in state or "InProgress" in state else "dataflow deploy"
            yield Attention("function", f"the function {one.name}: {state}", one.reasons, mend)


_MENDS = {
    "DeadLettersAlarm": "dataflow redrive --name {name} --list",
    "QuarantineAlarm": "dataflow quarantine list '{store}'",
    "WaitingAlarm": "raise ingest_concurrency in antfold.toml and deploy, unless ingest fails: {ingest}",
    "IngestErrorsAlarm": "{ingest}",
    "QueryErrorsAlarm": "{query}",
    "ReconcileErrorsAlarm": "{reconcile}; then dataflow reconcile --name {name} --since all --wait",
    "IngestThrottlesAlarm": "raise ingest_concurrency in antfold.toml, then dataflow deploy",
    "QueryThrottlesAlarm": "raise query_concurrency in antfold.toml, then dataflow deploy",
}
"""What mends an alarm, by its id in the template; the description of others says so."""


def of_alarms(name: str, store: str, found: Mapping[str, AlarmStatus]) -> Iterator[Attention]:
    """Alarms that ring, with their description and CloudWatch's reason."""
    logs = {kind: errors_command(ResourceNames(name).function(kind), "1d") for kind in ("ingest", "query", "reconcile")}
    for alarm, one in found.items():
        if one.state == "ALARM":
            since = f" (since {one.since})" if one.since else ""
            why = (one.description, one.reason and one.reason.rstrip(".") + since)
            mend = _MENDS.get(one.logical, "as its description says").format(name=name, store=store, **logs)
            yield Attention("alarm", f"alarm {alarm}", tuple(text for text in why if text), mend)


def of_dead_letters(name: str, access: Access, count: int) -> Iterator[Attention]:
    """Dead letters, with the objects of some of them."""
    if not count:
        return
    names: list[str] = []
    try:
        for message in DeployedQueue(ResourceNames(name).dead, access).received(0):
            try:
                names += [found.name for found in landed(message.body)]
            except FormatError:
                names.append(f"message {message.id}, which is no S3 event")
    except ServiceFault as error:
        names.append(f"which ones is not known: {error}")
    more = [f"and {count - len(names):,} more"] if 0 < len(names) < count else []
    yield Attention(
        "dead letters",
        f"{count_of(count, 'dead letter')}: ingest failed on their objects each time",
        (*sorted(set(names)), *more),
        f"dataflow redrive --name {name} --list says why; without --list it moves them back",
    )


def of_quarantine(store: str, found: Sequence[QuarantinedSource]) -> Iterator[Attention]:
    """Sources in quarantine that were not dismissed, by stream, with the reasons of the newest."""
    waiting = [source for source in found if source.entry.waits_for_attention]
    for stream in sorted({source.stream for source in waiting}):
        mine = [source for source in waiting if source.stream == stream]
        by_reason = counts_by_reason(mine)
        newest = list(dict.fromkeys(source.short_reason for source in mine))
        why = []
        for reason in newest[:_REASONS]:
            last = next(source for source in mine if source.short_reason == reason)
            why.append(f"{by_reason[reason]:,} x {reason[:_TEXT]} (last: {last.entry.name}, {iso(last.at)[:19]})")
        if len(newest) > _REASONS:
            why.append(f"and {len(newest) - _REASONS:,} other reasons")
        yield Attention(
            "quarantine",
            f"{count_of(len(mine), 'source')} of {stream} in quarantine",
            tuple(why),
            f"dataflow quarantine list '{store}' --stream {stream}; then retry or dismiss them",
        )


def age_of_oldest(queue: str, access: Access, now: float) -> int | None:
    """The age in seconds of the oldest message of a queue, as CloudWatch knew it last; None if that is not known."""
    from datetime import UTC, datetime, timedelta

    end = datetime.fromtimestamp(now, UTC)
    client = Client("cloudwatch", access)
    try:
        reply = client.call(
            f"read the age of messages in {queue}",
            lambda aws: aws.get_metric_statistics(
                Namespace="AWS/SQS", MetricName="ApproximateAgeOfOldestMessage",
                Dimensions=[{"Name": "QueueName", "Value": queue}], StartTime=end - timedelta(minutes=15), EndTime=end,
                Period=60, Statistics=["Maximum"],
            ),
        )  # fmt: skip
    except ServiceFault:
        return None
    points = sorted(reply.get("Datapoints", ()), key=lambda point: point["Timestamp"])
    return int(points[-1]["Maximum"]) if points else None
