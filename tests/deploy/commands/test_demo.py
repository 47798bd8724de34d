"""The demo and the commands it suggests, all run on a small fleet."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import pytest

import runtime
from deploy.cli import main
from deploy.commands import demo
from deploy.commands.demo import bar_chart
from deploy.metric_file import load_metric
from deploy.simulator.truth import TruthTally
from runtime.display.text_tables import human_duration

FLEET = ["--devices", "30", "--days", "2", "--seed", "11"]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo") / "store"
    assert main(["demo", str(folder), *FLEET]) == 0
    return folder


def test_it_agrees_and_can_be_run_again(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", str(store), *FLEET]) == 0
    shown = capsys.readouterr().out
    assert "The simulator's own count agrees: " in shown
    assert all(len(line) <= 80 or str(store) in line for line in shown.splitlines())
    (held,) = runtime.Store(str(store)).streams()
    assert held.sources == 1  # nothing came in twice


def test_what_it_proposes_works(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", str(store), *FLEET]) == 0
    shown = capsys.readouterr().out
    lines = shown.split("Try next; the first prints the table above:\n")[1].split("\n\n")[0].splitlines()
    proposed = [shlex.split(line)[1:] for line in lines]
    assert [p[0] for p in proposed] == ["query", "query", "query", "query", "explain", "streams", "verify"]
    first = proposed[0]
    assert main([*first, "--format", "json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    table = {cells[0]: cells for line in shown.splitlines() if len(cells := re.split(r"\s{3,}", line.strip())) == 5}
    assert len(answer["rows"]) > 1
    for firmware, uptime, up, *_ in answer["rows"]:
        shown_as = table[firmware or "not said yet"]
        assert shown_as[2][:6] == f"{uptime:.6f}"[:6]
        assert shown_as[3] == shown_as[4]
        assert shown_as[3] in (human_duration(up), human_duration(up, 3), human_duration(up, 6))
    for arguments in proposed:
        assert main(arguments) == 0, arguments
        assert capsys.readouterr().out


def test_every_metric_of_its_file_answers(store: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    file = store / demo.METRICS
    for name in ("uptime", "daily", "worst", "warm"):
        assert load_metric(f"{file}:{name}").to_json()
        assert main(["query", str(store), f"{file}:{name}", "--format", "json"]) == 0
        found = json.loads(capsys.readouterr().out)
        assert len(found["rows"]) > 1
        assert found["proof"]
    chart = tmp_path / "daily.html"
    assert main(["query", str(store), f"{file}:daily", "--plot", str(chart)]) == 0
    assert "<svg" in chart.read_text()


def test_a_range_that_begins_in_the_middle_agrees_too(store: Path) -> None:
    """Carry-in: at the start of the range each device has what it last said before."""
    from deploy.simulator.devices import DAY, DeviceFleet, simulate
    from deploy.simulator.telemetry_files import HOLD
    from deploy.simulator.truth import truth_of

    fleet = DeviceFleet(30, 2, 11)
    since, until = fleet.start + DAY // 3 + 12_345, fleet.start + DAY + 777
    events, _ = simulate(fleet, range(fleet.devices))
    truth = truth_of(events, since, until, HOLD)
    answer = runtime.Store(str(store)).query(
        load_metric(f"{store / demo.METRICS}:uptime"), since=since * 1000, until=until * 1000
    )
    names = list(answer.columns)
    found = {
        row[0]: TruthTally(**{n: row[names.index(n)] for n in ("up", "known", "unknown", "devices")}) for row in answer
    }
    assert found == truth


def test_a_wrong_answer_is_seen(
    store: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(demo, "METRIC_FILE", demo.METRIC_FILE.replace('hold="5m"', 'hold="300001ms"'))
    assert main(["demo", str(store), *FLEET]) == 1
    captured = capsys.readouterr()
    assert "the result differs from the simulator's" in captured.err
    assert "Try next" not in captured.out


def test_other_stores_are_left_alone(store: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", str(store), "--devices", "31"]) == 1
    assert "contains the demo of another fleet" in capsys.readouterr().err
    (tmp_path / "thesis.txt").write_text("")
    assert main(["demo", str(tmp_path)]) == 1
    assert "is not a demo store" in capsys.readouterr().err
    assert main(["demo", "s3://bucket/x"]) == 1
    assert "writes to a local folder" in capsys.readouterr().err


def test_edits_to_the_metric_file_survive(store: Path) -> None:
    file = store / demo.METRICS
    file.write_text(file.read_text() + "\n# mine\n")
    assert main(["demo", str(store), *FLEET]) == 0
    assert file.read_text().endswith("# mine\n")


def test_bars_end_where_the_scale_says() -> None:
    lines = bar_chart([("a", 1.0), ("long", 0.95), ("b", 0.905)], 80).splitlines()
    assert [line.count("█") for line in lines[:3]] == [60, 45, 31]
    assert [line.split()[-1] for line in lines] == ["100.000%", "95.000%", "90.500%", "100%"]
    assert "80%" in lines[3]
    assert "0%" in bar_chart([("a", 0.1)], 80)
    assert bar_chart([], 80) == ""
