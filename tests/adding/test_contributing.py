"""CONTRIBUTING.md does what it says: its code, in a copy of the packages, runs, and touches no other file."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("dataflow", "operators", "runtime", "deploy")
SECTION = re.compile(r"^## (.+)$", re.MULTILINE)
BLOCK = re.compile(r"^```(python|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)

BEFORE = """
from pathlib import Path
from runtime import Store

folder = Path(FOLDER)
store = Store(folder / "store", create=True)
store.ingest(
    "s",
    {"device": ["a", "a", "a", "b"], "n": [-3, 4, 0, 5], "ts": [0, 60, 3600, 60]},
    key="device", time="ts", unit="s", progress=False,
)


def show(metric, where=None):
    text = (where or store).query(metric, progress=False).to_text()
    print(text[: text.rindex("\\n")])
"""
"""What every ``# run`` may use: a folder, a store with four points, and ``show``, which prints an answer."""

FILES = {
    "An aggregate": 2,
    "A function of a row": 2,
    "A step that follows keys": 2,
    "A format of sources": 1,
    "A place for stores": 1,
    "A kind of catalogue": 1,
}
"""How many files of the product each addition touches."""


def sections() -> dict[str, list[tuple[str, str]]]:
    """The blocks of each section, as (language, text)."""
    parts = SECTION.split((ROOT / "CONTRIBUTING.md").read_text())[1:]
    return {title: BLOCK.findall(text) for title, text in zip(parts[::2], parts[1::2], strict=True)}


def put_in(path: Path, target: str, text: str) -> None:
    """Add ``text`` to a file, or to a class of it; its imports go to the others."""
    lines = path.read_text().splitlines(keepends=True)
    imports = [line for line in text.splitlines() if line.startswith("from ")]
    body = "\n".join(line for line in text.splitlines() if not line.startswith("from ")).strip("\n") + "\n"
    if target:
        found = next(n for n in ast.parse("".join(lines)).body if isinstance(n, ast.ClassDef) and n.name == target)
        assert found.end_lineno is not None
        indented = "".join(f"    {line}\n" if line else "\n" for line in body.splitlines())
        lines.insert(found.end_lineno, f"\n{indented}")
    else:
        lines.append(f"\n\n{body}")
    at = next(i for i, line in enumerate(lines) if line.startswith("from __future__")) + 1
    lines[at:at] = [f"{line}\n" for line in imports]
    path.write_text("".join(lines))


@pytest.mark.parametrize("title", FILES)
def test_what_is_added(title: str, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    for package in PACKAGES:
        shutil.copytree(ROOT / package, copy / package, ignore=shutil.ignore_patterns("__pycache__"))
    touched, script, expected = set(), "", ""
    for language, text in sections()[title]:
        first, _, rest = text.partition("\n")
        if language == "text":
            expected = text
        elif first == "# run":
            script = rest
        elif first.startswith("# file: "):
            path = copy / first.removeprefix("# file: ")
            assert not path.exists()
            path.write_text(rest)
            touched.add(path)
        else:
            name, _, target = first.removeprefix("# in: ").partition(", class ")
            put_in(copy / name, target, rest)
            touched.add(copy / name)
    assert len(touched) == FILES[title]
    run = tmp_path / "run.py"
    run.write_text(BEFORE.replace("FOLDER", repr(str(tmp_path))) + script)
    ran = subprocess.run(
        [sys.executable, str(run)], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(copy), "TMPDIR": str(tmp_path)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    assert [line.rstrip() for line in ran.stdout.splitlines()] == expected.splitlines()


def test_all_sections_are_tested() -> None:
    assert set(sections()) == set(FILES)
