"""A stream of Kinesis that is watched, by several processes: each record exactly once.

ministack's streams are read here; it drops the records of a shard that is split, so the laws of
`tests/runtime/live/feeds/test_kinesis_feed.py` alone show how shards are followed.
"""

from __future__ import annotations

import json
import random
import subprocess
import time
from pathlib import Path

import boto3
import pytest

from runtime import Store
from runtime.errors import IngestError
from tests.stack.watching_process import numbers_in, watching

pytestmark = pytest.mark.stack


class Records:
    """Writes numbered records; the number is the time in seconds."""

    def __init__(self) -> None:
        self.client, self.stream, self.count = boto3.client("kinesis"), f"s{random.SystemRandom().randrange(10**9)}", 0
        self.client.create_stream(StreamName=self.stream, ShardCount=3)
        self.client.get_waiter("stream_exists").wait(StreamName=self.stream)

    def send(self, count: int) -> None:
        numbers = range(self.count, self.count + count)
        self.count += count
        for at in range(0, count, 500):
            sent = [
                {"Data": json.dumps({"t": n, "n": n}).encode(), "PartitionKey": f"k{n % 7}"}
                for n in numbers[at : at + 500]
            ]
            assert not self.client.put_records(StreamName=self.stream, Records=sent)["FailedRecordCount"]


def watch(folder: Path, stream: str, *more: str) -> subprocess.Popen[bytes]:
    return watching(folder, f"kinesis://{stream}?key=k", *more)


def test_two_watchers_beside_each_other(tmp_path: Path, ministack: str) -> None:
    records = Records()
    both = [watch(tmp_path, records.stream, "--until-idle", "4s") for _ in range(2)]
    for _ in range(20):
        records.send(50)
        time.sleep(0.2)
    for process in both:
        assert process.wait(120) == 0, (tmp_path / "log").read_text()
    assert numbers_in(tmp_path) == list(range(records.count))


def test_there_is_no_such_stream(tmp_path: Path, ministack: str) -> None:
    with Store(tmp_path / "store", create=True) as store, pytest.raises(IngestError, match="there is no stream none"):
        store.watch("s", "kinesis://none", key="k", time="t", unit="s", until_idle="1s")
