"""dataflow refuses to start if another module shadows a sibling package."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NAMES = ("dataflow", "operators", "runtime", "deploy")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """An installation in miniature: the guard, called as dataflow is imported, and three empty siblings."""
    folder = tmp_path / "installed"
    for name in NAMES:
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text("")
    shutil.copy(ROOT / "dataflow" / "_home.py", folder / "dataflow")
    (folder / "dataflow" / "__init__.py").write_text("from dataflow._home import check_home\ncheck_home()\n")
    return folder


def run(home: Path, cwd: Path, *options: str) -> subprocess.CompletedProcess[str]:
    script = cwd / "script.py"
    script.write_text("import dataflow\nprint('fine')\n")
    return subprocess.run(
        [sys.executable, "-S", *options, str(script)],  # -S: the antfold that runs this test is out of sight
        env={"PYTHONPATH": str(home), "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def cwd(tmp_path: Path) -> Path:
    folder = tmp_path / "user"
    folder.mkdir()
    return folder


def test_all_four_at_home(home: Path, cwd: Path) -> None:
    assert run(home, cwd).stdout == "fine\n"


@pytest.mark.parametrize("name", NAMES[1:])
def test_a_file_in_the_way_is_named(home: Path, cwd: Path, name: str) -> None:
    (cwd / f"{name}.py").write_text("raise SystemExit('imported')\n")
    ran = run(home, cwd)
    assert ran.returncode == 1
    last = ran.stderr.splitlines()[-1]
    assert last.startswith("ImportError: ")
    assert f"{name}.py hides" in last
    assert "rename it" in last
    assert "python -P" in last
    assert run(home, cwd, "-P").stdout == "fine\n"  # the cure cures


def test_a_package_in_the_way_is_named(home: Path, cwd: Path) -> None:
    (cwd / "runtime").mkdir()
    (cwd / "runtime" / "__init__.py").write_text("")
    assert f"{(cwd / 'runtime').resolve()} hides" in run(home, cwd).stderr


def test_a_bare_folder_is_in_nobodys_way(home: Path, cwd: Path) -> None:
    (cwd / "runtime").mkdir()
    assert run(home, cwd).stdout == "fine\n"


def test_a_missing_sibling(home: Path, cwd: Path) -> None:
    shutil.rmtree(home / "deploy")
    assert "'deploy' is missing" in run(home, cwd).stderr


def test_through_a_link(home: Path, cwd: Path, tmp_path: Path) -> None:
    (tmp_path / "linked").symlink_to(home)
    assert run(tmp_path / "linked", cwd).stdout == "fine\n"
