"""Shared by the handler tests: landing objects, messages, contexts, and parsed logs."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

import dataflow as df
from runtime.store import Store
from tests.runtime.conftest import client_of

STORE = "s3://lake/store?table=antfold-handlers"
STREAM = {"key": "k", "time": "t", "unit": "ms"}
ENVIRONMENT = {
    "ANTFOLD_STORE": STORE,
    "ANTFOLD_LANDING": "s3://landing/in",
    "ANTFOLD_STREAMS": json.dumps({"s": STREAM, "other": STREAM}),
}
T = 1_700_000_000_000


class Context:
    """Lambda's context: ``left`` is the time that is said to be left, in seconds, one after the other."""

    function_name = "antfold-ingest"
    function_version = "7"
    aws_request_id = "request-1"
    invoked_function_arn = "arn:aws:lambda:us-east-1:123456789012:function:antfold-reconcile"

    def __init__(self, *left: float) -> None:
        self._left = list(left)

    def get_remaining_time_in_millis(self) -> int:
        if not self._left:
            return 900_000
        return int(1000 * (self._left.pop(0) if len(self._left) > 1 else self._left[0]))


class Lines:
    """Lines of the log."""

    def __init__(self, all_: list[dict[str, Any]]) -> None:
        self.all = all_

    def of(self, event: str) -> list[dict[str, Any]]:
        return [line for line in self.all if line.get("event") == event]

    def metric(self, name: str, **dimensions: str) -> float:
        """The sum of a metric's values, as CloudWatch has it for these dimensions."""
        total = 0.0
        for line in self.all:
            for directive in line.get("_aws", {}).get("CloudWatchMetrics", []):
                named = name in {m["Name"] for m in directive["Metrics"]}
                if named and any(set(s) - {"Function"} == set(dimensions) for s in directive["Dimensions"]):
                    total += line[name] if all(line[k] == v for k, v in dimensions.items()) else 0
        return total


def records(*numbers: int) -> bytes:
    return b"".join(b'{"k":"d%d","t":%d,"n":%d}\n' % (n % 3, T + n, n) for n in numbers)


def land(key: str, data: bytes) -> dict[str, Any]:
    """Put an object into the landing bucket; the ``s3`` part of its event, as S3 writes it."""
    from urllib.parse import quote_plus

    put = client_of("s3").put_object(Bucket="landing", Key=key, Body=data)
    held = {"key": quote_plus(key, safe="/"), "size": len(data), "eTag": put["ETag"].strip('"'), "sequencer": "0A"}
    if "VersionId" in put:
        held["versionId"] = put["VersionId"]
    return {"bucket": {"name": "landing", "arn": "arn:aws:s3:::landing"}, "object": held}


def event(*objects: Mapping[str, Any], name: str = "ObjectCreated:Put") -> str:
    """The body of a message about these objects."""
    return json.dumps({"Records": [{"eventVersion": "2.1", "eventName": name, "s3": s3} for s3 in objects]})


def batch(*bodies: str, received: int = 1) -> dict[str, Any]:
    """A batch of SQS; message i has the id ``m<i>``."""
    return {
        "Records": [
            {"messageId": f"m{i}", "body": body, "attributes": {"ApproximateReceiveCount": str(received)}}
            for i, body in enumerate(bodies)
        ]
    }


def failures(reply: Mapping[str, Any]) -> list[str]:
    return [item["itemIdentifier"] for item in reply["batchItemFailures"]]


def numbers(stream: str = "s") -> Counter[int]:
    """How often each number is in the stream, by a query."""
    store = Store(STORE)
    if stream not in store.catalogue.streams() or not store.files(stream):
        return Counter()
    return Counter(store.query(df.stream(stream).select("n"), progress=False)["n"])
