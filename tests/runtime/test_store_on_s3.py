"""A whole store in S3 and DynamoDB (moto), beside the same store in a folder."""

from __future__ import annotations

import json
from pathlib import Path

import boto3
import numpy as np
import pytest

import dataflow as df
from deploy.cli import main
from runtime import Store
from runtime.errors import FormatError, IncompleteResult, QueryError, StoreError
from runtime.objects import FileMissing
from tests.runtime.faults import Faults, s3_error

URL = "s3://lake/stores/one"
START = 19_800 * 86_400_000_000
METRICS = (
    df.stream("s").group_by("status").agg(n=df.count(), m=df.mean("temp"), d=df.count_distinct("device")),
    df.stream("s").state_duration("status", hold="1h").group_by("status").agg(held=df.duration()),
    df.stream("s").filter(df.col("temp") > 240).select("temp", "status"),
)


def points(n: int = 2_000, first: int = 0) -> dict[str, np.ndarray]:
    i = np.arange(first, first + n)
    return {
        "device": np.array([f"d{k % 20}" for k in i]),
        "ts": START + i * 100_000_000,
        "temp": i / 8,
        "status": np.array(["up", "down", "off"])[i % 3],
    }


def ingest(store: Store, stream: str = "s", **options: int) -> None:
    store.ingest(stream, points(**options), key="device", time="ts", unit="us", progress=False)


def test_the_same_answers_as_in_a_folder(aws: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here, there = Store(tmp_path / "store"), Store(URL)
    for store in (here, there):
        # Files name the attempts that were committed before them, which are random otherwise.
        attempts = iter(range(100))
        monkeypatch.setattr("runtime.ingest.one_source.new_attempt", lambda a=attempts: f"{next(a):032x}")
        ingest(store)
        ingest(store, n=500, first=1_900)  # late: it overlaps what is there
        ingest(store)  # again: nothing
    for metric in METRICS:
        answers = [store.query(metric, workers=n, progress=False) for store in (here, there) for n in (1, 3)]
        assert len({a.proof.result for a in answers}) == 1
        assert len({str(a.to_dict()["rows"]) for a in answers}) == 1
    (mine,), (theirs,) = here.streams(), there.streams()
    assert mine == theirs
    assert [f.sha256 for f in here.files("s")] == [f.sha256 for f in there.files("s")]
    report = there.verify()
    assert report.ok
    assert [s.files for s in report.streams] == [len(there.files("s"))]
    assert len(report.orphans) == len(here.verify().orphans)  # of the third ingest, which came second


def test_it_is_found_again_and_shared(aws: None) -> None:
    """Several streams and several stores in one table; what one ingests, another process's store object sees."""
    first, second = Store(URL, create=True), Store("s3://lake/stores/two")
    ingest(first)
    ingest(first, "t", n=10)
    ingest(second, n=30)
    again = Store(first.url)
    assert [(s.name, s.rows) for s in again.streams()] == [("s", 2_000), ("t", 10)]
    assert [(s.name, s.rows) for s in second.streams()] == [("s", 30)]
    assert again.query(METRICS[0], progress=False)["n"] == [667, 666, 667]
    assert Store("s3://lake", create=True).streams() == []
    assert boto3.client("dynamodb").list_tables()["TableNames"] == ["antfold"]
    again.close()
    assert again.query(METRICS[0], progress=False)["d"] == [20, 20, 20]


def test_a_worker_opens_the_store_by_its_url(aws: None) -> None:
    from runtime.query import execute
    from runtime.query.plan.make_tasks import make_tasks
    from runtime.query.plan.prepare import Request, prepare
    from runtime.query.task import state_bytes

    store = Store(f"{URL}?table=other-table")
    ingest(store)
    prepared = prepare(store.catalogue, Request(METRICS[0].steps, {}, None, None))
    (task,) = make_tasks(prepared, store.url, 1)
    assert state_bytes.unpack(execute.run_payload(execute.payload_of(task)), task.id, task.request_digest).coverage.rows


def test_where_there_is_no_store(aws: None) -> None:
    store = Store(URL)
    with pytest.raises(StoreError, match=r"no catalogue table 'antfold'.*ingest something first"):
        store.query(METRICS[0])
    with pytest.raises(StoreError, match="ingest something first"):
        store.streams()
    ingest(store)  # the same object makes it
    with pytest.raises(QueryError, match="no stream 's' in this store; its streams: none"):
        Store("s3://lake/else").query(METRICS[0])
    with pytest.raises(StoreError, match="the bucket does not exist"):
        ingest(Store("s3://no-such-bucket/a"))


def test_a_file_that_is_gone_or_damaged_is_an_error(aws: None) -> None:
    store = Store(URL)
    ingest(store)
    s3 = boto3.client("s3")
    key = f"stores/one/{store.files('s')[0].path}"
    data = s3.get_object(Bucket="lake", Key=key)["Body"].read()
    s3.put_object(Bucket="lake", Key=key, Body=data[:-10] + b"x" * 10)
    with pytest.raises(FormatError, match="cannot be read as a point file"):
        Store(URL).query(METRICS[0], progress=False)
    assert not Store(URL).verify().ok
    s3.delete_object(Bucket="lake", Key=key)
    with pytest.raises((FileMissing, IncompleteResult), match="is missing"):
        Store(URL).query(METRICS[0], progress=False)
    assert any("is missing" in problem for problem in Store(URL).verify().problems)


def test_a_query_under_throttling(aws: None) -> None:
    store = Store(URL)
    ingest(store)
    quiet = store.query(METRICS[0], progress=False)
    store = Store(URL)
    faults = Faults(store.objects.client)
    faults.refuse("GetObject", *(s3_error(503, "SlowDown") for _ in range(7)))
    faults.lose("GetObject", 2)
    assert store.query(METRICS[0], progress=False).proof.result == quiet.proof.result
    assert len(faults.waits) == 9


def test_few_large_reads(aws: None) -> None:
    """A file below a megabyte is one read; of a larger one the tail, and then the wanted columns' bytes together."""
    noise = np.random.default_rng(1)
    for size, rows, reads in ((200_000, 50_000, 1), (2_000_000, 350_000, 2)):
        store = Store(f"{URL}/{rows}")
        i = np.arange(rows)
        columns = {"device": i % 50, "ts": START + i * 100_000, "x": noise.random(rows), "y": noise.random(rows)}
        store.ingest("s", columns, key="device", time="ts", unit="us", progress=False)
        (file,) = store.files("s")
        assert file.bytes > size
        faults = Faults(store.objects.client)
        metric = df.stream("s").agg(low=df.min("x"), high=df.max("y"))
        assert store.query(metric, workers=1, progress=False).to_dict()["rows"] == [
            [columns["x"].min(), columns["y"].max()]
        ]
        assert faults.sent["GetObject"] == reads


def test_the_console_script(aws: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = tmp_path / "points.ndjson"
    start = 1_709_251_200_000
    rows = [{"device": f"d{i % 3}", "ts": start + i * 1000, "temp": i / 2} for i in range(90)]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    metrics = tmp_path / "metrics.py"
    metrics.write_text(
        'import dataflow as df\nn = df.stream("t").group_by("device").agg(n=df.count(), m=df.max("temp"))\n'
    )
    url = f"{URL}?table=antfold-cli"
    assert main(["query", url, f"{metrics}:n"]) == 1
    assert "ingest something first" in capsys.readouterr().err
    assert main(["ingest", url, "t", str(source), "--key", "device", "--time", "ts", "--unit", "ms"]) == 0
    assert main(["ingest", url, "t", str(source)]) == 0
    assert "already ingested" in capsys.readouterr().out
    assert main(["query", url, f"{metrics}:n", "--format", "json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["rows"] == [["d0", 30, 43.5], ["d1", 30, 44.0], ["d2", 30, 44.5]]
    assert main(["streams", url, "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["streams"][0]["rows"] == 90
    assert main(["files", url, "t", "--format", "json"]) == 0
    assert len(json.loads(capsys.readouterr().out)["files"]) == 1
    assert main(["verify", url]) == 0
    assert "all right" in capsys.readouterr().out
    assert main(["explain", url, f"{metrics}:n"]) == 0
    assert main(["streams", "s3://lake/x?tabel=y"]) == 1
    assert "each once" in capsys.readouterr().err
