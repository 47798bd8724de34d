"""Objects in S3: requests sent, and lost requests and replies."""

from __future__ import annotations

import base64
import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import boto3
import pytest
from botocore.exceptions import EndpointConnectionError

from runtime.aws.access import Access
from runtime.aws.retry import Budget
from runtime.errors import StoreError
from runtime.objects import FileMissing, S3Objects
from runtime.objects.s3_objects import MAX_PREFIX
from tests.runtime.faults import Faults, s3_error


@pytest.fixture
def objects(aws: None) -> S3Objects:
    return S3Objects("lake", "p")


@pytest.fixture
def faults(objects: S3Objects) -> Faults:
    return Faults(objects.client)


def content(key: str) -> bytes:
    return bytes(boto3.client("s3").get_object(Bucket="lake", Key=key)["Body"].read())


def test_a_put_is_conditional_and_carries_its_checksum(objects: S3Objects, faults: Faults) -> None:
    objects.put("a/b", b"12345")
    ((name, request),) = faults.requests
    assert (name, request["Key"], request["IfNoneMatch"]) == ("PutObject", "p/a/b", "*")
    assert base64.b64decode(request["ChecksumSHA256"]) == hashlib.sha256(b"12345").digest()
    assert content("p/a/b") == b"12345"


def test_throttles_conflicts_and_errors_on_their_side(objects: S3Objects, faults: Faults) -> None:
    faults.refuse("PutObject", s3_error(503, "SlowDown"), s3_error(409, "ConditionalRequestConflict"))
    objects.put("a", b"12345")
    faults.refuse("GetObject", *[s3_error(503, "SlowDown")] * 9, s3_error(500, "InternalError"))
    assert objects.read("a", 1, 2) == b"23"
    faults.refuse("HeadObject", s3_error(503, ""))
    assert objects.size("a") == 5
    faults.refuse("ListObjectsV2", s3_error(503, "SlowDown"))
    assert [o.path for o in objects.list("")] == ["a"]
    faults.refuse("DeleteObject", s3_error(503, "SlowDown"))
    objects.delete("a")
    assert list(objects.list("")) == []
    assert len(faults.waits) == 15
    assert set(faults.sent.values()) <= {1, 2}


def test_a_lost_reply_to_a_put(objects: S3Objects, faults: Faults) -> None:
    """It is sent again, finds what it had put, and is content."""
    faults.lose("PutObject")
    objects.put("a", b"12345")
    assert faults.sent["PutObject"] == 2
    assert content("p/a") == b"12345"


def test_a_put_that_was_beaten_while_its_reply_was_lost(objects: S3Objects, faults: Faults) -> None:
    faults.refuse("PutObject", EndpointConnectionError(endpoint_url="https://fake"))
    boto3.client("s3").put_object(Bucket="lake", Key="p/a", Body=b"other")
    with pytest.raises(StoreError, match="already exists with other content"):
        objects.put("a", b"12345")
    assert content("p/a") == b"other"


@pytest.mark.parametrize("times", [2, 50])
def test_nothing_is_deleted_when_every_reply_is_lost(objects: S3Objects, faults: Faults, times: int) -> None:
    faults.lose("PutObject", times)
    if times == 2:
        objects.put("a", b"12345")
    else:
        faults.lose("HeadObject", times)
        with pytest.raises(StoreError, match=r"cannot (read|write) 'a' in s3://lake/p"):
            objects.put("a", b"12345")
    assert content("p/a") == b"12345"
    assert not {"DeleteObject", "DeleteObjects"} & set(faults.sent)


def test_an_object_without_a_checksum_is_compared_by_its_bytes(objects: S3Objects) -> None:
    """Another program, or a copy, may have put it without one."""
    boto3.client("s3").put_object(Bucket="lake", Key="p/a", Body=b"12345")
    objects.put("a", b"12345")
    with pytest.raises(StoreError, match="other content"):
        objects.put("a", b"12346")


def test_pages_of_a_list(objects: S3Objects, faults: Faults) -> None:
    def small(params: dict[str, object], **_: object) -> None:
        params["MaxKeys"] = 2

    objects.client.boto.meta.events.register("provide-client-params.s3.ListObjectsV2", small)
    paths = [f"d/{i}" for i in range(7)]
    for path in paths:
        objects.put(path, b"1")
    faults.refuse("ListObjectsV2", s3_error(503, "SlowDown"))
    assert [o.path for o in objects.list("d/")] == paths
    assert faults.sent["ListObjectsV2"] == 4


def test_only_what_is_ours_is_listed(objects: S3Objects) -> None:
    objects.put("a/b", b"1")
    s3 = boto3.client("s3")
    for key in ("p/a/", "p/.hidden", "p/ä", "q/a", "p", "pa"):
        s3.put_object(Bucket="lake", Key=key, Body=b"1")
    assert [o.path for o in objects.list("")] == ["a/b"]


def test_a_missing_bucket(aws: None) -> None:
    objects = S3Objects("none-here")
    for call in (lambda: objects.put("a", b"1"), lambda: objects.read("a", 0, 1), lambda: list(objects.list(""))):
        with pytest.raises(StoreError, match=r"in s3://none-here \(s3\): the bucket does not exist: create it first"):
            call()


@pytest.mark.parametrize("prefix", ["a//b", "a b", ".x", "x" * (MAX_PREFIX + 1)])
def test_bad_prefixes(prefix: str) -> None:
    with pytest.raises(StoreError, match=r"path|prefix"):
        S3Objects("lake", prefix)
    assert S3Objects("lake", "/".join(["x" * 60] * 2)).prefix


# Replies that moto would not give come from a server of our own.

BODY = b"0123456789"
SUM = base64.b64encode(hashlib.sha256(BODY).digest()).decode()


@contextmanager
def serving(*replies: tuple[int, dict[str, str], bytes]) -> Iterator[S3Objects]:
    """A store whose server gives these replies, one after the other, the last one for ever."""
    left = list(replies)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            status, headers, body = left.pop(0) if len(left) > 1 else left[0]
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(b"" if self.command == "HEAD" else body)
            self.close_connection = True

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_PUT(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.do_GET()

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    objects = S3Objects(
        "lake",
        access=Access(region="us-east-1", endpoint=f"http://127.0.0.1:{server.server_port}"),
        budget=Budget(losses=2, base=0.001),
    )
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("AWS_ACCESS_KEY_ID", "x")
            patch.setenv("AWS_SECRET_ACCESS_KEY", "x")
            yield objects
    finally:
        objects.close()
        server.shutdown()
        thread.join()
        server.server_close()


def part(body: bytes, span: str, **headers: str) -> tuple[int, dict[str, str], bytes]:
    return 206, {"Content-Range": f"bytes {span}", **headers}, body


WHOLE = part(BODY, "0-9/10")


@pytest.mark.parametrize(
    "broken",
    [
        (206, {"Content-Range": "bytes 0-9/10", "Content-Length": "10"}, BODY[:4]),  # the connection ends
        part(BODY[:4], "0-3/10"),  # less than asked for, and complete
        part(BODY[:9] + b"x", "0-9/10", **{"x-amz-checksum-sha256": SUM}),
        (500, {}, b""),
    ],
)
def test_a_damaged_reply_to_a_read(broken: tuple[int, dict[str, str], bytes]) -> None:
    """Truncated, or with another checksum: asked for again, and in the end an error, never other bytes."""
    with serving(broken, WHOLE) as objects:
        assert objects.read("a", 0, 10) == BODY
    with serving(broken) as objects, pytest.raises(StoreError, match="cannot read 'a' in s3://lake"):
        objects.read("a", 0, 10)


def test_a_checksum_that_is_right() -> None:
    with serving(part(BODY, "0-9/10", **{"x-amz-checksum-sha256": SUM})) as objects:
        assert objects.read("a", 0, 10) == BODY


def test_a_server_that_ignores_ranges() -> None:
    with serving((200, {}, BODY)) as objects:
        assert objects.read("a", 2, 3) == BODY[2:5]
        with pytest.raises(StoreError, match="the object has 10 bytes"):
            objects.read("a", 8, 3)


def test_a_put_that_arrived_damaged() -> None:
    wrong = {"x-amz-checksum-sha256": base64.b64encode(hashlib.sha256(b"other").digest()).decode()}
    with serving((200, wrong, b"")) as objects, pytest.raises(StoreError, match="the SHA-256 changed on the way"):
        objects.put("a", BODY)
    with serving((400, {}, b"<Error><Code>BadDigest</Code></Error>"), (200, {}, b"")) as objects:
        objects.put("a", BODY)


@pytest.mark.parametrize("there", [BODY, BODY[::-1]])
def test_an_object_that_is_there_is_compared_by_its_checksum(there: bytes) -> None:
    refused = (412, {}, b"<Error><Code>PreconditionFailed</Code></Error>")
    head = {"x-amz-checksum-sha256": base64.b64encode(hashlib.sha256(there).digest()).decode()}
    with serving(refused, (200, head, there), (500, {}, b"")) as objects:
        if there == BODY:
            objects.put("a", BODY)
        else:
            with pytest.raises(StoreError, match="already exists with other content"):
                objects.put("a", BODY)


def test_a_bucket_where_nothing_may_be_read() -> None:
    with serving((403, {}, b"<Error><Code>AccessDenied</Code></Error>")) as objects:
        with pytest.raises(StoreError, match="permission denied") as caught:
            objects.read("a", 0, 1)
        assert not isinstance(caught.value, FileMissing)


def test_all_versions_go(objects: S3Objects) -> None:
    """Of one object, delete markers too; a plain delete keeps them, and others' versions stay."""
    s3 = boto3.client("s3")
    s3.put_bucket_versioning(Bucket="lake", VersioningConfiguration={"Status": "Enabled"})
    for data in (b"1", b"22"):
        objects.put("a", data)
        objects.put("ab", data)
        objects.delete("a")
        objects.delete("ab")
    versions = s3.list_object_versions(Bucket="lake")
    assert (len(versions["Versions"]), len(versions["DeleteMarkers"])) == (4, 4)
    objects.delete("a", versions=True)
    versions = s3.list_object_versions(Bucket="lake")
    assert {v["Key"] for v in (*versions["Versions"], *versions["DeleteMarkers"])} == {"p/ab"}
    assert (len(versions["Versions"]), len(versions["DeleteMarkers"])) == (2, 2)


def test_more_versions_than_a_page(objects: S3Objects, monkeypatch: pytest.MonkeyPatch) -> None:
    s3 = boto3.client("s3")
    s3.put_bucket_versioning(Bucket="lake", VersioningConfiguration={"Status": "Enabled"})
    for n in range(5):
        s3.put_object(Bucket="lake", Key="p/a", Body=bytes([n]))
    pages: list[dict[str, Any]] = []
    client = objects.client.boto
    real: Callable[..., Any] = client.list_object_versions

    def small(**asked: Any) -> Any:
        pages.append(asked)
        return real(**asked, MaxKeys=2)

    monkeypatch.setattr(client, "list_object_versions", small)
    objects.delete("a", versions=True)
    assert len(pages) >= 3
    assert not s3.list_object_versions(Bucket="lake").get("Versions")


def test_versions_of_deleted_objects_go(objects: S3Objects, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also over several pages; those of objects that are there, or were put again, stay."""
    s3 = boto3.client("s3")
    s3.put_bucket_versioning(Bucket="lake", VersioningConfiguration={"Status": "Enabled"})
    s3.put_object(Bucket="lake", Key="data/s/other", Body=b"1")  # of another store
    s3.delete_object(Bucket="lake", Key="data/s/other")
    for name in ("a", "b", "again", "there"):
        objects.put(f"data/s/{name}", b"22")
    for name in ("a", "b", "again"):
        objects.delete(f"data/s/{name}")
    objects.put("data/s/again", b"333")
    client = objects.client.boto
    real: Callable[..., Any] = client.list_object_versions
    monkeypatch.setattr(client, "list_object_versions", lambda **asked: real(**asked, MaxKeys=2))
    would = objects.discard_deleted("data/s/", dry_run=True)
    assert [(info.path, info.size) for info in would] == [("data/s/a", 2), ("data/s/b", 2)]
    assert objects.discard_deleted("data/s/") == would
    monkeypatch.undo()
    versions = s3.list_object_versions(Bucket="lake")
    left = sorted(v["Key"] for v in (*versions["Versions"], *versions["DeleteMarkers"]))
    assert left == ["data/s/other"] * 2 + ["p/data/s/again"] * 3 + ["p/data/s/there"]
