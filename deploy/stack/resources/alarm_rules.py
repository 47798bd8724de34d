"""Every alarm: when it rings, what that means, and the command that mends it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from deploy.handlers.logs import NAMESPACE
from deploy.stack.resources.cloudformation import FunctionResource, logical
from deploy.stack.resources.function_resources import functions
from deploy.stack.resources.resource_names import ResourceNames, errors_command
from deploy.stack.settings import StackSettings, StreamSettings

PERIOD = 300
"""Seconds of a data point."""

WAITING = "waiting"
"""The alarm of a backlog: ``{deployment}-waiting``."""

_HOUR, _DAY = 3_600, 86_400


@dataclass(frozen=True)
class Metric:
    """A metric of CloudWatch with its dimensions; ``statistic``: of the values of a period."""

    space: str
    name: str
    dimensions: tuple[tuple[str, str], ...]
    statistic: str = "Maximum"

    def properties(self) -> dict[str, Any]:
        """As CloudFormation has it, without period and statistic."""
        listed = [{"Name": name, "Value": value} for name, value in self.dimensions]
        return {"Namespace": self.space, "MetricName": self.name, "Dimensions": listed}


@dataclass(frozen=True)
class AlarmRule:
    """An alarm ``{deployment}-{what}``, with the logical id ``id``.

    It rings if ``metrics``, put together by ``expression`` if there are several (by their names in lower case), is
    above ``limit`` (``below``: under it) in ``ringing`` of the last ``periods`` of ``period`` seconds. ``missing``:
    whether a period without data counts as ringing.
    """

    what: str
    id: str
    says: str
    metrics: tuple[Metric, ...]
    limit: float
    below: bool = False
    expression: str | None = None
    period: int = PERIOD
    periods: int = 1
    ringing: int = 1
    missing: bool = False

    def properties(self) -> dict[str, Any]:
        """As CloudFormation has them."""
        found: dict[str, Any] = {
            "EvaluationPeriods": self.periods,
            "DatapointsToAlarm": self.ringing,
            "Threshold": self.limit,
            "ComparisonOperator": "LessThanThreshold" if self.below else "GreaterThanThreshold",
            "TreatMissingData": "breaching" if self.missing else "notBreaching",
        }
        if self.expression is None:
            (metric,) = self.metrics
            return found | metric.properties() | {"Statistic": metric.statistic, "Period": self.period}
        parts: list[dict[str, Any]] = [
            {
                "Id": metric.name.lower(),
                "ReturnData": False,
                "MetricStat": {"Metric": metric.properties(), "Period": self.period, "Stat": metric.statistic},
            }
            for metric in self.metrics
        ]
        return found | {"Metrics": [{"Id": "result", "Expression": self.expression, "ReturnData": True}, *parts]}


def rules(settings: StackSettings) -> Iterator[AlarmRule]:
    """The alarms of a deployment."""
    yield from _of_queues(settings)
    for function in functions(settings):
        # Throttles pace the fleet of workers, and failed tasks are repeated: queries report both.
        if function.name != "worker":
            yield from _of_function(settings, function)
    yield _of_https(settings)
    for name, stream in sorted(settings.streams.items()):
        yield from _of_stream(settings, name, stream)


def _of_queues(settings: StackSettings) -> Iterator[AlarmRule]:
    places = ResourceNames(settings.name)
    visible = "ApproximateNumberOfMessagesVisible"
    yield AlarmRule(
        "dead-letters", "DeadLettersAlarm",
        "Ingest failed on objects five times and gave up: their points are not in the store. `dataflow status` says "
        "why; once that is mended: dataflow redrive",
        (Metric("AWS/SQS", visible, (("QueueName", places.dead),)),), 0,
    )  # fmt: skip
    yield AlarmRule(
        WAITING, "WaitingAlarm",
        "New objects have waited for 15 minutes: ingest is stopped, fails, or cannot keep up. Which one: dataflow "
        "status. If it cannot keep up, raise ingest_concurrency and deploy",
        (Metric("AWS/SQS", "ApproximateAgeOfOldestMessage", (("QueueName", places.queue),)),), 900,
    )  # fmt: skip
    yield AlarmRule(
        "quarantine", "QuarantineAlarm",
        "A source cannot be ingested and was set aside: its points are not in the store. Which, and why: dataflow "
        "quarantine list; then `dataflow quarantine retry` or `dismiss`",
        (Metric(NAMESPACE, "SourcesQuarantined", (("Function", places.function("ingest")),), "Sum"),), 0,
    )  # fmt: skip
    yield AlarmRule(
        "missed-schedules", "MissedSchedulesAlarm",
        "A scheduled run could not be started, three times: the function is missing, denied or throttled: "
        f"aws cloudformation detect-stack-drift --stack-name {settings.name}. Which runs, and aws sqs purge-queue once "
        f"it is mended: aws sqs receive-message --queue-url $(aws sqs get-queue-url --queue-name {places.missed} "
        "--output text) --message-attribute-names All. More: dataflow status",
        (Metric("AWS/SQS", visible, (("QueueName", places.missed),)),), 0,
    )  # fmt: skip


_MEND = {
    "ingest": "objects are tried again by themselves; those given up: dataflow redrive",
    "query": "a scheduled run is tried again by itself, twice",
}
_ASYNC = {
    "query": "the result of that time is not saved, and no alert was sent",
    "reconcile": "objects whose event was lost are still missing; start it again: dataflow reconcile",
}


def _of_function(settings: StackSettings, function: FunctionResource) -> Iterator[AlarmRule]:
    kind = function.name
    name, title = ResourceNames(settings.name).function(kind), kind.capitalize()
    of = (("FunctionName", name),)
    yield AlarmRule(
        f"{kind}-errors", f"{title}ErrorsAlarm",
        f"The function {name} failed: {_MEND.get(kind, 'its next run does what this one left')}. Why: "
        f"{errors_command(name, '1h')}",
        (Metric("AWS/Lambda", "Errors", of, "Sum"),), 0,
    )  # fmt: skip
    more = f"{kind}_concurrency" if kind in ("ingest", "query") else "the account's concurrency"
    if not settings.reserve:
        more = "the account's concurrency (Service Quotas)"
    # Of those that run one at a time a second start waits: Lambda repeats it for hours.
    if function.concurrency > 1:
        yield AlarmRule(
            f"{kind}-throttles", f"{title}ThrottlesAlarm",
            f"Lambda refused to start the function {name}: too many run at once. Raise {more}, then: dataflow deploy",
            (Metric("AWS/Lambda", "Throttles", of, "Sum"),), 0,
        )  # fmt: skip
    if kind == "ingest":
        return  # the queue invokes it, and keeps what fails
    yield AlarmRule(
        f"{kind}-dropped", f"{title}DroppedAlarm",
        f"Lambda gave up an invocation of the function {name} after all attempts: "
        f"{_ASYNC.get(kind, 'its next run does what this one left')}. Why: {errors_command(name, '6h')}",
        (Metric("AWS/Lambda", "AsyncEventsDropped", of, "Sum"),), 0,
    )  # fmt: skip


def _of_https(settings: StackSettings) -> AlarmRule:
    name = ResourceNames(settings.name).function("query")
    return AlarmRule(
        "https-errors", "HttpsErrorsAlarm",
        "Queries over HTTPS were answered with 5xx, by no fault of their callers: dataflow status. Why: aws logs tail "
        f"/aws/lambda/{name} --since 1h --filter-pattern failed",
        (Metric(NAMESPACE, "QueriesFailed", (("Function", name), ("Class", "server")), "Sum"),), 0,
    )  # fmt: skip


def _of_stream(settings: StackSettings, name: str, stream: StreamSettings) -> Iterator[AlarmRule]:
    places = ResourceNames(settings.name)
    delivery = (("DeliveryStreamName", places.delivery(name)),)
    rows = (("Function", places.function("ingest")), ("Stream", name))
    log = f"aws logs tail {places.delivery_log} --log-stream-names {name} --since 1d"
    yield AlarmRule(
        f"{name}-late", logical("Late", name),
        f"Points of {name} are not delivered; Firehose drops them after 24 hours. Why: {log}",
        (Metric("AWS/Firehose", "DeliveryToS3.DataFreshness", delivery),), max(900, 3 * settings.firehose_seconds),
    )  # fmt: skip
    yield AlarmRule(
        f"{name}-delivery", logical("Failing", name),
        f"Firehose cannot write points of {name} to the landing bucket; it tries again for 24 hours. Why: {log}; if a "
        f"permission or the key was removed: aws cloudformation detect-stack-drift --stack-name {settings.name}",
        # One failed attempt in 15 minutes is S3's everyday life.
        (Metric("AWS/Firehose", "DeliveryToS3.Success", delivery, "Average"),), 1, below=True, periods=3, ringing=2,
    )  # fmt: skip
    yield AlarmRule(
        f"{name}-rejects", logical("Rejects", name),
        f"More than {stream.reject_share:.3%} of the rows of {name} were rejected: their sender or its format changed. "
        f"Which rows, and why: dataflow rejects STORE {name} (STORE: dataflow status)",
        (
            Metric(NAMESPACE, "RowsIngested", rows, "Sum"),
            Metric(NAMESPACE, "RowsRejected", rows, "Sum"),
        ),
        stream.reject_share, expression="rowsrejected / (rowsingested + rowsrejected)",
    )  # fmt: skip
    if stream.silent_minutes is not None:
        seconds = 60 * stream.silent_minutes
        # CloudWatch looks back a day at most, or a week by periods of an hour.
        period = PERIOD if seconds <= _DAY else _HOUR
        yield AlarmRule(
            f"{name}-silent", logical("Silent", name),
            f"No row of {name} was ingested for {stream.silent_minutes:,} minutes: its senders are silent, or what "
            "they send does not arrive (another alarm says where). When the last one came: dataflow status",
            (Metric(NAMESPACE, "RowsIngested", rows, "Sum"),), 1, below=True, period=period,
            periods=seconds // period, ringing=seconds // period, missing=True,
        )  # fmt: skip
