"""A tiny run of the benchmarks: `pytest -m bench tests/benchmarks`. Asserts no times."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

pa = pytest.importorskip("pyarrow")
pytest.importorskip("duckdb")
pytest.importorskip("chdb")

from tests.benchmarks.__main__ import main  # noqa: E402
from tests.benchmarks.data import MINUTE, Shape, draw  # noqa: E402
from tests.benchmarks.questions import QUESTIONS, AnswersDifferError, normal_form, same  # noqa: E402
from tests.benchmarks.runner import Bar, Report, Timing  # noqa: E402

pytestmark = pytest.mark.bench

SMALL = Shape(points=20_000, gaps=0.01)


def test_the_same_seed_draws_the_same_sorted_rows() -> None:
    first, again = draw(SMALL), draw(SMALL)
    assert first.to_arrow().equals(again.to_arrow())
    order = np.lexsort((first.ts, first.device))
    assert (order == np.arange(first.rows)).all()
    other = draw(dataclasses.replace(SMALL, seed=1))
    assert not other.to_arrow().equals(first.to_arrow())


def test_the_rows_are_as_declared() -> None:
    shape = Shape(points=200_000)
    rows = draw(shape)
    assert rows.rows == shape.fleet * shape.minutes == 200_000
    assert shape.since <= rows.ts.min()
    assert rows.ts.max() < shape.until
    assert (rows.ts % 1_000 == 0).all()
    inside = rows.device[1:] == rows.device[:-1]
    steps = np.diff(rows.ts)[inside]
    assert abs(steps - MINUTE).max() <= 2 * shape.jitter_ms * 1_000
    assert 0.005 < (np.diff(rows.status)[inside] != 0).mean() < 0.02
    assert (np.diff(rows.firmware)[inside] == 0).all()
    assert (np.round(rows.temp, 1) == rows.temp).all()


def test_a_difference_between_answers_is_seen() -> None:
    uptime, grouped = QUESTIONS[0], QUESTIONS[3]
    answer = pa.table({"firmware": ["b", "a"], "up": [1, 2], "known": [3, 4]})
    expected = normal_form(uptime, answer, 1_000)
    same(uptime, expected, normal_form(uptime, answer.take([1, 0]), 1_000), "the same, in another order")
    for wrong in (answer.set_column(1, "up", pa.array([1, 3])), answer.slice(1)):
        with pytest.raises(AnswersDifferError):
            same(uptime, expected, normal_form(uptime, wrong, 1_000), "wrong")
    means = pa.table({"firmware": ["a"], "status": ["up"], "points": [3], "mean_temp": [20.5]})
    base = normal_form(grouped, means, 1)
    same(grouped, base, normal_form(grouped, means.set_column(3, "mean_temp", pa.array([20.5 + 1e-12])), 1), "rounded")
    with pytest.raises(AnswersDifferError):
        same(grouped, base, normal_form(grouped, means.set_column(3, "mean_temp", pa.array([20.5 + 1e-6])), 1), "off")


def test_ratios_are_taken_within_a_round_and_against_the_fastest_form() -> None:
    report = Report(SMALL, 100, {})
    report.timings["uptime"] = [
        Timing("antfold", "metric", (1.0, 2.0, 1.0), (2.0, 2.0, 2.0)),
        Timing("clickhouse_mergetree", "window", (30.0, 60.0, 30.0), (9.0, 9.0, 9.0)),
        Timing("clickhouse_mergetree", "arrays", (11.0, 24.0, 12.0), (12.0, 10.0, 14.0)),
    ]
    ratio = report.ratio("uptime", "clickhouse_mergetree")
    assert ratio is not None
    assert (ratio.form, ratio.rounds, ratio.median) == ("arrays", (11.0, 12.0, 12.0), 12.0)
    assert ratio.cpu_median == 6.0
    assert [bar.holds for bar in report.bars()] == [True, None, None]
    assert Bar("size", 0.9, 0.8, at_most=True).holds is False


@pytest.mark.parametrize("gaps", ["0", "0.01"])
def test_all_engines_agree_and_the_report_is_written(tmp_path: Path, gaps: str) -> None:
    report = tmp_path / "report.json"
    small = ["--points", "20000", "--gaps", gaps, "--runs", "1", "--work", str(tmp_path), "--report", str(report)]
    assert main(small) in (0, 1)  # 1: a bar missed, which says nothing at this size
    written = json.loads(report.read_text())
    assert set(written["questions"]) == {q.name for q in QUESTIONS}
    assert written["bytes_per_point"].keys() == {"antfold", "duckdb_parquet", "clickhouse_mergetree"}
    assert all(bar["measured"] is not None for bar in written["bars"])
    assert str(tmp_path) not in report.read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["report.json"]
