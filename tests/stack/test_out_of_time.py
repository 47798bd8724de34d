"""An ingest that runs out of time: it names its object, and leaves nothing but what sweep removes. On ministack.

ministack kills a function's process at its time-out, as Lambda does. Here that is a few seconds, and the function
sleeps once it has written a file of points: before the commit, where most is left behind.
"""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import boto3
import pytest

import dataflow as df
from deploy.stack import settings
from runtime import Store
from tests.stack.test_deploy import _aws as _aws
from tests.stack.test_deploy import name as name
from tests.stack.test_deploy import run as run
from tests.stack.test_deploy import s3, said
from tests.stack.test_end_to_end import Deployed, beside
from tests.stack.test_mending import FROM_HERE, T
from tests.stack.test_upkeep import LATER
from tests.waiting import until

pytestmark = pytest.mark.stack

CONFIG = """
[deployment]
name = "{name}"
shift_minutes = 0
ingest_timeout = {seconds}

[streams.quick]
key = "k"
time = "t"
unit = "ms"

[streams.slow]
key = "k"
time = "t"
unit = "ms"
"""
SLOW = """
import os, time
from deploy.handlers import ingest
from runtime.objects.s3_objects import S3Objects

ingest._RESERVE = 0.0  # else it would not begin with so few seconds left
real = S3Objects.put

def put(self, path, data):
    real(self, path, data)
    if path.startswith("data/slow/") and os.path.exists({flag!r}):
        time.sleep(600)

S3Objects.put = put
"""
SECONDS, RECEIPTS = 6, 2


@pytest.fixture
def flag(tmp_path: Path) -> Path:
    """While this file is there, ingest of the stream ``slow`` never ends."""
    path = tmp_path / "slow"
    path.touch()
    return path


@pytest.fixture
def deployed(
    name: str, run: Any, tmp_path: Path, flag: Path, ministack: str, monkeypatch: pytest.MonkeyPatch
) -> Deployed:
    monkeypatch.setitem(settings._RANGES, "ingest_timeout", (1, 900, "seconds"))
    (tmp_path / "antfold.toml").write_text(CONFIG.format(name=name, seconds=SECONDS))
    bundle = tmp_path / "functions.zip"
    with zipfile.ZipFile(bundle, "w") as code:
        code.writestr("deploy/__init__.py", FROM_HERE + SLOW.format(flag=str(flag)))
    out = run("deploy", "--bundle", str(bundle), "--yes")
    sqs = boto3.client("sqs")
    queue, dead = (sqs.get_queue_url(QueueName=f"{name}-{kind}")["QueueUrl"] for kind in ("ingest", "dead"))
    arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    # The template's are six times the time-out, and five receipts; and ministack takes no dead letters from it.
    redrive = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": RECEIPTS})
    sqs.set_queue_attributes(
        QueueUrl=queue, Attributes={"VisibilityTimeout": str(SECONDS + 1), "RedrivePolicy": redrive}
    )
    outputs = dict(line.split(": ", 1) for line in out.splitlines() if ": " in line and not line.startswith(" "))
    return Deployed(ministack, outputs, tmp_path, 0, bundle)


def test_an_ingest_that_runs_out_of_time(name: str, run: Any, deployed: Deployed, flag: Path) -> None:
    bucket, group = deployed.outputs["LandingBucket"], f"/aws/lambda/{name}-ingest"
    slow = f"s3://{bucket}/landing/slow/points"

    def status() -> dict[str, Any]:
        found: dict[str, Any] = json.loads(run("status", "--json", code=None))
        return found

    def in_catalogue(store: Store) -> set[str]:
        streams = store.catalogue.streams()
        return {file.path for stream in streams for file in store.catalogue.snapshot(stream).files}

    s3().put_object(Bucket=bucket, Key="landing/quick/points", Body=b'{"k":"a","t":%d}\n' % T)
    until(lambda: [s["name"] for s in status()["streams"]] == ["quick"])
    s3().put_object(Bucket=bucket, Key="landing/slow/points", Body=b'{"k":"a","t":%d}\n' % T)
    until(lambda: status()["dead"] == 1)

    # Each execution named the object before its work on it, and said nothing after.
    lines = [json.loads(line) for line in said(group, slow)]
    assert sorted((line["event"], line["received"]) for line in lines) == [("begun", n + 1) for n in range(RECEIPTS)]
    with Store(deployed.url) as store:
        assert "slow" not in store.catalogue.streams()
        left = {info.path for info in store.objects.list("data/")} - in_catalogue(store)
        assert 1 <= len(left) <= RECEIPTS
        listed = run("redrive", "--list")
        assert slow in listed
        assert "ingest began it and never said how it ended (begun): out of time or memory" in listed

        with beside(deployed, f"{name}-sweep", LATER) as later:
            assert deployed.ask({}, later)["removed"] >= len(left)
        assert {info.path for info in store.objects.list("data/")} == in_catalogue(store) != set()

        # Once there is time, the dead letter is an object like any other.
        flag.unlink()
        assert "1 moved back to ingest's queue" in run("redrive")
        until(lambda: [s["sources"] for s in status()["streams"]] == [1, 1])
        assert store.query(df.stream("slow").agg(n=df.count()), progress=False)["n"] == [1]
        assert store.verify().ok
        assert {info.path for info in store.objects.list("data/")} == in_catalogue(store)
