"""The fleet on threads: the same results as without, large states through the store, and the Lambda function."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from botocore.parsers import ResponseParserError
from urllib3.exceptions import SSLError

import dataflow as df
from operators.compiler.targets import TARGETS, Target
from runtime import Store
from runtime.aws.access import Access
from runtime.errors import FormatError, QueryError, StoreError
from runtime.fleet import Fleet, Kind, PaceRules, Reply, Rules, TaskFailed
from runtime.fleet import messages as m
from runtime.fleet.aws_lambda import invoker
from runtime.fleet.worker import answer
from runtime.query.plan.make_tasks import make_tasks
from runtime.query.plan.prepare import Request, prepare
from runtime.query.task.task import Task
from tests.runtime.copied_stores import copy_of

START = 19_800 * 86_400_000_000
METRIC = df.stream("s").group_by("status").agg(n=df.count(), d=df.count_distinct("device"))
QUICK = Rules(base=0.001, cap=0.01)


@pytest.fixture(scope="module")
def million(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of enough points for more than one task."""
    folder = tmp_path_factory.mktemp("million")
    i = np.arange(1_000_000)
    columns = {"device": i % 300, "ts": START + i * 10_000, "status": np.array(["up", "down"])[i % 2]}
    with Store(folder) as store:
        store.ingest("s", columns, key="device", time="ts", unit="us", progress=False)
    return folder


@pytest.fixture
def store(million: Path, tmp_path: Path) -> Store:
    return copy_of(million, tmp_path / "store")


def read(reply: Reply, task: Task, store: Store) -> m.Outcome:
    """The outcome of a reply to a request of version 5."""
    return m.read_reply(reply, task, store.objects, asked=5)


def task_of(store: Store) -> Task:
    prepared = prepare(store.catalogue, Request(METRIC.steps, {}, None, None))
    return make_tasks(prepared, store.url, 1)[0]


def local(payload: bytes) -> Reply:
    """A worker in this process."""
    return Reply(200, json.dumps(answer(json.loads(payload))).encode())


def test_the_same_bits_as_threads(store: Store) -> None:
    expected = store.query(METRIC, progress=False)
    failing = iter([Reply(0), Reply(502), Reply(429), Reply(200, b"{"), *[None] * 100])
    lock = threading.Lock()

    def invoke(payload: bytes) -> Reply:
        with lock:
            first = next(failing)
        return first or local(payload)

    result = store.query(METRIC, executor=Fleet(invoke, QUICK), workers=4, progress=False)
    assert result.proof.result == expected.proof.result
    assert result.proof.to_dict()["tasks"] == 4
    assert result.proof.to_dict()["complete"] is True


def test_by_default_as_many_workers_as_the_bytes_are_worth(store: Store) -> None:
    assert store.query(METRIC, executor=Fleet(local), progress=False).proof.to_dict()["tasks"] == 1


def test_a_failure_names_its_task(store: Store) -> None:
    failed = Reply(200, b'{"errorType":"KeyError","errorMessage":"\'x\'"}', "Unhandled")
    with pytest.raises(TaskFailed, match=r"task 0\.\d of s failed \(failed, 7 times\): KeyError: 'x'"):
        store.query(METRIC, executor=Fleet(lambda _: failed, QUICK), workers=4)


def test_what_invoking_raises_ends_the_query(store: Store) -> None:
    """Also on an interrupt: nothing more is started, and nothing is waited for."""
    entered, leave = threading.Event(), threading.Event()
    calls: list[int] = []

    def invoke(payload: bytes) -> Reply:
        calls.append(1)
        if len(calls) == 1:
            entered.wait(10)
            raise KeyboardInterrupt
        entered.set()
        leave.wait(10)
        return local(payload)

    with pytest.raises(KeyboardInterrupt):
        store.query(METRIC, executor=Fleet(invoke, pace=PaceRules(burst=2, rate=0.001, growth=0)), workers=4)
    assert len(calls) == 2
    leave.set()


def test_a_large_state_goes_by_way_of_the_store(store: Store) -> None:
    task = task_of(store)
    event = json.loads(m.request(task, "spill/q/0.0-1", store.objects))
    direct, spilled = answer(event), answer(event, most=10)
    assert "state" in direct
    assert [o.path for o in store.objects.list("spill/")] == ["spill/q/0.0-1.state"]
    replies = [Reply(200, json.dumps(message).encode()) for message in (direct, spilled)]
    outcomes = [m.read_reply(reply, task, store.objects) for reply in replies]
    assert [o.kind for o in outcomes] == [Kind.DONE] * 2
    assert outcomes[0].digest == outcomes[1].digest
    store.objects.delete("spill/q/0.0-1.state")
    store.objects.put("spill/q/0.0-1.state", b"x" * spilled["stored"]["bytes"])
    damaged = m.read_reply(replies[1], task, store.objects)
    assert (damaged.kind, "is damaged" in damaged.detail) == (Kind.LOST, True)
    store.objects.delete("spill/q/0.0-1.state")
    assert m.read_reply(replies[1], task, store.objects).kind is Kind.LOST


def test_a_large_task_goes_by_way_of_the_store(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    task = task_of(store)
    monkeypatch.setattr(m, "_MAX_TASK", 10)
    payload = m.request(task, "spill/q/0.0-1", store.objects)
    assert len(payload) < 1_000
    outcome = m.read_reply(Reply(200, json.dumps(answer(json.loads(payload))).encode()), task, store.objects)
    assert outcome.kind is Kind.DONE
    (stored,) = store.objects.list("spill/")
    store.objects.delete(stored.path)
    store.objects.put(stored.path, b" " * stored.size)
    with pytest.raises(FormatError, match="is damaged: its SHA-256"):
        answer(json.loads(payload), lambda url: Store(url))


@pytest.mark.parametrize(
    ("payload", "kind"),
    [
        (b"", Kind.LOST),
        (b"null", Kind.LOST),
        (b'{"version":5}', Kind.LOST),
        (b'{"version":5,"task":"0.0","state":"!"}', Kind.LOST),
        (b'{"version":5,"task":"0.0","state":"AAAA"}', Kind.LOST),
        (b"[" * 100_000, Kind.LOST),
        (
            b'{"version":5,"used":{"reported":1,"seconds":1%b,"gb_seconds":1,"compute":1,"gets":1,"puts":1,"bytes":1,'
            b'"invoked":1},"state":""}' % (b"0" * 400),
            Kind.LOST,
        ),
        (b'{"version":5,"task":"0.0","stored":{"path":"../x","bytes":1,"sha256":""}}', Kind.LOST),
        (b'{"version":7,"task":"0.0","state":""}', Kind.VERSION),
        (b'{"version":"5","task":"0.0","state":""}', Kind.VERSION),
        (b'{"version":5,"task":"","error":{"type":"FormatError","message":"damaged"}}', Kind.REFUSED),
        (b'{"version":5,"task":"","error":{"type":"MemoryError","message":""}}', Kind.MEMORY),
    ],
)
def test_replies_that_are_no_answers(store: Store, payload: bytes, kind: Kind) -> None:
    assert read(Reply(200, payload), task_of(store), store).kind is kind


def test_an_answer_to_another_task_is_none(store: Store) -> None:
    task = task_of(store)
    answered = answer(json.loads(m.request(task, "spill/x", store.objects)))
    other = replace(task, id="0.9")
    assert m.read_reply(Reply(200, json.dumps(answered).encode()), other, store.objects).kind is Kind.LOST


def test_what_a_worker_says_of_errors(store: Store) -> None:
    assert answer({"version": 7})["error"]["type"] == "OtherVersion"
    assert answer(["x"])["error"]["type"] == "OtherVersion"
    event = json.loads(m.request(task_of(store), "spill/x", store.objects))
    Path(store.url, event["task"]["files"][0]["path"]).unlink()
    answered = answer(event, lambda url: Store(url))
    assert answered["error"]["type"] == "FileMissing"
    assert m.read_reply(Reply(200, json.dumps(answered).encode()), task_of(store), store.objects).kind is Kind.REFUSED


# The function of Lambda, as a server of our own plays it.


@contextmanager
def function(reply: Callable[[str, bytes], tuple[int, dict[str, str], bytes] | None]) -> Iterator[Access]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            given = reply(self.path, body)
            if given is None:
                self.close_connection = True
                return
            status, headers, data = given
            self.send_response(status)
            for name, value in {"Content-Length": str(len(data)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("AWS_ACCESS_KEY_ID", "x")
            patch.setenv("AWS_SECRET_ACCESS_KEY", "x")
            yield Access(region="us-east-1", endpoint=f"http://127.0.0.1:{server.server_port}")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ((200, {}, b'{"a":1}'), Reply(200, b'{"a":1}')),
        ((200, {"X-Amz-Function-Error": "Unhandled"}, b"{}"), Reply(200, b"{}", "Unhandled")),
        (
            (429, {"x-amzn-errortype": "TooManyRequestsException"}, b'{"Reason":"CallerRateLimitExceeded"}'),
            Reply(429, error="TooManyRequestsException of my-worker", reason="CallerRateLimitExceeded"),
        ),
        ((500, {"x-amzn-errortype": "ServiceException"}, b"{}"), Reply(500, error="ServiceException of my-worker")),
    ],
)
def test_the_function_of_lambda(given: tuple[int, dict[str, str], bytes], expected: Reply) -> None:
    seen: list[tuple[str, bytes]] = []

    def reply(path: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
        seen.append((path, body))
        return given

    with function(reply) as access:
        assert invoker("my-worker", access)(b'{"task":1}') == expected
    assert seen == [("/2015-03-31/functions/my-worker/invocations", b'{"task":1}')]  # one attempt, whatever came


def test_a_connection_that_breaks() -> None:
    with function(lambda path, body: None) as access:
        reply = invoker("my-worker", access)(b"{}")
    assert reply.status == 0
    assert "my-worker" in reply.error


def test_a_reply_that_is_cut() -> None:
    state = base64.b64encode(b"x" * 1_000)
    with function(lambda path, body: (200, {"Content-Length": "5000"}, state)) as access:
        assert invoker("my-worker", access)(b"{}").status == 0


@pytest.mark.parametrize("status", [200, 500])
def test_a_reply_that_is_no_reply(status: int) -> None:
    """Of a gateway in between, say: what boto3 cannot read is returned, not raised."""
    headers = {"X-Amz-Function-Error": "x", "Content-Type": "text/xml"}
    with function(lambda path, body: (status, headers, b"<html>\x00 no")) as access:
        reply = invoker("my-worker", access)(b"{}")
    assert (reply.status, bool(reply.error)) == (status, True)


@pytest.mark.parametrize("error", [ConnectionResetError("reset"), SSLError("bad record"), ResponseParserError("cut")])
def test_what_breaks_below_boto3_is_a_loss(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    class Body:
        def read(self) -> bytes:
            raise error

    class Boto:
        def invoke(self, **_: Any) -> dict[str, Any]:
            return {"StatusCode": 200, "Payload": Body()}

    monkeypatch.setattr("runtime.aws.client.Client.boto", Boto())
    reply = invoker("my-worker")(b"{}")
    assert (reply.status, reply.error) == (0, f"my-worker: {error}")


def test_what_is_no_loss_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.aws.client.Client.boto", object())
    with pytest.raises(AttributeError):
        invoker("my-worker")(b"{}")


def test_a_system_that_gives_no_more_threads(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as there may be are at work, and the rest wait for them."""
    real, failed, most = threading.Thread.start, [0], threading.active_count() + 1

    def start(thread: threading.Thread) -> None:
        if thread.name.startswith("antfold-") and threading.active_count() >= most:
            failed[0] += 1
            raise RuntimeError("can't start new thread")
        real(thread)

    expected = store.query(METRIC, progress=False)
    monkeypatch.setattr(threading.Thread, "start", start)
    result = store.query(METRIC, executor=Fleet(local, QUICK), workers=4, progress=False)
    assert result.proof.result == expected.proof.result
    assert result.proof.to_dict()["tasks"] == 4
    assert failed[0] > 0
    assert result.cost is not None
    assert result.cost.invocations == 4


def test_settings_that_are_missing_are_an_error_at_once(store: Store) -> None:
    fleet = Fleet(invoker("my-worker", Access(profile="nobody-here")), QUICK)
    with pytest.raises(StoreError, match="nobody-here"):
        store.query(METRIC, executor=fleet, progress=False)


def test_a_folder_is_out_of_their_sight(store: Store) -> None:
    with pytest.raises(QueryError, match="workers on Lambda cannot see the folder"):
        store.query(METRIC, executor="lambda")
    with pytest.raises(QueryError, match="no executor 'lambdas'"):
        store.query(METRIC, executor="lambdas")


def test_the_function_is_named_after_a_colon(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store in S3 whose workers are asked by name; the store itself is played by the folder."""
    seen: list[str] = []
    asked: list[str] = []

    def invoke(name: str, access: Access, seconds: float = 310.0) -> Callable[[bytes], Reply]:
        seen.append(name)
        return local

    def target_of(name: str, access: Access) -> Target:
        asked.append(name)
        return TARGETS["x86_64"]

    monkeypatch.setattr("runtime.fleet.aws_lambda.invoker", invoke)
    monkeypatch.setattr("runtime.fleet.aws_lambda.target_of", target_of)
    monkeypatch.setattr(store, "_location", replace(store._location, access=Access()))
    results: list[Any] = [store.query(METRIC, executor=e, progress=False) for e in ("lambda", "lambda:mine-worker")]
    assert seen == ["antfold-worker:live", "antfold-query:live", "mine-worker", "mine-query"]
    assert asked == ["antfold-worker:live", "mine-worker"]
    assert results[0].proof.result == results[1].proof.result == store.query(METRIC, progress=False).proof.result
