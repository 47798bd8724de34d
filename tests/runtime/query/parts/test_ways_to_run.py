"""The same bits on threads, an executor and a fleet, by name with kept states, and for every split of the work."""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import dataflow as df
from runtime import Store
from runtime.errors import QueryError
from runtime.fleet import Fleet, Reply, Rules, fleet_query
from runtime.fleet.worker import answer
from runtime.query.parts.one_moment import OneMoment
from runtime.query.parts.part_answers import answer_of
from runtime.query.parts.whole import with_answers
from runtime.query.plan import make_tasks
from runtime.query.plan.prepare import Request, prepare
from runtime.result.estimate import BudgetExceeded

START = 19_800 * 86_400_000_000
HOUR = 3_600_000_000
S = df.stream("s")
TOTALS = S.group_by("device").agg(total=df.sum("x"), last=df.last("status"))
METRICS = {
    "joined": S.join(TOTALS, on="device").group_by("status", "last").agg(share=df.sum(df.col("x") / df.col("total"))),
    "beside": df.join(
        S.state_duration("status").group_by("device").agg(up=df.share_of_time(df.col("status") == "up")),
        TOTALS,
        on="device",
    ).filter(df.col("up") > 0.4),
    "above": S.filter(df.col("x") > df.mean("x").over("device", df.time().truncate("1d")))
    .state_duration("status")
    .group_by("device")
    .agg(n=df.count(), time=df.duration()),
}


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    monkeypatch.setattr(make_tasks, "_SMALL", 50)
    monkeypatch.setattr(make_tasks, "_FILE", 5)
    with Store(tmp_path / "store", create=True) as store:
        ingest(store, 0, 1_000)
        ingest(store, 1_000, 2_000)
        yield store


def ingest(store: Store, first: int, end: int) -> None:
    i = np.arange(first, end)
    rng = np.random.default_rng(first)
    columns = {
        "device": np.array([f"d{j}" for j in i % 37]), "ts": START + i * HOUR // 20, "x": rng.random(len(i)),
        "status": np.array(["up", "down"])[rng.integers(0, 2, len(i))],
    }  # fmt: skip
    store.ingest("s", columns, key="device", time="ts", unit="us", progress=False, compact=False)


def local(payload: bytes) -> Reply:
    return Reply(200, json.dumps(answer(json.loads(payload))).encode())


FLEET = Fleet(local, Rules(base=0.001, cap=0.01))


@pytest.mark.parametrize("name", METRICS)
def test_every_way_gives_the_same_bits(store: Store, name: str) -> None:
    metric = METRICS[name]
    alone = store.query(metric, workers=1, progress=False)
    assert len(alone) > 3
    with ThreadPoolExecutor(2) as pool:
        ways: list[dict[str, Any]] = [
            {"workers": 4},
            {"executor": pool, "workers": 3},
            {"executor": FLEET, "workers": 4},
        ]
        for way in ways:
            found = store.query(metric, progress=False, **way)
            assert found.proof.result == alone.proof.result
            assert found.proof.parts
            assert all(part.proof.tasks > 1 for part in found.proof.parts)
    store.compact("s")
    assert store.query(metric, progress=False).proof.result == alone.proof.result


@pytest.mark.parametrize("name", METRICS)
def test_by_name_kept_states_depend_on_the_answers_inside(store: Store, name: str) -> None:
    store.publish(METRICS[name], name)
    for count in range(3):
        by_name = store.query(name, progress=False)
        assert by_name.proof.result == store.query(METRICS[name], progress=False).proof.result
        again = store.query(name, progress=False)
        assert again.proof.result == by_name.proof.result
        assert again.proof.files_cached
        assert again.proof.parts[0].proof.files_cached
        assert store.unread(name) >= 0
        ingest(store, 2_000 + 500 * count, 2_500 + 500 * count)


def test_states_of_one_answer_are_kept_whatever_stands_beside_it(store: Store) -> None:
    by_day = S.group_by("device").agg(n=df.count())
    store.ingest("other", {"device": ["d1"], "ts": [START]}, key="device", time="ts", unit="us", progress=False)
    store.publish(df.join(by_day, df.stream("other").group_by("device").agg(m=df.count()), on="device"), "both")
    store.query("both", progress=False)
    store.ingest("other", {"device": ["d1"], "ts": [START + 1]}, key="device", time="ts", unit="us", progress=False)
    found = store.query("both", progress=False)
    assert found.proof.files_cached == found.proof.files_planned
    assert max(m for m in found["m"] if m is not None) == 2  # type: ignore[type-var]
    states, _ = store.kept_of("other")
    assert states


def test_rows_of_answers_that_only_the_merge_reads_stay_here(store: Store) -> None:
    moment = OneMoment(store.catalogue, ["s"])
    request = moment.ranged(Request(METRICS["beside"].steps, {}, None, None))
    table = answer_of(store.query(TOTALS, progress=False), "here")
    prepared = prepare(moment, with_answers(request, lambda part, where: table))
    (task, *_) = make_tasks.make_tasks(prepared, store.url, 1)
    rows = [s["table"]["rows"] for s in (task.graph["steps"][-2], prepared.graph["steps"][-2])]
    assert rows == [0, 37]


def test_a_fleet_refuses_answers_that_are_too_long_to_travel(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fleet_query, "MOST_ANSWERS", 100)
    with pytest.raises(QueryError, match=r"answers .* of [0-9,]+ bytes, and its workers take 100: run it without"):
        store.query(METRICS["joined"], executor=FLEET, progress=False)
    assert len(store.query(METRICS["beside"], executor=FLEET, progress=False))


def test_the_budget_is_for_all_parts(store: Store) -> None:
    with pytest.raises(BudgetExceeded):
        store.query(METRICS["joined"], executor=FLEET, progress=False, budget=0.0)
    found = store.query(METRICS["joined"], executor=FLEET, workers=2, progress=False, budget=1.0)
    assert found.cost is not None
    assert found.cost.invocations == 4
