"""Each function works under the role and environment that the template gives it."""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import boto3
import pytest

import dataflow as df
from deploy.handlers import ingest, query, reconcile, waiting, worker
from deploy.stack.actions import status
from deploy.stack.actions.preflight import with_former_keys
from deploy.stack.resources.storage import key
from deploy.stack.resources.template import template
from deploy.stack.resources.versions import FUNCTION, VERSION
from deploy.stack.settings import CREATED, ScheduleSettings, StackSettings, parse
from runtime.aws import kms as signing
from runtime.aws.access import Access
from runtime.fleet import aws_lambda
from runtime.fleet.outcomes import Reply
from runtime.query import kernel_store
from runtime.storage.open_store import OpenStore
from runtime.store import Store
from tests.deploy.handlers.deployed import Context, batch, event, failures
from tests.deploy.stack.iam import ACCOUNT, REGION, Iam, filled, statements
from tests.runtime.conftest import aws as aws

SETTINGS = parse('[deployment]\nname = "fleet"\n\n[streams.s]\nkey = "k"\ntime = "t"\nunit = "ms"\n')
PLACE = f"{ACCOUNT}-{REGION}"
DATA, LANDING = f"fleet-data-{PLACE}", f"fleet-landing-{PLACE}"
T = 1_700_000_000_000
HANDLERS = {"ingest": ingest.handler, "query": query.handler, "reconcile": reconcile.handler, "worker": worker.handler}
ONE = threading.Lock()
"""Held while a worker is at its work: which role asks is known of the whole process."""

TOPS = df.stream("s").group_by("k").agg(n=df.count(), top=df.max("n"))


@dataclass
class Deployed:
    iam: Iam
    environments: dict[str, dict[str, str]]
    monkeypatch: pytest.MonkeyPatch
    store: Store
    named: dict[str, str]

    def deploy(self, settings: StackSettings) -> None:
        """Deploy again: other rights, and perhaps another key."""
        whole = template(settings)
        self.named.update(versions_of(whole))
        self.iam.roles = statements(whole, self.named)
        self.iam.key = filled(key(settings), self.named)

    def run(self, kind: str, given: Any) -> Any:
        """Invoke a function: with its environment and role, and nothing that another process has in memory."""
        with self.as_function(kind):
            return HANDLERS[kind](given, Context())

    @contextmanager
    def as_function(self, kind: str) -> Iterator[None]:
        with self.monkeypatch.context() as patch, self.iam.acting(kind):
            patch.setattr(OpenStore, "_shared", {})
            for name, value in self.environments[kind].items():
                patch.setenv(name, value)
            ingest._s3.cache_clear()
            ingest._sqs.cache_clear()
            yield

    def land(self, key: str, data: bytes) -> dict[str, Any]:
        put = boto3.client("s3").put_object(Bucket=LANDING, Key=f"landing/s/{key}", Body=data)
        held = {"key": f"landing/s/{key}", "size": len(data), "eTag": put["ETag"].strip('"')}
        return {"bucket": {"name": LANDING}, "object": {**held, "versionId": put["VersionId"]}}

    def rows(self) -> int:
        with self.iam.acting(None):
            return sum(s.rows for s in Store(self.store.url).streams())


def versions_of(whole: dict[str, Any]) -> dict[str, str]:
    """The ARNs of a template's versions of functions, by logical id."""
    of = {n: r["Properties"]["FunctionName"]["Ref"] for n, r in whole["Resources"].items() if r["Type"] == VERSION}
    return {n: f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:fleet-{kind.lower()}:1" for n, kind in of.items()}


@pytest.fixture
def deployed(aws: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[Deployed]:
    """The parts of a deployment in moto, and its functions in this process."""
    s3, kms = boto3.client("s3"), boto3.client("kms")
    for bucket in (DATA, LANDING):
        s3.create_bucket(Bucket=bucket)
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration={"Status": "Enabled"})
    signs = kms.create_key(KeySpec="HMAC_256", KeyUsage="GENERATE_VERIFY_MAC")["KeyMetadata"]["Arn"]
    sqs = boto3.client("sqs")
    sqs.create_queue(QueueName="fleet-dead")
    redrive = {"deadLetterTargetArn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:fleet-dead", "maxReceiveCount": 5}
    queue = sqs.create_queue(QueueName="fleet-ingest", Attributes={"RedrivePolicy": json.dumps(redrive)})["QueueUrl"]
    named = {
        "Key.Arn": f"arn:aws:kms:{REGION}:{ACCOUNT}:key/1",
        "SigningKey.Arn": signs,
        "Alerts": boto3.client("sns").create_topic(Name="fleet-alerts")["TopicArn"],
        "Queue": queue,
        "Queue.Arn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:fleet-ingest",
        "DeadLetters.Arn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:fleet-dead",
    }
    whole = template(SETTINGS)
    named |= versions_of(whole)
    policy = whole["Resources"]["DataBucketPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    denials = [s for s in filled(policy, named) if s["Effect"] == "Deny"]
    environments = {
        name.lower(): filled(resource["Properties"]["Environment"]["Variables"], named)
        for name, resource in whole["Resources"].items()
        if resource["Type"] == FUNCTION
    }
    iam = Iam(statements(whole, named), denials, named["Key.Arn"])
    iam.install(monkeypatch)
    store = Store(environments["query"]["ANTFOLD_STORE"], create=True)
    assert store.streams() == []  # which makes the table
    monkeypatch.setattr(waiting, "SETTLED", timedelta(seconds=-5))
    monkeypatch.setattr(signing, "_kms", signing._kms.__wrapped__)
    yield Deployed(iam, environments, monkeypatch, store, named)
    store.close()


def points(*numbers: int) -> bytes:
    return b"".join(b'{"k":"d%d","t":%d,"n":%d}\n' % (n % 3, T + n * 60_000, n) for n in numbers)


def test_ingest(deployed: Deployed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.ingest.day_spans.FEW_DAYS", 1000)
    good, poison = deployed.land("a b", points(1, 2, 3) + b'{"k": 5'), deployed.land("bad", b"\0")
    for received in (1, 2):  # the same news twice
        assert failures(deployed.run("ingest", batch(event(good), received=received))) == []
    assert failures(deployed.run("ingest", batch(event(poison), received=1))) == ["m0"]
    assert failures(deployed.run("ingest", batch(event(poison), received=2))) == []
    gone = deployed.land("gone", points(4))
    boto3.client("s3").delete_object(Bucket=LANDING, Key="landing/s/gone", VersionId=gone["object"]["versionId"])
    assert failures(deployed.run("ingest", batch(event(gone), received=2))) == []  # missing, not denied: quarantine
    bare = deployed.land("bare", points(5, 6))
    del bare["object"]["size"], bare["object"]["eTag"]  # as some events are
    assert failures(deployed.run("ingest", batch(event(bare)))) == []
    # Files of more days than fit into one transaction of the index.
    years = b"".join(b'{"k":"d","t":%d,"n":1}\n' % (T + n * 86_400_000) for n in range(120))
    assert failures(deployed.run("ingest", batch(event(deployed.land("years", years))))) == []
    assert deployed.rows() == 125
    assert ("ingest", "dynamodb:ConditionCheckItem") in deployed.iam.used
    with deployed.iam.acting(None):
        (stream,) = Store(deployed.store.url).streams()
    assert (stream.quarantined, stream.rejected) == (2, 1)
    # And every object that it wrote is where it may write, and can be compared when it is there already.
    with deployed.as_function("ingest"):
        paths = [o["Key"] for o in boto3.client("s3").list_objects_v2(Bucket=DATA)["Contents"]]
        held = Store(deployed.store.url).objects
        for path in (p.removeprefix("store/") for p in paths):
            held.put(path, held.read(path, 0, held.size(path)))


def test_reconcile(deployed: Deployed, monkeypatch: pytest.MonkeyPatch) -> None:
    deployed.run("ingest", batch(event(deployed.land("a", points(1)))))
    deployed.land("b", points(2))
    reply = deployed.run("reconcile", {})
    assert (reply["known"], reply["enqueued"]) == (1, 1)
    again = deployed.run("reconcile", {})  # it waits: the alarm is asked, and there is none here
    assert (again["queued"], again["complete"]) == (1, False)
    assert ("reconcile", "cloudwatch:DescribeAlarms") not in deployed.iam.used  # what was just enqueued says enough
    monkeypatch.setattr(waiting, "MARGIN", timedelta(0))
    assert deployed.run("reconcile", {})["queued"] == 1
    used = {action for who, action in deployed.iam.used if who == "reconcile"}
    assert {"cloudwatch:DescribeAlarms", "sqs:GetQueueAttributes", "dynamodb:PutItem"} <= used
    (news,) = boto3.client("sqs").receive_message(QueueUrl=deployed.environments["reconcile"]["ANTFOLD_QUEUE"])[
        "Messages"
    ]
    assert failures(deployed.run("ingest", batch(news["Body"]))) == []
    assert deployed.run("reconcile", {})["enqueued"] == 0
    with deployed.iam.acting(None):  # as `dataflow status` reads it
        note = status._passes(deployed.store, {"LandingBucket": LANDING})
        assert status._passes(None, {}) is None
    assert note is not None
    assert note.complete is not None
    assert (note.complete.counts["known"], note.complete.oldest) == (2, None)
    # What is left for another run is left to this function itself.
    with deployed.iam.acting("reconcile"):
        deployed.iam.check("lambda", "Invoke", {"FunctionName": "fleet-reconcile:live"})


def test_the_alarm_that_reconcile_asks(deployed: Deployed) -> None:
    """It has the name that the function knows and may ask, and says OK of what the function takes it to."""
    alarm = template(SETTINGS)["Resources"]["WaitingAlarm"]["Properties"]
    assert alarm["AlarmName"] == deployed.environments["reconcile"]["ANTFOLD_WAITING_ALARM"] == "fleet-waiting"
    assert alarm["Threshold"] == 15 * 60
    assert timedelta(seconds=alarm["Period"] * alarm["EvaluationPeriods"]) < waiting.MARGIN


@pytest.fixture
def published(deployed: Deployed, monkeypatch: pytest.MonkeyPatch) -> Deployed:
    """A stream, and a signed query with kernels, by somebody who may do so."""
    monkeypatch.setenv("ANTFOLD_MAC_KEY", deployed.environments["worker"]["ANTFOLD_MAC_KEY"])
    deployed.store.ingest("s", io.BytesIO(points(*range(60))), key="k", time="t", unit="ms", progress=False)
    deployed.store.publish(TOPS, "tops", targets=["x86_64"])
    monkeypatch.delenv("ANTFOLD_MAC_KEY")
    return deployed


def url(name: str) -> dict[str, Any]:
    return {"rawPath": f"/{name}", "requestContext": {"http": {"method": "GET"}}}


ROWS = [["d0", 20, 57], ["d1", 20, 58], ["d2", 20, 59]]


def test_query(published: Deployed, monkeypatch: pytest.MonkeyPatch) -> None:
    assert json.loads(published.run("query", url(""))["body"])["queries"][0]["query"] == "tops"
    for cached in (0, 1):  # what the first run kept, the second one finds
        reply = json.loads(published.run("query", url("tops"))["body"])
        assert reply["rows"] == ROWS
        assert reply["proof"]["files_cached"] == cached
    assert published.run("query", url("nothing"))["statusCode"] == 404
    monkeypatch.setattr(query, "MAX_REPLY", 200)
    assert "stored" in published.run("query", {"query": "tops"})
    assert "stored" in published.run("query", {"query": "tops"})


def test_query_at_its_time(published: Deployed) -> None:
    schedule = {"at": "2023-11-15T00:00:00Z", "schedule": {"query": "tops", "csv": True, "alert": ["n > 5"]}}
    for _ in range(2):
        reply = published.run("query", schedule)
        assert (reply["violations"], len(reply["saved"])) == (3, 2)
    assert {("query", "sns:Publish"), ("query", "kms:VerifyMac")} <= published.iam.used


def test_changes_at_their_time(published: Deployed) -> None:
    """The query function delivers, keeps and forgets under the role of a deployment in which a schedule says so; under
    that of another one it may not, and to no topic that no schedule names."""
    sns = boto3.client("sns")
    named, other = (sns.create_topic(Name=name)["TopicArn"] for name in ("named", "other"))

    def event(to: str) -> dict[str, Any]:
        return {"at": "2023-11-15T00:00:00Z", "schedule": {"query": "tops", "deliver": to}}

    def settings(to: str) -> StackSettings:
        return replace(SETTINGS, schedules=(ScheduleSettings("tops", "rate(1 hour)", deliver=to),))

    with pytest.raises(Exception, match="permission denied"):
        published.run("query", event("alerts"))
    for to in ("alerts", named):
        published.deploy(settings(to))
        assert published.run("query", event(to))["events"] == 3
        assert published.run("query", event(to))["events"] == 0
    with published.iam.acting(None):
        late = b'{"k":"d1","t":%d,"n":99}\n' % T
        published.store.ingest("s", io.BytesIO(late), key="k", time="t", unit="ms", progress=False)
    assert published.run("query", event("alerts"))["events"] == 1
    used = {action for who, action in published.iam.used if who == "query"}
    assert {"s3:PutObject", "s3:DeleteObject", "s3:ListBucket", "dynamodb:PutItem", "sns:Publish"} <= used
    with pytest.raises(Exception, match="nothing is lost"):
        published.run("query", event(other))
    with published.as_function("query"):
        store = Store(published.store.url)
        store.catalogue.change_note("deliveries of x", lambda held: {"a": 1})
        with pytest.raises(Exception, match="permission denied"):  # notes, and no commit
            store.undo("s", store.sources("s")[-1].entry.id)
        (path, *_) = [info.path for info in store.objects.list("data/")]
        with pytest.raises(Exception, match="permission denied"):
            store.objects.delete(path)


def through(deployed: Deployed, function: str, *_: object) -> Callable[[bytes], Reply]:
    """Invokes a function in this process, with the caller's permissions."""

    kind = function.rpartition("fleet-")[2].partition(":")[0]

    def invoke(payload: bytes) -> Reply:
        with ONE if kind == "worker" else nullcontext():
            deployed.iam.check("lambda", "Invoke", {"FunctionName": function})
            return Reply(200, json.dumps(deployed.run(kind, json.loads(payload))).encode())

    return invoke


def test_query_with_workers(published: Deployed, monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    """Those that are large: kernels are found, workers are asked, and states that are large go by way of the store."""
    monkeypatch.setattr(query, "SMALL", 10)
    monkeypatch.setattr(aws_lambda, "invoker", lambda name, *_: through(published, name))
    aws_lambda.target_of.cache_clear()
    asked: list[str] = []

    class Lambda:
        """moto would start a container."""

        def __init__(self, service: str, *rest: Any) -> None:
            assert service == "lambda"

        def call(self, what: str, attempt: Callable[[Any], Any]) -> Any:
            return attempt(self)

        def get_function_configuration(self, **given: str) -> dict[str, Any]:
            published.iam.check("lambda", "GetFunctionConfiguration", given)
            asked.append(given["FunctionName"])
            return {"Architectures": ["x86_64"]}

    monkeypatch.setattr(aws_lambda, "Client", Lambda)
    monkeypatch.setattr(worker.answer, "__defaults__", (worker.answer.__defaults__[0], 10))
    reply = json.loads(published.run("query", url("tops"))["body"])
    assert reply.get("rows") == ROWS, reply
    # One version of the worker, whatever its alias leads to meanwhile.
    assert asked == [f"arn:aws:lambda:{REGION}:{ACCOUNT}:function:fleet-worker:1"]
    assert ("worker", "s3:PutObject") in published.iam.used

    # A worker has no kernels but those it is given.
    monkeypatch.setenv("ANTFOLD_CACHE_DIR", str(tmp_path))
    with published.iam.acting(None):
        refs = published.store.published("tops").kernels
    assert refs
    with published.as_function("worker"):
        kernel_store.install(Store(published.store.url).objects, refs, signing.signer_of_environment(Access()))
    assert ("worker", "kms:VerifyMac") in published.iam.used


def test_query_as_a_relay(published: Deployed, monkeypatch: pytest.MonkeyPatch) -> None:
    from runtime.fleet import Fleet

    monkeypatch.setattr(query, "invoker", lambda name, *_: through(published, name))
    monkeypatch.setattr("runtime.query.plan.make_tasks._SMALL", 10)
    fleet = Fleet(
        through(published, "fleet-worker:live"), relay=through(published, "fleet-query:live"), direct=1, batch=100
    )
    result = published.store.query(TOPS, executor=fleet, workers=3, progress=False)
    assert [list(row) for row in result.to_dict()["rows"]] == ROWS
    assert {("query", "lambda:InvokeFunction"), ("worker", "s3:GetObject")} <= published.iam.used


FIRST, SECOND = (f"arn:aws:kms:{REGION}:444455556666:key/{n}" for n in (1, 2))


def test_another_key(published: Deployed) -> None:
    """What was written under former keys stays readable: to keys of one's own, and back to that of the deployment."""
    settings, expected = SETTINGS, 60
    for number, given in enumerate((FIRST, SECOND, None, FIRST)):
        before = template(settings)
        settings, added = with_former_keys(replace(SETTINGS, kms_key=given), before)
        assert (given or CREATED) not in settings.former_kms_keys
        assert set(added) == set(settings.former_kms_keys)  # the file names none
        published.deploy(settings)
        assert "Key" in template(settings)["Resources"]
        # All of the store, and an object that landed before.
        landed = published.land(f"late{number}", points(60 + number))
        assert failures(published.run("ingest", batch(event(landed)))) == []
        expected += 1
        reply = json.loads(published.run("query", url("tops"))["body"])
        assert sum(n for _, n, _ in reply["rows"]) == expected
        with published.iam.acting(None):
            paths = [f.path for f in Store(published.store.url).files("s")]
        with published.as_function("worker"):  # it reads files of every age
            held = Store(published.store.url).objects
            assert [len(held.read(path, 0, 8)) for path in paths] == [8] * len(paths)
    assert len(set(published.iam.sealed.values())) == 2
    published.deploy(replace(SETTINGS, kms_key=SECOND))
    with pytest.raises(Exception, match="permission denied"):
        published.run("query", {"query": "tops", "params": {}})


@pytest.mark.parametrize(
    ("who", "service", "operation", "given"),
    [
        ("worker", "dynamodb", "GetItem", {"TableName": "fleet", "Key": {"pk": {"S": f"{DATA}/store|x"}}}),
        ("worker", "s3", "PutObject", {"Bucket": DATA, "Key": "store/data/x", "IfNoneMatch": "*"}),
        ("worker", "s3", "GetObject", {"Bucket": DATA, "Key": "tenants/acme/data/x"}),
        ("query", "s3", "PutObject", {"Bucket": DATA, "Key": "store/queries/x", "IfNoneMatch": "*"}),
        ("query", "s3", "PutObject", {"Bucket": DATA, "Key": "store/cache/x"}),
        ("query", "kms", "GenerateMac", {"KeyId": "SigningKey"}),
        ("ingest", "s3", "DeleteObject", {"Bucket": DATA, "Key": "store/data/x"}),
        ("ingest", "dynamodb", "GetItem", {"TableName": "fleet", "Key": {"pk": {"S": f"{DATA}/other|x"}}}),
        ("reconcile", "s3", "GetObject", {"Bucket": LANDING, "Key": "landing/s/a"}),
        ("reconcile", "cloudwatch", "DescribeAlarms", {"AlarmNames": ["fleet-other"]}),
        ("reconcile", "sqs", "ReceiveMessage", {"QueueUrl": "https://q/fleet-ingest"}),
        ("reconcile", "s3", "ListObjectsV2", {"Bucket": LANDING, "Prefix": "errors/"}),
        (None, "s3", "PutObject", {"Bucket": DATA, "Key": "store/data/x"}),
    ],
)
def test_what_is_denied(deployed: Deployed, who: str | None, service: str, operation: str, given: Any) -> None:
    with deployed.iam.acting(who), pytest.raises(Exception, match="may not"):
        deployed.iam.check(service, operation, given)
