"""Stores, folders and terminals that are not as expected: one sentence says so, and nothing is made by mistake."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

import dataflow as df
from deploy.cli import main
from operators.errors import DataflowError
from runtime import Store
from runtime.display.text_tables import text_table
from runtime.errors import StoreError

ROOT = Path(__file__).resolve().parents[2]
DECLARED = ["--key", "device", "--time", "ts", "--unit", "s"]
METRIC = 'import dataflow as df\n\nup = df.col("a") == 1\ncount = df.stream("telemetry").agg(n=df.count())\n'


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("points.ndjson").write_text('{"device":"a","ts":1709251200,"temp":1.5}\n')
    Path("metrics.py").write_text(METRIC)
    assert main(["ingest", "store", "telemetry", "points.ndjson", *DECLARED]) == 0
    capsys.readouterr()
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["ingest", "stor", "telemetry", "points.ndjson"], 2, "there is no store stor yet: --key and --time"),
        (["ingest", "stor", "telemetry", "points.ndjson"], 2, "did you mean 'store'?"),
        (["ingest", "store", "telemetri", "points.ndjson"], 2, "is new: --key and --time are needed; did you mean"),
        (["ingest", "store/inner", "t", "points.ndjson", *DECLARED], 1, "lies in the store"),
        (["ingest", "store/data/x/y", "t", "points.ndjson", *DECLARED], 1, "lies in the store"),
        (["query", "stor", "metrics.py:count"], 1, "there is no store here; did you mean 'store'? Ingest something"),
        (["query", "store", "metrics:count"], 1, "there is no file metrics; did you mean 'metrics.py:count'?"),
        (["query", "store", "metrics.count"], 1, "did you mean 'metrics.py:count'?"),
        (["query", "metrics.py:count", "./store"], 1, "is a folder, not a metric"),
        (["query", "store", "points.ndjson"], 1, "points.ndjson is a file, but not a metric"),
        (["query", "store", "./points.ndjson"], 1, "is a file, but not a metric"),
        (["query", "store", "metrics.py:up"], 1, "up is an expression, not a metric"),
        (["query", "store", "metrics.py:count", "--executor", "lamda"], 1, "no executor 'lamda'; did you mean"),
        (["recover", "store", "--from", "metrics.py"], 1, "metrics.py holds no commit of any stream"),
        (["simulate", "store"], 1, "store is not empty (it contains "),
        (["simulate", "store/new"], 1, "new lies in the store "),
        (["simulate", "s3://bucket/x"], 2, "s3://bucket/x is no folder of this machine"),
        (["streams", "s3://bucket/x?catalogue=sqlite"], 1, "catalogue=sqlite is unknown: choose one of dynamodb"),
        (["version"], 2, "there is no command 'version'; did you mean '--version'?"),
    ],
)  # fmt: skip
def test_mistakes(place: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, said: str) -> None:
    before = sorted(p for p in place.rglob("*") if "catalogue" not in p.name)
    assert main(arguments) == code
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.err.count("\n") == 1
    assert sorted(p for p in place.rglob("*") if "catalogue" not in p.name) == before


def test_a_stream_that_is_new_beside_one_that_is_nearly_called_so(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["ingest", "store", "telemetri", "points.ndjson", *DECLARED]) == 0
    assert capsys.readouterr().err == "note: the stream telemetri is new; there is also telemetry\n"
    assert main(["ingest", "store", "other", "points.ndjson", *DECLARED]) == 0
    assert capsys.readouterr().err == ""


def test_a_store_in_a_store_is_refused_in_python_too(place: Path) -> None:
    with Store(place / "store" / "inner", create=True) as store, pytest.raises(StoreError, match="lies in the store"):
        store.streams()
    with Store(place / "beside", create=True) as store:
        assert store.streams() == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"params": [1]}, "params are a mapping of names to values, such as {'above': 25}, got [1]"),
        ({"workers": "2"}, "workers must be at least 1, got '2'"),
        ({"executor": 5}, "an executor is 'threads', 'lambda' or a concurrent.futures.Executor, got 5"),
        ({"executor": "lamda"}, "there is no executor 'lamda'; did you mean 'lambda'?"),
    ],
)
def test_options_of_a_query_in_python(place: Path, options: dict[str, object], said: str) -> None:
    with Store("store") as store, pytest.raises(DataflowError) as caught:
        store.query(df.stream("telemetry").agg(n=df.count()), progress=False, **options)  # type: ignore[arg-type]
    assert said in str(caught.value)


@pytest.mark.parametrize("metric", [df.count, df.count(), df.stream("telemetry").filter, [1]])
def test_no_metrics(place: Path, metric: object) -> None:
    with Store("store") as store, pytest.raises(DataflowError, match="a metric is a stream with steps") as caught:
        store.query(metric, progress=False)  # type: ignore[arg-type]
    assert " at 0x" not in str(caught.value)


def test_each_recovery_keeps_what_was_there(place: Path) -> None:
    for _ in range(3):
        assert main(["recover", "store"]) == 0
    kept = [p.name for p in Path("store").glob("catalogue.sqlite.*") if not p.name.endswith("-head")]
    assert len(kept) == 3


def test_an_unreadable_metric_file(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(self: Path) -> bytes:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert main(["query", "store", "metrics.py:count"]) == 1
    assert capsys.readouterr().err == "dataflow: cannot read metrics.py: Permission denied\n"


@pytest.mark.parametrize(("closed", "code"), [(1, 0), (2, 0)])
def test_closed_outputs_are_no_failure(place: Path, closed: int, code: int) -> None:
    command = f'"{sys.executable}" -m deploy query store metrics.py:count {closed}>&-'
    ran = subprocess.run(
        ["sh", "-c", command], capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )
    assert ran.returncode == code
    assert "Traceback" not in ran.stderr
    assert "defect" not in ran.stdout + ran.stderr


def test_what_stands_under_a_table_fits_a_narrow_terminal() -> None:
    footer = ["telemetry, 2024-03-01 00:00 to 2024-03-01 02:00 UTC: 3 rows read, 1 rejected at ingest"]
    lines = text_table({}, width=40, footer=footer).splitlines()
    assert max(map(len, lines)) <= 40
    assert " ".join(" ".join(lines[1:]).split()) == footer[0]
    assert text_table({}, footer=footer).splitlines()[1] == f" {footer[0]}"
