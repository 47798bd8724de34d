"""The servers as fixtures: started on first use, stopped with the session."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from deploy.bundle import build
from deploy.stack.actions import change_sets, watch
from operators.compiler.targets import worker
from tests.stack import servers
from tests.waiting import until

LONGEST = ("end_to_end", "deploy", "upkeep", "mqtt", "mending", "processes", "out_of_time", "versions")
"""The files that take longest, which begin first: two run at once, and neither is to wait for the other at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests of the longest files first (``.ci/run`` has xdist keep this order)."""
    places = {Path(__file__).with_name(f"test_{name}.py"): n for n, name in enumerate(LONGEST)}
    items.sort(key=lambda item: places.get(item.path, len(LONGEST)))


@pytest.fixture(autouse=True)
def _no_account(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test may reach an account of the user who runs it."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stacks of a stand-in are ready at once: they are looked at more often than those of AWS."""
    monkeypatch.setattr(watch, "PAUSE", 0.05)
    monkeypatch.setattr(change_sets.Stack.__init__, "__defaults__", (60.0, 0.2, None))


@pytest.fixture(scope="session")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The functions' code for the Python that ministack has; processes of one run share it."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "functions"
    done = folder / "bundle.zip"
    try:
        folder.mkdir()
    except FileExistsError:  # another process builds it
        until(done.exists, 300)
        return done
    python = ".".join(map(str, sys.version_info[:2]))
    return build(folder / "new.zip", worker().name, python).path.rename(done)


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
