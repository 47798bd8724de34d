"""``dataflow head``, ``describe`` and ``export``, and where results go: formats, files, pipes and terminals."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from deploy.cli import main

ROOT = Path(__file__).resolve().parents[3]
POINTS = """\
{"k":"a","t":1709251200,"v":1,"s":"x | y"}
{"k":"b","t":1709251201,"v":2,"s":"x | y"}
{"k":"a","t":1709337600.5,"v":null,"s":"=1+1"}
"""
METRIC = """import dataflow as df

by_key = df.stream("s").group_by("k").agg(n=df.count(), most=df.max("v"), last=df.max(df.time()))
texts = df.stream("s").group_by("s").agg(n=df.count())
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("points.ndjson").write_text(POINTS)
    Path("m.py").write_text(METRIC)
    assert main(["ingest", "store", "s", "points.ndjson", "--key", "k", "--time", "t", "--unit", "s"]) == 0
    capsys.readouterr()
    return tmp_path


def out(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(list(arguments)) == 0
    return capsys.readouterr().out


def script(*arguments: str, **options: object) -> subprocess.CompletedProcess[bytes]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-m", "deploy", *arguments], env=environment, capture_output=True, timeout=120, **options  # type: ignore[call-overload]
    )  # fmt: skip


# head, describe, export


def test_head(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert [line.split("   ") for line in out(capsys, "head", "store", "s").splitlines()][1:] == [
        [" ─", "─" * 24, "─", "─────"],
        [" a", "2024-03-01T00:00:00.000Z", "1", "x | y"],
        [" b", "2024-03-01T00:00:01.000Z", "2", "x | y"],
        [" a", "2024-03-02T00:00:00.500Z", "—", "=1+1"],
        [" 3 rows"],
    ]
    assert json.loads(out(capsys, "head", "store", "s", "--key", "b", "--format", "json"))["rows"] == [
        ["b", "2024-03-01T00:00:01.000000Z", 2, "x | y"]
    ]
    later = out(capsys, "head", "store", "s", "--since", "2024-03-02", "--rows", "1", "--format", "ndjson")
    assert later == '{"k":"a","t":"2024-03-02T00:00:00.500000Z","v":null,"s":"=1+1"}\n'


def test_describe(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = out(capsys, "describe", "store", "s")
    lines = [line.split() for line in table.splitlines()]
    assert lines[0] == ["column", "type", "values", "nulls", "distinct", "min", "max", "most", "frequent"]
    assert lines[2] == ["k", "string", "3", "0", "2", "a", "b", "a", "(2)"]
    assert lines[4] == ["v", "int64", "2", "1", "2", "1", "2", "—"]
    assert table.endswith(" 4 columns\n s: all 3 points of the range, of 2 days\n")
    some = out(capsys, "describe", "store", "s", "--rows", "2")
    assert some.endswith(" s: 2 points, from 1 of 2 days, of 3 in all (--rows reads more)\n")
    found = json.loads(out(capsys, "describe", "store", "s", "--until", "2024-03-02", "--format", "json"))
    assert (found["rows"], [column["nulls"] for column in found["columns"]]) == (2, [0, 0, 0, 0])


def test_export(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said = out(capsys, "export", "store", "s", "--to", "x.parquet")
    assert said.startswith("s: 3 points with 4 columns written to x.parquet (")
    assert pq.read_table("x.parquet").num_rows == 3
    assert main(["export", "store", "s", "--to", "x.parquet"]) == 1
    assert "x.parquet exists already" in capsys.readouterr().err
    out(capsys, "export", "store", "s", "--to", "x.parquet", "--force", "--key", "b")
    assert pq.read_table("x.parquet").column("k").to_pylist() == ["b"]
    out(capsys, "export", "store", "s", "--to", "x", "--format", "csv", "--since", "2024-03-02")
    assert Path("x").read_text() == "k,t,v,s\na,2024-03-02T00:00:00.500000Z,,=1+1\n"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["export", "store", "s"], 2, "--to"),
        (["export", "store", "s", "--to", "x.xls"], 2, "--to x.xls: the name does not say a form; end it in .parquet"),
        (["export", "store", "s", "--to", "x.prquet"], 2, "did you mean '.parquet'?"),
        (["export", "store", "s", "--to", "-"], 2, "--to - needs a --format: parquet, csv, ndjson"),
        (["export", "store", "x", "--to", "x.csv"], 1, "there is no stream 'x' in this store"),
        (["export", "store", "s", "--to", "no/x.csv"], 1, "cannot write no/x.csv: No such file or directory"),
        (["export", "store", "s", "--to", "x.csv", "--since", "2024-03-02", "--until", "2024-03-01"], 1, "after until"),
        (["export", "stor", "s", "--to", "x.csv"], 1, "there is no store here"),
        (["head", "store", "x"], 1, "there is no stream 'x'"),
        (["head", "store", "s", "--rows", "0"], 2, "'0' is not a whole number above 0"),
        (["describe", "store", "x"], 1, "there is no stream 'x'"),
        (["query", "store", "m.py:by_key", "--format", "parquet"], 2, "parquet is not text: name a file with -o FILE"),
        (["query", "store", "m.py:by_key", "-o", "x"], 2, "-o x: say its --format, or end its name in .txt, .json"),
        (["query", "store", "m.py:by_key", "-o", "no/x.csv"], 2, "-o no/x.csv: there is no folder no"),
        (["query", "store", "m.py:by_key", "-o", "store", "--format", "csv"], 2, "-o store: that is a folder"),
    ],
)  # fmt: skip
def test_mistakes(place: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, said: str) -> None:
    before = sorted(p.name for p in place.iterdir())
    assert main(arguments) == code
    text = capsys.readouterr().err
    assert said in text
    assert text.count("\n") == 1
    assert sorted(p.name for p in place.iterdir()) == before


def test_into_a_pipe(place: Path) -> None:
    """The data on standard output, all else on standard error."""
    done = script("export", "store", "s", "--to", "-", "--format", "csv", check=True)
    assert done.stdout.decode().splitlines()[0] == "k,t,v,s"
    assert done.stderr.decode() == "s: 3 points with 4 columns written\n"
    done = script("export", "store", "s", "--to", "-", "--format", "parquet", check=True)
    assert pq.read_table(io.BytesIO(done.stdout)).num_rows == 3
    done = script("query", "store", "m.py:by_key", "-o", "-", "--format", "parquet", check=True)
    assert pq.read_table(io.BytesIO(done.stdout)).column("n").to_pylist() == [2, 1]


@pytest.mark.parametrize(
    "arguments",
    [
        ["export", "store", "s", "--to", "-", "--format", "parquet"],
        ["query", "store", "m.py:by_key", "-o", "-", "--format", "parquet"],
    ],
)
def test_no_bytes_for_a_terminal(place: Path, arguments: list[str]) -> None:
    leader, follower = pty.openpty()
    try:
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        done = subprocess.run(
            [sys.executable, "-m", "deploy", *arguments],
            env=environment, stdout=follower, stderr=subprocess.PIPE, timeout=120, check=False,
        )  # fmt: skip
    finally:
        os.close(follower)
        os.close(leader)
    assert done.returncode == 2
    assert b"parquet is not text" in done.stderr


def test_a_reader_that_has_enough(place: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = f"{sys.executable} -m deploy export store s --to - --format csv | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], env=environment, capture_output=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (0, b"k,t,v,s\n")


# Results


def test_formats_of_a_result(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert out(capsys, "query", "store", "m.py:by_key", "--format", "markdown") == (
        "| k   |   n | most | last                     |\n"
        "| :-- | --: | ---: | :----------------------- |\n"
        "| a   |   2 |    1 | 2024-03-02T00:00:00.500Z |\n"
        "| b   |   1 |    2 | 2024-03-01T00:00:01.000Z |\n"
    )
    assert out(capsys, "query", "store", "m.py:texts", "--format", "markdown").splitlines()[2:] == [
        "| =1+1   |   1 |",
        "| x \\| y |   2 |",
    ]
    assert [
        json.loads(line) for line in out(capsys, "query", "store", "m.py:by_key", "--format", "ndjson").splitlines()
    ] == [
        {"k": "a", "n": 2, "most": 1, "last": "2024-03-02T00:00:00.500000Z"},
        {"k": "b", "n": 1, "most": 2, "last": "2024-03-01T00:00:01.000000Z"},
    ]


@pytest.mark.parametrize("name", ["r.txt", "r.json", "r.csv", "r.ndjson", "r.md"])
def test_a_file_holds_what_would_be_printed(place: Path, capsys: pytest.CaptureFixture[str], name: str) -> None:
    form = {"txt": "table", "md": "markdown"}.get(name[2:], name[2:])
    printed = out(capsys, "query", "store", "m.py:texts", "--format", form)
    Path(name).write_text("old")
    assert out(capsys, "query", "store", "m.py:texts", "-o", name) == ""
    assert Path(name).read_text() == printed
    assert main(["query", "store", "m.py:texts", "--output", "x", "--format", form]) == 0
    assert "result written to x" in capsys.readouterr().err
    assert Path("x").read_text() == printed


def test_parquet_and_csv_of_a_result(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out(capsys, "query", "store", "m.py:by_key", "-o", "r.parquet")
    table = pq.read_table("r.parquet")
    assert [str(field.type) for field in table.schema] == ["string", "int64", "int64", "timestamp[us, tz=UTC]"]
    assert table.column("most").to_pylist() == [1, 2]
    # A spreadsheet may open a result; points are exported as they are.
    assert list(csv.reader(io.StringIO(out(capsys, "query", "store", "m.py:texts", "--format", "csv"))))[1] == [
        "'=1+1",
        "1",
    ]


def test_the_provenance_of_a_row_as_rows(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    why = ["query", "store", "m.py:by_key", "--why", "k=a"]
    assert out(capsys, *why, "--format", "markdown").startswith("| k ")
    out(capsys, *why, "-o", "why.parquet")
    assert pq.read_table("why.parquet").num_rows == 2
    assert set(json.loads(out(capsys, *why, "--format", "json"))) == {"row", "rows", "total", "keys", "files"}
    assert "from 2 files" in out(capsys, *why)


def test_without_pyarrow(place: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    for command in (
        ["export", "store", "s", "--to", "x.parquet"],
        ["query", "store", "m.py:by_key", "-o", "x.parquet"],
    ):
        assert main(command) == 1
        assert "needs pyarrow, which is not installed: pip install 'antfold[parquet]'" in capsys.readouterr().err
