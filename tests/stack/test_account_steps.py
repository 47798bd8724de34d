"""What ``-m aws`` does in an account, on ministack: every step but those that only AWS takes."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from deploy.bundle import build
from operators.compiler.targets import worker as workers_target
from tests.account.deployment_life import Life
from tests.stack import servers
from tests.stack.test_deploy import everything
from tests.stack.test_end_to_end import use

pytestmark = [pytest.mark.stack, pytest.mark.nightly]


def test_the_steps_of_an_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    python = ".".join(map(str, sys.version_info[:2]))
    bundle = build(tmp_path / "bundle.zip", workers_target().name, python).path
    server, folder = tmp_path / "server", tmp_path / "folder"
    server.mkdir()
    folder.mkdir()
    with servers.ministack(server, **servers.bare_functions(server)) as endpoint:
        use(endpoint, monkeypatch)
        name = f"t{os.urandom(4).hex()}"
        Life(
            name, folder, servers.environment(endpoint), bundle, workers_target().name, patience=120, genuine=False
        ).all()
        assert everything(name) == set()
