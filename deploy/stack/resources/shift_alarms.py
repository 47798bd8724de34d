"""Alarms on a version that an update shifts calls to: while they are there, one that rings takes the update back.

The functions' other alarms see all versions together, and workers have none because queries repeat failed tasks.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from deploy.handlers.logs import NAMESPACE
from deploy.stack.resources.cloudformation import Resource, Value, ref
from deploy.stack.resources.resource_names import LIVE, errors_command

SHIFT = "ShiftAlarm"
"""The end of the logical ids of these alarms."""

_SHARE = 0.05
"""Of the calls, in a minute."""


def shift_alarms(title: str, name: str, version: Value) -> dict[str, Resource]:
    """The alarms, by logical id, on a version of the function ``name``; ``title`` is its logical id."""
    return dict(_alarms(title, name, version))


def _alarms(title: str, name: str, version: Value) -> Iterator[tuple[str, Resource]]:
    kind = title.lower()
    called = {"FunctionName": name, "Resource": f"{name}:{LIVE}", "ExecutedVersion": version}
    says = f"The new version of the {kind} function fails in over 5 % of its calls"
    # Lambda reports 0 or 1 for each call, so the average is the share of calls that failed.
    yield f"{title}{SHIFT}", _alarm(name, "shift", says, "AWS/Lambda", "Errors", called)
    if title == "Ingest":
        # Objects that fail are in the reply, which is no error to Lambda. The average is of messages to a call.
        says = "The new version of the ingest function fails on objects: more than one message to 20 of its calls"
        failing = {"Function": name, "Version": version}
        yield f"{title}Failing{SHIFT}", _alarm(name, "failing-shift", says, NAMESPACE, "MessagesFailed", failing)
    if title == "Worker":
        # The query function calls its version of the worker by number, which the alias and its alarm do not see.
        says = "The new version of the worker function fails in over 5 % of the calls of the new query function"
        called = {"FunctionName": name, "Resource": {"Fn::Join": [":", [name, version]]}}
        yield f"{title}Called{SHIFT}", _alarm(name, "called-shift", says, "AWS/Lambda", "Errors", called)


def _alarm(name: str, what: str, says: str, space: str, metric: str, of: dict[str, Value]) -> Resource:
    properties: dict[str, Any] = {
        "AlarmName": f"{name}-{what}",
        "AlarmDescription": f"{says}; `dataflow deploy` goes back, or by hand: dataflow deploy --rollback. Why: "
        f"{errors_command(name, '1h')}",
        "Namespace": space,
        "MetricName": metric,
        "Dimensions": [{"Name": key, "Value": value} for key, value in of.items()],
        "Statistic": "Average",
        "Period": 60,
        "EvaluationPeriods": 1,
        "DatapointsToAlarm": 1,
        "Threshold": _SHARE,
        "ComparisonOperator": "GreaterThanThreshold",
        "TreatMissingData": "notBreaching",
        "AlarmActions": [ref("Alerts")],
        "OKActions": [ref("Alerts")],
    }
    return Resource("AWS::CloudWatch::Alarm", properties)
