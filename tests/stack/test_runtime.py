"""The handlers under AWS's runtime: payloads, time-outs, and errors as the coordinator must read them."""

from __future__ import annotations

import importlib.util
import io
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import dataflow as df
from runtime.errors import QueryError
from runtime.fleet import Fleet, Kind, Rules
from runtime.fleet.messages import MAX_PAYLOAD
from runtime.fleet.outcomes import broken
from runtime.store import Store
from tests.stack import emulator
from tests.stack.emulator import Function, function

pytestmark = pytest.mark.stack

ROOT = Path(__file__).resolve().parents[2]
T = 1_700_000_000_000
METRIC = df.stream("s").group_by("k").agg(n=df.count(), top=df.max("n"))
WIDE = df.stream("s").select("k", "n", "text")


@pytest.fixture(scope="session")
def rie(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if importlib.util.find_spec("awslambdaric") is None:
        pytest.skip("awslambdaric is not installed: pip install -e '.[test,stack]'")
    return emulator.program(tmp_path_factory.mktemp("rie"))


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    """Seven keys; and a text in every row that does not compress, so that rows make large states."""
    store = Store(tmp_path_factory.mktemp("store"), create=True)
    lines = (
        b'{"k":"d%d","t":%d,"n":%d,"text":"%s"}\n' % (n % 7, T + n * 1000, n, os.urandom(200).hex().encode())
        for n in range(20_000)
    )
    store.ingest("s", io.BytesIO(b"".join(lines)), key="k", time="t", unit="ms", progress=False)
    return store


def variables(**more: str) -> dict[str, str]:
    return {"PYTHONPATH": str(ROOT), **more}


@pytest.fixture(scope="module")
def faulty(rie: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Function]:
    folder = tmp_path_factory.mktemp("faulty")
    with function(rie, folder, "tests.stack.faulty.handler", variables(), size=2, seconds=3) as found:
        yield found


def test_a_query(rie: Path, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a pool of workers, as many at once as there are processes; small states in the reply, large ones spilled."""
    monkeypatch.setattr("runtime.query.plan.make_tasks._SMALL", 1_000)
    with function(rie, tmp_path, "deploy.handlers.worker.handler", variables(), size=3) as worker:
        for metric in (METRIC, WIDE):
            result = store.query(metric, executor=Fleet(worker.invoke), workers=4, progress=False)
            assert result.proof.result == store.query(metric, progress=False).proof.result
            assert result.proof.tasks >= 4
        assert store.query(WIDE, executor=Fleet(worker.invoke), workers=1, progress=False)
    spilled = [o.size for o in store.objects.list("spill/")]
    assert max(spilled) > 4 << 20


@pytest.mark.parametrize(
    ("fault", "kind", "words"),
    [
        ("exception", Kind.FAILED, "RuntimeError: this one always fails"),
        ("memory error", Kind.MEMORY, ""),
        ("killed", Kind.MEMORY, "signal: killed"),
        ("exit", Kind.FAILED, "Runtime.ExitError"),
        ("time", Kind.TIME, "Task timed out after 3.00 seconds"),
        ("large", Kind.FAILED, "Function.ResponseSizeTooLarge"),
    ],
)
def test_what_becomes_of_a_fault(faulty: Function, fault: str, kind: Kind, words: str) -> None:
    outcome = broken(faulty.invoke(json.dumps({"fault": fault}).encode()))
    assert outcome is not None
    assert outcome.kind is kind
    assert words in outcome.detail
    # And the next call finds a worker that works.
    assert 1_000 < json.loads(faulty.invoke(b'{"fault": "left"}').payload) <= 3_000


def test_what_is_refused(faulty: Function) -> None:
    reply = faulty.invoke(b'{"version": 99}')
    assert reply.error == ""
    assert json.loads(reply.payload)["error"]["type"] == "OtherVersion"


def test_a_payload_that_is_too_large_is_cut(faulty: Function) -> None:
    """So it cannot be read; those of the coordinator stay below the limit."""
    reply = faulty.invoke(json.dumps({"pad": "x" * MAX_PAYLOAD * 2}).encode())
    outcome = broken(reply)
    assert outcome is not None
    assert outcome.kind is Kind.FAILED
    assert "Runtime.UnmarshalError" in outcome.detail
    reply = faulty.invoke(json.dumps({"version": 99, "pad": "x" * (MAX_PAYLOAD - 1_000)}).encode())
    assert json.loads(reply.payload)["error"]


def test_a_query_with_faults_ends(store: Store, faulty: Function) -> None:
    """Time-outs and breakdowns in the middle; then a worker that never ends."""
    left = ["killed", "time", "exception", "exit"]

    def now_and_then(payload: bytes) -> Any:
        fault = left.pop() if left else None
        return faulty.invoke(payload if fault is None else json.dumps({"fault": fault}).encode())

    rules = Rules(failures=6, base=0.01)
    result = store.query(METRIC, executor=Fleet(now_and_then, rules), workers=2, progress=False)
    assert left == []
    assert result.proof.result == store.query(METRIC, progress=False).proof.result

    def never(payload: bytes) -> Any:
        return faulty.invoke(b'{"fault": "time"}')

    with pytest.raises(QueryError, match=r"task \S+ of s failed \(out of time"):
        store.query(METRIC, executor=Fleet(never, Rules(splits=0)), workers=1, progress=False)


def test_published_queries(rie: Path, store: Store, tmp_path: Path) -> None:
    """Over HTTPS as a function URL hands it over, and by invocation, errors included."""
    store.publish(METRIC, "tops")
    with function(rie, tmp_path, "deploy.handlers.query.handler", variables(ANTFOLD_STORE=store.url)) as query:

        def ask(event: dict[str, Any]) -> Any:
            reply = query.invoke(json.dumps(event).encode())
            return reply.error, json.loads(reply.payload)

        url = {
            "version": "2.0",
            "rawPath": "/tops",
            "rawQueryString": "",
            "requestContext": {"http": {"method": "GET"}},
        }
        error, reply = ask(url)
        assert (error, reply["statusCode"]) == ("", 200)
        rows = json.loads(json.dumps(store.query(METRIC, progress=False).to_dict()["rows"]))
        assert json.loads(reply["body"])["rows"] == rows
        assert ask({**url, "rawPath": "/none"})[1]["statusCode"] == 404
        assert ask({"query": "tops"})[1]["rows"] == rows
        error, reply = ask({"query": "none"})
        assert (error, reply["errorType"]) == ("Unhandled", "UnknownQuery")
        assert "there is no published query 'none'" in reply["errorMessage"]
        store.publish(WIDE, "wide")
        where = ask({**url, "rawPath": "/wide"})[1]
        stored = json.loads(where["body"])["stored"]
        assert stored["bytes"] == store.objects.size(stored["path"]) > 6 << 20
