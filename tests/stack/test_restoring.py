"""deploy/OPERATIONS.md is followed as it is written: the catalogue of a deployment is restored."""

from __future__ import annotations

import re
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError

import dataflow as df
from operators.errors import DataflowError
from runtime import Store
from tests.stack.aws_commands import aws
from tests.stack.following import RESTORING, SOON, Reads, T, count, put
from tests.stack.following import reads as reads
from tests.stack.test_deploy import _aws as _aws
from tests.stack.test_deploy import name as name
from tests.stack.test_deploy import run as run
from tests.stack.test_mending import deploy as deploy
from tests.stack.test_versions_alarms import release
from tests.waiting import until

pytestmark = pytest.mark.stack

RESERVED = "ReservedConcurrentExecutions"


def digest(store: str) -> str:
    metric = df.stream("s").group_by("k").agg(n=df.count(), v=df.sum("v"), last=df.max("t"))
    return str(Store(store).query(metric, progress=False).proof.result)


def settings_of(table: str) -> dict[str, Any]:
    """What a table is beside its items."""
    client = boto3.client("dynamodb")
    found = client.describe_table(TableName=table)["Table"]
    recovery = client.describe_continuous_backups(TableName=table)["ContinuousBackupsDescription"]
    tags = client.list_tags_of_resource(ResourceArn=found["TableArn"])["Tags"]
    return {
        "recovery": recovery["PointInTimeRecoveryDescription"]["PointInTimeRecoveryStatus"],
        "tags": {tag["Key"]: tag["Value"] for tag in tags},
        "billing": found["BillingModeSummary"]["BillingMode"],
        **{n: found.get(n) for n in ("KeySchema", "AttributeDefinitions", "SSEDescription", "StreamSpecification")},
        "protection": found["DeletionProtectionEnabled"],
    }


def emptied(table: str) -> None:
    client = boto3.client("dynamodb")
    keys = [k["AttributeName"] for k in client.describe_table(TableName=table)["Table"]["KeySchema"]]
    for page in client.get_paginator("scan").paginate(TableName=table):
        for item in page["Items"]:
            client.delete_item(TableName=table, Key={key: item[key] for key in keys})


def test_the_catalogue_is_restored(name: str, run: Any, deploy: Any, reads: Reads, tmp_path: Path) -> None:
    """Once it is, the store answers as at that moment; what was ingested after it comes again, and what is new."""
    release(tmp_path, "code", SOON)
    outputs = deploy("")
    store, landing = outputs["Store"], outputs["LandingBucket"]
    page = reads(outputs)
    table = page.values["TABLE"]
    for number in (1, 2):
        put(landing, "s", number)
    until(lambda: count(store) == 2)
    before, was = digest(store), settings_of(table)
    page.values["TIME"] = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
    time.sleep(1.1)
    put(landing, "s", 3)
    until(lambda: count(store) == 3)
    emptied(table)
    with pytest.raises(DataflowError):
        digest(store)

    page.follows(f"{RESTORING} 1")
    put(landing, "s", 4)  # it waits meanwhile
    with pytest.raises(ClientError, match="Rate Exceeded"):
        boto3.client("lambda").invoke(FunctionName=f"{name}-reconcile:live", Payload=b"{}")
    page.follows(f"{RESTORING} 2")
    page.follows(f"{RESTORING} 3")
    restored = f"{store}-restored"
    assert digest(restored) == before
    page.follows(f"{RESTORING} 4")
    assert digest(store) == before
    assert settings_of(table) == was | {"recovery": "DISABLED", "protection": False, "tags": {}}
    page.follows(f"{RESTORING} 5")
    assert settings_of(table) == was
    page.follows(f"{RESTORING} 6", "aws lambda delete-function-concurrency", "dataflow undo", "dataflow erase")
    until(lambda: count(store) == 4)
    for function in ("reconcile", "compact", "retain", "sweep"):
        reply = boto3.client("lambda").get_function_concurrency(FunctionName=f"{name}-{function}")
        assert reply[RESERVED] == (2 if function == "reconcile" else 1)
    put(landing, "s", 5)
    until(lambda: count(store) == 5)
    page.follows(f"{RESTORING} 7")
    assert f"{table}-restored" not in boto3.client("dynamodb").list_tables()["TableNames"]

    # Of a deployment that reserves nothing.
    page.does(
        f"{RESTORING} 6", "aws lambda delete-function-concurrency --function-name NAME-FUNCTION", FUNCTION="sweep"
    )
    assert boto3.client("lambda").get_function_concurrency(FunctionName=f"{name}-sweep").get(RESERVED) is None

    # The table is gone with its recovery.
    said = page.does(RESTORING, "dataflow backup STORE TO", code=1, TO="copy")
    enable = re.search(r"aws (dynamodb update-continuous-backups [^)]*)\)", said)
    assert enable is not None
    aws(enable[1].split())
    now = digest(store)
    boto3.client("dynamodb").update_table(TableName=table, DeletionProtectionEnabled=False)
    boto3.client("dynamodb").delete_table(TableName=table)
    page.does(RESTORING, "dataflow recover STORE")
    assert digest(store) == now
    # What was made after the moment, once more.
    newest = Store(store).sources("s", 1)[0].short
    page.does(f"{RESTORING} 6", "dataflow undo STORE STREAM SOURCE", STREAM="s", SOURCE=newest)
    assert count(store) == 4
    page.does(f"{RESTORING} 6", "dataflow erase STORE STREAM --key KEY", STREAM="s", KEY="a")
    assert count(store) == 0

    # A store in a folder.
    Store(tmp_path / "store").ingest("s", {"k": ["a"], "t": [T]}, key="k", time="t", unit="ms", progress=False)
    page.does("Backup and restore", "dataflow backup FOLDER TO", FOLDER="store", TO="copy")
    assert (tmp_path / "copy" / "catalogue.sqlite").exists()
    run("destroy", "--delete-data", "--confirm", name)
