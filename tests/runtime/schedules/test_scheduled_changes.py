"""Deliveries on a schedule: all changes come, under the same ids whatever fails, and another question begins anew."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import dataflow as df
from runtime import Store
from runtime.aws.access import Access
from runtime.aws.client import Client
from runtime.aws.retry import Budget
from runtime.errors import QueryError
from runtime.live import RowChange, applied
from runtime.live.deliveries import Deliverer
from runtime.live.sinks import sns_sink
from runtime.live.sinks.sink import SinkUnavailable
from runtime.live.sinks.sns_sink import SnsSink
from runtime.schedules import scheduled_changes
from runtime.schedules.scheduled_changes import ScheduledChanges, deliver_scheduled, delivery_name
from runtime.schedules.scheduled_run import Schedule, run_scheduled

ARN = "arn:aws:sns:eu-west-1:123456789012:t"
OTHER = "arn:aws:sns:eu-west-1:444455556666:other.fifo"
BY_MINUTE = df.stream("p").filter(df.col("n") >= df.param("least", default=0)).group_by(
    m=df.time().truncate("1m")
).agg(count=df.count(), top=df.max("n"))  # fmt: skip


class Topics:
    """All topics of SNS in memory. ``is_away`` is asked before each request: then it takes nothing."""

    def __init__(self) -> None:
        self.taken: list[tuple[str, dict[str, Any]]] = []
        self.is_away: Callable[[], bool] = lambda: False

    def publish_batch(self, TopicArn: str, PublishBatchRequestEntries: list[dict[str, Any]]) -> Any:  # noqa: N803
        if self.is_away():
            return {"Failed": [{"Id": e["Id"], "Code": "InternalError"} for e in PublishBatchRequestEntries]}
        self.taken += [(TopicArn, json.loads(entry["Message"])) for entry in PublishBatchRequestEntries]
        return {"Successful": [{"Id": entry["Id"]} for entry in PublishBatchRequestEntries], "Failed": []}

    def close(self) -> None:
        """Nothing is open."""

    def events(self, name: str, topic: str = ARN) -> list[dict[str, Any]]:
        """What came under a name, in the order of the ids; what came again must be the same."""
        found: dict[str, dict[str, Any]] = {}
        for arn, event in self.taken:
            if arn == topic and event["id"].startswith(f"{name}/"):
                assert found.setdefault(event["id"], event) == event
        assert len({event["id"].split("/")[1] for event in found.values()}) <= 1  # one epoch
        return sorted(found.values(), key=lambda event: tuple(map(int, event["id"].split("/")[2:])))

    def rows(self, name: str, topic: str = ARN) -> list[Any]:
        """What a receiver has that applies all changes."""
        changes = [
            RowChange(e["pane"], e["old"], e["new"], e["left"], e["place"], None, e["snapshot"], e["proof"], e["more"])
            for e in self.events(name, topic)
        ]
        return applied([], changes)


@pytest.fixture
def topics(monkeypatch: pytest.MonkeyPatch) -> Topics:
    found = Topics()

    def opened(address: str, settings: object) -> SnsSink:
        client = Client("sns", Access(), Budget(seconds=0))
        client._client = found
        return SnsSink(address.removeprefix("sns://"), client)

    monkeypatch.setattr(sns_sink, "open_sns_sink", opened)
    return found


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = Store(tmp_path / "store", create=True)
    put(store, *range(0, 1_500, 60))  # 25 rows: three requests
    store.publish(BY_MINUTE, "by_minute")
    return store


def put(store: Store, *times: int, n: int = 1) -> None:
    points = {"k": ["a"] * len(times), "t": list(times), "n": [n] * len(times)}
    store.ingest("p", points, key="k", time="t", unit="s", progress=False)


def run(store: Store, **fields: Any) -> ScheduledChanges:
    return deliver_scheduled(store, {"query": "by_minute", "deliver": ARN, **fields})


def answer(store: Store, query: str = "by_minute", **asked: Any) -> list[Any]:
    found: Any = store.query(query, progress=False, cache=False, **asked).to_dict()
    return [dict(zip(found["columns"], row, strict=True)) for row in found["rows"]]


def test_all_changes_come(store: Store, topics: Topics) -> None:
    """After each run, all that came is the answer, byte for byte; a run without news sends nothing."""
    first = run(store)
    assert (first.query, first.version, first.events, first.deliveries) == ("by_minute", 1, 25, 1)
    steps: list[Callable[[], object]] = [
        lambda: put(store, 1_500, 1_510),
        lambda: put(store, 65, 70, n=7),  # late
        lambda: store.undo("p", store.sources("p")[-1].entry.id),
        lambda: [put(store, 1_600 + n) for n in range(3)],
    ]
    for step in steps:
        step()
        before = len(topics.taken)
        done = run(store)
        assert done.events == len(topics.taken) - before > 0
        assert (done.name, done.deliveries) == (first.name, 1)
        assert topics.rows(first.name) == answer(store)
        assert (run(store).events, run(store).deliveries) == (0, 0)
    assert len(topics.taken) == len(topics.events(first.name))  # nothing came twice
    assert not list(store.objects.list("results/"))


def test_a_topic_that_fails_half_way(store: Store, topics: Topics) -> None:
    """The run fails; the next one begins with the same events under the same ids, whatever was ingested meanwhile."""
    requests = iter(range(100))

    topics.is_away = lambda: next(requests) == 2
    with pytest.raises(SinkUnavailable):
        run(store)
    half = [event["id"] for _, event in topics.taken]
    assert len(half) == 20
    put(store, 65, 9_000)
    again = run(store)
    assert [event["id"] for _, event in topics.taken[20:40]] == half
    # A row is late, one is new, and one more is on time: the watermark has passed it.
    assert (again.events, again.deliveries) == (25 + 3, 2)
    assert topics.rows(again.name) == answer(store)
    assert len(topics.taken) == 20 + 28


def test_two_runs_at_once(store: Store, topics: Topics) -> None:
    """One of them fails, in so many words; nothing is lost."""

    topics.is_away = lambda: True
    with pytest.raises(SinkUnavailable):
        run(store)
    put(store, 65, 9_000)
    others: list[ScheduledChanges] = []

    def other() -> bool:
        topics.is_away = lambda: False
        others.append(run(store))
        return False

    topics.is_away = other
    with pytest.raises(QueryError, match="another process delivers as 'scheduled-by_minute-"):
        run(store)
    assert [done.events for done in others] == [28]
    assert topics.rows(others[0].name) == answer(store)
    put(store, 65)
    assert run(store).events == 1
    assert topics.rows(others[0].name) == answer(store)


def test_another_question_begins_anew(store: Store, topics: Topics) -> None:
    put(store, 30, n=5)
    names = [run(store).name]
    others: list[dict[str, Any]] = [
        {"params": {"least": 5}}, {"since": "1970-01-01T00:10:00"}, {"lateness": "1m"}, {"mode": "final"},
        {"deliver": OTHER},
    ]  # fmt: skip
    names += [run(store, **fields).name for fields in others]
    store.publish(BY_MINUTE.sort("m", descending=True), "by_minute")
    names.append(run(store).name)
    assert len(set(names)) == len(names)
    put(store, 40, n=5)
    # What asks the same is the same, however it is written: each goes on.
    assert [run(store, version=1, **fields).name for fields in ({}, *others)] == names[:-1]
    assert run(store, version=1, params={"least": 0}, since=None, lateness="0s").name == names[0]
    assert run(store, version=1, since="1970-01-01T01:10:00+01:00").name == names[2]
    assert run(store, version=1, lateness="60s").name == names[3]
    assert (run(store, version=2).name, run(store).events) == (names[-1], 0)
    rows = answer(store, "by_minute@1")
    assert topics.rows(names[0]) == topics.rows(names[3]) == topics.rows(names[5], OTHER) == rows
    assert topics.rows(names[1]) == answer(store, "by_minute@1", params={"least": 5})
    assert topics.rows(names[2]) == answer(store, "by_minute@1", since="1970-01-01T00:10:00") == rows[10:]
    assert topics.rows(names[-1]) == answer(store) == rows[::-1]


def test_rows_that_are_complete(store: Store, topics: Topics) -> None:
    """In mode final each row once, and then its corrections."""
    final = {"mode": "final", "lateness": "5m"}
    done = run(store, **final)
    assert done.events == 25 - 1 - 5  # the newest point is at 24:00
    assert {event["pane"] for event in topics.events(done.name)} == {"on_time"}
    put(store, 65)
    assert run(store, **final).events == 1
    assert topics.events(done.name)[-1]["pane"] == "late"
    assert topics.rows(done.name) == answer(store)[:19]


def test_the_schedule_is_the_trigger(store: Store, topics: Topics) -> None:
    """Also of a query whose followers wait for more."""
    store.publish(BY_MINUTE, "slow", trigger=df.trigger(rows=1_000_000))
    assert run(store, query="slow").events == 25
    put(store, 65)
    assert run(store, query="slow").events == 1


def test_names() -> None:
    store = Schedule.of({"query": "q" * 100, "deliver": ARN})

    class Long:
        name, digest = "q" * 100, "d"

        @staticmethod
        def params(given: object) -> object:
            return given

    name = delivery_name(Long, store, None, ARN)  # type: ignore[arg-type]
    assert len(name) == 100
    assert name.startswith("scheduled-qqq")
    Long.digest = "e"
    assert delivery_name(Long, store, None, ARN)[:-12] == name[:-12]  # type: ignore[arg-type]
    assert delivery_name(Long, store, None, ARN) != name  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"deliver": "https://example.org"}, r"deliver is 'alerts' or the ARN of a topic .*, got 'https"),
        ({"deliver": "t"}, "deliver is 'alerts' or the ARN"),
        ({"deliver": ""}, "deliver is 'alerts' or the ARN"),
        ({"deliver": "arn:aws:sqs:eu-west-1:123456789012:t"}, "deliver is 'alerts' or the ARN"),
        ({"deliver": True}, "deliver is of type str"),
        ({"until": "today"}, "a schedule with deliver takes no until"),
        ({"alert": ["count < 1"]}, "a schedule with deliver takes no alert"),
        ({"csv": True}, "a schedule with deliver takes no csv"),
        ({"since": "-7d"}, "a schedule with deliver takes no since that moves, such as '-7d'"),
        ({"since": "today"}, "takes no since that moves, such as 'today'"),
        ({"since": "soon"}, "since: 'soon' is not a time"),
        ({"lateness": "late"}, "a schedule with deliver: .*lateness"),
        ({"lateness": 5}, "lateness is of type str"),
        ({"mode": "table"}, "mode is 'changes' or 'final'"),
        ({"mode": "finl"}, "there is no mode 'finl'; did you mean 'final'"),
        ({"deliver": None, "lateness": "5m"}, "a schedule's lateness goes with deliver"),
        ({"deliver": None, "mode": "final"}, "a schedule's mode goes with deliver"),
    ],
)
def test_mistakes(fields: dict[str, Any], message: str) -> None:
    given = {"query": "by_minute", "deliver": ARN, **fields}
    with pytest.raises(QueryError, match=message):
        Schedule.of(given)
    if "is of type" not in message:
        with pytest.raises(QueryError, match=message):
            Schedule(**{**given, "alert": tuple(given.get("alert", ()))})


def test_what_does_not_matter(store: Store, topics: Topics) -> None:
    for save in (True, False):
        assert Schedule.of({"query": "by_minute", "deliver": ARN, "save": save, "csv": False, "alert": []})
    assert run(store, save=True).name == run(store, save=False).name
    assert not list(store.objects.list("results/"))


def test_schedules_that_do_something_else(store: Store, topics: Topics) -> None:
    with pytest.raises(QueryError, match="delivers changes: run it by deliver_scheduled"):
        run_scheduled(store, {"query": "by_minute", "deliver": ARN})
    for fields in ({"deliver": None}, {"deliver": "alerts"}):
        with pytest.raises(QueryError, match="the schedule of by_minute has no topic to deliver to"):
            run(store, **fields)
    done = deliver_scheduled(store, {"query": "by_minute", "deliver": "alerts"}, ARN)
    assert done.name == run(store).name  # the same topic, by its name or its ARN
    with pytest.raises(QueryError, match="no published query 'nothing'"):
        run(store, query="nothing")


# ---- mutants


def _without(of: str) -> Callable[[pytest.MonkeyPatch], None]:
    """The name does not depend on something."""
    real = delivery_name

    def named(published: Any, schedule: Schedule, since: int | None, topic: str) -> str:
        fixed: dict[str, Any] = {"params": {}, "lateness": "0s", "mode": "changes"}
        plain = Schedule.of({**vars(schedule), of: fixed[of]}) if of in fixed else schedule
        return real(published, plain, None if of == "since" else since, ARN if of == "topic" else topic)

    return lambda patch: patch.setattr(scheduled_changes, "delivery_name", named)


NUMBERS = iter(range(1_000))
MUTANTS: dict[str, Callable[[pytest.MonkeyPatch], None]] = {
    **{f"the name does not depend on {of}": _without(of) for of in ("params", "since", "lateness", "mode", "topic")},
    "each run begins anew": lambda patch: patch.setattr(
        scheduled_changes, "delivery_name", lambda *_: f"n{next(NUMBERS)}"
    ),
    "the trigger decides": lambda patch: patch.setattr(
        Deliverer, "step", lambda self, is_last=False, of=Deliverer.step: of(self)
    ),
    "what waits is left out": lambda patch: patch.setattr(
        Deliverer, "step", lambda self, is_last=False, of=Deliverer.step: _forgets(self, of)
    ),
}


def _forgets(deliverer: Deliverer, step: Any) -> Any:
    deliverer._waiting = None
    return step(deliverer, True)


@pytest.mark.parametrize("mutant", MUTANTS)
def test_mutants(
    monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory, topics: Topics, mutant: str
) -> None:
    laws = (
        test_all_changes_come, test_a_topic_that_fails_half_way, test_another_question_begins_anew,
        test_the_schedule_is_the_trigger,
    )  # fmt: skip

    def all_hold() -> None:
        for law in laws:
            store = Store(tmp_path_factory.mktemp("mutant") / "store", create=True)
            put(store, *range(0, 1_500, 60))
            store.publish(BY_MINUTE, "by_minute")
            topics.taken, topics.is_away = [], lambda: False
            law(store, topics)

    MUTANTS[mutant](monkeypatch)
    with pytest.raises((AssertionError, QueryError, pytest.fail.Exception)):
        all_hold()
