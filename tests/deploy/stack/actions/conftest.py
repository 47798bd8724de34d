"""A deployment in moto: a stack with outputs, landing bucket, queues, a log, a store; no functions."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

import boto3
import pytest

from deploy.handlers.events import Landed, message
from deploy.stack.actions.deployed import DeployedParts
from runtime.aws.access import Access
from runtime.ingest import Settings, quarantine
from runtime.store import Store
from tests.runtime.conftest import aws as aws

LANDING = "fleet-landing-1"
STORE = "s3://lake/store?table=fleet-catalogue"
STREAM = {"key": "k", "time": "t", "unit": "ms"}


@dataclass
class Fleet:
    """The deployment ``fleet`` and its parts."""

    store: Store
    parts: DeployedParts

    def land(self, name: str, data: bytes, stream: str = "s") -> Landed:
        """An object of the landing bucket."""
        key = f"landing/{stream}/{name}"
        put = boto3.client("s3").put_object(Bucket=LANDING, Key=key, Body=data)
        return Landed(LANDING, key, len(data), put["ETag"].strip('"'))

    def bury(self, *bodies: str) -> None:
        """Make messages dead letters."""
        for body in bodies:
            boto3.client("sqs").send_message(QueueUrl=self.url("dead"), MessageBody=body)

    def url(self, queue: str) -> str:
        return str(boto3.client("sqs").get_queue_url(QueueName=f"fleet-{queue}")["QueueUrl"])

    def waiting(self, queue: str) -> list[str]:
        """The bodies of the messages that are visible; they stay so."""
        sqs, url = boto3.client("sqs"), self.url(queue)
        found: list[dict[str, Any]] = []
        while more := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, VisibilityTimeout=60).get("Messages"):
            found += more
        for m in found:
            sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=m["ReceiptHandle"], VisibilityTimeout=0)
        return sorted(m["Body"] for m in found)

    def set_aside(self, found: Landed, reason: str, stream: str = "s") -> None:
        none: dict[str, Any] = dict.fromkeys(("duplicates", "id", "missing_key"))
        settings = Settings.of(self.store.catalogue.schema(stream), stream, format="auto", **STREAM, **none)
        assert quarantine(self.store.catalogue, stream, settings, found.identity, found.name, found.size or 0, reason)

    def log(self, *lines: dict[str, Any]) -> None:
        """Write lines of ingest's log."""
        logs = boto3.client("logs")
        now = time.time_ns() // 1_000_000
        events = [{"timestamp": now + n, "message": json.dumps(line)} for n, line in enumerate(lines)]
        logs.put_log_events(logGroupName="/aws/lambda/fleet-ingest", logStreamName="a", logEvents=events)


@pytest.fixture
def fleet(aws: None, monkeypatch: pytest.MonkeyPatch) -> Fleet:
    outputs = {"Store": {"Value": STORE}, "LandingBucket": {"Value": LANDING}}
    topic = {"Type": "AWS::SNS::Topic", "Properties": {"TopicName": "alerts"}}
    boto3.client("cloudformation").create_stack(
        StackName="fleet",
        TemplateBody=json.dumps({"Resources": {"Alerts": topic}, "Outputs": outputs}),
        Tags=[{"Key": "antfold", "Value": "fleet"}],
    )
    boto3.client("s3").create_bucket(Bucket=LANDING)
    for queue in ("ingest", "dead"):
        boto3.client("sqs").create_queue(QueueName=f"fleet-{queue}")
    logs = boto3.client("logs")
    logs.create_log_group(logGroupName="/aws/lambda/fleet-ingest")
    logs.create_log_stream(logGroupName="/aws/lambda/fleet-ingest", logStreamName="a")
    monkeypatch.setattr("deploy.stack.actions.deployed.DeployedParts.streams", lambda self: {"s": STREAM})
    store = Store(STORE, create=True)
    assert store.streams() == []  # which makes the table
    return Fleet(store, DeployedParts("fleet", Access()))


def event(found: Landed) -> str:
    """The message about an object."""
    return message(found)
