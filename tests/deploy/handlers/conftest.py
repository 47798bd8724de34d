"""A fake deployment: landing bucket, store, queue and topic in moto, and the functions' environment."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from deploy.handlers import ingest
from runtime.storage.open_store import OpenStore
from runtime.store import Store
from tests.deploy.handlers.deployed import ENVIRONMENT, STORE, Lines
from tests.runtime.conftest import aws as aws
from tests.runtime.conftest import client_of


@pytest.fixture
def deployed(aws: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """The deployed store."""
    client_of("s3").create_bucket(Bucket="landing")
    monkeypatch.setattr(OpenStore, "_shared", {})
    ingest._s3.cache_clear()
    ingest._sqs.cache_clear()
    sqs, cloudwatch = client_of("sqs"), client_of("cloudwatch")
    queue, dead = (sqs.create_queue(QueueName=name)["QueueUrl"] for name in ("arrivals", "dead"))
    arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    redrive = {"deadLetterTargetArn": arn, "maxReceiveCount": 5}
    sqs.set_queue_attributes(QueueUrl=queue, Attributes={"RedrivePolicy": json.dumps(redrive)})
    cloudwatch.put_metric_alarm(
        AlarmName="waiting", MetricName="ApproximateAgeOfOldestMessage", Namespace="AWS/SQS", Threshold=900,
        ComparisonOperator="GreaterThanThreshold", EvaluationPeriods=1, Period=300, Statistic="Maximum",
    )  # fmt: skip
    topic = client_of("sns").create_topic(Name="alerts")["TopicArn"]
    places = {"ANTFOLD_QUEUE": queue, "ANTFOLD_WAITING_ALARM": "waiting"}
    for name, value in {**ENVIRONMENT, **places, "ANTFOLD_ALERTS": topic}.items():
        monkeypatch.setenv(name, value)
    store = Store(STORE, create=True)
    assert store.streams() == []  # which makes the table
    yield store
    store.close()


@pytest.fixture
def lines(capsys: pytest.CaptureFixture[str]) -> Callable[[], Lines]:
    """The lines that were written since this was last called."""

    def read() -> Lines:
        out: list[dict[str, Any]] = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
        return Lines(out)

    return read
