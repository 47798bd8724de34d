"""The functions that compact, retain and sweep do all their work under the roles that the template gives them.

And no role has a permission that its function was not seen to use.
"""

from __future__ import annotations

import io
import time
from typing import Any

import boto3
import pytest

import dataflow as df
from deploy.handlers import compact, retain, sweep
from runtime.store import Store
from runtime.upkeep import retaining, sweep_plan
from runtime.upkeep.sweep_plan import SweepRules
from tests.deploy.stack.test_roles import DATA, HANDLERS, Deployed, T, points
from tests.deploy.stack.test_roles import aws as aws
from tests.deploy.stack.test_roles import deployed as deployed
from tests.runtime.upkeep.stores import orphans

DAY = 1_440  # minutes, which the numbers of points count
SUM = df.stream("s").group_by("k").agg(n=df.count(), total=df.sum("n"))
NOT_SEEN = {
    "logs:CreateLogStream": "Lambda's runtime asks, not the handler",
    "logs:PutLogEvents": "Lambda's runtime asks, not the handler",
    "lambda:InvokeFunction": "checked in test_the_rest_is_for_another_invocation",
}


@pytest.fixture(autouse=True)
def _handlers(monkeypatch: pytest.MonkeyPatch) -> None:
    mine = {"compact": compact.handler, "retain": retain.handler, "sweep": sweep.handler}
    for kind, handler in mine.items():
        monkeypatch.setitem(HANDLERS, kind, handler)


def put(deployed: Deployed, *numbers: int) -> None:
    deployed.store.ingest(
        "s", io.BytesIO(points(*numbers)), key="k", time="t", unit="ms", progress=False, compact=False
    )  # fmt: skip


def answer(deployed: Deployed, since: int = 0) -> Any:
    with deployed.iam.acting(None):
        return Store(deployed.store.url).query(SUM, since, progress=False).proof.result


def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything that can go is old enough."""
    monkeypatch.setattr(sweep_plan, "STANDARD", SweepRules(grace=-1_000_000, orphan_age=-1_000_000))
    monkeypatch.setattr("runtime.upkeep.sweep.STANDARD", sweep_plan.STANDARD)


def objects(deployed: Deployed, prefix: str) -> list[str]:
    return [info.path for info in deployed.store.objects.list(prefix)]


def versions(prefix: str) -> int:
    found = boto3.client("s3").list_object_versions(Bucket=DATA, Prefix=f"store/{prefix}")
    return len(found.get("Versions", [])) + len(found.get("DeleteMarkers", []))


def granted(deployed: Deployed, who: str) -> set[str]:
    return {action for statement in deployed.iam.roles[who] for action in statement["Action"]} - set(NOT_SEEN)


def used(deployed: Deployed, who: str) -> set[str]:
    return {action for role, action in deployed.iam.used if role == who}


def many_days(deployed: Deployed, count: int, first: int = 0) -> None:
    """Files of more days than fit into one transaction."""
    days = b"".join(b'{"k":"d","t":%d,"n":1}\n' % (T + (first + n) * 86_400_000) for n in range(count))
    deployed.store.ingest("s", io.BytesIO(days), key="k", time="t", unit="ms", progress=False, compact=False)


def test_compact(deployed: Deployed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.ingest.day_spans.FEW_DAYS", 1000)
    many_days(deployed, 120)
    before = answer(deployed)
    assert deployed.run("compact", {}) == {"streams": 1, "left": [], "failed": []}
    assert len(deployed.store.files("s")) <= 3
    assert answer(deployed) == before
    # A part that gives way to another commit leaves its files to the sweep: this role may not delete.
    for number in range(8):
        put(deployed, number, number + 300)
    whole = len(objects(deployed, "data/"))
    with monkeypatch.context() as patch:
        patch.setattr(type(deployed.store.catalogue), "replace", lambda *_: None)
        patch.setattr("runtime.upkeep.compaction._ROUNDS", 1)
        assert deployed.run("compact", {})["failed"] == []
    assert len(objects(deployed, "data/")) > whole
    assert ("compact", "s3:DeleteObject") not in deployed.iam.used
    assert used(deployed, "compact") == granted(deployed, "compact")


def test_retain(deployed: Deployed, monkeypatch: pytest.MonkeyPatch) -> None:
    """In steps of a few rows, by the policy of the stream: files go whole, and are cut."""
    monkeypatch.setattr("runtime.ingest.day_spans.FEW_DAYS", 1000)
    monkeypatch.setattr(retaining, "STEP", 110)
    many_days(deployed, 120)
    put(deployed, *(110 * DAY + n for n in range(0, 20 * DAY, 300)))
    since = T * 1_000 + 125 * 86_400_000_000
    before = answer(deployed, since)
    retaining.set_policy(deployed.store.objects, "s", "10d")
    assert deployed.run("retain", {}) == {"streams": 1, "left": [], "failed": []}
    assert answer(deployed, since) == before
    snapshot = Store(deployed.store.url).catalogue.snapshot("s")
    assert snapshot.last_time is not None
    assert snapshot.floor == (snapshot.last_time - 10 * 86_400_000_000) // 86_400_000_000
    assert used(deployed, "retain") == granted(deployed, "retain")


def test_sweep(deployed: Deployed, monkeypatch: pytest.MonkeyPatch) -> None:
    """Replaced files, orphans, and after an erasure all versions of all that had the key."""
    monkeypatch.setenv("ANTFOLD_MAC_KEY", deployed.environments["worker"]["ANTFOLD_MAC_KEY"])
    for number in range(8):
        put(deployed, number, number + 300)
    deployed.store.publish(SUM, "sum", targets=["x86_64"])
    monkeypatch.delenv("ANTFOLD_MAC_KEY")
    deployed.run("compact", {})
    at_once(monkeypatch)
    first = set(objects(deployed, "data/"))
    live = {f.path for f in deployed.store.files("s")}
    (orphan,) = orphans(deployed.store)
    assert live < first
    assert deployed.run("sweep", {})["removed"] == len(first - live) + 1
    assert set(objects(deployed, "data/")) == live
    assert versions(orphan) == versions(min(first - live)) == 2  # a sweep is no erasure: they can be brought back
    with deployed.iam.acting(None):
        deployed.store.erase("s", "d1")
    deployed.run("query", {"query": "sum"})
    assert objects(deployed, "cache/")
    real = time.time_ns
    monkeypatch.setattr(time, "time_ns", lambda: real() + 10_000_000_000)
    left = {f.path for f in Store(deployed.store.url).files("s")}
    deployed.run("sweep", {})
    assert set(objects(deployed, "data/")) == left
    assert versions("data/") == len(left)
    assert used(deployed, "sweep") == granted(deployed, "sweep")


def test_the_rest_is_for_another_invocation(deployed: Deployed) -> None:
    for kind in ("compact", "retain"):
        with deployed.iam.acting(kind):
            deployed.iam.check("lambda", "Invoke", {"FunctionName": f"fleet-{kind}:live"})


DENIED: list[tuple[str, str, dict[str, Any]]] = [
    ("compact", "DeleteObject", {"Key": "store/data/x"}),
    ("retain", "DeleteObject", {"Key": "store/data/x"}),
    ("retain", "PutObject", {"Key": "store/retention/s/000001.json", "IfNoneMatch": "*"}),
    ("compact", "GetObject", {"Key": "store/retention/s/000001.json"}),
    ("sweep", "PutObject", {"Key": "store/data/x", "IfNoneMatch": "*"}),
    ("sweep", "DeleteObject", {"Key": "store/queries/uptime/1.json"}),
    ("sweep", "DeleteObject", {"Key": "store/results/x"}),
    ("sweep", "DeleteObject", {"Key": "tenants/acme/data/x", "VersionId": "1"}),
    ("sweep", "ListObjectVersions", {"Prefix": "tenants/acme/data/"}),
    ("sweep", "ListObjectVersions", {"Prefix": ""}),
    ("sweep", "ListObjectsV2", {"Prefix": ""}),
]


def test_what_is_denied(deployed: Deployed) -> None:
    for who, operation, given in DENIED:
        with deployed.iam.acting(who), pytest.raises(Exception, match="may not"):
            deployed.iam.check("s3", operation, {"Bucket": DATA, **given})
