"""Published queries on the console, over a real store."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from deploy.cli import main
from deploy.metric_file import metric_named
from runtime import Store

METRICS = """
import dataflow as df
points = df.stream("telemetry")
hot = points.filter(df.col("temp") > df.param("above", 20.0)).group_by("device").agg(n=df.count(), most=df.max("temp"))
wrong = points.group_by("colour").agg(n=df.count())
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "metrics.py").write_text(METRICS)
    lines = [f'{{"device": "d{i % 3}", "ts": {1_709_251_200 + i}, "temp": {15 + i}}}' for i in range(12)]
    (tmp_path / "points.ndjson").write_text("\n".join(lines))
    arguments = ["--key", "device", "--time", "ts", "--unit", "s"]
    assert main(["ingest", "store", "telemetry", "points.ndjson", *arguments]) == 0
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> tuple[str, str]:
    capsys.readouterr()
    assert main(list(arguments)) == code, capsys.readouterr().err
    found = capsys.readouterr()
    return found.out, found.err


def test_from_publishing_to_an_alert(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(capsys, "queries", "store")[0] == "no published queries yet; create one with dataflow publish\n"
    publish = ["publish", "store", "metrics.py:hot", "--name", "hot", "--describe", "points above"]
    assert run(capsys, *publish)[0] == "hot@1\n"
    assert run(capsys, *publish)[0] == "hot@1\n"
    assert run(capsys, *publish, "--default", "above=25")[0] == "hot@2\n"
    (folder / "metrics.py").unlink()
    assert run(capsys, "queries", "store")[0] == "hot@2  points above\n"
    shown = run(capsys, "queries", "store", "hot")[0]
    assert "parameter above (float64), default 20.0" in shown
    assert "parameter above (float64), default 25.0" in shown
    assert "steps stream, filter, group_by (of the stream telemetry)" in shown
    assert "not signed" in shown
    assert [q["version"] for q in json.loads(run(capsys, "queries", "store", "hot", "--format", "json")[0])] == [1, 2]
    assert run(capsys, "query", "store", "hot", "--format", "csv")[0] == "device,n,most\nd2,1,26\n"
    asked = ["query", "store", "hot@1", "--param", "above=24", "--format", "csv"]
    out, err = run(capsys, *asked, "--alert", "most > 25", "--alert", "n < 1", "--save", code=3)
    assert out == "device,n,most\nd1,1,25\nd2,1,26\n"
    first, second = err.splitlines()
    assert first.startswith("result saved as results/hot/1/")
    assert second == "most > 25: device=d2, n=1, most=26"
    assert (folder / "store" / first.removeprefix("result saved as ")).is_file()
    assert run(capsys, *asked, "--alert", "most > 26")[1] == ""
    assert "n = count: exact" in run(capsys, "explain", "store", "hot")[0]


def test_what_was_read_is_kept_or_not(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "publish", "store", "metrics.py:hot", "--name", "hot")
    asked = ["query", "store", "hot", "--format", "json"]

    def cached(*more: str) -> int:
        return int(json.loads(run(capsys, *asked, *more)[0])["proof"]["files_cached"])

    assert [cached("--no-cache"), cached(), cached(), cached("--no-cache")] == [0, 0, 1, 0]


def test_relative_times(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(capsys, "publish", "store", "metrics.py:hot", "--name", "hot")
    assert run(capsys, "query", "store", "hot", "--since=-1d", "--format", "csv")[0] == "device,n,most\n"
    assert "d2" in run(capsys, "query", "store", "hot", "--until", "yesterday", "--format", "csv")[0]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["query", "store", "cold"], 1, "there is no published query 'cold' in this store; its queries: hot"),
        (["query", "store", "hot@9"], 1, "hot has no version 9"),
        (["query", "store", "metrics.py:hot", "--save"], 2, "--save needs a published query"),
        (["query", "store", "hot", "--alert", "most"], 1, "is not of the form COLUMN < NUMBER"),
        (
            ["query", "store", "hot", "--alert", "heat > 1"],
            1,
            "the result has no column 'heat'; it has device, n, most",
        ),
        (["query", "store", "./hot"], 1, "is not a metric: give a Python file"),
        (["queries", "store", "hot@1"], 2, "give NAME without a version"),
        (["queries", "store", "cold"], 1, "there is no published query 'cold'"),
        (["publish", "store", "metrics.py:hot"], 2, "--name"),
        (["publish", "store", "hot", "--name", "hot"], 1, "is not a metric"),
        (["publish", "store", "metrics.py:wrong", "--name", "w"], 1, "there is no column 'colour'"),
        (["publish", "store", "metrics.py:hot", "--name", "a b"], 1, "cannot be the name of a query"),
    ],
)
def test_mistakes(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, message: str
) -> None:
    run(capsys, "publish", "store", "metrics.py:hot", "--name", "hot")
    assert message in run(capsys, *arguments, code=code)[1]


@pytest.mark.parametrize("name", ["uptime", "uptime@3", "up-time.v2", "x"])
def test_names(name: str) -> None:
    assert metric_named(name) == name


def test_a_file_of_the_name_of_a_query_is_not_meant(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "hot").write_text("not a metric")
    run(capsys, "publish", "store", "metrics.py:hot", "--name", "hot")
    assert "d2" in run(capsys, "query", "store", "hot")[0]
    assert [p.name for p in Store("store").queries()] == ["hot"]


def test_a_trigger_for_all_followers(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Path("metrics.py").open("a") as file:
        file.write("often = df.trigger(rows=7)\nnumber = 5\n")
    publish = ["publish", "store", "metrics.py:hot", "--name", "hot"]
    assert run(capsys, *publish, "--trigger", "metrics.py:often")[0] == "hot@1\n"
    assert run(capsys, *publish, "--after-rows", "9", "--after-time", "1m")[0] == "hot@2\n"
    listed = run(capsys, "queries", "store", "hot")[0]
    assert "followers emit by trigger(rows=7)" in listed
    assert "followers emit by trigger(every='1m', rows=9)" in listed
    follow = ["follow", "store", "hot", "--every", "1ms", "--until-idle", "1ms"]
    assert '"pane": "early"' in run(capsys, *follow, "--after-commit")[0]
    for wrong, said in (
        (["--trigger", "metrics.py:oftn"], "has no trigger 'oftn'; did you mean 'often'"),
        (["--trigger", "metrics.py:number"], "number is an int, not a trigger"),
        (["--trigger", "often"], "'often' names no trigger: give a trigger as file.py:name"),
        (["--trigger", "none.py:often"], "there is no file none.py: give a trigger"),
        (["--trigger", "metrics.py:often", "--after-rows", "1"], "--trigger says it all"),
        (["--after-rows", "0"], "'0' is not a whole number above 0"),
        (["--after-time", "soon"], "trigger(every): 'soon' is not a duration"),
        (["--after-watermark"], "watermark=True needs rows that end"),
    ):
        assert main([*publish, *wrong]) in (1, 2)
        assert said in capsys.readouterr().err
