"""Published queries on S3 and DynamoDB (moto)."""

from __future__ import annotations

from typing import Any

import pytest

from runtime import Store
from runtime.objects import S3Objects
from runtime.schedules.scheduled_run import run_scheduled
from tests.runtime.published.histories import DAY, METRICS, START, day, ingest

pytestmark = pytest.mark.usefixtures("aws")
URL = "s3://lake/stores/published"


def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths of all GETs from now on."""
    out: list[str] = []
    for name in ("read", "read_into"):
        inner = getattr(S3Objects, name)

        def spy(self: S3Objects, path: str, *args: Any, inner: Any = inner) -> Any:
            out.append(path)
            return inner(self, path, *args)

        monkeypatch.setattr(S3Objects, name, spy)
    return out


@pytest.mark.parametrize("name", ["hot", "uptime"])
def test_after_one_new_file_one_data_file_is_read(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(URL)
    ingest(store, day(0), day(1), day(2))
    store.publish(METRICS[name], name)
    assert store.query(name, progress=False).proof.files_cached == 0
    ingest(store, day(3))
    (new,) = [f.path for f in store.files("s") if f.day == START // DAY + 3]
    other = Store(URL)
    paths = reads(monkeypatch)
    found = other.query(name, progress=False)
    assert {p for p in paths if p.startswith("data/")} == {new}
    assert found.proof.files_cached == 3
    assert found.proof.result == other.query(METRICS[name], progress=False).proof.result
    assert store.verify().ok


def test_schedules() -> None:
    store = Store(URL)
    ingest(store, day(0), day(1))
    store.publish(METRICS["per_device"], "per_device")
    schedule = {"query": "per_device", "since": "yesterday", "until": "today", "alert": ["n > 3"], "csv": True}
    run = run_scheduled(store, schedule, START + 2 * DAY + 5)
    assert run.alert is not None
    assert run_scheduled(Store(URL), schedule, START + 2 * DAY + 5) == run
    assert sorted(o.path for o in store.objects.list("results/")) == sorted(run.saved)
