"""An update whose ingest fails on its objects goes back by itself, though Lambda counts no error, on ministack.

ministack keeps the functions' logs but makes no metrics of them. The test does, as CloudWatch would: from the lines
that the functions wrote, for the alarms that were deployed.
"""

from __future__ import annotations

import json
import os
import zipfile
from pathlib import Path
from typing import Any

import boto3
import pytest

from deploy.commands import deploy as commands
from tests.deploy.stack.alarm_rings import Metrics, rings
from tests.stack.test_deploy import _aws as _aws
from tests.stack.test_deploy import run as run
from tests.stack.test_deploy import s3, said
from tests.stack.test_mending import FROM_HERE
from tests.stack.test_versions import routed

pytestmark = pytest.mark.stack

CONFIG = """
[deployment]
name = "{name}"
shift_minutes = 1
shift_share = 0.5

[streams.s]
key = "k"
time = "t"
unit = "ms"
"""
FAILING = """
from deploy.handlers import ingest

def fail(*_):
    raise RuntimeError("this release cannot read objects")

ingest.RecordBatch._taken = fail
"""
POINT = b'{"k": "a", "t": 1700000000000}\n'


def release(folder: Path, name: str, more: str = "") -> str:
    """The code of this repository, as a release of its own."""
    path = folder / f"{name}.zip"
    with zipfile.ZipFile(path, "w") as code:
        code.writestr("deploy/__init__.py", f"{FROM_HERE}{more}\n# {name}\n")
    return str(path)


def alarm(name: str) -> dict[str, Any]:
    (found,) = boto3.client("cloudwatch").describe_alarms(AlarmNames=[name])["MetricAlarms"]
    return dict(found)


def ingested(name: str, bucket: str, number: int) -> dict[str, Any]:
    """What ingest replies to the message of a new object, as the queue's poller calls it."""
    key = f"landing/s/{number}"
    s3().put_object(Bucket=bucket, Key=key, Body=POINT)
    body = {"Records": [{"eventName": "ObjectCreated:Put", "s3": {"bucket": {"name": bucket}, "object": {"key": key}}}]}
    message = {"messageId": str(number), "receiptHandle": "x", "body": json.dumps(body), "attributes": {}}
    reply = boto3.client("lambda").invoke(
        FunctionName=f"{name}-ingest:live", Payload=json.dumps({"Records": [message]}).encode()
    )
    assert "FunctionError" not in reply
    found: dict[str, Any] = json.loads(reply["Payload"].read())
    return found


def measured(name: str) -> Metrics:
    """What CloudWatch makes of ingest's log, as if it all were of the last minute."""
    found = Metrics()
    for line in said(f"/aws/lambda/{name}-ingest", '"_aws"'):
        found.take(json.loads(line), 10)
    return found


def test_an_ingest_that_fails_on_its_objects_is_taken_back(
    run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"t{os.urandom(4).hex()}"
    (tmp_path / "antfold.toml").write_text(CONFIG.format(name=name))
    out = run("deploy", "--bundle", release(tmp_path, "one"), "--yes")
    bucket = dict(line.split(": ", 1) for line in out.splitlines() if ": " in line)["LandingBucket"]
    assert ingested(name, bucket, 0) == {"batchItemFailures": []}
    assert "1" in {json.loads(line)["Version"] for line in said(f"/aws/lambda/{name}-ingest", '"MessagesFailed"')}
    failing, called = f"{name}-ingest-failing-shift", f"{name}-worker-called-shift"
    looks: list[str] = []

    def look(left: float, alarms: int) -> None:
        """An object comes at each look."""
        assert routed(f"{name}-ingest") == ("1", {"2": 0.5})
        assert {d["Name"]: d["Value"] for d in alarm(failing)["Dimensions"]} == {
            "Function": f"{name}-ingest", "Version": "2",
        }  # fmt: skip
        # The query function's new version calls the version of the worker that this alarm watches.
        configured = boto3.client("lambda").get_function_configuration(FunctionName=f"{name}-query", Qualifier="2")
        watched = {d["Name"]: d["Value"] for d in alarm(called)["Dimensions"]}
        assert configured["Environment"]["Variables"]["ANTFOLD_WORKER"].endswith(f":{watched['Resource']}")
        assert watched == {"FunctionName": f"{name}-worker", "Resource": f"{name}-worker:2"}
        looks.append("failed" if ingested(name, bucket, len(looks) + 1)["batchItemFailures"] else "done")
        state = "ALARM" if rings(alarm(failing), measured(name), 60) else "OK"
        boto3.client("cloudwatch").set_alarm_state(AlarmName=failing, StateValue=state, StateReason="by the log")

    with monkeypatch.context() as patch:
        patch.setattr(commands, "_report", lambda settings: look)
        out = run("deploy", "--bundle", release(tmp_path, "two", FAILING), "--yes", code=1)
    assert looks[-1] == "failed"
    assert looks[:-1] == ["done"] * (len(looks) - 1)  # the version before does its work
    assert f"the alarm {failing} rings (by the log). The new version of the ingest function fails on objects" in out
    assert "was taken back, and what ran before has all calls again" in out
    assert routed(f"{name}-ingest") == ("1", {})
    assert ingested(name, bucket, 1_000) == {"batchItemFailures": []}
    assert not boto3.client("cloudwatch").describe_alarms(AlarmNames=[failing, called])["MetricAlarms"]
    run("destroy", "--delete-data", "--confirm", name)
