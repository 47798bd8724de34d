"""From a device to a result, through everything that ``dataflow deploy`` creates, on ministack.

The functions are the real bundle, built for ministack's Python, and can import nothing else but what Lambda has.
ministack differs from AWS: Firehose writes one object per record at once, without delimiter and compression, and
denied requests are not refused.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import shlex
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import boto3
import pytest

import dataflow as df
from deploy.cli import main
from deploy.metric_file import load_metric
from operators.compiler.targets import worker as workers_target
from runtime import Store
from runtime.errors import StoreError
from runtime.fleet import Fleet
from runtime.fleet.aws_lambda import invoker
from tests.runtime.test_recorded_data import EXAMPLES, SPAN, mesh_rows
from tests.stack import gaps, servers
from tests.stack.test_deploy import everything, kept, s3
from tests.waiting import until

pytestmark = pytest.mark.stack

ROOT = Path(__file__).resolve().parents[2]
METRIC = str(EXAMPLES / "mesh_uptime.py")
CONFIG = f"""
[deployment]
name = "mesh"
architecture = "{workers_target().name}"

[streams.mesh]
key = "node"
time = "ts"
unit = "iso"
duplicates = "exact"

[[schedules]]
query = "uptime"
every = "cron(0 6 * * ? *)"
until = "today"
alert = ["uptime < 0.05"]

[[schedules]]
query = "uptime"
version = 1
every = "rate(5 minutes)"
deliver = "alerts"
"""
RECORD, BATCH = 1_000_000, 4  # bytes of a record, and records of a request: Firehose takes 1,000 KiB and 4 MiB
IMPATIENT = """
from datetime import timedelta
from deploy.handlers import reconcile, waiting

waiting.SETTLED = timedelta(seconds=-5)  # a quarter of an hour is long for a test
handler = reconcile.handler
"""
A_MONTH_LATER = """
from datetime import datetime, timedelta
from deploy.handlers import reconcile

class Later(datetime):
    @classmethod
    def now(cls, tz=None):
        return datetime.now(tz) + timedelta(days=30)

reconcile.datetime = Later
handler = reconcile.handler
"""
PROBE = """
import importlib.util, os

def handler(event, context):
    import deploy.handlers
    from operators.compiler import cache
    return {
        "mode": cache.mode(),
        "kernels": os.path.relpath(os.environ["ANTFOLD_KERNEL_PATH"], os.environ["LAMBDA_TASK_ROOT"]),
        "others": [n for n in ("numba", "llvmlite", "pandas", "pytest") if importlib.util.find_spec(n)],
        "ours": os.path.relpath(deploy.__file__, os.environ["LAMBDA_TASK_ROOT"]),
    }
"""


@dataclass(frozen=True)
class Deployed:
    """The deployment ``mesh``, with all of the recorded telemetry in it, and the folder that describes it."""

    endpoint: str
    outputs: dict[str, str]
    folder: Path
    records: int
    bundle: Path

    @property
    def url(self) -> str:
        return self.outputs["Store"]

    def query(self, *arguments: str, code: int = 0, **variables: str) -> Any:
        """What the console script says: JSON, or its error."""
        asked = ["query", self.url, *arguments, "--since", SPAN["since"], "--until", SPAN["until"], "--format", "json"]
        done = dataflow(*asked, folder=self.folder, code=code, **variables)
        return done.stderr if code else json.loads(done.stdout)

    def status(self) -> Any:
        return json.loads(dataflow("status", "--format", "json", folder=self.folder).stdout)

    def wait_for(self, sources: int, seconds: float = 120) -> None:
        """Until so many objects are in; AssertionError if they are not within so many seconds."""
        until(lambda: self.sources() == [sources], seconds)

    def sources(self) -> list[int]:
        """How many objects of each stream are in. Asked here: a process for each look takes the time of ingest."""
        try:
            with Store(self.url) as store:
                return [stream.sources for stream in store.streams()]
        except StoreError as error:
            if "no store" not in str(error):  # the first object makes it
                raise
            return []

    def ask(self, event: dict[str, Any], function: str = "mesh-query") -> Any:
        """The answer of a function that is invoked."""
        reply = boto3.client("lambda").invoke(FunctionName=function, Payload=json.dumps(event).encode())
        payload = json.loads(reply["Payload"].read())
        assert "FunctionError" not in reply, payload
        return payload

    def over_https(self, path: str) -> Any:
        """The answer of the function's URL, at which ministack is reached by another name."""
        number = self.outputs["QueryUrl"].partition("://")[2].partition(".")[0]
        # It looks for a signature, not at it.
        signed = {"Authorization": "AWS4-HMAC-SHA256 Credential=stackuser/20260101/us-east-1/lambda/aws4_request"}
        with urlopen(Request(f"{self.endpoint}/_aws/lambda-url/{number}{path}", headers=signed)) as reply:
            return json.loads(reply.read())


def dataflow(*arguments: str, folder: Path, code: int = 0, **variables: str) -> subprocess.CompletedProcess[str]:
    """The console script, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-m", "deploy", *arguments],
        cwd=folder,
        env=dict(os.environ) | {"PYTHONPATH": str(ROOT)} | variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done


@pytest.fixture(scope="module")
def mesh(tmp_path_factory: pytest.TempPathFactory, shared_data: Path, bundle: Path) -> Iterator[Deployed]:
    folder = tmp_path_factory.mktemp("deployed")
    (folder / "antfold.toml").write_text(CONFIG)
    with (
        servers.ministack(folder, **servers.bare_functions(folder)) as endpoint,
        pytest.MonkeyPatch.context() as patch,
    ):
        use(endpoint, patch)
        done = dataflow("deploy", "--bundle", str(bundle), "--yes", folder=folder)
        outputs = dict(line.split(": ", 1) for line in done.stdout.splitlines() if ": " in line and line[0] != " ")
        records = put(outputs["DeliveryMesh"], sorted(shared_data.glob("mesh-heartbeats-*.ndjson.gz")))
        made = Deployed(endpoint, outputs, folder, records, bundle)
        made.wait_for(records)
        yield made


@pytest.fixture
def deployed(mesh: Deployed, monkeypatch: pytest.MonkeyPatch) -> Deployed:
    use(mesh.endpoint, monkeypatch)
    return mesh


def use(endpoint: str, patch: pytest.MonkeyPatch) -> None:
    """Have this process and its children find this stand-in for AWS, and no key to sign with."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "ANTFOLD_MAC"))]:
        patch.delenv(name)
    for name, value in servers.environment(endpoint).items():
        patch.setenv(name, value)


def put(delivery: str, files: list[Path]) -> int:
    """Put the lines of files into Firehose as time goes by, many to a record; how many records they were."""
    client = boto3.client("firehose")
    lines = [line for file in files for line in gzip.decompress(file.read_bytes()).splitlines(keepends=True)]
    records = list(pieces(b"".join(sorted(lines, key=lambda line: line[line.index(b'"ts":"') :]))))
    for at in range(0, len(records), BATCH):
        batch = [{"Data": data} for data in records[at : at + BATCH]]
        assert client.put_record_batch(DeliveryStreamName=delivery, Records=batch)["FailedPutCount"] == 0
    return len(records)


def pieces(data: bytes) -> Iterator[bytes]:
    """Whole lines of at most RECORD bytes together."""
    at = 0
    while at < len(data):
        end = len(data) if len(data) - at <= RECORD else data.rindex(b"\n", at, at + RECORD) + 1
        yield data[at:end]
        at = end


def rows_of(answer: Any) -> list[dict[str, Any]]:
    """The rows of a JSON answer, in the form of ``truth.json``."""

    class Answer:
        columns = answer["columns"]

        def __iter__(self) -> Iterator[Any]:
            return iter(answer["rows"])

    return mesh_rows(Answer())


@contextmanager
def beside(deployed: Deployed, like: str, source: str) -> Iterator[str]:
    """A function like a deployed one, by the handler of one more module in the same bundle."""
    code = io.BytesIO(deployed.bundle.read_bytes())
    with zipfile.ZipFile(code, "a") as archive:
        archive.writestr("beside.py", source)
    functions = boto3.client("lambda")
    configuration = functions.get_function_configuration(FunctionName=like)
    same = {k: configuration[k] for k in ("Runtime", "Role", "Environment", "Timeout", "MemorySize")}
    name = f"beside-{like.partition(':')[0]}"
    functions.create_function(FunctionName=name, Handler="beside.handler", Code={"ZipFile": code.getvalue()}, **same)
    yield name
    functions.delete_function(FunctionName=name)
    boto3.client("logs").delete_log_group(logGroupName=f"/aws/lambda/{name}")


@pytest.fixture(scope="module")
def truth(shared_data: Path) -> list[dict[str, Any]]:
    rows = json.loads((shared_data / "truth.json").read_text())["mesh_uptime_by_model"]
    return sorted(rows, key=lambda r: str(r["model"]))


def test_the_functions_have_their_bundle_and_nothing_else(deployed: Deployed) -> None:
    """In a worker as deployed, with one more module that reports on it."""
    worker = boto3.client("lambda").get_function_configuration(FunctionName=deployed.outputs["Worker"])
    assert "ANTFOLD_MAC_KEY" in worker["Environment"]["Variables"]
    with beside(deployed, deployed.outputs["Worker"], PROBE) as probe:
        reply = deployed.ask({}, probe)
    assert reply == {"mode": "ready", "kernels": "kernels", "others": [], "ours": "deploy/__init__.py"}


def test_an_answer_of_workers(deployed: Deployed, truth: Any, shared_data: Path, tmp_path: Path) -> None:
    """The known truth; and the same bits on workers, by relays, on threads, and from a folder without AWS."""
    fleet = ["--executor", f"lambda:{deployed.outputs['Worker']}", "--workers", "3"]
    signed = {"ANTFOLD_MAC_KEY": deployed.outputs["SigningKey"]}
    refused = deployed.query(METRIC, *fleet, code=1)
    assert f"export ANTFOLD_MAC_KEY={deployed.outputs['SigningKey']}" in refused
    found = deployed.query(METRIC, *fleet, **signed)
    assert rows_of(found) == truth
    assert found["proof"]["tasks"] >= 1  # not more than opening its few small files is worth
    assert found["proof"]["complete"]
    local = deployed.query(METRIC, "--executor", "threads")
    assert local["rows"] == found["rows"]

    with Store(tmp_path / "store") as folder:
        files = sorted(map(str, shared_data.glob("mesh-heartbeats-*.ndjson.gz")))
        folder.ingest("mesh", *files, key="node", time="ts", unit="iso", duplicates="exact", progress=False)
        direct = folder.query(load_metric(METRIC), progress=False, **SPAN).proof

    name = deployed.outputs["Worker"]
    relays = Fleet(invoker(name), target=workers_target(), relay=invoker("mesh-query:live"), direct=1, batch=2)
    with pytest.MonkeyPatch.context() as patch, Store(deployed.url) as store:
        patch.setenv("ANTFOLD_MAC_KEY", deployed.outputs["SigningKey"])
        relayed = store.query(load_metric(METRIC), executor=relays, workers=4, progress=False, **SPAN)
    assert relayed.cost is not None
    assert relayed.cost.invocations == relayed.proof.tasks + relays.batches(relayed.proof.tasks)
    assert {p["proof"]["result"] for p in (found, local)} == {direct.result} == {relayed.proof.result}


def test_a_published_query(deployed: Deployed, truth: Any) -> None:
    """By invocation, over HTTPS and at its time; what was read once is not read again."""
    signed = {"ANTFOLD_MAC_KEY": deployed.outputs["SigningKey"]}
    publish = ["publish", deployed.url, METRIC, "--name", "uptime", "--target", workers_target().name]
    assert dataflow(*publish, folder=deployed.folder, **signed).stdout == "uptime@1\n"
    assert rows_of(deployed.ask({"query": "uptime", **SPAN})) == truth
    again = deployed.over_https(f"/uptime?since={SPAN['since']}&until={SPAN['until']}")
    assert rows_of(again) == truth
    assert again["proof"]["files_cached"] == again["proof"]["files_planned"]

    whole = deployed.ask({"query": "uptime"})["proof"]
    late = b'{"node": "late", "ts": "2026-08-23T09:00:00Z", "hw_model": "LATE"}'
    boto3.client("firehose").put_record(DeliveryStreamName=deployed.outputs["DeliveryMesh"], Record={"Data": late})
    deployed.wait_for(deployed.records + 1)
    found = deployed.ask({"query": "uptime"})
    assert "LATE" in [row[0] for row in found["rows"]]
    assert found["proof"]["files_cached"] == whole["files_planned"] == found["proof"]["files_planned"] - 1

    sqs, sns = boto3.client("sqs"), boto3.client("sns")
    queue = sqs.create_queue(QueueName="people")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    sns.subscribe(TopicArn=deployed.outputs["Alerts"], Protocol="sqs", Endpoint=arn)
    target = boto3.client("scheduler").get_schedule(Name="mesh-uptime")["Target"]
    event = json.loads(target["Input"].replace("<aws.scheduler.scheduled-time>", "2026-08-01T06:00:00Z"))
    done = [deployed.ask(event) for _ in range(2)]
    assert done[0] == done[1]
    (saved,) = done[0]["saved"]
    assert re.fullmatch(r"results/uptime/1/20260801T060000Z-[0-9a-f]{12}\.json", saved)
    assert done[0]["violations"] > 0
    (message,) = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=5)["Messages"]
    body = json.loads(message["Body"])
    assert body["Subject"].startswith(f"antfold: uptime: {done[0]['violations']} of {done[0]['rows']} rows")
    assert "uptime < 0.05" in body["Message"]
    sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
    assert "Messages" not in sqs.receive_message(QueueUrl=queue)  # no alert is sent twice

    # What a schedule delivers: every row, and then what has changed, which is nothing.
    target = boto3.client("scheduler").get_schedule(Name="mesh-uptime-v1")["Target"]
    given = [deployed.ask(json.loads(target["Input"])) for _ in range(2)]
    assert [(one["events"], one["deliveries"]) for one in given] == [(len(found["rows"]), 1), (0, 0)]
    came: dict[int, Any] = {}
    while len(came) < len(found["rows"]):
        for message in sqs.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=5)["Messages"]:
            change = json.loads(json.loads(message["Body"])["Message"])
            came[change["place"]] = list(change["new"].values())
            sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
    assert [came[place] for place in sorted(came)] == found["rows"]
    sqs.delete_queue(QueueUrl=queue)


def test_an_object_that_nobody_was_told_of(deployed: Deployed) -> None:
    """Its event is lost; the reconciler finds it, once it is old enough, and ingest takes it."""
    buckets = s3()
    before = deployed.status()["streams"][0]["sources"]
    bucket = deployed.outputs["LandingBucket"]
    news = buckets.get_bucket_notification_configuration(Bucket=bucket)
    del news["ResponseMetadata"]
    buckets.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={})
    lost = b'{"node": "lost", "ts": "2026-08-23T10:00:00Z", "hw_model": "LOST"}'
    boto3.client("firehose").put_record(DeliveryStreamName=deployed.outputs["DeliveryMesh"], Record={"Data": lost})
    until(lambda: buckets.list_objects_v2(Bucket=bucket)["KeyCount"] == before + 1)
    buckets.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=news)
    reply = deployed.ask({}, "mesh-reconcile")
    assert (reply["listed"], reply["enqueued"], reply["young"]) == (before + 1, 0, before + 1)
    with beside(deployed, "mesh-reconcile", IMPATIENT) as impatient:
        reply = deployed.ask({}, impatient)
    assert (reply["enqueued"], reply["known"], reply["quarantined"]) == (1, before, 0)
    deployed.wait_for(before + 1)
    assert dataflow("verify", deployed.url, folder=deployed.folder)


def test_the_first_page(
    deployed: Deployed, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What README.md says of AWS, command by command, with the outputs in place of the capitals."""
    gaps.mend(monkeypatch)
    monkeypatch.chdir(tmp_path)
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    (tmp_path / "metrics.py").write_text(page.split("```python\n")[1].partition("```")[0])
    first, then = (block.partition("```")[0] for block in page.partition("## On AWS")[2].split("```sh\n")[1:3])
    given = {
        "deploy": ["--bundle", str(deployed.bundle), "--yes"],
        "destroy": ["--yes"],
        "publish": ["--target", workers_target().name],
    }
    said: dict[str, str] = {}
    for line in (first + then).splitlines()[1:]:
        for name, value in said.items():
            line = re.sub(rf"\b{name.upper()}\b", value, line)
        command, *arguments = shlex.split(line)
        if command == "export":
            monkeypatch.setenv(*arguments[0].split("=", 1))
        elif command == "aws":
            bucket, _, key = arguments[-1].removeprefix("s3://").partition("/")
            points = b'{"device": "a", "ts": 1709251200000, "status": "up", "firmware": "1.0"}\n' * 2
            s3().put_object(Bucket=bucket, Key=key + arguments[2], Body=points)
            until(lambda: main(["status"]) == 0 and " telemetry " in capsys.readouterr().out)
        else:
            assert main([*arguments, *given.get(arguments[0], [])]) == 0, line
            out = capsys.readouterr().out
            said |= dict(line.split(": ", 1) for line in out.splitlines() if re.match(r"\w+: \S+$", line))
            if arguments[0] == "query":
                assert "00:00:00.000001" in out
    assert kept("antfold") == everything("antfold")
    assert main(["destroy", "--delete-data", "--confirm", "antfold"]) == 0


def waiting(queue: str) -> int:
    """How many messages a queue has."""
    sqs = boto3.client("sqs")
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    found = sqs.get_queue_attributes(QueueUrl=sqs.get_queue_url(QueueName=queue)["QueueUrl"], AttributeNames=names)
    return sum(int(number) for number in found["Attributes"].values())


def test_destroy(deployed: Deployed, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """What runs goes and data stays, and a new deployment reads it again, and finds what came meanwhile, a month later;
    then it goes, too."""
    gaps.mend(monkeypatch)
    monkeypatch.chdir(deployed.folder)
    (held,) = deployed.status()["streams"]
    assert main(["destroy", "--dry-run"]) == 0
    removed = {line.split()[1] for line in capsys.readouterr().out.splitlines() if line.startswith(" Remove")}
    assert {
        "Worker",
        "Ingest",
        "Query",
        "Reconcile",
        "Compact",
        "Sweep",
        "Queue",
        "DeliveryMesh",
        "ScheduleUptime",
    } < removed
    assert not {"DataBucket", "LandingBucket", "Table", "Key", "SigningKey"} & removed
    assert main(["destroy", "--yes"]) == 0
    printed = capsys.readouterr().out
    assert everything("mesh") == kept("mesh")
    for thing in kept("mesh"):
        assert thing.startswith("alias/") or thing in printed
    assert deployed.query(METRIC)["proof"]["complete"]  # without a function to ask
    unseen = b'{"node": "unseen", "ts": "2026-08-23T11:00:00Z", "hw_model": "UNSEEN"}\n'
    s3().put_object(Bucket=deployed.outputs["LandingBucket"], Key="landing/mesh/unseen.ndjson", Body=unseen)
    dataflow("deploy", "--bundle", str(deployed.bundle), "--yes", folder=deployed.folder)
    assert [{**one, "age": 0} for one in deployed.status()["streams"]] == [{**held, "age": 0}]
    until(
        lambda: not waiting("mesh-ingest")
    )  # what the new bucket notification sends; a pass would hold back meanwhile
    with beside(deployed, "mesh-reconcile", A_MONTH_LATER) as later:
        reply = deployed.ask({}, later)  # as its schedule asks
        assert (reply["enqueued"], reply["young"], reply["complete"]) == (1, 0, True)
        deployed.wait_for(held["sources"] + 1)
        again = deployed.ask({}, later)
        assert (again["enqueued"], again["known"]) == (0, reply["known"] + 1)
    with Store(deployed.url) as store:
        came = df.stream("mesh").filter(df.col("hw_model") == "UNSEEN").agg(n=df.count())
        assert store.query(came, progress=False)["n"] == [1]
    assert main(["destroy", "--delete-data", "--confirm", "mesh"]) == 0
    assert everything("mesh") == set()
