"""The bill: all of the template is priced, what one object takes is counted, and the page has what is printed."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import runtime.aws.client
from deploy.cli import main
from deploy.handlers import ingest
from deploy.stack import costs
from deploy.stack.costs import DEVICES, FleetLoad, alarm_metrics, bill, objects, report, total
from deploy.stack.example import EXAMPLE
from deploy.stack.resources.template import table, template
from deploy.stack.settings import StackSettings, load, parse
from runtime.storage.open_store import OpenStore
from runtime.store import Store
from tests.deploy.handlers.conftest import deployed as deployed
from tests.deploy.handlers.deployed import Context, batch, event, land, records
from tests.runtime.conftest import aws as aws

ROOT = Path(__file__).resolve().parents[3]
EXAMPLES = parse(EXAMPLE)
WHOLE = load(ROOT / "tests" / "deploy" / "golden" / "antfold.toml")

FREE = {
    "AWS::DynamoDB::Table": "by requests and stored bytes",
    "AWS::IAM::Role": "free",
    "AWS::KMS::Alias": "free",
    "AWS::KinesisFirehose::DeliveryStream": "by bytes",
    "AWS::Lambda::EventSourceMapping": "by requests to the queue",
    "AWS::Lambda::Function": "by use",
    "AWS::Lambda::Url": "free",
    "AWS::Logs::LogGroup": "by bytes",
    "AWS::Logs::LogStream": "by bytes",
    "AWS::S3::Bucket": "by requests and stored bytes",
    "AWS::S3::BucketPolicy": "free",
    "AWS::SNS::Subscription": "by mails: the first thousand a month are free",
    "AWS::SNS::Topic": "by mails",
    "AWS::SNS::TopicPolicy": "free",
    "AWS::SQS::Queue": "by requests",
    "AWS::SQS::QueuePolicy": "free",
    "AWS::Scheduler::Schedule": "by runs",
    # Of other parts of the template.
    "AWS::Lambda::Alias": "free",
    "AWS::Lambda::EventInvokeConfig": "free",
    "AWS::Lambda::Permission": "free",
    "AWS::Lambda::Version": "free, but for the stored code (75 GB of a region are free)",
}
"""Types of resources that cost nothing by themselves: what they are paid by."""

PRICED = {"AWS::CloudWatch::Alarm", "AWS::CloudWatch::Dashboard", "AWS::KMS::Key"}


def parts(settings: StackSettings, of: FleetLoad) -> dict[str, costs.CostLine]:
    return {line.what: line for line in bill(settings, of)}


@pytest.mark.parametrize("settings", [EXAMPLES, WHOLE, StackSettings()], ids=["example", "whole", "no streams"])
def test_everything_that_is_deployed_is_priced(settings: StackSettings) -> None:
    resources = template(settings)["Resources"]
    types = Counter(r["Type"] for r in resources.values())
    assert set(types) <= set(FREE) | PRICED
    found = parts(settings, FleetLoad(10))
    assert found["keys"].count == types["AWS::KMS::Key"]
    assert found["dashboard"].count == types["AWS::CloudWatch::Dashboard"]
    # Every metric of every alarm, those within metric math singly.
    alarms = [r["Properties"] for r in resources.values() if r["Type"] == "AWS::CloudWatch::Alarm"]
    read = sum(json.dumps(a).count('"MetricName"') for a in alarms)
    assert found["metrics that alarms read"].count == read == alarm_metrics(table(settings))
    assert read > len(alarms) or not settings.streams


def counted(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """The requests that clients made from now on send, with the units that DynamoDB charges for writes."""
    counts: Counter[str] = Counter()
    make = runtime.aws.client._make

    def made(service: str, *rest: Any) -> Any:
        client = make(service, *rest)

        def asked(params: Mapping[str, Any], model: Any, **_: object) -> None:
            counts[f"{service}.{model.name}"] += 1
            for item in params.get("TransactItems", ()) if model.name == "TransactWriteItems" else ():
                ((_, request),) = item.items()
                held = request.get("Item", request.get("Key"))
                size = sum(len(name) + len(json.dumps(value, default=str)) for name, value in held.items())
                counts["writes"] += 2 * math.ceil(size / 1_024)

        client.meta.events.register(f"provide-client-params.{service}", asked)
        return client

    monkeypatch.setattr(runtime.aws.client, "_make", made)
    return counts


def test_what_an_object_takes(
    deployed: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a stream that has some already; within a fifth of what the bill has."""
    counts = counted(monkeypatch)
    monkeypatch.setattr(OpenStore, "_shared", {})
    ingest._s3.cache_clear()
    logged = 0
    for n in range(4):
        counts.clear()
        capsys.readouterr()
        ingest.handler(batch(event(land(f"in/s/{n}", records(*range(100 * n, 100 * n + 100))))), Context())
        logged = len(capsys.readouterr().out)
    ingest._s3.cache_clear()
    assert counts["s3.GetObject"] == costs.GETS
    assert counts["s3.PutObject"] == costs.PUTS
    assert 0.8 <= counts["writes"] / costs.WRITES <= 1.2
    assert 0.8 <= (counts["dynamodb.GetItem"] + counts["dynamodb.Query"]) / costs.READS <= 1.2
    assert 0.8 <= (logged + 600) / costs.LOG <= 1.2


def test_firehose_rounds_up() -> None:
    """30 days of 10 messages a second, 200 bytes each: 25 times their size, unless 25 of them are a record."""
    found = parts(EXAMPLES, FleetLoad(600, 60, 200))
    (firehose,) = [line for what, line in found.items() if what.startswith("Firehose")]
    assert firehose.count == pytest.approx(10 * 30 * 86_400 * 5_000 / 1e9)
    assert firehose.dollars == pytest.approx(firehose.count * 0.029)
    together = parts(EXAMPLES, FleetLoad(600, 60, 200, 25))[firehose.what]
    assert together.dollars == pytest.approx(firehose.dollars / 25)


def test_objects_of_a_month() -> None:
    """By time where little comes, by size where much does, and never more than messages."""
    assert objects(EXAMPLES, FleetLoad(0)) == 0
    assert objects(EXAMPLES, FleetLoad(1, 86_400)) == 30
    assert objects(EXAMPLES, FleetLoad(10)) == 30 * 1_440
    assert objects(EXAMPLES, FleetLoad(3_000_000, 1)) == pytest.approx(3_000_000 * 30 * 86_400 * 200 / (64 << 20))
    assert objects(WHOLE, FleetLoad(10)) == 2 * 30 * 1_440
    assert objects(replace(EXAMPLES, firehose_seconds=300), FleetLoad(10)) == 30 * 288


def test_more_costs_more() -> None:
    sums = [total(EXAMPLES, FleetLoad(n)) for n in (0, *DEVICES)]
    assert sums == sorted(sums)
    assert total(EXAMPLES, FleetLoad(10).idle()) < sums[0] < total(WHOLE, FleetLoad(0))
    every = "[[schedules]]\nquery = 'q'\nevery = '{}'\n"
    for when, runs in (("rate(5 minutes)", 30 * 288), ("cron(0 6 * * ? *)", 30)):
        assert costs.scheduled_runs(table(parse(every.format(when))))["Query"] == runs


def test_the_page_has_what_is_printed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["deploy", "--init"]) == 0
    capsys.readouterr()
    assert main(["deploy", "--costs"]) == 0
    printed = capsys.readouterr().out
    assert printed == report(EXAMPLES) + "\n"
    page = (ROOT / "deploy" / "OPERATIONS.md").read_text(encoding="utf-8")
    assert f"```\n{printed}```" in page


def test_a_price_that_is_missing_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """One more metric, and one more alarm, are one more on the bill."""
    before = parts(EXAMPLES, FleetLoad(10))
    monkeypatch.setattr(costs, "SENT", {**costs.SENT, "query": (*costs.SENT["query"], "QueriesWaited")})
    assert parts(EXAMPLES, FleetLoad(10))["custom metrics"].count == before["custom metrics"].count + 1
    silent = parse(EXAMPLE + "\n[streams.other]\nkey = 'k'\ntime = 't'\nsilent_minutes = 60\n")
    assert (
        parts(silent, FleetLoad(10))["metrics that alarms read"].count == before["metrics that alarms read"].count + 5
    )
