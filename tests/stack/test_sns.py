"""Changes delivered to topics of SNS by processes that are killed: all of them come, under the same ids."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import boto3
import pytest

import dataflow as df
from runtime import Store
from runtime.live import RowChange, applied
from tests.stack.watching_process import killed

pytestmark = pytest.mark.stack

METRIC = 'import dataflow as df\nm = df.stream("p").group_by(m=df.time().truncate("1m")).agg(n=df.count())\n'


def queue_of(topic: str, ending: str) -> tuple[str, str]:
    """A topic, and the address of a queue that gets what comes to it."""
    is_fifo = bool(ending)
    sqs, sns = boto3.client("sqs"), boto3.client("sns")
    url = sqs.create_queue(QueueName=topic, Attributes={"FifoQueue": "true"} if is_fifo else {})["QueueUrl"]
    queue = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    arn = sns.create_topic(Name=topic, Attributes={"FifoTopic": "true"} if is_fifo else {})["TopicArn"]
    sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=queue)
    return arn, url


def come(url: str) -> list[dict[str, Any]]:
    """The events in a queue, in the order in which they came."""
    sqs, found = boto3.client("sqs"), []
    while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1).get("Messages"):
        for message in messages:
            body = json.loads(message["Body"])
            found.append(json.loads(body["Message"]))
            assert body["MessageAttributes"]["id"]["Value"] == found[-1]["id"]
            sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
    return found


@killed(3)
@pytest.mark.parametrize(("ending", "is_named"), [("", True), (".fifo", False)])
def test_deliveries_that_are_killed(tmp_path: Path, ministack: str, ending: str, is_named: bool, kills: int) -> None:
    topic, chance = f"t{random.SystemRandom().randrange(10**9)}{ending}", random.Random(1)
    arn, url = queue_of(topic, ending)
    (tmp_path / "m.py").write_text(METRIC)
    store = Store(tmp_path / "store", create=True)
    command = [
        sys.executable, "-m", "dataflow", "follow", str(tmp_path / "store"), f"{tmp_path / 'm.py'}:m",
        "--to", f"sns://{topic if is_named else arn}", "--name", "n", "--every", "50ms",
    ]  # fmt: skip
    for round in range(kills + 1):
        times = [chance.randrange(6_000) for _ in range(300)]
        store.ingest("p", {"k": ["a"] * 300, "t": times}, key="k", time="t", unit="s", progress=False)
        if round == kills:
            subprocess.run([*command, "--until-idle", "2s"], check=True, timeout=120, capture_output=True)
            break
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(chance.uniform(1, 4))
        process.kill()
        process.wait()
    first: dict[str, dict[str, Any]] = {}
    for event in come(url):
        assert first.setdefault(event["id"], event) == event
    order = sorted(first.values(), key=lambda e: tuple(map(int, e["id"].split("/")[2:])))
    if ending:
        assert list(first.values()) == order
    changes = [
        RowChange(e["pane"], e["old"], e["new"], e["left"], e["place"], None, e["snapshot"], e["proof"], e["more"])
        for e in order
    ]
    found: Any = store.query(df.stream("p").group_by(m=df.time().truncate("1m")).agg(n=df.count())).to_dict()
    assert applied([], changes) == [dict(zip(found["columns"], row, strict=True)) for row in found["rows"]]
