"""AWS in this process (moto), for the tests that need it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest

from tests.moto_tables import quick_tables
from tests.runtime.faults import REFUSED

_DESCRIPTIONS: dict[object, object] = {}
"""What botocore has read about AWS's services. A session reads it once, but each test makes sessions of its own."""


@cache
def client_of(service: str) -> Any:
    """A client for what tests ask of moto themselves: to make one takes longer than many requests."""
    import boto3

    return boto3.client(service)


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """moto, with the bucket ``lake``; one request at a time, for its transactions are not atomic by themselves."""
    from botocore import session as sessions
    from moto import mock_aws
    from moto.core.botocore_stubber import BotocoreStubber

    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL_DYNAMODB"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    real, lock = BotocoreStubber.__call__, threading.Lock()

    def alone(stubber: BotocoreStubber, event_name: str, request: Any, **named: object) -> object:
        if REFUSED in request.headers:  # answered before it arrives
            return None
        with lock:
            return real(stubber, event_name, request, **named)

    def reading_once(*given: Any) -> Any:
        loader = loaders(*given)
        loader._cache = _DESCRIPTIONS
        return loader

    loaders = sessions.create_loader
    monkeypatch.setattr(sessions, "create_loader", reading_once)
    monkeypatch.setattr(BotocoreStubber, "__call__", alone)
    with mock_aws(), quick_tables():
        client_of("s3").create_bucket(Bucket="lake")
        yield


@pytest.fixture
def plain_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each source leaves a file a day, which nothing compacts: for tests that count files or commits."""
    leave_plain_files(monkeypatch)


def leave_plain_files(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same for what is made for a whole module."""
    monkeypatch.setattr("runtime.ingest.day_spans.FEW_DAYS", 10**9)
    monkeypatch.setattr("runtime.upkeep.after_ingest.compacted", lambda report, compaction: report)
