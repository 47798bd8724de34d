"""deploy/OPERATIONS.md is followed as it is written: updates of a deployment, and what takes them back.

In a file of its own, because alarms that ring for other deployments would take its updates back.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import boto3
import pytest

from deploy.commands import deploy as commands
from deploy.stack.actions import watch
from tests.stack import servers
from tests.stack.following import Reads, changed, rings
from tests.stack.following import reads as reads
from tests.stack.test_deploy import _aws as _aws
from tests.stack.test_deploy import everything, kept
from tests.stack.test_deploy import name as name
from tests.stack.test_deploy import run as run
from tests.stack.test_mending import deploy as deploy
from tests.stack.test_versions import _with_clock, routed
from tests.stack.test_versions_alarms import FAILING, ingested, release

pytestmark = pytest.mark.stack


def test_updates(
    name: str, run: Any, deploy: Any, reads: Reads, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    release(tmp_path, "code")
    outputs = deploy("")
    page = reads(outputs)
    changed(tmp_path, "shift_minutes = 0\n", "shift_minutes = 1\nshift_share = 0.5\n")
    assert "USD a month" in page.does("Costs", "dataflow deploy --costs")
    keys = f"aws_access_key_id = {servers.KEY}\naws_secret_access_key = {servers.SECRET}\n"
    (tmp_path / "profiles").write_text(f"[profile telemetry]\nregion = {servers.REGION}\n{keys}")
    with monkeypatch.context() as patch:
        patch.setenv("AWS_CONFIG_FILE", str(tmp_path / "profiles"))
        page.does("A dedicated account 3", "dataflow deploy --profile telemetry")

    # An update that is interrupted, and whose ingest fails on its objects.
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    release(tmp_path, "code", FAILING)
    assert "IngestVersion" in page.does("Upgrades", "dataflow deploy --dry-run")
    with monkeypatch.context() as patch:
        patch.setattr(commands, "_report", lambda settings: interrupt)
        page.does("Upgrades", "dataflow deploy", code=130)
    assert "shifting: 50% on version 2" in page.does("Upgrades", "dataflow status")
    failed = next(n for n in range(1_000) if ingested(name, outputs["LandingBucket"], n)["batchItemFailures"])
    tail = "aws logs tail /aws/lambda/NAME-{} --since 1h --filter-pattern '?error ?timed ?timeout'"
    said = page.does("Alarms ingest-failing-shift", tail.format("ingest"))
    assert f"landing/s/{failed}" in said
    boto3.client("lambda").invoke(FunctionName=f"{name}-worker:live", Payload=b"{}")
    assert "error" in page.does("Alarms worker-called-shift", tail.format("worker"))
    page.does("Alarms FUNCTION-shift", "dataflow deploy --rollback")
    assert routed(f"{name}-ingest") == ("1", {})

    # One that is taken back by itself, and one that nothing is wrong with, until it turns out to be a mistake.
    def ring(left: float, alarms: int) -> None:
        rings(name, "ingest-failing-shift", "ALARM")

    clock = iter(range(0, 10_000, 30))
    monkeypatch.setattr(watch.Watch, "__init__", _with_clock(watch.Watch.__init__, lambda: float(next(clock))))
    with monkeypatch.context() as patch:
        patch.setattr(commands, "_report", lambda settings: ring)
        assert "was taken back" in page.does("Alarms FUNCTION-shift", "dataflow deploy", code=1)
    release(tmp_path, "code", "\n# mended")
    page.does("Alarms ingest-failing-shift", "dataflow deploy")
    version, shares = routed(f"{name}-ingest")
    assert (version > "1", shares) == (True, {})
    page.does("Upgrades", "dataflow deploy --rollback")
    assert routed(f"{name}-ingest") == ("1", {})

    page.does("Costs", "dataflow destroy")
    assert everything(name) == kept(name)
    run("destroy", "--delete-data", "--confirm", name)
