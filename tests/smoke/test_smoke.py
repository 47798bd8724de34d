"""What every supported Python must do with the installed packages alone; `.ci/smoke` runs it on each.

Every input format, one metric of every kind, both text forms, a chart, the console, and nothing left open. The full
suite runs on one Python; this covers what differs between them: argument parsing, SQLite, typing, tracebacks.
"""

from __future__ import annotations

import gc
import hashlib
import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from pathlib import Path

import pytest

import dataflow as df
from runtime import Store

MARCH = 1_709_251_200
LETTERS = "67b7cede7eb649cb92694f98798df4af11411323edee87fb4a97cbcc60f8b05d"
POINTS = [
    {
        "device": f"d{i % 3}",
        "ts": MARCH + 600 * i,
        "temp": 20.0 + i / 7,
        "status": ("up", "down", "up")[(i + i // 9) % 3],
    }
    for i in range(60)
]
P = df.stream("telemetry")
UP = df.col("status") == "up"
METRICS = {
    "points": P.group_by("device").agg(n=df.count(), mean=df.mean("temp"), high=df.quantile("temp", 0.9)),
    "states": P.state_duration("status", hold="1h").group_by("status").agg(d=df.duration(), up=df.share_of_time(UP)),
    "by hour": P.group_by(h=df.time().truncate("1h", "Europe/London")).agg(n=df.count(), top=df.top_k("status", 2)),
    "sessions": P.sessionize("30m", hot=df.max("temp")).agg(n=df.count(), longest=df.max("duration")),
    "windows": P.window("1d", zone="America/St_Johns", n=df.count()).agg(n=df.sum("n")),
    "funnel": P.funnel([UP, df.col("status") == "down"], within="2h").group_by("steps").agg(n=df.count()),
    "rows": P.with_columns(before=df.col("temp").previous()).filter(df.col("before") > 21).limit(5),
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("smoke")
    (folder / "points.ndjson").write_text("".join(json.dumps(p) + "\n" for p in POINTS))
    (folder / "metrics.py").write_text(f"import dataflow as df\n\nuptime = {METRICS['states']!r}\n")
    with Store(folder / "store", create=True) as store:
        points = str(folder / "points.ndjson")
        report = store.ingest("telemetry", points, key="device", time="ts", unit="s", progress=False)
        assert report.committed == len(POINTS)
    return folder


@pytest.mark.parametrize("name", METRICS)
def test_metrics(place: Path, name: str) -> None:
    metric = METRICS[name]
    with Store(place / "store") as store:
        answer = store.query(metric, progress=False)
        assert len(answer) > 0
        assert answer.proof.to_dict()["complete"] is True
        written = eval(repr(metric), {"df": df, "datetime": datetime, "timedelta": timedelta, "UTC": UTC})
        assert written.to_json() == metric.to_json() == df.from_json(metric.to_json()).to_json()
        assert store.query(written, progress=False, workers=2).to_dict()["rows"] == answer.to_dict()["rows"]


def test_numbers(place: Path) -> None:
    with Store(place / "store") as store:
        found = {row[0]: row[1] for row in store.query(METRICS["points"], progress=False)}
    assert found == {"d0": 20, "d1": 20, "d2": 20}


def test_every_form_comes_in(place: Path, tmp_path: Path) -> None:
    import gzip

    import pyarrow as pa
    import pyarrow.parquet as pq

    lines = ["device,ts,temp", *(f"{p['device']},{p['ts']},{p['temp']}" for p in POINTS)]
    (tmp_path / "a.csv").write_text("\n".join(lines))
    (tmp_path / "b.json.gz").write_bytes(gzip.compress(json.dumps(POINTS).encode()))
    pq.write_table(pa.Table.from_pylist(POINTS), tmp_path / "c.parquet")
    with Store(tmp_path / "store", create=True) as store:
        for number, name in enumerate(("a.csv", "b.json.gz", "c.parquet")):
            store.ingest(f"s{number}", str(tmp_path / name), key="device", time="ts", unit="s", progress=False)
        assert [s.rows for s in store.streams()] == [len(POINTS)] * 3
        assert store.verify().ok


def test_frames(place: Path) -> None:
    pytest.importorskip("pandas")
    metric = P.group_by("device").agg(
        n=df.count(), gone=df.max("temp", where=UP & (df.col("device") == "d0")), last=df.max(df.time(), where=UP)
    )
    with Store(place / "store") as store:
        answer = store.query(metric, progress=False)
    assert answer.to_pandas()["n"].sum() == len(POINTS)
    assert answer.to_arrow().num_rows == 3


def test_a_chart(place: Path) -> None:
    with Store(place / "store") as store:
        store.query(METRICS["by hour"], progress=False).plot(place / "chart.png")
    assert (place / "chart.png").read_bytes().startswith(b"\x89PNG")


def dataflow(place: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """The console script, where every warning is an error."""
    command = [sys.executable, "-X", "dev", "-W", "error", "-m", "dataflow", *arguments]
    return subprocess.run(command, cwd=place, capture_output=True, text=True, check=False)


def test_the_console(place: Path) -> None:
    ran = dataflow(place, "query", "store", "metrics.py:uptime", "--until", "2024-03-02", "--since", "-9999d")
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "telemetry, " in ran.stdout.splitlines()[-1]
    assert "rows read" in ran.stdout.splitlines()[-1]
    for name in ("publish", "query", "ingest", "demo"):
        ran = dataflow(place, "help", name)
        assert (ran.returncode, ran.stderr) == (0, "")
    for arguments, said in (
        (["query", "store", "metrics.py:uptime", "--sinc", "x"], "did you mean --since?"),
        (["query", "store", "metrics.py:uptime", "--format", "tabel"], "did you mean 'table'?"),
        (["query", "store"], "required: METRIC"),
        (["ingest", "store"], "required"),
        (["quer"], "did you mean 'query'?"),
    ):
        ran = dataflow(place, *arguments)
        assert ran.returncode == 2
        assert said in ran.stderr
        assert ran.stderr.count("\n") == 1


def test_the_line_of_a_mistake(place: Path) -> None:
    (place / "wrong.py").write_text("import dataflow as df\n\nx = df.meen('temp')\n")
    ran = dataflow(place, "query", "store", "wrong.py:x")
    assert ran.returncode == 1
    assert ran.stderr.startswith("dataflow: wrong.py:3: AttributeError: dataflow has no 'meen'; did you mean 'mean'?")


def test_nothing_is_left_open(place: Path) -> None:
    """Without ``with``: warnings are errors here, also those about unclosed connections."""
    assert len(Store(place / "store").query(METRICS["points"], progress=False)) == 3
    gc.collect()


def test_the_packages_say_that_they_have_types() -> None:
    assert all((files(name) / "py.typed").is_file() for name in ("dataflow", "operators", "runtime", "deploy"))


def test_letters_have_one_case_in_every_version() -> None:
    """``lower``, ``upper`` and ``strip`` of every character: answers do not depend on the version of Python."""
    letters = (chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000)
    text = "".join(f"{c.lower()}|{c.upper()}|{c.strip()}\n" for c in letters)
    assert hashlib.sha256(text.encode()).hexdigest() == LETTERS
