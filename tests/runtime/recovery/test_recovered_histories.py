"""Any history, then the loss of the catalogue: each row counts once, or the report says why that is not known."""

from __future__ import annotations

import io
import shutil
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from runtime import Store
from runtime.errors import StoreError
from runtime.recovery import attempts, compactions
from runtime.recovery import recover as recover_module
from runtime.recovery.recover import RecoverReport, recover
from runtime.storage.locations import locate
from runtime.upkeep.backup import backup
from runtime.upkeep.sweep_plan import SweepRules
from tests.runtime.recovery.test_recovered_order import FILES, lose, restore

D = 1_700_006_400
STEPS = ["ingest", "ingest", "compact", "undo", "replace", "erase", "sweep", "backup"]
WAYS = ["copy", "in place", "in place, without head", "in place, older head", "nothing"]


@dataclass
class History:
    """A store, and what must be in it."""

    folder: Path
    ingested: list[tuple[Path, list[str]]] = field(default_factory=list)
    undone: set[int] = field(default_factory=set)
    erased: set[str] = field(default_factory=set)
    taken: int = 0
    saved_taken: int = 0
    """Removals, and those of them before the backup."""

    saved: Path | None = None
    saved_points: Counter[str] = field(default_factory=Counter)

    def points(self, taken: bool = True) -> Counter[str]:
        """Each point's key and value; without ``taken`` also those that were taken back or erased."""
        return Counter(
            point
            for number, (_, points) in enumerate(self.ingested)
            for point in points
            if not taken or (number not in self.undone and point[0] not in self.erased)
        )

    def run(self, step: str, number: int) -> None:
        """One step; those that do not apply do nothing."""
        with Store(self.folder, create=True) as store:
            if step == "ingest":
                self._ingest(store)
            elif not self.ingested:
                return
            elif step == "compact":
                store.compact("s", progress=False)
            elif step == "undo":
                live = [n for n in range(len(self.ingested)) if n not in self.undone]
                if live:
                    taken = live[number % len(live)]
                    store.undo("s", str(self.ingested[taken][0]))
                    self.undone.add(taken)
                    self.taken += 1
            elif step == "replace":
                live = [n for n in range(len(self.ingested)) if n not in self.undone]
                if live:
                    taken = live[number % len(live)]
                    self._ingest(store, str(self.ingested[taken][0]))
                    self.undone.add(taken)
                    self.taken += 1
            elif step == "erase":
                key = "abcd"[number % 4]
                store.erase("s", key)
                self.erased.add(key)
                self.taken += 1
            elif step == "sweep":
                store.sweep(rules=SweepRules(grace=0))
        if step == "backup" and self.ingested:
            self.saved = self.folder.parent / "saved"
            shutil.rmtree(self.saved, ignore_errors=True)
            backup(locate(self.folder), self.saved)
            self.saved_taken, self.saved_points = self.taken, self.points()

    def _ingest(self, store: Store, replace: str | bool = False) -> None:
        number = len(self.ingested)
        keys = ["ab", "bc", "a", "d"][number % 4]
        file = self.folder.parent / f"{number}.ndjson"
        days = ((number,), (0, 400), (0, 1))[number % 3]
        lines = [(key, D + 86_400 * day + number, 10 * number + day) for key in keys for day in days]
        file.write_text("".join(f'{{"k":"{k}","t":{t},"v":{v}}}\n' for k, t, v in lines))
        store.ingest("s", file, key="k", time="t", unit="s", compact=False, progress=False, replace=replace)
        self.ingested.append((file, [f"{k},{v}" for k, _, v in lines if k not in self.erased]))

    def lost(self, way: str) -> RecoverReport:
        """The catalogue is lost; it is recovered."""
        if way == "copy" or self.saved is None:
            lose(self.folder)
            return recover(self.folder, self.saved if way == "copy" else None)
        if way == "nothing":
            lose(self.folder)
        elif way == "in place, older head":
            restore(self.folder, self.saved)
        else:
            for name in (FILES[0], *FILES[1:3]):
                (self.folder / name).unlink(missing_ok=True)
            shutil.copyfile(self.saved / FILES[0], self.folder / FILES[0])
            if way == "in place, without head":
                (self.folder / FILES[3]).unlink()
        return recover(self.folder)

    def unknown_removals(self, way: str) -> int:
        """Undos and erasures that are in no catalogue that is left."""
        return self.taken - (0 if way == "nothing" or self.saved is None else self.saved_taken)

    def found(self) -> Counter[str]:
        """The points that are there."""
        with Store(self.folder) as store:
            if "s" not in store.catalogue.streams():
                return Counter()
            out = io.BytesIO()
            store.export("s", out, format="csv", progress=False)
            rows = [line.split(",") for line in out.getvalue().decode().splitlines()[1:]]
            return Counter(f"{row[0]},{row[-1]}" for row in rows)


def check(steps: list[tuple[str, int]], way: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        history = History(Path(name) / "store")
        for step, number in steps:
            history.run(step, number)
        if not list(history.folder.rglob("*.points")):
            return  # all was taken back and swept
        right = history.points()
        assert history.found() == right
        report = history.lost(way)
        if way == "in place, older head" and any("put them back; if" in line for line in report.unknown):
            return  # nothing shows that they were taken back, rather than lost
        after = history.found()
        assert len(report.unknown) < 40, "a report is for people"
        asks_to_repeat = any("repeat these undos and erasures" in line for line in report.unknown)
        is_older = way == "in place, older head" and history.saved is not None and not asks_to_repeat
        if is_older:  # nothing shows that there were later commits
            assert after == history.saved_points, report
        else:
            assert not right - after, report
            assert not after - history.points(taken=False), report
            assert after == right or (history.unknown_removals(way) and asks_to_repeat), report
        verified = Store(history.folder).verify()
        if not is_older:
            assert verified.ok, (verified.problems, report)
        recover(history.folder)
        assert history.found() == after


def of(text: str) -> list[tuple[str, int]]:
    """Steps as text, for examples."""
    return [(name, int(number or 0)) for name, _, number in (step.partition(":") for step in text.split())]


A_LOST_ROW = of("ingest backup ingest compact")
SWEPT = of("ingest ingest backup ingest compact sweep")
UNDONE = of("ingest ingest ingest compact backup undo:1 ingest compact")
ERASED = of("ingest ingest ingest compact backup erase:1 ingest")


@settings(max_examples=max(20, settings().max_examples // 4), deadline=None)
@given(st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 7)), min_size=2, max_size=9), st.sampled_from(WAYS))
@example(A_LOST_ROW, "copy")
@example(SWEPT, "copy")
@example(UNDONE, "in place")
@example(ERASED, "nothing")
def test_each_row_counts_once(steps: list[tuple[str, int]], way: str) -> None:
    check([("ingest", 0), *steps], way)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("steps", [A_LOST_ROW, SWEPT, UNDONE, ERASED], ids=["lost", "swept", "undone", "erased"])
def test_histories_that_went_wrong(steps: list[tuple[str, int]], way: str) -> None:
    check(steps, way)


REPLACED = of("ingest ingest compact backup replace:1 ingest sweep")
STALE = of("ingest ingest backup ingest ingest compact")
GONE = of("ingest ingest backup undo sweep")


@pytest.mark.parametrize(
    ("module", "rule", "mutant"),
    [
        (compactions, "replaces", lambda *_: False),
        (attempts, "replace_files", lambda *_: False),
        (attempts, "leave_out", lambda *_: None),
        (attempts, "_following", lambda *_: []),
        (recover_module, "same_store", lambda *_: False),
    ],
    ids=["inputs stay", "nothing is replaced", "lost files stay", "no compaction", "another store"],
)
def test_rules_are_needed(module: Any, rule: str, mutant: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, rule, mutant)
    with pytest.raises((AssertionError, StoreError)):
        _all_histories()


def _all_histories() -> None:
    for steps in (A_LOST_ROW, SWEPT, UNDONE, ERASED, REPLACED, STALE, GONE):
        for way in ("copy", "nothing"):
            check(steps, way)
