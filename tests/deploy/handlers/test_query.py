"""The query function: by name only; over HTTPS, by invocation, on schedules; and as a relay."""

from __future__ import annotations

import base64
import csv
import io
import json
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any
from urllib.parse import urlencode

import boto3
import pytest

import dataflow as df
from deploy.handlers import query, web, worker
from deploy.handlers.query import handler
from operators.compiler.targets import TARGETS
from operators.errors import DataflowError
from runtime.aws.client import Client, ServiceFault
from runtime.aws.retry import Fault
from runtime.errors import OtherRelease, OtherVersion, QueryError
from runtime.fleet.outcomes import Reply
from runtime.live.sinks.sink import SinkUnavailable
from runtime.storage.open_store import OpenStore
from runtime.store import Store
from tests.deploy.handlers.deployed import Context, Lines, T

AT_LEAST = df.stream("s").filter(df.col("n") >= df.param("least", default=0)).group_by("k").agg(
    n=df.count(), top=df.max("n")
)  # fmt: skip


@pytest.fixture
def store(deployed: Store) -> Store:
    """A store with a stream of 60 points of three devices, and the query ``tops``."""
    points = b"".join(b'{"k":"d%d","t":%d,"n":%d}\n' % (n % 3, T + n * 60_000, n) for n in range(60))
    deployed.ingest("s", io.BytesIO(points), key="k", time="t", unit="ms", progress=False)
    deployed.publish(AT_LEAST, "tops", "the largest of every device")
    return deployed


def https(path: str, body: str | bytes | None = None, method: str = "", **given: str) -> tuple[int, Any]:
    """The status and the body of a request of the function's URL, as Lambda hands it over (payload format 2.0)."""
    event: dict[str, Any] = {
        "version": "2.0",
        "rawPath": path,
        "rawQueryString": urlencode(given),
        "headers": {"host": "x.lambda-url.eu-west-1.on.aws"},
        "requestContext": {"http": {"method": method or ("GET" if body is None else "POST"), "path": path}},
        "isBase64Encoded": isinstance(body, bytes),
    }
    if body is not None:
        event["body"] = base64.b64encode(body).decode() if isinstance(body, bytes) else body
    reply = handler(event, Context())
    assert json.loads(json.dumps(reply)) == reply
    if "csv" in reply["headers"]["content-type"]:
        return reply["statusCode"], list(csv.reader(io.StringIO(reply["body"])))
    return reply["statusCode"], json.loads(reply["body"])


ROWS = [["d0", 20, 57], ["d1", 20, 58], ["d2", 20, 59]]


def test_over_https(store: Store) -> None:
    status, reply = https("/tops")
    assert (status, reply["rows"]) == (200, ROWS)
    assert reply["columns"] == ["k", "n", "top"]
    assert reply["proof"]["result"] == store.query(AT_LEAST, progress=False).proof.to_dict()["result"]
    assert https("/tops", **{"param.least": "30", "version": "1"})[1]["rows"] == [[k, 10, top] for k, _, top in ROWS]
    assert https("/tops", since="2023-11-14", until="2023-11-14T22:14:00")[1]["rows"] == [["d0", 1, 0]]
    assert https("/tops", format="csv")[1] == [["k", "n", "top"], *[list(map(str, row)) for row in ROWS]]
    assert https("/tops", since="-7d")[1]["rows"] == []
    question = {"query": "tops", "version": 1, "params": {"least": 59}, "since": None}
    for body in (json.dumps(question), json.dumps(question).encode()):
        for path in ("/", "/tops"):
            assert https(path, body)[1]["rows"] == [["d2", 1, 59]]
    assert https("/") == (
        200, {"queries": [{"query": "tops", "version": 1, "description": "the largest of every device"}]},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("status", "path", "body", "given", "message"),
    [
        (404, "/nothing", None, {}, "no published query 'nothing'"),
        (404, "/tops", None, {"version": "7"}, "tops has no version 7"),
        (404, "/../tops", None, {}, "../tops"),
        (404, "/tops@x", None, {}, "tops@x"),
        (400, "/tops", None, {"param.most": "1"}, "most"),
        (400, "/tops", None, {"param.least": "x"}, "least"),
        (400, "/tops", None, {"version": "x"}, "version has an invalid value: 'x'"),
        (400, "/tops", None, {"since": "yesterdy"}, "since: 'yesterdy' is not a time"),
        (400, "/tops", None, {"limit": "5"}, "unknown field 'limit'"),
        (400, "/tops", None, {"format": "xml"}, "format 'xml' is unknown"),
        (400, "/", "{", {}, "the body is not JSON"),
        (400, "/", b"\xff", {}, "the body is not JSON"),
        (400, "/", "[]", {}, "must be a JSON object"),
        (400, "/", "{}", {}, "name a published query"),
        (400, "/tops", '{"query": "other"}', {}, "name one query"),
        (400, "/", '{"query": "tops", "params": []}', {}, "params has an invalid value: []"),
        (400, "/", '{"query": "tops", "version": true}', {}, "version has an invalid value: True"),
        (400, "/", '{"query": "tops", "graph": {}}', {}, "unknown field 'graph'"),
        (413, "/", '{"query": "' + "x" * (1 << 18) + '"}', {}, "more than 262144"),
        (413, "/", "x" * (1 << 20), {}, "more than 262144"),
        (405, "/", None, {"method": "DELETE"}, "DELETE is not supported"),
    ],
)
def test_wrong_requests(
    store: Store, status: int, path: str, body: str | None, given: dict[str, str], message: str
) -> None:
    found, reply = https(path, body, **given)
    assert (found, list(reply)) == (status, ["error"])
    assert message in reply["error"]


def test_what_is_not_the_askers_fault(
    store: Store, monkeypatch: pytest.MonkeyPatch, lines: Callable[[], Lines]
) -> None:
    (path,) = [o.path for o in store.objects.list("data/")]
    store.objects.delete(path)
    monkeypatch.setattr(OpenStore, "_shared", {})
    status, reply = https("/tops")
    assert status == 500
    assert "is missing" in reply["error"]
    monkeypatch.setattr(query, "answer", lambda *_: 1 / 0)
    assert https("/tops") == (500, {"error": "internal error (request-1)"})
    logged = lines()
    assert [line["status"] for line in logged.of("failed")] == [500, 500]
    assert logged.metric("QueriesFailed") == logged.metric("QueriesFailed", Class="server") == 2
    assert logged.of("failed")[1]["error"] == "ZeroDivisionError"
    assert https("/tops", limit="5")[0] == 400
    logged = lines()
    assert (logged.metric("QueriesFailed", Class="caller"), logged.metric("QueriesFailed", Class="server")) == (1, 0)


def test_by_invocation(store: Store) -> None:
    assert handler({"query": "tops@1", "params": {"least": 58}}, Context())["rows"] == [["d1", 1, 58], ["d2", 1, 59]]
    assert handler({"query": "tops", "format": "csv"}, Context())["csv"].startswith("k,n,top\n")
    with pytest.raises(QueryError, match="no published query 'x'"):
        handler({"query": "x"}, Context())
    for event in (None, [], {}, {"query": 5}, {"steps": []}):
        with pytest.raises(QueryError, match="name a published query"):
            handler(event, Context())


def test_an_answer_that_is_too_large_is_stored(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(query, "MAX_REPLY", 200)
    whole = store.query(AT_LEAST, progress=False).to_dict()["rows"]
    for reply in (https("/tops")[1], https("/tops")[1], handler({"query": "tops"}, Context())):
        where = reply["stored"]
        assert where["path"].startswith("results/tops/")
        data = store.objects.read(where["path"], 0, where["bytes"])
        assert json.loads(data)["rows"] == whole
    status, reply = https("/tops", format="csv")
    assert status == 200
    if "stored" in reply:
        assert reply["stored"]["path"].endswith(".csv")


def mails(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What is published from now on."""
    sent: list[dict[str, Any]] = []
    real = Client.call

    def call(client: Client, what: str, attempt: Callable[[Any], Any]) -> Any:
        if client.service != "sns":
            return real(client, what, attempt)

        class Topic:
            def publish(self, **given: Any) -> None:
                boto3.client("sns").publish(**given)
                sent.append(given)

        return attempt(Topic())

    monkeypatch.setattr(Client, "call", call)
    return sent


SCHEDULE = {
    "at": "2023-11-15T00:00:00Z",
    "schedule": {"query": "tops", "since": "-1d", "alert": ["n > 5"], "params": {"least": 30}},
}


def test_at_its_time(store: Store, monkeypatch: pytest.MonkeyPatch, lines: Callable[[], Lines]) -> None:
    """The result is a file; the alert is sent once, however often Lambda repeats the invocation."""
    sent = mails(monkeypatch)
    reply = handler(SCHEDULE, Context())
    assert (reply["query"], reply["version"], reply["rows"], reply["violations"]) == ("tops", 1, 3, 3)
    (path,) = reply["saved"]
    assert json.loads(store.objects.read(path, 0, store.objects.size(path)))["violations"]
    assert handler(SCHEDULE, Context())["saved"] == [path]
    (mail,) = sent
    assert mail["TopicArn"].endswith(":alerts")
    assert "tops version 1" in mail["Message"]
    assert "3 of 3 rows" in mail["Subject"]
    assert lines().metric("AlertsSent") == 1
    quiet = {**SCHEDULE, "at": "2023-11-16T00:00:00Z", "schedule": {"query": "tops", "alert": ["n > 500"]}}
    assert handler(quiet, Context())["violations"] == 0
    assert len(sent) == 1
    for wrong in ({"schedule": {"query": "nothing"}}, {"schedule": {}}, {**SCHEDULE, "at": "x"}):
        with pytest.raises(DataflowError):
            handler(wrong, Context())


def test_an_alert_that_is_long(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """What a topic does not take is never sent, and the next attempt fails in the same way; it counts in bytes."""
    long = b"".join(b'{"k":"%s%d","t":%d,"n":1}\n' % ("✗".encode() * 3_000, n, T) for n in range(40))
    store.ingest("s", io.BytesIO(long), key="k", time="t", unit="ms", progress=False)
    sent = mails(monkeypatch)
    reply = handler({**SCHEDULE, "schedule": {"query": "tops", "alert": ["n >= 1"]}}, Context())
    assert reply["violations"] == 43
    (mail,) = sent
    assert 200_000 < len(mail["Message"].encode()) <= 256 << 10
    assert mail["Message"].startswith("tops version 1")


def test_when_nobody_can_be_told(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The invocation fails, and the next one sends the alert."""
    real = Client.call

    def call(client: Client, what: str, attempt: Callable[[Any], Any]) -> Any:
        if client.service == "sns":
            raise ServiceFault(Fault.LOST, "cannot publish: the network is down.")
        return real(client, what, attempt)

    with monkeypatch.context() as broken:
        broken.setattr(Client, "call", call)
        with pytest.raises(ServiceFault, match="cannot publish"):
            handler(SCHEDULE, Context())
    sent = mails(monkeypatch)
    handler(SCHEDULE, Context())
    handler(SCHEDULE, Context())
    assert len(sent) == 1


def topic_with_queue(topic: str = "alerts") -> Callable[[], list[dict[str, Any]]]:
    """Subscribes a queue to a topic; what came since this was last called."""
    sqs, sns = boto3.client("sqs"), boto3.client("sns")
    url = sqs.create_queue(QueueName=f"from-{topic}")["QueueUrl"]
    queue = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    sns.subscribe(TopicArn=sns.create_topic(Name=topic)["TopicArn"], Protocol="sqs", Endpoint=queue)

    def came() -> list[dict[str, Any]]:
        found = []
        while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
            for message in messages:
                body = json.loads(message["Body"])
                found.append(json.loads(body["Message"]))
                assert body["MessageAttributes"]["id"]["Value"] == found[-1]["id"]
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return sorted(found, key=lambda event: tuple(map(int, event["id"].split("/")[2:])))

    return came


@pytest.mark.parametrize("own", [True, False])
def test_changes_at_its_time(store: Store, lines: Callable[[], Lines], own: bool) -> None:
    """Each run delivers what has changed since the last one; the reply says how much, and nothing is saved."""
    came = topic_with_queue("alerts" if own else "others")
    to = "alerts" if own else boto3.client("sns").create_topic(Name="others")["TopicArn"]
    event = {"at": "2023-11-15T00:00:00Z", "schedule": {"query": "tops", "deliver": to, "params": {"least": 30}}}
    assert handler(event, Context()) == {"query": "tops", "version": 1, "events": 3, "deliveries": 1}
    first = came()
    assert [list(change["new"].values()) for change in first] == [[k, 10, top] for k, _, top in ROWS]
    assert {change["old"] for change in first} == {None}
    assert handler(event, Context()) == {"query": "tops", "version": 1, "events": 0, "deliveries": 0}
    late = b'{"k":"d1","t":%d,"n":99}\n' % T
    store.ingest("s", io.BytesIO(late), key="k", time="t", unit="ms", progress=False)
    assert handler(event, Context())["events"] == 1
    (change,) = came()
    assert (change["old"], change["new"]) == (
        {"k": "d1", "n": 10, "top": 58}, {"k": "d1", "n": 11, "top": 99},
    )  # fmt: skip
    name, epoch, number, _ = change["id"].split("/")
    assert (epoch, number) == (first[0]["id"].split("/")[1], "2")
    logged = lines()
    assert [line["events"] for line in logged.of("delivered")] == [3, 0, 1]
    assert {(line["query"], line["name"]) for line in logged.of("delivered")} == {("tops@1", name)}
    assert logged.metric("QueriesAnswered", Query="tops") == 3
    assert not list(store.objects.list("results/"))
    for wrong in ({"until": "today"}, {"since": "-1d"}, {"mode": "table"}, {"deliver": "a@example.com"}):
        with pytest.raises(DataflowError):
            handler({"schedule": {**event["schedule"], **wrong}}, Context())  # type: ignore[dict-item]


def test_changes_of_which_a_part_came(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """The invocation fails, and when Lambda repeats it the same events come again under the same ids."""
    came, real = topic_with_queue(), Client.call
    event = {"schedule": {"query": "minutes", "deliver": "alerts"}, "at": "2023-11-15T00:00:00Z"}
    store.publish(df.stream("s").group_by(m=df.time().truncate("1m")).agg(n=df.count()), "minutes")
    calls = iter(range(1_000))

    def call(client: Client, what: str, attempt: Callable[[Any], Any]) -> Any:
        if client.service == "sns" and next(calls) == 2:
            raise ServiceFault(Fault.LOST, "cannot publish: the network is down.")
        return real(client, what, attempt)

    monkeypatch.setattr(Client, "call", call)
    with pytest.raises(SinkUnavailable, match="cannot publish"):
        handler(event, Context())
    part = came()
    assert len(part) == 20
    assert handler(event, Context())["events"] == 60
    again = came()
    assert again[:20] == part
    assert [change["id"].split("/")[3] for change in again] == [str(n) for n in range(1, 61)]


def test_workers_work_out_large_changes(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """As for a scheduled result: by what would be read, an executor works it out."""
    asked: list[Any] = []

    class Workers(ThreadPoolExecutor):
        def submit(self, *given: Any, **more: Any) -> Future[Any]:
            asked.append("a task")
            return super().submit(*given, **more)

    with Workers(2) as workers:

        def chosen(store: Store, *given: Any) -> Workers:
            asked.append(given)
            return workers

        monkeypatch.setattr(query, "_executor", chosen)
        schedule = {"query": "tops", "deliver": "alerts", "since": "2023-11-14", "params": {"least": 1}}
        assert handler({"schedule": schedule}, Context())["events"] == 3
    assert asked[0] == ("tops@1", 1_699_920_000_000_000, None, {"least": 1})
    assert set(asked[1:]) == {"a task"}


def test_workers_where_there_is_much_to_read(
    store: Store, monkeypatch: pytest.MonkeyPatch, lines: Callable[[], Lines]
) -> None:
    """And the worker's own function answers them."""
    monkeypatch.setattr(query, "SMALL", 10)
    monkeypatch.setenv("ANTFOLD_WORKER", "fleet-worker")
    asked: list[str] = []

    def invoker(function: str, *_: Any, **__: Any) -> Callable[[bytes], Reply]:
        def invoke(payload: bytes) -> Reply:
            asked.append(function)
            return Reply(200, json.dumps(worker.handler(json.loads(payload), Context())).encode())

        return invoke

    monkeypatch.setattr("runtime.fleet.aws_lambda.invoker", invoker)
    monkeypatch.setattr("runtime.fleet.aws_lambda.target_of", lambda *_: TARGETS["x86_64"])
    assert https("/tops")[1]["rows"] == ROWS
    assert asked
    assert set(asked) == {"fleet-worker"}
    logged = lines()
    assert logged.metric("TasksAnswered") == len(asked)
    assert logged.metric("BytesRead") > 0
    before = len(asked)
    assert handler(SCHEDULE, Context())["rows"] == 3
    assert len(asked) > before


def test_what_earlier_runs_have_left_needs_no_workers(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """However much there is: what counts is what is left to read. Schedules have workers read, too."""
    (before,) = {store.unread("tops"), sum(f.bytes for f in store.files("s"))}
    assert https("/tops")[1]["proof"]["files_cached"] == 0
    assert store.unread("tops") == 0
    assert store.unread("tops", params={"least": 5}) == before
    asked: list[Any] = []

    def query_of(_: Store, *of: Any, **options: Any) -> Any:
        asked.append(options["executor"])
        return inner(store, *of, **{**options, "executor": None})

    inner = Store.query
    monkeypatch.setattr(Store, "query", query_of)
    monkeypatch.setenv("ANTFOLD_WORKER", "fleet-worker")
    monkeypatch.setattr(query, "SMALL", 10)
    assert https("/tops")[1]["rows"] == ROWS
    assert https("/tops", **{"param.least": "30"})[0] == 200
    quiet = {"query": "tops", "params": {"least": 40}}
    handler({"at": "2023-11-15T00:00:00Z", "schedule": quiet}, Context())
    assert asked == [None, "lambda:fleet-worker", "lambda:fleet-worker"]


def test_as_a_relay(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A batch of tasks is given to workers and comes back as one state; the answer has the same bits."""
    from runtime.fleet import Fleet

    monkeypatch.setenv("ANTFOLD_WORKER", "fleet-worker")

    def work(payload: bytes) -> Reply:
        return Reply(200, json.dumps(worker.handler(json.loads(payload), Context())).encode())

    monkeypatch.setattr(query, "invoker", lambda *_: work)

    relayed: list[int] = []

    def relay(payload: bytes) -> Reply:
        relayed.append(len(payload))
        return Reply(200, json.dumps(handler(json.loads(payload), Context())).encode())

    monkeypatch.setattr("runtime.query.plan.make_tasks._SMALL", 10)
    fleet = Fleet(work, relay=relay, direct=1, batch=2)
    result = store.query(AT_LEAST, executor=fleet, workers=4, progress=False)
    assert len(relayed) == 2
    assert result.proof.result == store.query(AT_LEAST, progress=False).proof.result


def test_a_worker_that_refuses(store: Store, lines: Callable[[], Lines]) -> None:
    reply = worker.handler({"version": 99}, Context())
    assert "update the deployment (dataflow deploy)" in reply["error"]["message"]
    logged = lines()
    assert logged.metric("TasksRefused") == 1
    assert logged.of("refused")[0]["error"] == "OtherVersion"


def test_a_parameter_given_twice(store: Store) -> None:
    url = {"rawPath": "/tops", "rawQueryString": "since=2024&since=2025", "requestContext": {"http": {"method": "GET"}}}
    reply = handler(url, Context())
    assert (reply["statusCode"], json.loads(reply["body"])) == (400, {"error": "a parameter is given twice."})


@pytest.mark.parametrize(
    ("error", "status"), [(OtherVersion("x"), 500), (OtherRelease("x"), 500), (QueryError("x"), 400)]
)
def test_versions_of_the_deployment_are_not_the_callers_fault(error: Exception, status: int) -> None:
    assert web.status_of(error, False) == status
