"""Following deploy/OPERATIONS.md: which test follows which of its places, what no stand-in can run, and what the tests
share.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import boto3
import pytest

from deploy.cli import main
from deploy.stack.actions import create
from operators.errors import DataflowError
from runtime import Store
from tests.stack.aws_commands import aws
from tests.stack.operations_page import PageReader
from tests.stack.test_deploy import s3

DRIFT = "neither ministack nor moto looks for drift"
NOT_RUN = {
    (
        "What was removed by hand",
        "aws cloudformation detect-stack-drift --stack-name NAME --output text",
    ): DRIFT,
    (
        "What was removed by hand",
        "aws cloudformation describe-stack-drift-detection-status --stack-drift-detection-id DETECTION "
        "--query DetectionStatus",
    ): DRIFT,
    (
        "What was removed by hand",
        "aws cloudformation describe-stack-resource-drifts --stack-name NAME "
        "--stack-resource-drift-status-filters MODIFIED DELETED",
    ): DRIFT,
}
"""The commands that no stand-in can run, and why; their options are read all the same."""

RESTORING = "Restoring the catalogue"
FOLLOWED = {
    "test_objects_that_are_missing": (
        "Operations",
        "At a glance",
        "What comes twice, or late",
        *(
            f"Alarms {alarm}"
            for alarm in (
                "dead-letters",
                "waiting",
                "quarantine",
                "STREAM-rejects",
                "STREAM-silent",
                "STREAM-late",
                "STREAM-delivery",
                "ingest-errors",
            )
        ),
    ),
    "test_functions_that_fail": (
        "Upkeep",
        *(f"Alarms {function}-errors" for function in ("query", "https", "reconcile", "compact", "retain", "sweep")),
        "Alarms ingest-throttles",
        "Alarms missed-schedules",
        "What was removed by hand",
    ),
    "test_updates": (
        "Upgrades",
        *(f"Alarms {what}-shift" for what in ("FUNCTION", "ingest-failing", "worker-called")),
        "A dedicated account 3",
        "Costs",
    ),
    "test_an_account_of_its_own": ("A dedicated account 1",),
    "test_the_catalogue_is_restored": ("Backup and restore", RESTORING, *(f"{RESTORING} {n}" for n in range(1, 8))),
}
"""The places of the page that each test follows."""

SOON = """
from datetime import timedelta
from deploy.handlers import waiting

waiting.SETTLED = timedelta(seconds=-5)  # a quarter of an hour is long for a test
"""
T = 1_700_000_000_000
Reads = Callable[..., PageReader]


class Terminal(io.StringIO):
    """Standard input of somebody who agrees."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def reads(
    name: str, capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> Any:
    """A reader of the places of this test; in the end they must have run everything there that can be run."""
    monkeypatch.setattr(create.Deployment, "_build", lambda *_: Path("code.zip"))

    def dataflow(words: Sequence[str], code: int) -> str:
        asked = {"retain": words[2:3], "erase": words[2:3]}.get(words[0], ["y"])
        monkeypatch.setattr(sys, "stdin", Terminal("".join(f"{word}\n" for word in asked)))
        capsys.readouterr()
        found = main(list(words))
        said = "".join(capsys.readouterr())
        # ministack's alarms ring for the failures of other deployments, too.
        assert found == code or (words[0] == "status" and found == 1), said
        return said

    programs = {"dataflow": dataflow, "aws": lambda words, code: aws(words)}
    reader = PageReader(FOLLOWED[request.node.name], programs, {"NAME": name})

    def reads(outputs: dict[str, str], **values: str) -> PageReader:
        place, table = outputs["Store"].split("?table=")
        reader.values |= {"STORE": outputs["Store"], "TABLE": table, "BUCKET": place.split("/")[2], **values}
        return reader

    yield reads
    assert reader.left() == {listed for listed in NOT_RUN if listed[0] in reader.places}


def put(bucket: str, stream: str, number: int) -> None:
    s3().put_object(Bucket=bucket, Key=f"landing/{stream}/{number}", Body=b'{"k":"a","t":%d,"v":1}\n' % (T + number))


def stream(name: str) -> str:
    """A stream that is declared, behind others."""
    return f"\n[streams.{name}]\nkey = 'k'\ntime = 't'\nunit = 'ms'\n"


def changed(folder: Path, this: str, into: str) -> None:
    """Change the deployment's file."""
    path = folder / "antfold.toml"
    text = path.read_text()
    assert this in text
    path.write_text(text.replace(this, into, 1))


def tries(name: str, times: int) -> None:
    """Make dead letters of messages that failed so often: five times take half a minute."""
    sqs = boto3.client("sqs")
    queue = sqs.get_queue_url(QueueName=f"{name}-ingest")["QueueUrl"]
    policy = json.loads(sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["All"])["Attributes"]["RedrivePolicy"])
    sqs.set_queue_attributes(
        QueueUrl=queue, Attributes={"RedrivePolicy": json.dumps({**policy, "maxReceiveCount": times})}
    )


def waiting(name: str, queue: str) -> int:
    """The messages in a queue of the deployment."""
    sqs = boto3.client("sqs")
    url = sqs.get_queue_url(QueueName=f"{name}-{queue}")["QueueUrl"]
    found = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    return int(found["ApproximateNumberOfMessages"])


def rings(name: str, alarm: str, state: str) -> None:
    boto3.client("cloudwatch").set_alarm_state(AlarmName=f"{name}-{alarm}", StateValue=state, StateReason="by a test")


def count(store: str, stream: str = "s") -> int:
    """The number of points in a store."""
    try:
        return sum(file.rows for file in Store(store).files(stream))
    except DataflowError:
        return -1


def sources(store: str, stream: str = "s") -> int:
    try:
        return len(Store(store).sources(stream))
    except DataflowError:
        return -1
