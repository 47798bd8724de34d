"""The life of a deployment in an account: what rights, keys, alarms and Firehose do there, which no stand-in shows."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.account.deployment_life import Life

pytestmark = pytest.mark.aws

PROFILE = "ANTFOLD_AWS_TEST"
"""The variable that names a profile of the account in which the test may make a deployment, and remove it."""

_OTHERS = ("AWS_ACCESS_KEY", "AWS_SECRET", "AWS_SESSION", "AWS_SECURITY", "AWS_ENDPOINT", "AWS_PROFILE", "ANTFOLD_MAC")


@pytest.fixture
def profile(monkeypatch: pytest.MonkeyPatch) -> str:
    """The profile, in the environment as the only way to an account."""
    named = os.environ.get(PROFILE)
    if not named:
        pytest.skip(f"needs an AWS account: {PROFILE}=PROFILE, see tests/account/README.md")
    for name in [name for name in os.environ if name.startswith(_OTHERS)]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_PROFILE", named)
    return named


def test_the_life_of_a_deployment(profile: str, tmp_path: Path) -> None:
    Life(f"antfold-test-{os.urandom(4).hex()}", tmp_path, {"AWS_PROFILE": profile}).all()
