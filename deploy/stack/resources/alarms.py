"""Alarms, their topic, and a dashboard."""

from __future__ import annotations

import json
from typing import Any

from deploy.stack.resources.cloudformation import Resource, Value, logical, policy, ref, sub
from deploy.stack.resources.function_resources import functions
from deploy.stack.resources.resource_names import ResourceNames
from deploy.stack.resources.storage import key
from deploy.stack.settings import StackSettings

NAMESPACE = "antfold"
"""The namespace of the metrics in the functions' logs."""


def watch(settings: StackSettings) -> dict[str, Resource]:
    """The resources, by logical id."""
    places = ResourceNames(settings.name)
    found = {
        "Alerts": Resource(
            "AWS::SNS::Topic", {"TopicName": f"{settings.name}-alerts", "KmsMasterKeyId": key(settings)}
        ),
        "AlertsPolicy": _topic_policy(),
        "DeadLettersAlarm": _alarm(
            "Ingest failed on these objects too often: its log says why; then redrive the dead letters.",
            "AWS/SQS", "ApproximateNumberOfMessagesVisible", {"QueueName": places.dead}, 0,
        ),
        "WaitingAlarm": _alarm(
            "Events of new objects have waited for 15 minutes: ingest cannot keep up.",
            "AWS/SQS", "ApproximateAgeOfOldestMessage", {"QueueName": places.queue}, 900, named=places.waiting,
        ),
        "QuarantineAlarm": _alarm(
            "A source was quarantined: `dataflow status` and the ingest log say why.",
            NAMESPACE, "SourcesQuarantined", {"Function": places.function("ingest")}, 0, "Sum",
        ),
    }  # fmt: skip
    for function in functions(settings):
        if not function.built:
            continue
        name, title = {"FunctionName": places.function(function.name)}, function.name.capitalize()
        if function.name == "worker":
            continue  # throttles pace fleets, and failed tasks are repeated: queries report both
        found[f"{title}ErrorsAlarm"] = _alarm(
            f"The {function.name} function failed: its log says why.", "AWS/Lambda", "Errors", name, 0, "Sum"
        )
        found[f"{title}ThrottlesAlarm"] = _alarm(
            f"The {function.name} function is throttled: raise its concurrency, or the account's.",
            "AWS/Lambda", "Throttles", name, 0, "Sum",
        )  # fmt: skip
    for stream in sorted(settings.streams):
        found[logical("Late", stream)] = _alarm(
            f"Points of {stream} are not delivered; Firehose drops them after 24 hours.",
            "AWS/Firehose", "DeliveryToS3.DataFreshness", {"DeliveryStreamName": places.delivery(stream)},
            max(900, 3 * settings.firehose_seconds),
        )  # fmt: skip
    if settings.alert_email:
        found["AlertsByMail"] = Resource(
            "AWS::SNS::Subscription",
            {"TopicArn": ref("Alerts"), "Protocol": "email", "Endpoint": settings.alert_email},
        )
    found["Dashboard"] = Resource(
        "AWS::CloudWatch::Dashboard",
        {"DashboardName": sub(f"{settings.name}-${{AWS::Region}}"), "DashboardBody": _dashboard(settings)},
    )
    return found


def _topic_policy() -> Resource:
    publish = {
        "Sid": "Alarms",
        "Effect": "Allow",
        "Principal": {"Service": "cloudwatch.amazonaws.com"},
        "Action": "sns:Publish",
        "Resource": ref("Alerts"),
        "Condition": {"StringEquals": {"aws:SourceAccount": ref("AWS::AccountId")}},
    }
    secure = {
        "Sid": "OnlyOverTls",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "sns:Publish",
        "Resource": ref("Alerts"),
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    return Resource("AWS::SNS::TopicPolicy", {"Topics": [ref("Alerts")], "PolicyDocument": policy([publish, secure])})


def _alarm(
    says: str,
    space: str,
    metric: str,
    of: dict[str, Value],
    above: float,
    statistic: str = "Maximum",
    named: str | None = None,
) -> Resource:
    """``named``: its name, if another resource refers to it by that."""
    return Resource(
        "AWS::CloudWatch::Alarm",
        {
            **({} if named is None else {"AlarmName": named}),
            "AlarmDescription": says,
            "Namespace": space,
            "MetricName": metric,
            "Dimensions": [{"Name": name, "Value": value} for name, value in of.items()],
            "Statistic": statistic,
            "Period": 300,
            "EvaluationPeriods": 1,
            "Threshold": above,
            "ComparisonOperator": "GreaterThanThreshold",
            "TreatMissingData": "notBreaching",
            "AlarmActions": [ref("Alerts")],
            "OKActions": [ref("Alerts")],
        },
    )


def _dashboard(settings: StackSettings) -> Value:
    places = ResourceNames(settings.name)
    deployed = [places.function(f.name) for f in functions(settings) if f.built]
    ingest = places.function("ingest")
    rows = [
        [NAMESPACE, metric, "Function", ingest] for metric in ("RowsIngested", "RowsRejected", "SourcesQuarantined")
    ]
    queues = [["AWS/SQS", "ApproximateNumberOfMessagesVisible", "QueueName", q] for q in (places.queue, places.dead)]
    late = [
        ["AWS/Firehose", "DeliveryToS3.DataFreshness", "DeliveryStreamName", places.delivery(s)]
        for s in sorted(settings.streams)
    ]
    panels = [
        ("Rows", "Sum", rows),
        ("Objects that wait", "Maximum", queues),
        ("Age of what Firehose holds (s)", "Maximum", late),
        *(
            (title, statistic, [["AWS/Lambda", metric, "FunctionName", name] for name in deployed])
            for title, metric, statistic in (
                ("Executions at once", "ConcurrentExecutions", "Maximum"),
                ("Duration (ms)", "Duration", "p99"),
                ("Errors", "Errors", "Sum"),
                ("Throttles", "Throttles", "Sum"),
            )
        ),
    ]
    shown = [_panel(i, *panel) for i, panel in enumerate(p for p in panels if p[2])]
    return sub(json.dumps({"widgets": shown}, sort_keys=True))


def _panel(number: int, title: str, statistic: str, metrics: list[Any]) -> dict[str, Any]:
    return {
        "type": "metric",
        "x": 8 * (number % 3),
        "y": 6 * (number // 3),
        "width": 8,
        "height": 6,
        "properties": {
            "title": title, "stat": statistic, "metrics": metrics, "period": 300, "region": "${AWS::Region}",
            "view": "timeSeries",
        },
    }  # fmt: skip
