"""Files written by every released version can be read forever, with the same rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.pointfile import Buffers, verify_file
from tests.runtime.pointfile.cases import file_rows, open_bytes, plain_order
from tests.runtime.pointfile.make_golden import CASES, FOLDER, shown

FILES = sorted(FOLDER.glob("*.points"))


def test_they_are_there() -> None:
    assert {f"v1-{name}.points" for name in CASES} <= {path.name for path in FILES}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_golden_file(path: Path) -> None:
    file = open_bytes(path.read_bytes(), path.name)
    verify_file(file, Buffers())
    assert shown(file) == path.with_suffix(".jsonl").read_text(encoding="utf-8").splitlines()


@pytest.mark.parametrize("name", CASES)
def test_the_golden_rows_are_those_of_the_points(name: str) -> None:
    file = open_bytes((FOLDER / f"v1-{name}.points").read_bytes())
    assert file_rows(file) == plain_order(CASES[name]()[0])
