"""``dataflow deploy`` on ministack: from nothing to arriving points, and back to nothing.

ministack 1.4 accepts every resource of the template but does not emulate all: it enforces neither policies nor
encryption, reserves no concurrency for functions that CloudFormation creates, fires no alarms, and retains nothing
when a stack is deleted. ``destroy`` does not rely on the last: it removes resources from a stack that stays.
"""

from __future__ import annotations

import json
import os
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

from deploy.cli import main
from deploy.stack.resources.alarm_rules import rules
from deploy.stack.settings import load
from tests.stack import gaps

pytestmark = pytest.mark.stack

CONFIG = """
[deployment]
name = "{name}"
shift_minutes = 0

[streams.telemetry]
key = "device"
time = "ts"
unit = "ms"

[[schedules]]
query = "uptime"
every = "rate(1 hour)"

[tenants.acme]
principal = "arn:aws:iam::444455556666:root"
"""
HANDLER = """
import json

def handler(event, context):
    print("GIVEN " + json.dumps(event))
    return {}
"""


@pytest.fixture(autouse=True)
def _aws(ministack: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    gaps.mend(monkeypatch)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def name(tmp_path: Path) -> str:
    """A deployment of this test, described in antfold.toml, with code in code.zip that reports its input."""
    name = f"t{os.urandom(4).hex()}"
    (tmp_path / "antfold.toml").write_text(CONFIG.format(name=name))
    with zipfile.ZipFile(tmp_path / "code.zip", "w") as code:
        for package in ("deploy", "deploy/handlers"):
            code.writestr(f"{package}/__init__.py", "")
        for function in ("worker", "ingest", "query", "reconcile"):
            code.writestr(f"deploy/handlers/{function}.py", HANDLER)
    return name


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*arguments: str, code: int | None = 0) -> str:
        capsys.readouterr()
        found = main(list(arguments))
        out, err = capsys.readouterr()
        assert code is None or found == code, out + err
        return str(out + err)

    return run


def s3() -> Any:
    return boto3.client("s3", config=Config(s3={"addressing_style": "path"}))


def everything(name: str) -> set[str]:
    """What there is of a deployment, whatever its stack says."""
    found = {f"function {f['FunctionName']}" for f in boto3.client("lambda").list_functions()["Functions"]}
    found |= {f"queue {url.rpartition('/')[2]}" for url in boto3.client("sqs").list_queues().get("QueueUrls", ())}
    found |= {f"role {r['RoleName']}" for r in boto3.client("iam").list_roles()["Roles"]}
    # Those that forget nothing are not ours: the emulator makes them for what a function that is gone still had to say
    # (on AWS its role may not).
    logs = boto3.client("logs").describe_log_groups()["logGroups"]
    found |= {f"log {g['logGroupName']}" for g in logs if "retentionInDays" in g}
    found |= {f"topic {t['TopicArn']}" for t in boto3.client("sns").list_topics()["Topics"]}
    found |= {
        f"delivery {d}" for d in boto3.client("firehose").list_delivery_streams(Limit=1000)["DeliveryStreamNames"]
    }
    found |= {f"schedule {s['Name']}" for s in boto3.client("scheduler").list_schedules()["Schedules"]}
    found |= {f"alarm {a['AlarmName']}" for a in boto3.client("cloudwatch").describe_alarms()["MetricAlarms"]}
    dashboards = boto3.client("cloudwatch").list_dashboards()["DashboardEntries"]
    found |= {f"dashboard {d['DashboardName']}" for d in dashboards}
    found |= {f"bucket {b['Name']}" for b in s3().list_buckets()["Buckets"]}
    found |= {f"table {t}" for t in boto3.client("dynamodb").list_tables()["TableNames"]}
    found |= {a["AliasName"] for a in boto3.client("kms").list_aliases()["Aliases"]}
    stacks = boto3.client("cloudformation").list_stacks()["StackSummaries"]
    found |= {f"stack {s['StackName']}" for s in stacks if s["StackStatus"] != "DELETE_COMPLETE"}
    return {thing for thing in found if name in thing}


def kept(name: str) -> set[str]:
    """What holds data, as it is called."""
    return {
        f"stack {name}", f"table {name}-catalogue", f"alias/{name}", f"alias/{name}-signing",
        *(f"bucket {name}-{kind}-000000000000-us-east-1" for kind in ("data", "landing")),
    }  # fmt: skip


def said(group: str, text: str) -> Iterator[str]:
    """The lines of a log that hold a text."""
    logs = boto3.client("logs")
    for stream in logs.describe_log_streams(logGroupName=group)["logStreams"]:
        events = logs.get_log_events(logGroupName=group, logStreamName=stream["logStreamName"])["events"]
        yield from (e["message"] for e in events if text in e["message"])


def test_from_nothing_and_back(name: str, run: Any, tmp_path: Path) -> None:
    assert everything(name) == set()
    dry = run("deploy", "--bundle", "code.zip", "--dry-run")
    assert "Add      DataBucket" in dry
    assert everything(name) == set()

    outputs = dict(
        line.split(": ", 1)
        for line in run("deploy", "--bundle", "code.zip", "--yes").splitlines()
        if ": " in line and not line.startswith(" ")
    )
    assert outputs["Store"] == f"s3://{name}-data-000000000000-us-east-1/store?table={name}-catalogue"
    assert outputs["DeliveryTelemetry"] == f"{name}-telemetry"
    made = everything(name)
    assert kept(name) < made
    for f in ("worker", "ingest", "query", "reconcile"):
        assert {f"function {name}-{f}", f"log /aws/lambda/{name}-{f}"} < made
    assert {f"schedule {name}-reconcile", f"schedule {name}-uptime", f"dashboard {name}-us-east-1"} < made

    assert "no changes" in run("deploy", "--bundle", "code.zip", "--yes")
    assert everything(name) == made

    # A record that is put is an object that lands, is news in the queue, and is given to ingest.
    boto3.client("firehose").put_record(
        DeliveryStreamName=f"{name}-telemetry", Record={"Data": b'{"device": "a", "ts": 1}'}
    )
    end = time.monotonic() + 30
    while not (given := list(said(f"/aws/lambda/{name}-ingest", "ObjectCreated"))) and time.monotonic() < end:
        time.sleep(0.2)
    records = json.loads(given[0].strip().removeprefix("GIVEN "))["Records"]  # S3's test event may be among them
    (news,) = [n for r in records for n in json.loads(r["body"]).get("Records", ())]
    assert news["s3"]["object"]["key"].startswith("landing/telemetry/")
    assert news["s3"]["bucket"]["name"] == f"{name}-landing-000000000000-us-east-1"

    status = json.loads(run("status", "--format", "json"))
    assert status["ok"]
    assert [f["name"] for f in status["functions"]] == [
        f"{name}-{f}" for f in ("compact", "ingest", "query", "reconcile", "retain", "sweep", "worker")
    ]
    assert (status["dead"], status["streams"]) == (0, [])
    alarms = {f"{name}-{rule.what}" for rule in rules(load("antfold.toml"))}
    assert set(status["alarms"]) == alarms
    assert f"alarms: {len(alarms)}, none active" in run("status")

    text = (tmp_path / "antfold.toml").read_text()
    (tmp_path / "antfold.toml").write_text(text.replace("[streams", "query_memory = 3008\n\n[streams"))
    changed = run("deploy", "--bundle", "code.zip", "--dry-run")
    shown = [line.split()[:2] for line in changed.splitlines()[2:-2]]
    # ministack does not see that the alias changes, too, before the version exists.
    assert ["Modify", "Query"] in shown
    assert [action for action, name in shown if name.startswith("QueryVersion")] == ["Add"]
    assert len(shown) == 2
    run("deploy", "--bundle", "code.zip", "--yes")
    assert boto3.client("lambda").get_function(FunctionName=f"{name}-query")["Configuration"]["MemorySize"] == 3008

    data = f"{name}-data-000000000000-us-east-1"
    s3().put_object(Bucket=data, Key="store/data/x", Body=b"points")
    made = everything(name)
    assert "Remove   Worker" in run("destroy", "--dry-run")
    assert everything(name) == made
    printed = run("destroy", "--yes")
    assert everything(name) == kept(name)
    for thing in kept(name):
        if not thing.startswith("alias/"):
            assert thing in printed
    assert s3().get_object(Bucket=data, Key="store/data/x")["Body"].read() == b"points"
    assert "no longer runs" in run("destroy", "--yes")  # again: it is so already

    run("deploy", "--bundle", "code.zip", "--yes")  # and it runs again, with its data
    assert everything(name) == made
    assert s3().get_object(Bucket=data, Key="store/data/x")["Body"].read() == b"points"

    assert "confirm with --confirm" in run("destroy", "--delete-data", code=2)
    assert "confirm with --confirm" in run("destroy", "--delete-data", "--confirm", "other", code=2)
    assert everything(name) == made
    run("destroy", "--delete-data", "--confirm", name)
    assert everything(name) == set()
    keys = boto3.client("kms")
    (signing,) = {outputs["SigningKey"]}
    assert keys.describe_key(KeyId=signing)["KeyMetadata"]["KeyState"] == "PendingDeletion"
    assert "nothing of" in run("destroy", "--delete-data", "--confirm", name, code=1)
    assert "there is no stack" in run("destroy", "--yes", code=1)
    assert "there is no stack" in run("status", code=1)


def test_points_are_counted(name: str, run: Any, tmp_path: Path) -> None:
    """The table and the bucket of the template are those that the store's code uses."""
    run("deploy", "--bundle", "code.zip", "--yes")
    (tmp_path / "points.ndjson").write_text('{"device": "a", "ts": 1709251200000, "temp": 1.5}\n')
    store = f"s3://{name}-data-000000000000-us-east-1/store?table={name}-catalogue"
    run("ingest", store, "telemetry", "points.ndjson", "--key", "device", "--time", "ts", "--unit", "ms")
    (stream,) = json.loads(run("status", "--format", "json"))["streams"]
    assert (stream["name"], stream["files"], stream["rows"], stream["quarantined"]) == ("telemetry", 1, 1, 0)
    assert stream["last_ingest"][:4] == time.strftime("%Y", time.gmtime())
    assert "telemetry" in run("status")
    run("destroy", "--delete-data", "--confirm", name)
    assert everything(name) == set()


def test_a_first_deployment_that_fails(name: str, run: Any) -> None:
    """It names the resource that failed, the next attempt says what to do, and then it works."""
    firehose = boto3.client("firehose")
    firehose.create_delivery_stream(
        DeliveryStreamName=f"{name}-telemetry",
        ExtendedS3DestinationConfiguration={"BucketARN": "arn:aws:s3:::lake", "RoleARN": "arn:aws:iam::0:role/r"},
    )
    printed = run("deploy", "--bundle", "code.zip", "--yes", code=1)
    assert "ROLLBACK_COMPLETE: DeliveryTelemetry (AWS::KinesisFirehose::DeliveryStream): " in printed
    printed = run("deploy", "--bundle", "code.zip", "--yes", code=1)
    assert "is in ROLLBACK_COMPLETE" in printed
    assert f"dataflow destroy --name {name}" in printed
    assert run("status", code=1).startswith(f"{name}: ROLLBACK_COMPLETE")
    firehose.delete_delivery_stream(DeliveryStreamName=f"{name}-telemetry")
    run("destroy", "--name", name, "--yes")
    assert everything(name) == set()
    run("deploy", "--bundle", "code.zip", "--yes")
    run("destroy", "--delete-data", "--confirm", name)


def test_more_than_the_account_has(name: str, run: Any, tmp_path: Path) -> None:
    text = (tmp_path / "antfold.toml").read_text()
    (tmp_path / "antfold.toml").write_text(text.replace("[streams", "worker_concurrency = 3000\n\n[streams"))
    printed = run("deploy", "--bundle", "code.zip", "--yes", code=1)
    assert "would reserve 3,065 concurrent executions; this account's limit is 1,000 in us-east-1" in printed
    assert "set worker_concurrency to 835 or less" in printed
    assert everything(name) == set()


def test_a_template_too_large_for_one_request(name: str, run: Any, tmp_path: Path) -> None:
    """It goes by way of the artifacts bucket."""
    more = "".join(f"\n[streams.more{i}]\nkey = 'k'\ntime = 't'\n" for i in range(20))
    with (tmp_path / "antfold.toml").open("a") as file:
        file.write(more)
    assert "Add      DeliveryMore19" in run("deploy", "--bundle", "code.zip", "--dry-run")
    assert everything(name) == set()
    run("deploy", "--bundle", "code.zip", "--yes")
    assert f"delivery {name}-more19" in everything(name)
    assert "no changes" in run("deploy", "--bundle", "code.zip", "--dry-run")
    run("destroy", "--delete-data", "--confirm", name)
    assert everything(name) == set()
