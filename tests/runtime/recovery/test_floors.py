"""A floor is restored from the files that hold what is carried in at it."""

from __future__ import annotations

from pathlib import Path

import pytest

import dataflow as df
from runtime import Store
from runtime.upkeep.sweep_plan import SweepRules

DAY = 86_400_000_000
FIRST = 19_800 * DAY
UP = df.stream("s").state_duration("state").group_by("k", "state").agg(t=df.known_time())


def fill(store: Store) -> None:
    for day in range(6):
        state = ["up", "down", None][day % 3]
        table = {"k": ["a", "b"], "t": [FIRST + day * DAY + 5, FIRST + day * DAY + 7], "state": [state, "up"]}
        store.ingest("s", table, key="k", time="t", unit="us", progress=False, compact=False)


def filled(folder: Path) -> Store:
    store = Store(folder, create=True)
    fill(store)
    store.retain("s", before=FIRST + 3 * DAY)
    return store


def lost(store: Store, folder: Path) -> None:
    store.close()
    for path in folder.glob("catalogue.sqlite*"):
        path.unlink()


def answer(store: Store) -> tuple[object, str]:
    result = store.query(UP, FIRST + 3 * DAY, FIRST + 7 * DAY, progress=False)
    return result.to_dict()["rows"], result.proof.result


def test_a_floor_is_restored(tmp_path: Path) -> None:
    with filled(tmp_path) as store:
        before = answer(store)
        store.sweep(rules=SweepRules(grace=0))
        lost(store, tmp_path)
    with Store(tmp_path) as store:
        report = store.recover()
        assert any("points before 2024-03-21 are retired, as before" in line for line in report.done), str(report)
        assert store.catalogue.snapshot("s").floor == 19_803
        assert answer(store) == before
        assert store.verify().ok


def test_points_that_are_still_there_count(tmp_path: Path) -> None:
    with filled(tmp_path) as store:
        before = answer(store)
        lost(store, tmp_path)
    with Store(tmp_path) as store:
        report = store.recover()
        assert any("dataflow retain --before 2024-03-21" in line for line in report.unknown), str(report)
        assert store.catalogue.snapshot("s").floor is None
        assert len(store.head("s", 100).to_dict()["rows"]) == 12
        assert answer(store) == before
        store.retain("s", before=FIRST + 3 * DAY)
        assert answer(store) == before


@pytest.mark.parametrize("swept", [True, False], ids=["swept", "in its grace"])
def test_a_file_that_the_floor_cut(tmp_path: Path, swept: bool) -> None:
    """What the retention wrote says what it is, so it is preferred to what it replaced."""
    with Store(tmp_path, create=True) as store:
        fill(store)
        store.compact(progress=False)
        store.retain("s", before=FIRST + 3 * DAY)
        before = answer(store)
        if swept:
            store.sweep(rules=SweepRules(grace=0))
        lost(store, tmp_path)
    with Store(tmp_path) as store:
        report = store.recover()
        assert store.catalogue.snapshot("s").floor == 19_803, str(report)
        assert len(store.head("s", 100).to_dict()["rows"]) == 6
        assert answer(store) == before
        assert store.verify().ok


def test_an_erasure_after_a_retention(tmp_path: Path) -> None:
    """What it wrote again of what is carried in is all of it."""
    with Store(tmp_path, create=True) as store:
        fill(store)
        store.retain("s", before=FIRST + 3 * DAY)
        store.erase("s", "b")
        before = answer(store)
        store.sweep(rules=SweepRules(grace=0))
        lost(store, tmp_path)
    with Store(tmp_path) as store:
        store.recover()
        assert store.catalogue.snapshot("s").floor == 19_803
        assert answer(store) == before
        assert store.verify().ok


def test_a_backup_from_before_a_retention(tmp_path: Path) -> None:
    with Store(tmp_path / "s", create=True) as store:
        fill(store)
        store.backup(tmp_path / "copy")
        store.retain("s", before=FIRST + 3 * DAY)
        before = answer(store)
        store.sweep(rules=SweepRules(grace=0))
        lost(store, tmp_path / "s")
    with Store(tmp_path / "s") as store:
        store.recover(tmp_path / "copy")
        assert store.catalogue.snapshot("s").floor == 19_803
        assert answer(store) == before
        assert store.verify().ok


def test_a_retention_that_was_never_committed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The log of a store that is not damaged says that it was not: what it had written does not count."""
    with Store(tmp_path, create=True) as store:
        fill(store)
        with monkeypatch.context() as patched:
            patched.setattr(store.catalogue, "raise_floor", _die)
            with pytest.raises(KeyboardInterrupt):
                store.retain("s", before=FIRST + 3 * DAY)
        store.erase("s")
        table = {"k": ["new"], "t": [FIRST + 9 * DAY], "state": ["up"]}
        store.ingest("s", table, key="k", time="t", unit="us", progress=False)
        report = store.recover()
        assert store.catalogue.snapshot("s").floor is None, str(report)
        assert [row[0] for row in store.query(UP, progress=False).to_dict()["rows"]] == ["new"]


def _die(*given: object) -> None:
    raise KeyboardInterrupt
