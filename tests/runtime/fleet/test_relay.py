"""Relays on threads: the same results, their costs, and how they end."""

from __future__ import annotations

import json
import random
import re
import threading
import time
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import dataflow as df
from runtime import PartialResult, Store
from runtime.errors import QueryError
from runtime.fleet import Fleet, Kind, Reply, Rules, TaskFailed
from runtime.fleet import messages as m
from runtime.fleet.fleet import batched, relay_fields
from runtime.fleet.relay import inner_fleet, is_batch, relay, together
from runtime.fleet.rules import TaskBatch
from runtime.fleet.worker import answer
from runtime.query.plan import make_tasks as splitting
from runtime.query.plan.make_tasks import make_tasks
from runtime.query.plan.prepare import Request, prepare
from runtime.query.task import state_bytes
from runtime.query.task.task import Task, run
from runtime.result.estimate import BudgetExceeded

START = 19_800 * 86_400_000_000
POINTS = df.stream("s")
METRIC = POINTS.group_by("status").agg(n=df.count(), d=df.count_distinct("device"))
EVERYTHING = POINTS.group_by("status", "status2").agg(
    n=df.count(),
    total=df.sum("x"),
    mean=df.mean("x"),
    spread=df.variance("x"),
    least=df.min("x"),
    first=df.first("x"),
    last=df.last("status"),
    middle=df.median("x"),
    devices=df.count_distinct("status2"),
    about=df.approx_distinct("device"),
    top=df.top_k("status2", 3),
    shape=df.histogram("x", width=10.0),
    usual=df.mode("status2"),
    hottest=df.max_by("device", by="x"),
    some=df.collect("x", first=4),
    drift=df.slope("x", df.time()),
)
ROWS = POINTS.filter(df.col("x") > 95).select("x", "status")
KEYS = POINTS.state_duration("status", hold="1h").group_by("device").agg(held=df.duration())
QUICK = Rules(base=0.001, cap=0.01, hedge_after=2.0)
"""Never hedged: how many are invoked would depend on how busy the machine is."""
WHOLE = 1 << 64


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    store = Store(tmp_path_factory.mktemp("relay") / "store")
    i = np.arange(20_000)
    columns = {
        "device": np.array([f"d{k % 300}" for k in i]),
        "ts": START + i * 10_000_000,
        "status": np.array(["up", "down", "off"])[(i * i) % 3],
        "status2": np.array([f"s{k % 17}" for k in i]),
        "x": (i * 7919 % 1000) / 10,
    }
    store.ingest("s", columns, key="device", time="ts", unit="us", progress=False)
    return store


def tasks_of(store: Store, metric: Any = METRIC, count: int = 12) -> list[Task]:
    prepared = prepare(store.catalogue, Request(metric.steps, {}, None, None))
    (task,) = make_tasks(prepared, store.url, 1)
    edges = [WHOLE * k // count for k in range(count + 1)]
    return [replace(task, id=f"0.{k}", shard=(edges[k], edges[k + 1])) for k in range(count)]


def local(payload: bytes) -> Reply:
    """A worker in this process."""
    return Reply(200, json.dumps(answer(json.loads(payload))).encode())


def relayed(payload: bytes) -> Reply:
    """A relay in this process."""
    return Reply(200, json.dumps(relay(json.loads(payload), local, 300.0)).encode())


def two_levels(**more: Any) -> Fleet:
    given: dict[str, Any] = {
        "invoke": local,
        "rules": QUICK,
        "relay": relayed,
        "relays": replace(QUICK),
        "direct": 3,
        "batch": 4,
    }
    return Fleet(**{**given, **more})


def asked(store: Store, metric: Any, fleet: Fleet, monkeypatch: pytest.MonkeyPatch, **more: Any) -> Any:
    """The metric on a fleet, as 12 tasks however small the store is."""
    tasks = tasks_of(store, metric)
    with monkeypatch.context() as patched:
        patched.setattr(splitting, "make_tasks", lambda *_: tasks)
        return store.query(metric, executor=fleet, progress=False, **more)


@pytest.mark.parametrize("metric", [METRIC, EVERYTHING, ROWS, KEYS], ids=["groups", "all aggregates", "rows", "keys"])
def test_the_same_bits_by_way_of_relays(store: Store, metric: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = store.query(metric, workers=1, progress=False)
    payloads: list[dict[str, Any]] = []

    def invoke(payload: bytes) -> Reply:
        payloads.append(json.loads(payload))
        return relayed(payload)

    result = asked(store, metric, two_levels(relay=invoke), monkeypatch)
    assert result.proof.result == expected.proof.result
    assert result.proof.to_dict()["tasks"] == 12
    assert result.proof.to_dict()["complete"] is True
    assert len(payloads) == 3
    assert all(is_batch(payload) and len(payload["batch"]["tasks"]) == 4 for payload in payloads)
    assert result.cost is not None
    assert (result.cost.invocations, result.cost.silent) == (15, 0)


@pytest.mark.parametrize("metric", [METRIC, EVERYTHING, ROWS, KEYS], ids=["groups", "all aggregates", "rows", "keys"])
def test_a_batch_has_one_form(store: Store, metric: Any) -> None:
    """In whatever order its tasks are answered, and however they were halved: the same bytes."""
    tasks = tasks_of(store, metric, 6)
    finer = [replace(t, id=f"{t.id}.{i}", shard=s) for t in tasks for i, s in enumerate(halves_of(t.shard))]
    batch = TaskBatch("b0", tuple(tasks))
    partials = [run(task, store.open_file) for task in tasks]
    expected = state_bytes.pack(together(batch, partials))
    split = [run(task, store.open_file) for task in finer]
    for seed in range(5):
        random.Random(seed).shuffle(partials)
        random.Random(seed).shuffle(split)
        assert state_bytes.pack(together(batch, partials)) == expected
        assert state_bytes.pack(together(batch, split)) == expected


def halves_of(shard: tuple[int, int]) -> list[tuple[int, int]]:
    middle = sum(shard) // 2
    return [(shard[0], middle), (middle, shard[1])]


def test_a_batch_travels(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    batch = batched(tasks_of(store), 2)[1]
    event = json.loads(m.request(batch, "spill/x/b1-0", store.objects, {"kernels": ["k"]}))
    assert m.read_batch(event["batch"]) == batch
    assert event["kernels"] == ["k"]
    assert len(event["batch"]["files"]) == 1
    monkeypatch.setattr(m, "_MAX_TASK", 10)
    stored = json.loads(m.request(batch, "spill/x/b1-1", store.objects))
    assert m.read_batch(json.loads(m.fetch(store.objects, stored["stored"]))) == batch


def test_what_workers_are_told_travels_along(store: Store) -> None:
    seen: list[Any] = []

    def invoke(payload: bytes) -> Reply:
        seen.append(json.loads(payload).get("kernels"))
        return local(payload)

    extra = relay_fields(two_levels(), 2, False, "spill/q/stop", {"kernels": [{"name": "k"}]})
    event = json.loads(m.request(batched(tasks_of(store), 3)[0], "spill/q/b0-0", store.objects, extra))
    assert (
        m.read_reply(
            Reply(200, json.dumps(relay(event, invoke, 60.0)).encode()), m.read_batch(event["batch"]), store.objects
        ).kind
        is Kind.DONE
    )
    assert seen == [[{"name": "k"}]] * 4


def test_deadlines_nest(store: Store) -> None:
    """Workers within the relay's time, that within what the caller waits, and that within the attempt."""
    fleet = two_levels(rules=Rules(), relays=Rules(attempt_seconds=630.0))
    event = relay_fields(fleet, 4, False, "", {})
    for left in (900.0, 300.0, 20.0, 0.0):
        inner = inner_fleet(event, local, left)
        assert inner.rules.attempt_seconds <= inner.rules.query_seconds <= max(0.0, left)
        assert inner.rules.query_seconds < 0.95 * fleet.relays.attempt_seconds
    assert inner_fleet(event, local, 900.0).rules.query_seconds == pytest.approx(588.5)
    assert inner_fleet(event, local, 300.0).rules.query_seconds == 290.0
    pace = inner_fleet(event, local, 900.0).pace
    assert (pace.limit, pace.rate, pace.burst) == (250.0, 250.0, 750.0)
    with pytest.raises(ValueError, match="numbers"):
        inner_fleet({**event, "rules": {"failures": "many"}}, local, 1.0)


def test_a_worker_that_never_answers_ends_its_relay_in_time(store: Store) -> None:
    leave = threading.Event()
    answered: list[bytes] = []

    def invoke(payload: bytes) -> Reply:
        leave.wait(120)
        answered.append(payload)
        return Reply(0)

    event = json.loads(
        m.request(
            batched(tasks_of(store), 3)[1],
            "spill/q/b0-0",
            store.objects,
            relay_fields(two_levels(), 2, False, "spill/q/stop", {}),
        )
    )
    sent = relay(event, invoke, 0.4)
    assert not answered  # it did not wait for them
    leave.set()
    outcome = m.read_reply(Reply(200, json.dumps(sent).encode()), m.read_batch(event["batch"]), store.objects)
    assert outcome.kind is Kind.TIME
    assert "tasks 0.4, 0.5, 0.6, 0.7 of 4 were not answered" in outcome.detail


def test_an_inner_failure_names_its_task(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def invoke(payload: bytes) -> Reply:
        if json.loads(payload)["task"]["id"] == "0.5":
            return Reply(200, b'{"errorType":"KeyError","errorMessage":"\'x\'"}', "Unhandled")
        return local(payload)

    fleet = two_levels(relay=lambda p: Reply(200, json.dumps(relay(json.loads(p), invoke, 300.0)).encode()))
    with pytest.raises(TaskFailed, match=r"^task 0\.5 of s failed \(failed, 7 times\): KeyError: 'x'; see the"):
        asked(store, METRIC, fleet, monkeypatch)
    partial = asked(store, METRIC, fleet, monkeypatch, allow_partial=True)
    assert isinstance(partial, PartialResult)
    assert len(partial.missing) == 1
    assert partial.missing[0].startswith("task 0.5: task 0.5 of s failed")
    assert not partial.proof.complete
    assert partial.proof.to_dict()["tasks"] == 12


def test_a_batch_of_which_all_tasks_fail(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def invoke(payload: bytes) -> Reply:
        return Reply(403, error="AccessDeniedException")

    fleet = two_levels(relay=lambda p: Reply(200, json.dumps(relay(json.loads(p), invoke, 300.0)).encode()))
    partial = asked(store, METRIC, fleet, monkeypatch, allow_partial=True)
    assert isinstance(partial, PartialResult)
    assert len(partial.missing) == 12
    assert len(partial) == 0


def test_a_large_state_of_a_relay_goes_by_way_of_the_store(store: Store) -> None:
    batch = batched(tasks_of(store), 3)[0]
    extra = relay_fields(two_levels(), 2, False, "spill/r/stop", {})
    event = json.loads(m.request(batch, "spill/r/b0-0", store.objects, extra))
    replies = [relay(event, local, 60.0, most=most) for most in (1 << 20, 10)]
    assert ["stored" in r for r in replies] == [False, True]
    outcomes = [m.read_reply(Reply(200, json.dumps(r).encode()), batch, store.objects) for r in replies]
    assert outcomes[0].digest == outcomes[1].digest != ""
    assert outcomes[1].used is not None
    assert outcomes[1].used.puts == 1


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        ({}, Kind.DONE),
        ({"tasks": []}, Kind.LOST),
        ({"failed": {"0.99": "unknown"}}, Kind.LOST),
        ({"failed": []}, Kind.LOST),
        ({"used": {"reported": -1}}, Kind.LOST),
        ({"used": {"reported": 1e999}}, Kind.LOST),
        ({"state": "AAAA"}, Kind.LOST),
        ({"version": 1}, Kind.VERSION),
        ({"error": {"type": "TaskFailed", "message": "task 0.1 of s failed"}}, Kind.REFUSED),
        ({"error": {"type": "QueryTimeout", "message": "late"}}, Kind.TIME),
        ({"error": {"type": "MemoryError", "message": ""}}, Kind.MEMORY),
    ],
)
def test_what_a_relay_may_say(store: Store, change: dict[str, Any], kind: Kind) -> None:
    batch = batched(tasks_of(store), 3)[0]
    extra = relay_fields(two_levels(), 2, False, "spill/r/stop", {})
    reply = relay(json.loads(m.request(batch, "spill/r/b0-0", store.objects, extra)), local, 60.0)
    assert m.read_reply(Reply(200, json.dumps({**reply, **change}).encode()), batch, store.objects).kind is kind


def test_another_version_is_refused(store: Store) -> None:
    assert relay({"version": 7}, local, 1.0)["error"]["type"] == "OtherVersion"
    assert relay(["x"], local, 1.0)["error"]["type"] == "OtherVersion"
    with pytest.raises(ValueError, match="without tasks"):
        m.read_batch({"id": "b", "files": [], "tasks": [], "shared": json.loads(tasks_of(store)[0].to_bytes())})


def test_who_is_interrupted_tells_the_relays(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Running relays start no more tasks, although they are unreachable."""
    monkeypatch.setattr("runtime.fleet.fleet._LOOK", 0.05)
    started, ended = [], threading.Event()
    relays: list[dict[str, Any]] = []

    def slow(payload: bytes) -> Reply:
        started.append(1)
        time.sleep(0.05)
        return Reply(429, reason="CallerRateLimitExceeded")

    def invoke(payload: bytes) -> Reply:
        event = json.loads(payload)
        if event["batch"]["id"] == "b0":
            while not started:
                time.sleep(0.01)
            raise KeyboardInterrupt
        relays.append(relay(event, slow, 60.0))
        if len(relays) == 2:
            ended.set()
        return Reply(0)

    with pytest.raises(KeyboardInterrupt):
        asked(store, METRIC, two_levels(relay=invoke), monkeypatch)
    assert ended.wait(10)
    assert [r["error"]["message"] for r in relays] == ["the query was cancelled by the caller"] * 2
    count = len(started)
    time.sleep(0.2)
    assert len(started) == count


def test_a_budget_refuses_before_anything_is_invoked(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[bytes] = []

    def invoke(payload: bytes) -> Reply:
        calls.append(payload)
        return relayed(payload) if is_batch(json.loads(payload)) else local(payload)

    fleet = two_levels(invoke=invoke, relay=invoke)
    before = sorted(o.path for o in store.objects.list(""))
    with pytest.raises(
        BudgetExceeded,
        match=r"would cost about \$\S+ \(12 tasks, .* GETs\) and its budget is \$1e-06: nothing was invoked; ask for",
    ):
        asked(store, METRIC, fleet, monkeypatch, budget=1e-6)
    assert calls == []
    assert sorted(o.path for o in store.objects.list("")) == before
    with pytest.raises(Exception, match="budget must be dollars, 0 or more, got nan"):
        asked(store, METRIC, fleet, monkeypatch, budget=float("nan"))
    result = asked(store, METRIC, fleet, monkeypatch, budget=0.10)
    assert 0 < result.cost.dollars < 0.10
    assert len(calls) == 3  # the relays' own invocations of workers do not go through this one


def test_explain_simulates_a_fleet(store: Store) -> None:
    plain, warm = store.explain(METRIC), store.explain(METRIC, fleet=200)
    cold = store.explain(METRIC, fleet=200, warm=False)
    assert warm.startswith(plain)
    line = (
        r"fleet  {}, 1 tasks \(x86_64, 1,769 MB\), simulated 5 times: \S+ s \(at worst \S+\), \$\S+, {} new workers, 0 "
    )
    assert re.search(line.format("warm", 0), warm.splitlines()[-3])
    assert re.search(line.format("cold", 1), cold.splitlines()[-3])
    assert re.fullmatch(r"  3 GETs of [\d,]+ bytes: 3 files", warm.splitlines()[-2])
    assert re.fullmatch(r"  most of the time: .*starting new workers \(\S+ s of \S+\).*", cold.splitlines()[-1])
    assert store.explain(METRIC, fleet=200) == warm
    with pytest.raises(QueryError, match="fleet must be at least 1 worker, got 0"):
        store.explain(METRIC, fleet=0)


def test_what_this_machine_computes_costs_nothing(store: Store) -> None:
    assert store.query(METRIC, progress=False, budget=0.0).cost is None


def test_a_batch_is_answered_whole_or_not_at_all(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """A relay that leaves tasks out, or names others, has not answered; halves of a task stand for it together."""
    (batch,) = batched(tasks_of(store, count=3), 1)
    event = json.loads(m.request(batch, "spill/x/b0-0", store.objects, relay_fields(two_levels(), 1, True, "stop", {})))
    sent = relay(event, local, 300.0)
    names = ["0.0", "0.1", "0.2"]
    assert sorted(sent["tasks"]) == names

    def kind(named: list[str], failed: dict[str, str] | None = None) -> Kind:
        changed = {**sent, "tasks": named, "failed": failed or {}}
        return m.read_reply(Reply(200, json.dumps(changed).encode()), batch, store.objects).kind

    assert kind(names) is kind(["0.2", "0.0", "0.1.1", "0.1.0.0", "0.1.0.1"]) is Kind.DONE
    assert kind(names, {"0.1": "bad"}) is Kind.DONE
    for wrong in (
        ["0.0", "0.1"],
        [*names, "0.3"],
        [*names, "0.0"],
        ["0.0", "0.1", "0.2.0"],
        ["0.0", "0.1", "0.2", "0.2.0"],
    ):
        assert kind(wrong) is Kind.LOST
    assert kind(["0.0", "0.1"], {"0.1": "bad"}) is Kind.LOST
    assert kind(["0.0"], {"0.0": "bad"}) is Kind.LOST  # all that it names failed
