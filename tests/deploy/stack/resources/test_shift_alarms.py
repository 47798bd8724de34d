"""Alarms on a version that an update shifts calls to: they read what is written, and each one rings when it must."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from deploy.commands import COMMANDS
from deploy.handlers import ingest
from deploy.handlers.logs import DETAILED, METRICS, NAMESPACE
from deploy.stack.resources.shift_alarms import SHIFT
from deploy.stack.resources.template import template
from deploy.stack.resources.versions import FUNCTION, Deployed
from deploy.stack.settings import parse
from runtime.store import Store
from tests.deploy.handlers.conftest import deployed as deployed
from tests.deploy.handlers.conftest import lines as lines
from tests.deploy.handlers.deployed import Context, Lines, batch, event, land, records
from tests.deploy.stack.alarm_rings import Metrics, metrics_of, rings
from tests.deploy.stack.iam import filled
from tests.runtime.conftest import aws as aws

ROOT = Path(__file__).resolve().parents[4]
SETTINGS = parse('[deployment]\nname = "antfold"\n[streams.s]\nkey = "k"\ntime = "t"\nunit = "ms"\n')
SHIFTING = template(SETTINGS, "two", Deployed(template(SETTINGS, "one")), 0.1)
TITLES = sorted(name for name, r in SHIFTING["Resources"].items() if r["Type"] == FUNCTION)
NEW, OLD = "7", "6"
NUMBERS = {f"{routed.following}.Version": NEW for routed in Deployed(SHIFTING).routed.values()}
"""The numbers that CloudFormation gives the new versions."""

ALARMS: dict[str, dict[str, Any]] = {
    str(r["Properties"]["AlarmName"]).removeprefix("antfold-"): filled(r["Properties"], {**NUMBERS, "Alerts": "topic"})
    for name, r in SHIFTING["Resources"].items()
    if name.endswith(SHIFT)
}
AWS_METRICS = ({"FunctionName", "Resource", "ExecutedVersion"}, {"FunctionName", "Resource"})
"""The dimensions of Lambda's metrics of an alias's version, and of a version called by its number: Lambda developer
guide, "Types of metrics for Lambda functions"."""


class ContextOf(Context):
    """Lambda's context of a version of ingest."""

    def __init__(self, version: str) -> None:
        super().__init__()
        self.function_version = version


def test_every_new_version_is_watched() -> None:
    assert set(ALARMS) == {f"{t.lower()}-shift" for t in TITLES} | {"ingest-failing-shift", "worker-called-shift"}
    assert not [name for name in template(SETTINGS)["Resources"] if name.endswith(SHIFT)]
    finished = template(SETTINGS, "two", Deployed(SHIFTING), 0.0)
    assert not [name for name in finished["Resources"] if name.endswith(SHIFT)]


@pytest.mark.parametrize("what", sorted(ALARMS))
def test_it_reads_what_is_written(what: str) -> None:
    (metric,) = metrics_of(ALARMS[what])
    named = {d["Name"]: d["Value"] for d in metric["Dimensions"]}
    function = f"antfold-{what.partition('-')[0]}"
    if metric["Namespace"] == NAMESPACE:
        assert metric["MetricName"] in METRICS
        assert named == {"Function": function, DETAILED[metric["MetricName"]]: NEW}
    else:
        assert (metric["Namespace"], metric["MetricName"]) == ("AWS/Lambda", "Errors")
        assert set(named) in AWS_METRICS
        assert named["FunctionName"] == function
        assert named["Resource"] == (f"{function}:live" if "ExecutedVersion" in named else f"{function}:{NEW}")
        assert named.get("ExecutedVersion", NEW) == NEW


@pytest.mark.parametrize("what", sorted(ALARMS))
def test_it_says_what_it_means_and_the_page_has_it(what: str) -> None:
    says = ALARMS[what]["AlarmDescription"]
    assert len(says) <= 1_024  # CloudWatch's limit
    assert set(re.findall(r"\bdataflow ([a-z]+)", says)) == {"deploy"}
    assert f"aws logs tail /aws/lambda/antfold-{what.partition('-')[0]} " in says
    page = (ROOT / "deploy" / "OPERATIONS.md").read_text(encoding="utf-8")
    kinds = {what, "FUNCTION-shift"} if what.count("-") == 1 else {what}
    named = [line.split("|") for line in page.splitlines() if line.startswith("| `")]
    rows = [cells for cells in named if any(f"`{kind}`" in cells[1] for kind in kinds)]
    assert len(rows) == 1, what
    assert "dataflow" in rows[0][3] or "aws logs tail" in rows[0][3]
    assert set(re.findall(r"\bdataflow ([a-z]+)", rows[0][3])) <= set(COMMANDS)


def emitted(lines: Callable[[], Lines], at: float) -> Metrics:
    """The metrics of the log's lines, as if they were written at this time."""
    found = Metrics()
    for line in lines().all:
        found.take(line, at)
    return found


def test_an_ingest_that_fails_on_objects_rings(
    deployed: Store, lines: Callable[[], Lines], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It raises nothing: its reply says what failed. What the old version does is not held against the new one."""
    good = event(land("in/s/a", records(1)))
    assert ingest.handler(batch(good), ContextOf(NEW)) == {"batchItemFailures": []}
    assert not rings(ALARMS["ingest-failing-shift"], emitted(lines, 10), 60)
    with monkeypatch.context() as patch:
        patch.setattr(ingest.RecordBatch, "_taken", lambda *_: 1 / 0)
        for version, ringing in ((OLD, False), (NEW, True)):
            reply = ingest.handler(batch(good), ContextOf(version))
            assert len(reply["batchItemFailures"]) == 1
            assert rings(ALARMS["ingest-failing-shift"], emitted(lines, 10), 60) is ringing
    assert not rings(ALARMS["ingest-failing-shift"], Metrics(), 60)


@pytest.mark.parametrize(("calls", "ringing"), [(20, False), (19, True)])
def test_one_failed_message_to_more_than_20_calls_does_not_ring(calls: int, ringing: bool) -> None:
    found = Metrics()
    of = frozenset({("Function", "antfold-ingest"), ("Version", NEW)})
    for n in range(calls):
        found.put(NAMESPACE, "MessagesFailed", of, n, float(n == 5))
    assert rings(ALARMS["ingest-failing-shift"], found, 60) is ringing


@pytest.mark.parametrize("what", sorted(what for what, a in ALARMS.items() if a["Namespace"] != NAMESPACE))
def test_those_of_lambda_ring(what: str) -> None:
    (metric,) = metrics_of(ALARMS[what])
    of = frozenset((d["Name"], d["Value"]) for d in metric["Dimensions"])
    other = frozenset((name, value.replace(NEW, OLD)) for name, value in of)
    for where, values, ringing in ((of, [0, 0, 1], True), (of, [0] * 19 + [1], False), (other, [1], False)):
        found = Metrics()
        for n, value in enumerate(values):
            found.put("AWS/Lambda", "Errors", where, n, value)
        assert rings(ALARMS[what], found, 60) is ringing
