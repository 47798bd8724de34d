"""``-m fast`` has tests of every layer, and uses each step and each aggregate."""

from __future__ import annotations

import re

import pytest

from dataflow.steps.base import STEPS
from operators.aggregates import SIGNATURES
from tests.fast_tests import FAST, TESTS

FILES = [
    path for name in FAST for path in ([TESTS / name] if name.endswith(".py") else (TESTS / name).rglob("test_*.py"))
]
TEXT = "\n".join(path.read_text() for path in FILES if path.parent != TESTS / "lint")


def test_each_exists_and_stands_once() -> None:
    assert FILES
    assert [name for name in FAST if not (TESTS / name).exists()] == []
    assert len(FILES) == len(set(FILES))


@pytest.mark.parametrize("package", ["dataflow", "operators", "runtime", "deploy", "laws"])
def test_every_layer_is_in(package: str) -> None:
    assert any(path.is_relative_to(TESTS / package) for path in FILES)


@pytest.mark.parametrize("name", sorted({*STEPS, *SIGNATURES}))
def test_each_step_and_aggregate_is_in(name: str) -> None:
    # Timelines are combined by operators and by ``combine``; the step has no function of its own.
    called = {"timeline": "combine"}.get(name, name)
    assert re.search(rf"\.{called}\(|[\"']{called}[\"']", TEXT)
