"""A catalogue rebuilt from point files has the order of the commits, whatever the files' times."""

from __future__ import annotations

import hashlib
import io
import os
import random
import shutil
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import dataflow as df
from runtime import Store
from runtime.catalogue.items.commit_order import MOST, Order, Started, in_order
from runtime.ingest import writer
from runtime.pointfile import encode
from runtime.result.result import Result

pytestmark = pytest.mark.usefixtures("plain_files")

METRIC = df.stream("s").group_by("k").agg(n=df.count(), total=df.sum("v"), most=df.max("v"))
D = 19_800
FILES = ("catalogue.sqlite", "catalogue.sqlite-wal", "catalogue.sqlite-shm", "catalogue.sqlite-head")


def put(store: Store, *rows: tuple[str, int, int]) -> None:
    """One commit: points of a key at a time, which later ones correct."""
    text = "".join(f'{{"k":"{k}","t":{D * 86_400 + t},"v":{v}}}\n' for k, t, v in rows)
    store.ingest(
        "s", io.BytesIO(text.encode()), key="k", time="t", unit="s", duplicates="latest", compact=False, progress=False
    )


def corrections(folder: Path, commits: int, seed: int) -> None:
    """Commits that overwrite one another, on several days."""
    rng = random.Random(seed)
    with Store(folder, create=True) as store:
        for number in range(commits):
            rows = {(rng.choice("abc"), rng.randrange(3) * 86_400 + rng.randrange(4)) for _ in range(8)}
            put(store, *((k, t, 1000 * number + i) for i, (k, t) in enumerate(sorted(rows))))


def ask(folder: Path) -> Result:
    with Store(folder) as store:
        return store.query(METRIC, progress=False)


def answer(folder: Path) -> list[tuple[object, ...]]:
    return sorted(ask(folder))


def lose(folder: Path) -> None:
    for name in FILES:
        (folder / name).unlink(missing_ok=True)


def points(folder: Path) -> list[Path]:
    return sorted((folder / "data").rglob("*.points"))


def shuffle(folder: Path, seed: int) -> None:
    """Modification times as `cp -r` or `aws s3 sync` may leave them: any at all."""
    rng = random.Random(seed)
    for path in points(folder):
        moment = rng.randrange(10**9, 2 * 10**9)
        os.utime(path, (moment, moment))


@pytest.mark.parametrize("seed", range(4))
def test_corrections_are_in_the_order_of_their_commits(tmp_path: Path, seed: int) -> None:
    folder = tmp_path / "store"
    corrections(folder, 25, seed)
    right = answer(folder)
    for again in range(2):  # what was recovered can be lost, too
        lose(folder)
        shuffle(folder, seed + again)
        report = Store(folder).recover()
        assert not any("order" in line for line in report.unknown), report
        assert answer(folder) == right
        found = ask(folder)
        assert not any("order" in note for note in found.notes)
        with Store(folder) as store:
            assert store.verify().ok
            put(store, ("a", 1, 7))
        right = answer(folder)


def test_a_copied_store_is_recovered_the_same(tmp_path: Path) -> None:
    folder, other = tmp_path / "store", tmp_path / "other"
    corrections(folder, 12, 9)
    right = answer(folder)
    shutil.copytree(folder / "data", other / "data", copy_function=shutil.copyfile)
    shuffle(other, 1)
    assert Store(other).recover().streams == {"s": 12}
    assert answer(other) == right


def test_commits_at_the_same_time(tmp_path: Path) -> None:
    """Ingests beside one another: as those that came later name them; only the last ones may be in doubt."""
    folder = tmp_path / "store"
    corrections(folder, 2, 1)

    def ingests(me: int) -> None:
        with Store(folder) as store:
            for number in range(6):
                put(store, ("a", 1, me * 100 + number), ("b", number, me))

    threads = [threading.Thread(target=ingests, args=(me,)) for me in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with Store(folder) as store:
        put(store, ("c", 5, 1))
        right, log = answer(folder), [record.attempt for record in store.catalogue.records("s")]
    lose(folder)
    shuffle(folder, 2)
    report = Store(folder).recover()
    assert not any("order" in line for line in report.unknown)
    assert answer(folder) == right
    with Store(folder) as store:
        assert [record.attempt for record in store.catalogue.records("s")] == log


def older(patch: pytest.MonkeyPatch) -> None:
    """Have files and heads written as earlier versions did: they say nothing of the order."""

    def plain(*args: object, origin: dict[str, str], **more: object) -> bytes:
        kept = {name: value for name, value in origin.items() if name not in ("order", "files")}
        return encode(*args, origin=kept, **more)  # type: ignore[arg-type]

    patch.setattr(writer, "encode", plain)
    patch.setattr(Order, "followed_by", lambda order, _: Order(order.seq + 1))


def test_files_of_earlier_versions_are_in_doubt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "store"
    with monkeypatch.context() as patch:
        older(patch)
        corrections(folder, 2, 3)
        count = len(points(folder))
        corrections(folder, 1, 4)  # the last one is in the log that the next one reads
    with Store(folder) as store:
        put(store, ("a", 1, 7))
    lose(folder)
    shuffle(folder, 1)
    report = Store(folder).recover()
    assert any(f"the order of 2 commits with {count} files" in line for line in report.unknown), report
    found = ask(folder)
    note = f"the order of {count} files is unknown: it was recovered from their modification time"
    assert any(note in said for said in found.notes)
    assert note in " ".join(str(found).split())
    with Store(folder) as store:  # the mark stays
        put(store, ("a", 2, 8))
    assert any(note in said for said in ask(folder).notes)


def test_one_file_of_an_earlier_version_was_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "store"
    with monkeypatch.context() as patch, Store(folder, create=True) as store:
        older(patch)
        put(store, ("a", 1, 7))
    with Store(folder) as store:
        put(store, ("a", 1, 8))
    right = answer(folder)
    lose(folder)
    shuffle(folder, 1)
    Store(folder).recover()
    assert answer(folder) == right
    assert not ask(folder).notes


def test_an_interrupted_ingest_is_left_out(tmp_path: Path) -> None:
    """Some of its files are there, not all: its rows are not in the answer, and its source may be ingested again."""
    folder = tmp_path / "store"
    corrections(folder, 3, 5)
    right = answer(folder)
    before = set(points(folder))
    file = tmp_path / "late.ndjson"
    file.write_text("".join(f'{{"k":"z","t":{(D + day) * 86_400},"v":1}}\n' for day in range(5)))
    options = {"key": "k", "time": "t", "unit": "s", "progress": False}
    with Store(folder) as store:
        store.ingest("s", file, **options)  # type: ignore[arg-type]
        whole = answer(folder)
    *_, last = sorted(set(points(folder)) - before, key=lambda path: path.name)
    last.unlink()
    lose(folder)
    report = Store(folder).recover()
    assert any("interrupted; ingest its source again" in line for line in report.unknown), report
    assert answer(folder) == right
    with Store(folder) as store:
        store.ingest("s", file, **options)  # type: ignore[arg-type]
    assert answer(folder) == whole


# A catalogue that is, with its head, an older copy


def backup(folder: Path, to: Path) -> None:
    to.mkdir()
    for name in FILES:
        if (folder / name).exists():
            shutil.copyfile(folder / name, to / name)


def restore(folder: Path, source: Path) -> None:
    lose(folder)
    for path in source.iterdir():
        shutil.copyfile(path, folder / path.name)


@pytest.fixture(params=[1, 2, 5])
def rolled_back(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Path, object, object]:
    """A store whose catalogue and head are older by some commits; what they were committed from; both answers."""
    folder, inputs = tmp_path / "store", tmp_path / "inputs"
    inputs.mkdir()
    corrections(folder, 3, 6)
    then = answer(folder)
    backup(folder, tmp_path / "backup")
    with Store(folder) as store:
        for number in range(request.param):
            file = inputs / f"{number}.ndjson"
            file.write_text(
                f'{{"k":"a","t":{D * 86_400 + 1},"v":{number}}}\n{{"k":"n{number}","t":{D * 86_400},"v":1}}\n'
            )
            store.ingest("s", file, key="k", time="t", unit="s", progress=False)
    now = answer(folder)
    restore(folder, tmp_path / "backup")
    return folder, inputs, then, now


def test_an_older_catalogue_with_its_head_is_an_older_answer(rolled_back: tuple[Path, Path, object, object]) -> None:
    folder, _, then, _ = rolled_back
    found = ask(folder)
    assert sorted(found) == then
    assert found.proof.snapshot == 3  # type: ignore[attr-defined]
    with Store(folder) as store:
        report = store.verify()
    assert report.ok
    assert report.orphans
    assert "they may be committed points: run `dataflow recover`" in str(report)


def test_what_was_committed_since_is_ingested_again_once(rolled_back: tuple[Path, Path, object, object]) -> None:
    folder, inputs, _, now = rolled_back
    for _ in range(2):
        with Store(folder) as store:
            store.ingest("s", *sorted(inputs.iterdir()), key="k", time="t", unit="s", progress=False)
        assert answer(folder) == now
    shuffle(folder, 1)
    report = Store(folder).recover()  # their first files are orphans now: these sources are there
    assert not any("rebuilt from point files" in line for line in report.done), report
    assert answer(folder) == now
    lose(folder)
    shuffle(folder, 2)
    Store(folder).recover()
    assert answer(folder) == now


def test_recover_brings_back_what_was_committed_since(rolled_back: tuple[Path, Path, object, object]) -> None:
    folder, inputs, _, now = rolled_back
    shuffle(folder, 1)
    report = Store(folder).recover()
    assert any("rebuilt from point files" in line for line in report.done)
    assert answer(folder) == now
    with Store(folder) as store:
        assert store.verify().ok
        store.ingest("s", *sorted(inputs.iterdir()), key="k", time="t", unit="s", progress=False)
    assert answer(folder) == now


def test_recover_changes_nothing_of_a_whole_store(tmp_path: Path) -> None:
    """Not even with files of an ingest that was interrupted before others committed."""
    folder = tmp_path / "store"
    file = tmp_path / "a.ndjson"
    file.write_text(f'{{"k":"a","t":{D * 86_400},"v":1}}\n')
    with Store(folder, create=True) as store:
        commit = store.catalogue.commit

        def stopped(*args: object, **options: object) -> None:
            raise KeyboardInterrupt

        put(store, ("b", 0, 1))
        store.catalogue.commit = stopped  # type: ignore[method-assign, assignment]
        with pytest.raises(KeyboardInterrupt):
            store.ingest("s", file, key="k", time="t", unit="s", progress=False)
        store.catalogue.commit = commit  # type: ignore[method-assign]
        put(store, ("b", 1, 1))
    right = answer(folder)
    assert len(points(folder)) == 3
    Store(folder).recover()
    assert answer(folder) == right


# The order alone


@given(st.randoms(use_true_random=False), st.integers(1, 40), st.integers(1, 5), st.booleans())
def test_lists_give_the_order(rng: random.Random, commits: int, workers: int, seal: bool) -> None:
    """Workers that begin and commit in any order, some without a file: the log's order comes out, or a doubt."""
    head, begun = Order(), 0
    log: list[str] = []
    files: dict[str, Started] = {}
    running: list[tuple[str, Order]] = []
    while len(log) < commits:
        if len(running) < workers and (not running or rng.random() < 0.5):
            begun += 1
            running.append((hashlib.sha256(b"%d" % begun).hexdigest(), head))
            continue
        name, began = running.pop(rng.randrange(len(running)))
        head = head.followed_by(name)
        if rng.random() < 0.8:
            log.append(name)
            files[name] = Started(began, rng.randrange(1000))
        elif rng.random() < 0.5:
            head = head.followed_by("f" * 16)
    if seal:
        files["end"] = Started(head, 0)
        log.append("end")
    found, unsure = in_order(files)
    assert sorted(found) == sorted(log)
    if seal:
        assert found == log
        assert not unsure
    wrong = {a for a, b in zip(found, log, strict=True) if a != b}
    assert wrong <= unsure


def test_orders_as_text() -> None:
    order = Order()
    for number in range(40):
        assert Order.parse(str(order)) == order
        order = order.followed_by(f"{number:032x}"[::-1])
    assert order.seq == 40
    assert len(order.attempts) == MOST
    for text in (None, "", "x", "-1", "1.5", "9" * 30, "²"):
        assert Order.parse(text) is None
