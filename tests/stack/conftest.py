"""The servers as fixtures: started on first use, stopped with the session."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.stack import servers


@pytest.fixture(autouse=True)
def _no_account(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test may reach an account of the user who runs it."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)


@pytest.fixture(scope="module")
def ministack_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A server for each file: its alarms look at the metrics of all functions, so what fails in one test would ring in
    the next for five minutes."""
    with servers.ministack(tmp_path_factory.mktemp("ministack")) as endpoint:
        yield endpoint


@pytest.fixture(scope="session")
def seaweed_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with servers.seaweed(tmp_path_factory.mktemp("seaweed")) as endpoint:
        yield endpoint


@pytest.fixture
def ministack(ministack_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """ministack for boto3, by its usual variables, with the bucket ``lake``."""
    return _used(ministack_endpoint, monkeypatch)


@pytest.fixture
def seaweed(seaweed_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """SeaweedFS for boto3, by its usual variables, with the bucket ``lake``."""
    return _used(seaweed_endpoint, monkeypatch)


@pytest.fixture
def prefix() -> str:
    """Where in the bucket the store of this test is; the tests share bucket and table."""
    return f"tests/{os.urandom(6).hex()}"


def _used(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in servers.environment(endpoint).items():
        monkeypatch.setenv(name, value)
    with suppress(ClientError):  # there already
        boto3.client("s3", config=Config(s3={"addressing_style": "path"})).create_bucket(Bucket="lake")
    return endpoint
