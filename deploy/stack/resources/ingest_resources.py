"""Firehose, the queue, the schedules, and the query function's URL."""

from __future__ import annotations

import json
from typing import Any

from deploy.stack.resources.cloudformation import Resource, arn, logical, policy, ref
from deploy.stack.resources.resource_names import LANDING, LIVE, ResourceNames
from deploy.stack.resources.storage import key
from deploy.stack.resources.versions import alias_of
from deploy.stack.settings import ScheduleSettings, StackSettings

FAILURES = 5
"""Receipts of an object's event before it becomes a dead letter."""

_BATCH = 1
"""Objects per execution of ingest. In a larger batch, one that exhausts the function's time or memory would make dead
letters of all others; and ingest reads them one by one anyway."""

_AT = "<aws.scheduler.scheduled-time>"
"""A placeholder that the scheduler fills in: equal for a repeated start, so it identifies the run."""


def flow(settings: StackSettings) -> dict[str, Resource]:
    """The resources, by logical id."""
    places = ResourceNames(settings.name)
    found = {
        "DeadLetters": _queue(places.dead, MessageRetentionPeriod=1_209_600),
        "MissedSchedules": _queue(places.missed, MessageRetentionPeriod=1_209_600),
        "FirehoseLog": Resource(
            "AWS::Logs::LogGroup",
            {
                "LogGroupName": places.delivery_log,
                "RetentionInDays": settings.log_days,
                "KmsKeyId": key(settings),
            },
        ),
        "Queue": _queue(
            places.queue,
            # Six times the function's time-out, as AWS advises: an event may wait for a free execution first.
            VisibilityTimeout=min(6 * settings.ingest_timeout, 43_200),
            MessageRetentionPeriod=1_209_600,
            RedrivePolicy={"deadLetterTargetArn": arn("DeadLetters"), "maxReceiveCount": FAILURES},
        ),
        "QueuePolicy": _queue_policy(places),
        "IngestSource": Resource(
            "AWS::Lambda::EventSourceMapping",
            {
                "EventSourceArn": arn("Queue"),
                "FunctionName": ref(alias_of("Ingest")),
                "BatchSize": _BATCH,
                "FunctionResponseTypes": ["ReportBatchItemFailures"],
                # Without it, messages for a busy function would count as failed.
                "ScalingConfig": {"MaximumConcurrency": min(settings.ingest_concurrency, 1_000)},
            },
        ),
        "QueryUrl": Resource(
            "AWS::Lambda::Url",
            {"TargetFunctionArn": arn("Query"), "Qualifier": LIVE, "AuthType": "AWS_IAM"},
            after=(alias_of("Query"),),
        ),
        "ReconcileSchedule": _schedule(settings, "reconcile", "rate(1 hour)", "UTC", "Reconcile", {}),
        "CompactSchedule": _schedule(settings, "compact", "rate(15 minutes)", "UTC", "Compact", {}),
        # The sweep after it: what is retired one day goes on the next.
        "RetainSchedule": _schedule(settings, "retain", "cron(10 2 * * ? *)", "UTC", "Retain", {}),
        "SweepSchedule": _schedule(settings, "sweep", "cron(40 3 * * ? *)", "UTC", "Sweep", {}),
    }
    for name in sorted(settings.streams):
        found[logical("Delivery", name)] = _delivery(settings, name)
        found[logical("FirehoseLog", name)] = Resource(
            "AWS::Logs::LogStream", {"LogGroupName": ref("FirehoseLog"), "LogStreamName": name}
        )
    for schedule in settings.schedules:
        found[logical("Schedule", schedule.title)] = _query_schedule(settings, schedule)
    return found


def _queue(name: str, **more: Any) -> Resource:
    return Resource(
        "AWS::SQS::Queue",
        {"QueueName": name, "SqsManagedSseEnabled": True, **more},
        skips={"CKV_AWS_27": "It is encrypted with SQS's own key: events contain object names, no data."},
    )


def _queue_policy(places: ResourceNames) -> Resource:
    send = {
        "Sid": "NewsOfTheLandingBucket",
        "Effect": "Allow",
        "Principal": {"Service": "s3.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": arn("Queue"),
        "Condition": {
            "ArnEquals": {"aws:SourceArn": places.bucket_arn("landing")},
            "StringEquals": {"aws:SourceAccount": ref("AWS::AccountId")},
        },
    }
    secure = {
        "Sid": "OnlyOverTls",
        "Effect": "Deny",
        "Principal": "*",
        "Action": "sqs:*",
        "Resource": arn("Queue"),
        "Condition": {"Bool": {"aws:SecureTransport": "false"}},
    }
    return Resource("AWS::SQS::QueuePolicy", {"Queues": [ref("Queue")], "PolicyDocument": policy([send, secure])})


def _delivery(settings: StackSettings, stream: str) -> Resource:
    places = ResourceNames(settings.name)
    return Resource(
        "AWS::KinesisFirehose::DeliveryStream",
        {
            "DeliveryStreamName": places.delivery(stream),
            "DeliveryStreamType": "DirectPut",
            "DeliveryStreamEncryptionConfigurationInput": {
                "KeyType": "CUSTOMER_MANAGED_CMK",
                "KeyARN": key(settings),
            },
            "ExtendedS3DestinationConfiguration": {
                "BucketARN": places.bucket_arn("landing"),
                "RoleARN": arn("FirehoseRole"),
                "Prefix": f"{LANDING}/{stream}/",
                "ErrorOutputPrefix": f"errors/{stream}/",
                "CloudWatchLoggingOptions": {
                    "Enabled": True,
                    "LogGroupName": ref("FirehoseLog"),
                    "LogStreamName": ref(logical("FirehoseLog", stream)),
                },
                "BufferingHints": {
                    "IntervalInSeconds": settings.firehose_seconds,
                    "SizeInMBs": settings.firehose_mb,
                },
                "CompressionFormat": "GZIP",
                "EncryptionConfiguration": {"KMSEncryptionConfig": {"AWSKMSKeyARN": key(settings)}},
                # By default Firehose puts no delimiter between records.
                "ProcessingConfiguration": {
                    "Enabled": True,
                    "Processors": [
                        {
                            "Type": "AppendDelimiterToRecord",
                            "Parameters": [{"ParameterName": "Delimiter", "ParameterValue": "\\n"}],
                        }
                    ],
                },
            },
        },
        after=("LandingBucket",),
    )


def _query_schedule(settings: StackSettings, schedule: ScheduleSettings) -> Resource:
    said = {
        "query": schedule.query,
        "version": schedule.version,
        "params": dict(schedule.params),
        "since": schedule.since,
        "until": schedule.until,
        "zone": schedule.zone,
        "save": schedule.save,
        "csv": schedule.csv,
        "alert": list(schedule.alert),
    }
    if schedule.deliver is not None:
        said |= {"deliver": schedule.deliver, "lateness": schedule.lateness, "mode": schedule.mode}
    return _schedule(settings, schedule.title, schedule.every, schedule.zone, "Query", {"schedule": said, "at": _AT})


def _schedule(
    settings: StackSettings, title: str, every: str, zone: str, function: str, event: dict[str, Any]
) -> Resource:
    return Resource(
        "AWS::Scheduler::Schedule",
        {
            "Name": f"{settings.name}-{title}",
            "ScheduleExpression": every,
            "ScheduleExpressionTimezone": zone,
            "FlexibleTimeWindow": {"Mode": "OFF"},
            "Target": {
                "Arn": ref(alias_of(function)),
                "RoleArn": arn("SchedulerRole"),
                "Input": json.dumps(event, sort_keys=True),
                "RetryPolicy": {"MaximumRetryAttempts": 2, "MaximumEventAgeInSeconds": 3600},
                "DeadLetterConfig": {"Arn": arn("MissedSchedules")},
            },
        },
        skips={"CKV_AWS_297": "It contains the name of a query and thresholds, no data."},
    )
