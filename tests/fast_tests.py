"""What ``python -m pytest -m fast`` runs: files and folders of quick tests from every layer.

Held by ``tests/lint/test_fast.py``: each exists, and each step and each aggregate is in one of them.
"""

from __future__ import annotations

from pathlib import Path

TESTS = Path(__file__).parent

FAST = ()
NOT_WITH = {"stack", "aws", "bench", "nightly", "alone"}
"""Marks of tests that are not fast wherever they lie."""


def is_fast(path: Path) -> bool:
    """Whether the tests of a file are."""
    return any(path.is_relative_to(TESTS / name) for name in FAST)
