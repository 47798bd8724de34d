"""deploy/OPERATIONS.md is followed as it is written: each of its commands, in the situation that it is for.

What a command mends is made on ministack, by the functions of this repository. Accounts of an organisation are moto's.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import boto3
import pytest
from moto import mock_aws

from runtime import Store
from tests.stack import test_followed_updates, test_restoring
from tests.stack.aws_commands import NotACommand, read
from tests.stack.following import (
    FOLLOWED,
    NOT_RUN,
    SOON,
    Reads,
    T,
    changed,
    count,
    put,
    rings,
    sources,
    stream,
    tries,
    waiting,
)
from tests.stack.following import reads as reads
from tests.stack.operations_page import PageReader, page_commands
from tests.stack.test_deploy import _aws as _aws
from tests.stack.test_deploy import name as name
from tests.stack.test_deploy import run as run
from tests.stack.test_deploy import s3
from tests.stack.test_mending import deploy as deploy
from tests.stack.test_versions_alarms import release
from tests.waiting import until

BROKEN = """
import os

match os.environ.get("AWS_LAMBDA_FUNCTION_NAME", "").rpartition("-")[2]:
    case "query":
        from deploy.handlers import query

        query.answer = lambda *_: 1 / 0
    case "compact":
        from runtime.store import Store

        Store.compaction = lambda *_, **__: 1 / 0
    case "retain":
        from deploy.handlers import retain

        retain._keep = lambda *_: 1 / 0
    case "sweep":  # a week is long for a test
        from runtime.upkeep import sweep_plan

        object.__setattr__(sweep_plan.STANDARD, "orphan_age", 0)
"""


def test_each_command_of_the_page_is_run_or_listed() -> None:
    places = {command.place for command in page_commands()}
    followed = [place for places in FOLLOWED.values() for place in places]
    assert sorted(followed) == sorted(places)
    assert set(NOT_RUN) <= {(command.place, command.text) for command in page_commands()}
    assert all(name in {**globals(), **vars(test_followed_updates), **vars(test_restoring)} for name in FOLLOWED)


def test_what_is_not_run_is_read() -> None:
    reader = PageReader(["What was removed by hand"], {"aws": lambda words, code: read(words)})
    for place, text in NOT_RUN:
        reader.does(place, text, NAME="x", DETECTION="0123")
    for wrong in ("describe-stack-drift-detection-status", "detect-stack-drift --stack x"):
        with pytest.raises(NotACommand):
            read(["cloudformation", *wrong.split()])


@pytest.mark.stack
def test_objects_that_are_missing(name: str, run: Any, deploy: Any, reads: Reads, tmp_path: Path) -> None:
    release(tmp_path, "code", SOON)
    outputs = deploy('format = "parquet"\n' + stream("r"))
    store, landing = outputs["Store"], outputs["LandingBucket"]
    page = reads(outputs, STREAM="r")
    page.does("At a glance", "dataflow status --name NAME")
    page.does("Operations", "dataflow status")
    page.does("What comes twice, or late", "dataflow status")

    # Dead letters: an object of a stream that is not declared. In quarantine: CSV where Parquet is declared, and noise.
    tries(name, 2)
    put(landing, "late", 1)
    for key, body in (("points.csv", b"k,t,v\na,%d,1\n" % T), ("noise", b"\0\1\2")):
        s3().put_object(Bucket=landing, Key=f"landing/s/{key}", Body=body)
    lines = b'{"k":"a","t":1709287200000}\n{"k":"a","t":"01 Mar 2024, 11.00"}\n'
    s3().put_object(Bucket=landing, Key="landing/r/lines", Body=lines)
    until(lambda: waiting(name, "dead") == 1 and sources(store, "s") == 2 and sources(store, "r") == 1)
    listing = "dataflow redrive --name NAME --list"
    assert "the stream late is not declared" in page.does("Alarms dead-letters", listing)
    said = page.does(
        "Alarms ingest-errors",
        "aws logs tail /aws/lambda/NAME-ingest --since 1h --filter-pattern '?error ?timed ?timeout ?begun'",
    )
    assert all(f"s3://{landing}/landing/{key}" in said for key in ("late/1", "s/noise"))
    assert '"begun"' in said

    # Points that are late, or of which none comes: Firehose says why in its log.
    logs, group = boto3.client("logs"), f"/aws/kinesisfirehose/{name}"
    logs.create_log_stream(logGroupName=group, logStreamName="r")
    event = {"timestamp": int(time.time() * 1000), "message": '{"errorCode":"S3.AccessDenied"}'}
    logs.put_log_events(logGroupName=group, logStreamName="r", logEvents=[event])
    for alarm in ("STREAM-late", "STREAM-delivery"):
        tail = "aws logs tail /aws/kinesisfirehose/NAME --log-stream-names STREAM --since 1d"
        assert "S3.AccessDenied" in page.does(f"Alarms {alarm}", tail)
    assert "last ingest" in page.does("Alarms STREAM-silent", "dataflow status --name NAME", code=1)

    # Rejects: times in another format.
    assert "01 Mar 2024, 11.00" in page.does("Alarms STREAM-rejects", "dataflow rejects STORE STREAM")
    page.does(
        "Alarms STREAM-rejects",
        "dataflow ingest STORE STREAM --retry-rejects --time-format '%d %b %Y, %H.%M'",
    )
    assert count(store, "r") == 2

    # An object waits, since ingest is stopped. It goes on with more at once, and with the settings that were wrong.
    client = boto3.client("lambda")
    (mapping,) = client.list_event_source_mappings(FunctionName=f"{name}-ingest:live")["EventSourceMappings"]
    client.update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)
    put(landing, "r", 5)
    until(lambda: waiting(name, "ingest") == 1)
    rings(name, "waiting", "ALARM")
    said = page.does("Alarms waiting", "dataflow status --name NAME", code=1)
    assert f"alarm {name}-waiting" in said
    assert "waiting objects: 1" in said
    changed(tmp_path, 'format = "parquet"\n', stream("late"))
    changed(tmp_path, "shift_minutes = 0\n", "shift_minutes = 0\ningest_concurrency = 30\n")
    page.does("Alarms waiting", "dataflow deploy")
    template = json.dumps(boto3.client("cloudformation").get_template(StackName=name)["TemplateBody"])
    assert '"ReservedConcurrentExecutions": 30' in template
    client.update_event_source_mapping(UUID=mapping["UUID"], Enabled=True)
    until(lambda: sources(store, "r") == 3)
    rings(name, "waiting", "OK")

    assert "1 moved back" in page.does("Alarms dead-letters", "dataflow redrive --name NAME")
    until(lambda: sources(store, "late") == 1)
    said = page.does("Alarms quarantine", "dataflow quarantine list STORE")
    ids = {s.entry.name.rpartition("/")[2]: s.short for s in Store(store).quarantined()}
    assert all(id_ in said for id_ in ids.values())
    assert "k,t,v" in page.does("Alarms quarantine", "dataflow quarantine show STORE ID", ID=ids["points.csv"])
    page.does("Alarms quarantine", "dataflow quarantine retry STORE ID", ID=ids["points.csv"])
    until(lambda: count(store) == 1)
    page.does("Alarms quarantine", "dataflow quarantine dismiss STORE ID", ID=ids["noise"])
    page.does("At a glance", "dataflow status --name NAME")
    run("destroy", "--delete-data", "--confirm", name)


@pytest.mark.stack
def test_functions_that_fail(name: str, run: Any, deploy: Any, reads: Reads, tmp_path: Path) -> None:
    release(tmp_path, "code", SOON + BROKEN)
    outputs = deploy("")
    store, landing = outputs["Store"], outputs["LandingBucket"]
    page = reads(outputs, STREAM="s")
    put(landing, "s", 1)
    until(lambda: count(store) == 1)

    def tailed(alarm: str, function: str, event: dict[str, Any], since: str) -> str:
        """What the log says of a call that fails."""
        reply = boto3.client("lambda").invoke(FunctionName=f"{name}-{function}:live", Payload=json.dumps(event))
        assert "FunctionError" in reply
        tail = f"aws logs tail /aws/lambda/NAME-{function} --since {since} --filter-pattern '?error ?timed ?timeout'"
        until(lambda: page.does(f"Alarms {alarm}", tail))  # a log comes a moment later
        return page.does(f"Alarms {alarm}", tail)

    assert "ZeroDivisionError" in tailed("query-errors", "query", {"query": "x"}, "6h")
    asked = {"rawPath": "/x", "rawQueryString": "", "requestContext": {"http": {"method": "GET"}}}
    reply = boto3.client("lambda").invoke(FunctionName=f"{name}-query:live", Payload=json.dumps(asked))
    assert json.loads(reply["Payload"].read())["statusCode"] == 500
    tail = "aws logs tail /aws/lambda/NAME-query --since 1h --filter-pattern failed"
    assert '"status": 500' in page.does("Alarms https-errors", tail)

    # An event is lost.
    client = boto3.client("lambda")
    (mapping,) = client.list_event_source_mappings(FunctionName=f"{name}-ingest:live")["EventSourceMappings"]
    client.update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)
    put(landing, "s", 2)
    until(lambda: waiting(name, "ingest") == 1)
    sqs = boto3.client("sqs")
    sqs.purge_queue(QueueUrl=sqs.get_queue_url(QueueName=f"{name}-ingest")["QueueUrl"])
    client.update_event_source_mapping(UUID=mapping["UUID"], Enabled=True)
    assert "is not a time" in tailed("reconcile-errors", "reconcile", {"since": "x"}, "6h")
    assert "1 enqueued" in page.does("Alarms reconcile-errors", "dataflow reconcile --name NAME --wait")
    until(lambda: count(store) == 2)

    # Upkeep that fails for a stream.
    assert '"stream": "s"' in tailed("compact-errors", "compact", {}, "6h")
    page.does("Alarms compact-errors", "dataflow compact STORE STREAM")
    assert '"stream": "s"' in tailed("retain-errors", "retain", {}, "2d")
    page.does("Upkeep", "dataflow retain STORE STREAM --keep 400d --always")
    page.does("Upkeep", "dataflow optimize STORE")

    # Files of no commit.
    bucket = page.values["BUCKET"]
    points = next(f.path for f in Store(store).files("s"))
    for number in range(20):
        orphan = f"store/{points.rpartition('/')[0]}/0000orphan{number}-0.points"
        s3().copy_object(Bucket=bucket, Key=orphan, CopySource={"Bucket": bucket, "Key": f"store/{points}"})
    assert "TooManyOrphans" in tailed("sweep-errors", "sweep", {}, "2d")
    said = page.does(
        "Upkeep",
        "aws lambda invoke --function-name NAME-sweep:live --cli-read-timeout 0 --cli-binary-format "
        "raw-in-base64-out --payload '{\"allow_many\": true}' /dev/stdout",
    )
    assert json.loads(said[: said.index("}") + 1])["removed"] == 20
    assert count(store) == 2

    # A run that could not be started.
    run_of = {
        "SCHEDULE_ARN": {"DataType": "String", "StringValue": f"arn:aws:scheduler:x:0:schedule/default/{name}-sweep"}
    }
    missed = sqs.get_queue_url(QueueName=f"{name}-missed")["QueueUrl"]
    sqs.send_message(QueueUrl=missed, MessageBody="{}", MessageAttributes=run_of)
    said = page.does(
        "Alarms missed-schedules",
        "aws sqs receive-message --queue-url $(aws sqs get-queue-url --queue-name NAME-missed --output text) "
        "--message-attribute-names All --max-number-of-messages 10",
    )
    assert f"{name}-sweep" in said
    page.does(
        "Alarms missed-schedules",
        "aws sqs purge-queue --queue-url $(aws sqs get-queue-url --queue-name NAME-missed --output text)",
    )
    assert waiting(name, "missed") == 0

    changed(tmp_path, "shift_minutes = 0\n", "shift_minutes = 0\ningest_concurrency = 30\nquery_concurrency = 15\n")
    assert "Modify" in page.does("Alarms ingest-throttles", "dataflow deploy")
    changed(tmp_path, "query_concurrency = 15\n", "query_concurrency = 15\nquery_memory = 3008\n")
    assert "Modify" in page.does("What was removed by hand", "dataflow deploy")
    run("destroy", "--delete-data", "--confirm", name)


@pytest.mark.stack
def test_an_account_of_its_own(reads: Reads, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_ENDPOINT_URL")
    with mock_aws():
        boto3.client("organizations").create_organization(FeatureSet="ALL")
        page = reads({"Store": "s3://b/store?table=t"}, EMAIL="someone@example.com")
        create_, describe = page.at("A dedicated account 1")
        made = page.does(create_.place, create_.text).strip()
        assert "SUCCEEDED" in page.does(describe.place, describe.text, ID=made)
