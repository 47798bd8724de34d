"""A new user's first store and metric file, and every kind of mistake: each gives one sentence."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from pathlib import Path

import pytest

import dataflow as df
from deploy.cli import main
from operators.errors import DataflowError
from operators.nearest import nearest
from runtime import Store

ROOT = Path(__file__).resolve().parents[2]
POINTS = """\
{"device":"a","ts":1709251200,"temp":1.5,"firmware":"1.0"}
{"device":"b","ts":1709254800,"temp":2.5,"firmware":"1.1"}
{"ts":1709258400,"temp":3.5}
{"device":"b","ts":1709258400,"temp":3.5}
"""
METRICS = """\
import dataflow as df

points = df.stream("telemetry")
heat = points.filter(df.col("temp") > df.param("above", default=1.0)).group_by("device").agg(n=df.count())
zone = points.group_by(d=df.time().truncate("1d", "Europe/Berln")).agg(n=df.count())
gone = df.stream("telemetri").agg(n=df.count())
column = points.group_by("devise").agg(n=df.count())
needs = points.filter(df.col("firmware") == df.param("status")).agg(n=df.count())
lines = (
    points
    .filter(df.col("temp") > 1)
    .group_by("devise")
    .agg(n=df.count())
)
sum = points.agg(n=df.sum(df.when(df.col("temp") > 0).then(2**63 - 1).otherwise(1)))
"""


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Path:
    monkeypatch.chdir(tmp_path)
    Path("points.ndjson").write_text(POINTS)
    Path("metrics.py").write_text(METRICS)
    Path("rubbish.bin").write_bytes(bytes(range(128, 256)) * 50)
    Path("points.csv").write_text("device,ts,temp\na,1709251200,1\n")
    Path("folder").mkdir()
    assert (
        main(["ingest", "store", "telemetry", "points.ndjson", "--key", "device", "--time", "ts", "--unit", "s"]) == 0
    )
    assert main(["publish", "store", "metrics.py:heat", "--name", "heat", "--describe", "Warm devices"]) == 0
    capsys.readouterr()
    return tmp_path


INGEST = ["--key", "device", "--time", "ts", "--unit", "s"]


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["quer", "store"], 2, "there is no command 'quer'; did you mean 'query'?"),
        (["help", "quer"], 2, "there is no command 'quer'; did you mean 'query'?"),
        (["--hepl"], 2, "there is no option --hepl; did you mean --help?"),
        (["query", "store", "metrics.py:heat", "--sinc", "2024-03-01"], 2, "no option --sinc; did you mean --since?"),
        (["query", "store", "metrics.py:heat", "--format", "tabel"], 2, "'tabel' is none of its values; did you mean"),
        (["ingest", "store", "t", "points.csv", "--unit", "sec"], 2, "'sec' is none of its values; did you mean 's'?"),
        (["ingest", "store", "t", "points.csv", *INGEST[:4], "--format", "cvs"], 2, "did you mean 'csv'?"),
        (["query", "store", "metrics.py:heet"], 1, "metrics.py has no metric 'heet'; did you mean 'heat'? Its metrics"),
        (["query", "store", "metric.py:heat"], 1, "there is no file metric.py; did you mean 'metrics.py'?"),
        (["query", "store", "metrics.py:zone"], 1, "no time zone 'Europe/Berln'; did you mean 'Europe/Berlin'?"),
        (["query", "store", "metrics.py:gone"], 1, "no stream 'telemetri' in this store; did you mean 'telemetry'?"),
        (["query", "store", "metrics.py:column"], 1, "there is no column 'devise'; did you mean 'device'?"),
        (["query", "store", "metrics.py:heat", "--param", "abov="], 1, "no parameter 'abov'; did you mean 'above'?"),
        (["query", "store", "metrics.py:needs", "--param", "statu=up"], 1, "no parameter 'statu'; did you mean"),
        (["query", "store", "metrics.py:heat", "--param", "above="], 1, "float64, and was given an empty text"),
        (["query", "store", "metrics.py:heat", "--param", "above=1", "--param", "above=2"], 2, "is given twice"),
        (["query", "store", "metrics.py:heat", "--since", "yesterdy"], 2, "--since: 'yesterdy' is not a time; did you"),
        (["query", "store", "metrics.py:heat", "--until", "tody-30d"], 2, "did you mean 'today-30d'?"),
        (["query", "store", "metrics.py:heat", "--since", "2024-03"], 2, "did you mean '2024-03-01'?"),
        (["query", "store", "metrics.py:heat", "--since", "-7days"], 2, "--since: '7days' is not a duration; did you"),
        (["query", "store", "metrics.py:heat", "--since", "2024-13-01"], 2, "'2024-13-01' is not a time; write -7d"),
        (["query", "store", "metrics.py:heat", "--plot", "x.pgn"], 2, "--plot x.pgn: did you mean '.png'?"),
        (["query", "store", "metrics.py:heat", "--plot", "none/x.png"], 2, "there is no folder none"),
        (["help", "query", "extra"], 2, "help takes one command; 'extra' is one argument too many"),
        (["query", "store", "metrics.py:heat", "--param", "abov=1"], 1, "no parameter 'abov'; did you mean 'above'?"),
        (["query", "store", "metrics.py:heat", "--param", "above=warm"], 1, "is of type float64, which 'warm' is not"),
        (["query", "store", "heet"], 1, "no published query 'heet' in this store; did you mean 'heat'?"),
        (["query", "store", "heat", "--param", "abov=1"], 1, "has no parameter 'abov'; did you mean 'above'?"),
        (["query", "store", "heat", "--alert", "nn > 1"], 1, "the result has no column 'nn'; did you mean 'n'?"),
        (["query", "store", "heat", "--why", "devise=a"], 1, "the result has no column 'devise'; did you mean"),
        (["query", "store", "rubbish.bin:heat"], 1, "is not a metric: give a Python file as file.py:name"),
        (["query", "store", "folder/x.json"], 1, "cannot read folder/x.json: No such file"),
        (["queries", "store", "heet"], 1, "did you mean 'heat'?"),
        (["files", "store", "telemetri"], 1, "did you mean 'telemetry'?"),
        (["queries", "nothing"], 1, "there is no store here"),
        (["query", "nothing", "heat"], 1, "there is no store here"),
        (["publish", "nothing", "metrics.py:heat", "--name", "heat"], 1, "there is no store here"),
        (["streams", "points.csv"], 1, "is a file; a store is a folder"),
        (["ingest", "store", "t", "missing.json", *INGEST], 1, "missing.json cannot be read: No such file"),
        (["ingest", "store", "t", "folder", *INGEST], 1, "folder is a folder"),
        (["ingest", "store", "t", "rubbish.bin", *INGEST], 1, "rubbish.bin is neither JSON nor CSV"),
        (["ingest", "store", "t", "points.csv", "--key", "devic", *INGEST[2:]], 1, "no column 'devic' (--key); did"),
        (["ingest", "store", "t", "points.csv", *INGEST[:2], "--time", "t"], 1, "no column 't' (--time)"),
        (["ingest", "store", "t", "points.ndjson", "--key", "devic", *INGEST[2:]], 1, "--key: did you mean 'device'?"),
    ],
)  # fmt: skip
def test_mistakes(place: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, said: str) -> None:
    assert main(arguments) == code
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.err.count("\n") == 1 or "--alert" in arguments


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('x = df.meen("temp")', "dataflow has no 'meen'; did you mean 'mean'?"),
        ('x = df.col("a").trunc("1d")', "an expression has no 'trunc'; did you mean 'truncate'?"),
        ('x = df.stream("a").sessionise("5m")', "a stream has no 'sessionise'; did you mean 'sessionize'?"),
        ('x = df.stream("a").group_by("b").mean("c")', "after group_by write .agg(...), like .agg(n=df.mean(...))"),
        ('x = df.stream("a").agg(df.count())', "give every aggregate a name, like agg(n=df.count())"),
        ('x = df.time().truncate("1d", zon="UTC")', "did you mean 'zone'?"),
        ('x = df.mean("a", wher=1)', "did you mean 'where'?"),
        ('x = df.time().truncate("1day")', "'1day' is not a bucket; did you mean '1d'?"),
        ('x = df.stream("a").heartbeat("5 minutes")', "'5 minutes' is not a duration; did you mean '5m'?"),
        ('x = lenn("a")', "name 'lenn' is not defined; did you mean 'len'?"),
        ("from dataflow import meen", "did you mean 'mean'?"),
        ("x = (1", "'(' was never closed"),
    ],
)
def test_a_mistake_in_a_metric_file_has_its_line(
    place: Path, capsys: pytest.CaptureFixture[str], line: str, said: str
) -> None:
    Path("wrong.py").write_text(f"import dataflow as df\n\n# A comment.\n{line}\n")
    for name in ("wrong.py", "./wrong.py", str(place / "wrong.py"), "folder/../wrong.py"):
        assert main(["query", "store", f"{name}:x"]) == 1
        shown = capsys.readouterr().err
        assert f"{Path(name)}:4: " in shown
        # Since 3.13 Python itself names the option that was meant, with a capital letter.
        assert said.lower() in shown.lower()


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda s: s.group_by(firmware="firmware"), "write firmware=df.col('firmware') for the column"),
        (lambda s: s.group_by(day="1d"), "write day=df.time().truncate('1d') for buckets of time"),
        (lambda s: s.with_columns(x="y"), "with_columns: x='y' is a plain string"),
        (lambda s: s.select(x="y"), "select: x='y' is a plain string"),
        (
            lambda s: s.heartbeat("5m").concurrent(df.col("alive"), site="site"),
            "concurrent: site='site' is a plain string",
        ),
        (lambda s: s.group_by(["a", "b"]), "not as a list"),
        (lambda s: s.group_by(df.count()), "an aggregate belongs in agg(...)"),
        (lambda s: df.col("a").is_in("up"), "write is_in(['up'])"),
        (lambda s: "up" in df.col("a"), "is_in"),
    ],
)
def test_bare_texts_are_refused(call: object, said: str) -> None:
    with pytest.raises(DataflowError) as caught:
        call(df.stream("s"))  # type: ignore[operator]
    assert said in str(caught.value)


def test_a_constant_text_can_be_meant(place: Path) -> None:
    with Store("store") as store:
        metric = df.stream("telemetry").group_by(kind=df.lit("all")).agg(n=df.count())
        assert list(store.query(metric, progress=False)) == [("all", 3)]


@pytest.mark.parametrize(
    ("name", "line"), [("zone", 5), ("gone", 6), ("column", 7), ("lines", 12), ("sum", 15), ("heat", 4)]
)
def test_an_error_of_a_step_names_the_file_and_the_line(
    place: Path, capsys: pytest.CaptureFixture[str], name: str, line: int
) -> None:
    wrong = ["--param", "above=warm"] if name == "heat" else []
    commands = [["query"]] if name == "sum" else [["query"], ["explain"]]
    for command in commands:
        assert main([*command, "store", f"./metrics.py:{name}", *wrong]) == 1
        assert capsys.readouterr().err.startswith(f"dataflow: metrics.py:{line}: step ")
    if name in ("zone", "gone", "column", "lines"):
        assert main(["publish", "store", f"metrics.py:{name}", "--name", "x"]) == 1
        assert capsys.readouterr().err.startswith(f"dataflow: metrics.py:{line}: step ")


def test_an_error_of_a_step_of_a_json_file_names_the_file(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("m.json").write_text(df.stream("telemetry").group_by("devise").agg(n=df.count()).to_json())
    assert main(["query", "store", "m.json"]) == 1
    assert capsys.readouterr().err.startswith("dataflow: m.json: step 2 (group_by): there is no column 'devise'")


def test_an_empty_answer_has_no_chart(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["query", "store", "metrics.py:heat", "--since", "2025-01-01", "--plot", "chart.png"]) == 0
    said = capsys.readouterr().err
    assert said.startswith("no chart: nothing to plot, the range is after all points: the stream has points from")
    assert not Path("chart.png").exists()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ('x = df.stream("a").agg(m=df.count)', "wrong.py:4: agg: df.count needs parentheses: df.count()"),
        ('x = df.stream("a").filter(df.time.hour() > 3)', "df.time needs parentheses: df.time()"),
        ('x = df.stream("a").filter.agg(n=df.count())', ".filter needs parentheses"),
        ('x = df.stream("a").filter(df.col("a").abs > 3)', "was a function left without its parentheses?"),
        ('x = df.stream("a").agg(m=df.count().alias("n"))', "an aggregate has no 'alias'; name it in agg(...)"),
    ],
)
def test_forgotten_parentheses(place: Path, capsys: pytest.CaptureFixture[str], line: str, said: str) -> None:
    Path("wrong.py").write_text(f"import dataflow as df\n\n# A comment.\n{line}\n")
    assert main(["query", "store", "wrong.py:x"]) == 1
    assert said in capsys.readouterr().err


def test_what_stands_under_a_table(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def under(*arguments: str) -> list[str]:
        assert main(["query", "store", "metrics.py:heat", *arguments]) == 0
        lines = capsys.readouterr().out.splitlines()
        return lines[next(i for i, line in enumerate(lines) if line.endswith((" row", " rows"))) :]

    extent = "the stream has points from 2024-03-01 00:00 to 2024-03-01 02:00 UTC"
    assert under() == [
        " 2 rows",
        " telemetry, 2024-03-01 00:00 to 2024-03-01 02:00:00.000001 UTC: 3 rows read, 1 rejected at ingest",
    ]
    assert under("--since", "2024-03-01T01:00") == [
        " 1 row",
        " telemetry, 2024-03-01 01:00 to 2024-03-01 02:00:00.000001 UTC: 3 rows read, 1 rejected at ingest",
    ]
    assert under("--until", "2024-02-03", "--since", "2024-02-01")[-1] == f" the range is before all points: {extent}"
    assert under("--since", "2024-04-01")[-1] == f" the range is after all points: {extent}"
    assert under("--since", "2024-03-01", "--until", "2024-03-01")[-1] == f" the range is empty; {extent}"
    assert under("--param", "above=99")[-1] == f" no row is left after the metric's steps; {extent}"
    assert under("--since", "-7d")[-1] == f" the range is after all points: {extent}"


def test_rejects_belong_to_the_range_of_their_source(place: Path) -> None:
    Path("later.ndjson").write_text('{"device":"a","ts":1712000000,"temp":1}\n{"ts":5}\n{"ts":6}\n')
    with Store("store") as store:
        store.ingest("telemetry", "later.ndjson", key="device", time="ts", unit="s", progress=False)
        metric = df.stream("telemetry").agg(n=df.count())
        shown = [
            str(store.query(metric, since=since, until=until, progress=False))
            for since, until in ((None, None), ("2024-03-01", "2024-03-02"), ("2024-03-02", "2024-05-01"))
        ]
    assert [n for text in shown for n in (1, 2, 3) if f"{n} rejected at ingest" in " ".join(text.split())] == [3, 1, 2]


def test_notes_stand_under_the_table(place: Path) -> None:
    with Store("store") as store:
        result = store.query(df.stream("telemetry").agg(n=df.count()), progress=False)
    result.notes.append("fw is not reported on these rows")
    assert repr(result).endswith("\n note: fw is not reported on these rows")
    assert "note: fw is not reported on these rows" in result._repr_html_()


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["help"]) == 0
    overview = capsys.readouterr().out
    assert "commands:" in overview
    assert main(["help", "query"]) == 0
    shown = capsys.readouterr().out
    assert main(["query", "--help"]) == 0
    assert capsys.readouterr().out == shown
    ran = subprocess.run(
        [sys.executable, "-m", "dataflow", "help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert ran.stdout == overview


def test_a_description_stays(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    publish = ["publish", "store", "metrics.py:heat", "--name", "heat"]
    assert main(publish) == 0
    assert main([*publish, "--default", "above=2"]) == 0
    assert main(["queries", "store"]) == 0
    assert capsys.readouterr().out.splitlines() == ["heat@1", "heat@2", "heat@2  Warm devices"]
    assert main([*publish, "--describe", ""]) == 0
    assert main(["queries", "store"]) == 0
    assert capsys.readouterr().out.splitlines() == ["heat@3", "heat@3"]


def test_a_reader_that_leaves_changes_no_exit_code(place: Path) -> None:
    command = [sys.executable, "-m", "deploy", "query", "store", "heat", "--save", "--alert"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    for threshold, code in (("n > 0", 3), ("n > 99", 0)):
        read, write = os.pipe()
        os.close(read)
        with os.fdopen(write, "wb") as out:
            ran = subprocess.run(
                [*command, threshold], text=True, stderr=subprocess.PIPE, stdout=out, env=environment, check=False
            )
        assert ran.returncode == code
        assert ran.stderr.startswith("result saved as ")
        assert "Traceback" not in ran.stderr


def test_a_store_that_nobody_closes_leaves_nothing_open(place: Path, recwarn: pytest.WarningsRecorder) -> None:
    store = Store("store")
    assert store.streams()
    connection = store.catalogue.table._connection  # type: ignore[attr-defined]
    del store
    gc.collect()
    with pytest.raises(Exception, match="closed"):
        connection.execute("select 1")
    assert not recwarn.list
    code = "import runtime; print(len(runtime.Store('store').streams()))"
    command = [sys.executable, "-W", "error", "-X", "dev", "-c", code]
    ran = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=True
    )
    assert (ran.stdout, ran.stderr) == ("1\n", "")


@pytest.mark.parametrize(
    ("name", "known", "found"),
    [
        ("tmp", ["temp", "ts"], "temp"),
        ("Temp", ["temp"], "temp"),
        ("temp", ["temperature", "device"], "temperature"),
        ("firmware", ["payload.firmware", "ts"], "payload.firmware"),
        ("missing-key", ["missing_key"], "missing_key"),
        ("zzz", ["temp", "ts"], None),
        ("", ["temp"], None),
        (None, ["temp"], None),
    ],
)
def test_nearest(name: object, known: list[str], found: str | None) -> None:
    assert nearest(name, known) == found


def test_types_are_said_to_be_there() -> None:
    assert all((ROOT / package / "py.typed").is_file() for package in ("dataflow", "operators", "runtime", "deploy"))
