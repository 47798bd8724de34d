"""Landing objects read as a Lambda function reads them: with its own S3 client, or with boto3."""

from __future__ import annotations

import boto3
import pytest

from deploy.handlers.events import Landed
from deploy.handlers.landing import LandedFile, ObjectGone, looked_up
from runtime.aws.access import Access
from runtime.aws.client import Client
from runtime.aws.s3_without_boto3 import SignedS3
from tests.runtime.aws.test_s3_without_boto3 import endpoint as endpoint
from tests.runtime.aws.test_s3_without_boto3 import function as function

BUCKET = "arrivals"


@pytest.fixture
def client(function: None, endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Client:
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    client = Client("s3", Access())
    assert isinstance(client.boto, SignedS3)
    return client


def land(key: str, data: bytes, versions: bool = False) -> Landed:
    s3 = boto3.client("s3")
    s3.create_bucket(Bucket=BUCKET)
    status = "Enabled" if versions else "Suspended"
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": status})
    put = s3.put_object(Bucket=BUCKET, Key=key, Body=data)
    return Landed(BUCKET, key, len(data), put["ETag"].strip('"'), put.get("VersionId", "") if versions else "")


@pytest.mark.parametrize("key", ["in/s/plain", "in/s/a b+c&d=e?f#g%h", "in/s/ключ/✓ (1)"])
@pytest.mark.parametrize("versions", [False, True])
def test_an_object_is_read_in_pieces(client: Client, key: str, versions: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("deploy.handlers.landing.PIECE", 4)
    found = land(key, b"0123456789", versions)
    file = LandedFile(client, found)
    assert b"".join(iter(lambda: file.read(3), b"")) == b"0123456789"
    assert looked_up(client, Landed(BUCKET, key, version=found.version)) == found


def test_the_version_that_the_event_names_is_read(client: Client) -> None:
    first = land("in/s/a", b"old", versions=True)
    second = land("in/s/a", b"newer", versions=True)
    assert LandedFile(client, first).read(9) == b"old"
    assert LandedFile(client, second).read(9) == b"newer"
    assert looked_up(client, Landed(BUCKET, "in/s/a", version=first.version)) == first


def test_what_is_gone_or_replaced_is_reported(client: Client) -> None:
    found = land("in/s/b", b"old")
    land("in/s/b", b"new")
    with pytest.raises(ObjectGone, match="was replaced"):
        LandedFile(client, found).read(9)
    with pytest.raises(ObjectGone, match="was deleted"):
        LandedFile(client, Landed(BUCKET, "in/s/never", 3, found.etag)).read(9)
    with pytest.raises(ObjectGone, match="was deleted"):
        looked_up(client, Landed(BUCKET, "in/s/never"))
