"""Commands and options match their documentation, and the examples of the first page run."""

from __future__ import annotations

import argparse
import json
import re
import shlex
from pathlib import Path

import pytest

from deploy.cli import command_parser, main
from deploy.commands import COMMANDS

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
REFERENCE = (ROOT / "deploy" / "CONSOLE.md").read_text(encoding="utf-8")
PAGES = [ROOT / "README.md", *sorted(ROOT.glob("deploy/*.md")), *sorted(ROOT.glob("tests/*.md"))]


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.S)


def sections() -> dict[str, str]:
    parts = re.split(r"^### dataflow (\w+)$", REFERENCE.split("\n## Stores in S3")[0], flags=re.M)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def options(name: str) -> dict[str, str]:
    """Each option of a command as its reference should write it, e.g. ``--unit`` -> ``--unit s|ms``."""
    found = {}
    for action in command_parser(name, COMMANDS[name])._actions:
        if action.option_strings and not isinstance(action, argparse._HelpAction):
            value = "|".join(action.choices) if action.choices else action.metavar or ""
            found[action.option_strings[-1]] = f"{action.option_strings[-1]} {value}".strip()
    return found


def test_every_command_has_its_section() -> None:
    assert list(sections()) == list(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_is_described(name: str) -> None:
    text = sections()[name]
    described = re.findall(r"^\| `(--[^`]+)` \|", text, re.M)
    assert [d.replace("\\|", "|") for d in described] == list(options(name).values())
    positional = [a.metavar for a in command_parser(name, COMMANDS[name])._actions if not a.option_strings]
    assert all(str(p) in text for p in positional)


def test_documents_name_only_what_exists() -> None:
    for page in PAGES:
        text = page.read_text(encoding="utf-8")
        for name, rest in re.findall(r"`?dataflow ([a-z]+)((?:[^`\n]|\\\|)*)", text):
            if name in COMMANDS:
                assert set(re.findall(r"--[a-z-]+", rest)) <= {*options(name), "--help"}
        for target in re.findall(r"\]\(([^)#:]+)\)", text):
            assert (page.parent / target).exists()


def test_ci_runs_the_readmes_tests() -> None:
    demo, tests, *_ = blocks("sh")
    assert tests.strip() in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    for command in (demo, tests):
        assert command.count("\n") == 1
        assert command.startswith("python3 -m venv .venv && ")


def test_the_first_page_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The metric, both commands and the Python of the first page, on a few points of one's own."""
    monkeypatch.chdir(tmp_path)
    metric, program = blocks("python")
    Path("metrics.py").write_text(metric)
    start = 1_709_251_200_000
    points = [
        {"device": "a", "ts": start, "status": "up", "firmware": "1.2.0"},
        {"device": "a", "ts": start + 60_000, "status": "down"},
        {"device": "a", "ts": start + 240_000, "status": "up"},
        {"device": "a", "ts": start + 3_600_000, "status": "up"},
    ]
    Path("points.ndjson").write_text("".join(json.dumps(p) + "\n" for p in points))
    ingest, query = blocks("sh")[2].splitlines()
    assert main(shlex.split(ingest)[1:]) == 0
    capsys.readouterr()
    assert main([*shlex.split(query)[1:], "--format", "json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    # Up for 1 minute, down for 3, up for the 5 that a report holds, unknown, and up for the last microsecond.
    known = 9 * 60_000_000 + 1
    assert answer["rows"] == [["1.2.0", (6 * 60_000_000 + 1) / known, known, 1]]
    monkeypatch.syspath_prepend(str(tmp_path))
    Path("program.py").write_text(program)
    import runpy

    runpy.run_path("program.py")
    assert Path("uptime.csv").read_text().startswith("firmware,uptime,known,devices\n1.2.0,")
    assert "1.2.0" in capsys.readouterr().out
