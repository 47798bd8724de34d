"""`dataflow preview`: text and JSON, exit codes, and the printed commands, which ingest the files."""

from __future__ import annotations

import gzip
import io
import json
import shlex
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import runtime
from deploy.cli import main

ROWS = [{"device": f"d{n % 3}", "ts": 1_700_000_000 + n, "v": n} for n in range(9)]
CSV = "device,ts,v\n" + "".join(f"{r['device']},{r['ts']},{r['v']}\n" for r in ROWS)


def commands(text: str) -> list[str]:
    return [line.strip() for line in text.partition("to ingest:\n")[2].splitlines()]


def run(command: str, store: Path) -> None:
    words = [{"STORE": str(store), "STREAM": "s"}.get(word, word) for word in shlex.split(command)]
    assert main(words[1:]) == 0


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_printed_command_ingests(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("a b.csv").write_text(CSV)
    Path("-it's.csv.gz").write_bytes(gzip.compress(CSV.replace(",7", ",NA").encode()))
    Path("lines.ndjson").write_text("".join(json.dumps(r) + "\n" for r in ROWS[:5]))
    pq.write_table(pa.Table.from_pylist(ROWS[:4]), "typed.parquet")
    before = sorted(folder.iterdir())
    assert main(["preview", "a b.csv", "./-it's.csv.gz", "lines.ndjson", "typed.parquet"]) == 0
    (command,) = commands(capsys.readouterr().out)
    assert sorted(folder.iterdir()) == before
    run(command, folder / "store")
    (stream,) = runtime.Store(str(folder / "store")).streams()
    assert (stream.rows, stream.sources, stream.rejected) == (27, 4, 0)


def test_options_are_kept(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("x.csv").write_text(CSV)
    given = ["--null=-", "--type", "v=float64", "--drop", "q,r", "--missing-key", "no one", "--time-format", "%d %m %Y"]
    assert main(["preview", "x.csv", "--format", "csv", "--key-value", "{stem} 1", *given]) == 0
    (command,) = commands(capsys.readouterr().out)
    words = shlex.split(command)
    assert words[:5] == ["dataflow", "ingest", "STORE", "STREAM", "x.csv"]
    assert {*given, "{stem} 1", "csv", "ts", "s"} <= {*words}
    assert "--key" not in words


def test_standard_input(folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(CSV.encode())))
    assert main(["preview", "-", "--output", "json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["commands"] == ["dataflow ingest STORE STREAM - --key device --time ts --unit s"]
    (one,) = answer["previews"]
    assert (one["form"], one["rows"], one["whole"], one["taken"]) == ("CSV", 9, True, 9)
    assert one["fields"][0] == {
        "name": "device",
        "type": "string",
        "values": 9,
        "distinct": 3,
        "samples": ["d0", "d1", "d2"],
    }


def test_nothing_can_be_taken(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("good.csv").write_text(CSV)
    Path("bad.csv").write_bytes(bytes(range(256)))
    Path("empty").touch()
    for name in ("bad.csv", "empty"):
        assert main(["preview", name]) == 1
        assert "nothing could be taken: " in capsys.readouterr().out
    assert main(["preview", "bad.csv", "good.csv"]) == 1
    shown = capsys.readouterr().out
    assert commands(shown) == ["dataflow ingest STORE STREAM good.csv --key device --time ts --unit s"]
    assert main(["preview", "missing.csv"]) == 1
    assert main(["preview", "good.csv", "--rows", "0"]) == 2
    assert main(["preview"]) == 2
