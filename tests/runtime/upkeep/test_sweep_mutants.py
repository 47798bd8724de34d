"""Each rule of the sweep is broken on purpose, and the test that holds it fails."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runtime import Store
from runtime.catalogue import TableCatalogue
from runtime.errors import StoreError
from runtime.upkeep import sweep, sweep_plan
from runtime.upkeep.sweep_plan import SweepRules
from tests.runtime.upkeep import test_sweep
from tests.runtime.upkeep.stores import ingest

Broken = Callable[[pytest.MonkeyPatch], None]


def no_grace(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(sweep, "STANDARD", SweepRules(grace=0))


def young_orphans(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(sweep, "STANDARD", SweepRules(orphan_age=0))


def no_claim(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(TableCatalogue, "claim_for_sweep", lambda *_: True)


def live_files_go(patch: pytest.MonkeyPatch) -> None:
    """What replaced other files is not known as live, and the index is not asked."""
    real = sweep_plan.StreamFiles.__init__

    def init(self: Any, *given: Any) -> None:
        real(self, *given)
        self.gone |= dict.fromkeys(self.live, 0)
        self.live = set()

    patch.setattr(sweep_plan.StreamFiles, "__init__", init)
    index_not_asked(patch)


def index_not_asked(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(sweep_plan, "_check_not_live", lambda *_: None)


def no_limit(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(sweep, "too_many", lambda *_: None)


def limit_after(patch: pytest.MonkeyPatch) -> None:
    """It stops, but only once files are gone."""
    real, plan_of = sweep.too_many, sweep.sweep_plan
    used: list[Any] = []

    def plan(objects: Any, *given: Any) -> Any:
        used.append(objects)
        return plan_of(objects, *given)

    def late(found: Any, rules: SweepRules) -> str | None:
        many = real(found, rules)
        if many is not None and found.replaced:
            used[-1].delete(found.replaced[0].path)
        return many

    patch.setattr(sweep, "sweep_plan", plan)
    patch.setattr(sweep, "too_many", late)


def any_name(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(sweep_plan, "_POINTS", re.compile(r"data/([^/]+)/.*"))
    patch.setattr(sweep_plan, "attempt_of", lambda path: "abc")


def older_copies_trusted(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(sweep_plan, "_older_copies", lambda *_: {})


MUTANTS: list[tuple[Broken, Callable[..., None]]] = [
    (no_grace, test_sweep.test_replaced_files_go_after_their_grace),
    (young_orphans, test_sweep.test_orphans_go_after_a_week),
    (no_claim, test_sweep.test_a_swept_attempt_cannot_commit),
    (live_files_go, test_sweep.test_replaced_files_go_after_their_grace),
    (no_limit, test_sweep.test_many_orphans_stop_it),
    (limit_after, test_sweep.test_many_orphans_stop_it),
    (any_name, test_sweep.test_names_that_ingest_does_not_give),
]


def made(folder: Path) -> Store:
    store = Store(folder, create=True)
    for number in range(3):
        ingest(store, number)
    return store


@pytest.mark.parametrize(("broken", "test"), MUTANTS, ids=lambda f: f.__name__)
def test_it_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: Broken, test: Callable[..., None]
) -> None:
    test(made(tmp_path / "right"))
    broken(monkeypatch)
    with pytest.raises((AssertionError, pytest.fail.Exception, StoreError)):
        test(made(tmp_path / "broken"))


def test_a_lost_claim_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The winner deletes; here the loser does, too."""
    store = made(tmp_path / "broken")
    real = sweep._removed

    def greedy(objects: Any, catalogue: Any, *rest: Any) -> Any:
        won = catalogue.claim_for_sweep
        catalogue.claim_for_sweep = lambda *given: won(*given) or True
        return real(objects, catalogue, *rest)

    monkeypatch.setattr(sweep, "_removed", greedy)
    with pytest.raises(AssertionError):
        test_sweep.test_an_attempt_that_commits_first_stays(store, monkeypatch)


def test_an_index_that_is_not_asked_is_caught(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    index_not_asked(monkeypatch)
    with pytest.raises((AssertionError, pytest.fail.Exception)):
        test_sweep.test_a_damaged_catalogue_stops_it(made(tmp_path / "broken"), monkeypatch)


@pytest.mark.parametrize(
    "test",
    [test_sweep.test_an_older_copy_of_the_catalogue, test_sweep.test_young_files_tell_of_an_older_copy],
    ids=lambda f: f.__name__,
)
def test_an_older_copy_that_is_trusted_is_caught(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, test: Callable[..., None]
) -> None:
    older_copies_trusted(monkeypatch)
    with pytest.raises(AssertionError):
        test(tmp_path)
