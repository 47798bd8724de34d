"""A store over HTTP: points that are posted once and twice, answers, changes, and who may ask."""

from __future__ import annotations

import gzip
import http.client
import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

import dataflow as df
from deploy.serving import connections, points_routes, query_routes
from runtime import Store
from runtime.errors import QueryError
from runtime.live.following import Follower
from tests.deploy.serving.served import Caller, served

NEW = "/api/v1/streams/p?key=k&time=t&unit=s"
OLD = "/api/v1/streams/p"


def points(*times: int, key: str = "a") -> str:
    return "".join(json.dumps({"k": key, "t": t}) + "\n" for t in times)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store", create=True)


@pytest.fixture
def call(store: Store) -> Iterator[Caller]:
    with served(store) as caller:
        yield caller


def count(store: Store) -> Any:
    return store.query(df.stream("p").agg(n=df.count()), progress=False)["n"][0]


# ---- connections


def test_connections_that_begin_no_request(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "PATIENCE", 0.3)
    with served(store, at_once=4) as call, ExitStack() as held:
        silent = [held.enter_context(socket.create_connection(("127.0.0.1", call.port), timeout=30)) for _ in range(4)]
        silent[0].sendall(b"GET /healthz HTTP/1.1\r\nHost:")
        assert [one.recv(1) for one in silent] == [b""] * 4
        assert call("GET", "/healthz")[0] == 200


def test_a_connection_that_waits_for_its_answer(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "PATIENCE", 0.1)
    store.ingest("p", {"k": ["a"], "t": [1]}, key="k", time="t", unit="s", progress=False)
    store.publish(df.stream("p").agg(n=df.count()), "count")
    with served(store) as call:
        waiting = http.client.HTTPConnection("127.0.0.1", call.port, timeout=30)
        waiting.request("GET", "/api/v1/queries/count/changes?every=100ms")
        answer = waiting.getresponse()
        assert answer.readline() == b"event: early\n"
        time.sleep(0.4)
        store.ingest("p", {"k": ["a"], "t": [2]}, progress=False)
        while not answer.readline().startswith(b"event: early"):
            pass
        answer.close()
        waiting.close()


# ---- points


def test_points_are_posted(store: Store, call: Caller) -> None:
    status, report = call.json("POST", NEW, points(1, 2) + "nonsense\n")
    assert (status, report) == (
        200,
        {"stream": "p", "status": "ingested", "rows": 2, "rejected": 1, "reasons": {"not JSON": 1}, "error": None},
    )
    assert call.json("POST", OLD, json.dumps([{"k": "b", "t": 7}, {"k": "b", "t": 8}]))[1]["rows"] == 2
    assert call.json("POST", OLD, gzip.compress(points(9).encode()), content_encoding="GZIP")[1]["rows"] == 1
    assert count(store) == 5


def test_an_idempotency_key_counts_once_for_ever(store: Store, call: Caller) -> None:
    assert call.json("POST", NEW, points(1), idempotency_key="x")[1]["status"] == "ingested"
    again = call.json("POST", NEW, points(1, 2), idempotency_key="x")
    assert (again[0], again[1]["status"], again[1]["rows"]) == (200, "already ingested", 0)
    assert call.json("POST", NEW, points(1), idempotency_key="y")[1]["rows"] == 1
    # Without a key the bytes are the key, as those of a file are.
    assert [call.json("POST", OLD, points(3))[1]["status"] for _ in range(2)] == ["ingested", "already ingested"]
    assert count(store) == 3


def test_many_at_once(store: Store, call: Caller) -> None:
    call("POST", NEW, points(0))
    wrong: list[Any] = []

    def post(n: int) -> None:
        for i in range(5):
            for _ in range(2):  # each twice
                status, report = call.json("POST", OLD, points(100 * n + i + 1), idempotency_key=f"{n} {i}")
                if status != 200 or report["rows"] > 1:
                    wrong.append(report)

    threads = [threading.Thread(target=post, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert count(store) == 41


@pytest.mark.parametrize(
    ("path", "body", "headers", "status", "said"),
    [
        (NEW, "", {}, 422, "the body is empty"),
        (OLD, points(1), {}, 422, "the stream p is new: say which columns are its key and its time"),
        (NEW, "nonsense", {}, 422, "its first line has no columns 'k' and 't'"),
        (f"{NEW}&format=ndjson", "nonsense", {}, 422, "nothing could be read"),
        (f"{NEW}&kye=k", points(1), {}, 400, "there is no parameter 'kye'; did you mean 'key'"),
        (f"{NEW}&key=k", points(1), {}, 400, "a parameter is given twice"),
        (NEW, points(1), {"idempotency_key": '""'}, 400, "the Idempotency-Key is empty"),
        (NEW, points(1), {"content_encoding": "br"}, 415, "Content-Encoding is gzip or zstd"),
        ("/api/v1/streams/a%2Fb?key=k&time=t", points(1), {}, 404, "Not Found"),
        ("/api/v1/nothing", points(1), {}, 404, "Not Found"),
        ("/api/v1/streams/%00x?key=k&time=t", points(1), {}, 400, "stream name"),
        (f"/api/v1/streams/{'n' * 3000}?key=k&time=t", points(1), {}, 400, "stream name"),
    ],
)
def test_posts_that_are_refused(
    call: Caller, path: str, body: str, headers: dict[str, str], status: int, said: str
) -> None:
    found, answer_headers, text = call("POST", path, body, **headers)
    problem = json.loads(text)
    assert (found, problem["status"]) == (status, status)
    assert said in problem["detail"]
    assert answer_headers["content-type"].startswith("application/problem+json")


def test_a_body_that_is_too_large(store: Store, call: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(points_routes, "MOST_BYTES", 1000)
    status, problem = call.json("POST", NEW, points(*range(100)))
    assert (status, problem["detail"]) == (413, "a body has at most 1,000 bytes: send the points in several requests")
    assert store.streams() == []


def test_a_body_that_does_not_come(store: Store, call: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(points_routes, "PATIENCE", 0.2)
    connection = http.client.HTTPConnection("127.0.0.1", call.port, timeout=30)
    connection.putrequest("POST", NEW)
    connection.putheader("content-length", "100")
    connection.endheaders()
    connection.send(b"{")
    assert connection.getresponse().status == 408
    connection.close()
    assert store.streams() == []


def test_a_column_of_another_type(store: Store, call: Caller) -> None:
    call("POST", NEW, '{"k": "a", "t": 1, "v": 1}')
    status, problem = call.json("POST", "/api/v1/streams/p?key=other", '{"k": "a", "t": 2}')
    assert status == 409
    assert "key" in problem["detail"]


def test_streams(store: Store, call: Caller) -> None:
    assert call.json("GET", "/api/v1/streams") == (200, {"streams": []})
    call("POST", NEW, '{"k": "a", "t": 1, "v": 1.5}')
    (info,) = call.json("GET", "/api/v1/streams")[1]["streams"]
    assert (info["name"], info["key"], info["points"], info["columns"]) == ("p", "k", 1, {"v": "float64"})
    assert (info["first"], info["last"]) == ("1970-01-01T00:00:01.000000Z", "1970-01-01T00:00:01.000000Z")
    assert call.json("GET", OLD) == (200, info)
    assert call.json("GET", "/api/v1/streams/q")[0] == 404
    assert call("DELETE", OLD)[0] == 405


# ---- published queries


@pytest.fixture
def published(store: Store, call: Caller) -> Store:
    call("POST", NEW, points(1, 3_700) + points(2, key="b"))
    metric = df.stream("p").filter(df.time() >= df.param("after", "1970-01-01")).group_by("k").agg(n=df.count())
    store.publish(metric, "counts", description="points of each")
    return store


def test_answers(published: Store, call: Caller) -> None:
    (query,) = call.json("GET", "/api/v1/queries")[1]["queries"]
    assert (query["name"], query["version"], query["streams"]) == ("counts", 1, ["p"])
    assert [p["name"] for p in query["parameters"]] == ["after"]
    path = "/api/v1/queries/counts/answer"
    status, headers, text = call("GET", path)
    assert (status, json.loads(text)["rows"]) == (200, [["a", 2], ["b", 1]])
    assert call("GET", path, if_none_match=headers["etag"])[0] == 304
    assert call("GET", f"{path}?format=csv")[2].decode().splitlines() == ["k,n", "a,2", "b,1"]
    assert call("GET", f"{path}?format=csv", if_none_match=headers["etag"])[0] == 200
    lines = call("GET", f"{path}?format=ndjson&until=1970-01-01T01:00:00Z")[2].decode().splitlines()
    assert [json.loads(line) for line in lines] == [{"k": "a", "n": 1}, {"k": "b", "n": 1}]
    after = call.json("GET", f"{path}?param.after=1970-01-01T01:00:00Z")[1]
    assert after["rows"] == [["a", 1]]
    call("POST", OLD, points(5, key="b"))
    assert call("GET", path, if_none_match=headers["etag"])[0] == 200


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/api/v1/queries/count/answer", 404, "there is no published query 'count'; did you mean 'counts'"),
        ("/api/v1/queries/counts@7/answer", 400, "7"),
        ("/api/v1/queries/counts/answer?format=xml", 400, "there is no format 'xml'"),
        ("/api/v1/queries/counts/answer?sinse=1", 400, "there is no parameter 'sinse'; did you mean 'since'"),
        ("/api/v1/queries/counts/answer?since=1&since=2", 400, "'since' is given twice"),
        ("/api/v1/queries/counts/answer?since=nonsense", 400, "since"),
        ("/api/v1/queries/counts/answer?param.x=1", 400, "x"),
        ("/api/v1/queries/counts/changes?mode=table", 400, "the mode is changes or final"),
        ("/api/v1/queries/counts/changes?mode=final", 400, "needs rows that end"),
        ("/api/v1/queries/counts/changes?every=soon", 400, "every"),
        ("/api/v1/queries/counts/changes?every=1us", 400, "every is at least 100ms"),
        ("/api/v1/queries/counts/changes?since=9999-12-31", 400, "since"),
        ("/api/v1/queries/counts/changes?trigger=5s", 400, 'the trigger is JSON such as {"rows": 1000}'),
        ("/api/v1/queries/counts/changes?trigger=%7B%22row%22:5%7D", 400, "no condition 'row'; did you mean 'rows'"),
        ("/api/v1/queries/counts/changes?trigger=%7B%22watermark%22:true%7D", 400, "needs rows that end"),
    ],
)
def test_questions_that_are_refused(published: Store, call: Caller, path: str, status: int, said: str) -> None:
    found, problem = call.json("GET", path)
    assert found == status
    assert said in problem["detail"]


def test_changes_are_sent_as_they_come(published: Store, call: Caller) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", call.port, timeout=30)
    connection.request("GET", "/api/v1/queries/counts/changes?every=100ms")
    answer = connection.getresponse()
    assert answer.getheader("content-type", "").startswith("text/event-stream")

    def change() -> tuple[str, Any]:
        event, data, end = (answer.readline().decode().rstrip() for _ in range(3))
        assert end == ""
        return event, json.loads(data.removeprefix("data: "))

    assert [change()[1]["new"] for _ in range(2)] == [{"k": "a", "n": 2}, {"k": "b", "n": 1}]
    call("POST", OLD, points(5, key="b"))
    event, data = change()
    assert (event, data["old"]["n"], data["new"]["n"]) == ("event: early", 1, 2)
    connection.close()


def test_a_connection_that_waits_hears_that_it_is_alive(
    published: Store, call: Caller, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(query_routes, "_SILENCE", 0.2)
    connection = http.client.HTTPConnection("127.0.0.1", call.port, timeout=30)
    connection.request("GET", "/api/v1/queries/counts/changes?every=1h")
    answer = connection.getresponse()
    lines = [answer.readline() for _ in range(7)]
    assert lines[-1] == b": still here\n"
    connection.close()
    assert call("HEAD", "/api/v1/queries/counts/changes")[0] == 200


def test_an_error_while_changes_are_sent(published: Store, call: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", call.port, timeout=30)
    connection.request("GET", "/api/v1/queries/counts/changes?every=100ms")
    answer = connection.getresponse()
    for _ in range(6):
        answer.readline()

    def broken(self: object) -> None:
        raise QueryError("the store is gone")

    monkeypatch.setattr(Follower, "step", broken)
    assert [answer.readline() for _ in range(2)] == [b"event: error\n", b'data: {"detail": "the store is gone"}\n']
    connection.close()


# ---- who may ask


def test_names_of_the_server(store: Store, call: Caller) -> None:
    for host in ("localhost", "127.0.0.1:8420", "[::1]:8420"):
        assert call("GET", "/healthz", host=host)[0] == 200
    for host in ("evil.example", "127.0.0.1.evil.example", "", "["):
        assert call("GET", "/api/v1/streams", host=host)[0] in (400, 421)
    with served(store, hosts={"Antfold.Example"}) as other:
        assert other("GET", "/healthz", host="antfold.example:443")[0] == 200


def test_pages_of_other_sites(store: Store, call: Caller) -> None:
    assert call("POST", NEW, points(1), origin="https://evil.example")[0] == 403
    assert call("POST", NEW, points(1), origin="null")[0] == 403
    assert store.streams() == []
    assert call("POST", NEW, points(1), origin=f"http://127.0.0.1:{call.port}")[0] == 200
    assert call("GET", "/api/v1/streams", origin="http://[")[0] == 403
    assert call("GET", "/api/v1/streams", sec_fetch_site="cross-site")[0] == 403
    assert "access-control-allow-origin" not in call("GET", "/api/v1/streams")[1]


def test_pages_that_are_allowed(store: Store) -> None:
    """As a browser asks (Fetch standard): first whether it may, then with the token; and it may read the answer."""
    token = "0123456789abcdef"
    with served(store, origins=("https://dash.example/",), token=token) as call:
        page = {"origin": "https://dash.example"}
        status, headers, _ = call("OPTIONS", NEW, **page, access_control_request_method="POST")
        assert (status, headers["access-control-allow-origin"]) == (204, "https://dash.example")
        assert "idempotency-key" in headers["access-control-allow-headers"]
        status, headers, _ = call("POST", NEW, points(1), **page, authorization=f"Bearer {token}")
        assert (status, headers["access-control-allow-origin"], headers["vary"]) == (200, page["origin"], "origin")
        assert call("GET", "/api/v1/streams", **page)[:2][0] == 401
        assert call("OPTIONS", NEW, origin="https://evil.example")[0] == 403


def test_a_token(store: Store) -> None:
    with served(store, token="0123456789abcdef") as call:
        assert call("GET", "/healthz")[:1] == (200,)
        for given in ({}, {"authorization": "Bearer 0123456789abcdeg"}, {"authorization": "0123456789abcdef"}):
            status, headers, _ = call("GET", "/api/v1/streams", **given)
            assert (status, headers["www-authenticate"]) == (401, "Bearer")
        assert call("GET", "/api/v1/streams", authorization="Bearer 0123456789abcdef")[0] == 200


def test_read_only(store: Store) -> None:
    with served(store, read_only=True) as call:
        assert call("POST", NEW, points(1))[0] == 405
        assert call("GET", "/api/v1/streams")[0] == 200


def test_an_error_of_ours_shows_nothing(store: Store, call: Caller, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> None:
        raise RuntimeError("a secret")

    monkeypatch.setattr(store, "streams", broken)
    status, _, text = call("GET", "/api/v1/streams")
    assert status == 500
    assert b"secret" not in text
