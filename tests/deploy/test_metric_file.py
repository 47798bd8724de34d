"""Metric files: found, run safely, and every mistake with its place."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from deploy.metric_file import MetricFileError, load_metric

ONE = """import dataflow as df
points = df.stream("telemetry")
status = points.state_duration("status", hold="5m")
uptime = status.group_by("firmware").agg(up=df.share_of_time(df.col("status") == "up"))
_private = points.filter(df.col("temp") > 3)
threshold = 3
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "metrics.py"
    path.write_text(ONE)
    return path


def test_by_name_and_without(file: Path) -> None:
    by_name = load_metric(f"{file}:uptime")
    assert load_metric(str(file)).to_json() == by_name.to_json()
    assert len(load_metric(f"{file}:status").steps) == 2  # a step on the way can be asked for


def test_json(file: Path, tmp_path: Path) -> None:
    (tmp_path / "uptime.json").write_text(load_metric(str(file)).to_json())
    assert load_metric(str(tmp_path / "uptime.json")).to_json() == load_metric(str(file)).to_json()


def test_nothing_is_left_behind(file: Path) -> None:
    path, modules = list(sys.path), set(sys.modules)
    load_metric(str(file))
    assert sys.path == path
    assert {m for m in set(sys.modules) - modules if m.startswith("antfold_metrics")} == set()
    assert [p.name for p in file.parent.iterdir()] == ["metrics.py"]


def test_a_file_with_a_dataclass(file: Path) -> None:
    file.write_text(
        "from __future__ import annotations\nfrom dataclasses import dataclass\n"
        "@dataclass\nclass A:\n    x: int = 1\n" + ONE
    )
    load_metric(str(file))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("{}:nix", "has no metric 'nix'; its metrics: uptime"),
        ("{}:threshold", "threshold is an int, not a metric"),
        ("{}x", "not a metric: give a Python file"),
        ("nowhere/metrics.py:x", "there is no file"),
        ("nowhere/metrics.json", "cannot read"),
        ("uptime", "not a metric: give a Python file as file.py:name, or a JSON file"),
    ],
)
def test_names_that_are_wrong(file: Path, name: str, said: str) -> None:
    with pytest.raises(MetricFileError, match=r"^[^\n]*$") as e:
        load_metric(name.format(file))
    assert said in str(e.value)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("x = 1\ny = (\n", "metrics.py:2: '(' was never closed"),
        ("x = 1\n\nx / 0\n", "metrics.py:3: ZeroDivisionError: division by zero"),
        ("import dataflow as df\n\n\ndf.stream('')\n", "metrics.py:4: stream takes a name"),
        ("import sys\nsys.exit(3)\n", "metrics.py:2: SystemExit: 3"),
        (
            "x = 1\nimport beside\n",
            "metrics.py:2: No module named 'beside'; a metric file can import installed packages",
        ),
        ("def f():\n    raise KeyError('x')\n\nf()\n", "metrics.py:2: KeyError: 'x'"),
        ("x = 1\n", "defines 0 metrics (none); choose one"),
        (ONE + "other = points.filter(df.col('temp') > 2)\n", "defines 2 metrics (uptime, other); choose one: "),
    ],
)
def test_files_that_are_wrong(file: Path, body: str, said: str) -> None:
    file.write_text(body)
    (file.parent / "beside.py").write_text("")
    with pytest.raises(MetricFileError, match=r"^[^\n]*$") as e:
        load_metric(str(file))
    assert said in str(e.value)
    assert str(file) in str(e.value)


def test_a_group_without_aggregates(file: Path) -> None:
    file.write_text("import dataflow as df\nx = df.stream('a').group_by('b')\n")
    with pytest.raises(MetricFileError, match=r"end it in \.agg"):
        load_metric(f"{file}:x")


def test_json_that_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "m.json").write_text('{"antfold": 1, "steps": [{"op": "format_disk"}]}')
    with pytest.raises(MetricFileError, match=r"m\.json: "):
        load_metric(str(tmp_path / "m.json"))
    (tmp_path / "m.json").write_bytes(b"\xff\xfe")
    with pytest.raises(MetricFileError, match=r"m\.json"):
        load_metric(str(tmp_path / "m.json"))


def test_what_is_no_file(tmp_path: Path) -> None:
    (tmp_path / "folder.py").mkdir()
    os.mkfifo(tmp_path / "pipe.py")
    with pytest.raises(MetricFileError, match=r"folder\.py is a folder: give a metric as file\.py:name"):
        load_metric(f"{tmp_path / 'folder.py'}:m")
    with pytest.raises(MetricFileError, match=r"pipe\.py is not a regular file"):
        load_metric(f"{tmp_path / 'pipe.py'}:m")
