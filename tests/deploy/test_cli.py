"""The console script: arguments, formats, exit codes, and one sentence for every failure."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import runtime
from deploy.cli import main
from deploy.commands import COMMANDS
from operators.errors import DataflowError
from runtime.progress import NoProgress
from runtime.store import Store
from tests.deploy.fakes import FakeStore

ROOT = Path(__file__).resolve().parents[2]
METRIC = """
import dataflow as df
hot = df.stream("telemetry").filter(df.col("temp") > df.param("above", default=1.0))
uptime = hot.group_by("firmware").agg(n=df.count())
"""


@pytest.fixture(autouse=True)
def store(monkeypatch: pytest.MonkeyPatch) -> Iterator[type[FakeStore]]:
    monkeypatch.setattr(runtime, "Store", FakeStore, raising=False)
    FakeStore.calls.clear()
    FakeStore.fails, FakeStore.ok = None, True
    yield FakeStore
    FakeStore.fails = None


@pytest.fixture
def metric(tmp_path: Path) -> str:
    (tmp_path / "metrics.py").write_text(METRIC)
    return f"{tmp_path / 'metrics.py'}:uptime"


def call(name: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
    return next((a, o) for n, a, o in FakeStore.calls if n == name)


def test_overview_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f"  {name} " in shown for name in COMMANDS)
    assert main([]) == 2
    assert "usage:" in capsys.readouterr().err
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("antfold")


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_an_example_that_parses(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    from deploy.cli import command_parser

    assert main([name, "--help"]) == 0
    shown = capsys.readouterr().out
    assert f"example:\n  dataflow {name}" in shown
    words = shown.split("example:\n  dataflow ")[1].split()
    command_parser(name, COMMANDS[name]).parse_args(words[1:])


@pytest.mark.parametrize(
    "arguments",
    [
        ["nix"],
        ["query", "store"],
        ["query", "store", "m.py", "--nix"],
        ["query", "store", "m.py", "--sin", "2024-01-01"],
        ["query", "store", "m.py", "--workers", "0"],
        ["query", "store", "m.py", "--workers", "many"],
        ["query", "store", "m.py", "--budget", "-1"],
        ["query", "store", "m.py", "--budget", "nan"],
        ["explain", "store", "m.py", "--fleet", "0"],
        ["explain", "store", "m.py", "--fleet", "9", "--warm", "--cold"],
        ["query", "store", "m.py", "--param", "above"],
        ["query", "store", "m.py", "--format", "xml"],
        ["query", "store", "m.py", "--plot", "chart.pdf"],
        ["ingest", "store", "telemetry"],
        ["ingest", "store", "telemetry", "f", "--unit", "min"],
        ["ingest", "store", "unheard", "f", "--key", "k"],
        ["simulate", "out", "--devices", "-3"],
        ["simulate", "out", "--seed", "-1"],
    ],
)
def test_wrong_usage_is_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("dataflow")
    assert captured.err.endswith(" --help)\n")
    assert captured.err.count("\n") == 1


def test_values_that_begin_with_a_dash(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "points.csv"
    path.write_text("k,time,v\na,2024-01-01,-999\na,2024-01-02,-\n")
    for words in ("-", "-,(none)", "-999,-", "-%"):
        assert main(["preview", str(path), "--null", words]) == 0
        assert f"--null={words}" in capsys.readouterr().out.replace("'", "")
    assert main(["preview", str(path), "--null", "--key", "k"]) == 2


def test_query_passes_everything_on(metric: str, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--since", "2024-03-01", "--until", "2024-03-08", "--workers", "2", "--executor", "lambda:mine"]
    arguments += ["--budget", "0.5"]
    params = ["--param", "above=25", "--param", "name=x=y", "--param", "on=true", "--param", "list=[1]"]
    assert main(["query", *arguments, "here", *params, metric]) == 0
    (asked,), options = call("query")
    assert [type(s).__name__ for s in asked.steps] == ["Source", "Filter", "GroupBy"]
    assert isinstance(options.pop("progress"), NoProgress)
    assert options == {
        "since": "2024-03-01",
        "until": "2024-03-08",
        "params": {"above": 25, "name": "x=y", "on": True, "list": "[1]"},
        "executor": "lambda:mine",
        "workers": 2,
        "budget": 0.5,
        "below_floor": False,
        "cache": None,
    }
    assert call("open") == (("here",), {"create": False})
    assert capsys.readouterr().out.splitlines()[-1] == " 3 rows"


def test_query_formats(metric: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["query", "s", metric, "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out) == {
        "columns": ["firmware", "uptime", "known"],
        "types": {"firmware": "string", "uptime": "float64", "known": "duration"},
        "rows": [[None, None, 0], ["1.2.0", 0.5, 1_000_000], ["=evil", 0.25, str(2**60)]],
        "proof": {"snapshot": 1},
    }
    assert main(["query", "s", metric, "--format", "csv", "--plot", str(tmp_path / "c.svg")]) == 0
    captured = capsys.readouterr()
    assert captured.out == f"firmware,uptime,known\n,,0\n1.2.0,0.5,1000000\n'=evil,0.25,{2**60}\n"
    assert captured.err == f"chart written to {tmp_path / 'c.svg'}\n"
    assert (tmp_path / "c.svg").read_text().startswith("<?xml")


def test_explain(metric: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "s", metric, "--since", "2024-03-01"]) == 0
    assert capsys.readouterr().out == "the plan\n"
    asked = call("explain")[1]
    assert (asked["since"], asked["fleet"], asked["warm"]) == ("2024-03-01", None, True)


def test_explain_of_a_fleet(metric: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explain", "s", metric, "--fleet", "3000", "--cold"]) == 0
    asked = call("explain")[1]
    assert (asked["fleet"], asked["warm"]) == (3_000, False)
    assert main(["explain", "s", metric, "--cold"]) == 2
    assert "need --fleet N" in capsys.readouterr().err


def test_ingest_passes_everything_on(capsys: pytest.CaptureFixture[str]) -> None:
    options = ["--key", "k", "--time", "t", "--unit", "ms", "--format", "csv"]
    options += ["--duplicates", "exact", "--id", "i", "--missing-key", "none"]
    assert main(["ingest", "s", "clicks", "a.csv", "-", *options]) == 0
    args, given = call("ingest")
    assert args == ("clicks", "a.csv", "-")
    del given["progress"]
    assert given == {
        "key": "k",
        "time": "t",
        "unit": "ms",
        "format": "csv",
        "duplicates": "exact",
        "id": "i",
        "missing_key": "none",
        "preset": None,
        "compact": True,
        "replace": False,
        "source": None,
    }
    assert call("open") == (("s",), {"create": True})
    assert capsys.readouterr().out == "ingested\n"


def test_a_known_stream_needs_no_key() -> None:
    assert main(["ingest", "s", "telemetry", "a.json"]) == 0
    given = call("ingest")[1]
    assert (given["key"], given["time"]) == (None, None)  # the stream's own


def test_streams_and_files(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["streams", "s"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "telemetry",
        "  1,234,567 rows, 3.46 MB in 9 files, 3 days (2024-03-01 to 2024-03-02)",
        "  2 rejected, 17 duplicates dropped or merged",
        "  key device string, time ts, duplicates: latest",
        "  columns: status string, temp float64",
    ]
    assert main(["streams", "s", "--format", "json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)["streams"]
    assert found["rows"] == 1_234_567
    assert found["schema"]["columns"] == {"status": "string", "temp": "float64"}
    assert main(["files", "s", "telemetry"]) == 0
    assert "0123456789abcdef0123456789abcdef-1.points" in capsys.readouterr().out  # whole, when piped
    assert main(["files", "s", "telemetry", "--format", "json"]) == 0
    (file,) = json.loads(capsys.readouterr().out)["files"]
    assert file["day"] == "2024-03-01"
    assert file["nulls"] == {"temp": 3}


def test_verify_fails_when_something_is_broken(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", "s"]) == 0
    FakeStore.ok = False
    assert main(["verify", "s"]) == 1
    assert main(["verify", "s", "--format", "json"]) == 1
    assert capsys.readouterr().out == 'fine\nbroken\n{"ok": false}\n'


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (DataflowError("no such store:\n name another"), 1, "no such store: name another"),
        (FileNotFoundError(2, "No such file or directory", "x.json"), 1, "x.json: No such file or directory"),
        (OSError(28, "No space left on device"), 1, "No space left on device"),
        (MemoryError(), 1, "out of memory"),
        (KeyboardInterrupt(), 130, "interrupted"),
        (ValueError("oops"), 1, "internal error, please report it: "),
    ],
)
def test_failures_are_one_line(
    error: BaseException, code: int, said: str, metric: str, capsys: pytest.CaptureFixture[str]
) -> None:
    FakeStore.fails = error
    assert main(["query", "s", metric]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("dataflow: ")
    assert captured.err.count("\n") == 1
    assert said in captured.err


def test_a_defect_can_be_looked_into(metric: str, monkeypatch: pytest.MonkeyPatch) -> None:
    FakeStore.fails = ValueError("oops")
    monkeypatch.setenv("ANTFOLD_DEBUG", "1")
    with pytest.raises(ValueError, match="oops"):
        main(["query", "s", metric])


def test_a_reader_that_goes_away_is_no_error() -> None:
    code = (
        "import sys, deploy.cli as cli; from deploy.commands import COMMANDS; "
        "from deploy.commands.shared import Command; "
        "COMMANDS['talk'] = Command('', '', lambda p: None, lambda o: print('x' * 100_000) or 0); "
        "sys.exit(cli.main(['talk']))"
    )
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write, "wb") as out:
        command = [sys.executable, "-c", code]
        ran = subprocess.run(command, cwd=ROOT, text=True, stderr=subprocess.PIPE, stdout=out, check=False)
    assert (ran.returncode, ran.stderr) == (0, "")


def test_a_terminal_without_the_characters() -> None:
    code = (
        "from deploy.cli import main; from deploy.commands.shared import show_table; "
        "from deploy.commands.store_views import column; "
        "from operators.types import Type; main(['--version']); show_table({'ü': column(Type.STRING, ['日'])})"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (ran.returncode, ran.stderr) == (0, "")


def test_the_script_starts_without_what_it_does_not_need() -> None:
    """A known query must start fast: no command is imported before it is asked for."""
    code = "import sys, deploy.cli; print(sorted({m.split('.')[0] for m in sys.modules} & set(sys.argv[1:])))"
    heavy = ["numpy", "numba", "rich", "pandas", "polars", "pyarrow", "matplotlib", "zstandard", "sqlite3"]
    ran = subprocess.run([sys.executable, "-c", code, *heavy], cwd=ROOT, capture_output=True, text=True, check=True)
    assert ran.stdout == "[]\n"


def test_a_known_query_starts_without_what_it_does_not_need(tmp_path: Path) -> None:
    """The whole process, from the command to the answer, with its kernel in the cache and the usual options."""
    columns = {"device": ["a", "b"], "ts": [1, 2], "up": [True, False]}
    Store(tmp_path / "store", create=True).ingest("s", columns, key="device", time="ts", unit="s", progress=False)
    (tmp_path / "m.py").write_text(
        "import dataflow as df\nm = df.stream('s').group_by('up').agg(n=df.count(), all=df.count_distinct('device'))\n"
    )
    code = "import runpy, sys\ntry:\n    runpy.run_module('deploy', run_name='__main__', alter_sys=True)\n"
    code += "finally:\n    print(*sys.modules, file=sys.stderr)"
    asked = ["query", str(tmp_path / "store"), f"{tmp_path / 'm.py'}:m", "--since=now-30000d", "--format", "json"]
    for _ in range(2):  # the first may have to compile
        ran = subprocess.run([sys.executable, "-c", code, *asked], cwd=ROOT, capture_output=True, text=True, check=True)
    assert len(json.loads(ran.stdout)["rows"]) == 2
    loaded = set(ran.stderr.split())
    assert {"runtime.query.execute", "numpy"} <= loaded
    needless = ["numba", "llvmlite", "boto3", "botocore", "rich", "pandas", "polars", "pyarrow", "dask", "asyncio"]
    needless += ["runtime.published.definition", "runtime.published.incremental", "runtime.schedules.scheduled_run"]
    needless += [
        "runtime.query.kernel_store",
        "runtime.aws.kms",
        "runtime.fleet.fleet",
        "runtime.ingest",
        "deploy.stack",
    ]
    assert [n for n in needless if n in loaded] == []
