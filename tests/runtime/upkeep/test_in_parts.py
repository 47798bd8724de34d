"""Compaction and retention in parts, where there is little time: the same answers, and what is done stays done."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

import dataflow as df
from runtime import Store
from runtime.upkeep import compaction, retaining
from runtime.upkeep.retaining import retain_in_steps
from tests.runtime.upkeep.small_constants import small_constants
from tests.runtime.upkeep.stores import DAY, FIRST_DAY

METRICS = (
    df.stream("s").group_by("k").agg(n=df.count(), total=df.sum("v"), last=df.last("v")),
    df.stream("s").state_duration("state").group_by("k", "state").agg(t=df.known_time()),
)


def filled(folder: Path, seed: int, sources: int = 12) -> Store:
    rng = random.Random(seed)
    store = Store(folder / "store", create=True)
    for _ in range(sources):
        rows = rng.randint(1, 9)
        table: dict[str, Any] = {
            "k": [f"k{rng.randint(0, 4)}" for _ in range(rows)],
            "t": [FIRST_DAY * DAY + rng.randrange(10 * DAY) for _ in range(rows)],
            "v": [rng.randint(0, 99) for _ in range(rows)],
            "state": [rng.choice(["up", "down", None]) for _ in range(rows)],
        }
        store.ingest("s", table, key="k", time="t", unit="us", progress=False, compact=False)
    return store


def answers(store: Store, since: int = 0) -> list[str]:
    return [store.query(m, since, (FIRST_DAY + 20) * DAY, progress=False).proof.result for m in METRICS]


@pytest.mark.parametrize("seed", range(4))
def test_a_compaction_in_parts(tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each part has few rows; it may stop before any of them, and goes on later."""
    monkeypatch.setattr(compaction, "_MOST_ROWS", 20)
    with small_constants(), filled(tmp_path, seed) as store:
        before = answers(store)
        asked: list[int] = []

        def every_other(rows: int) -> bool:
            asked.append(rows)
            return len(asked) % 3 > 0

        for _ in range(40):
            report = store.compaction("s", False).what_is_due(goes_on=every_other)
            assert answers(store) == before
            if not report.unfinished:
                break
        assert not report.unfinished
        assert len(asked) > 2
        assert max(asked) <= 20 + 2 * 9 * 12
        assert not store.compaction("s", False).what_is_due().jobs
        assert store.verify().ok


@pytest.mark.parametrize("seed", [*range(4), *(pytest.param(n, marks=pytest.mark.nightly) for n in range(4, 8))])
def test_a_retention_in_steps_is_one_at_once(tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(retaining, "STEP", 1 + 7 * (seed % 3))
    for name in ("steps", "once"):
        (tmp_path / name).mkdir()
    with small_constants(), filled(tmp_path / "steps", seed) as steps, filled(tmp_path / "once", seed) as once:
        keep = (2 + seed % 4) * DAY
        if seed % 2:
            steps.compact("s", progress=False)
        left, asked = True, 0

        def two_of_three(rows: int) -> bool:
            nonlocal asked
            asked += 1
            return asked % 3 > 0

        while left:
            _, left = retain_in_steps(
                steps.taking_back("s"), lambda: steps.catalogue.snapshot("s"), keep, 1, two_of_three
            )
        once.retain("s", keep=f"{keep // DAY}d")
        floors = [store.catalogue.snapshot("s").floor for store in (steps, once)]
        assert floors[0] == floors[1]
        assert floors[0] is not None
        assert answers(steps, floors[0] * DAY) == answers(once, floors[0] * DAY)
        assert steps.verify().ok
        assert retain_in_steps(
            steps.taking_back("s"), lambda: steps.catalogue.snapshot("s"), keep, 1, lambda rows: True
        ) == ([], False)  # fmt: skip
