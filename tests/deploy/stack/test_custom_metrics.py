"""Every custom metric that the functions send, busy and idle, is on the bill, and nothing else is."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any

import pytest

import dataflow as df
from deploy.handlers import compact, ingest, query, reconcile, retain, sweep, turns, waiting, worker
from deploy.handlers.logs import DETAILED, METRICS, NAMESPACE
from deploy.handlers.turns import UpkeepFailed
from deploy.stack import costs
from deploy.stack.costs import FleetLoad, SentMetric, bill, custom_metrics, sent_metrics
from deploy.stack.example import EXAMPLE
from deploy.stack.resources.template import template
from deploy.stack.settings import StackSettings, parse
from operators.compiler.targets import TARGETS
from runtime.fleet.outcomes import Reply
from runtime.store import Store
from runtime.upkeep.compaction import Compaction
from tests.deploy.handlers.conftest import deployed as deployed
from tests.deploy.handlers.conftest import lines as lines
from tests.deploy.handlers.deployed import Context, Lines, batch, event, land, records
from tests.runtime.conftest import aws as aws
from tests.runtime.conftest import client_of

Pair = tuple[str, str, str | None]
"""A metric: function, name, and the dimension besides ``Function``."""

SCHEDULED = parse(EXAMPLE + "\n[[schedules]]\nquery = 'tops'\nevery = 'rate(1 hour)'\n")
UPKEEP = ("reconcile", "compact", "retain", "sweep")
MODULES = {
    "ingest": ingest, "query": query, "worker": worker, "reconcile": reconcile, "compact": compact, "retain": retain,
    "sweep": sweep,
}  # fmt: skip
DAYS = 9


def run(function: str, given: Any) -> Any:
    """Of the function with this name; as Lambda does, its failure is the caller's."""
    context = Context()
    context.function_name = function
    return MODULES[function].handler(given, context)  # type: ignore[attr-defined]


def emitted(logged: Lines) -> dict[Pair, set[str]]:
    """The metrics of lines of the log, with the values of their second dimension."""
    found: dict[Pair, set[str]] = {}
    for line in logged.all:
        for directive in line.get("_aws", {}).get("CloudWatchMetrics", ()):
            for named in directive["Dimensions"]:
                (other,) = [name for name in named if name != "Function"] or [None]
                for metric in directive["Metrics"]:
                    values = found.setdefault((line["Function"], metric["Name"], other), set())
                    values.add("" if other is None else line[other])
    return found


def pairs(found: Iterable[SentMetric]) -> set[Pair]:
    return {(metric.function, metric.name, metric.dimension) for metric in found}


@pytest.fixture
def fleet(deployed: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    """The deployed store, its workers in this process, and runs that are not continued."""

    def invoker(*_: Any, **__: Any) -> Callable[[bytes], Reply]:
        return lambda payload: Reply(200, json.dumps(run("worker", json.loads(payload))).encode())

    monkeypatch.setattr("runtime.fleet.aws_lambda.invoker", invoker)
    monkeypatch.setattr("runtime.fleet.aws_lambda.target_of", lambda *_: TARGETS["x86_64"])
    monkeypatch.setattr(query, "SMALL", 10)
    monkeypatch.setattr(waiting, "SETTLED", timedelta(seconds=-5))
    monkeypatch.setattr(waiting, "_LAG", timedelta(0))
    monkeypatch.setattr(turns, "_now", lambda: 0)
    monkeypatch.setenv("ANTFOLD_WORKER", "fleet-worker")
    monkeypatch.setenv("ANTFOLD_KEEP", "{}")
    return deployed


def get(path: str, text: str = "") -> int:
    """The status of a request of the query function's URL."""
    given = {"rawPath": path, "rawQueryString": text, "requestContext": {"http": {"method": "GET"}}}
    return int(run("query", given)["statusCode"])


def busy(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that the functions can do, and every failure that they count."""
    for n in range(9):
        run("ingest", batch(event(land(f"in/s/{n}", records(n)))))
    run("ingest", batch(event(land("in/s/again", records(0)))))
    run("ingest", batch(event(land("in/s/bad", b"\0")), received=2))
    run("ingest", batch("no event"))
    store.publish(df.stream("s").group_by("k").agg(n=df.count()), "tops", "points by device")
    assert [get("/tops"), get("/nothing")] == [200, 404]
    at = {"at": "2023-11-15T00:00:00Z", "schedule": {"query": "tops", "alert": ["n >= 1"]}}
    assert run("query", at)["violations"]
    assert "error" in run("worker", {"version": 99})
    with monkeypatch.context() as broken:
        broken.setattr(query, "answer", lambda *_: 1 / 0)
        assert get("/tops") == 500
    land("in/s/lost", records(99))
    land("in/nothing/x", records(9))
    assert run("reconcile", {"since": "all"})["enqueued"] == 1
    with monkeypatch.context() as broken:
        broken.setattr(Compaction, "what_is_due", lambda *_, **__: 1 / 0)
        with pytest.raises(UpkeepFailed):
            run("compact", {})
        broken.setattr(retain, "policy_of", lambda *_: 1 / 0)
        with pytest.raises(UpkeepFailed):
            run("retain", {})
    run("compact", {})
    # A later day: its points make those above old, and the sweep finds what they are in.
    later = b'{"k":"d0","t":%d,"n":1}\n' % (1_700_000_000_000 + DAYS * 86_400_000)
    run("ingest", batch(event(land("in/s/later", later))))
    monkeypatch.setenv("ANTFOLD_KEEP", '{"s": "2d"}')
    run("retain", {})
    real = time.time_ns
    with monkeypatch.context() as moved:
        moved.setattr(time, "time_ns", lambda: real() + DAYS * 86_400 * 1_000_000_000)
        assert run("sweep", {})["removed"]


def test_each_is_priced(fleet: Store, monkeypatch: pytest.MonkeyPatch, lines: Callable[[], Lines]) -> None:
    lines()
    busy(fleet, monkeypatch)
    found = emitted(lines())
    load = FleetLoad(10)
    assert set(found) == pairs(sent_metrics(SCHEDULED, load))
    # And by as many values of their dimensions as priced, for one stream, one query, and one version.
    priced = {(m.function, m.name, m.dimension): m.values for m in sent_metrics(SCHEDULED, load)}
    assert {pair: len(values) for pair, values in found.items()} == priced
    assert {name for _, name, _ in found} == set(METRICS)
    assert {name for _, name, other in found if other is not None} == set(DETAILED)

    # Nothing to do: what is left to count are the objects in the landing bucket. (That of no stream is forgotten by the
    # reconciler once a pass is over that began after it.)
    client_of("s3").delete_object(Bucket="landing", Key="in/nothing/x")
    run("compact", {})
    lines()
    for function in UPKEEP:
        run(function, {})
    assert (
        set(emitted(lines()))
        == pairs(sent_metrics(SCHEDULED, FleetLoad(0))) - asked()
        == {("reconcile", "ObjectsListed", None)}
    )


def asked() -> set[Pair]:
    """What queries send, however little arrives."""
    return {pair for pair in pairs(sent_metrics(SCHEDULED, FleetLoad(10))) if pair[0] in ("query", "worker")}


def test_a_new_deployment_sends_nothing(fleet: Store, lines: Callable[[], Lines]) -> None:
    lines()
    for function in UPKEEP:
        run(function, {})
    assert emitted(lines()) == {}


def test_a_metric_that_is_not_priced_is_found(
    fleet: Store, monkeypatch: pytest.MonkeyPatch, lines: Callable[[], Lines]
) -> None:
    monkeypatch.setattr(costs, "SENT", {**costs.SENT, "retain": ("RowsRetired",)})
    lines()
    busy(fleet, monkeypatch)
    missing = set(emitted(lines())) - pairs(sent_metrics(SCHEDULED, FleetLoad(10)))
    assert missing == {("retain", "StreamsFailed", None)}


@pytest.mark.parametrize(
    ("settings", "load", "expected"),
    [
        # 26 metrics of functions, 3 by stream, 2 by query, 2 classes of errors and 1 version; no schedule sends an
        # alert; the four of the daily functions are sent in one hour of 24.
        (parse(EXAMPLE), FleetLoad(10), 26 + 3 + 2 + 2 + 1 - 1 - 4 * 23 / 24),
        (SCHEDULED, FleetLoad(10), 26 + 3 + 2 + 2 + 1 - 4 * 23 / 24),
        (parse(EXAMPLE), FleetLoad(10).idle(), 1),
        # A query every hour, with its workers: all but what only HTTPS sends, 5 of query and 4 of worker.
        (SCHEDULED, FleetLoad(10).idle(), 1 + 5 + 4),
        (StackSettings(), FleetLoad(10).idle(), 1),
        # Twelve queries a day.
        (StackSettings(), FleetLoad(0, queries=12), 1 + (4 - 1 + 2 + 2 + 4) / 2),
    ],
    ids=["example", "scheduled", "idle", "scheduled, idle", "no streams", "few queries"],
)
def test_how_many_are_paid_for(settings: StackSettings, load: FleetLoad, expected: float) -> None:
    assert custom_metrics(settings, load) == pytest.approx(expected)
    (line,) = [line for line in bill(settings, load) if line.what == "custom metrics"]
    assert line.dollars == pytest.approx(0.30 * expected)


def test_nobody_reads_a_zero_that_is_not_sent() -> None:
    """Neither alarms nor the dashboard have metrics of functions that send only what is not zero."""
    resources = template(SCHEDULED)["Resources"].values()
    read = [json.dumps(r["Properties"]) for r in resources if r["Type"].startswith("AWS::CloudWatch::")]
    ours = [text for text in read if f'"{NAMESPACE}"' in text.replace('\\"', '"')]
    assert len(ours) >= 4
    for function in UPKEEP:
        assert not [name for name in costs.SENT[function] for text in ours if name in text]
