"""A catalogue rebuilt from files of which some hold the rows of others: each row counts once, in its order."""

from __future__ import annotations

import io
import random
from pathlib import Path
from typing import Any

import pytest

import dataflow as df
from runtime import Store
from runtime.catalogue import FileEntry
from runtime.recovery import compactions
from tests.runtime.compacted import compacted
from tests.runtime.recovery.test_recovered_order import ask, lose, put, shuffle

DAY = 86_400


def seen(folder: Path) -> Any:
    """The answer, and every point in its order."""
    with Store(folder) as store:
        last = store.query(df.stream("s").group_by("k").agg(last=df.last("v"), n=df.count()), progress=False)
        text = io.BytesIO()
        store.export("s", text, format="csv", progress=False)
        return sorted(ask(folder)), sorted(last), text.getvalue(), store.streams()[0].rows


def fill(store: Store, commits: int, rng: random.Random, begin: int = 0) -> None:
    for number in range(begin, begin + commits):
        rows = {(rng.choice("abc"), rng.randrange(3) * DAY + rng.randrange(4)) for _ in range(8)}
        put(store, *((k, t, 1000 * number + i) for i, (k, t) in enumerate(sorted(rows))))


def sweep(folder: Path, files: list[FileEntry]) -> None:
    for file in files:
        (folder / file.path).unlink()


def rebuilt(folder: Path, seed: int = 0) -> Any:
    lose(folder)
    shuffle(folder, seed)
    return Store(folder).recover()


@pytest.mark.parametrize("swept", [True, False])
@pytest.mark.parametrize("seed", [0, 1, *(pytest.param(n, marks=pytest.mark.nightly) for n in (2, 3))])
def test_inputs_may_be_there_or_not(tmp_path: Path, seed: int, swept: bool) -> None:
    folder, rng = tmp_path / "store", random.Random(seed)
    with Store(folder, create=True) as store:
        fill(store, 8, rng)
        first = [f for f in store.files("s") if f.seq < 6]
        compacted(store, first, lambda row: row[1] // 86_400_000_000)
        fill(store, 3, rng, 8)
        second = [f for f in store.files("s") if f.compacted][:1] + [f for f in store.files("s") if f.seq == 7]
        compacted(store, second)
        fill(store, 3, rng, 11)
    before = seen(folder)
    if swept:
        sweep(folder, rng.sample(first, len(first) - 2) + second[:1])
    report = rebuilt(folder, seed)
    assert seen(folder) == before, report
    assert any("a compaction has written their rows again" in line for line in report.done)
    verified = Store(folder).verify()
    assert verified.ok, verified.problems
    # What was rebuilt can be lost again.
    rebuilt(folder, seed + 1)
    assert seen(folder) == before


@pytest.mark.parametrize("commit", [True, False])
def test_the_last_compaction_may_have_been_committed_or_not(tmp_path: Path, commit: bool) -> None:
    folder = tmp_path / "store"
    with Store(folder, create=True) as store:
        fill(store, 5, random.Random(1))
        files = list(store.files("s"))
        compacted(store, files, lambda row: row[0], commit=commit)
    before = seen(folder)
    if commit:
        sweep(folder, files)
    rebuilt(folder)
    assert seen(folder) == before
    with Store(folder) as store:
        fill(store, 2, random.Random(2), 5)
        assert store.verify().ok


def test_an_interrupted_compaction_is_left_out(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    with Store(folder, create=True) as store:
        fill(store, 5, random.Random(1))
        written = compacted(store, list(store.files("s")), lambda row: row[0], commit=False)
    before = seen(folder)
    sweep(folder, written[-1:])
    report = rebuilt(folder)
    assert seen(folder) == before
    assert any("was interrupted" in line for line in report.done)


def test_of_two_that_replaced_one_file_one_counts(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    with Store(folder, create=True) as store:
        fill(store, 6, random.Random(1))
        files = list(store.files("s"))
        compacted(store, [f for f in files if f.seq < 5], commit=False)
        compacted(store, [f for f in files if f.seq > 2])
        swept = [f for f in files if f.seq > 2]
    before = seen(folder)
    sweep(folder, swept)
    rebuilt(folder)
    assert seen(folder) == before


def test_a_lost_file_of_a_compaction_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    with Store(folder, create=True) as store:
        fill(store, 5, random.Random(1))
        files = list(store.files("s"))
        written = compacted(store, files, lambda row: row[0])
        fill(store, 1, random.Random(2), 5)
    sweep(folder, [*files, written[0]])
    report = rebuilt(folder)
    assert any("of a compaction, which is not there" in line for line in report.unknown)


def test_the_log_decides_while_its_files_are_there(tmp_path: Path) -> None:
    """Of an older copy of the catalogue, whose files a later compaction replaced."""
    folder = tmp_path / "store"
    with Store(folder, create=True) as store:
        fill(store, 5, random.Random(1))
    old = {name: (folder / name).read_bytes() for name in ("catalogue.sqlite", "catalogue.sqlite-head")}
    with Store(folder) as store:
        files = list(store.files("s"))
        compacted(store, files)
    before = seen(folder)
    for gone in ([], files):
        lose(folder)
        for name, data in old.items():
            (folder / name).write_bytes(data)
        sweep(folder, gone)
        Store(folder).recover()
        assert seen(folder) == before
        assert Store(folder).verify().ok


@pytest.mark.parametrize(
    ("rule", "mutant"),
    [
        ("replaces", lambda *_: False),
        ("_number_the_rest", lambda out, after: out.numbers.update({a.name: n for n, a in enumerate(out.attempts, 1)})),
        ("_conflict", lambda *_: False),
    ],
    ids=["nothing is left out", "numbered anew", "both of two"],
)
def test_rules_are_needed(tmp_path: Path, rule: str, mutant: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compactions, rule, mutant)
    with pytest.raises(AssertionError):
        _all_of(tmp_path)


def _all_of(folder: Path) -> None:
    for seed in range(4):
        (folder / f"{seed}").mkdir()
        test_inputs_may_be_there_or_not(folder / f"{seed}", seed, False)
    test_of_two_that_replaced_one_file_one_counts(folder)
