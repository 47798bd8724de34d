"""What breaks in a deployment, and the commands that mend it, on ministack: poison and dead letters.

The functions are those of this repository, which ministack's Python imports from where it is.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pytest

from tests.stack.test_deploy import _aws as _aws
from tests.stack.test_deploy import everything, s3
from tests.stack.test_deploy import name as name
from tests.stack.test_deploy import run as run
from tests.waiting import until

pytestmark = pytest.mark.stack

ROOT = Path(__file__).resolve().parents[2]
FROM_HERE = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
__path__ = [{str(ROOT / "deploy")!r}]
__spec__.origin = {str(ROOT / "deploy" / "__init__.py")!r}
from deploy.handlers import retries
retries.FIRST = 1  # second: a message is a dead letter within a minute
"""
CONFIG = """
[deployment]
name = "{name}"
shift_minutes = 0

[streams.s]
key = "k"
time = "t"
unit = "ms"
"""
T = 1_700_000_000_000


@pytest.fixture
def deploy(name: str, run: Any, tmp_path: Path) -> Callable[[str], dict[str, str]]:
    """Deploys these streams; the outputs."""
    with zipfile.ZipFile(tmp_path / "code.zip", "w") as code:
        code.writestr("deploy/__init__.py", FROM_HERE)

    def deploy(more: str) -> dict[str, str]:
        (tmp_path / "antfold.toml").write_text(CONFIG.format(name=name) + more)
        said = run("deploy", "--bundle", "code.zip", "--yes")
        sqs = boto3.client("sqs")
        queue, dead = (sqs.get_queue_url(QueueName=f"{name}-{kind}")["QueueUrl"] for kind in ("ingest", "dead"))
        arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        # Half an hour between five receipts is long for a test; and ministack takes no dead letters from a template.
        redrive = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 3})
        sqs.set_queue_attributes(QueueUrl=queue, Attributes={"VisibilityTimeout": "2", "RedrivePolicy": redrive})
        return dict(line.split(": ", 1) for line in said.splitlines() if ": " in line and not line.startswith(" "))

    return deploy


def test_what_breaks_is_listed_and_mended(name: str, run: Any, deploy: Any, capsys: pytest.CaptureFixture[str]) -> None:
    outputs = deploy('format = "parquet"\n')
    store, bucket = outputs["Store"], outputs["LandingBucket"]

    def status() -> dict[str, Any]:
        from deploy.cli import main

        main(["status", "--json"])
        found: dict[str, Any] = json.loads(capsys.readouterr().out)
        return found

    def quarantined() -> dict[str, Any]:
        listed = json.loads(run("quarantine", "list", store, "--json"))["sources"]
        return {source["name"].rpartition("/")[2]: source for source in listed}

    def sources() -> dict[str, int]:
        return {stream["name"]: stream["sources"] for stream in status()["streams"]}

    s3().put_object(Bucket=bucket, Key="landing/s/points.csv", Body=f"k,t,v\na,{T},1\n".encode())
    s3().put_object(Bucket=bucket, Key="landing/s/bad", Body=b"\0\1\2")
    s3().put_object(Bucket=bucket, Key="landing/late/x", Body=b'{"k":"a","t":%d}\n' % T)
    until(lambda: sum(s["quarantined"] for s in status()["streams"]) == 2 and status()["dead"] == 1)

    # Poison is listed and shown, and status says why.
    said = run("status", code=1)
    assert f"    s3://{bucket}/landing/late/x\n    -> dataflow redrive --name {name} --list" in said
    assert "2 sources of s in quarantine" in said
    assert f"-> dataflow quarantine list '{store}' --stream s; then retry or dismiss them" in said
    before = quarantined()
    assert sorted(before) == ["bad", "points.csv"]
    shown = run("quarantine", "show", store, "points.csv")
    assert before["points.csv"]["reason"] in shown
    assert "begins  k,t,v" in shown

    # The dead letter names its reason; to move it back would not help yet.
    assert "the stream late is not declared" in run("redrive", "--list")
    assert "1 left, as they would fail again" in run("redrive", code=1)
    assert status()["dead"] == 1

    # The cause is mended, and what failed is taken again.
    deploy("\n[streams.late]\nkey = 'k'\ntime = 't'\nunit = 'ms'\n")
    assert "points.csv: enqueued; " in run("quarantine", "retry", store, "points.csv")
    assert "1 moved back to ingest's queue" in run("redrive")
    until(lambda: sources() == {"s": 1, "late": 1})
    assert run("redrive") == "no dead letters\n"
    assert sorted(quarantined()) == ["bad"]

    # What fails again is listed with the time of that, and what is hopeless is dismissed.
    run("quarantine", "retry", store, "bad")
    until(lambda: quarantined()["bad"]["at"] > before["bad"]["at"])
    assert quarantined()["bad"]["state"] == "waiting"
    run("quarantine", "dismiss", store, "bad", "--yes")
    found = status()
    assert (found["ok"], found["attention"]) == (True, [])
    assert {s["name"]: (s["quarantined"], s["dismissed"]) for s in found["streams"]} == {"s": (1, 1), "late": (0, 0)}
    assert run("verify", store)

    passed = json.loads(run("reconcile", "--since", "all", "--wait", "--json"))
    assert (passed["listed"], passed["young"], passed["complete"]) == (3, 3, True)
    run("destroy", "--delete-data", "--confirm", name)
    assert everything(name) == set()
