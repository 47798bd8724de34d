"""The house stays livable: no import circles, one meaning for a name, a page in every room."""

from __future__ import annotations

import ast
import re
from collections import Counter, defaultdict
from fnmatch import fnmatch
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("deploy", "runtime", "dataflow", "operators")
MOST_LINES = 40
LONGER = {"dataflow": 80}
"""The map and the glossary of all."""


def modules(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def test_no_circles() -> None:
    """Imports within functions and for type checkers count, too."""
    graph = grimp.build_graph(*PACKAGES, cache_dir=None)
    uses = {module: graph.find_modules_directly_imported_by(module) for module in graph.modules}
    assert len(uses) > 300
    try:
        TopologicalSorter(uses).prepare()
    except CycleError as error:
        pytest.fail(f"modules import each other: {' -> '.join(error.args[1])}")


def test_a_class_name_has_one_meaning() -> None:
    found = Counter(
        node.name
        for package in PACKAGES
        for path in modules(package)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ClassDef)
    )
    assert len(found) > 400
    assert [name for name, count in found.items() if count > 1] == []


@pytest.mark.parametrize("package", PACKAGES)
def test_a_file_name_has_one_meaning(package: str) -> None:
    named = defaultdict(list)
    for path in modules(package):
        if not path.name.startswith("__"):
            named[path.name].append(path.relative_to(ROOT).as_posix())
    assert [paths for paths in named.values() if len(paths) > 1] == []


@pytest.mark.parametrize("package", [*PACKAGES, "tests"])
def test_every_room_has_a_page(package: str) -> None:
    rooms = sorted({path.parent for path in modules(package)})
    assert rooms
    assert [r.relative_to(ROOT).as_posix() for r in rooms if not (r / "README.md").is_file()] == []
    pages = [r / "README.md" for r in rooms]
    long = [p for p in pages if len(p.read_text().splitlines()) > LONGER.get(p.parent.name, MOST_LINES)]
    assert [p.relative_to(ROOT).as_posix() for p in long] == []


@pytest.mark.parametrize("package", [*PACKAGES, "tests"])
def test_a_page_names_the_files_of_its_room(package: str) -> None:
    for room in sorted({path.parent for path in modules(package)}):
        page = (room / "README.md").read_text()
        files = {path.name for path in room.glob("*.py") if not path.name.startswith("__")}
        named = re.findall(r"`([a-z0-9_*]+\.py)`", page)
        assert [f for f in sorted(files) if not any(fnmatch(f, name) for name in named)] == [], room
        rooms = {path.parent.name for path in room.glob("*/*.py")}
        assert [r for r in sorted(rooms) if not re.search(rf"[`(/]{r}/", page)] == [], room
        elsewhere = re.findall(r"`((?:[a-z0-9_]+/)+[a-z0-9_]+\.py)`", page)
        bases = (room, ROOT, ROOT / package)
        assert [path for path in elsewhere if not any((base / path).exists() for base in bases)] == [], room
