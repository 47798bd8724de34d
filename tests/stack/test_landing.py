"""From the landing bucket to the catalogue: S3 events, SQS, ingest; reconcile finds what was lost."""

from __future__ import annotations

import io
import json
import os
import tempfile
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.config import Config

import dataflow as df
from runtime.store import Store
from tests.stack.servers import environment
from tests.stack.test_deploy import said
from tests.waiting import until

pytestmark = pytest.mark.stack

ROOT = Path(__file__).resolve().parents[2]
T = 1_700_000_000_000
HANDLER = """
import sys
sys.path.insert(0, {root!r})
from datetime import timedelta
from deploy.handlers import retries, waiting
waiting.SETTLED = timedelta(seconds=-5)
retries.FIRST = 1
from deploy.handlers.{kind} import handler
"""


@dataclass(frozen=True)
class Deployed:
    """What was made: the names are of this test only."""

    store: Store
    bucket: str
    queue: str
    dead: str
    ingest: str
    reconcile: str
    s3: Any

    def land(self, key: str, *numbers: int, data: bytes | None = None) -> None:
        rows = b"".join(b'{"k":"d%d","t":%d,"n":%d}\n' % (n % 3, T + n, n) for n in numbers)
        self.s3.put_object(Bucket=self.bucket, Key=key, Body=rows if data is None else data)

    def etag(self, key: str) -> str:
        return str(self.s3.head_object(Bucket=self.bucket, Key=key)["ETag"]).strip('"')

    def left(self) -> int:
        """Messages in the queue, also those that are being worked on."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        found = boto3.client("sqs").get_queue_attributes(QueueUrl=self.queue, AttributeNames=names)["Attributes"]
        return sum(int(found[name]) for name in names)

    def reconciled(self) -> dict[str, Any]:
        """The counts of a pass over all objects."""
        reply = boto3.client("lambda").invoke(FunctionName=self.reconcile, Payload=b'{"since": "all"}')
        found: dict[str, Any] = json.loads(reply["Payload"].read())
        return found

    def numbers(self) -> Counter[int]:
        if "s" not in self.store.catalogue.streams() or not self.store.files("s"):
            return Counter()
        return Counter(self.store.query(df.stream("s").select("n"), progress=False)["n"])

    def quarantined(self) -> list[str]:
        if "s" not in self.store.catalogue.streams():
            return []
        return [s.name for s in self.store.catalogue.sources("s") if s.quarantined]


@pytest.fixture
def deployed(ministack: str, prefix: str) -> Iterator[Deployed]:
    name = prefix.rpartition("/")[2]
    s3 = boto3.client("s3", config=Config(s3={"addressing_style": "path"}))
    sqs, functions = boto3.client("sqs"), boto3.client("lambda")
    bucket = f"landing-{name}"
    s3.create_bucket(Bucket=bucket)

    def queue(kind: str, **attributes: str) -> tuple[str, str]:
        url = sqs.create_queue(QueueName=f"{kind}-{name}", Attributes=attributes)["QueueUrl"]
        reply = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
        return url, reply["Attributes"]["QueueArn"]

    dead, dead_arn = queue("dead")
    redrive = json.dumps({"deadLetterTargetArn": dead_arn, "maxReceiveCount": 4})
    url, arn = queue("arrivals", VisibilityTimeout="2", RedrivePolicy=redrive)
    store = Store(f"s3://lake/{prefix}?table=antfold-landing", create=True)
    store.streams()  # makes the table
    variables = {
        **environment(ministack),
        "ANTFOLD_CACHE_DIR": os.environ.get("ANTFOLD_CACHE_DIR", f"{tempfile.gettempdir()}/antfold"),
        "ANTFOLD_STORE": store.url,
        "ANTFOLD_LANDING": f"s3://{bucket}/in",
        "ANTFOLD_STREAMS": json.dumps({"s": {"key": "k", "time": "t", "unit": "ms"}}),
        "ANTFOLD_QUEUE": url,
    }
    made = []
    for kind in ("ingest", "reconcile"):
        code = io.BytesIO()
        with zipfile.ZipFile(code, "w") as archive:
            archive.writestr("function.py", HANDLER.format(root=str(ROOT), kind=kind))
        functions.create_function(
            FunctionName=f"{kind}-{name}",
            Runtime="python3.13",
            Role="arn:aws:iam::000000000000:role/any",
            Handler="function.handler",
            Code={"ZipFile": code.getvalue()},
            Timeout=60,
            MemorySize=1024,
            Environment={"Variables": variables},
        )
        made.append(f"{kind}-{name}")
    mapping = functions.create_event_source_mapping(
        EventSourceArn=arn, FunctionName=made[0], BatchSize=10, FunctionResponseTypes=["ReportBatchItemFailures"]
    )["UUID"]
    s3.put_bucket_notification_configuration(
        Bucket=bucket,
        NotificationConfiguration={"QueueConfigurations": [{"QueueArn": arn, "Events": ["s3:ObjectCreated:*"]}]},
    )
    yield Deployed(store, bucket, url, dead, *made, s3)
    functions.delete_event_source_mapping(UUID=mapping)
    for function in made:
        functions.delete_function(FunctionName=function)


def test_from_the_bucket_to_the_catalogue(deployed: Deployed) -> None:
    """Three objects, one of them with two events; one that is poison; and one whose event is lost."""
    sqs = boto3.client("sqs")
    deployed.land("in/s/2024/a b ü", 1, 2)  # ministack, unlike S3, does not encode keys: no '+' or '%' then
    deployed.land("in/s/poison", data=b"\0\1\2")
    deployed.land("in/s/c", 3)
    until(lambda: deployed.numbers() == Counter([1, 2, 3]))
    until(lambda: len(deployed.quarantined()) == 1)
    assert deployed.quarantined() == [f"s3://{deployed.bucket}/in/s/poison"]

    (entry,) = [s for s in deployed.store.catalogue.sources("s") if s.name.endswith("/c")]
    held = {"key": "in/s/c", "size": entry.bytes, "eTag": deployed.etag("in/s/c")}
    again = {"bucket": {"name": deployed.bucket}, "object": held}
    body = json.dumps({"Records": [{"eventName": "ObjectCreated:Put", "s3": again}]})
    for _ in range(3):
        sqs.send_message(QueueUrl=deployed.queue, MessageBody=body)

    until(lambda: deployed.left() == 0)  # what waits is not enqueued again
    deployed.s3.put_bucket_notification_configuration(Bucket=deployed.bucket, NotificationConfiguration={})
    deployed.land("in/s/lost", 4, 5)
    payload = deployed.reconciled()
    assert (payload["enqueued"], payload["known"], payload["quarantined"]) == (1, 2, 1)
    until(lambda: len(deployed.numbers()) == 5)

    until(lambda: deployed.left() == 0)
    assert deployed.numbers() == Counter([1, 2, 3, 4, 5])
    assert "Messages" not in sqs.receive_message(QueueUrl=deployed.dead)
    assert deployed.store.catalogue.audit("s") == []
    assert deployed.store.verify().ok


def test_one_content_under_two_etags_counts_once(deployed: Deployed) -> None:
    """A file put in one request, then in parts under the same key, then under another: once in, and twice known."""
    deployed.land("in/s/twice", 1, 2, 3)
    until(lambda: deployed.numbers() == Counter([1, 2, 3]))
    place = {"Bucket": deployed.bucket, "Key": "in/s/twice"}
    data, first = deployed.s3.get_object(**place)["Body"].read(), deployed.etag("in/s/twice")
    upload = {**place, "UploadId": deployed.s3.create_multipart_upload(**place)["UploadId"]}
    part = {"PartNumber": 1, "ETag": deployed.s3.upload_part(**upload, PartNumber=1, Body=data)["ETag"]}
    deployed.s3.complete_multipart_upload(**upload, MultipartUpload={"Parts": [part]})
    assert deployed.etag("in/s/twice") != first
    assert deployed.etag("in/s/twice").endswith("-1")
    deployed.land("in/s/copy", data=data)

    def repeated() -> list[str]:
        # ministack takes the last lines of a call's log with the next call.
        boto3.client("lambda").invoke(FunctionName=deployed.ingest, Payload=b'{"Records": []}')
        lines = map(json.loads, said(f"/aws/lambda/{deployed.ingest}", '"already ingested"'))
        return sorted(line["object"].rpartition("/")[2] for line in lines)

    until(lambda: repeated() == ["copy", "twice"] and deployed.left() == 0)
    assert deployed.numbers() == Counter([1, 2, 3])
    assert [source.name for source in deployed.store.catalogue.sources("s")] == [f"s3://{deployed.bucket}/in/s/twice"]
    found = deployed.reconciled()
    assert (found["listed"], found["known"], found["enqueued"]) == (2, 2, 0)
    assert deployed.store.verify().ok
