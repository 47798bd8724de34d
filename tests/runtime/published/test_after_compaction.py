"""What was cached before a compaction is used after it, with the same answers."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from runtime import Store
from runtime.catalogue import FileEntry
from runtime.published import day_states, incremental, state_cache
from runtime.query.plan import make_tasks
from runtime.query.task import checkpoint
from tests.runtime.compacted import Row, compacted
from tests.runtime.copied_stores import copy_of
from tests.runtime.published.histories import (
    BY_DAY,
    BY_PREFIX,
    DAY,
    HOUR,
    METRICS,
    POLICIES,
    START,
    Opened,
    day,
    ingest,
    points,
)


@pytest.fixture(autouse=True)
def small_tasks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks of a few rows, so that there are several."""
    monkeypatch.setattr(make_tasks, "_SMALL", 5)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six days, of two overlapping files each."""
    folder = tmp_path_factory.mktemp("made")
    with Store(folder, create=True) as store:
        ingest(store, *(day(n) for n in range(6)))
        ingest(store, *(day(n, 3, 9, salt=1) for n in range(6)))
        for name in {*BY_DAY, *BY_PREFIX}:
            store.publish(METRICS[name], name)
    return folder


@pytest.fixture
def store(made: Path, tmp_path: Path) -> Iterator[Store]:
    with copy_of(made, tmp_path / "store") as store:
        yield store


def of_days(store: Store, first: int, last: int) -> list[FileEntry]:
    return [f for f in store.files("s") if first <= f.day - START // DAY and f.day + f.days - 1 - START // DAY <= last]


def ask(store: Store, name: str, **options: Any) -> Any:
    """By name, compared with the metric itself."""
    found = store.query(name, progress=False, **options)
    whole = store.query(METRICS[name], progress=False, workers=1, **options)
    assert found.proof.complete
    assert found.proof.result == whole.proof.result
    assert found.proof.duplicates == whole.proof.duplicates
    assert found.proof.files_hash_merged == whole.proof.files_hash_merged
    return found


@pytest.mark.parametrize("name", [*BY_DAY, *BY_PREFIX])
def test_after_a_compaction_no_file_is_read(store: Store, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = Opened(store, monkeypatch)
    before = ask(store, name)
    for first, last in ((0, 0), (1, 2), (3, 5), (0, 5)):
        # A day, runs of days, and files of a compaction again.
        compacted(store, of_days(store, first, last))
        found, read = opened.by(lambda: store.query(name, progress=False))
        assert read == []
        assert found.proof.files_cached == found.proof.files_planned == found.proof.files_merged
        assert found.proof.result == before.proof.result == ask(store, name).proof.result
        assert found.proof.rows_scanned == before.proof.rows_scanned
        assert store.unread(name) == 0


@pytest.mark.parametrize("name", [*BY_DAY, *BY_PREFIX])
def test_only_new_files_are_read(store: Store, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = Opened(store, monkeypatch)
    ask(store, name)
    compacted(store, of_days(store, 0, 5))
    ingest(store, day(6))
    (new,) = [f for f in store.files("s") if not f.compacted]
    assert store.unread(name) == new.bytes
    found, read = opened.by(lambda: store.query(name, progress=False))
    assert read == [new.path]
    assert found.proof.files_cached == 1
    assert found.proof.result == store.query(METRICS[name], progress=False).proof.result


@pytest.mark.parametrize("name", [*BY_DAY, *BY_PREFIX])
def test_parts_by_key_and_by_time(store: Store, name: str) -> None:
    ask(store, name)

    def by_key(row: Row) -> Any:
        return row[0] < "d3", row[1] < START + 2 * DAY + 5 * HOUR

    compacted(store, of_days(store, 0, 5), by_key)
    assert ask(store, name).proof.files_cached == 4


@pytest.mark.parametrize("name", [*BY_DAY, *BY_PREFIX])
def test_a_late_file_makes_another_state(store: Store, name: str) -> None:
    ask(store, name)
    compacted(store, of_days(store, 0, 5))
    ingest(store, day(2, 4, 6, salt=2))
    # The state of rows that do not depend on others is that of the other file; of the others none is before it.
    cached = 1 if name == "hot" else 0
    assert ask(store, name).proof.files_cached == cached
    compacted(store, store.files("s"))
    assert ask(store, name).proof.files_cached == 1


@pytest.mark.parametrize("name", ["hot", "uptime"])
def test_rows_that_were_taken_back_are_not_used(store: Store, name: str) -> None:
    ask(store, name)
    files = of_days(store, 1, 1)
    gone, stays = sorted(files, key=lambda f: f.seq, reverse=True)
    whole = store.query(METRICS[name], progress=False)
    # As an undo does: the contents of the rest are those of the rest.
    from runtime.catalogue import new_attempt
    from tests.runtime.compacted import replaced

    replaced(store, [gone], [], new_attempt())
    found = ask(store, name)
    assert found.proof.result != whole.proof.result
    assert found.proof.rows_scanned == whole.proof.rows_scanned - gone.rows
    assert stays.path in {f.path for f in store.files("s")}


def test_days_that_were_cached_alone_are_joined_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    ask(store, "hot")
    compacted(store, of_days(store, 0, 5))
    assert ask(store, "hot").proof.files_cached == 1
    tiles: list[int] = []
    inner = state_cache.Shelf.get

    def spy(self: Any, content: str) -> bytes | None:
        tiles.append(1)
        return inner(self, content)

    monkeypatch.setattr(state_cache.Shelf, "get", spy)
    assert ask(store, "hot").proof.files_cached == 1
    assert len(tiles) == 1


@pytest.mark.parametrize("name", ["hot", "uptime"])
def test_damaged_states_are_made_again(store: Store, name: str) -> None:
    ask(store, name)
    compacted(store, of_days(store, 0, 5))
    for path in (Path(store.url) / "cache").rglob("*-*"):
        if path.is_file():
            path.chmod(0o644)
            path.write_bytes(path.read_bytes()[:-5])
    store.close()
    assert ask(store, name).proof.files_cached == 0
    assert ask(store, name).proof.files_cached == 1


def run_history(folder: Path, seed: int) -> int:
    """Ingests, compactions of some files that are next to each other, and queries; how many files were not read."""
    rng = random.Random(seed)
    duplicates, id = POLICIES[rng.randrange(len(POLICIES))]
    names = rng.sample([*BY_DAY, *BY_PREFIX], 4)
    saved = 0
    with Store(folder, create=True) as store:
        for number in range(10):
            store.ingest(
                "s", points(rng, number), key="device", time="ts", unit="us", duplicates=duplicates, id=id,
                progress=False,
            )  # fmt: skip
            if number == 0:
                for name in names:
                    store.publish(METRICS[name], name)
            for name in names:
                ask(store, name)
            if rng.random() < 0.6:
                saved += _compact_some(store, rng, names)
    return saved


def _compact_some(store: Store, rng: random.Random, names: list[str]) -> int:
    files = list(store.files("s"))
    if rng.random() < 0.6:
        low = rng.randrange(len(files))
        files = files[low : low + rng.randrange(1, 9)]
    else:
        files = rng.sample(files, rng.randrange(1, len(files) + 1))
    rules: list[Callable[[Row], Any]] = [lambda row: 0, lambda row: row[0], lambda row: row[1] // DAY]
    before = {name: store.query(name, progress=False).proof for name in names}
    compacted(store, files, rng.choice(rules))
    saved = 0
    for name in names:
        found = ask(store, name)
        assert (found.proof.result, found.proof.duplicates) == (before[name].result, before[name].duplicates)
        assert found.proof.rows_scanned == before[name].rows_scanned
        saved += found.proof.files_cached
    return saved


@pytest.mark.parametrize("seed", [*range(3), *(pytest.param(n, marks=pytest.mark.nightly) for n in range(3, 6))])
def test_any_history(tmp_path: Path, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incremental, "SPAN", 2)
    assert run_history(tmp_path / "store", seed) > 10


def _contents_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only how many groups there are matters."""
    for module in (incremental, day_states):
        monkeypatch.setattr(module, "contents", lambda groups, *_: [f"{n}" for n, _ in enumerate(groups)])
        monkeypatch.setattr(module, "covers", lambda *_: True)


def _files_of_then(monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint's coverage is not that of the files that there are now."""
    monkeypatch.setattr(
        checkpoint.Checkpoint, "of_files", lambda self, rows, groups: incremental.replace(self, groups=groups)
    )


def _more_groups_than_now(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many groups are passed over as there were then."""
    inner = checkpoint.Checkpoint.of_files
    monkeypatch.setattr(checkpoint.Checkpoint, "of_files", lambda self, rows, groups: inner(self, rows, groups + 1))


def _any_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    """States of days are joined although they are not of all rows."""
    inner = state_cache.Shelf.tiles

    def tiles(self: Any, first: int, last: int) -> Any:
        found = list(inner(self, first, last).values())

        class AnyContent(dict[str, list[str]]):
            def get(self, content: str, default: Any = None) -> Any:
                return found[-1] if found else default

            def __getitem__(self, content: str) -> Any:
                return found[-1]

        return AnyContent()

    monkeypatch.setattr(state_cache.Shelf, "tiles", tiles)
    monkeypatch.setattr(day_states, "covers", lambda *_: True)


MUTANTS = [_contents_ignored, _files_of_then, _more_groups_than_now, _any_tiles]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda m: m.__name__)
def test_mutants_are_caught(tmp_path: Path, mutant: Callable[[Any], None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incremental, "SPAN", 2)
    mutant(monkeypatch)
    for seed in range(20):
        try:
            run_history(tmp_path / f"{seed}", seed)
        except Exception:
            return
    pytest.fail(f"{mutant.__name__} was not noticed in 20 histories")
