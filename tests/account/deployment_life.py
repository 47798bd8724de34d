"""The life of a deployment, step by step: the same code for an account and for a stand-in."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from deploy.metric_file import load_metric
from runtime import Store
from tests.waiting import until

ROOT = Path(__file__).resolve().parents[2]
CONFIG = """
[deployment]
name = "{name}"
architecture = "{architecture}"
reserve = {reserve}
worker_concurrency = 4
ingest_concurrency = 2
query_concurrency = 2

[streams.s]
key = "k"
time = "t"
unit = "ms"
"""
METRIC = """
import dataflow as df

tops = df.stream("s").group_by("k").agg(n=df.count(), total=df.sum("n"), top=df.max("n"))
"""
RESERVED = 200
"""Of an account that may run fewer at once nothing is reserved: AWS keeps 100, and the functions take 13."""
T, ROWS, PARTS = 1_700_000_000_000, 3_000, 3
UPKEEP = ("reconcile", "compact", "retain", "sweep")


@dataclass
class Life:
    """A deployment ``name``, described in ``folder``; ``bundle`` is the functions' code (else deploy builds it).

    Processes and clients reach AWS by ``environment``. ``patience``: seconds in which an object must be ingested.
    ``genuine``: it is AWS, and no stand-in.
    """

    name: str
    folder: Path
    environment: Mapping[str, str]
    bundle: Path | None = None
    architecture: str = "x86_64"
    patience: float = 600
    genuine: bool = True
    outputs: dict[str, str] = field(default_factory=dict)

    def all(self) -> None:
        """Every step; whatever happens, nothing of the deployment stays."""
        try:
            self.created()
            self.ingested()
            self.queried()
            self.kept_up()
            self.alarmed()
        finally:
            self.destroyed()

    def created(self) -> None:
        limit = self.client("lambda").get_account_settings()["AccountLimit"]["ConcurrentExecutions"]
        text = CONFIG.format(
            name=self.name, architecture=self.architecture, reserve=str(limit >= RESERVED).lower()
        )  # fmt: skip
        (self.folder / "antfold.toml").write_text(text)
        (self.folder / "metrics.py").write_text(METRIC)
        given = [] if self.bundle is None else ["--bundle", str(self.bundle)]
        printed = self.dataflow("deploy", *given, "--yes")
        self.outputs = dict(
            line.split(": ", 1) for line in printed.splitlines() if ": " in line and not line.startswith(" ")
        )
        assert self.status()["streams"] == []

    def ingested(self) -> None:
        """A file that is copied to the landing bucket, and a record that a device sends."""
        file, record = self.points()
        self.client("s3").put_object(Bucket=self.outputs["LandingBucket"], Key="landing/s/points.ndjson", Body=file)
        self.client("firehose").put_record(DeliveryStreamName=self.outputs["DeliveryS"], Record={"Data": record})
        until(lambda: [s["sources"] for s in self.status()["streams"]] == [2], self.patience)
        (stream,) = self.status()["streams"]
        assert (stream["rows"], stream["quarantined"]) == (ROWS, 0)

    def points(self) -> tuple[bytes, bytes]:
        """The file and the record."""
        lines = [b'{"k":"d%d","t":%d,"n":%d}\n' % (n % 7, T + 1_000 * n, n) for n in range(ROWS)]
        return b"".join(lines[:-PARTS]), b"".join(lines[-PARTS:])

    def queried(self) -> None:
        """The workers' answer, ours, that of the query function, and that of a folder, are the same to the bit."""
        store, signed = self.outputs["Store"], {"ANTFOLD_MAC_KEY": self.outputs["SigningKey"]}
        ask = ("query", store, "metrics.py", "--format", "json")
        fleet = json.loads(self.dataflow(*ask, "--executor", f"lambda:{self.outputs['Worker']}", **signed))
        local = json.loads(self.dataflow(*ask, "--executor", "threads"))
        self.dataflow(
            "publish", store, "metrics.py", "--name", "tops", "--target", self.architecture, **signed
        )  # fmt: skip
        named = self.invoked("query", {"query": "tops"})
        with Store(self.folder / "store", create=True) as folder:
            path = self.folder / "points.ndjson"
            path.write_bytes(b"".join(self.points()))
            folder.ingest("s", str(path), key="k", time="t", unit="ms", progress=False)
            right = folder.query(load_metric(str(self.folder / "metrics.py")), progress=False).proof
        assert fleet["proof"]["tasks"] >= 1
        assert {found["proof"]["result"] for found in (fleet, local, named)} == {right.result}
        assert fleet["rows"] == local["rows"] == named["rows"]

    def kept_up(self) -> None:
        """The functions that run on schedules, each with its own rights; the points stay what they are."""
        before = self.invoked("query", {"query": "tops"})["rows"]
        for function in UPKEEP:
            reply = self.invoked(function, {})
            assert not reply.get("failed"), (function, reply)
        assert self.invoked("query", {"query": "tops"})["rows"] == before

    def alarmed(self) -> None:
        """An alarm that is set, and set back; in an account, its topic gets a message."""
        name, alarms = f"{self.name}-dead-letters", self.client("cloudwatch")
        alarms.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="a test")
        if self.genuine:
            # CloudWatch sets it back by itself as soon as it looks, so what is asked for is what happened.
            until(lambda: "ALARM" in self.states(name), 120)
            until(lambda: any("Successfully executed" in said for said in self.history(name, "Action")), 120)
        else:
            assert self.status()["alarms"][name] == "ALARM"
        alarms.set_alarm_state(AlarmName=name, StateValue="OK", StateReason="a test")
        until(lambda: self.status()["alarms"][name] == "OK", 600)

    def states(self, alarm: str) -> list[str]:
        """The states that an alarm came into, the last one first."""
        kind = "StateUpdate"
        found = self.client("cloudwatch").describe_alarm_history(AlarmName=alarm, HistoryItemType=kind)
        return [json.loads(i["HistoryData"])["newState"]["stateValue"] for i in found["AlarmHistoryItems"]]

    def history(self, alarm: str, kind: str) -> list[str]:
        """What CloudWatch says that an alarm did."""
        found = self.client("cloudwatch").describe_alarm_history(AlarmName=alarm, HistoryItemType=kind)
        return [str(item["HistorySummary"]) for item in found["AlarmHistoryItems"]]

    def destroyed(self) -> None:
        """With its data; buckets, table and functions are gone. One that never came into being needs nothing."""
        printed = self.dataflow("destroy", "--name", self.name, "--delete-data", "--confirm", self.name, codes=(0, 1))
        assert "there is no stack" in self.dataflow("status", "--name", self.name, codes=(1,)), printed
        left = [bucket for bucket in self._buckets() if self._is_there(bucket)]
        left += [t for t in self._tables() if t.startswith(f"{self.name}-")]
        assert left == [], printed

    def _buckets(self) -> list[str]:
        return [self.outputs[name] for name in ("DataBucket", "LandingBucket") if name in self.outputs]

    def _is_there(self, bucket: str) -> bool:
        try:
            self.client("s3").head_bucket(Bucket=bucket)
        except ClientError as error:
            if error.response["ResponseMetadata"]["HTTPStatusCode"] != 404:
                raise
            return False
        return True

    def _tables(self) -> list[str]:
        pages = self.client("dynamodb").get_paginator("list_tables").paginate()
        return [name for page in pages for name in page["TableNames"]]

    def status(self) -> Any:
        """What ``dataflow status`` says, also if something needs attention."""
        return json.loads(self.dataflow("status", "--format", "json", codes=(0, 1)))

    def invoked(self, function: str, event: Mapping[str, Any]) -> Any:
        """The reply of a function to an event."""
        reply = self.client("lambda").invoke(
            FunctionName=f"{self.name}-{function}:live", Payload=json.dumps(event).encode()
        )
        payload = json.loads(reply["Payload"].read())
        assert "FunctionError" not in reply, (function, payload)
        return payload

    def client(self, service: str) -> Any:
        """A client, by the same environment as the processes'."""
        patience = Config(read_timeout=900, s3={"addressing_style": "path"} if not self.genuine else {})
        return boto3.Session().client(service, config=patience)

    def dataflow(self, *arguments: str, codes: tuple[int, ...] = (0,), **variables: str) -> str:
        """What the console script prints."""
        done = subprocess.run(
            [sys.executable, "-m", "deploy", *arguments],
            cwd=self.folder,
            env={**os.environ, **self.environment, **variables, "PYTHONPATH": str(ROOT)},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode in codes, f"dataflow {' '.join(arguments)}\n{done.stdout}{done.stderr}"
        return done.stdout if done.returncode == 0 or done.stdout else done.stderr
