"""Updates of a deployment on ministack: calls shift to the new versions, and go back when an alarm rings.

ministack fires no alarm; the test sets its state, as `aws cloudwatch set-alarm-state` does.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import boto3
import pytest

from deploy.cli import main
from deploy.commands import deploy as commands
from deploy.stack.actions import watch
from tests.stack import gaps

pytestmark = pytest.mark.stack

CONFIG = """
[deployment]
name = "{name}"
shift_minutes = {minutes}
shift_share = 0.5

[streams.telemetry]
key = "device"
time = "ts"
"""
HANDLER = """
import os

def handler(event, context):
    return {{"release": "{release}", "worker": os.environ.get("ANTFOLD_WORKER")}}
"""


@pytest.fixture(autouse=True)
def _aws(ministack: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    gaps.mend(monkeypatch)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Any:
    def run(*arguments: str, code: int = 0) -> str:
        capsys.readouterr()
        found = main(list(arguments))
        out, err = capsys.readouterr()
        assert found == code, out + err
        return str(out + err)

    return run


def release(folder: Path, name: str) -> str:
    """Code that says which release it is."""
    path = folder / f"{name}.zip"
    with zipfile.ZipFile(path, "w") as code:
        for package in ("deploy", "deploy/handlers"):
            code.writestr(f"{package}/__init__.py", "")
        for function in ("worker", "ingest", "query", "reconcile"):
            code.writestr(f"deploy/handlers/{function}.py", HANDLER.format(release=name))
    return str(path)


def asked(function: str) -> dict[str, Any]:
    reply = boto3.client("lambda").invoke(FunctionName=function, Payload=b"{}")
    found: dict[str, Any] = json.loads(reply["Payload"].read())
    return found


def routed(function: str) -> tuple[str, dict[str, float]]:
    found = boto3.client("lambda").get_alias(FunctionName=function, Name="live")
    return found["FunctionVersion"], found.get("RoutingConfig", {}).get("AdditionalVersionWeights", {})


def versions(function: str) -> list[str]:
    found = boto3.client("lambda").list_versions_by_function(FunctionName=function)["Versions"]
    return [v["Version"] for v in found if v["Version"] != "$LATEST"]


def test_an_update_shifts_and_goes_back(run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = f"t{os.urandom(4).hex()}"
    config, worker, query = tmp_path / "antfold.toml", f"{name}-worker", f"{name}-query"
    config.write_text(CONFIG.format(name=name, minutes=1))
    one, two, three = (release(tmp_path, r) for r in ("one", "two", "three"))

    # The first deployment shifts nothing.
    out = run("deploy", "--bundle", one, "--yes")
    assert f"Worker: {worker}:live" in out
    assert routed(worker) == ("1", {})
    assert asked(f"{worker}:live") == {"release": "one", "worker": None}
    assert asked(f"{query}:live")["worker"].endswith(f":function:{worker}:1")
    assert "no changes" in run("deploy", "--bundle", one, "--yes")
    assert "has no earlier deployment" in run("deploy", "--rollback", "--yes", code=1)

    # An update that is interrupted in between.
    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(commands, "_report", lambda settings: interrupt)
        assert "`dataflow deploy` finishes the update" in run("deploy", "--bundle", two, "--yes", code=130)
    assert routed(worker) == ("1", {"2": 0.5})
    seen = Counter(asked(f"{worker}:live")["release"] for _ in range(40))
    assert set(seen) == {"one", "two"}
    assert f"{worker}: shifting: 50% on version 2" in run("status")
    # Each version of the coordinator calls one version of the worker.
    assert asked(f"{query}:1")["worker"].endswith(f"{worker}:1")
    assert asked(f"{query}:2")["worker"].endswith(f"{worker}:2")

    # It is finished by the next `deploy`, which shows no changes but ends the shift.
    clock = iter(range(0, 10_000, 30))
    monkeypatch.setattr(watch.Watch, "__init__", _with_clock(watch.Watch.__init__, lambda: float(next(clock))))
    run("deploy", "--bundle", two, "--yes")
    assert routed(worker) == ("2", {})
    assert {asked(f"{worker}:live")["release"] for _ in range(10)} == {"two"}
    assert "no changes" in run("deploy", "--bundle", two, "--yes")

    # An alarm rings while the next update shifts: it is taken back, and the message says why.
    alarm = next(
        a["AlarmName"] for a in boto3.client("cloudwatch").describe_alarms()["MetricAlarms"]
        if name in a["AlarmName"] and a["AlarmName"].endswith("-query-errors")
    )  # fmt: skip

    def ring(left: float, alarms: int) -> None:
        assert routed(worker) == ("2", {"3": 0.5})
        boto3.client("cloudwatch").set_alarm_state(
            AlarmName=alarm, StateValue="ALARM", StateReason="3 errors in 5 minutes"
        )

    with monkeypatch.context() as patch:
        patch.setattr(commands, "_report", lambda settings: ring)
        out = run("deploy", "--bundle", three, "--yes", code=1)
    assert "was taken back, and what ran before has all calls again" in out
    assert f"the alarm {alarm} rings (3 errors in 5 minutes). The function {name}-query failed: " in out
    assert routed(worker) == ("2", {})
    assert {asked(f"{worker}:live")["release"] for _ in range(10)} == {"two"}
    assert asked(worker)["release"] == "two"  # $LATEST, too

    # An alarm that rings already does not stop an update, and two versions are kept. Then back, at once.
    out = run("deploy", "--bundle", three, "--yes")
    assert f"these alarms ring already, so they do not stop the update: {alarm}" in out
    assert asked(f"{worker}:live")["release"] == "three"
    assert len(versions(worker)) == 2
    run("deploy", "--rollback", "--yes")
    assert asked(f"{worker}:live")["release"] == "two"
    assert "has no earlier deployment" in run("deploy", "--rollback", "--yes", code=1)
    boto3.client("cloudwatch").set_alarm_state(AlarmName=alarm, StateValue="OK", StateReason="")

    # Without a shift an update is one step.
    config.write_text(CONFIG.format(name=name, minutes=0))
    run("deploy", "--bundle", three, "--yes")
    assert asked(f"{worker}:live")["release"] == "three"
    run("destroy", "--delete-data", "--confirm", name)


def _with_clock(make: Any, clock: Any) -> Any:
    def init(self: Any, *given: Any, **named: Any) -> None:
        make(self, *given, **{"clock": clock, "sleep": lambda _: None, **named})

    return init
