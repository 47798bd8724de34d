"""Any history of ingests, replacements, orphans, late commits, crashes and sweeps.

Nothing that is needed goes, and all that is not goes in time.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

import dataflow as df
from runtime import Store
from runtime.catalogue import AttemptSwept, Committed, FileEntry, SqliteCatalogue, attempt_of, new_attempt
from runtime.catalogue.key_value import run
from runtime.objects import FolderObjects
from runtime.upkeep import sweep_plan
from runtime.upkeep.sweep import SweepReport, TooManyOrphans, sweep
from tests.runtime.upkeep.stores import DAY, HOUR, commit, copied, ingest, replaced
from tests.runtime.upkeep.test_sweep_mutants import index_not_asked, no_claim, no_grace

START = 1_750_000_000_000_000
METRIC = df.stream("s").group_by("k").agg(n=df.count(), v=df.sum("v"))


class Killed(Exception):
    pass


class Dying(FolderObjects):
    """A process that dies before its delete number ``left``."""

    left: int | None = None

    def delete(self, path: str, versions: bool = False) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise Killed
        super().delete(path, versions)


class Histories(RuleBasedStateMachine):
    """The model: when each file was written and, if so, replaced; which attempts wait to commit."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.now = START
        self.store = Store(self.folder / "store", create=True)
        self.store.__dict__["objects"] = self.objects = Dying(self.folder / "store")
        self.store.__dict__["catalogue"] = SqliteCatalogue(
            self.folder / "store/catalogue.sqlite", clock=lambda: self.now
        )
        self.written: dict[str, int] = {}
        self.gone_at: dict[str, int] = {}
        self.pending: dict[str, list[FileEntry]] = {}
        self.unclaimed: set[str] = set()
        self.odd: set[str] = set()
        self.number = 0
        self._ingest()

    def teardown(self) -> None:
        self.store.close()
        shutil.rmtree(self.folder)

    def _there(self) -> set[str]:
        return {info.path for info in self.objects.list("data/")}

    def _live(self) -> list[FileEntry]:
        return list(self.store.files("s"))

    def _note(self) -> None:
        """Files that are new were written now, by the test's clock."""
        for path in self._there() - self.written.keys() - self.odd:
            self.written[path] = self.now
            os.utime(self.folder / "store" / path, ns=(self.now * 1000, self.now * 1000))

    def _ingest(self) -> None:
        self.number += 1
        ingest(self.store, self.number)
        self._note()

    @rule()
    def ingested(self) -> None:
        self._ingest()

    @rule(files=st.integers(1, 3), choice=st.randoms(use_true_random=False))
    def compacted(self, files: int, choice: object) -> None:
        live = self._live()
        chosen = choice.sample(live, min(files, len(live)))  # type: ignore[attr-defined]
        replaced(self.store, chosen)
        self.gone_at |= {file.path: self.now for file in chosen}
        self._note()

    @rule(files=st.integers(1, 3))
    def began(self, files: int) -> None:
        """An ingest writes its files, and has not committed."""
        attempt = new_attempt()
        self.pending[attempt] = copied(self.store, self._live()[:files], attempt)
        self._note()

    @precondition(lambda self: self.pending)
    @rule(choice=st.randoms(use_true_random=False))
    def committed_late(self, choice: object) -> None:
        self._commit(choice.choice(list(self.pending)))  # type: ignore[attr-defined]

    @rule(files=st.integers(1, 3), days=st.sampled_from([1, 8]))
    def slow_ingest(self, files: int, days: int) -> None:
        """One that commits after a sweep."""
        self.began(files)
        self.now += days * DAY
        self.swept(allow=True)
        self._commit(list(self.pending)[-1])

    def _commit(self, attempt: str) -> None:
        files = self.pending.pop(attempt)
        whole = {file.path for file in files} <= self._there()
        try:
            done = commit(self.store, files, attempt, attempt * 2)
        except AttemptSwept:
            assert attempt in self.unclaimed
        else:
            assert isinstance(done, Committed)
            assert whole
            assert attempt not in self.unclaimed

    @rule(hours=st.sampled_from([1, 12, 24, 24 * 3, 24 * 8, 24 * 8]))
    def time_passed(self, hours: int) -> None:
        self.now += hours * HOUR

    @rule(
        name=st.sampled_from(["data/a.txt", "data/s/b.points", "data/s/2024-01-01/C-0.points", "data/s/d/e-0.points"])
    )
    def odd_file(self, name: str) -> None:
        self.objects.put(name, b"x")
        os.utime(self.folder / "store" / name, (1, 1))
        self.odd.add(name)

    def _sweep(self, **options: bool) -> SweepReport:
        return sweep(self.objects, self.store.catalogue, clock=lambda: self.now, **options)

    def _due(self) -> set[str]:
        due = {path for path, at in self.gone_at.items() if self.now - at >= 24 * HOUR}
        for files in self.pending.values():
            paths = {file.path for file in files}
            if self.now - max(self.written[path] for path in paths) >= 7 * DAY:
                due |= paths
        return due & self._there()

    @rule(allow=st.booleans())
    def swept(self, allow: bool) -> None:
        due, before = self._due(), self._there()
        would = self._sweep(dry_run=True, allow_many=allow)
        assert self._there() == before
        assert {file.path for file in would.removed} == due
        try:
            report = self._sweep(allow_many=allow)
        except TooManyOrphans:
            assert not allow
            assert would.too_many
            assert self._there() == before
            return
        assert set(report.removed) == set(would.removed)
        assert self._there() == before - due
        self._claimed(due)

    @rule(deletes=st.integers(0, 4))
    def killed(self, deletes: int) -> None:
        due, before = self._due(), self._there()
        self.objects.left = deletes
        try:
            self._sweep(allow_many=True)
        except Killed:
            pass
        finally:
            self.objects.left = None
        assert before - self._there() <= due
        # Any of those that were due may be claimed by now, also with all their files there.
        self._claimed({path for path in due if self._claim_of(path) == "sweep"} | (before - self._there()))

    def _claim_of(self, path: str) -> str | None:
        attempt = attempt_of(path)
        assert attempt is not None
        catalogue = self.store.catalogue
        assert isinstance(catalogue, SqliteCatalogue)
        held = run(catalogue.table, catalogue._steps("s").claim(attempt))
        return None if held is None else held[0]

    def _claimed(self, paths: set[str]) -> None:
        self.unclaimed |= {a for a, files in self.pending.items() if paths & {file.path for file in files}}

    @invariant()
    def what_is_needed_is_there(self) -> None:
        there = self._there()
        assert {file.path for file in self._live()} <= there
        assert self.odd <= there
        assert {path for path, at in self.gone_at.items() if self.now - at < 24 * HOUR} <= there
        for attempt, files in self.pending.items():
            if attempt not in self.unclaimed:
                assert {file.path for file in files} <= there

    @invariant()
    def the_answer_is_complete(self) -> None:
        rows = sum(file.rows for file in self._live())
        assert sum(self.store.query(METRIC, progress=False)["n"]) == rows


SETTINGS = settings(max_examples=12, stateful_step_count=25)


def test_histories() -> None:
    run_state_machine_as_test(Histories, settings=SETTINGS)


def _live_goes(patch: pytest.MonkeyPatch) -> None:
    real = sweep_plan.StreamFiles.__init__

    def init(self: sweep_plan.StreamFiles, *given: object) -> None:
        real(self, *given)  # type: ignore[arg-type]
        self.live = set()
        self.known = set()

    patch.setattr(sweep_plan.StreamFiles, "__init__", init)
    index_not_asked(patch)
    no_claim(patch)


@pytest.mark.parametrize("broken", [no_grace, no_claim, _live_goes])
def test_histories_catch_it(monkeypatch: pytest.MonkeyPatch, broken: object) -> None:
    broken(monkeypatch)  # type: ignore[operator]
    with pytest.raises(AssertionError):
        run_state_machine_as_test(
            Histories,
            settings=settings(
                SETTINGS, max_examples=20, report_multiple_bugs=False, database=None, phases=[Phase.generate]
            ),
        )
