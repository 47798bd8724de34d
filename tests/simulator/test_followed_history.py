"""What a follower emits is the whole answer while a store changes; what is broken on purpose is caught.

More seeds: ``python -m tests.campaigns followed --examples 1000``.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from pathlib import Path

import pytest

from tests.simulator.followed_history import FollowedHistory
from tests.simulator.followed_metrics import metrics
from tests.simulator.followed_mutants import MUTANTS

PARTS = 4
"""Tests of each kind, so that they spread over the cores."""

FOUND = {"on time again after a restart": 38}
"""A seed that catches a mutant, of those that many others do not: it is tried first."""

RUNS, TRIES = 200 if os.environ.get("CI") else 20, 120
EVENTS = (
    "points", "undo", "replace", "compact", "compact all", "begun again", "begun anew", "pane early", "pane on_time",
    "pane late", "answer compared", "end compared",
)  # fmt: skip
"""Runs mean something only if all of this was met."""


def play(folder: Path, seed: int) -> Counter[str]:
    """One run; its events."""
    own = folder / str(seed)
    own.mkdir()
    history = FollowedHistory(own, seed)
    try:
        return history.play()
    except Exception as error:
        raise AssertionError(f"seed {seed}, {history.name}: {type(error).__name__}: {error}") from error
    finally:
        shutil.rmtree(own)


def test_what_is_emitted_is_the_answer(tmp_path: Path) -> None:
    seen: Counter[str] = Counter()
    for seed in range(RUNS):
        seen += play(tmp_path, seed)
    for event in EVENTS:
        assert seen[event] > 0, f"{event!r} was not met: {dict(seen)}"


@pytest.mark.parametrize("part", range(PARTS))
def test_each_example_is_followed(tmp_path: Path, part: int) -> None:
    """One run each, in which points come."""
    for name in [name for name in metrics() if not name.startswith("law ")][part::PARTS]:
        history = FollowedHistory(tmp_path / name.replace(":", "-"), 0, (name,))
        assert history.play()["answer compared"] > 0


@pytest.mark.parametrize("name", MUTANTS)
def test_what_is_broken_is_caught(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    MUTANTS[name](monkeypatch)
    for seed in (*([FOUND[name]] if name in FOUND else []), *range(TRIES)):
        try:
            play(tmp_path, seed)
        except AssertionError as error:
            print(f"{name}: {error}")
            return
    pytest.fail(f"{name!r} could not be distinguished in {TRIES} runs")
