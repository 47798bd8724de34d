"""The topic of alarms, and a dashboard; the alarms themselves are in ``alarm_rules.py``."""

from __future__ import annotations

import json
from typing import Any

from deploy.handlers.logs import NAMESPACE
from deploy.stack.resources.alarm_rules import AlarmRule, rules
from deploy.stack.resources.cloudformation import Resource, Value, policy, ref, sub
from deploy.stack.resources.function_resources import functions
from deploy.stack.resources.resource_names import ResourceNames
from deploy.stack.resources.storage import key
from deploy.stack.settings import StackSettings


def watch(settings: StackSettings) -> dict[str, Resource]:
    """The resources, by logical id."""
    found = {
        "Alerts": Resource(
            "AWS::SNS::Topic", {"TopicName": f"{settings.name}-alerts", "KmsMasterKeyId": key(settings)}
        ),
        "AlertsPolicy": _topic_policy(),
    }
    for rule in rules(settings):
        found[rule.id] = _alarm(settings, rule)
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


def _alarm(settings: StackSettings, rule: AlarmRule) -> Resource:
    return Resource(
        "AWS::CloudWatch::Alarm",
        {
            "AlarmName": ResourceNames(settings.name).alarm(rule.what),
            "AlarmDescription": rule.says,
            **rule.properties(),
            "AlarmActions": [ref("Alerts")],
            "OKActions": [ref("Alerts")],
        },
    )


def _dashboard(settings: StackSettings) -> Value:
    places = ResourceNames(settings.name)
    deployed = [places.function(f.name) for f in functions(settings)]
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
