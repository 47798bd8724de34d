"""A kernel's digest covers exactly the code that it reaches, in any file."""

from __future__ import annotations

from pathlib import Path

import pytest

from operators.compiler import reach

LOOPS = '''"""Loops."""

import numpy as np

from operators.steps import add as plus
from operators import tables

LIMIT = 3
OTHER = 4


def scan(values, out):
    """Add up."""
    # A comment.
    for i in range(values.shape[0]):
        if i < LIMIT:
            out[0] = plus(out[0], np.int64(values[i]))
    tables.put(out)


def unused(x):
    return x + OTHER
'''

STEPS = '''"""Steps."""


def add(a: int, b: int) -> int:
    """The sum."""
    return checked(a + b)


def checked(x):
    from operators import wide

    return wide.of(x)
'''

TABLES = '''"""Tables."""


def put(out):
    out[0] += 1


def get(out):
    return out[0]
'''

WIDE = """def of(x):
    return x
"""


@pytest.fixture
def program(tmp_path: Path) -> Path:
    (tmp_path / "operators").mkdir()
    (tmp_path / "operators" / "__init__.py").write_text("")
    for name, text in (("loops", LOOPS), ("steps", STEPS), ("tables", TABLES), ("wide", WIDE)):
        (tmp_path / "operators" / f"{name}.py").write_text(text)
    return tmp_path


def digest(program: Path) -> str:
    return reach.digest_of([("operators.loops", "scan")], program)


def edit(program: Path, name: str, old: str, new: str) -> None:
    path = program / "operators" / f"{name}.py"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("loops", "# A comment.", "# Another comment, 'quoted'."),
        ("loops", '"""Add up."""', '"""Another docstring."""'),
        ("loops", '"""Add up."""\n', "\n\n"),
        ("loops", "x + OTHER", "x - OTHER"),
        ("loops", "OTHER = 4", "OTHER = 5"),
        ("loops", "LIMIT = 3\n", 'LIMIT = 3\n"""How many."""\n'),
        ("steps", "b: int) -> int", "b: float) -> float"),
        ("steps", '"""Steps."""', ""),
        ("tables", "return out[0]", "return out[1]"),
    ],
)
def test_what_makes_no_difference(program: Path, name: str, old: str, new: str) -> None:
    before = digest(program)
    edit(program, name, old, new)
    assert digest(program) == before


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("loops", "out[0] = plus(", "out[1] = plus("),
        ("loops", "LIMIT = 3", "LIMIT = 4"),
        ("loops", "LIMIT = 3", "LIMIT = True"),
        ("loops", "LIMIT = 3", "LIMIT = 3.0"),
        ("loops", "import numpy as np", "import math as np"),
        ("loops", "import add as plus", "import checked as plus"),
        ("steps", "a + b", "a - b"),
        ("steps", "wide.of(x)", "wide.of(-x)"),
        ("steps", "def checked(x):", "@noinline\ndef checked(x):"),
        ("tables", "+= 1", "-= 1"),
        ("wide", "return x", "return x + 1"),
    ],
)
def test_what_makes_a_difference(program: Path, name: str, old: str, new: str) -> None:
    before = digest(program)
    edit(program, name, old, new)
    assert digest(program) != before


def test_what_a_name_reaches(program: Path) -> None:
    assert reach.names_of("operators.loops", "scan", program) == {
        ("operators.loops", "scan"),
        ("operators.loops", "LIMIT"),
        ("operators.steps", "add"),
        ("operators.steps", "checked"),
        ("operators.states.table_growth", "put"),
        ("operators.wide", "of"),
    }


def test_a_name_that_is_not_there(program: Path) -> None:
    with pytest.raises(KeyError, match=r"operators\.loops:other"):
        reach.digest_of([("operators.loops", "other")], program)
