"""Alarms: what they read is what is written, they say which command mends it, and each one rings when it must."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.commands import COMMANDS
from deploy.handlers import query
from deploy.handlers.logs import DETAILED, METRICS, NAMESPACE
from deploy.stack.resources.function_resources import functions
from deploy.stack.resources.template import template
from deploy.stack.settings import load, parse
from runtime.store import Store
from tests.deploy.handlers.conftest import deployed as deployed
from tests.deploy.handlers.conftest import lines as lines
from tests.deploy.handlers.deployed import Context, Lines, batch, event, land, records
from tests.deploy.stack.alarm_rings import Metrics, metrics_of, period_of, rings
from tests.deploy.stack.resources.test_template import shifting
from tests.runtime.conftest import aws as aws

ROOT = Path(__file__).resolve().parents[4]
SETTINGS = load(ROOT / "tests" / "deploy" / "golden" / "antfold.toml")
AWS_METRICS = {
    # docs.aws.amazon.com: SQS developer guide, "Available CloudWatch metrics for Amazon SQS"
    ("AWS/SQS", "ApproximateNumberOfMessagesVisible"): {"QueueName"},
    ("AWS/SQS", "ApproximateAgeOfOldestMessage"): {"QueueName"},
    # Lambda developer guide, "Types of metrics for Lambda functions"
    ("AWS/Lambda", "Errors"): {"FunctionName"},
    ("AWS/Lambda", "Throttles"): {"FunctionName"},
    ("AWS/Lambda", "AsyncEventsDropped"): {"FunctionName"},
    # Firehose developer guide, "Monitor Amazon Data Firehose with CloudWatch metrics"
    ("AWS/Firehose", "DeliveryToS3.DataFreshness"): {"DeliveryStreamName"},
    ("AWS/Firehose", "DeliveryToS3.Success"): {"DeliveryStreamName"},
}
"""The metrics of AWS that alarms read, with their dimensions."""


def alarms(whole: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The alarms of a template, by their names without the deployment's."""
    name = next(t["Value"] for t in whole["Resources"]["DataBucket"]["Properties"]["Tags"] if t["Key"] == "antfold")
    found = [r["Properties"] for r in whole["Resources"].values() if r["Type"] == "AWS::CloudWatch::Alarm"]
    return {a["AlarmName"].removeprefix(f"{name}-"): a for a in found}


WHOLE = template(SETTINGS)
ALARMS = alarms(WHOLE)


def test_there_is_one_for_everything_that_breaks() -> None:
    failing = [f"{kind}-{what}" for kind in ("ingest", "query", "reconcile") for what in ("errors", "throttles")]
    streams = [f"{s}-{what}" for s in ("telemetry", "pay-ments") for what in ("late", "delivery", "rejects")]
    expected = {
        "dead-letters", "waiting", "quarantine", "missed-schedules", "https-errors", "query-dropped",
        "reconcile-dropped", "telemetry-silent", *failing, *streams,
    }  # fmt: skip
    assert expected <= set(ALARMS)
    assert all(a["AlarmName"].startswith("fleet-") for a in ALARMS.values())
    assert len({a["AlarmName"] for a in ALARMS.values()}) == len(ALARMS)
    assert all(a["AlarmActions"] == a["OKActions"] == [{"Ref": "Alerts"}] for a in ALARMS.values())


@pytest.mark.parametrize("what", sorted(ALARMS))
def test_it_says_what_it_means_and_what_to_do(what: str) -> None:
    says = ALARMS[what]["AlarmDescription"]
    assert len(says) <= 1_024  # CloudWatch's limit
    named = re.findall(r"\bdataflow (?!status says)([a-z]+)", says)
    assert named or "aws logs tail" in says
    assert set(named) <= set(COMMANDS)


@pytest.mark.parametrize("what", sorted(ALARMS))
def test_the_page_has_it(what: str) -> None:
    """The operations page has a row for each alarm, whose commands exist."""
    kind = next((what.replace(name, "STREAM") for name in SETTINGS.streams if what.startswith(f"{name}-")), what)
    page = (ROOT / "deploy" / "OPERATIONS.md").read_text(encoding="utf-8")
    rows = [line for line in page.splitlines() if line.startswith("| `") and f"`{kind}`" in line.split("|")[1]]
    assert len(rows) == 1, kind
    assert set(re.findall(r"\bdataflow ([a-z]+)", rows[0])) <= set(COMMANDS)


def names_of(type_: str, name: str) -> set[str]:
    """The names of the template's resources of a type."""
    return {r["Properties"][name] for r in WHOLE["Resources"].values() if r["Type"] == f"AWS::{type_}"}


@pytest.mark.parametrize("what", sorted(ALARMS))
def test_it_reads_what_is_written(what: str) -> None:
    """A metric with another name, or with other dimensions, is a metric without data: its alarm never rings."""
    lambdas, queues = names_of("Lambda::Function", "FunctionName"), names_of("SQS::Queue", "QueueName")
    deliveries = names_of("KinesisFirehose::DeliveryStream", "DeliveryStreamName")
    exist = {
        "FunctionName": lambdas, "Function": lambdas, "QueueName": queues, "DeliveryStreamName": deliveries,
        "Stream": set(SETTINGS.streams), "Class": classes(),
    }  # fmt: skip
    for metric in metrics_of(ALARMS[what]):
        named = {d["Name"]: d["Value"] for d in metric["Dimensions"]}
        if metric["Namespace"] == NAMESPACE:
            name = metric["MetricName"]
            assert name in METRICS
            assert set(named) in ({"Function"}, {"Function", DETAILED.get(name, "")})
        else:
            assert set(named) == AWS_METRICS[metric["Namespace"], metric["MetricName"]]
        assert all(value in exist[name] for name, value in named.items())


def classes() -> set[str]:
    """The classes of failed queries, in the handler's source."""
    source = ast.parse(Path(query.__file__).read_text(encoding="utf-8"))
    found = [k.value for n in ast.walk(source) if isinstance(n, ast.Call) for k in n.keywords if k.arg == "Class"]
    texts = [c.value for value in found for c in ast.walk(value) if isinstance(c, ast.Constant)]
    return {text for text in texts if isinstance(text, str)}


def test_what_cloudwatch_takes() -> None:
    """It looks back a day at most, a week if periods are of an hour; a metric's id begins in lower case."""
    for minutes in (15, 60, 1_440, 1_500, 10_080):
        text = f'[streams.s]\nkey = "k"\ntime = "t"\nsilent_minutes = {minutes}\n'
        silent = alarms(template(parse(text)))["s-silent"]
        whole = period_of(silent) * silent["EvaluationPeriods"]
        assert whole == 60 * minutes
        assert whole <= (604_800 if period_of(silent) >= 3_600 else 86_400)
    for alarm in ALARMS.values():
        assert all(re.fullmatch(r"[a-z][a-zA-Z0-9_]*", m["Id"]) for m in alarm.get("Metrics", ()))
        assert len([m for m in alarm.get("Metrics", ()) if m["ReturnData"]]) == ("Metrics" in alarm)
    assert "s-silent" not in alarms(template(parse('[streams.s]\nkey = "k"\ntime = "t"\n')))


# Each one is made to ring.

OURS = parse('[deployment]\nname = "antfold"\n[streams.s]\nkey = "k"\ntime = "t"\nunit = "ms"\nsilent_minutes = 30\n')
RUNG = alarms(template(OURS))


class FunctionOf(Context):
    """Lambda's context of a function."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.function_name = f"antfold-{kind}"


def emitted(lines: Callable[[], Lines], *at: float) -> Metrics:
    """The metrics of the log's lines, as if they were written at these times."""
    found, read = Metrics(), lines()
    for moment in at:
        for line in read.all:
            found.take(line, moment)
    return found


def ingest(*bodies: str, received: int = 1) -> None:
    from deploy.handlers.ingest import handler

    handler(batch(*bodies, received=received), FunctionOf("ingest"))


def https(name: str) -> int:
    asked = {"rawPath": f"/{name}", "rawQueryString": "", "requestContext": {"http": {"method": "GET"}}}
    return int(query.handler(asked, FunctionOf("query"))["statusCode"])


def test_quarantine_rings(deployed: Store, lines: Callable[[], Lines]) -> None:
    poison, good = event(land("in/s/a", b"\0\1")), event(land("in/s/b", records(1)))
    ingest(good)
    ingest(poison)
    assert not rings(RUNG["quarantine"], emitted(lines, 10), 300)
    ingest(poison, received=2)
    assert rings(RUNG["quarantine"], emitted(lines, 10), 300)


def test_rejects_ring(deployed: Store, lines: Callable[[], Lines]) -> None:
    """Above 5 % of the rows: 1 of 20 is not above, 2 of 38 are."""
    ingest(event(land("in/s/a", records(*range(19)) + b'{"k": 5\n')))
    few = emitted(lines, 10)
    assert not rings(RUNG["s-rejects"], few, 300)
    ingest(event(land("in/s/b", records(*range(36)) + b'{"k": 5\n{"k": 6\n')))
    assert rings(RUNG["s-rejects"], emitted(lines, 10), 300)
    ingest(event(land("in/other/c", b'{"k": 5\n' + records(1))))
    assert not rings(RUNG["s-rejects"], emitted(lines, 10), 300)  # another stream's
    assert not rings(RUNG["s-rejects"], Metrics(), 300)


def test_silence_rings(deployed: Store, lines: Callable[[], Lines]) -> None:
    """30 minutes after the last row; that of another stream does not count."""
    ingest(event(land("in/s/a", records(1))))
    found = emitted(lines, 10)
    assert not rings(RUNG["s-silent"], found, 1_800)
    assert rings(RUNG["s-silent"], found, 2_100)
    ingest(event(land("in/other/a", records(1))))
    assert rings(RUNG["s-silent"], emitted(lines, 1_700), 1_800)


def test_errors_over_https_ring(deployed: Store, lines: Callable[[], Lines], monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that are no fault of the caller."""
    assert https("nothing") == 404
    assert not rings(RUNG["https-errors"], emitted(lines, 10), 300)
    monkeypatch.setattr(query, "answer", lambda *_: 1 / 0)
    assert https("nothing") == 500
    assert rings(RUNG["https-errors"], emitted(lines, 10), 300)


def test_without_data_none_rings() -> None:
    """Functions send nothing while there is nothing to do: an alarm that rang is quiet again, but that of silence."""
    assert {what for what, alarm in RUNG.items() if rings(alarm, Metrics(), 604_800)} == {"s-silent"}
    found = alarms(shifting(OURS, OURS))
    assert len(found) == len(RUNG) + 9
    assert {what for what, alarm in found.items() if alarm["TreatMissingData"] != "notBreaching"} == {"s-silent"}


def test_all_of_ours_were_rung() -> None:
    """A new alarm on a metric of ours needs a test above."""
    ours = {what for what, alarm in RUNG.items() if any(m["Namespace"] == NAMESPACE for m in metrics_of(alarm))}
    assert ours == {"quarantine", "s-rejects", "s-silent", "https-errors"}


def of_aws() -> Iterator[tuple[str, list[float], list[float]]]:
    """For each alarm on a metric of AWS, values that do not ring, and values that do (one a period)."""
    for function in (f for f in functions(OURS) if f.name != "worker"):
        more = [
            what
            for what, has in (("throttles", function.concurrency > 1), ("dropped", function.name != "ingest"))
            if has
        ]
        for what in ("errors", *more):
            yield f"{function.name}-{what}", [0], [1]
    yield "dead-letters", [0], [1]
    yield "missed-schedules", [0], [1]
    yield "waiting", [900], [901]
    yield "s-late", [900], [901]
    yield "s-delivery", [1, 0.5, 1], [0.5, 1, 0.5]


@pytest.mark.parametrize(("what", "quiet", "loud"), [pytest.param(*case, id=case[0]) for case in of_aws()])
def test_those_of_aws_ring(what: str, quiet: list[float], loud: list[float]) -> None:
    alarm = RUNG[what]
    (metric,) = metrics_of(alarm)
    of = frozenset((d["Name"], d["Value"]) for d in metric["Dimensions"])
    for values, ringing in ((quiet, False), (loud, True), ([], False)):
        found = Metrics()
        for n, value in enumerate(values):
            found.put(metric["Namespace"], metric["MetricName"], of, 300 * n + 1, value)
        assert rings(alarm, found, 300 * max(1, len(values))) is ringing


def test_all_of_awss_were_rung() -> None:
    other = {what for what, a in RUNG.items() if all(m["Namespace"] != NAMESPACE for m in metrics_of(a))}
    assert other == {what for what, *_ in of_aws()}


def test_runs_that_cannot_be_started_are_kept() -> None:
    """With the scheduler's right to send there, and nothing else."""
    found = WHOLE["Resources"]
    schedules = [r["Properties"]["Target"] for r in found.values() if r["Type"] == "AWS::Scheduler::Schedule"]
    assert schedules
    for target in schedules:
        assert target["DeadLetterConfig"] == {"Arn": {"Fn::GetAtt": ["MissedSchedules", "Arn"]}}
    statements = found["SchedulerRole"]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"]
    (sends,) = [s for s in statements if "sqs:SendMessage" in s["Action"]]
    assert sends["Resource"] == [{"Fn::GetAtt": ["MissedSchedules", "Arn"]}]


def test_firehose_writes_its_errors_down() -> None:
    found = WHOLE["Resources"]
    deliveries = {n: r["Properties"] for n, r in found.items() if r["Type"] == "AWS::KinesisFirehose::DeliveryStream"}
    assert len(deliveries) == 2
    group = found["FirehoseLog"]["Properties"]["LogGroupName"]
    for delivery in deliveries.values():
        logging = delivery["ExtendedS3DestinationConfiguration"]["CloudWatchLoggingOptions"]
        assert logging["Enabled"] is True
        assert logging["LogGroupName"] == {"Ref": "FirehoseLog"}
        assert found[logging["LogStreamName"]["Ref"]]["Properties"]["LogGroupName"] == {"Ref": "FirehoseLog"}
    statements = found["FirehoseRole"]["Properties"]["Policies"][0]["PolicyDocument"]["Statement"]
    (writes,) = [s for s in statements if "logs:PutLogEvents" in s["Action"]]
    assert f"log-group:{group}:log-stream:*" in json.dumps(writes["Resource"])
