"""The template: its contents, that it changes only on purpose, and which resources are retained."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from deploy.stack.example import EXAMPLE
from deploy.stack.resources.cloudformation import KEEP, logical
from deploy.stack.resources.template import kept, template, text
from deploy.stack.resources.versions import Deployed
from deploy.stack.settings import ScheduleSettings, SettingsError, StackSettings, StreamSettings, load, parse
from runtime.catalogue.stores import dynamodb
from runtime.schedules.scheduled_run import Schedule

GOLDEN = Path(__file__).resolve().parents[2] / "golden"


@pytest.fixture(scope="module")
def settings() -> StackSettings:
    return load(GOLDEN / "antfold.toml")


@pytest.fixture(scope="module")
def whole(settings: StackSettings) -> dict[str, Any]:
    return template(settings)


KINDS = ("Delivery", "FirehoseLog", "Late", "Failing", "Rejects", "Silent", "Tenant")


def of_type(found: dict[str, Any], type_: str) -> dict[str, Any]:
    return {name: r["Properties"] for name, r in found["Resources"].items() if r["Type"] == type_}


def shifting(settings: StackSettings, before: StackSettings) -> dict[str, Any]:
    """The template while an update of a deployment, from the settings ``before``, gets a tenth of the calls."""
    previous = {"template": "templates/one.json", "parameters": {}}
    return template(settings, "two", Deployed(template(before, "one")), 0.1, previous)


@pytest.mark.parametrize(
    ("file", "golden"),
    [("antfold.toml", "template.json"), ("antfold.toml", "shifting.json"), ("low_quota.toml", "low_quota.json")],
)
def test_golden(file: str, golden: str) -> None:
    """ANTFOLD_GOLDEN=1 writes it anew: read the difference before you commit it."""
    path, settings = GOLDEN / golden, load(GOLDEN / file)
    whole = shifting(settings, settings) if golden == "shifting.json" else template(settings)
    if os.environ.get("ANTFOLD_GOLDEN"):
        path.write_text(text(whole, 2), encoding="utf-8")
    assert text(whole, 2) == path.read_text(encoding="utf-8")


def test_different_names_have_different_ids() -> None:
    names = ["a", "A", "role", "alarm", "x41", "x", "X", "a.b", "a-b", "a_b", "ab", "aB", "0", "61"]
    ids = [logical(kind, name) for kind in KINDS for name in names]
    assert len(set(ids)) == len(ids)
    assert all(i.isalnum() for i in ids)
    many = StackSettings(streams={name: StreamSettings("k", "t") for name in names})
    without = len(template(StackSettings())["Resources"])
    assert len(template(many)["Resources"]) == without + 5 * len(names)


def test_every_reference_is_to_something(whole: dict[str, Any]) -> None:
    known = {*whole["Resources"], *whole["Parameters"]}

    def check(value: Any) -> None:
        if isinstance(value, dict):
            if "Ref" in value:
                assert value["Ref"].startswith("AWS::") or value["Ref"] in known
            if "Fn::GetAtt" in value:
                assert value["Fn::GetAtt"][0] in known
            for part in value.values():
                check(part)
        elif isinstance(value, list):
            for part in value:
                check(part)

    check(whole)
    assert all(set(r.get("DependsOn", ())) <= known for r in whole["Resources"].values())


def test_what_holds_data_is_kept(whole: dict[str, Any]) -> None:
    holding = ("AWS::S3::Bucket", "AWS::DynamoDB::Table", "AWS::KMS::Key", "AWS::S3::BucketPolicy", "AWS::KMS::Alias")
    for name, resource in whole["Resources"].items():
        policies = (resource.get("DeletionPolicy"), resource.get("UpdateReplacePolicy"))
        assert policies == ((KEEP, "Retain") if resource["Type"] in holding else (None, None)), name


def test_what_stays_after_a_removal(whole: dict[str, Any]) -> None:
    rest = kept(json.loads(text(whole)))
    assert {r["Type"] for r in rest["Resources"].values()} == {
        "AWS::S3::Bucket", "AWS::S3::BucketPolicy", "AWS::DynamoDB::Table", "AWS::KMS::Key", "AWS::KMS::Alias",
    }  # fmt: skip
    assert set(rest["Outputs"]) == {"Store", "DataBucket", "LandingBucket", "SigningKey"}
    gone = set(whole["Resources"]) - set(rest["Resources"])
    said = json.dumps(rest).replace('Policy": "Retain"', "")  # which is also a function's name
    assert not any(f'"{name}"' in said for name in gone)  # nothing refers to what is gone
    for name, resource in rest["Resources"].items():  # and nothing else changes
        before = whole["Resources"][name]["Properties"]
        assert resource["Properties"] == {k: v for k, v in before.items() if k != "NotificationConfiguration"}
    assert kept(rest) == rest


def test_buckets_are_private_sealed_and_versioned(whole: dict[str, Any]) -> None:
    buckets = of_type(whole, "AWS::S3::Bucket")
    assert set(buckets) == {"DataBucket", "LandingBucket"}
    for bucket in buckets.values():
        assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
        assert len(bucket["PublicAccessBlockConfiguration"]) == 4
        assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
        (rule,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]
        assert rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "aws:kms"


def test_only_what_can_be_made_again_expires(whole: dict[str, Any]) -> None:
    rules = of_type(whole, "AWS::S3::Bucket")["DataBucket"]["LifecycleConfiguration"]["Rules"]
    expiring = [(r["Prefix"], r["ExpirationInDays"]) for r in rules if "ExpirationInDays" in r]
    assert expiring == [("store/spill/", 1), ("store/cache/", 30), ("store/carry/", 30)]


def test_the_table_is_that_of_the_catalogue(whole: dict[str, Any]) -> None:
    (table,) = of_type(whole, "AWS::DynamoDB::Table").values()
    assert table["KeySchema"] == dynamodb._KEYS
    assert table["BillingMode"] == "PAY_PER_REQUEST"
    assert table["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"]
    assert table["SSESpecification"]["SSEEnabled"]
    assert table["DeletionProtectionEnabled"]


def test_functions(whole: dict[str, Any], settings: StackSettings) -> None:
    found = of_type(whole, "AWS::Lambda::Function")
    assert {f["Handler"] for f in found.values()} == {
        f"deploy.handlers.{name}.handler"
        for name in ("worker", "ingest", "query", "reconcile", "compact", "retain", "sweep")
    }
    for name, function in found.items():
        assert function["ReservedConcurrentExecutions"] >= 1
        log = whole["Resources"][f"{name}Log"]["Properties"]
        assert log["LogGroupName"] == f"/aws/lambda/{function['FunctionName']}"
        assert log["RetentionInDays"] == settings.log_days
        assert "KmsKeyId" in log
        assert whole["Resources"][name]["DependsOn"] == [f"{name}Log"]  # or Lambda would make one of its own
    variables = {name: f["Environment"]["Variables"] for name, f in found.items()}
    assert "ANTFOLD_STORE" not in variables["Worker"]
    assert json.loads(variables["Ingest"]["ANTFOLD_STREAMS"])["telemetry"] == {
        "key": "device", "time": "ts", "unit": "ms", "format": "auto", "duplicates": "exact",
    }  # fmt: skip
    assert json.loads(variables["Retain"]["ANTFOLD_KEEP"]) == {"pay-ments": "400d"}
    # Lambda ends a chain of 16: the reconciler invokes itself while there are objects, upkeep three times at most.
    assert {name for name, f in found.items() if f.get("RecursiveLoop") == "Allow"} == {
        "Reconcile", "Compact", "Retain",
    }  # fmt: skip
    assert {n for n, f in found.items() if f["ReservedConcurrentExecutions"] == 1} == {"Compact", "Retain", "Sweep"}
    assert all(f["LoggingConfig"] == {"LogFormat": "JSON"} for f in found.values())
    # Where the code is, and what comes with it, is what the code knows.
    assert not any(name.startswith("ANTFOLD_KERNEL") for v in variables.values() for name in v)


def test_streams_beyond_what_functions_can_be_told() -> None:
    """AWS takes 4,096 bytes of variables, names and values."""
    many = StackSettings(
        name="n" * 24, streams={f"stream-of-devices-{i:02}": StreamSettings("device", "ts", "ms") for i in range(38)}
    )
    for function in of_type(template(many), "AWS::Lambda::Function").values():
        variables = function["Environment"]["Variables"]
        # A reference in place of a value: as long as an ARN may get.
        assert sum(len(k) + (len(v) if isinstance(v, str) else 180) for k, v in variables.items()) < 4_096
    with pytest.raises(SettingsError, match="the settings of 60 streams have 5,"):
        template(
            StackSettings(
                streams={f"stream-of-devices-{i:02}": StreamSettings("device", "ts", "ms") for i in range(60)}
            )
        )


def test_news_is_not_lost(whole: dict[str, Any], settings: StackSettings) -> None:
    queues = of_type(whole, "AWS::SQS::Queue")
    assert queues["Queue"]["RedrivePolicy"]["deadLetterTargetArn"] == {"Fn::GetAtt": ["DeadLetters", "Arn"]}
    assert queues["Queue"]["VisibilityTimeout"] >= 6 * settings.ingest_timeout
    assert queues["DeadLetters"]["MessageRetentionPeriod"] == 14 * 86_400
    (source,) = of_type(whole, "AWS::Lambda::EventSourceMapping").values()
    assert source["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert source["ScalingConfig"]["MaximumConcurrency"] <= settings.ingest_concurrency
    # An object that kills the function, or takes all its time, must not take others with it.
    assert source["BatchSize"] == 1


def test_firehose_separates_records(whole: dict[str, Any]) -> None:
    deliveries = of_type(whole, "AWS::KinesisFirehose::DeliveryStream")
    to = {d["DeliveryStreamName"]: d["ExtendedS3DestinationConfiguration"] for d in deliveries.values()}
    assert {name: d["Prefix"] for name, d in to.items()} == {
        "fleet-telemetry": "landing/telemetry/", "fleet-pay-ments": "landing/pay-ments/",
    }  # fmt: skip
    for destination in to.values():
        (step,) = destination["ProcessingConfiguration"]["Processors"]
        assert step["Type"] == "AppendDelimiterToRecord"
        assert step["Parameters"] == [{"ParameterName": "Delimiter", "ParameterValue": "\\n"}]


def test_the_url_asks_who_is_there(whole: dict[str, Any]) -> None:
    (url,) = of_type(whole, "AWS::Lambda::Url").values()
    assert url["AuthType"] == "AWS_IAM"


def test_schedules_say_where_they_deliver(settings: StackSettings) -> None:
    """In the form that the function takes."""
    given = ScheduleSettings("q", "rate(5 minutes)", since="2024-03-01", deliver="alerts", lateness="5m", mode="final")
    schedules = of_type(template(replace(settings, schedules=(given,))), "AWS::Scheduler::Schedule")
    (said,) = [json.loads(s["Target"]["Input"]) for s in schedules.values() if s["Name"] == "fleet-q"]
    assert {name: said["schedule"][name] for name in ("deliver", "lateness", "mode")} == {
        "deliver": "alerts", "lateness": "5m", "mode": "final",
    }  # fmt: skip
    assert Schedule.of(said["schedule"]) == Schedule(
        "q", since="2024-03-01", deliver="alerts", lateness="5m", mode="final"
    )


def test_schedules_tell_their_time(whole: dict[str, Any]) -> None:
    schedules = of_type(whole, "AWS::Scheduler::Schedule")
    said = {s["Name"]: json.loads(s["Target"]["Input"]) for s in schedules.values()}
    upkeep = {"fleet-compact", "fleet-retain", "fleet-sweep"}
    assert set(said) == {"fleet-reconcile", "fleet-uptime-v2", *upkeep}
    assert all(said[name] == {} for name in upkeep)
    assert said["fleet-uptime-v2"]["at"] == "<aws.scheduler.scheduled-time>"
    assert said["fleet-uptime-v2"]["schedule"] == {
        "query": "uptime", "version": 2, "params": {"threshold": 30.0}, "since": "-7d", "until": "today",
        "zone": "Europe/London", "save": True, "alert": ["uptime < 0.95"], "csv": False,
    }  # fmt: skip


def test_the_dashboard_is_json(whole: dict[str, Any]) -> None:
    (board,) = of_type(whole, "AWS::CloudWatch::Dashboard").values()
    assert len(json.loads(board["DashboardBody"]["Fn::Sub"])["widgets"]) == 7


def test_a_given_key_is_used_and_none_is_made(settings: StackSettings) -> None:
    arn = "arn:aws:kms:eu-west-1:111122223333:key/0ab1"
    found = template(replace(settings, kms_key=arn))
    assert not {"Key", "KeyAlias"} & set(found["Resources"])
    assert '"Fn::GetAtt":["Key","Arn"]' not in text(found)
    assert arn in text(found)


def test_equal_settings_give_equal_templates() -> None:
    assert text(template(parse(EXAMPLE))) == text(template(parse(EXAMPLE)))
