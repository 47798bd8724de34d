"""All upkeep on S3 and DynamoDB, as stand-ins in this process: what it does is what it does in a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import dataflow as df
from runtime import Store
from runtime.upkeep.sweep_plan import SweepRules

DAY = 86_400_000_000
FIRST = 19_800 * DAY
UP = df.stream("s").state_duration("state").group_by("k", "state").agg(t=df.known_time())
SUM = df.stream("s").group_by("k").agg(n=df.count(), total=df.sum("v"))


def table(number: int) -> dict[str, Any]:
    times = [FIRST + number * DAY + at for at in (5, 7, 9)]
    return {"k": ["a", "b", "c"], "t": times, "v": [number, 10 * number, 1], "state": ["up", None, "down"]}


def seen(store: Store, since: int) -> list[Any]:
    answers = [store.query(metric, since, FIRST + 30 * DAY, progress=False) for metric in (UP, SUM)]
    assert store.verify().ok
    return [answer.proof.result for answer in answers]


def kept(store: Store) -> list[Any]:
    """The answers after each step of upkeep, with what the steps said of rows."""
    out: list[Any] = []
    for number in range(9):
        store.ingest("s", table(number), key="k", time="t", unit="us", progress=False, compact=False)
    out.append(seen(store, FIRST))
    (report,) = store.compact("s", progress=False)
    out.append([(report.files_after, report.rows), *seen(store, FIRST)])
    out.append([store.undo("s", store.sources("s")[0].entry.id).rows, *seen(store, FIRST)])
    wrong = store.sources("s")[1].entry.id
    store.ingest("s", table(20), unit="us", progress=False, replace=wrong)
    out.append(seen(store, FIRST))
    retained = store.retain("s", before=FIRST + 4 * DAY)
    out.append([(retained.rows, retained.carried), *seen(store, FIRST + 4 * DAY)])
    out.append([store.erase("s", "b").rows, *seen(store, FIRST + 4 * DAY)])
    for done in store.optimize(progress=False):
        assert done
    swept = store.sweep(rules=SweepRules(grace=0))
    out.append([len(swept.removed), *seen(store, FIRST + 4 * DAY)])
    out.append(sorted(info.path.split("/")[0] for info in store.objects.list("data/")))
    return out


def test_it_is_as_in_a_folder(aws: None, tmp_path: Path) -> None:
    with Store(tmp_path / "store", create=True) as folder, Store("s3://lake/kept", create=True) as bucket:
        assert kept(bucket) == kept(folder)


@pytest.mark.usefixtures("aws")
def test_the_stream_goes_from_a_bucket_too() -> None:
    with Store("s3://lake/gone", create=True) as store:
        store.ingest("s", table(0), key="k", time="t", unit="us", progress=False)
        store.retain("s", keep="1d", always=True)
        store.erase("s")
        store.sweep(rules=SweepRules(grace=0))
        assert [info.path for info in store.objects.list("data/")] == []
        assert store.streams()[0].rows == 0
