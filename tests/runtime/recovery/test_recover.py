"""A lost, emptied, old or damaged catalogue: queries are refused, and `recover` rebuilds it."""

from __future__ import annotations

import io
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

import dataflow as df
from deploy.cli import main
from operators.errors import DataflowError
from runtime import Store
from runtime.errors import StoreError

pytestmark = pytest.mark.usefixtures("plain_files")

METRIC = df.stream("s").group_by("k").agg(n=df.count(), total=df.sum("v"))
FILES = ("catalogue.sqlite", "catalogue.sqlite-wal", "catalogue.sqlite-shm", "catalogue.sqlite-head")


def text(name: str, day: int, rows: int = 20) -> bytes:
    return "\n".join(f'{{"k":"{name}","t":{day * 86_400 + i},"v":{i}}}' for i in range(rows)).encode()


def answer(folder: Path) -> object:
    with Store(folder) as store:
        return sorted(store.query(METRIC, progress=False))


def ingest(store: Store, folder: Path, name: str, day: int) -> None:
    file = folder.parent / f"{name}.ndjson"
    file.write_bytes(text(name, day) + b"\n" + text(name, day + 1))
    store.ingest("s", file, key="k", time="t", unit="s", duplicates="exact", progress=False)


@pytest.fixture
def made(tmp_path: Path) -> tuple[Path, object]:
    """Three commits and a file of no commit; its right answer."""
    folder = tmp_path / "store"
    with Store(folder, create=True) as store:
        for number, name in enumerate("abc"):
            ingest(store, folder, name, 19_800 + number)
    orphan = next((folder / "data/s").rglob("*-0.points"))
    shutil.copyfile(orphan, orphan.with_name("0dead0-0.points"))
    return folder, answer(folder)


def remove(folder: Path) -> None:
    (folder / FILES[0]).unlink()


def emptied(folder: Path) -> None:
    (folder / FILES[0]).write_bytes(b"")


def cut(folder: Path) -> None:
    path = folder / FILES[0]
    path.write_bytes(path.read_bytes()[:9000])


def all_gone(folder: Path) -> None:
    for name in FILES:
        (folder / name).unlink(missing_ok=True)


def last_commit_gone(folder: Path) -> None:
    with sqlite3.connect(folder / FILES[0]) as connection:
        connection.execute("delete from items where partition = 's/LOG' and sort like '%3'")
        connection.execute("delete from items where partition = 's/WM'")
    connection.close()


def head_gone(folder: Path) -> None:
    (folder / FILES[3]).unlink()


DAMAGE = [remove, emptied, cut, all_gone, last_commit_gone, head_gone]


@pytest.mark.parametrize("damage", DAMAGE)
def test_what_is_lost_is_said_and_made_anew(
    made: tuple[Path, object], damage: Callable[[Path], None], capsys: pytest.CaptureFixture[str]
) -> None:
    folder, right = made
    damage(folder)
    for _ in range(2):  # the first try must not make a new catalogue for the second
        with pytest.raises(DataflowError, match="dataflow recover"):
            answer(folder)
        with pytest.raises(DataflowError, match="dataflow recover"), Store(folder, create=True) as store:
            ingest(store, folder, "d", 19_900)
        assert main(["verify", str(folder)]) == 1
    assert main(["recover", str(folder)]) == 0
    assert "s: 3 commits" in capsys.readouterr().out
    assert answer(folder) == right
    assert main(["verify", str(folder)]) == 0
    with Store(folder) as store:
        ingest(store, folder, "a", 19_800)  # a source that is there still counts once
        assert store.streams()[0].sources == 3
        assert store.streams()[0].schema.duplicates == "exact"
        ingest(store, folder, "d", 19_900)
    assert main(["verify", str(folder)]) == 0


def test_an_older_copy_is_not_answered_from(made: tuple[Path, object], tmp_path: Path) -> None:
    """A copy without its write-ahead log; the head beside it says that it is older."""
    folder, _ = made
    old = tmp_path / "old.sqlite"
    shutil.copyfile(folder / FILES[0], old)
    with Store(folder) as store:
        ingest(store, folder, "d", 19_900)
    right = answer(folder)
    shutil.copyfile(old, folder / FILES[0])
    with pytest.raises(DataflowError, match=r"ends at commit 3, but commit 4 was acknowledged.*dataflow recover"):
        answer(folder)
    # Nor is a source new to it that was committed since.
    with Store(folder) as store, pytest.raises(DataflowError, match=r"commit 4 was acknowledged.*dataflow recover"):
        store.catalogue.is_ingested("s", "0" * 64)
    report = Store(folder).recover(old)
    assert report.streams == {"s": 4}
    assert any("1 commit with 40 rows rebuilt from point files" in line for line in report.done)
    assert answer(folder) == right


def test_a_log_of_sqlite_without_its_file(tmp_path: Path) -> None:
    """The write-ahead log alone has all that was committed; SQLite itself would throw it away."""
    folder = tmp_path / "store"
    copied = tmp_path / "copied"
    with Store(folder, create=True) as store:
        ingest(store, folder, "a", 19_800)
        right = sorted(store.query(METRIC, progress=False))
        shutil.copytree(folder, copied)
    assert (copied / FILES[1]).stat().st_size > 0
    (copied / FILES[0]).write_bytes(b"")
    (copied / FILES[2]).unlink()
    for _ in range(2):
        with pytest.raises(StoreError, match="dataflow recover"):
            answer(copied)
    report = Store(copied).recover()
    assert report.unknown == []
    assert answer(copied) == right


def test_a_copy_beside_nothing(made: tuple[Path, object], tmp_path: Path) -> None:
    folder, right = made
    copy = tmp_path / "copy.sqlite"
    shutil.copyfile(folder / FILES[0], copy)
    all_gone(folder)
    report = Store(folder).recover(copy)
    assert report.streams == {"s": 3}
    assert answer(folder) == right
    assert any("head is lost" in line for line in report.unknown)


def test_an_interrupted_ingest_does_not_count_twice(made: tuple[Path, object], tmp_path: Path) -> None:
    """Its files say which source they are of; the whole attempt of the same source is taken."""
    folder, right = made
    other = tmp_path / "other"
    with Store(other, create=True) as store:
        ingest(store, other, "a", 19_800)
    (left,) = (other / "data/s/2024-03-18").iterdir()
    shutil.copy(left, folder / "data/s/2024-03-18" / left.name)
    all_gone(folder)
    Store(folder).recover()
    assert answer(folder) == right


def test_nothing_to_recover(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="no store here"):
        Store(tmp_path / "none").recover()
    with pytest.raises(StoreError, match="there is no file"):
        Store(tmp_path / "none").recover(tmp_path / "x")


def test_orphans_alone_are_no_error(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    with Store(folder, create=True) as store:
        store.catalogue.begin()
    orphan = folder / "data/s/2024-03-18/0dead0-0.points"
    orphan.parent.mkdir(parents=True)
    orphan.write_bytes(b"x")
    with Store(folder, create=True) as store:
        ingest(store, folder, "a", 19_800)
        assert store.verify().ok


def test_files_of_an_earlier_version(tmp_path: Path) -> None:
    """They do not say of which source they are, nor how the stream treats duplicates: that is said."""
    folder = tmp_path / "store"
    shutil.copytree(Path(__file__).parents[1] / "catalogue/version1/data", folder / "data")
    report = Store(folder).recover()
    assert report.streams == {"telemetry": 3}
    assert any("duplicates" in line for line in report.unknown)
    with Store(folder) as store:
        found = store.query(df.stream("telemetry").group_by("device").agg(n=df.count()), progress=False)
        assert sorted(found) == [("a", 25), ("b", 10), ("c", 15)]
        assert store.ingest("telemetry", io.BytesIO(b""), key="device", time="ts", unit="ms", progress=False)


def stored(folder: Path, stream: str, *values: int) -> None:
    with Store(folder, create=True) as store:
        for value in values:
            line = b'{"k":"a","t":1709251200,"v":%d}\n' % value
            store.ingest(stream, io.BytesIO(line), key="k", time="t", unit="s", progress=False)


@pytest.mark.parametrize("stream", ["s", "other"])
def test_a_copy_of_another_store_is_refused(tmp_path: Path, stream: str) -> None:
    """Also one with more commits; and nothing is changed."""
    mine, theirs = tmp_path / "mine", tmp_path / "theirs"
    stored(mine, "s", 1, 2)
    stored(theirs, stream, 3, 4, 5)
    with pytest.raises(StoreError, match=f"is the catalogue of another store: the commits of its stream {stream} are"):
        Store(mine).recover(theirs / "catalogue.sqlite")
    metric = df.stream("s").agg(total=df.sum("v"))
    assert list(Store(mine).query(metric, progress=False)) == [(3,)]
    assert [s.name for s in Store(mine).streams()] == ["s"]


def test_an_attempt_that_no_log_names_is_mentioned(tmp_path: Path) -> None:
    """An older catalogue was put back and used: what was committed in between is taken, or listed as skipped."""
    folder, names = tmp_path / "store", ("catalogue.sqlite", "catalogue.sqlite-head")
    stored(folder, "s", 1)
    kept = {name: (folder / name).read_bytes() for name in names}
    stored(folder, "s", 2, 4)
    for name in names:
        (folder / name).write_bytes(kept[name])
    for ending in ("-wal", "-shm"):
        (folder / f"catalogue.sqlite{ending}").unlink(missing_ok=True)
    stored(folder, "s", 8, 16)
    report = Store(folder).recover()
    (total,) = next(iter(Store(folder).query(df.stream("s").agg(total=df.sum("v")), progress=False)))
    skipped = [line for line in report.unknown if "it was skipped" in line]
    files = len(list((folder / "data").rglob("*.points")))
    assert files == 5
    assert report.streams["s"] + len(skipped) == files
    assert (total == 31) == (not skipped)
