"""The AWS clients: retries, and every failure as one sentence that says what to do."""

from __future__ import annotations

import os
import socket
import sys
from typing import Any

import pytest
from botocore.exceptions import ClientError, EndpointConnectionError, ReadTimeoutError

from runtime.aws.access import Access
from runtime.aws.client import Client, ServiceFault
from runtime.aws.retry import Budget, Fault
from runtime.errors import StoreError
from runtime.objects import S3Objects


def answer(code: str, status: int) -> ClientError:
    error = {"Error": {"Code": code, "Message": "m"}, "ResponseMetadata": {"HTTPStatusCode": status}}
    return ClientError(error, "PutObject")


class Script:
    """An attempt that fails in these ways, one after the other, and then succeeds."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.calls = 0

    def __call__(self, client: Any) -> str:
        self.calls += 1
        if self.failures:
            raise self.failures.pop(0)
        return "done"


@pytest.fixture
def client(aws: None) -> Client:
    client = Client("s3", Access(), Budget(losses=2))
    client.sleep = lambda seconds: None
    return client


TIMEOUT = ReadTimeoutError(endpoint_url="https://x")
THROTTLE = answer("SlowDown", 503)


def test_what_can_be_repeated_is(client: Client) -> None:
    script = Script(THROTTLE, TIMEOUT, answer("OperationAborted", 409), answer("InternalError", 500), THROTTLE)
    assert client.call("try", script) == "done"
    assert script.calls == 6


@pytest.mark.parametrize(
    ("failures", "fault", "unknown"),
    [
        ([TIMEOUT] * 3, Fault.LOST, True),
        ([answer("PreconditionFailed", 412)], Fault.REFUSED, False),
        ([THROTTLE, answer("AccessDenied", 403)], Fault.FINAL, False),
        # It may have happened, whatever its repetitions returned.
        ([TIMEOUT, answer("AccessDenied", 403)], Fault.FINAL, True),
        ([TIMEOUT, answer("PreconditionFailed", 412)], Fault.REFUSED, True),
    ],
)
def test_how_it_ends(client: Client, failures: list[Exception], fault: Fault, unknown: bool) -> None:
    script = Script(*failures)
    with pytest.raises(ServiceFault, match=r"^cannot try \(s3\): ") as caught:
        client.call("try", script)
    assert (caught.value.fault, caught.value.unknown) == (fault, unknown)
    assert script.calls == len(failures)
    assert caught.value.__cause__ is failures[-1]


def test_what_was_not_sent_is_tried_for_the_whole_time(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]
    monkeypatch.setattr("runtime.aws.client.time.monotonic", lambda: clock[0])

    def sleep(seconds: float) -> None:
        clock[0] += seconds

    client.sleep = sleep
    failure = EndpointConnectionError(endpoint_url="https://s3.eu-cental-1.amazonaws.com")
    script = Script(*[failure] * 1_000)
    with pytest.raises(
        ServiceFault, match=r"s3\.eu-cental-1\.\S+ cannot be reached: .*region.*tried again for (5[5-9]|60) s"
    ) as caught:
        client.call("try", script)
    assert (caught.value.fault, caught.value.unknown) == (Fault.UNSENT, False)
    assert 55 < clock[0] < 60
    assert 10 < script.calls < 60
    for code in ("AWS_ENDPOINT_URL", "?endpoint=", "network"):
        assert code in str(caught.value)
    clock[0] = 0.0
    assert client.call("try", Script(*[failure] * 8)) == "done"


def test_a_person_at_a_terminal_hears_that_it_waits(
    client: Client, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    clock = [1_000.0]
    monkeypatch.setattr("runtime.aws.client.time.monotonic", lambda: clock[0])
    monkeypatch.setattr("runtime.aws.client._noticed", {})

    def sleep(seconds: float) -> None:
        clock[0] += seconds

    client.sleep = sleep
    for terminal in (False, True):
        monkeypatch.setattr(sys.stderr, "isatty", lambda terminal=terminal: terminal, raising=False)
        client.call("read 'a'", Script(*[EndpointConnectionError(endpoint_url="https://x")] * 14))
        said = capsys.readouterr().err.splitlines()
        assert len(said) == terminal
        clock[0] += 100
    assert said[0].startswith("waiting: cannot read 'a' (s3): x cannot be reached: check the network")
    assert said[0].endswith(" s; Ctrl-C ends it.")


def test_a_time_out_says_what_to_check(client: Client) -> None:
    with pytest.raises(ServiceFault, match="x was reached but did not answer in time: check the network, the endpoint"):
        client.call("try", Script(*[TIMEOUT] * 3))


def test_the_clock_ends_it(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.0, *(float(t) for t in range(0, 1000, 7))])
    monkeypatch.setattr("runtime.aws.client.time.monotonic", lambda: next(times))
    script = Script(*[THROTTLE] * 100)
    with pytest.raises(ServiceFault, match="SlowDown"):
        client.call("try", script)
    assert script.calls <= 10  # 60 s, 7 for each attempt


def test_other_errors_pass(client: Client) -> None:
    with pytest.raises(ZeroDivisionError):
        client.call("try", lambda s3: 1 // 0)


@pytest.mark.parametrize(
    ("code", "status", "message"),
    [
        ("AccessDenied", 403, "permission denied"),
        ("InvalidAccessKeyId", 403, "credentials are refused or have expired"),
        ("ExpiredToken", 400, "credentials are refused or have expired"),
        ("RequestTimeTooSkewed", 403, "clock is wrong"),
        ("NoSuchBucket", 404, "the bucket does not exist: create it first"),
        ("KMS.DisabledException", 400, r"KMS.DisabledException: m\."),
    ],
)
def test_refusals_are_explained(client: Client, code: str, status: int, message: str) -> None:
    with pytest.raises(StoreError, match=message):
        client.call("try", Script(answer(code, status)))


def test_settings_that_are_missing(aws: None, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StoreError, match=r"nobody.*could not be found.*check ~/.aws/config"):
        S3Objects("lake", access=Access(profile="nobody")).size("a")
    with monkeypatch.context() as without:
        without.delenv("AWS_DEFAULT_REGION")
        with pytest.raises(StoreError, match=r"no AWS region is set: set AWS_DEFAULT_REGION, or name one \(\?region="):
            Client("dynamodb", Access()).call("try", Script())
    with monkeypatch.context() as without:
        without.delenv("AWS_ACCESS_KEY_ID")
        without.setenv("AWS_EC2_METADATA_DISABLED", "true")
        with pytest.raises(StoreError, match="there are no AWS credentials"):
            S3Objects("lake", access=Access(region="us-east-1")).size("a")


def test_nobody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:  # bound, and not listened at
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", "x")
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "x")
        objects = S3Objects("lake", access=Access(region="us-east-1", endpoint=url), budget=Budget(seconds=0.1))
        with pytest.raises(StoreError, match=r"cannot read 'a' in s3://lake .*127.0.0.1:\d+ cannot be reached"):
            objects.read("a", 0, 1)


def test_without_boto3(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "boto3", None)
    with pytest.raises(StoreError, match=r"needs boto3: pip install 'antfold\[aws\]'"):
        S3Objects("lake").size("a")


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there are no forks here")
def test_a_closed_client_opens_again(client: Client) -> None:
    client.boto.put_object(Bucket="lake", Key="a", Body=b"1")
    client.close()
    client.close()
    assert client.call("try", lambda s3: s3.head_object(Bucket="lake", Key="a")["ContentLength"]) == 1
