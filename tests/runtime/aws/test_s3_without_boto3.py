"""S3 without boto3, as in a Lambda function, tested like the boto3 client."""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from datetime import datetime
from typing import Any
from urllib.parse import quote

import pytest

from runtime.aws.access import Access
from runtime.aws.client import Client, ServiceFault
from runtime.aws.retry import Budget, Fault
from runtime.aws.s3_without_boto3 import SignedS3, signed_headers
from runtime.errors import StoreError
from runtime.objects import S3Objects
from runtime.testing.contracts.object_store_contract import ObjectStoreContract
from tests.runtime.objects import test_s3_objects
from tests.runtime.objects.test_s3_objects import BODY, SUM, WHOLE, part, serving
from tests.stack.servers import environment


@pytest.fixture
def function(monkeypatch: pytest.MonkeyPatch) -> None:
    """This process as a function of Lambda."""
    for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "AWS_SESSION_TOKEN", "AWS_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment("http://127.0.0.1:9").items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AWS_LAMBDA_FUNCTION_NAME", "antfold-worker")


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    server = pytest.importorskip("moto.server", reason="moto[server] is not installed").ThreadedMotoServer(
        "127.0.0.1", 0, verbose=False
    )
    from moto.s3.responses import S3Response

    # Moto looks whether there is an object, then puts one: at once two writers may win, which S3 rules out.
    alone, usual = threading.Lock(), S3Response.put_object

    def put_object(self: S3Response) -> Any:
        with alone:
            return usual(self)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(S3Response, "put_object", put_object)
        server.start()
        host, port = server.get_host_and_port()
        yield f"http://{host}:{port}"
        server.stop()


class TestSignedObjects(ObjectStoreContract):
    @pytest.fixture
    def objects(self, function: None, endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Objects]:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        objects = S3Objects("lake", "a/prefix")
        assert isinstance(objects.client.boto, SignedS3)
        objects.client.boto.create_bucket(Bucket="lake")
        yield objects
        for info in objects.list(""):
            objects.delete(info.path)
        objects.client.boto.delete_bucket(Bucket="lake")
        objects.close()


def test_what_only_boto3_asks(function: None, endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Arguments that the store does not use, for example those of the reader of landing objects."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    client = Client("s3", Access())
    s3 = client.boto
    assert isinstance(s3, SignedS3)
    s3.create_bucket(Bucket="arrivals")
    s3.put_object(Bucket="arrivals", Key="a", Body=b"0123456789")
    etag = s3.head_object(Bucket="arrivals", Key="a")["ETag"]
    reply = s3.get_object(Bucket="arrivals", Key="a", Range="bytes=2-4", IfMatch=etag)
    assert reply["Body"].read() == b"234"
    with pytest.raises(ServiceFault) as raised:
        client.call("read", lambda s3: s3.get_object(Bucket="arrivals", Key="a", Range="bytes=2-4", IfMatch='"x"'))
    assert raised.value.fault is Fault.REFUSED


def test_the_signature_of_the_documentation(monkeypatch: pytest.MonkeyPatch) -> None:
    """ "Authenticating Requests: Using the Authorization Header", Amazon S3 API Reference, "Example: GET Object"."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIAIOSFODNN7" + "EXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG/bPxRfiCY" + "EXAMPLEKEY")
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
    given = {"range": "bytes=0-9", "x-amz-content-sha256": hashlib.sha256(b"").hexdigest()}
    found = signed_headers("GET", "examplebucket.s3.amazonaws.com", "/test.txt", given, "us-east-1", 1_369_353_600)
    assert found["x-amz-date"] == "20130524T000000Z"
    assert "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date" in found["authorization"]
    assert found["authorization"].endswith("f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41")


def test_the_token_of_a_role_is_signed(monkeypatch: pytest.MonkeyPatch, function: None) -> None:
    monkeypatch.setenv("AWS_SESSION_TOKEN", "abc")
    found = signed_headers("GET", "h", "/", {"x-amz-content-sha256": ""}, "us-east-1")
    assert found["x-amz-security-token"] == "abc"
    assert "x-amz-date;x-amz-security-token," in found["authorization"]


@pytest.mark.parametrize("key", ["a b+c&d=e?f#g%h~i", "ключ/✓", "//x/../y/", "a:b@c,d;e!f*g'h(i)"])
def test_signatures_are_those_of_botocore(monkeypatch: pytest.MonkeyPatch, function: None, key: str) -> None:
    """Of keys as people choose them."""
    from botocore.auth import S3SigV4Auth
    from botocore.awsrequest import AWSRequest
    from botocore.credentials import Credentials

    monkeypatch.setenv("AWS_SESSION_TOKEN", "the+token/=")
    path, digest = f"/lake/{quote(key, safe='/-_.~')}", hashlib.sha256(b"").hexdigest()
    given = {"range": "bytes=0-9", "x-amz-content-sha256": digest}
    ours = signed_headers("GET", "h.example", path, given, "us-east-1")
    request = AWSRequest("GET", f"https://h.example{path}", headers=given)
    moment = datetime.strptime(ours["x-amz-date"], "%Y%m%dT%H%M%SZ")
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda: moment)
    identity = Credentials(os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"], "the+token/=")
    S3SigV4Auth(identity, "s3", "us-east-1").add_auth(request)
    assert ours["authorization"] == request.headers["Authorization"]


@pytest.mark.usefixtures("function")
class TestDamage:
    """The replies of ``test_s3``, given to a function."""

    test_reads = staticmethod(test_s3_objects.test_a_damaged_reply_to_a_read)
    test_checksum = staticmethod(test_s3_objects.test_a_checksum_that_is_right)
    test_ranges = staticmethod(test_s3_objects.test_a_server_that_ignores_ranges)
    test_puts = staticmethod(test_s3_objects.test_a_put_that_arrived_damaged)
    test_there = staticmethod(test_s3_objects.test_an_object_that_is_there_is_compared_by_its_checksum)
    test_denied = staticmethod(test_s3_objects.test_a_bucket_where_nothing_may_be_read)

    def test_throttles_are_waited_for(self) -> None:
        slow = (503, {}, b"<Error><Code>SlowDown</Code><Message>x</Message></Error>")
        with serving(slow, slow, slow, slow, WHOLE) as objects:
            waits: list[float] = []
            objects.client.sleep = waits.append
            assert objects.read("a", 0, 10) == BODY
            assert len(waits) == 4

    def test_a_wrong_region(self) -> None:
        moved = (301, {}, b"<Error><Code>PermanentRedirect</Code><Message>use that endpoint</Message></Error>")
        with serving(moved) as objects, pytest.raises(StoreError, match="PermanentRedirect: use that endpoint"):
            objects.read("a", 0, 10)

    def test_a_connection_that_was_closed_while_idle(self) -> None:
        with serving(WHOLE) as objects:
            objects.client.sleep = lambda _: pytest.fail("a closed connection is opened again at once")
            for _ in range(3):
                assert objects.read("a", 0, 10) == BODY

    def test_a_connection_that_is_slow(self) -> None:
        """Waiting for a connection that was used before counts as an attempt: of others there may be many."""

        def slow() -> None:
            raise TimeoutError("timed out")

        with serving(WHOLE) as objects:
            waits: list[float] = []
            objects.client.sleep = waits.append
            assert objects.read("a", 0, 10) == BODY
            (held,) = objects.client.boto._idle
            held.getresponse = slow
            assert objects.read("a", 0, 10) == BODY
            assert len(waits) == 1

    def test_no_more_is_taken_than_there_is(self) -> None:
        short = part(BODY[:3], "0-2/3", **{"x-amz-checksum-sha256": SUM})
        with serving(short) as objects, pytest.raises(StoreError, match="differs from the one that S3 sent"):
            objects.read("a", 0, 3)


def test_nobody_listens(function: None) -> None:
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        access = Access(endpoint=f"http://127.0.0.1:{held.getsockname()[1]}")
        objects = S3Objects("lake", access=access, budget=Budget(seconds=0.1))
        with pytest.raises(StoreError, match=r"cannot read 'a' in s3://lake \(s3\): 127\S+ cannot be reached"):
            objects.read("a", 0, 1)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AWS_LAMBDA_FUNCTION_NAME", None),
        ("HTTPS_PROXY", "http://proxy"),
        ("AWS_USE_FIPS_ENDPOINT", "true"),
        ("AWS_DEFAULT_REGION", "us-iso-east-1"),
    ],
)
def test_what_is_left_to_boto3(function: None, monkeypatch: pytest.MonkeyPatch, name: str, value: str | None) -> None:
    if value is None:
        monkeypatch.delenv(name)
    else:
        monkeypatch.setenv(name, value)
    assert not isinstance(S3Objects("lake").client.boto, SignedS3)


def test_a_read_imports_no_boto3(function: None) -> None:
    program = """
import sys
from runtime.aws.client import Access, Client, ServiceFault
from runtime.objects import S3Objects
assert S3Objects("lake", access=Access(endpoint=sys.argv[1])).read("a", 0, 10) == b"0123456789"
assert not {"boto3", "botocore"} & set(sys.modules)
"""
    with serving(WHOLE) as objects:
        subprocess.run([sys.executable, "-c", program, str(objects.client.access.endpoint)], check=True, timeout=60)
