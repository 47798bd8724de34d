"""Clients and workers of different versions: one apart they work together, further apart the error says what to update.

``protocol_5.json`` are messages of version 5 as they were sent; see ``recorded_messages.py``.
"""

from __future__ import annotations

import base64
import json
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dataflow.times.zones import TZDATA_VERSION
from runtime import Store
from runtime.errors import OtherVersion
from runtime.fleet import Fleet, Kind, Reply, Rules, worker
from runtime.fleet import message_versions as protocol
from runtime.fleet import messages as m
from runtime.fleet.fleet import batched, relay_fields
from runtime.fleet.relay import relay, worker_of
from runtime.fleet.worker import answer
from runtime.query.task import state_bytes
from runtime.query.task.task import Task
from tests.runtime.copied_stores import copy_of
from tests.runtime.fleet.recorded_messages import METRIC, Recorded, recorded, tasks
from tests.simulator.workers import Faults, LambdaDouble

QUICK = Rules(base=0.001, cap=0.01)
FORMER, OWN = protocol.OLDEST, protocol.PROTOCOL


@pytest.fixture
def former(tmp_path: Path) -> Recorded:
    return recorded(FORMER, tmp_path / "store", TZDATA_VERSION)


@pytest.fixture(scope="module")
def million(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of enough points for more than one task."""
    folder = tmp_path_factory.mktemp("million")
    i = np.arange(1_000_000)
    columns = {"device": i % 300, "ts": 1_700_000_000 + i, "status": np.array(["up", "down"])[i % 2], "x": i}
    with Store(folder) as store:
        store.ingest("s", columns, key="device", time="ts", unit="s", progress=False)
    return folder


@pytest.fixture
def store(million: Path, tmp_path: Path) -> Store:
    return copy_of(million, tmp_path / "own")


def sent(message: dict[str, Any]) -> Reply:
    return Reply(200, json.dumps(message).encode())


def local(payload: bytes) -> Reply:
    return sent(answer(json.loads(payload)))


def same_state(mine: dict[str, Any], theirs: dict[str, Any], request: str, their_request: str) -> None:
    """The states of two replies have the same bits, but for the digests of the kernels."""
    a, b = (
        state_bytes.unpack(base64.b64decode(reply["state"]), reply["task"], digest).groups
        for reply, digest in ((mine, request), (theirs, their_request))
    )
    assert a is not None
    assert b is not None
    assert a.strings == b.strings
    np.testing.assert_array_equal(a.keys, b.keys)
    for one, other in zip(a.states, b.states, strict=True):
        assert list(one) == list(other)
        for name in one:
            assert one[name].dtype == other[name].dtype
            np.testing.assert_array_equal(one[name], other[name])


def test_a_worker_serves_the_version_before(former: Recorded) -> None:
    found = answer(former.task)
    assert found.keys() == former.reply.keys(), found
    assert found["version"] == FORMER
    same_state(found, former.reply, former.task["request"], former.reply_request)


def test_a_relay_serves_the_version_before(former: Recorded) -> None:
    found = relay(former.batch, local, 300.0)
    assert found.keys() == former.batch_reply.keys(), found
    assert (found["version"], found["tasks"]) == (FORMER, former.batch_reply["tasks"])
    same_state(found, former.batch_reply, former.batch["request"], former.batch_reply_request)


def test_replies_of_the_version_before_are_read(former: Recorded, tmp_path: Path) -> None:
    objects = Store(tmp_path / "other", create=True).objects
    work = Task.from_bytes(json.dumps(former.task["task"]).encode())
    vars(work)["request_digest"] = former.reply_request
    assert m.read_reply(sent(former.reply), work, objects, None, FORMER).kind is Kind.DONE
    assert m.read_reply(sent(former.refusal), work, objects, None, FORMER).kind is Kind.REFUSED
    # What a worker of that version says to a newer client is how the client finds out.
    told = m.read_reply(sent(former.stranger), work, objects)
    assert (told.kind, told.speaks) == (Kind.VERSION, FORMER)


@pytest.mark.parametrize("behind", [1, 2, 3])
@pytest.mark.parametrize("serve", [answer, lambda event: relay(event, local, 300.0)], ids=["worker", "relay"])
def test_older_clients_are_told_in_their_own_version(serve: Callable[[Any], Any], behind: int) -> None:
    found = serve({"version": FORMER - behind, "task": {}})
    assert found["version"] == FORMER - behind
    assert found["error"]["type"] == "OtherVersion"
    assert "update antfold here (pip install -U antfold)" in found["error"]["message"]
    assert f"in version {FORMER - behind} of the messages" in found["error"]["message"]
    assert f"reads {FORMER} and {OWN}" in found["error"]["message"]


@pytest.mark.parametrize("version", [OWN + 1, OWN + 7, None, "6", True, 6.5, [], 10**400], ids=str)
def test_newer_clients_are_told_to_deploy(version: Any) -> None:
    found = answer({"version": version})
    assert found["version"] == OWN
    assert "update the deployment (dataflow deploy)" in found["error"]["message"]
    assert len(found["error"]["message"]) < 300


def worker_of_version(version: int, calls: list[int]) -> Callable[[bytes], Reply]:
    """A worker that reads one version, and says so as version 5 did."""

    def invoke(payload: bytes) -> Reply:
        event = json.loads(payload)
        calls.append(event["version"])
        if event["version"] == version and protocol.is_spoken(version):
            return sent(answer(event))
        error = {"type": "FormatError", "message": f"expected a task of version {version}: update this worker"}
        return sent({"version": version, "task": "", "error": error})

    return invoke


def test_a_client_asks_older_workers_again(store: Store) -> None:
    calls: list[int] = []
    fleet = Fleet(worker_of_version(FORMER, calls), QUICK)
    result = store.query(METRIC, executor=fleet, workers=4, progress=False)
    assert result.proof.result == store.query(METRIC, progress=False).proof.result
    assert calls.count(FORMER) == 4
    assert 1 <= calls.count(OWN) <= 4
    assert result.cost is not None
    assert result.cost.invocations == len(calls)  # those that were refused are billed, too


@pytest.mark.parametrize("allow_partial", [False, True])
@pytest.mark.parametrize(
    ("version", "says"),
    [
        (FORMER - 1, r"replies in version 4 .* reads 5 and 6: update the deployment \(dataflow deploy\)"),
        (OWN + 1, r"replies in version 7 .* reads 5 and 6: update antfold here \(pip install -U antfold\)"),
    ],
)
def test_two_versions_apart_is_final(store: Store, version: int, says: str, allow_partial: bool) -> None:
    calls: list[int] = []
    fleet = Fleet(worker_of_version(version, calls), QUICK)
    with pytest.raises(OtherVersion, match=r"^task 0\.\d of s was refused: .*" + says):
        store.query(METRIC, executor=fleet, workers=4, progress=False, allow_partial=allow_partial)
    assert len(calls) <= 4  # never repeated


def test_it_is_final_behind_a_relay_too(store: Store) -> None:
    calls: list[int] = []
    fives = worker_of_version(FORMER - 1, calls)
    fleet = Fleet(
        fives, QUICK, relay=lambda payload: sent(relay(json.loads(payload), fives, 300.0)), relays=QUICK, direct=1
    )
    with pytest.raises(OtherVersion, match="update the deployment"):
        store.query(METRIC, executor=fleet, workers=4, progress=False)
    assert len(calls) <= 4


def as_client_of(version: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this client be of another version; what it sends is read from its requests."""
    monkeypatch.setattr(protocol, "OLDEST", version - 1)
    monkeypatch.setattr(protocol, "PROTOCOL", version)


def test_a_client_one_version_ahead_is_served(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """As above, but with the worker's own code for a version that it does not know yet."""
    task = next(tasks(store))
    event = json.loads(m.request(task, "spill/x", store.objects, {"digests": [], "release": "9"}, OWN + 1))
    told = answer(event)
    as_client_of(OWN + 1, monkeypatch)
    outcome = m.read_reply(sent(told), task, store.objects, None, OWN + 1)
    assert outcome.speaks == OWN
    as_client_of(OWN + 2, monkeypatch)
    outcome = m.read_reply(sent(told), task, store.objects, None, OWN + 2)
    assert (outcome.kind, outcome.speaks) == (Kind.VERSION, None)
    assert "update the deployment (dataflow deploy)" in outcome.detail


class Mixed:
    """The Lambda double as workers on threads: every second invocation meets a worker of the version before."""

    def __init__(self, seed: int, faults: Faults, former: Callable[[bytes], Reply]) -> None:
        self.double = LambdaDouble(seed, self._answer, faults)
        self.former, self.lock, self.old, self.served = former, threading.Lock(), 0, [0, 0]

    def _answer(self, event: dict[str, Any]) -> dict[str, Any]:
        self.old = not self.old
        reply = json.loads((self.former if self.old else local)(json.dumps(event).encode()).payload)
        self.served[self.old] += "state" in reply
        return dict(reply)

    def __call__(self, payload: bytes) -> Reply:
        with self.lock:
            replies = self.double.invoke(payload, time.monotonic())
        return replies[0][1] if replies else Reply(0)


@pytest.mark.parametrize("seed", range(5))
def test_half_of_the_workers_one_version_behind(store: Store, seed: int) -> None:
    """With the faults of the story: the same bits, from workers of both versions."""
    faults = Faults(failed=0.2, truncated=0.01, throttled=0.3, seconds=1e-6)
    mixed = Mixed(seed, faults, worker_of_version(FORMER, []))
    patient = Rules(base=0.001, cap=0.01, failures=20)
    result = store.query(METRIC, executor=Fleet(mixed, patient), workers=12, progress=False)
    assert result.proof.result == store.query(METRIC, progress=False).proof.result
    assert min(mixed.served) > 0


def with_kernels(digest: str, payload: bytes) -> Reply:
    """A worker of the version before whose kernels are others: it does not compare, so its state names them."""
    event = json.loads(payload)
    if event["version"] != FORMER:
        return worker_of_version(FORMER, [])(payload)
    reply = answer(event)
    partial = state_bytes.unpack(base64.b64decode(reply["state"]), reply["task"], event["request"])
    other = state_bytes.pack(replace(partial, kernels=(digest,)), event["request"])
    return sent({**reply, "state": base64.b64encode(other).decode()})


@pytest.mark.parametrize("seed", range(3))
def test_kernels_of_two_versions_are_not_mixed(store: Store, seed: int) -> None:
    """The proof names the kernels of this version only, although half of the replies came from others."""
    mixed = Mixed(seed, Faults(seconds=1e-6), lambda payload: with_kernels("0" * 64, payload))
    patient = Rules(base=0.001, cap=0.01, failures=20)
    expected = store.query(METRIC, progress=False).proof
    found = store.query(METRIC, executor=Fleet(mixed, patient), workers=8, progress=False).proof
    assert (found.result, found.kernels) == (expected.result, expected.kernels)
    assert mixed.served[True] > 0


def test_a_worker_refuses_the_kernels_of_another_release(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """It computes nothing; the client tries a few more workers, and then says which side to update."""
    calls: list[int] = []

    def invoke(payload: bytes) -> Reply:
        calls.append(1)
        with monkeypatch.context() as patch:
            patch.setattr(worker, "kernel_digests", lambda plan: ("0" * 64,))
            patch.setattr(worker, "run", lambda *_: pytest.fail("it computed"))
            patch.setattr(worker, "release", lambda: "0.0.1")
            return local(payload)

    with pytest.raises(OtherVersion, match=r"the worker \(antfold 0\.0\.1\) would .* update the deployment"):
        store.query(METRIC, executor=Fleet(invoke, QUICK), workers=1, progress=False, allow_partial=True)
    assert len(calls) == 1 + QUICK.failures


@pytest.mark.parametrize(
    ("client", "other", "says"),
    [
        ("0.9.0", "0.10.0", protocol.CLIENT),
        ("0.10.0", "0.9.0", protocol.DEPLOYMENT),
        ("0.9.0", "0.9.0", "use one release"),
        ("0.9.0", None, "use one release"),
        ("unknown", "0.9.0", "use one release"),
        (["x"], {"y": 1}, "use one release"),
    ],
)
def test_which_side_is_older(client: object, other: object, says: str) -> None:
    assert says in protocol.kernels_differ(client, other)


def test_a_relay_asks_the_workers_of_its_caller(store: Store) -> None:
    """During an update it may be of another version than the caller; no request can name another function."""
    fleet = Fleet(local, function="fleet-worker:7")
    (batch,) = batched(list(tasks(store)), 1)
    fields = relay_fields(fleet, 1, False, "spill/q/stop", {})
    event = json.loads(m.request(batch, "spill/x", store.objects, fields))
    own = "arn:aws:lambda:eu-west-1:1:function:fleet-worker:8"
    assert worker_of(event, own) == "fleet-worker:7"
    for named in ("fleet-query:7", "other", "arn:aws:lambda:eu-west-1:2:function:other:1", None, 5):
        assert worker_of({**event, "function": named}, own) == own
