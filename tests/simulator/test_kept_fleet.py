"""Queries by fleet while the store is kept: the same bits or a named error; what is broken on purpose is caught.

More seeds: ``python -m tests.campaigns upkeep --examples 1000``.
"""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest

from tests.simulator.kept_fleet import BROKEN, KeptFleet, based, small

RUNS, TRIES = 200 if os.environ.get("CI") else 10, 40
EVENTS = (
    "answered", "throttled", "failed", "straggling", "compact", "compaction killed", "retain", "floor raised",
    "swept, replaced", "swept, orphan", "ingest",
)  # fmt: skip
"""Runs mean something only if all of this was met."""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    with small():
        return based(tmp_path_factory.mktemp("kept"))


def run(base: Path, folder: Path, seed: int) -> Counter[str]:
    own = folder / str(seed)
    own.mkdir()
    try:
        return KeptFleet(base, own, seed).play()
    except Exception as error:
        raise AssertionError(f"seed {seed}: {type(error).__name__}: {error}") from error


def test_the_same_bits_or_a_named_error(base: Path, tmp_path: Path) -> None:
    seen: Counter[str] = Counter()
    for seed in range(RUNS):
        seen += run(base, tmp_path, seed)
    for event in EVENTS:
        assert seen[event] > 0, f"{event!r} was not met: {dict(seen)}"


@pytest.mark.nightly
def test_for_long(base: Path, tmp_path: Path) -> None:
    for seed in range(RUNS, 1_000):
        run(base, tmp_path, seed)


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_broken_is_caught(base: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    BROKEN[name](monkeypatch)
    for seed in range(TRIES):
        try:
            run(base, tmp_path, seed)
        except AssertionError as error:
            print(f"{name}: {error}")
            return
    pytest.fail(f"{name!r} could not be distinguished in {TRIES} runs")
