"""A prefix of a bucket that is watched, by processes that are killed at any moment: each record exactly once."""

from __future__ import annotations

import json
import os
import random
import subprocess
import time
from pathlib import Path

import boto3
import pytest
from botocore.config import Config

import dataflow as df
from runtime import Store
from tests.stack.watching_process import killed, watching

pytestmark = pytest.mark.stack

OBJECTS = int(os.environ.get("OBJECTS", "40"))
"""How many objects are written until a watcher of them is killed; the environment may say more."""

LINES = 50


def lines(first: int, count: int) -> bytes:
    return b"".join(b"%s\n" % json.dumps({"k": "a", "t": n, "n": n}).encode() for n in range(first, first + count))


def watch(folder: Path, *more: str) -> subprocess.Popen[bytes]:
    return watching(folder, "s3://lake/in", "--settled", "1s", *more)


@killed(3)
@pytest.mark.parametrize("server", ["ministack", "seaweed"])
def test_watchers_that_are_killed(tmp_path: Path, server: str, kills: int, request: pytest.FixtureRequest) -> None:
    request.getfixturevalue(server)
    s3 = boto3.client("s3", config=Config(s3={"addressing_style": "path"}))
    chance, count = random.Random(1), 0
    for _ in range(kills):
        process = watch(tmp_path)
        for _ in range(OBJECTS):  # each is written, and half of them are then made longer
            key, first = f"in/{chance.randrange(10**9):09}.ndjson", count
            s3.put_object(Bucket="lake", Key=key, Body=lines(first, LINES))
            count += LINES
            if chance.random() < 0.5:
                time.sleep(chance.uniform(0, 0.1))
                s3.put_object(Bucket="lake", Key=key, Body=lines(first, LINES + 1))
                count += 1
        time.sleep(chance.uniform(0.5, 2.5))
        process.kill()
        process.wait()
    process = watch(tmp_path, "--until-idle", "3s")
    assert process.wait(300) == 0, (tmp_path / "log").read_text()
    with Store(tmp_path / "store") as store:
        found = store.query(df.stream("s").select("n"), progress=False)["n"]
    assert sorted(found, key=str) == sorted(range(count), key=str)
    assert "Traceback" not in (tmp_path / "log").read_text()
